//! `GET /graphs/{graph_id}/schema`.

use reqwest::Method;

use crate::harness::{Answer, Harness, PEOPLE, Who};

#[test]
fn the_source_comes_back_as_it_was_given() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let answer = server.get(Who::Reader, "/graphs/people/schema");
    assert_eq!(answer.body["source"], PEOPLE, "{answer:?}");
    assert_eq!(answer.body["node_types"][0]["name"], "Person");
    assert_eq!(answer.body["edge_types"][0]["source"], "Person");
    let text = server.request(Who::Reader, Method::GET, "/graphs/people/schema");
    assert_eq!(Answer::of(text.header("accept", "text/plain")).text, PEOPLE);
    server
        .get(Who::OtherTenant, "/graphs/people/schema")
        .assert_problem(404, "graph_not_found");
}
