//! Decisions about types, in every operation that touches some.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use registry::Options;
use serde_json::json;

use super::{Site, answer, check_problem, serving_app};

const PEOPLE: &str = "{\"type\":\"Person\",\"data\":{\"email\":\"a\"}}\n{\"type\":\"Person\",\"data\":{\"email\":\"b\"}}\n";
const EDGE: &str = "{\"edge\":\"Knows\",\"from\":\"a\",\"to\":\"b\"}\n";

async fn with_people() -> Site {
    with_people_in(Site::new()).await
}

async fn with_people_in(site: Site) -> Site {
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

/// What is wrong with a row may tell which keys there are: it is told only to whom the types are open.
#[tokio::test]
async fn a_load_that_is_denied_tells_no_keys() {
    let mut site = Site::new();
    (_, site.router) = serving_app(&site.config(), Options::default(), 4 << 20);
    let site = with_people_in(site).await;
    let load = async |who: &str, query: &str, media_type: &str, body: String| {
        let request = Request::post(format!("/graphs/alpha/load?{query}"))
            .header(header::AUTHORIZATION, format!("Bearer {who}"))
            .header(header::CONTENT_TYPE, media_type)
            .body(Body::from(body))
            .expect("a request");
        answer(&site.router, request).await
    };
    let people: String = (0..40_000)
        .map(|number| format!("{{\"type\":\"Person\",\"data\":{{\"email\":\"n{number}\"}}}}\n"))
        .collect();
    let edges: String = (0..40_000)
        .map(|_| "{\"edge\":\"Knows\",\"from\":\"a\",\"to\":\"nobody\"}\n")
        .collect();
    let ndjson = "application/x-ndjson";
    let cases = [
        (
            "linker",
            "type=Person",
            "text/csv",
            "email\na\n".to_owned(),
            "already",
        ),
        (
            "blind",
            "type=Knows",
            "text/csv",
            "from,to\na,nobody\n".to_owned(),
            "nobody",
        ),
        ("linker", "mode=append", ndjson, people + PEOPLE, "already"),
        ("blind", "mode=append", ndjson, edges, "nobody"),
    ];
    for (who, query, media_type, body, words) in cases {
        let denied = load(who, query, media_type, body.clone()).await;
        check_problem(&denied, 403, "forbidden");
        assert!(!denied.body.to_string().contains(words), "{}", denied.body);
        let told = load("root", query, media_type, body).await;
        check_problem(&told, 400, "invalid_rows");
        assert!(told.body.to_string().contains(words), "{}", told.body);
    }
}

/// An edge in an export carries the keys of the nodes that it joins.
#[tokio::test]
async fn edges_are_exported_to_whoever_may_read_their_ends() {
    let site = with_people().await;
    let loaded = site.load("root", "alpha", "append", EDGE).await;
    assert_eq!(loaded.status, StatusCode::OK, "{}", loaded.body);
    let route = "GET /graphs/alpha/export?type=Knows";
    let denied = site.send("blind", route, None).await;
    check_problem(&denied, 403, "forbidden");
    let detail = denied.body["detail"].as_str().expect("text");
    assert!(
        detail.contains("type_read") && detail.contains("Person"),
        "{detail}"
    );
    let given = site.send("reader", route, None).await;
    assert_eq!(given.body["from"], "a", "{}", given.body);
}

/// A right that is taken back while the file is on its way is gone when it has arrived.
#[tokio::test]
async fn a_load_is_decided_again_once_its_file_is_there() {
    for revoked in ["t.yaml", "p.cedar"] {
        let mut site = Site::new();
        let app;
        (app, site.router) = serving_app(&site.config(), Options::default(), 1000);
        let site = with_people_in(site).await;
        let gate = crate::gate::ServerGate::set(&app, false);
        let path = site.folder.path().join(revoked);
        let reloading = app.clone();
        let chunks = futures::stream::once(async move {
            let text = std::fs::read_to_string(&path).expect("read");
            let keeps = |line: &&str| !line.starts_with("linker:");
            let lines: Vec<&str> = text.lines().filter(keeps).collect();
            let forbids =
                "forbid (principal == User::\"linker\", action == Action::\"load\", resource);";
            let text = match revoked {
                "t.yaml" => lines.join("\n"),
                _ => text + forbids,
            };
            std::fs::write(&path, text).expect("written");
            tokio::task::spawn_blocking(move || reloading.registry.reload(registry::Reload::Apply))
                .await
                .expect("ends")
                .expect("reloaded");
            Ok::<_, std::io::Error>(bytes::Bytes::from_static(EDGE.as_bytes()))
        });
        let request = Request::post("/graphs/alpha/load?mode=append")
            .header(header::AUTHORIZATION, "Bearer linker")
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(Body::from_stream(chunks))
            .expect("a request");
        let refused = answer(&site.router, request).await;
        match revoked {
            "t.yaml" => check_problem(&refused, 401, "unauthenticated"),
            _ => check_problem(&refused, 403, "forbidden"),
        }
        drop(gate);
    }
}
