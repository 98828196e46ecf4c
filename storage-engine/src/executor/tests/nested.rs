//! `CALL { ... }`, `FOREACH` and assignments of maps in an open graph; closed graphs have
//! `cases/nested.txt`.

use std::time::{Duration, Instant};

use language::value::Value;

use super::{graph, render};
use crate::executor::{ExecuteError, Limits, Parameters};
use crate::transaction::Transaction;

/// Runs statements in a graph, and shows what the last one gave.
fn last(transaction: &mut Transaction, statements: &[&str]) -> String {
    let mut shown = String::new();
    for statement in statements {
        let outcome = graph::run(
            transaction,
            statement,
            &Parameters::new(),
            &Limits::default(),
        );
        shown = render::outcome(transaction.snapshot(), &outcome);
    }
    shown
}

#[track_caller]
fn check(statements: &[&str], expected: &str) {
    assert_eq!(last(&mut graph::open(), statements).trim_end(), expected);
}

#[test]
fn subqueries_in_an_open_graph() {
    let make = "UNWIND range(1, 4) AS i CREATE (a:A {i: i}) FOREACH (j IN range(1, i) | CREATE (a)-[:T]->(:B {j: j}))";
    check(
        &[
            make,
            "MATCH (a:A) CALL (a) { MATCH (a)-[:T]->(b) RETURN sum(b.j) AS s } RETURN a.i, s ORDER BY a.i",
        ],
        "[a.i | s]\n1 | 1\n2 | 3\n3 | 6\n4 | 10",
    );
    check(
        &[
            make,
            "MATCH (a:A) CALL { WITH a MATCH (b:B) WHERE b.j = a.i DETACH DELETE b RETURN count(*) AS gone } RETURN sum(gone)",
        ],
        "[sum(gone)]\n10",
    );
    check(
        &[
            "UNWIND [1, 1, 2] AS x CALL (x) { MERGE (a:A {x: x}) ON MATCH SET a.again = true RETURN a } RETURN count(DISTINCT a), count(a.again)",
        ],
        "[count(DISTINCT a) | count(a.again)]\n2 | 2",
    );
    check(
        &[
            "CREATE (:A {n: 0})",
            "MATCH (a:A) FOREACH (x IN range(1, 5000) | SET a.n = a.n + x)",
            "MATCH (a:A) RETURN a.n",
        ],
        "[a.n]\n12502500",
    );
}

#[test]
fn a_row_sees_what_was_written_for_those_before_it() {
    check(
        &[
            "UNWIND range(1, 3) AS x CALL (x) { MATCH (n) WITH count(n) AS before CREATE (:N) RETURN before } RETURN collect(before)",
        ],
        "[collect(before)]\n[0, 1, 2]",
    );
    // Of the row around nothing is written before all rows are there.
    check(
        &[
            "CREATE (:N), (:N)",
            "MATCH (n:N) CALL (n) { CREATE (:N) } RETURN count(*)",
        ],
        "[count(*)]\n2",
    );
}

#[test]
fn null_is_no_map_of_properties() {
    let refused = "takes a map, node or relationship, not null";
    for set in [
        "MATCH (w:W) SET w += null",
        "MATCH (w:W) SET w = null",
        "MATCH (w:W) UNWIND [{a: 1}] AS row SET w += row.props",
        "MATCH (w:W) OPTIONAL MATCH (w)-->(z) SET w += z",
        "MATCH (w:W) OPTIONAL MATCH (w)-->(z) SET w = z",
        "MATCH (w:W) FOREACH (x IN [null] | SET w += x)",
        "MERGE (w:W) ON MATCH SET w += null",
    ] {
        let mut transaction = graph::open();
        let shown = last(&mut transaction, &["CREATE (:W {a: 1, b: 2})", set]);
        assert!(shown.contains(refused), "{set}: {shown}");
    }
    // A target that is null is left alone, whatever is assigned to it.
    check(
        &[
            "CREATE (:W {a: 1})",
            "MATCH (w:W) OPTIONAL MATCH (w)-->(z) SET z += null, w += {b: 2} RETURN properties(w)",
        ],
        "[properties(w)]\n{a: 1, b: 2}",
    );
}

#[test]
fn a_name_that_is_computed_is_assigned_to() {
    check(
        &[
            "CREATE (w:W {a: 1})",
            "MATCH (w:W) WITH w, 'b' AS k SET w[k] = 2, w['c'] = 3, w['a'] = null RETURN properties(w)",
        ],
        "[properties(w)]\n{b: 2, c: 3}",
    );
}

#[test]
fn a_range_is_counted_through_and_never_made() {
    let limits = Limits {
        max_bytes: 1 << 20,
        ..Limits::default()
    };
    let mut transaction = graph::open();
    let mut run = |text: &str, limits: &Limits| {
        graph::run(&mut transaction, text, &Parameters::new(), limits)
    };
    let answer = run(
        "UNWIND range(1, 3000000) AS x RETURN count(x) AS c",
        &limits,
    )
    .expect("it fits");
    assert_eq!(answer.rows, [[Value::Int(3_000_000)]]);
    let answer = run(
        "UNWIND range(9223372036854775800, 9223372036854775807, 3) AS x RETURN collect(x) AS c",
        &limits,
    );
    let wanted = [
        9_223_372_036_854_775_800,
        9_223_372_036_854_775_803,
        9_223_372_036_854_775_806,
    ];
    assert_eq!(
        answer.expect("three").rows,
        [[Value::list(wanted.map(Value::Int))]]
    );
    let begun = Instant::now();
    let deadline = Limits {
        deadline: Some(begun + Duration::from_millis(50)),
        ..Limits::default()
    };
    for text in [
        "UNWIND range(1, 100000000000) AS x RETURN count(x) AS c",
        "RETURN size(range(1, 10000000)) + size(range(2, 10000000)) AS s",
    ] {
        let stopped = run(text, &deadline).expect_err("it takes longer");
        assert!(
            matches!(
                stopped,
                graph::Failure::Execute {
                    error: ExecuteError::Deadline,
                    ..
                }
            ),
            "{stopped}"
        );
    }
}

#[test]
fn errors_have_a_place_and_no_inner_names() {
    for (statements, expected) in [
        (
            vec!["CREATE (n:N) SET n.b = {c: 1}"],
            "error at 23..29: a property of a node",
        ),
        (
            vec!["CREATE (:N {b: {c: 1}})"],
            "error at 7..23: a property of a node",
        ),
        (
            vec!["CREATE (:N)-[:T {b: {c: 1}}]->()"],
            "a property of a relationship",
        ),
        (
            vec!["CREATE (:N)-[:T]->()", "MATCH (n:N) DELETE n"],
            "error at 19..20: the node with ",
        ),
        (
            vec![
                "CREATE (:N)",
                "MATCH (n:N) OPTIONAL MATCH (n)-->(m) CREATE (n)-[:T]->(m)",
            ],
            "error at 47..54: a `T` relationship cannot be made: its target is null",
        ),
        (
            vec!["UNWIND [null] AS x MERGE (:N {a: x})"],
            "error at 33..34: MERGE on `N` needs",
        ),
        (
            vec!["RETURN date('2020-01-01') + duration({days: 9223372036854775807}) AS d"],
            "the sum is out of the range of times and durations",
        ),
        (
            vec!["RETURN duration({days: 1}) / 0 AS d"],
            "the quotient has zero as its divisor",
        ),
        (
            vec!["RETURN date('2020-01-01') + 1 AS d"],
            "takes a time and a duration",
        ),
    ] {
        let shown = last(&mut graph::open(), &statements);
        assert!(shown.contains(expected), "{statements:?}: {shown}");
    }
}

#[test]
fn eight_digits_stand_behind_a_large_u() {
    check(
        &[r#"RETURN '\U0001F600\n\'' AS a, "\u0041\\U" AS b, 'U' AS c"#],
        "[a | b | c]\n'😀\n'' | 'A\\U' | 'U'",
    );
}
