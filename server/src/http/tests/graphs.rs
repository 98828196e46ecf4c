//! Graphs as wholes: bad requests, drift, broken and locked ones.

use axum::http::StatusCode;
use serde_json::json;

use super::{SCHEMA, Site, check_problem};

#[tokio::test]
async fn bad_requests_are_named_and_change_nothing() {
    let site = Site::new();
    assert_eq!(
        site.create("alpha", "open").await.status,
        StatusCode::CREATED
    );
    let before = std::fs::read_to_string(site.config()).expect("readable");
    let schema = json!({"source": SCHEMA});
    let cases = [
        (
            "/graphs",
            json!({"graph_id": "ALPHA", "schema": schema}),
            409,
            "graph_exists",
        ),
        (
            "/graphs",
            json!({"graph_id": "admin", "schema": schema}),
            400,
            "invalid_graph_id",
        ),
        (
            "/graphs",
            json!({"graph_id": "b", "schema": {"source": " "}}),
            400,
            "empty_schema",
        ),
        (
            "/graphs",
            json!({"graph_id": "b", "schema": {"source": "node"}}),
            400,
            "invalid_schema",
        ),
        (
            "/graphs",
            json!({"graph_id": "b", "schema": schema, "uri": ""}),
            400,
            "invalid_uri",
        ),
        (
            "/graphs",
            json!({"graph_id": "b", "schema": schema, "uri": "/x"}),
            400,
            "invalid_uri",
        ),
        (
            "/graphs",
            json!({"graph_id": "b", "schema": schema, "uri": "data/alpha"}),
            409,
            "uri_in_use",
        ),
        (
            "/graphs",
            json!({"graph_id": "b", "schema": schema, "policy": {"file": "p.cedar"}}),
            400,
            "invalid_uri",
        ),
        (
            "/graphs",
            json!({"graph_id": "b", "schema": schema, "graph_type": "open"}),
            400,
            "unsupported",
        ),
        (
            "/graphs",
            json!({"graph_id": "b", "schema": schema, "tenant": ""}),
            400,
            "invalid_request",
        ),
        (
            "/graphs",
            json!({"graph_id": "b", "schema": schema, "extra": 1}),
            400,
            "invalid_request",
        ),
        (
            "/graphs/alpha/query",
            json!({"query": "MATCH (p:Persn) RETURN p"}),
            400,
            "invalid_query",
        ),
        (
            "/graphs/alpha/query",
            json!({"query": "CREATE (:Person {email: 'x'})"}),
            400,
            "write_in_read_query",
        ),
        (
            "/graphs/alpha/query",
            json!({"query": "RETURN $x AS x"}),
            400,
            "invalid_parameters",
        ),
        (
            "/graphs/alpha/query",
            json!({"query": "UNWIND [1, 2] AS i RETURN i", "max_rows": 1}),
            400,
            "row_limit",
        ),
        (
            "/graphs/alpha/query",
            json!({"query": "RETURN 1 AS x", "at": "x"}),
            400,
            "invalid_request",
        ),
        (
            "/graphs/alpha/query",
            json!({"query": "RETURN 1 AS x", "branch": "x"}),
            404,
            "branch_not_found",
        ),
        (
            "/graphs/alpha/query",
            json!({"query": "x".repeat(3000)}),
            413,
            "body_too_large",
        ),
        (
            "/graphs/alpha/mutate",
            json!({"query": "x", "if_commit": "y"}),
            400,
            "invalid_request",
        ),
        ("/nowhere", json!({}), 404, "not_found"),
        ("/healthz", json!({}), 405, "method_not_allowed"),
    ];
    for (path, body, status, code) in cases {
        let answer = site
            .send("root", &format!("POST {path}"), Some(body.clone()))
            .await;
        assert_eq!(answer.body["code"], code, "{body} gave {}", answer.body);
        check_problem(&answer, status, code);
    }
    assert_eq!(
        std::fs::read_to_string(site.config()).expect("readable"),
        before
    );
    let left: Vec<_> = std::fs::read_dir(site.folder.path().join("data"))
        .expect("a folder")
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn a_config_edited_by_hand_stays_as_it_is() {
    let site = Site::new();
    let edited = std::fs::read_to_string(site.config()).expect("readable") + "# by hand\n";
    std::fs::write(site.config(), &edited).expect("written");
    check_problem(&site.create("alpha", "open").await, 503, "config_drift");
    assert_eq!(
        std::fs::read_to_string(site.config()).expect("readable"),
        edited
    );
    assert!(!site.folder.path().join("data").exists());
    let ready = site.send("root", "GET /readyz", None).await;
    assert_eq!(ready.body["config"]["drifted"], true);
}

#[tokio::test]
async fn a_policy_in_the_roots_that_is_wrong_leaves_nothing_and_is_not_quoted() {
    let site = Site::new();
    let data = site.folder.path().join("data");
    std::fs::create_dir(&data).expect("made");
    std::fs::write(data.join("own.cedar"), "permit (sekret").expect("written");
    let body = json!({"graph_id": "b", "schema": {"source": SCHEMA}, "policy": {"file": "data/own.cedar"}});
    let answer = site.send("root", "POST /graphs", Some(body)).await;
    check_problem(&answer, 400, "invalid_policy");
    assert!(
        !answer.body.to_string().contains("sekret"),
        "{}",
        answer.body
    );
    assert!(!data.join("b").exists());
}

#[tokio::test]
async fn one_broken_graph_touches_no_other() {
    let site = Site::new();
    for graph_id in ["whole", "broken"] {
        assert_eq!(
            site.create(graph_id, "open").await.status,
            StatusCode::CREATED
        );
    }
    std::fs::write(site.folder.path().join("data/broken/graph.json"), "{").expect("written");
    let broken = site.send("root", "GET /graphs/broken", None).await;
    check_problem(&broken, 503, "graph_quarantined");
    let ready = site.send("root", "GET /readyz", None).await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!(ready.body["graphs"]["quarantined"][0]["graph_id"], "broken");
    assert_eq!(
        site.send("root", "GET /graphs/whole", None).await.status,
        StatusCode::OK
    );
    let list = site.send("root", "GET /graphs", None).await;
    assert_eq!(list.body["graphs"][0]["state"], "quarantined");
    assert_eq!(list.body["graphs"][1]["state"], "open");
}
