//! `POST /graphs/{graph_id}/mutate`.

use serde_json::{Value, json};

use crate::harness::{Answer, Harness, PEOPLE, Who};

fn server() -> Harness {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    server
}

fn mutate(server: &Harness, who: Who, body: &Value) -> Answer {
    server.post(who, "/graphs/people/mutate", body)
}

#[test]
fn a_write_is_there_for_the_next_read_and_says_what_it_did() {
    let server = server();
    let body = json!({
        "query": "CREATE (p:Person {email: $email, name: 'Ada'}) RETURN p.email AS email",
        "params": {"email": "a"},
        "message": "the first",
    });
    let answer = mutate(&server, Who::Writer, &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["stats"]["nodes_created"], 1);
    assert_eq!(answer.body["rows"], json!([{"email": "a"}]));
    assert_eq!(answer.body["commit"]["principal"], "writer");
    assert_eq!(
        server.rows("people", "MATCH (p:Person) RETURN p.name"),
        [[json!("Ada")]]
    );
}

#[test]
fn statements_are_one_commit_each_seeing_those_before_it() {
    let server = server();
    let body = json!({"statements": [
        {"query": "CREATE (:Person {email: 'a', name: 'Ada'})"},
        {"query": "MATCH (p:Person {email: 'a'}) SET p.age = 36"},
        {"query": "MATCH (p:Person) RETURN p.age AS age"},
    ]});
    let answer = mutate(&server, Who::Writer, &body);
    assert_eq!(answer.body["rows"], json!([{"age": 36}]), "{answer:?}");

    let failing = json!({"statements": [
        {"query": "CREATE (:Person {email: 'b', name: 'Bob'})"},
        {"query": "CREATE (:Person {email: 'a', name: 'Again'})"},
    ]});
    mutate(&server, Who::Writer, &failing).assert_problem(409, "duplicate_key");
    assert_eq!(
        server.rows("people", "MATCH (p:Person) RETURN p.name"),
        [[json!("Ada")]]
    );
}

#[test]
fn constraints_hold_and_have_their_codes() {
    let server = server();
    let body = json!({"query": "CREATE (:Person {email: 'a', name: 'Ada'})-[:Knows]->(:Person {email: 'b', name: 'Bob'})"});
    assert_eq!(mutate(&server, Who::Writer, &body).status, 200);
    let cases = [
        (
            "CREATE (:Person {email: 'a', name: 'Twice'})",
            "duplicate_key",
        ),
        (
            "CREATE (:Person {email: 'c', name: $nothing})",
            "missing_property",
        ),
        (
            "MATCH (p:Person {email: 'a'}) SET p.name = $nothing",
            "missing_property",
        ),
        (
            "MATCH (p:Person {email: 'a'}) DELETE p",
            "node_has_relationships",
        ),
    ];
    for (text, code) in cases {
        let body = json!({"query": text, "params": {"nothing": null}});
        let answer = mutate(&server, Who::Writer, &body);
        answer.assert_problem(409, code);
        // What a node lacks is known when the statement is over.
        if code != "missing_property" {
            let error = &answer.body["errors"][0];
            assert_eq!(error["line"], 1, "{text}: {answer:?}");
            assert!(error["column"].as_u64() > Some(7), "{text}: {answer:?}");
        }
    }
    // What can be told without the data is told before anything runs.
    let body = json!({"query": "CREATE (:Person {email: 'c'})"});
    let answer = mutate(&server, Who::Writer, &body);
    answer.assert_problem(400, "invalid_query");
    assert_eq!(
        answer.body["errors"][0]["code"], "missing_property",
        "{answer:?}"
    );
    assert_eq!(
        server.rows("people", "MATCH (p:Person) RETURN count(*)"),
        [[json!(2)]]
    );
}

#[test]
fn a_condition_on_the_head_is_checked() {
    let server = server();
    let create = |email: &str| format!("CREATE (:Person {{email: '{email}', name: 'x'}})");
    let first = mutate(&server, Who::Writer, &json!({"query": create("a")}));
    let head = first.body["commit"]["id"].clone();
    let second = json!({"query": create("b"), "if_commit": head});
    assert_eq!(mutate(&server, Who::Writer, &second).status, 200);
    let third = json!({"query": create("c"), "if_commit": head});
    mutate(&server, Who::Writer, &third).assert_problem(412, "commit_mismatch");
}

#[test]
fn a_reader_may_not_write() {
    let server = server();
    let body = json!({"query": "CREATE (:Person {email: 'a', name: 'Ada'})"});
    let answer = mutate(&server, Who::Reader, &body);
    answer.assert_problem(403, "forbidden");
    assert!(answer.body["decision_id"].is_string(), "{answer:?}");
    mutate(&server, Who::OtherTenant, &body).assert_problem(404, "graph_not_found");
    assert_eq!(
        server.rows("people", "MATCH (p:Person) RETURN count(*)"),
        [[json!(0)]]
    );
}
