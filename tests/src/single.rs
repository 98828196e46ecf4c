//! A server of one graph: the same routes, flat, and nothing of many graphs.

use std::time::Duration;

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};
use server::{ServeOptions, start};
use tokio::runtime::Runtime;

use crate::harness::{Harness, PEOPLE, Setup, Who};

struct Single {
    runtime: Runtime,
    running: Option<server::Running>,
    http: Client,
}

impl Single {
    fn start(options: ServeOptions) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let options = ServeOptions {
            bind: Some("127.0.0.1:0".to_owned()),
            ..options
        };
        let running = runtime.block_on(start(options)).expect("starts");
        let http = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client");
        Self {
            runtime,
            running: Some(running),
            http,
        }
    }

    fn path(&self, path: &str) -> String {
        let running = self.running.as_ref().expect("it runs");
        format!("http://{}{path}", running.address())
    }

    fn get(&self, path: &str) -> Response {
        self.http.get(self.path(path)).send().expect("an answer")
    }

    fn post(&self, path: &str, body: &Value) -> Response {
        let request = self.http.post(self.path(path)).json(body);
        request
            .bearer_auth(Who::Writer.token().expect("a token"))
            .send()
            .expect("an answer")
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop()).expect("stops");
        }
    }
}

/// A folder with a graph in `data/people`, which nobody serves any more.
fn with_a_graph() -> tempfile::TempDir {
    let setup = Setup::default();
    let folder = setup.write();
    let config = folder.path().join("config/trellis.yaml");
    let runtime = Runtime::new().expect("a runtime");
    let options = ServeOptions {
        bind: Some("127.0.0.1:0".to_owned()),
        ..ServeOptions::new(config)
    };
    let running = runtime.block_on(start(options)).expect("starts");
    let body = json!({"graph_id": "people", "schema": {"source": PEOPLE}, "tenant": "acme"});
    let created = Client::new()
        .post(format!("http://{}/graphs", running.address()))
        .bearer_auth(Who::ServerAdmin.token().expect("a token"))
        .json(&body)
        .send()
        .expect("an answer");
    assert_eq!(created.status(), 201);
    runtime.block_on(running.stop()).expect("stops");
    folder
}

#[test]
fn its_routes_are_flat_and_there_are_no_others() {
    let folder = with_a_graph();
    let graph = folder.path().join("data/people").display().to_string();
    let options = ServeOptions {
        unauthenticated: true,
        ..ServeOptions::single(graph)
    };
    let server = Single::start(options);
    let create = json!({"query": "CREATE (:Person {email: 'a', name: 'Ada'})"});
    let post = |path: &str, body: &Value| {
        server
            .http
            .post(server.path(path))
            .json(body)
            .send()
            .expect("an answer")
    };
    assert_eq!(post("/mutate", &create).status(), 200);
    let count = json!({"query": "MATCH (p:Person) RETURN p.name AS name"});
    let answer: Value = post("/query", &count).json().expect("JSON");
    assert_eq!(answer["rows"], json!([{"name": "Ada"}]));
    assert_eq!(server.get("/schema").status(), 200);
    assert!(server.get("/export").text().expect("text").contains("Ada"));
    for path in [
        "/graphs/people/query",
        "/graphs/people",
        "/admin/config/drift",
        "/",
    ] {
        assert_eq!(server.get(path).status(), 404, "{path}");
    }
    assert_eq!(server.get("/graphs").status(), 405);
    let problem: Value = post("/graphs", &json!({})).json().expect("JSON");
    assert_eq!(problem["code"], "method_not_allowed");
    let document: Value = server.get("/openapi.json").json().expect("JSON");
    assert!(document["paths"]["/query"].is_object());
    assert!(document["components"].get("securitySchemes").is_none());
    // Nothing was written beside the graph.
    assert!(!folder.path().join("data/.trellis").exists());
}

#[test]
fn the_other_sections_of_a_config_file_hold() {
    let folder = with_a_graph();
    let config = folder.path().join("config/trellis.yaml");
    let options = ServeOptions {
        graph: Some("../data/people".to_owned()),
        ..ServeOptions::new(&config)
    };
    let server = Single::start(options);
    let query = json!({"query": "RETURN 1 AS one"});
    assert_eq!(server.get("/schema").status(), 401);
    // The file says whose the graph is.
    assert_eq!(server.post("/query", &query).status(), 200);
    let stranger = server
        .http
        .post(server.path("/query"))
        .bearer_auth(Who::OtherTenant.token().expect("a token"))
        .json(&query)
        .send();
    assert_eq!(stranger.expect("an answer").status(), 404);
}

#[test]
fn what_is_no_graph_is_refused_at_the_start() {
    let server = Harness::start();
    let runtime = Runtime::new().expect("a runtime");
    for path in ["data", "none"] {
        let path = server.folder().join(path).display().to_string();
        let options = ServeOptions {
            bind: Some("127.0.0.1:0".to_owned()),
            unauthenticated: true,
            ..ServeOptions::single(path)
        };
        let error = runtime.block_on(start(options)).expect_err("refused");
        assert!(format!("{error:?}").contains("NoGraph"), "{error:?}");
    }
}
