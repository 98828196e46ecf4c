//! What every operation must refuse, and every start of a server: a precise problem, and nothing
//! on the disk has changed. What is particular to an operation is in its own tests.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Harness, PEOPLE, Setup, Who};
use crate::{listing, program};

/// A body with its media type.
type Body = (&'static str, Vec<u8>);

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
/// What a body may have here, in bytes.
const LIMIT: usize = 20_000;

/// A server that takes small bodies only.
fn server() -> Harness {
    let setup = Setup::default();
    let limits =
        format!("  limits: {{ json_body_bytes: {LIMIT}, load_body_bytes: {LIMIT} }}\nauth:");
    let server = Setup {
        config: setup.config.replace("auth:", &limits),
        ..setup
    }
    .start();
    server.create_graph("people", PEOPLE);
    let line = r#"{"type":"Person","data":{"email":"ada@example.org","name":"Ada"}}"#;
    let loaded = server.load(Who::Writer, "people", "append", line);
    assert_eq!(loaded.status, 200, "{loaded:?}");
    server
}

fn json(text: &str) -> Body {
    (JSON, text.as_bytes().to_vec())
}

fn lines(text: &str) -> Body {
    (NDJSON, text.as_bytes().to_vec())
}

fn refused(server: &Harness, cases: Vec<(Method, &str, Option<Body>, u16, &str)>) {
    let before = server.listing();
    for (method, path, body, status, code) in cases {
        let mut request = server.request(Who::ServerAdmin, method.clone(), path);
        let mut sent = String::new();
        if let Some((media_type, body)) = body {
            sent = String::from_utf8_lossy(&body).chars().take(80).collect();
            request = request.header("content-type", media_type).body(body);
        }
        let asked = format!("{method} {path} {sent}");
        let answer = Answer::of(request);
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (status, Some(code)),
            "{asked}: {answer:?}"
        );
        answer.assert_problem(status, code);
        let detail = answer.body["detail"].as_str();
        assert!(
            detail.is_some_and(|detail| detail.len() > 5),
            "{asked}: {answer:?}"
        );
        server.assert_unchanged(&before, &asked);
    }
    let people = server.rows("people", "MATCH (p:Person) RETURN p.name");
    assert_eq!(people, [[json!("Ada")]]);
}

#[test]
fn a_body_that_is_not_what_it_should_be() {
    let server = server();
    let long = "x".repeat(LIMIT + 1);
    let mut cases = Vec::new();
    for path in ["/graphs", "/graphs/people/query", "/graphs/people/mutate"] {
        for (body, status, code) in [
            (json(""), 400, "invalid_json"),
            (json("{"), 400, "invalid_json"),
            (json("null"), 400, "invalid_request"),
            (json("[]"), 400, "invalid_request"),
            (json(r#"{"nonsense": 1}"#), 400, "invalid_request"),
            (json(&"[".repeat(10_000)), 400, "invalid_request"),
            ((JSON, vec![b'{', 0xff, b'}']), 400, "invalid_json"),
            (lines("{}"), 415, "unsupported_media_type"),
            (
                ("text/plain", b"{}".to_vec()),
                415,
                "unsupported_media_type",
            ),
            (
                json(&format!("{{\"query\": \"{long}\"}}")),
                413,
                "body_too_large",
            ),
        ] {
            cases.push((Method::POST, path, Some(body), status, code));
        }
        cases.push((Method::POST, path, None, 415, "unsupported_media_type"));
    }
    let load = "/graphs/people/load";
    for (body, status, code) in [
        (json("{}"), 415, "unsupported_media_type"),
        (lines("nonsense"), 400, "invalid_rows"),
        (lines("[]"), 400, "invalid_rows"),
        (lines("{}"), 400, "invalid_rows"),
        (
            lines(r#"{"type":"Person","edge":"Knows"}"#),
            400,
            "invalid_rows",
        ),
        (
            lines(r#"{"type":"Person","data":{"email":"b","name":"B"},"more":1}"#),
            400,
            "invalid_rows",
        ),
        (lines(&"[".repeat(10_000)), 400, "invalid_rows"),
        ((NDJSON, vec![0xff, b'\n']), 400, "invalid_rows"),
        (lines(&long), 413, "body_too_large"),
    ] {
        cases.push((Method::POST, load, Some(body), status, code));
    }
    refused(&server, cases);
}

#[test]
fn a_statement_or_a_parameter_that_is_wrong() {
    let server = server();
    let nested = format!("RETURN {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let mut cases = Vec::new();
    for (body, code) in [
        (json!({"query": ""}), "invalid_query"),
        (
            json!({"query": "MATCH (p:Persn) SET p.name = 'x'"}),
            "invalid_query",
        ),
        (
            json!({"query": "CREATE (:Person {email: 'b'})"}),
            "invalid_query",
        ),
        (
            json!({"query": "CREATE (:Person {email: 'b', name: 3})"}),
            "invalid_query",
        ),
        (json!({"query": "CALL db.nothing()"}), "invalid_query"),
        (json!({"query": nested}), "invalid_query"),
        (
            json!({"query": "CREATE (:Person {email: 'b', name: $name})"}),
            "invalid_parameters",
        ),
        (
            json!({"query": "CREATE (:Person {email: 'b', name: $name})", "params": {"name": 7}}),
            "invalid_parameters",
        ),
        (json!({"query": 7}), "invalid_request"),
        (
            json!({"query": "RETURN 1", "if_commit": "nonsense"}),
            "invalid_request",
        ),
        (
            json!({"query": "RETURN 1", "statements": []}),
            "invalid_request",
        ),
        (json!({"statements": []}), "invalid_request"),
        (
            json!({"statements": [{"query": "CREATE (:Person {email: 'b', name: 'B'})"}, {"query": "RETURN"}]}),
            "invalid_query",
        ),
    ] {
        let body = Some(json(&body.to_string()));
        cases.push((Method::POST, "/graphs/people/mutate", body, 400, code));
    }
    for (body, status, code) in [
        (
            json!({"query": "CREATE (:Person {email: 'b', name: 'B'})"}),
            400,
            "write_in_read_query",
        ),
        (
            json!({"query": "RETURN 1", "timeout_ms": 0}),
            400,
            "invalid_request",
        ),
        (
            json!({"query": "RETURN 1", "max_rows": -1}),
            400,
            "invalid_request",
        ),
        (
            json!({"query": "RETURN 1", "branch": "none"}),
            404,
            "branch_not_found",
        ),
    ] {
        let body = Some(json(&body.to_string()));
        cases.push((Method::POST, "/graphs/people/query", body, status, code));
    }
    refused(&server, cases);
}

#[test]
fn a_path_that_leads_nowhere() {
    let server = server();
    let body = || {
        Some(json(
            r#"{"query": "CREATE (:Person {email: 'b', name: 'B'})"}"#,
        ))
    };
    let row = || {
        Some(lines(
            r#"{"type":"Person","data":{"email":"b","name":"B"}}"#,
        ))
    };
    refused(
        &server,
        vec![
            (Method::GET, "/nowhere", None, 404, "not_found"),
            (Method::POST, "/query", body(), 404, "not_found"),
            (Method::POST, "/mutate", body(), 404, "not_found"),
            (Method::DELETE, "/graphs", None, 405, "method_not_allowed"),
            (
                Method::PUT,
                "/graphs/people/load",
                row(),
                405,
                "method_not_allowed",
            ),
            (
                Method::GET,
                "/graphs/people/mutate",
                None,
                405,
                "method_not_allowed",
            ),
            (Method::GET, "/graphs/nobody", None, 404, "graph_not_found"),
            (
                Method::GET,
                "/graphs/a_b/schema",
                None,
                404,
                "graph_not_found",
            ),
            (
                Method::GET,
                "/graphs/..%2fpeople",
                None,
                404,
                "graph_not_found",
            ),
            (Method::GET, "/graphs/%ff", None, 404, "graph_not_found"),
            (
                Method::POST,
                "/graphs/nobody/mutate",
                body(),
                404,
                "graph_not_found",
            ),
            (
                Method::POST,
                "/graphs/nobody/load",
                row(),
                404,
                "graph_not_found",
            ),
            (
                Method::GET,
                "/graphs/people/export?type=Persn",
                None,
                400,
                "invalid_request",
            ),
            (
                Method::GET,
                "/graphs/people/export?colour=red",
                None,
                400,
                "invalid_request",
            ),
            (
                Method::GET,
                "/graphs/people/export?branch=none",
                None,
                404,
                "branch_not_found",
            ),
            (
                Method::POST,
                "/graphs/people/load?mode=replace",
                row(),
                400,
                "invalid_request",
            ),
            (
                Method::POST,
                "/graphs/people/load?branch=none",
                row(),
                404,
                "branch_not_found",
            ),
            (
                Method::POST,
                "/graphs/people/load?colour=red",
                row(),
                400,
                "invalid_request",
            ),
        ],
    );
}

/// A server that is started with a mistake says which, ends with 1 and leaves the folder as it is.
#[test]
fn a_server_does_not_start_on_what_is_wrong() {
    let config = Setup::default().config;
    let with = |from: &str, to: &str| config.replace(from, to);
    let cases = [
        ("config/trellis.yaml", String::new(), "version: 1"),
        ("config/trellis.yaml", "a: [".to_owned(), "not valid YAML"),
        (
            "config/trellis.yaml",
            with("version: 1", "version: 2"),
            "version 2",
        ),
        ("config/trellis.yaml", with("storage:", "store:"), "store"),
        (
            "config/trellis.yaml",
            with(
                "graphs: {}",
                "graphs: {a: {uri: ../data/a}, A: {uri: ../data/b}}",
            ),
            "same id",
        ),
        (
            "config/trellis.yaml",
            with("server.cedar", "none.cedar"),
            "none.cedar",
        ),
        (
            "config/trellis.yaml",
            with("tokens.yaml", "none.yaml"),
            "none.yaml",
        ),
        (
            "config/tokens.yaml",
            "ada: {sha256: abc}\n".to_owned(),
            "SHA-256",
        ),
        ("config/tokens.yaml", "ada: [\n".to_owned(), "tokens.yaml"),
        (
            "policies/server.cedar",
            "permit (principal,".to_owned(),
            "server.cedar:1:",
        ),
        (
            "policies/server.cedar",
            "permit (principal, action == Action::\"qury\", resource);".to_owned(),
            "query",
        ),
    ];
    // Taking the lock of the config makes its file, which says nothing.
    let files = |folder: &std::path::Path| {
        let mut found = listing::of(folder);
        found.retain(|path, _| !path.starts_with("config/.trellis"));
        found
    };
    for (file, text, expected) in cases {
        let folder = Setup::default().write();
        std::fs::write(folder.path().join(file), &text).expect("a file");
        let before = files(folder.path());
        let output = program::command()
            .args(["serve", "--config"])
            .arg(folder.path().join("config/trellis.yaml"))
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{file} {text}: {said}");
        assert!(said.contains(expected), "{file} {text}: {said}");
        let changed = listing::differences(&before, &files(folder.path()));
        assert!(changed.is_empty(), "{file} {text}: {changed:?}");
    }
}
