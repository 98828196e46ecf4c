//! `trellis doctor` and `trellis repair`, on a folder that a server left. What they find and mend is
//! tested in `storage-engine/src/doctor`; here it is what an operator sees of it.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::harness::Setup;
use crate::program::{self, Server};

fn trellis(arguments: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let mut command = program::command();
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .args(arguments)
        .arg(folder)
        .output()
        .expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code(), text(&stdout), text(&stderr))
}

fn post(server: &Server, path: &str, body: &Value) -> Value {
    let client = reqwest::blocking::Client::builder();
    let client = client.no_proxy().build().expect("a client");
    let request = client
        .post(format!("{}{path}", server.address()))
        .json(body);
    let answer = request.send().expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.json().expect("JSON")
}

fn add(server: &Server, key: &str) {
    let body = json!({"query": "CREATE (:Item {key: $key})", "params": {"key": key}});
    post(server, "/graphs/items/mutate", &body);
}

/// Flips a byte of the first frame whose entry has `text` in it.
fn flip(log: &Path, text: &str) {
    for entry in fs::read_dir(log).expect("listed") {
        let path = entry.expect("listed").path();
        let mut bytes = fs::read(&path).expect("read");
        let found = bytes
            .windows(text.len())
            .position(|part| part == text.as_bytes());
        if let Some(at) = found {
            bytes[at] ^= 1;
            fs::write(&path, bytes).expect("written");
            return;
        }
    }
    panic!("{text} is nowhere in the log");
}

#[test]
fn a_damaged_graph_is_examined_repaired_and_served() {
    let home = Setup::default().write();
    let config = home.path().join("config/trellis.yaml");
    let graph = home.path().join("data/items");
    let server = Server::start(&config, &["--unauthenticated"]);
    let schema = "node Item { key: String @key }";
    post(
        &server,
        "/graphs",
        &json!({"graph_id": "items", "schema": {"source": schema}}),
    );
    for key in ["first-item", "second-item", "third-item"] {
        add(&server, key);
    }
    let (code, output, _) = trellis(&["doctor"], &graph);
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains("note     writer.lock: process "),
        "{output}"
    );
    let (code, _, error) = trellis(&["repair", "--yes"], &graph);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("holds the graph for writing"), "{error}");
    assert!(server.terminate().success());

    let (code, output, _) = trellis(&["doctor", "--deep", "--format", "json"], &graph);
    assert_eq!(code, Some(0), "{output}");
    let report: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(
        (&report["sound"], &report["last_commit"]["lsn"]),
        (&json!(true), &json!(4))
    );
    let (code, output, _) = trellis(&["repair"], &graph);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.ends_with("needs no repair\n"), "{output}");

    flip(&graph.join("log"), "second-item");
    let (code, output, error) = trellis(&["doctor"], &graph);
    assert_eq!(code, Some(1), "{output}{error}");
    assert!(
        output.contains("the last acknowledged commit that can be read is commit 2 (lsn 2, "),
        "{output}"
    );
    let (code, output, error) = trellis(&["repair"], &graph);
    assert_eq!(code, Some(1), "{output}{error}");
    assert!(output.starts_with("end the log after lsn 2\n"), "{output}");
    assert_eq!(
        error,
        "error: nothing was changed: say --yes to have this done\n"
    );
    let (code, output, error) = trellis(&["repair", "--yes"], &graph);
    assert_eq!(code, Some(0), "{output}{error}");
    assert!(output.contains("lost: commit 4 (lsn 4, "), "{output}");
    assert!(output.ends_with("is sound\n"), "{output}");
    assert_eq!(trellis(&["doctor", "--deep"], &graph).0, Some(0));

    let server = Server::start(&config, &["--unauthenticated"]);
    add(&server, "second-item");
    let body = json!({"query": "MATCH (i:Item) RETURN i.key AS key ORDER BY key"});
    let answer = post(&server, "/graphs/items/query", &body);
    assert_eq!(
        answer["rows"],
        json!([{"key": "first-item"}, {"key": "second-item"}])
    );
    assert!(server.terminate().success());
}

#[test]
fn what_is_no_folder_is_a_mistake_in_the_command_line() {
    let home = tempfile::tempdir().expect("a folder");
    for command in ["doctor", "repair"] {
        let (code, _, error) = trellis(&[command], &home.path().join("none"));
        assert_eq!(code, Some(2), "{error}");
        assert!(error.ends_with("none is not a folder\n"), "{error}");
    }
    let (code, output, error) = trellis(&["doctor"], home.path());
    assert_eq!(code, Some(1), "{output}{error}");
    assert!(error.contains("is damaged: "), "{error}");
}
