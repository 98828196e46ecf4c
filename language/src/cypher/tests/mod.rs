//! Queries and what becomes of them: a plan as [`crate::plan::Plan::describe`] shows it, or
//! findings.

macro_rules! check {
    ($query:expr, @$expected:literal) => {
        insta::assert_snapshot!(super::outcome($query), @$expected)
    };
}

mod audit;
mod expressions;
mod open;
mod patterns;
mod projections;
mod reference;
mod robust;
mod statements;
mod touches;
mod writes;

use super::compile;
use crate::schema::Schema;

/// Queries that compile, for the mutations to begin from.
const QUERIES: &[&str] = &[
    "MATCH (n:Person)-[k:Knows*1..3]->(m) RETURN n.name, count(*) AS c ORDER BY c DESC LIMIT 3",
    "MATCH (p:Person {email: $e})-[w:WorksAt]->(o) WHERE w.since > date('2020-01-01') RETURN p, o.slug",
    "MATCH p = shortestPath((a:Person)-[:Knows*]-(b:Person {age: 3})) RETURN length(p), nodes(p)[0].name",
    "MATCH (p:Person) OPTIONAL MATCH (p)<-[:About]-(n) WITH p, collect(n) AS ns WHERE size(ns) > 1 RETURN *",
    "MATCH (n:Named) RETURN DISTINCT CASE WHEN n:Org THEN n.size ELSE 0 END AS x ORDER BY x + 1 SKIP 1",
    "UNWIND $rows AS row CREATE (p:Person {email: row.email, name: 'x'}) SET p.age = toInteger(row.age)",
    "MERGE (p:Place {country: 'de', city: $c}) ON CREATE SET p.area = 1.5 ON MATCH SET p += {area: 2}",
    "MATCH (a:Person), (b:Person) MERGE (a)-[k:Knows]->(b) SET k = {weight: 1} RETURN id(a), type(k)",
    "MATCH (p:Person)-->(o:Org) WITH [p, o] AS xs UNWIND xs AS x DETACH DELETE x",
    "CREATE p = (:Note {text: 'a'})-[:About]->(:Person {email: 'b', name: 'c'}) RETURN p",
    "MATCH (p:Person) CALL (p) { MATCH (p)-[:Knows]->(q) RETURN count(q) AS c UNION RETURN 1 AS c } RETURN p.name, c",
    "MATCH (p:Person) FOREACH (x IN CASE WHEN p.age > 3 THEN [1] ELSE [] END | SET p.age = x CREATE (:Note {text: p.name}))",
    "MATCH (p:Person) LET a = p.age + 1 FILTER a > 2 CALL { WITH p CREATE (n:Note) RETURN n } RETURN n.text FINISH",
    "MATCH (p:Person) WHERE p.stage IN ['new', 'done'] AND NOT p.tags[0] STARTS WITH 'a' RETURN p.name",
];

fn schema() -> Schema {
    Schema::parse(SCHEMA).expect("the schema of the tests is valid")
}

const SCHEMA: &str = r#"
interface Named { name: String }
interface Unused { x: String }
node Person implements Named {
  email: String @key
  name: String
  age: I32?
  born: Date?
  seen: DateTime?
  height: F64?
  tags: [String]?
  active: Bool @default(true)
  stage: enum(new, running, done)?
}
node Org implements Named { slug: String @key, name: String, founded: I64?, size: I64? }
node Place { country: String, city: String, area: F64?, @key(country, city) }
node Note { text: String? }
edge Knows: Person -> Person { since: Date?, weight: F64? }
edge WorksAt: Person -> Org { role: String?, since: Date? }
edge LocatedIn: Org -> Place
edge About: Note -> Person
"#;

fn outcome(query: &str) -> String {
    let schema = schema();
    match compile(query, &schema) {
        Ok(plan) => {
            audit::audit(&plan, &schema, query);
            plan.describe(&schema)
        }
        Err(findings) => findings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n"),
    }
}
