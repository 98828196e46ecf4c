//! Reading and writing a graph.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use super::{Site, answer, check_problem};

#[tokio::test]
async fn a_graph_is_made_written_and_read() {
    let site = Site::new();
    let made = site.create("alpha", "open").await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.headers[header::LOCATION], "/graphs/alpha");
    let shown = site.send("reader", "GET /graphs/ALPHA", None).await;
    assert_eq!(
        (shown.status, &shown.body["nodes"]["Person"]),
        (StatusCode::OK, &json!(0))
    );
    assert_eq!(shown.headers[header::ETAG], made.headers[header::ETAG]);
    let config = std::fs::read_to_string(site.config()).expect("readable");
    assert!(
        config.contains("storage: data # mine") && config.contains("uri: data/alpha"),
        "{config}"
    );

    let body = json!({"statements": [
        {"query": "CREATE (:Person {email: $email, name: 'Ada'})", "params": {"email": "a@x"}},
        {"query": "MATCH (p:Person) RETURN p.name AS name"},
    ], "message": "the first"});
    let written = site
        .send("root", "POST /graphs/alpha/mutate", Some(body))
        .await;
    assert_eq!(written.status, StatusCode::OK, "{}", written.body);
    assert_eq!(written.body["stats"]["nodes_created"], 1);
    assert_eq!(written.body["rows"], json!([{"name": "Ada"}]));
    let body = json!({"query": "MATCH (p:Person) RETURN p.email AS email, p.name AS name"});
    let read = site
        .send("reader", "POST /graphs/alpha/query", Some(body))
        .await;
    assert_eq!(read.body["rows"], json!([{"email": "a@x", "name": "Ada"}]));
    assert_eq!(
        read.body["columns"][0],
        json!({"name": "email", "type": "string"})
    );
    assert_eq!(read.body["commit"]["id"], written.body["commit"]["id"]);
    assert_eq!(read.body["stats"]["rows"], 1);

    let body = json!({"query": "MATCH (p:Person) CREATE (p)-[k:Knows]->(:Person {email: 'b@x'})"});
    let written = site
        .send("root", "POST /graphs/alpha/mutate", Some(body))
        .await;
    assert_eq!(
        written.body["stats"]["edges_created"], 1,
        "{}",
        written.body
    );
    let body = json!({"query": "MATCH path = (a:Person)-[k:Knows]->(b) RETURN a, k, path"});
    let read = site
        .send("reader", "POST /graphs/alpha/query", Some(body))
        .await;
    let row = &read.body["rows"][0];
    let ada =
        json!({"id": "a@x", "labels": ["Person"], "properties": {"email": "a@x", "name": "Ada"}});
    assert_eq!(row["a"], ada);
    assert_eq!(
        (&row["k"]["type"], &row["k"]["start"], &row["k"]["end"]),
        (&json!("Knows"), &json!("a@x"), &json!("b@x"))
    );
    assert_eq!(
        (&row["path"]["nodes"][0], &row["path"]["relationships"][0]),
        (&ada, &row["k"])
    );
}

#[tokio::test]
async fn what_is_exported_can_be_loaded() {
    let site = Site::new();
    for graph_id in ["from", "to"] {
        assert_eq!(
            site.create(graph_id, "open").await.status,
            StatusCode::CREATED
        );
    }
    let load = async |graph_id: &str, mode: &str, lines: String| {
        let request = Request::post(format!("/graphs/{graph_id}/load?mode={mode}"))
            .header(header::AUTHORIZATION, "Bearer root")
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(Body::from(lines))
            .expect("a request");
        answer(&site.router, request).await
    };
    let export = async |graph_id: &str, query: &str| {
        let request = Request::get(format!("/graphs/{graph_id}/export{query}"))
            .header(header::AUTHORIZATION, "Bearer reader")
            .body(Body::empty())
            .expect("a request");
        let response = site
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let bytes = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    };
    let node =
        |email: &str| format!("{{\"type\":\"Person\",\"data\":{{\"email\":\"{email}\"}}}}\n");
    let edge = "{\"edge\":\"Knows\",\"from\":\"a\",\"to\":\"a\"}";
    let bad = load("from", "append", node("a") + "{\"type\":\"Persn\"}").await;
    check_problem(&bad, 400, "invalid_rows");
    assert_eq!(bad.body["errors"][0]["line"], 2);
    assert_eq!(export("from", "").await, "");
    let loaded = load("from", "append", node("a") + edge).await;
    let counts = (&loaded.body["nodes"], &loaded.body["edges"]);
    assert_eq!(
        counts,
        (&json!({"Person": 1}), &json!({"Knows": 1})),
        "{}",
        loaded.body
    );
    check_problem(
        &load("from", "append", node("a")).await,
        400,
        "invalid_rows",
    );

    let lines = export("from", "").await;
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let head = load("to", "overwrite", lines.clone()).await;
    assert_eq!(head.status, StatusCode::OK, "{}", head.body);
    assert_eq!(export("to", "").await, lines);
    assert_eq!(export("to", "?type=Knows").await.lines().count(), 1);
    assert!(
        export("to", "?type=Persn").await.contains("did you mean"),
        "a hint"
    );
}

#[tokio::test]
async fn a_load_is_counted_and_typed() {
    let site = Site::new();
    assert_eq!(
        site.create("alpha", "open").await.status,
        StatusCode::CREATED
    );
    let load = async |media_type: &str, body: String| {
        let request = Request::post("/graphs/alpha/load")
            .header(header::AUTHORIZATION, "Bearer root")
            .header(header::CONTENT_TYPE, media_type)
            .body(Body::from(body))
            .expect("a request");
        answer(&site.router, request).await
    };
    check_problem(
        &load("text/plain", String::new()).await,
        415,
        "unsupported_media_type",
    );
    let large = "\n".repeat(1001);
    check_problem(
        &load("application/x-ndjson", large).await,
        413,
        "body_too_large",
    );
}

#[tokio::test]
async fn rows_come_as_lines_when_asked() {
    let site = Site::new();
    assert_eq!(
        site.create("alpha", "open").await.status,
        StatusCode::CREATED
    );
    let ask = async |accept: &str| {
        let request = Request::post("/graphs/alpha/query")
            .header(header::AUTHORIZATION, "Bearer root")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, accept)
            .body(Body::from(
                json!({"query": "UNWIND [1, 2] AS i RETURN i"}).to_string(),
            ))
            .expect("a request");
        let response = site
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let bytes = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    };
    assert_eq!(ask("application/x-ndjson").await, "{\"i\":1}\n{\"i\":2}\n");
    assert!(
        ask("application/vnd.apache.parquet")
            .await
            .contains("not_acceptable")
    );
}

#[test]
fn a_caller_who_goes_away_stops_the_query() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let site = Site::new();
        assert_eq!(
            site.create("alpha", "open").await.status,
            StatusCode::CREATED
        );
        let endless =
            "UNWIND range(1, 100000) AS i UNWIND range(1, 100000) AS j RETURN count(*) AS c";
        let asked = site.send(
            "root",
            "POST /graphs/alpha/query",
            Some(json!({"query": endless})),
        );
        let gone = tokio::time::timeout(Duration::from_millis(200), asked).await;
        assert!(gone.is_err(), "it was to run for long");
    });
    let went = Instant::now();
    // Waits for the threads of running statements, which have ten seconds.
    runtime.shutdown_timeout(Duration::from_secs(30));
    assert!(
        went.elapsed() < Duration::from_secs(3),
        "{:?}",
        went.elapsed()
    );
}
