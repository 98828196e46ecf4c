//! Patterns that are counted without being enumerated: random ones against the naive evaluator, and
//! large ones, which could not be enumerated.

use std::time::{Duration, Instant};

use language::cypher;
use language::value::Value;
use proptest::test_runner::{TestError, TestRunner};

use super::graph;
use super::query::Tape;
use super::random::{Outcome, compare_text, random_graph, settings};
use crate::executor::{self, Limits, Parameters};
use crate::snapshot::Snapshot;

/// A query that counts a tree or two, or what has cycles.
fn query(tape: &mut Tape<'_>, cyclic: bool) -> String {
    let (mut nodes, mut edges) = (vec!["n0".to_owned()], Vec::new());
    let mut paths = vec!["(n0)".to_owned()];
    let mut end = "n0".to_owned();
    for at in 0..1 + tape.below(if cyclic { 4 } else { 3 }) {
        let near = nodes[tape.below(nodes.len())].clone();
        let (left, right) = [("-", "->"), ("<-", "-"), ("-", "-")][tape.below(3)];
        let types = tape.pick(&[":R", "", ":R", ":S", ":T", ":R|S"]);
        let edge_test = tape.pick(&["", "", "", "", " {w: 1}"]);
        let label = tape.pick(&["", "", ":A", ":Any", ":B"]);
        let node_test = tape.pick(&["", "", "", "", " {x: 1}", " {s: 'a'}", " {key: 2}"]);
        let known = cyclic && tape.one_in(3);
        let edge = format!("e{at}");
        let node = match known {
            true => nodes[tape.below(nodes.len())].clone(),
            false => format!("n{}", at + 1),
        };
        let step = format!("{left}[{edge}{types}{edge_test}]{right}({node}{label}{node_test})");
        match tape.below(4) {
            // On where the last path ends, a path of its own, or a clause of its own.
            0 | 1 if near == end => {
                paths.last_mut().expect("there is one").push_str(&step);
            }
            3 => paths.push(format!("\n({near}){step}")),
            _ => paths.push(format!("({near}){step}")),
        }
        edges.push(edge);
        end.clone_from(&node);
        if !known {
            nodes.push(node);
        }
    }
    if tape.one_in(8) {
        paths.push("(alone:B)".to_owned());
    }
    let mut text = String::from("MATCH ");
    for (at, path) in paths.iter().enumerate() {
        match (at, path.strip_prefix('\n')) {
            (0, _) => text.push_str(path),
            (_, Some(path)) => text.push_str(&format!(" MATCH {path}")),
            (_, None) => text.push_str(&format!(", {path}")),
        }
    }
    for at in 0..tape.below(3) {
        let node = &nodes[tape.below(nodes.len())];
        let edge = &edges[tape.below(edges.len())];
        let condition = match tape.below(9) {
            0 => format!("{node}.x > 1"),
            1 => format!("2 <= {node}.x"),
            2 => format!("{node}.s = 'a'"),
            3 => format!("{node}.x IS NULL"),
            4 => format!("{node}.key <> 3"),
            5 => format!("{edge}.w IS NOT NULL"),
            6 => format!("{edge}.w < 3"),
            7 => format!("{node}:A"),
            _ => format!("({node}.x = 1 OR {node}.s <> 'b')"),
        };
        let keyword = if at == 0 { "WHERE" } else { "AND" };
        text.push_str(&format!(" {keyword} {condition}"));
    }
    let root = nodes[tape.below(nodes.len())].clone();
    let any = nodes[tape.below(nodes.len())].clone();
    let edge = edges[tape.below(edges.len())].clone();
    let mut items = Vec::new();
    let keys = [
        String::new(),
        format!("{root} AS k"),
        format!("{root}.key AS k"),
        format!("{root}.x AS k"),
        format!("{root}.s AS k, {root}.x IS NULL AS l"),
        format!("{root}.key + 1 AS k"),
    ];
    let key = &keys[tape.below(keys.len())];
    if !key.is_empty() {
        items.push(key.clone());
    }
    let aggregates = [
        "count(*)".to_owned(),
        format!("count({any})"),
        format!("count({edge})"),
        format!("count(DISTINCT {root})"),
        format!("count({root}.x)"),
        format!("sum({root}.x)"),
        format!("avg({root}.x)"),
        format!("sum({any}.x)"),
        format!("avg({any}.x)"),
        format!("sum({any}.key)"),
        format!("min({root}.key)"),
        format!("sum(DISTINCT {root}.x)"),
    ];
    for at in 0..1 + tape.below(2) {
        let aggregate = &aggregates[tape.below(aggregates.len())];
        items.push(format!("{aggregate} AS c{at}"));
    }
    text.push_str(&format!(" RETURN {}", items.join(", ")));
    if tape.one_in(2) {
        let mut keys = vec![format!("c0{}", tape.pick(&["", " DESC"]))];
        let others = items.iter().filter_map(|item| item.rsplit(' ').next());
        keys.extend(others.filter(|name| *name != "c0").map(str::to_owned));
        if items[0].contains("AS l") {
            keys.push("k".to_owned());
        }
        text.push_str(&format!(" ORDER BY {}", keys.join(", ")));
        if tape.one_in(2) {
            text.push_str(&format!(" LIMIT {}", tape.below(4)));
        }
    }
    text
}

/// A query that counts triangles.
fn triangle(tape: &mut Tape<'_>) -> String {
    let mut step = |from: &str, to: &str| {
        let (left, right) = [("-", "->"), ("<-", "-"), ("-", "-")][tape.below(3)];
        let types = tape.pick(&[":R", ":R", "", ":S", ":T"]);
        format!("({from}){left}[{types}]{right}({to})")
    };
    let steps = [step("a", "b"), step("b", "c"), step("c", "a")];
    let condition = tape.pick(&[
        "",
        "",
        " WHERE a.x > 1",
        " WHERE b.x IS NULL AND c.s = 'a'",
        " WHERE c.key = 2",
    ]);
    let label = tape.pick(&["", "(a:A), ", "(c:A), "]);
    format!(
        "MATCH {label}{}{condition} RETURN count(*) AS n, count(b) AS m",
        steps.join(", ")
    )
}

/// A query about what is within reach.
fn reach(tape: &mut Tape<'_>) -> String {
    let (left, right) = [("-", "->"), ("<-", "-"), ("-", "-")][tape.below(3)];
    let types = tape.pick(&[":R", ":R", ":T", ""]);
    let length = tape.pick(&["*", "*1..2", "*..3", "*0..2", "*0..", "*2..3", "*1..1"]);
    let start = tape.pick(&[
        "p {key: 1}",
        "p:A {key: 2}",
        "p:A {key: 0}",
        "p:B {key: 3}",
        "p:A",
    ]);
    let end = tape.pick(&["f", "f", "f:A", "f {x: 1}", "f:B"]);
    let more = tape.pick(&[
        "",
        "",
        " MATCH (f)-[:S]->(g)",
        " MATCH (p)<-[:R]-(g)",
        ", (f)-[:S]->(g)",
    ]);
    let items = tape.pick(&[
        "count(DISTINCT f) AS n",
        "count(DISTINCT f) AS n",
        "f AS k, min(f.x) AS n",
        "f.x AS k, max(f.key) AS n, count(DISTINCT f) AS m",
        "count(*) AS n",
        "sum(DISTINCT f.x) AS n",
        "count(DISTINCT p) AS n",
    ]);
    format!("MATCH ({start}){left}[{types}{length}]{right}({end}){more} RETURN {items}")
}

/// Whether a text is counted rather than enumerated.
fn is_counted(text: &str, snapshot: &Snapshot) -> bool {
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let explained =
        executor::explain(&plan, &Parameters::new(), snapshot, &Limits::default()).expect(text);
    let names = ["CountNodes", "CountTriangles"];
    explained
        .iter()
        .flatten()
        .any(|it| names.contains(&it.name))
}

#[test]
fn what_is_counted_is_what_the_naive_evaluator_enumerates() {
    let (cases, seed, config) = settings(512);
    let tape = |lengths| proptest::collection::vec(proptest::num::u16::ANY, lengths);
    let counted = std::cell::Cell::new(0);
    let with_rows = std::cell::Cell::new(0);
    let tapes = (tape(0..60), tape(60..160));
    let outcome = TestRunner::new(config).run(&tapes, |(query_tape, graph_tape)| {
        let tape = |numbers| Tape { numbers, place: 0 };
        let mut numbers = tape(&query_tape);
        let kind = numbers.below(10);
        let text = match kind {
            6 => triangle(&mut numbers),
            7 => reach(&mut numbers),
            _ => query(&mut numbers, kind > 7),
        };
        let (snapshot, naive) = random_graph(&mut tape(&graph_tape));
        match compare_text(&text, &snapshot, &naive)? {
            Outcome::Compared { rows } => {
                with_rows.update(|count| count + u32::from(rows > 0));
                counted.update(|count| count + u32::from(is_counted(&text, &snapshot)));
            }
            Outcome::Refused(reason) => println!("{reason}"),
            Outcome::Skipped => {}
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
    println!("{} counted, {} with rows", counted.get(), with_rows.get());
    assert!(counted.get() * 3 > cases, "{} of {cases}", counted.get());
    assert!(
        with_rows.get() * 3 > cases,
        "{} of {cases}",
        with_rows.get()
    );
}

/// 4,000 nodes, each of which leads to the next twenty and to the first.
fn large() -> Snapshot {
    let mut transaction = graph::empty(
        "node N { id: I64 @key, x: I64 }\nedge TO: N -> N {}\nedge NEXT: N -> N {}\nedge BACK: N -> N {}",
    );
    graph::run_all(
        &mut transaction,
        "UNWIND range(0, 3999) AS i CREATE (:N {id: i, x: i % 10})",
    );
    graph::run_all(
        &mut transaction,
        "MATCH (a:N) UNWIND range(0, 20) AS d
         WITH a, CASE d WHEN 0 THEN 0 ELSE (a.id + d) % 4000 END AS target
         MATCH (b:N {id: target}) CREATE (a)-[:TO]->(b)",
    );
    graph::run_all(
        &mut transaction,
        "MATCH (a:N) UNWIND [1, 2] AS d
         WITH a, d, (a.id + d) % 4000 AS target MATCH (b:N {id: target}) CREATE (a)-[:NEXT]->(b);
         MATCH (a:N) UNWIND [2, 3] AS d
         WITH a, d, (a.id + d) % 4000 AS target MATCH (b:N {id: target}) CREATE (b)-[:BACK]->(a)",
    );
    transaction
        .snapshot()
        .folded(&|_| None)
        .expect("valid columns")
}

fn answer(text: &str, snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let limits = Limits {
        deadline: Some(Instant::now() + Duration::from_secs(20)),
        ..Limits::default()
    };
    let mut rows = Vec::new();
    executor::read(&plan, &Parameters::new(), snapshot, &limits, &mut |row| {
        rows.push(row.to_vec());
        std::ops::ControlFlow::Continue(())
    })
    .expect(text);
    rows
}

/// How many walks of three different relationships there are in it: the last is one of 21, less those
/// that were taken already.
fn trails_of_three() -> i64 {
    let target = |from: i64, at: i64| if at == 0 { 0 } else { (from + at) % 4_000 };
    let mut count = 0;
    for a in 0..4_000 {
        for first in 0..=20 {
            let b = target(a, first);
            for second in 0..=20 {
                let c = target(b, second);
                if (a, first) != (b, second) {
                    count += 21 - i64::from(a == c) - i64::from(b == c);
                }
            }
        }
    }
    count
}

#[test]
fn walks_that_are_too_many_to_enumerate_are_counted() {
    let snapshot = large();
    let int = |number: i64| vec![Value::Int(number)];
    // Every node has 21 relationships out; the first has 4,000 more in, one of them its own.
    let all = 4_000 * 21 * 21;
    let loops = 1;
    let two = "MATCH (a:N)-[:TO]->(b:N)-[:TO]->(c:N) RETURN count(*) AS n";
    assert_eq!(answer(two, &snapshot), [int(all - loops)]);
    let three = "MATCH (a:N)-[:TO]->(b)-[:TO]->(c)-[:TO]->(d:N) RETURN count(*) AS n";
    assert_eq!(answer(three, &snapshot), [int(trails_of_three())]);
    let each = "MATCH (a:N)-[:TO]->(b)-[:TO]->(c)-[:TO]->(d:N) RETURN b, count(*) AS n";
    let each = answer(each, &snapshot).into_iter().map(|row| match row[1] {
        Value::Int(number) => number,
        _ => 0,
    });
    assert_eq!(each.sum::<i64>(), trails_of_three());
    let separate = "MATCH (a:N)-[:TO]->(b) MATCH (b)-[:TO]->(c) RETURN count(*) AS n";
    assert_eq!(answer(separate, &snapshot), [int(all)]);
    let five = "MATCH (a:N)-[:TO]->(b) MATCH (b)-[:TO]->(c) MATCH (c)-[:TO]->(d) \
                MATCH (d)-[:TO]->(e) MATCH (e)-[:TO]->(f) RETURN count(*) AS n";
    assert_eq!(answer(five, &snapshot), [int(4_000 * 21_i64.pow(5))]);
    let top =
        "MATCH (a:N)-[:TO]->(b:N) RETURN b.id AS id, count(a) AS n ORDER BY n DESC, id LIMIT 2";
    let first = [
        vec![Value::Int(0), Value::Int(4_020)],
        vec![Value::Int(1), Value::Int(20)],
    ];
    assert_eq!(answer(top, &snapshot), first);
    let triangles = "MATCH (a:N)-[:NEXT]->(b)-[:NEXT]->(c)-[:BACK]->(a) RETURN count(*) AS n";
    assert_eq!(answer(triangles, &snapshot), [int(4_000 * 3)]);
    let near = "MATCH (a:N {id: 7})-[:TO*1..3]->(b) RETURN count(DISTINCT b) AS n";
    // The sixty after it, and the first with the forty after that, eleven of them the same.
    assert_eq!(answer(near, &snapshot), [int(68)]);
    let anywhere = "MATCH (a:N {id: 7})<-[:TO*]-(b) RETURN count(DISTINCT b) AS n, min(b.id) AS id";
    assert_eq!(
        answer(anywhere, &snapshot),
        [vec![Value::Int(4_000), Value::Int(0)]]
    );
    // As many as there are is too many for a number.
    let many = "MATCH (a:N), (b:N), (c:N), (d:N), (e:N), (f:N) RETURN count(*) AS n";
    let plan = cypher::compile(many, snapshot.schema()).expect(many);
    let outcome = executor::read(
        &plan,
        &Parameters::new(),
        &snapshot,
        &Limits::default(),
        &mut |_| std::ops::ControlFlow::Continue(()),
    );
    let problem = outcome.expect_err("4,000 to the sixth").to_string();
    assert!(problem.contains("the count"), "{problem}");
}

#[test]
fn what_cannot_be_counted_is_enumerated() {
    let snapshot = large();
    for (text, counted) in [
        (
            "MATCH (a:N)-[:NEXT]->(b)-[:NEXT]->(c)<-[:NEXT]-(a) RETURN count(*) AS n",
            true,
        ),
        (
            "MATCH (a:N)-[:TO]->(b)-[:TO]->(c)<-[:TO]-(a) RETURN count(*) AS n",
            true,
        ),
        (
            "MATCH (a:N {id: 1})-[:TO*1..4]->(b) RETURN count(DISTINCT b) AS n",
            true,
        ),
        (
            "MATCH (a:N {id: 1})-[:TO*1..4]->(b) RETURN count(b) AS n",
            false,
        ),
        (
            "MATCH (a:N {id: 1})-[:TO*2..4]->(b) RETURN count(DISTINCT b) AS n",
            false,
        ),
        ("MATCH (a:N)-[:TO]->(b) RETURN count(*) AS n", true),
        (
            "MATCH (a:N)-[:TO]->(b)-[:TO]->(c) RETURN a.x AS x, count(*) AS n",
            true,
        ),
        (
            "MATCH (a:N)-[:TO]->(b)<-[:TO]-(c) RETURN count(*) AS n",
            true,
        ),
        ("MATCH (a:N)--(b)--(c) RETURN c, count(*) AS n", true),
        (
            "MATCH (a:N {id: 1})-[:TO]->(b)-[:TO]->(c) RETURN count(DISTINCT c) AS n",
            true,
        ),
        (
            "MATCH (a:N)-[:TO]->(b)-[:TO]->(a) RETURN count(*) AS n",
            true,
        ),
        (
            "MATCH (a:N)-[:TO]->(b) WHERE a.x < b.x RETURN count(*) AS n",
            false,
        ),
        (
            "MATCH (a:N)-[:TO]->(b) RETURN a.x AS x, b.x AS y, count(*) AS n",
            false,
        ),
        (
            "MATCH (a:N)-[:TO]->(b)-[:TO]->(c)-[:TO]->(d) RETURN count(*) AS n",
            true,
        ),
        (
            "MATCH (a:N)-[:TO]->(b)-[:TO]->(a)-[:TO]->(c)-[:TO]->(a) RETURN count(*) AS n",
            false,
        ),
        (
            "OPTIONAL MATCH (a:N)-[:TO]->(b) RETURN count(*) AS n",
            false,
        ),
        ("MATCH (a:N)-[:TO]->(b) RETURN collect(b.x) AS n", false),
    ] {
        assert_eq!(is_counted(text, &snapshot), counted, "{text}");
    }
}
