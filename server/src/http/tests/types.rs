//! Decisions about types, in every operation that touches some.

use axum::http::StatusCode;
use serde_json::json;

use super::{Site, check_problem};

const PEOPLE: &str = "{\"type\":\"Person\",\"data\":{\"email\":\"a\"}}\n{\"type\":\"Person\",\"data\":{\"email\":\"b\"}}\n";
const EDGE: &str = "{\"edge\":\"Knows\",\"from\":\"a\",\"to\":\"b\"}\n";

async fn with_people() -> Site {
    let site = Site::new();
    assert_eq!(
        site.create("alpha", "open").await.status,
        StatusCode::CREATED
    );
    let loaded = site.load("root", "alpha", "append", PEOPLE).await;
    assert_eq!(loaded.status, StatusCode::OK, "{}", loaded.body);
    site
}

/// Counts are data: an operator who may see a graph and read none of its types gets none.
#[tokio::test]
async fn counts_are_told_of_types_that_may_be_read() {
    let site = with_people().await;
    let of = async |who: &str| {
        let shown = site.send(who, "GET /graphs/alpha", None).await;
        assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
        (shown.body["nodes"].clone(), shown.body["edges"].clone())
    };
    assert_eq!(
        of("reader").await,
        (json!({"Person": 2}), json!({"Knows": 0}))
    );
    assert_eq!(of("operator").await, (json!({}), json!({})));
}

/// An edge changes nothing in the nodes that it joins: they are read.
#[tokio::test]
async fn edges_are_loaded_by_whoever_may_write_edges() {
    let site = with_people().await;
    for (mode, lines) in [
        ("append", PEOPLE),
        ("merge", PEOPLE),
        ("overwrite", EDGE),
        ("overwrite", ""),
    ] {
        let denied = site.load("linker", "alpha", mode, lines).await;
        check_problem(&denied, 403, "forbidden");
        let detail = denied.body["detail"].as_str().expect("text");
        assert!(
            detail.contains("type_write") && detail.contains("Person"),
            "{detail}"
        );
    }
    for mode in ["append", "merge"] {
        let loaded = site.load("linker", "alpha", mode, EDGE).await;
        assert_eq!(loaded.status, StatusCode::OK, "{mode}: {}", loaded.body);
    }
    // The same by a statement.
    let body = json!({"query": "MATCH (a:Person {email: 'a'}), (b:Person {email: 'b'}) CREATE (b)-[:Knows]->(a)"});
    let written = site
        .send("linker", "POST /graphs/alpha/mutate", Some(body))
        .await;
    assert_eq!(written.status, StatusCode::OK, "{}", written.body);
}

/// Every form of statement that writes a type asks for it, and nothing is done of a request of which
/// one statement is denied.
#[tokio::test]
async fn each_statement_is_decided_before_any_runs() {
    let site = with_people().await;
    let allowed = "MATCH (a:Person {email: 'a'}), (b:Person {email: 'b'}) CREATE (a)-[:Knows]->(b)";
    for denied in [
        "CREATE (:Person {email: 'c'})",
        "MERGE (p:Person {email: 'c'})",
        "MATCH (p:Person) SET p.name = 'x'",
        "MATCH (p:Person) REMOVE p.name",
        "MATCH (p:Person) DELETE p",
        "MATCH (p:Person) DETACH DELETE p",
        "MATCH (p) SET p.name = 'x'",
        "CREATE (:Person {email: 'c'})-[:Knows]->(:Person {email: 'd'})",
    ] {
        let body = json!({"statements": [{"query": allowed}, {"query": denied}]});
        let answer = site
            .send("linker", "POST /graphs/alpha/mutate", Some(body))
            .await;
        check_problem(&answer, 403, "forbidden");
        assert!(answer.body["decision_id"].is_string());
    }
    let count = json!({"query": "MATCH (:Person)-[k:Knows]->() RETURN count(k) AS n"});
    let read = site
        .send("reader", "POST /graphs/alpha/query", Some(count))
        .await;
    assert_eq!(read.body["rows"], json!([{"n": 0}]), "{}", read.body);
}

#[tokio::test]
async fn what_may_not_be_read_is_not_read_in_any_way() {
    let site = with_people().await;
    // The permits of `linker` end where `operator` stands: may see, may not read.
    for (route, body) in [
        (
            "POST /graphs/alpha/query",
            Some(json!({"query": "RETURN 1 AS x"})),
        ),
        (
            "POST /graphs/alpha/mutate",
            Some(json!({"query": "RETURN 1 AS x"})),
        ),
        ("GET /graphs/alpha/export", None),
        ("GET /graphs/alpha/schema", None),
    ] {
        let answer = site.send("operator", route, body).await;
        check_problem(&answer, 403, "forbidden");
    }
}
