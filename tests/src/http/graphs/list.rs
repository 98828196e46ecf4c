//! `GET /graphs`: what may be seen, a page at a time.

use serde_json::json;

use super::delete::delete;
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

/// Deleted graphs are shown to those who may bring them back, and several of one id are told apart.
#[test]
fn deleted_graphs_are_for_those_who_may_restore_them() {
    let server = server();
    let deleted = |who, more: &str| server.get(who, &format!("/graphs?state=deleted{more}"));
    assert!(ids(&deleted(Who::ServerAdmin, "")).is_empty());
    for id in ["bravo", "alpha"] {
        assert_eq!(delete(&server, Who::ServerAdmin, id).status, 200);
    }
    server.create_graph("alpha", PEOPLE);
    assert_eq!(delete(&server, Who::ServerAdmin, "alpha").status, 200);
    let all = deleted(Who::ServerAdmin, "");
    assert_eq!(ids(&all), ["alpha", "alpha", "bravo"]);
    for graph in all.body["graphs"].as_array().expect("a list") {
        assert_eq!(graph["state"], "deleted");
        assert!(
            graph["deleted_at"].as_str() < graph["purge_after"].as_str(),
            "{graph}"
        );
    }
    let (mut seen, mut more) = (Vec::new(), String::new());
    loop {
        let page = deleted(Who::ServerAdmin, &format!("&limit=1{more}"));
        seen.extend(ids(&page));
        match page.body["next_cursor"].as_str() {
            Some(cursor) => more = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ["alpha", "alpha", "bravo"]);
    assert_eq!(ids(&deleted(Who::ServerAdmin, "&tenant=acme")).len(), 3);
    assert!(ids(&deleted(Who::ServerAdmin, "&tenant=rival")).is_empty());
    for who in [Who::Reader, Who::GraphAdmin, Who::OtherTenant] {
        assert!(ids(&deleted(who, "")).is_empty(), "{who:?}");
    }
    deleted(Who::Nobody, "").assert_problem(401, "unauthenticated");
    deleted(Who::ServerAdmin, "&cursor=alpha").assert_problem(400, "invalid_request");
    assert_eq!(ids(&server.get(Who::Reader, "/graphs")), ["charlie"]);
}

#[test]
fn a_list_can_be_of_one_state() {
    let server = server();
    server.rows("bravo", "MATCH (p:Person) RETURN count(*)");
    assert_eq!(
        ids(&server.get(Who::Reader, "/graphs?state=open")),
        ["bravo"]
    );
    let closed = server.get(Who::Reader, "/graphs?state=closed&limit=1");
    assert_eq!(ids(&closed), ["alpha"]);
    let cursor = closed.body["next_cursor"].as_str().expect("another page");
    let path = format!("/graphs?state=closed&limit=1&cursor={cursor}");
    assert_eq!(ids(&server.get(Who::Reader, &path)), ["charlie"]);
    assert!(ids(&server.get(Who::Reader, "/graphs?state=quarantined")).is_empty());
    server
        .get(Who::Reader, "/graphs?state=gone")
        .assert_problem(400, "invalid_request");
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
