//! A graph that is larger than the memory that graphs may take.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::harness::{Answer, Harness, Setup, Who};
use crate::program::wait_until;

const SCHEMA: &str = "\
node Doc { key: I64 @key, a: String, b: String, c: String, d: String }
node Small { key: I64 @key, name: String }
";
/// So many that they are folded at once.
const DOCS: u64 = 50_500;
/// Each text has at least 100 bytes, so that a column has 5 MB and two do not fit.
const MEMORY: u64 = 10_000_000;

fn text(column: char, key: u64) -> String {
    format!("{column}-{key}-{}", "x".repeat(100))
}

fn storage(server: &Harness) -> Value {
    let answer = server.get(Who::Reader, "/graphs/docs");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["storage"].clone()
}

fn ask(server: &Harness, verb: &str, query: &str) -> Answer {
    let path = format!("/graphs/docs/{verb}");
    server.post(Who::Writer, &path, &json!({"query": query}))
}

#[test]
fn it_answers_column_by_column_and_says_what_does_not_fit() {
    let setup = Setup::default();
    let limits = format!("server:\n  open_graphs: {{ memory_bytes: {MEMORY} }}\n");
    let server = Setup {
        config: setup.config.replace("server:\n", &limits),
        ..setup
    }
    .start();
    server.create_graph("docs", SCHEMA);
    let mut lines = String::from(r#"{"type":"Small","data":{"key":1,"name":"one"}}"#) + "\n";
    for key in 0..DOCS {
        let [a, b, c, d] = ['a', 'b', 'c', 'd'].map(|column| text(column, key));
        let data = json!({"key": key, "a": a, "b": b, "c": c, "d": d});
        writeln!(lines, r#"{{"type":"Doc","data":{data}}}"#).expect("memory");
    }
    let loaded = server.load(Who::Writer, "docs", "append", &lines);
    assert_eq!(loaded.status, 200, "{loaded:?}");
    wait_until("it is folded, and columns have left memory", || {
        let memory = &storage(&server)["memory"];
        memory["bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes <= MEMORY)
    });
    assert!(storage(&server)["memory"]["cold_columns"].as_u64() > Some(1));
    for _ in 0..2 {
        for column in ['a', 'b', 'c', 'd'] {
            let query = format!(
                "MATCH (d:Doc) WHERE d.{column} STARTS WITH '{column}-77' RETURN count(*) AS n"
            );
            // 77, 770 to 779, 7700 to 7799.
            assert_eq!(server.rows("docs", &query), [[json!(111)]]);
            let query = format!("MATCH (d:Doc {{key: 4711}}) RETURN d.{column} AS text");
            assert_eq!(server.rows("docs", &query), [[json!(text(column, 4711))]]);
            let memory = &storage(&server)["memory"];
            assert!(memory["bytes"].as_u64() <= Some(MEMORY), "{memory}");
        }
    }
    for query in [
        "MATCH (d:Doc {key: 4711}) RETURN d",
        "MATCH (d:Doc) WHERE d.a = d.b RETURN count(*) AS n",
    ] {
        ask(&server, "query", query).assert_problem(400, "memory_limit");
    }
    ask(&server, "mutate", "MATCH (d:Doc {key: 1}) DETACH DELETE d")
        .assert_problem(400, "memory_limit");
    for query in [
        "MATCH (d:Doc {key: 1}) SET d.a = 'x'",
        "CREATE (:Doc {key: 100000, a: 'a', b: 'b', c: 'c', d: 'd'})",
        "MATCH (s:Small) SET s.name = 'two'",
    ] {
        let answer = ask(&server, "mutate", query);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let query = "MATCH (s:Small), (d:Doc {key: 100000}) RETURN s.name AS name, d.c AS c";
    assert_eq!(server.rows("docs", query), [[json!("two"), json!("c")]]);
}
