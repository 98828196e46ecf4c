//! The physical operators that statements become.

use language::cypher;

use super::graph;
use crate::executor::{self, Limits, Operator, Parameters};

const SCHEMA: &str = "node P { key: I64 @key, x: I64? }\nedge F: P -> P\n";

/// A ring of ten with chords.
const RING: &str = "
UNWIND range(0, 9) AS i CREATE (:P {key: i, x: i % 3});
MATCH (a:P), (b:P) WHERE (a.key + 1) % 10 = b.key OR (a.key + 3) % 10 = b.key CREATE (a)-[:F]->(b)";

fn operators(text: &str) -> Vec<Operator> {
    let mut transaction = graph::empty(SCHEMA);
    graph::run_all(&mut transaction, RING);
    let snapshot = transaction.snapshot();
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let explained = executor::explain(&plan, &Parameters::new(), snapshot, &Limits::default());
    explained.expect(text).remove(0)
}

fn shown(text: &str) -> Vec<String> {
    let operators = operators(text).into_iter();
    operators
        .map(|operator| {
            format!(
                "{} {} ~{:.0}",
                operator.name, operator.details, operator.estimated_rows
            )
        })
        .collect()
}

#[test]
fn a_statement_is_shown_as_its_operators() {
    let text =
        "MATCH (a:P {key: 1})-[:F]->(b:P) WHERE b.x = 2 RETURN b.key AS key ORDER BY key LIMIT 3";
    assert_eq!(
        shown(text),
        [
            "KeyLookup (a:P) ~1",
            "Expand (a)-[#2:F]->(b) ~1",
            "Top key ~1",
        ]
    );
    let expand = &operators(text)[1];
    let tested: Vec<&str> = expand
        .conditions
        .iter()
        .map(|span| &text[span.start..span.end])
        .collect();
    assert_eq!(tested, ["b.x = 2"]);
}

#[test]
fn writing_clauses_are_shown_and_not_carried_out() {
    let text = "MATCH (a:P {key: 1}) CREATE (a)-[f:F]->(b:P {key: 11}) SET b.x = 1, b.x = 2 \
        WITH b MATCH (b)<-[g:F]-(c) DETACH DELETE c";
    assert_eq!(
        shown(text),
        [
            "KeyLookup (a:P) ~1",
            "Create (b:P), (a)-[f:F]->(b) ~1",
            "Set b ~1",
            "Project b ~1",
            "Expand (b)<-[g:F]-(c) ~2",
            "DetachDelete c ~2",
        ]
    );
    assert_eq!(
        shown("MATCH (a:P) MERGE (a)-[f:F]->(a)")[1],
        "Merge (a)-[f:F]->(a) ~10"
    );
}

#[test]
fn grouping_is_shown_by_what_stands_in_the_text() {
    let text = "MATCH (a:P)-[:F]->(b) RETURN b.x AS x, collect(a.key) + 1 AS n";
    let found = shown(text);
    assert_eq!(
        found[2..],
        ["Aggregate collect(a.key) by x ~4", "Project x, n ~4"]
    );
}

#[test]
fn counts_are_shown_with_what_is_taken_away() {
    let text = "MATCH (a:P)-[:F]->(b:P)-[:F]->(c:P)-[:F]->(d:P) RETURN a.key AS key, count(*) AS n";
    let found = operators(text);
    let names: Vec<&str> = found.iter().map(|operator| operator.name).collect();
    assert_eq!(
        names,
        [
            "CountRelationships",
            "CountExpand",
            "CountExpand",
            "CountNodes",
            "SubtractRepeats",
            "GroupByNode",
            "Project",
        ]
    );
    assert_eq!(found[4].details, "1 with a relationship taken twice");
}

/// Rows and times are those of the run; a statement that is not profiled is not timed.
#[test]
fn a_profile_has_the_rows_and_times_of_the_run() {
    let mut transaction = graph::empty(SCHEMA);
    graph::run_all(&mut transaction, RING);
    let snapshot = transaction.snapshot();
    let text = "MATCH (a:P)-[:F]->(b:P) WHERE b.x = 2 RETURN a.key ORDER BY a.key LIMIT 3 UNION \
        MATCH (a:P {key: 1}) RETURN a.key";
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let limits = Limits::default();
    let (profiled, count) =
        executor::profile(&plan, &Parameters::new(), snapshot, &limits).expect(text);
    let rows: Vec<Vec<u64>> = profiled
        .iter()
        .map(|branch| branch.iter().filter_map(|operator| operator.rows).collect())
        .collect();
    assert_eq!((rows, count), (vec![vec![3, 6, 3], vec![1, 1]], 3));
    let timed = |operators: &[Vec<Operator>]| {
        operators
            .iter()
            .flatten()
            .filter(|operator| operator.time.is_some())
            .count()
    };
    assert_eq!(timed(&profiled), 5);
    let explained = executor::explain(&plan, &Parameters::new(), snapshot, &limits).expect(text);
    assert_eq!(timed(&explained), 0);
    let few = Limits {
        max_rows: Some(2),
        ..limits
    };
    assert!(executor::profile(&plan, &Parameters::new(), snapshot, &few).is_err());
}
