//! `GET /graphs`: what may be seen, a page at a time.

use serde_json::json;

use crate::harness::{Harness, PEOPLE, Who};

fn ids(answer: &crate::harness::Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let graphs = answer.body["graphs"].as_array().expect("a list");
    graphs
        .iter()
        .filter_map(|graph| graph["graph_id"].as_str())
        .map(str::to_owned)
        .collect()
}

fn server() -> Harness {
    let server = Harness::start();
    for id in ["charlie", "alpha", "bravo"] {
        server.create_graph(id, PEOPLE);
    }
    server
}

#[test]
fn a_graph_of_another_tenant_is_not_in_the_list() {
    let server = server();
    for who in [Who::Reader, Who::Writer, Who::GraphAdmin, Who::ServerAdmin] {
        assert_eq!(
            ids(&server.get(who, "/graphs")),
            ["alpha", "bravo", "charlie"],
            "{who:?}"
        );
    }
    assert!(ids(&server.get(Who::OtherTenant, "/graphs")).is_empty());
    for who in [Who::Nobody, Who::Stranger] {
        server
            .get(who, "/graphs")
            .assert_problem(401, "unauthenticated");
    }
}

#[test]
fn pages_follow_each_other_to_the_end() {
    let server = server();
    let first = server.get(Who::Reader, "/graphs?limit=2");
    assert_eq!(ids(&first), ["alpha", "bravo"]);
    let cursor = first.body["next_cursor"].as_str().expect("another page");
    let second = server.get(Who::Reader, &format!("/graphs?limit=2&cursor={cursor}"));
    assert_eq!(ids(&second), ["charlie"]);
    assert_eq!(second.body["next_cursor"], json!(null));
}

#[test]
fn a_wrong_page_is_refused() {
    let server = Harness::start();
    for query in ["limit=0", "limit=1001", "limit=many", "page=2"] {
        server
            .get(Who::Reader, &format!("/graphs?{query}"))
            .assert_problem(400, "invalid_request");
    }
}
