//! What is around every request, and the document.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;

use super::{Site, answer, check_problem};
use crate::http::{Security, document, enveloped};

#[tokio::test]
async fn a_panic_is_a_problem_and_the_request_id_is_kept() {
    #[expect(clippy::panic, reason = "that is what is tested")]
    async fn fails() -> StatusCode {
        panic!("a secret")
    }
    let router = enveloped(Router::new().route("/panics", axum::routing::get(fails)));
    let request = Request::get("/panics")
        .header("x-request-id", "mine-1")
        .body(Body::empty());
    let answer = answer(&router, request.expect("a request")).await;
    check_problem(&answer, 500, "internal");
    assert_eq!(answer.body["request_id"], "mine-1");
    assert!(!answer.body.to_string().contains("secret"));
}

#[tokio::test]
async fn the_served_document_is_the_mounted_one() {
    let site = Site::new();
    let served = site.send("", "GET /openapi.json", None).await;
    let expected: Value = serde_json::from_str(&document(Security::Bearer)).expect("JSON");
    assert_eq!(served.body, expected);
    let absent = site.send("", "GET /docs/there-is-no-such-page", None).await;
    check_problem(&absent, 404, "not_found");
    let page = site.send("", "GET /docs/", None).await;
    assert_eq!(page.status, StatusCode::OK);
}
