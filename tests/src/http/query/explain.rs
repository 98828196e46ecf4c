//! `POST /graphs/{graph_id}/query/explain`, and the words for it.

use serde_json::{Value, json};

use crate::harness::{Answer, Harness, PEOPLE, Who};

fn server() -> Harness {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let lines = "\
        {\"type\":\"Person\",\"data\":{\"email\":\"a\",\"name\":\"Ada\"}}\n\
        {\"type\":\"Person\",\"data\":{\"email\":\"b\",\"name\":\"Bob\"}}\n\
        {\"edge\":\"Knows\",\"from\":\"a\",\"to\":\"b\"}\n";
    let loaded = server.load(Who::Writer, "people", "append", lines);
    assert_eq!(loaded.status, 200, "{loaded:?}");
    server
}

fn explain(server: &Harness, who: Who, body: &Value) -> Answer {
    server.post(who, "/graphs/people/query/explain", body)
}

const FRIENDS: &str =
    "MATCH (p:Person {email: $e})-[:Knows]->(f:Person) WHERE f.name <> 'x' RETURN f.name AS name";

#[test]
fn a_plan_is_a_tree_with_estimates_and_once_run_with_rows_and_times() {
    let server = server();
    let mut body = json!({"query": FRIENDS, "params": {"e": "a"}});
    let plain = explain(&server, Who::Reader, &body);
    assert_eq!(plain.status, 200, "{plain:?}");
    assert_eq!(
        plain.body["columns"],
        json!([{"name": "name", "type": "string"}])
    );
    assert_eq!(plain.body["reads"], json!(["Person", "Knows"]));
    assert_eq!(plain.body["writes"], json!([]));
    assert_eq!(plain.body["stats"], Value::Null);
    let names = |answer: &Answer, key: &str| -> Vec<Value> {
        let plan = answer.body["plan"].as_array().expect("operators");
        plan.iter().map(|operator| operator[key].clone()).collect()
    };
    assert_eq!(
        names(&plain, "operator"),
        ["Project", "Expand", "KeyLookup"]
    );
    assert_eq!(names(&plain, "inputs"), [json!([1]), json!([2]), json!([])]);
    assert_eq!(
        plain.body["plan"][1]["conditions"],
        json!(["f.name <> 'x'"])
    );
    assert!(names(&plain, "rows").iter().all(Value::is_null));
    body["analyze"] = true.into();
    let run = explain(&server, Who::Reader, &body);
    assert_eq!(names(&run, "rows"), [json!(1), json!(1), json!(1)]);
    assert!(
        names(&run, "time_ms").iter().all(Value::is_number),
        "{run:?}"
    );
    assert_eq!(run.body["stats"]["rows"], 1);
}

#[test]
fn the_words_before_a_query_give_its_operators_as_rows() {
    let server = server();
    let ask = |query: &str| {
        let body = json!({"query": query, "params": {"e": "a"}});
        server.post(Who::Reader, "/graphs/people/query", &body)
    };
    let explained = ask(&format!("EXPLAIN {FRIENDS}"));
    assert_eq!(explained.status, 200, "{explained:?}");
    let first = &explained.body["rows"][0];
    assert_eq!(first["operator"], "Project");
    assert_eq!(explained.body["rows"][1]["operator"], "└ Expand");
    assert_eq!(explained.body["rows"][2]["operator"], "  └ KeyLookup");
    assert_eq!(explained.body["rows"][2]["details"], "(p:Person)");
    assert_eq!(first["rows"], Value::Null);
    assert_eq!(explained.body["columns"].as_array().map(Vec::len), Some(4));
    let profiled = ask(&format!("// how?\n profile {FRIENDS}"));
    assert_eq!(profiled.body["rows"][0]["rows"], 1, "{profiled:?}");
    assert_eq!(profiled.body["columns"].as_array().map(Vec::len), Some(6));
    let both = ask("EXPLAIN RETURN 1 AS x UNION MATCH (p:Person) RETURN p.email AS x");
    let operators = both.body["rows"].as_array().expect("rows").iter();
    let operators: Vec<_> = operators.map(|row| row["operator"].clone()).collect();
    assert_eq!(
        operators,
        ["Union", "└ Project", "└ Project", "  └ NodeScan"]
    );
    // Positions are those of the text as it was sent.
    let wrong = ask("EXPLAIN MATCH (p:Persn) RETURN p");
    wrong.assert_problem(400, "invalid_query");
    assert_eq!(wrong.body["errors"][0]["column"], 18);
    let mutate = json!({"query": "EXPLAIN CREATE (:Person {email: 'c', name: 'x'})"});
    let refused = server.post(Who::Writer, "/graphs/people/mutate", &mutate);
    refused.assert_problem(400, "invalid_query");
}

/// The same permissions as for carrying it out, and nothing is carried out.
#[test]
fn a_statement_that_writes_is_explained_to_those_who_may_run_it() {
    let server = server();
    let create = "CREATE (p:Person {email: 'c', name: 'Cy'})";
    let plain = json!({"query": create});
    explain(&server, Who::Reader, &plain).assert_problem(403, "forbidden");
    let word = json!({"query": format!("EXPLAIN {create}")});
    let asked = server.post(Who::Reader, "/graphs/people/query", &word);
    asked.assert_problem(403, "forbidden");
    let answer = explain(&server, Who::Writer, &plain);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["plan"][0]["operator"], "Create");
    assert_eq!(answer.body["plan"][0]["details"], "(p:Person)");
    assert_eq!(answer.body["writes"], json!(["Person"]));
    let asked = server.post(Who::Writer, "/graphs/people/query", &word);
    assert_eq!(asked.body["rows"][0]["operator"], "Create", "{asked:?}");
    for query in [create.to_owned(), format!("PROFILE {create}")] {
        let analyze = json!({"query": query, "analyze": true});
        explain(&server, Who::Writer, &analyze).assert_problem(400, "write_in_read_query");
    }
    let people = server.rows("people", "MATCH (p:Person) RETURN count(*)");
    assert_eq!(people, [[json!(2)]]);
}
