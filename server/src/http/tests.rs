//! The whole router, without a socket, on a config in a temporary folder.

mod access;
mod bodies;
mod data;
mod encoded;
mod envelope;
mod framing;
mod graphs;
mod held;
mod past;
mod points;
mod repeated;
mod types;
mod waiting;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use registry::{Options, Registry};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use super::router;
use crate::access::access;
use crate::app::{App, Limits};

const SCHEMA: &str =
    "node Person { email: String @key, name: String? } edge Knows: Person -> Person";
const POLICY: &str = r#"
permit (principal == User::"root", action, resource);
permit (principal == User::"reader", action in Action::"read", resource)
when { !(resource is Graph) || (resource has tenant && resource.tenant == "open") };
permit (principal == User::"reader", action == Action::"type_read", resource);
permit (principal == User::"linker", action in [Action::"read", Action::"write"], resource);
forbid (principal == User::"linker", action == Action::"type_write", resource is NodeType);
permit (principal == User::"blind", action in [Action::"read", Action::"write"], resource);
forbid (principal == User::"blind", action in [Action::"type_read", Action::"type_write"], resource is NodeType);
permit (principal == User::"operator", action in [Action::"graph_list", Action::"graph_show"], resource);
permit (principal == User::"maker", action == Action::"graph_create", resource);
"#;

struct Site {
    folder: tempfile::TempDir,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        let token = |token: &str| hex::encode(Sha256::digest(token));
        write(
            "trellis.yaml",
            "version: 1\nserver:\n  storage: data # mine\n  policy: { file: p.cedar }\n  limits: { json_body_bytes: 2000 }\nauth: { tokens_file: t.yaml }\n",
        );
        write("p.cedar", POLICY);
        let entries = [
            "root", "reader", "nobody", "linker", "operator", "maker", "blind",
        ]
        .map(|name| format!("{name}: {{ sha256: {} }}\n", token(name)));
        write("t.yaml", &entries.concat());
        let router = serving(&folder.path().join("trellis.yaml"));
        Self { router, folder }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("trellis.yaml")
    }

    async fn send(&self, token: &str, route: &str, body: Option<Value>) -> Answer {
        let (method, path) = route.split_once(' ').expect("METHOD path");
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        answer(&self.router, request.body(body).expect("a request")).await
    }

    async fn load(&self, token: &str, graph_id: &str, mode: &str, lines: &str) -> Answer {
        let request = Request::post(format!("/graphs/{graph_id}/load?mode={mode}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(Body::from(lines.to_owned()))
            .expect("a request");
        answer(&self.router, request).await
    }

    async fn create(&self, graph_id: &str, tenant: &str) -> Answer {
        let body = json!({"graph_id": graph_id, "schema": {"source": SCHEMA}, "tenant": tenant});
        self.send("root", "POST /graphs", Some(body)).await
    }
}

/// Another server on the same config file.
fn serving(config: &std::path::Path) -> Router {
    serving_with(config, Options::default())
}

fn serving_with(config: &std::path::Path, options: Options) -> Router {
    serving_app(config, options, 1000).1
}

/// One that takes files of this size.
fn serving_app(
    config: &std::path::Path,
    options: Options,
    load_body_bytes: u64,
) -> (Arc<App>, Router) {
    let registry = Registry::open(config, options).expect("sound");
    let read = registry.snapshot().config.clone();
    let (access, security, _) = access((&*read).into(), registry.file(), false).expect("sound");
    let limits = Limits {
        json_body_bytes: 2000,
        load_body_bytes,
        query_timeout_ms: 10_000,
        max_rows: 1000,
        query_memory_bytes: 1 << 24,
        shares: crate::app::Shares {
            per_principal: 2,
            per_graph: 4,
        },
        connections: 10,
    };
    let app = App::new(registry, access, limits);
    (app.clone(), router(app, super::Mount::Many, security))
}

async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a whole body").to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

fn check_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (status, &json!(code)),
        "{}",
        answer.body
    );
    assert_eq!(
        answer.headers[header::CONTENT_TYPE],
        "application/problem+json"
    );
    assert_eq!(
        answer.headers["x-request-id"],
        answer.body["request_id"].as_str().expect("an id")
    );
    for field in ["type", "title", "detail", "instance"] {
        assert!(
            answer.body[field]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{field}"
        );
    }
}
