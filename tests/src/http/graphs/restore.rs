//! `POST /graphs/{graph_id}/restore`.

use serde_json::json;

use super::delete::delete;
use crate::harness::{Answer, Harness, PEOPLE, Who};

fn restore(server: &Harness, who: Who, graph: &str) -> Answer {
    Answer::of(server.request(
        who,
        reqwest::Method::POST,
        &format!("/graphs/{graph}/restore"),
    ))
}

#[test]
fn it_comes_back_with_everything_also_after_a_restart() {
    let mut server = Harness::start();
    server.create_graph("people", PEOPLE);
    let line = r#"{"type":"Person","data":{"email":"ada@example.org","name":"Ada"}}"#;
    assert_eq!(
        server.load(Who::Writer, "people", "append", line).status,
        200
    );
    let before = server.config();
    assert_eq!(delete(&server, Who::ServerAdmin, "people").status, 200);
    server.restart();
    restore(&server, Who::GraphAdmin, "people").assert_problem(403, "forbidden");
    restore(&server, Who::OtherTenant, "people").assert_problem(404, "graph_not_found");
    restore(&server, Who::ServerAdmin, "nobody").assert_problem(404, "graph_not_found");
    let answer = restore(&server, Who::ServerAdmin, "People");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("etag").is_some());
    assert_eq!(server.config(), before);
    let names = server.rows("people", "MATCH (p:Person) RETURN p.name");
    assert_eq!(names, [[json!("Ada")]]);
    restore(&server, Who::ServerAdmin, "people").assert_problem(409, "graph_exists");
}

#[test]
fn a_place_that_is_taken_is_left_alone() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    assert_eq!(delete(&server, Who::ServerAdmin, "people").status, 200);
    let body = json!({"graph_id": "in", "uri": "../data/people/in", "schema": {"source": PEOPLE}});
    assert_eq!(server.post(Who::ServerAdmin, "/graphs", &body).status, 201);
    let before = server.listing();
    restore(&server, Who::ServerAdmin, "people").assert_problem(409, "uri_in_use");
    server.assert_unchanged(&before, "a refused restore");
}
