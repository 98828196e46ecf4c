//! What a statement costs and when it stops.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use language::cypher;
use language::value::Value;

use super::graph;
use crate::executor::{self, ExecuteError, Limits, Parameters};
use crate::snapshot::Snapshot;

/// Nodes of the dense graph.
const NODES: i64 = 400;

/// A graph in which every node leads to the next forty.
static DENSE: LazyLock<Snapshot> = LazyLock::new(|| {
    let mut transaction = graph::empty("node N { id: I64 @key }\nedge TO: N -> N {}");
    graph::run_all(
        &mut transaction,
        &format!("UNWIND range(1, {NODES}) AS i CREATE (:N {{id: i}})"),
    );
    graph::run_all(
        &mut transaction,
        &format!(
            "MATCH (a:N) UNWIND range(1, 40) AS d
             WITH a, (a.id + d - 1) % {NODES} + 1 AS target MATCH (b:N {{id: target}}) CREATE (a)-[:TO]->(b)"
        ),
    );
    transaction.snapshot().clone()
});

fn read(text: &str, limits: &Limits) -> Result<Vec<Vec<Value>>, ExecuteError> {
    let plan = cypher::compile(text, DENSE.schema()).expect("a valid query");
    let mut rows = Vec::new();
    executor::read(&plan, &Parameters::new(), &DENSE, limits, &mut |row| {
        rows.push(row.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

/// Trails without end: nothing but a limit can stop these.
const ENDLESS: [&str; 4] = [
    "MATCH (a:N {id: 1})-[:TO*]->(b) RETURN count(*)",
    "MATCH (a:N)-[:TO*]->(b) WHERE a.id < 0 OR b.id < 0 RETURN a, b",
    "MATCH (a:N), (b:N), (c:N), (d:N) WHERE a.id + b.id + c.id + d.id < 0 RETURN count(*)",
    "UNWIND range(1, 100000) AS x UNWIND range(1, 100000) AS y RETURN max(x + y)",
];

#[test]
fn a_limit_stops_the_work_before_it() {
    for query in [
        "MATCH (a:N {id: 1})-[:TO*]->(b) RETURN b LIMIT 3",
        "MATCH (a:N), (b:N), (c:N), (d:N) RETURN a LIMIT 3",
        "MATCH (a:N {id: 1})-[:TO*]->(b) WITH DISTINCT b LIMIT 3 RETURN b.id AS id",
        "UNWIND range(1, 1000000) AS x MATCH (a:N)-[:TO*]->(b) RETURN x LIMIT 3",
        "MATCH (a:N {id: 1})-[:TO*]->(b) WITH b SKIP 5 LIMIT 3 MATCH (b)-[:TO]->() WITH b LIMIT 3 RETURN b",
    ] {
        let limits = Limits {
            deadline: Some(Instant::now() + Duration::from_secs(20)),
            ..Limits::default()
        };
        assert_eq!(read(query, &limits).expect(query).len(), 3, "{query}");
    }
}

#[test]
fn the_sink_stops_the_work() {
    let plan = cypher::compile(ENDLESS[0].replace("count(*)", "b").as_str(), DENSE.schema())
        .expect("valid");
    let mut rows = 0;
    executor::read(
        &plan,
        &Parameters::new(),
        &DENSE,
        &Limits::default(),
        &mut |_| {
            rows += 1;
            if rows == 10 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    )
    .expect("a stopped statement is no error");
    assert_eq!(rows, 10);
}

#[test]
fn a_deadline_stops_every_kind_of_work() {
    for query in ENDLESS {
        let start = Instant::now();
        let limits = Limits {
            deadline: Some(start + Duration::from_millis(30)),
            ..Limits::default()
        };
        assert!(
            matches!(read(query, &limits), Err(ExecuteError::Deadline)),
            "{query}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{query} took {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn cancelling_stops_every_kind_of_work() {
    for query in ENDLESS {
        let limits = Limits::default();
        let flag = Arc::clone(&limits.cancelled);
        let canceller = std::thread::spawn(move || {
            #[expect(
                clippy::disallowed_methods,
                reason = "this thread has nothing else to do"
            )]
            std::thread::sleep(Duration::from_millis(30));
            flag.store(true, Ordering::Relaxed);
        });
        assert!(
            matches!(read(query, &limits), Err(ExecuteError::Cancelled)),
            "{query}"
        );
        canceller.join().expect("the canceller ends");
    }
    let limits = Limits {
        cancelled: Arc::new(AtomicBool::new(true)),
        ..Limits::default()
    };
    assert!(matches!(
        read("RETURN 1 AS x", &limits),
        Err(ExecuteError::Cancelled)
    ));
}

#[test]
fn too_many_rows_are_an_error() {
    let limits = Limits {
        max_rows: Some(5),
        ..Limits::default()
    };
    let query = "UNWIND range(1, $n) AS x RETURN x";
    let plan = cypher::compile(query, DENSE.schema()).expect("valid");
    for (n, fits) in [(4, true), (5, true), (6, false)] {
        let parameters = Parameters::from([("n".to_owned(), Value::Int(n))]);
        let outcome = executor::read(&plan, &parameters, &DENSE, &limits, &mut |_| {
            ControlFlow::Continue(())
        });
        match outcome {
            Ok(()) => assert!(fits, "{n} rows"),
            Err(error) => {
                assert!(!fits, "{n} rows: {error}");
                assert!(
                    matches!(error, ExecuteError::RowLimit { limit: 5 }),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn held_rows_are_counted() {
    let limits = Limits {
        max_bytes: 200_000,
        ..Limits::default()
    };
    for query in [
        "MATCH (a:N)-[:TO]->(b) RETURN a, b ORDER BY a.id",
        "MATCH (a:N)-[:TO]->(b) RETURN DISTINCT a, b",
        "MATCH (a:N)-[:TO]->(b) RETURN a, b, count(*)",
        "MATCH (a:N)-[:TO]->(b) RETURN collect(a)",
        "MATCH (a:N)-[:TO]->(b) RETURN count(DISTINCT [a, b])",
        "RETURN range(1, 1000000)",
        "UNWIND range(1, 5000) AS x WITH collect(x) AS l1 WITH l1 + l1 AS l2 RETURN l2 + l2 + l2",
    ] {
        let outcome = read(query, &limits).map(|rows| rows.len());
        assert!(
            matches!(outcome, Err(ExecuteError::MemoryLimit { limit: 200_000 })),
            "{query}: {outcome:?}"
        );
    }
    for query in [
        "MATCH (a:N)-[:TO]->(b) RETURN a.id, b ORDER BY a.id, b.id LIMIT 10",
        "MATCH (a:N)-[:TO]->(b) RETURN a.id % 7 AS k, count(*)",
        "MATCH (a:N)-[:TO]->(b) RETURN a, b",
        "MATCH (a:N)-[:TO]->(b) RETURN DISTINCT b.id % 5 AS k",
        "MATCH (a:N {id: 1}), (b:N {id: 300}), p = shortestPath((a)-[:TO*]->(b)) RETURN length(p)",
    ] {
        read(query, &limits).expect(query);
    }
}

#[test]
fn memory_is_given_back() {
    let one = "WITH 1 AS x MATCH (a:N) WITH DISTINCT a.id AS id ORDER BY id WITH max(id) AS x ";
    let run = |times: usize, max_bytes: usize| {
        read(
            &format!("{}RETURN x", one.repeat(times)),
            &Limits {
                max_bytes,
                ..Limits::default()
            },
        )
    };
    let mut powers = (10..).map(|power| 1 << power);
    let enough = powers
        .find(|bytes| run(1, *bytes).is_ok())
        .expect("some limit is enough");
    assert!(enough > 8_192, "400 rows were held in {enough} bytes");
    run(20, enough * 2).expect("memory is given back between clauses");
}

#[test]
fn a_shortest_path_is_long_enough() {
    let limits = Limits::default();
    let rows = read(
        "MATCH (a:N {id: 1}), (b:N {id: 399}), p = shortestPath((a)-[:TO*]->(b)) RETURN length(p)",
        &limits,
    );
    assert_eq!(rows.expect("a path"), [[Value::Int(10)]]);
}

#[test]
fn a_statement_with_too_many_clauses_is_refused() {
    let text = format!(
        "{}RETURN 1 AS x",
        "MATCH (n:N {id: 1}) WITH n "
            .repeat(300)
            .replacen("(n:N", "(m:N", 0)
    );
    let plan = cypher::compile(&text, DENSE.schema()).expect("valid");
    let outcome = executor::read(
        &plan,
        &Parameters::new(),
        &DENSE,
        &Limits::default(),
        &mut |_| ControlFlow::Continue(()),
    );
    assert!(
        matches!(outcome, Err(ExecuteError::TooComplex { limit: 400, .. })),
        "{outcome:?}"
    );
}

#[test]
fn the_longest_chain_that_is_run_fits_the_stack_of_a_worker() {
    let text = format!("{}RETURN 1 AS x", "MATCH (n:N {id: 1}) WITH n ".repeat(130));
    let plan = cypher::compile(&text, DENSE.schema()).expect("valid");
    let worker = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            executor::read(
                &plan,
                &Parameters::new(),
                &DENSE,
                &Limits::default(),
                &mut |_| ControlFlow::Continue(()),
            )
        });
    worker
        .expect("a thread")
        .join()
        .expect("no overflow")
        .expect("it runs");
}
