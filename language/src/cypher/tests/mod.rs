//! Queries and what becomes of them.

use super::compile;
use crate::schema::Schema;

pub(super) const SCHEMA: &str = r#"
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
    let schema = Schema::parse(SCHEMA).expect("the schema of the tests is valid");
    match compile(query, &schema) {
        Ok(plan) => plan.describe(&schema),
        Err(findings) => findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn scratch() {
    let Ok(path) = std::env::var("SCRATCH") else { return };
    let queries = std::fs::read_to_string(path).unwrap();
    for query in queries.split("\n---\n") {
        println!("Q {query}\n{}\n", outcome(query.trim_end()));
    }
}
