//! What is around every request, and the document.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::http::header;
use serde_json::json;

use super::{Site, answer, check_problem};
use crate::http::{Security, document, enveloped};

#[tokio::test]
async fn a_panic_is_a_problem_and_the_request_id_is_kept() {
    async fn fails() -> StatusCode {
        panic!("a secret")
    }
    let router = enveloped(
        Router::new().route("/panics", axum::routing::get(fails)),
        std::sync::Arc::default(),
        Security::Bearer,
    );
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
    let expected: Value =
        serde_json::from_str(&document(crate::http::Mount::Many, Security::Bearer)).expect("JSON");
    assert_eq!(served.body, expected);
    let absent = site.send("", "GET /docs/there-is-no-such-page", None).await;
    check_problem(&absent, 404, "not_found");
    let wrong = site.send("", "POST /docs/", None).await;
    check_problem(&wrong, 405, "method_not_allowed");
    let page = site.send("", "GET /docs/", None).await;
    assert_eq!(page.status, StatusCode::OK);
}

/// What is logged, as lines of JSON.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("whole").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn one_line_is_logged_of_each_request_and_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let site = Site::new();
    site.create("alpha", "open").await;
    let ask = async |token: &str, id: &str| {
        let body = json!({"query": "RETURN 'needle' AS x", "params": {"p": "needle"}});
        let request = Request::post("/graphs/alpha/query")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-request-id", id)
            .body(Body::from(body.to_string()))
            .expect("a request");
        answer(&site.router, request).await.status.as_u16()
    };
    assert_eq!(ask("reader", "first").await, 200);
    assert_eq!(ask("a-secret-token", "second").await, 401);
    assert_ne!(ask("reader", "{\"forged\": 1}").await, 0);
    let text = String::from_utf8(log.0.lock().expect("whole").clone()).expect("UTF-8");
    for secret in ["needle", "a-secret-token", "Bearer", "forged"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let line = |id: &str| -> Value {
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut of_request =
            lines.filter(|line| line["message"] == "request" && line["request_id"] == id);
        let line = of_request.next().expect("a line");
        assert!(of_request.next().is_none(), "one line");
        line
    };
    let first = line("first");
    let told = ["method", "route", "status", "principal"].map(|field| first[field].clone());
    let expected = [
        json!("POST"),
        json!("/graphs/{graph_id}/query"),
        json!(200),
        json!("reader"),
    ];
    assert_eq!(told, expected);
    assert!(
        first["latency_ms"]
            .as_f64()
            .is_some_and(|latency| latency >= 0.0)
    );
    let second = line("second");
    assert_eq!(
        (&second["status"], &second["principal"]),
        (&json!(401), &Value::Null)
    );
}
