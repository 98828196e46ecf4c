//! Answers to writes that nobody reads.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::Site;

impl Site {
    /// A write that returns ten million bytes, or a few, and makes a person if one is named. The answer is
    /// not read.
    async fn returning(&self, token: &str, email: &str, long: bool) -> Response {
        let create = match email {
            "" => "",
            _ => "CREATE (:Person {email: $email})",
        };
        let longer = match long {
            true => "WITH t + t + t + t + t + t + t + t + t + t AS t ".repeat(4),
            false => String::new(),
        };
        let query = format!("{create} WITH $text AS t {longer} RETURN t");
        let body = json!({"query": query, "params": {"email": email, "text": "x".repeat(1_000)}});
        let request = Request::post("/graphs/g/mutate")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()));
        let response = self.router.clone().oneshot(request.expect("a request"));
        response.await.expect("infallible")
    }
}

/// All statements may hold 64 MiB: so one principal half of that. What is too much is not carried out, and
/// keeps nobody else from writing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_one_does_not_read_are_bounded_and_keep_nobody_else_from_writing() {
    let site = Site::new();
    assert_eq!(site.create("g", "open").await.status, StatusCode::CREATED);
    let mut unread = Vec::new();
    for email in ["a", "b", "c"] {
        let answer = site.returning("root", email, true).await;
        assert_eq!(answer.status(), StatusCode::OK, "{email}");
        unread.push(answer);
    }
    // Three at once: none is there when they begin.
    let refused = tokio::join!(
        site.returning("root", "d", true),
        site.returning("root", "e", true),
        site.returning("root", "f", true),
    );
    for refused in [refused.0, refused.1, refused.2] {
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
    }
    let other = site.returning("linker", "", true).await;
    assert_eq!(other.status(), StatusCode::OK);
    // Short answers are not counted.
    let short = site.returning("root", "h", false).await;
    assert_eq!(short.status(), StatusCode::OK);
    let body = json!({"query": "MATCH (p:Person) RETURN collect(p.email) AS all"});
    let read = site.send("root", "POST /graphs/g/query", Some(body)).await;
    assert_eq!(read.body["rows"][0]["all"], json!(["a", "b", "c", "h"]));
    drop(other);
    let first = unread.swap_remove(0).into_body().collect().await;
    let first: Value =
        serde_json::from_slice(&first.expect("whole").to_bytes()).expect("one JSON object");
    let text = first["rows"][0]["t"].as_str().expect("a text");
    assert_eq!(text.len(), 10_000_000);
    assert_eq!(first["stats"]["nodes_created"], 1);
    let next = site.returning("root", "d", true).await;
    assert_eq!(next.status(), StatusCode::OK);
}
