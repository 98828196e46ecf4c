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
            "KeyLookup (#0:P) ~1",
            "Expand (#0)-[#2:F]->(#1) ~1",
            "Top #3 ~1",
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
