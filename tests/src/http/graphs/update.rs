//! `PATCH /graphs/{graph_id}`: what a graph is to policies is changed, and nothing else in the file.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, PEOPLE, TENANT, Who};

fn patch(server: &Harness, who: Who, graph: &str, body: &Value) -> Answer {
    let path = format!("/graphs/{graph}");
    Answer::of(server.request(who, Method::PATCH, &path).json(body))
}

#[test]
fn policies_see_the_change_at_once_and_the_file_keeps_the_rest() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let before = server.config();
    let body = json!({"labels": {"env": "prod"}});
    let answer = patch(&server, Who::GraphAdmin, "people", &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["labels"], json!({"env": "prod"}));
    let expect = before.replace(
        "    tenant: acme\n",
        "    tenant: acme\n    labels: { env: prod }\n",
    );
    assert_eq!(server.config(), expect);
    let answer = patch(
        &server,
        Who::ServerAdmin,
        "people",
        &json!({"tenant": "rival"}),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let query = json!({"query": "RETURN 1 AS one"});
    let path = "/graphs/people/query";
    assert_eq!(server.post(Who::OtherTenant, path, &query).status, 200);
    server
        .post(Who::Reader, path, &query)
        .assert_problem(404, "graph_not_found");
    let answer = patch(
        &server,
        Who::ServerAdmin,
        "people",
        &json!({"tenant": null, "labels": {}}),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.config(), before.replace("    tenant: acme\n", ""));
}

#[test]
fn an_own_policy_is_one_in_the_roots_that_is_sound() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let policy = |name: &str, text: &str| {
        fs::write(server.folder().join("policies").join(name), text).expect("a file");
        json!({"policy": {"file": format!("../policies/{name}")}})
    };
    let closing = policy(
        "closing.cedar",
        "forbid (principal, action == Action::\"query\", resource);",
    );
    assert_eq!(
        patch(&server, Who::ServerAdmin, "people", &closing).status,
        200
    );
    let query = json!({"query": "RETURN 1 AS one"});
    server
        .post(Who::Reader, "/graphs/people/query", &query)
        .assert_problem(403, "forbidden");
    let before = server.listing();
    let broken = policy("broken.cedar", "forbid");
    patch(&server, Who::ServerAdmin, "people", &broken).assert_problem(400, "invalid_policy");
    for file in [
        "/etc/passwd",
        "../config/trellis.yaml",
        "../policies/none",
        "",
    ] {
        let body = json!({"policy": {"file": file}});
        patch(&server, Who::ServerAdmin, "people", &body).assert_problem(400, "invalid_uri");
    }
    fs::remove_file(server.folder().join("policies/broken.cedar")).expect("a file less");
    server.assert_unchanged(&before, "refused changes");
    let answer = patch(
        &server,
        Who::ServerAdmin,
        "people",
        &json!({"policy": null}),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        server
            .post(Who::Reader, "/graphs/people/query", &query)
            .status,
        200
    );
}

/// A graph's own policy may forbid what the server's permits: who only describes the graph does not take it
/// away.
#[test]
fn describing_a_graph_does_not_replace_its_policy() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let file = server.folder().join("policies/open.cedar");
    fs::write(&file, "permit (principal, action, resource);").expect("a file");
    let open = json!({"policy": {"file": "../policies/open.cedar"}});
    let before = server.listing();
    for body in [
        &open,
        &json!({"policy": null}),
        &json!({"policy": null, "labels": {}}),
    ] {
        patch(&server, Who::GraphAdmin, "people", body).assert_problem(403, "forbidden");
        patch(&server, Who::OtherTenant, "people", body).assert_problem(404, "graph_not_found");
    }
    server.assert_unchanged(&before, "a policy that was not replaced");
    assert_eq!(
        patch(&server, Who::ServerAdmin, "people", &open).status,
        200
    );
}

#[test]
fn nobody_overwrites_what_they_have_not_seen() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let shown = server.get(Who::GraphAdmin, "/graphs/people");
    let etag = shown.header("etag").expect("a version").to_owned();
    let on = |etag: &str, env: &str| {
        let request = server.request(Who::GraphAdmin, Method::PATCH, "/graphs/people");
        let body = json!({"labels": {"env": env}});
        Answer::of(request.header("if-match", etag).json(&body))
    };
    let first = on(&etag, "one");
    assert_eq!(first.status, 200, "{first:?}");
    on(&etag, "two").assert_problem(412, "precondition_failed");
    on("nonsense", "two").assert_problem(400, "invalid_request");
    let shown = server.get(Who::GraphAdmin, "/graphs/people");
    assert_eq!(shown.header("etag"), first.header("etag"));
    assert_eq!(shown.body["labels"]["env"], "one");
    assert_eq!(on("*", "three").status, 200);
}

#[test]
fn a_graph_is_not_given_away_to_where_its_giver_has_no_say() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let before = server.listing();
    for tenant in [json!("rival"), json!(null)] {
        patch(
            &server,
            Who::GraphAdmin,
            "people",
            &json!({"tenant": tenant}),
        )
        .assert_problem(403, "forbidden");
    }
    patch(&server, Who::ServerAdmin, "people", &json!({"tenant": " "}))
        .assert_problem(400, "invalid_request");
    patch(&server, Who::ServerAdmin, "people", &json!({"uri": "x"}))
        .assert_problem(400, "invalid_request");
    server.assert_unchanged(&before, "refused changes");
    assert_eq!(
        server.get(Who::Reader, "/graphs/people").body["tenant"],
        json!(TENANT)
    );
}
