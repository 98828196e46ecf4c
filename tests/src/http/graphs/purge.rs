//! `POST /graphs/{graph_id}/purge`.

use std::fs;

use serde_json::json;

use super::delete::delete;
use crate::harness::{Answer, Harness, PEOPLE, Setup, Who};
use crate::program::wait_until;

fn purge(server: &Harness, who: Who, graph: &str) -> Answer {
    Answer::of(server.request(
        who,
        reqwest::Method::POST,
        &format!("/graphs/{graph}/purge"),
    ))
}

#[test]
fn the_data_is_gone_and_nothing_comes_back() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    purge(&server, Who::ServerAdmin, "people").assert_problem(409, "graph_exists");
    assert_eq!(delete(&server, Who::ServerAdmin, "people").status, 200);
    purge(&server, Who::GraphAdmin, "people").assert_problem(403, "forbidden");
    purge(&server, Who::OtherTenant, "people").assert_problem(404, "graph_not_found");
    let answer = purge(&server, Who::ServerAdmin, "people");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body["purged_at"].is_string());
    assert!(!server.folder().join("data/people").exists());
    let restored = server.post(Who::ServerAdmin, "/graphs/people/restore", &json!(null));
    restored.assert_problem(410, "graph_purged");
    purge(&server, Who::ServerAdmin, "people").assert_problem(410, "graph_purged");
    server.create_graph("people", PEOPLE);
}

/// What stays is not said to be gone.
#[test]
fn data_that_cannot_be_shown_to_be_the_graphs_stays() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let mark = server.folder().join("data/people/graph.json");
    let whole = fs::read(&mark).expect("read");
    assert_eq!(delete(&server, Who::ServerAdmin, "people").status, 200);
    fs::write(&mark, "{").expect("written");
    let before = server.listing();
    let refused = purge(&server, Who::ServerAdmin, "people");
    refused.assert_problem(409, "uri_not_empty");
    let told = refused.body["detail"].as_str().expect("a text");
    assert!(told.contains("nothing was removed"), "{told}");
    assert!(
        !told.contains(&*server.folder().to_string_lossy()),
        "{told}"
    );
    server.assert_unchanged(&before, "a refused purge");
    fs::write(&mark, whole).expect("written");
    assert_eq!(purge(&server, Who::ServerAdmin, "people").status, 200);
    assert!(!server.folder().join("data/people").exists());
}

#[test]
fn it_happens_by_itself_when_the_time_is_over() {
    let setup = Setup::default();
    let config = setup
        .config
        .replace("  storage:", "  deleted_retention: 0s\n  storage:");
    let mut server = Setup { config, ..setup }.start();
    server.create_graph("people", PEOPLE);
    server.create_graph("stays", PEOPLE);
    assert_eq!(delete(&server, Who::ServerAdmin, "people").status, 200);
    server.restart();
    let data = server.folder().join("data");
    wait_until("the data is gone", || !data.join("people").exists());
    assert!(data.join("stays/graph.json").exists());
}
