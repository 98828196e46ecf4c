//! Open graphs: nothing is refused for what the data may hold, and everything else still is.

use super::super::compile;
use crate::schema::Schema;

fn outcome(query: &str) -> String {
    let schema = Schema::parse_open("").expect("the empty schema");
    match compile(query, &schema) {
        Ok(plan) => plan.describe(&schema),
        Err(findings) => {
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            findings.join("\n")
        }
    }
}

macro_rules! check {
    ($query:expr, @$expected:literal) => {
        insta::assert_snapshot!(outcome($query), @$expected)
    };
}

#[test]
fn labels_types_and_properties_are_conditions() {
    check!("MATCH (a:A:B {x: 1})-[:T|U]->(b) RETURN b.y", @r#"
    match (#0:_Node {x = 1})-[#2:T|U]->(#1:_Node) where (#0:A AND #0:B)
    project #3 = #1?.y
    columns #3 b.y Any
    _Node read(_labels _properties)
    _Edge read()
    "#);
    check!("MATCH (a) WHERE a.x = 'b' AND a.x > 1 RETURN a:A|B AS t", @r#"
    match (#0:_Node) where ((#0?.x = 'b') AND (#0?.x > 1))
    project #1 = (#0:A OR #0:B)
    columns #1 t Boolean
    _Node read(_labels _properties)
    "#);
}

#[test]
fn what_is_made_goes_into_the_two_tables() {
    check!("CREATE (a:A {x: 1})-[:T]->(b)", @r#"
    create (#0:_Node {_labels: List([String("A")]), _properties: {x: 1}}), (#1:_Node {_labels: List([])}), (#0)-[#2:_Edge {_type: 'T'}]->(#1)
    _Node write(_labels _properties)
    _Edge write(_type _properties)
    "#);
}

#[test]
fn mistakes_that_no_data_can_mend_are_refused() {
    check!("MATCH (a) RETURN b", @"1:18: unknown_variable: there is no variable `b` here");
    check!("RETURN 1 AND true", @"1:8: type_mismatch: an operand of AND must be a boolean, not an integer");
    check!("CREATE (a)-[:T|U]->(b)", @"1:11: invalid_value: a new relationship has exactly one type: write -[:Type]->");
    check!("MATCH (a) DELETE a:A", @"1:20: type_mismatch: a label cannot be deleted");
    check!("MERGE (a $p)", @"1:7: invalid_value: the properties of a pattern to find are written out: a parameter cannot stand for all of them");
}
