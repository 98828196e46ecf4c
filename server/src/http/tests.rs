//! The whole router, without a socket, on a config in a temporary folder.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use registry::{Options, Registry};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use super::{Security, enveloped, router};
use crate::app::{App, Directory, Limits};
use crate::boot::access;

const SCHEMA: &str =
    "node Person { email: String @key, name: String? } edge Knows: Person -> Person";
const POLICY: &str = r#"
permit (principal == User::"root", action, resource);
permit (principal == User::"reader", action in Action::"read", resource)
when { !(resource is Graph) || (resource has tenant && resource.tenant == "open") };
permit (principal == User::"reader", action == Action::"type_read", resource);
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
            "version: 1\nserver:\n  storage: data # mine\n  policy: { file: p.cedar }\n  limits: { json_body_bytes: 2000, load_body_bytes: 100 }\nauth: { tokens_file: t.yaml }\n",
        );
        write("p.cedar", POLICY);
        let entries = ["root", "reader", "nobody"]
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

    async fn create(&self, graph_id: &str, tenant: &str) -> Answer {
        let body = json!({"graph_id": graph_id, "schema": {"source": SCHEMA}, "tenant": tenant});
        self.send("root", "POST /graphs", Some(body)).await
    }
}

/// Another server on the same config file.
fn serving(config: &std::path::Path) -> Router {
    let registry = Registry::open(config, Options::default()).expect("sound");
    let read = registry.snapshot().config.clone();
    let (access, security) = access(&read, registry.file(), false).expect("sound");
    let limits = Limits {
        json_body_bytes: 2000,
        load_body_bytes: 100,
        query_timeout_ms: 10_000,
        max_rows: 1000,
        query_memory_bytes: 1 << 24,
    };
    let app = App::new(Directory::new(registry.into()), access, limits);
    router(app, security)
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
async fn a_hidden_graph_and_none_are_the_same() {
    let site = Site::new();
    assert_eq!(
        site.create("hidden", "closed").await.status,
        StatusCode::CREATED
    );
    let query = json!({"query": "MATCH (p:Person) RETURN p"});
    for (route, body) in [
        ("GET /graphs/{}", None),
        ("GET /graphs/{}/schema", None),
        ("GET /graphs/{}/export", None),
        ("POST /graphs/{}/query", Some(query.clone())),
        ("POST /graphs/{}/mutate", Some(query.clone())),
        (
            "POST /graphs/{}/query",
            Some(json!({"query": "x", "branch": "y"})),
        ),
    ] {
        let of = async |name| {
            let answer = site
                .send("reader", &route.replace("{}", name), body.clone())
                .await;
            check_problem(&answer, 404, "graph_not_found");
            let id = answer.body["request_id"].as_str().expect("an id");
            answer.body.to_string().replace(id, "").replace(name, "")
        };
        assert_eq!(of("hidden").await, of("absent").await, "{route}");
    }
}

#[tokio::test]
async fn credentials_and_policy_decide() {
    let site = Site::new();
    assert_eq!(
        site.create("alpha", "open").await.status,
        StatusCode::CREATED
    );
    let missing = site.send("", "GET /graphs", None).await;
    check_problem(&missing, 401, "unauthenticated");
    assert!(
        missing.headers[header::WWW_AUTHENTICATE]
            .to_str()
            .expect("text")
            .starts_with("Bearer")
    );
    check_problem(
        &site.send("guessed", "GET /graphs", None).await,
        401,
        "unauthenticated",
    );
    check_problem(
        &site.send("guessed", "GET /readyz", None).await,
        401,
        "unauthenticated",
    );
    let ready = site.send("", "GET /readyz", None).await;
    assert_eq!(ready.body, json!({"ready": true}));
    let forbidden = site.send("nobody", "GET /graphs", None).await;
    check_problem(&forbidden, 403, "forbidden");
    assert!(forbidden.body["decision_id"].is_string());
    let write = json!({"query": "CREATE (:Person {email: 'x'})"});
    let forbidden = site
        .send("reader", "POST /graphs/alpha/mutate", Some(write))
        .await;
    check_problem(&forbidden, 403, "forbidden");
    let whoami = site.send("reader", "GET /whoami", None).await;
    assert_eq!(whoami.body["principal"], "reader");
}

#[tokio::test]
async fn lists_hold_what_may_be_seen_a_page_at_a_time() {
    let site = Site::new();
    for (graph_id, tenant) in [("c", "open"), ("a", "open"), ("b", "closed"), ("d", "open")] {
        assert_eq!(
            site.create(graph_id, tenant).await.status,
            StatusCode::CREATED
        );
    }
    let mut seen = Vec::new();
    let mut path = "GET /graphs?limit=2".to_owned();
    loop {
        let page = site.send("reader", &path, None).await;
        let graphs = page.body["graphs"].as_array().expect("graphs");
        seen.extend(
            graphs
                .iter()
                .map(|graph| graph["graph_id"].as_str().expect("an id").to_owned()),
        );
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        assert_eq!(graphs.len(), 2);
        path = format!("GET /graphs?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["a", "c", "d"]);
    let of_tenant = site.send("root", "GET /graphs?tenant=closed", None).await;
    assert_eq!(of_tenant.body["graphs"][0]["graph_id"], "b");
    for bad in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=%20",
        "unknown=1",
    ] {
        let answer = site
            .send("reader", &format!("GET /graphs?{bad}"), None)
            .await;
        check_problem(&answer, 400, "invalid_request");
    }
}

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
            "unsupported",
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
        &load("text/csv", String::new()).await,
        415,
        "unsupported_media_type",
    );
    let large = "\n".repeat(101);
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
        ask("application/vnd.apache.arrow.stream")
            .await
            .contains("not_acceptable")
    );
}

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
    let expected: Value = serde_json::from_str(&super::document(Security::Bearer)).expect("JSON");
    assert_eq!(served.body, expected);
    let absent = site.send("", "GET /docs/there-is-no-such-page", None).await;
    check_problem(&absent, 404, "not_found");
    let page = site.send("", "GET /docs/", None).await;
    assert_eq!(page.status, StatusCode::OK);
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

#[tokio::test]
async fn a_graph_that_another_server_holds_is_locked() {
    let site = Site::new();
    assert_eq!(
        site.create("alpha", "open").await.status,
        StatusCode::CREATED
    );
    assert_eq!(
        site.send("root", "GET /graphs/alpha", None).await.status,
        StatusCode::OK
    );
    let folder = tempfile::tempdir().expect("a folder");
    let other = Site {
        router: serving(&site.config()),
        folder,
    };
    let locked = other.send("root", "GET /graphs/alpha", None).await;
    check_problem(&locked, 503, "graph_locked");
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
