//! Statements on several threads, and last relationships that are counted: the same answers, errors and
//! limits.

use std::ops::ControlFlow;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use language::cypher;
use language::value::Value;
use proptest::test_runner::{TestError, TestRunner};

use super::graph;
use super::query::Tape;
use super::random::{Outcome, compare_text, random_graph, settings};
use crate::executor::{self, ArithmeticProblem, ExecuteError, Limits, Parameters, Threads};
use crate::snapshot::Snapshot;

/// 600 nodes, each of which leads to the next twenty; some of each have changed since the last fold.
static RING: LazyLock<Snapshot> = LazyLock::new(|| {
    let mut transaction =
        graph::empty("node N { id: I64 @key, x: I64?, f: F64 }\nedge TO: N -> N { w: I64? }");
    graph::run_all(
        &mut transaction,
        "UNWIND range(0, 599) AS i
         CREATE (:N {id: i, x: CASE i % 13 WHEN 0 THEN null ELSE i * 7 % 31 END, f: 1.0 / (i + 1)});
         MATCH (a:N) UNWIND range(1, 20) AS d WITH a, d, (a.id + d * d) % 600 AS target
         MATCH (b:N {id: target}) CREATE (a)-[:TO {w: d}]->(b)",
    );
    let folded = transaction.snapshot().folded(&|_| None);
    let mut transaction =
        crate::transaction::Transaction::new(folded.expect("valid columns"), 3, uuid::Uuid::nil());
    graph::run_all(
        &mut transaction,
        "MATCH (a:N) WHERE a.id % 50 = 3 SET a.x = 100;
         MATCH (a:N)-[e:TO {w: 4}]->() WHERE a.id % 70 = 5 DELETE e;
         MATCH (a:N {id: 9}) CREATE (a)-[:TO {w: 77}]->(a)",
    );
    transaction.snapshot().clone()
});

const ONE: Threads = Threads {
    most: 1,
    rows: f64::INFINITY,
};
const TWO: Threads = Threads { most: 2, rows: 0.0 };

fn limited(threads: Threads) -> Limits {
    Limits {
        threads,
        deadline: Some(Instant::now() + Duration::from_secs(100)),
        ..Limits::default()
    }
}

fn read(text: &str, limits: &Limits) -> Result<Vec<Vec<Value>>, ExecuteError> {
    let plan = cypher::compile(text, RING.schema()).expect(text);
    let mut rows = Vec::new();
    executor::read(&plan, &Parameters::new(), &RING, limits, &mut |row| {
        rows.push(row.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

fn names(text: &str, limits: &Limits) -> Vec<&'static str> {
    let plan = cypher::compile(text, RING.schema()).expect(text);
    let explained = executor::explain(&plan, &Parameters::new(), &RING, limits).expect(text);
    explained.iter().flatten().map(|it| it.name).collect()
}

fn has_two_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

#[test]
fn rows_groups_and_sorted_rows_are_those_of_one_thread() {
    for text in [
        "MATCH (a:N)-[:TO]->(b) WHERE a.x < b.x RETURN a.id, b.id",
        "MATCH (a:N)-[:TO]->(b) WHERE a.x < b.x RETURN DISTINCT b.x",
        "MATCH (a:N)-[:TO]->(b) WHERE a.x < b.x RETURN a.id SKIP 7 LIMIT 900",
        "MATCH (a:N)-[:TO]->(b) WHERE a.x <> b.x RETURN a.x AS x, b.x AS y ORDER BY y DESC, x",
        "MATCH (a:N)-[:TO]->(b) WHERE a.x <> b.x RETURN a.id AS a, b.x AS y ORDER BY y SKIP 3 LIMIT 50",
        "MATCH (a:N)-[:TO]->(b) RETURN b.x AS x, collect(a.id) AS ids, sum(a.f) AS f, avg(a.f), stDev(a.f)",
        "MATCH (a:N)-[:TO]->(b) RETURN a.x AS x, b.x AS y, count(*), min(a.f), max(b.f), count(DISTINCT b.id), sum(DISTINCT b.f)",
        "MATCH (a:N)-[e:TO]->(b) RETURN percentileDisc(a.f * b.f, 0.3), percentileCont(b.f, 0.7), sum(e.w * a.f)",
        "MATCH (a:N)-[:TO]->(b) RETURN percentileDisc(DISTINCT b.x, 0.9), percentileCont(DISTINCT a.id, 0.25)",
        "MATCH (a:N)-[:TO]->(b) RETURN b.x AS x, percentileDisc(DISTINCT a.id, 0.8)",
        "MATCH (a:N) WHERE EXISTS { (a)-[:TO]->(b) WHERE b.x > 29 } RETURN a.id, COUNT { (a)<-[:TO]-() } AS n",
        "MATCH (a:N) OPTIONAL MATCH (a)-[:TO {w: 4}]->(b) WHERE b.x = a.x + 1 UNWIND [1, 2] AS i WITH a, b, i WHERE i > 1 OR b.x > 3 RETURN a.id, b.id, i",
        "MATCH (a:N)-[:TO]->(b) WHERE a.x < b.x WITH a, count(*) AS n WHERE n < 9 MATCH (a)<-[:TO]-(c) RETURN a.id, n, c.id",
    ] {
        if has_two_cores() {
            assert!(names(text, &limited(TWO)).contains(&"Gather"), "{text}");
        }
        let alone = read(text, &limited(ONE)).expect(text);
        assert!(!alone.is_empty(), "{text}");
        for _ in 0..3 {
            assert_eq!(read(text, &limited(TWO)).expect(text), alone, "{text}");
        }
    }
    for text in [
        "MATCH (a:N {id: 1})-[:TO]->(b) RETURN b.id",
        "UNWIND [1, 2] AS x RETURN x",
        "MATCH (a:N) RETURN a.id LIMIT 0",
    ] {
        assert!(!names(text, &limited(TWO)).contains(&"Gather"), "{text}");
    }
    let small = "MATCH (a:N) WHERE a.x > 3 RETURN a.id";
    assert!(!names(small, &Limits::default()).contains(&"Gather"));
}

#[test]
fn the_first_error_is_that_of_one_thread() {
    let text = "MATCH (a:N) WITH CASE a.id WHEN 500 THEN a.id / 0 WHEN 300 THEN 9223372036854775807 + a.id \
        WHEN 400 THEN a.id % 0 ELSE 1 END AS x";
    for tail in ["RETURN x", "RETURN sum(x)", "RETURN x ORDER BY x"] {
        for _ in 0..10 {
            let error = read(&format!("{text} {tail}"), &limited(TWO));
            assert!(
                matches!(
                    error,
                    Err(ExecuteError::Arithmetic {
                        problem: ArithmeticProblem::Overflow,
                        ..
                    })
                ),
                "{error:?}"
            );
        }
    }
    // What comes before it is given, and nothing is wanted after it.
    let enough = format!("{text} RETURN x LIMIT 200");
    assert_eq!(
        read(&enough, &limited(TWO)).expect("rows before it").len(),
        200
    );
}

#[test]
fn limits_are_those_of_the_statement() {
    let all = "MATCH (a:N)-[:TO]->(b)-[:TO]->(c) RETURN a.id, b.id, c.id";
    let few = Limits {
        max_rows: Some(5_000),
        ..limited(TWO)
    };
    assert!(matches!(
        read(all, &few),
        Err(ExecuteError::RowLimit { limit: 5_000 })
    ));
    // Rows that go on do not build up.
    let little = Limits {
        max_bytes: 8 << 20,
        ..limited(TWO)
    };
    let plan = cypher::compile(all, RING.schema()).expect(all);
    let mut count = 0;
    executor::read(&plan, &Parameters::new(), &RING, &little, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })
    .expect("rows that go on");
    assert!(count > 230_000, "{count}");
    let sorted = format!("{all} ORDER BY c.id");
    for threads in [ONE, TWO] {
        let little = Limits {
            threads,
            ..little.clone()
        };
        assert!(matches!(
            read(&sorted, &little),
            Err(ExecuteError::MemoryLimit { .. })
        ));
    }
}

/// What one thread can hold, a statement with several can do too.
#[test]
fn what_does_not_fit_in_parts_is_done_by_one() {
    let text = "MATCH (a:N)-[:TO]->(b) RETURN a.id + b.id * 1000 AS k, a.f AS f, b.f AS g, collect(b.id) AS c, count(*) AS n";
    let fits = |max_bytes: usize, threads| {
        let limits = Limits {
            max_bytes,
            ..limited(threads)
        };
        read(text, &limits).map(|rows| rows.len())
    };
    let mut bytes = 8 << 20;
    while fits(bytes, ONE).is_err() {
        bytes += bytes / 16;
    }
    assert_eq!(
        fits(bytes, TWO).expect("as much as one"),
        fits(bytes, ONE).expect("it fits")
    );
}

/// A query whose last relationship may be counted.
fn tail(tape: &mut Tape<'_>) -> String {
    let mut step = || {
        let (left, right) = [("-", "->"), ("<-", "-"), ("-", "->")][tape.below(3)];
        let types = tape.pick(&[":R", ":R", "", ":S", ":T", ":R|S"]);
        let test = tape.pick(&["", "", "", " {x: 1}", ":A", ":B"]);
        (format!("{left}[{types}]{right}"), test)
    };
    let ((first, b), (second, c)) = (step(), step());
    let joint = tape.pick(&["", "", " MATCH (b)"]);
    let mut conditions = Vec::new();
    for _ in 0..1 + tape.below(2) {
        let operator = tape.pick(&["<", ">=", "=", "<>", ">", "<="]);
        conditions.push(match tape.below(8) {
            0 | 1 => format!("a.x {operator} c.x"),
            2 => format!("c.key {operator} b.key"),
            3 => format!("c.x {operator} 1"),
            4 => "a <> c".to_owned(),
            5 => "c <> b".to_owned(),
            6 => format!("c.x {operator} a.key"),
            _ => format!("c.x {operator} 1.5"),
        });
    }
    let items = tape.pick(&[
        "count(*) AS n",
        "a AS k, count(c) AS n",
        "a.x AS k, b.x AS l, count(*) AS n, sum(a.key) AS m",
        "b.key AS k, a.s AS l, count(*) AS n, max(a.x) AS m",
        "a.x + b.x AS k, avg(b.key) AS n, count(DISTINCT a) AS m",
    ]);
    format!(
        "MATCH (a){first}(b{b}){joint}{second}(c{c}) WHERE {} RETURN {items}",
        conditions.join(" AND ")
    )
}

#[test]
fn what_is_counted_last_is_what_would_be_walked_to() {
    let (cases, seed, config) = settings(512);
    let tape = |lengths| proptest::collection::vec(proptest::num::u16::ANY, lengths);
    let counted = std::cell::Cell::new(0);
    let tapes = (tape(0..40), tape(60..160));
    let outcome = TestRunner::new(config).run(&tapes, |(query, graph)| {
        let tape = |numbers| Tape { numbers, place: 0 };
        let text = tail(&mut tape(&query));
        let (snapshot, naive) = random_graph(&mut tape(&graph));
        if let Outcome::Compared { .. } = compare_text(&text, &snapshot, &naive)? {
            let plan = cypher::compile(&text, snapshot.schema()).expect("it was compiled");
            let explained = executor::explain(&plan, &Parameters::new(), &snapshot, &limited(TWO));
            let mut operators = explained.iter().flatten().flatten();
            let tail = operators.any(|it| it.name == "ExpandCount");
            counted.update(|count| count + u32::from(tail));
        }
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, tapes)) => {
            panic!("TRELLIS_SEED={seed}\n{}\ntapes {tapes:?}", reason.message());
        }
        Err(TestError::Abort(reason)) => panic!("TRELLIS_SEED={seed}: {}", reason.message()),
    }
    println!("{} with a counted end", counted.get());
    assert!(counted.get() * 6 > cases, "{} of {cases}", counted.get());
}

#[test]
fn ends_that_changed_since_the_fold_are_compared_as_they_are() {
    for text in [
        "MATCH (a:N)-[:TO]->(b)-[:TO]->(c) WHERE a.x < c.x RETURN a.x AS x, count(*) AS n",
        "MATCH (a:N)-[:TO]->(b)<-[:TO]-(c) WHERE a.f >= c.f AND c.x <> 100 RETURN b.id AS x, count(c) AS n",
        "MATCH (a:N)-[:TO]->(b)-[:TO]->(c) WHERE a <> c AND c.x = b.x RETURN count(*) AS n",
    ] {
        let large = limited(Threads { most: 1, rows: 0.0 });
        assert!(names(text, &large).contains(&"ExpandCount"), "{text}");
        let walked = text.replace(" RETURN", " WITH a, b, c RETURN");
        assert!(!names(&walked, &large).contains(&"ExpandCount"), "{walked}");
        let expected = read(&walked, &limited(ONE)).expect(text);
        assert_eq!(read(text, &large).expect(text), expected, "{text}");
        assert_eq!(read(text, &limited(TWO)).expect(text), expected, "{text}");
    }
}
