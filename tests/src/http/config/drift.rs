//! `GET /admin/config/drift`.

use std::fs;

use serde_json::json;

use crate::harness::{Harness, PEOPLE, Who};

const DRIFT: &str = "/admin/config/drift";

#[test]
fn what_somebody_changed_is_told_key_by_key() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let answer = server.get(Who::ServerAdmin, DRIFT);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["drifted"], false);
    assert_eq!(answer.body["baseline_digest"], answer.body["disk_digest"]);
    assert_eq!(answer.body["changes"], json!([]));
    let text = server
        .config()
        .replace("tenant: acme", "tenant: rival # moved")
        + "  more:\n    uri: ../data/more\n";
    fs::write(server.config_path(), text).expect("a file");
    let answer = server.get(Who::ServerAdmin, DRIFT);
    assert_eq!(answer.body["drifted"], true, "{answer:?}");
    assert_eq!(
        answer.body["changes"],
        json!([
            {"path": "graphs.people.tenant", "kind": "changed", "before": "acme", "after": "rival"},
            {"path": "graphs.more", "kind": "added", "before": null, "after": {"uri": "../data/more"}},
        ])
    );
    assert_eq!(answer.body["problems"], json!([]));
    // What is served is what was read.
    assert_eq!(
        server.get(Who::ServerAdmin, "/graphs/people").body["tenant"],
        "acme"
    );
}

#[test]
fn what_is_wrong_with_the_file_is_told_with_its_place() {
    let server = Harness::start();
    let text = server.config().replace(
        "graphs: {}",
        "graphs:\n  a: {uri: ../data/a, tenent: x}\n  b: {}",
    );
    fs::write(server.config_path(), text).expect("a file");
    let answer = server.get(Who::ServerAdmin, DRIFT);
    let problems = answer.body["problems"].as_array().expect("problems");
    let paths: Vec<_> = problems
        .iter()
        .filter_map(|one| one["path"].as_str())
        .collect();
    assert_eq!(paths, ["graphs.a.tenent", "graphs.b.uri"], "{answer:?}");
    assert!(
        problems.iter().all(|one| one["line"].is_number()),
        "{answer:?}"
    );
}
