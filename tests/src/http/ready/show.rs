//! `GET /readyz`.

use std::fs;

use serde_json::json;

use crate::harness::{Harness, PEOPLE, Who};

#[test]
fn a_stranger_learns_only_whether() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let answer = server.get(Who::Nobody, "/readyz");
    assert_eq!(
        (answer.status, &answer.body),
        (200, &json!({"ready": true}))
    );
    let answer = server.get(Who::ServerAdmin, "/readyz");
    assert_eq!(answer.body["graphs"]["registered"], 1, "{answer:?}");
    assert_eq!(answer.body["config"]["drifted"], false, "{answer:?}");
}

#[test]
fn drift_and_a_broken_graph_are_told_and_touch_no_other() {
    let mut server = Harness::start();
    for id in ["whole", "broken"] {
        server.create_graph(id, PEOPLE);
    }
    fs::write(server.folder().join("data/broken/graph.json"), "{").expect("a file");
    server.restart();
    server
        .get(Who::ServerAdmin, "/graphs/broken/schema")
        .assert_problem(503, "graph_quarantined");
    fs::write(server.config_path(), server.config() + "# a note\n").expect("a file");
    let answer = server.get(Who::ServerAdmin, "/readyz");
    assert_eq!(answer.body["config"]["drifted"], true, "{answer:?}");
    let broken = &answer.body["graphs"]["quarantined"];
    assert_eq!(broken[0]["graph_id"], "broken", "{answer:?}");
    assert!(broken[0]["reason"].is_string(), "{answer:?}");
    assert_eq!(
        server.rows("whole", "MATCH (p:Person) RETURN count(*)"),
        [[json!(0)]]
    );
}
