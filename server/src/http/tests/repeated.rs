//! Writes that are sent again under the same `Idempotency-Key`, and writes that must wait.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use storage_engine::CommitError;

use super::{Answer, Site, answer, check_problem, serving};
use crate::app::Error;
use crate::http::failure::Failure;

const REPLAYED: &str = "idempotency-replayed";

impl Site {
    async fn mutate(&self, token: &str, keys: &[&str], body: &Value) -> Answer {
        let mut request = Request::post("/graphs/alpha/mutate")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json");
        for key in keys {
            request = request.header("Idempotency-Key", *key);
        }
        let request = request.body(Body::from(body.to_string()));
        answer(&self.router, request.expect("a request")).await
    }

    async fn count(&self) -> Value {
        let body = json!({"query": "MATCH (p:Person) RETURN count(*) AS n"});
        let read = self.send("root", "POST /graphs/alpha/query", Some(body));
        read.await.body["rows"][0]["n"].clone()
    }
}

fn create(email: &str) -> Value {
    json!({
        "query": "CREATE (p:Person {email: $email, name: 'x'}) RETURN p, 0.1 + 0.2 AS sum",
        "params": {"email": email},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_sent_again_gets_the_first_answer() {
    let mut site = Site::new();
    site.create("alpha", "open").await;
    let first = site.mutate("root", &["k-1"], &create("a")).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    assert!(!first.headers.contains_key(REPLAYED));
    assert_eq!(first.body["rows"][0]["p"]["id"], "a");
    let check = |again: Answer| {
        assert_eq!(again.status, StatusCode::OK, "{}", again.body);
        assert_eq!(again.headers[REPLAYED], "true");
        assert_eq!(again.body, first.body);
    };
    check(site.mutate("root", &["k-1"], &create("a")).await);
    let other = site.mutate("root", &["k-1"], &create("b")).await;
    check_problem(&other, 422, "idempotency_key_reused");
    // The key of one caller is not the key of another.
    let body = json!({"query": "MATCH (a:Person {email: 'a'}) CREATE (a)-[:Knows]->(a)"});
    let linked = site.mutate("linker", &["k-1"], &body).await;
    assert_eq!(linked.status, StatusCode::OK, "{}", linked.body);
    // Who may not write is told so, whatever the key.
    let refused = site.mutate("reader", &["k-1"], &create("a")).await;
    check_problem(&refused, 403, "forbidden");
    // After a restart.
    site.router = axum::Router::new();
    site.router = serving(&site.config());
    check(site.mutate("root", &["k-1"], &create("a")).await);
    assert_eq!(site.count().await, json!(1));
}

#[tokio::test]
async fn a_load_that_is_sent_again_gets_the_first_answer() {
    let site = Site::new();
    site.create("alpha", "open").await;
    let load = async |mode: &str, email: &str| {
        let line = json!({"type": "Person", "data": {"email": email}});
        let request = Request::post(format!("/graphs/alpha/load?mode={mode}"))
            .header(header::AUTHORIZATION, "Bearer root")
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .header("Idempotency-Key", "k")
            .body(Body::from(line.to_string()));
        answer(&site.router, request.expect("a request")).await
    };
    let first = load("append", "a").await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    assert_eq!(first.body["nodes"], json!({"Person": 1}));
    let again = load("append", "a").await;
    assert_eq!(again.headers[REPLAYED], "true");
    assert_eq!(again.body, first.body);
    for (mode, email) in [("append", "b"), ("merge", "a")] {
        let other = load(mode, email).await;
        check_problem(&other, 422, "idempotency_key_reused");
    }
    let mutated = site.mutate("root", &["k"], &create("a")).await;
    check_problem(&mutated, 422, "idempotency_key_reused");
    assert_eq!(site.count().await, json!(1));
}

#[tokio::test]
async fn what_failed_may_be_sent_again() {
    let site = Site::new();
    site.create("alpha", "open").await;
    site.mutate("root", &[], &create("a")).await;
    let taken = site.mutate("root", &["k"], &create("a")).await;
    check_problem(&taken, 409, "duplicate_key");
    let delete = json!({"query": "MATCH (p:Person {email: 'a'}) DELETE p"});
    site.mutate("root", &[], &delete).await;
    let done = site.mutate("root", &["k"], &create("a")).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    assert!(!done.headers.contains_key(REPLAYED));
}

#[tokio::test]
async fn a_key_is_one_word() {
    let site = Site::new();
    site.create("alpha", "open").await;
    let long = "k".repeat(256);
    for keys in [&["a b"][..], &[""], &["é"], &[&long], &["a", "a"]] {
        let refused = site.mutate("root", keys, &create("a")).await;
        check_problem(&refused, 400, "invalid_request");
        let detail = refused.body["detail"].as_str().expect("words");
        assert!(detail.contains("Idempotency-Key"), "{detail}");
    }
    assert_eq!(site.count().await, json!(0));
}

#[tokio::test]
async fn an_answer_too_large_to_be_kept_is_refused() {
    let site = Site::new();
    site.create("alpha", "open").await;
    let body = json!({"query": "CREATE (p:Person {email: 'a'}) WITH p UNWIND range(1, 900) AS x
        RETURN x, 'some text that is repeated, so that the answer is too large to be kept' AS text"});
    let refused = site.mutate("root", &["k"], &body).await;
    check_problem(&refused, 400, "memory_limit");
    assert_eq!(site.count().await, json!(0));
    let done = site.mutate("root", &[], &body).await;
    assert_eq!(done.status, StatusCode::OK);
}

/// The headers of what a write is answered that was not carried out.
fn refusal(error: CommitError<crate::app::StepError>) -> (StatusCode, HeaderMap) {
    let response = Failure::from(Error::Mutate(error)).into_response();
    (response.status(), response.headers().clone())
}

#[test]
fn who_must_wait_is_told_how_long_in_whole_seconds() {
    for (wait, seconds) in [(1, "1"), (1_000, "1"), (1_001, "2"), (59_500, "60")] {
        let (status, headers) = refusal(CommitError::Busy {
            waiting: 7,
            retry_after: Duration::from_millis(wait),
        });
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(headers[header::RETRY_AFTER], seconds);
    }
    let (status, _) = refusal(CommitError::Late);
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
}
