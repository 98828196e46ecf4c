//! `POST /graphs/{graph_id}/restore`.

use serde_json::{Value, json};

use super::delete::delete;
use crate::harness::{Answer, Harness, PEOPLE, Setup, TENANT, Who};

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

/// Each tenant does everything with its own graphs and sees no others.
const APART: &str = r#"
@id("admins") permit (principal in Group::"admins", action, resource);
@id("make") permit (principal, action in [Action::"graph_list", Action::"graph_create"], resource);
@id("own") permit (principal, action, resource)
when { principal has tenant && resource has tenant && principal.tenant == resource.tenant };
"#;

/// A server of tenants that are kept apart.
fn apart() -> Harness {
    Setup {
        policy: APART.to_owned(),
        ..Setup::default()
    }
    .start()
}

/// A graph of one of the two, with one person in it.
fn make(server: &Harness, who: Who, graph: &str, email: &str) {
    let tenant = match who {
        Who::OtherTenant => "rival",
        _ => TENANT,
    };
    let body = json!({"graph_id": graph, "tenant": tenant, "schema": {"source": PEOPLE}});
    let answer = server.post(who, "/graphs", &body);
    assert_eq!(answer.status, 201, "{answer:?}");
    let person =
        json!({"query": "CREATE (:Person {email: $email, name: 'x'})", "params": {"email": email}});
    let path = format!("/graphs/{graph}/mutate");
    let answer = server.post(who, &path, &person);
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn emails(server: &Harness, graph: &str) -> Vec<Vec<Value>> {
    server.rows(graph, "MATCH (p:Person) RETURN p.email")
}

/// Another tenant gets no place in, on or around a deleted graph's, and is told no more than of a live one.
#[test]
fn the_place_of_a_deleted_graph_is_nobody_elses() {
    let server = apart();
    make(&server, Who::Writer, "victim", "ann");
    let ask = || {
        let places = ["victim", "victim/tables/x", "victim/log/y"];
        let answers = places.map(|place| {
            let uri = format!("../data/{place}");
            let schema = json!({"source": PEOPLE});
            let body = json!({"graph_id": "evil", "tenant": "rival", "uri": uri, "schema": schema});
            let answer = server.post(Who::OtherTenant, "/graphs", &body);
            answer.assert_problem(409, "uri_in_use");
            answer.body["detail"].clone()
        });
        answers.to_vec()
    };
    let of_live = ask();
    assert_eq!(delete(&server, Who::Writer, "victim").status, 200);
    let before = server.listing();
    assert_eq!(ask(), of_live);
    server.assert_unchanged(&before, "refused creates");
    assert_eq!(restore(&server, Who::Writer, "victim").status, 200);
    assert_eq!(emails(&server, "victim"), [[json!("ann")]]);
    assert_eq!(delete(&server, Who::Writer, "victim").status, 200);
    let purged = server.post(Who::Writer, "/graphs/victim/purge", &json!(null));
    assert_eq!(purged.status, 200, "{purged:?}");
}

/// What another tenant deletes is in nobody's way, and each deletion can be named.
#[test]
fn of_several_deleted_graphs_each_gets_their_own() {
    let server = apart();
    let deletion = |who| {
        let answer = delete(&server, who, "shared");
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = |field: &str| answer.body[field].as_str().expect("a text").to_owned();
        (text("deletion"), text("uri"))
    };
    make(&server, Who::Writer, "shared", "first");
    let (first, first_uri) = deletion(Who::Writer);
    make(&server, Who::Writer, "shared", "second");
    let (second, _) = deletion(Who::Writer);
    make(&server, Who::OtherTenant, "shared", "rival");
    let (rival, rival_uri) = deletion(Who::OtherTenant);
    let listed = server.get(Who::Writer, "/graphs?state=deleted");
    let listed = listed.body["graphs"].as_array().expect("a list").iter();
    let mut listed: Vec<_> = listed.filter_map(|it| it["deletion"].as_str()).collect();
    listed.sort_unstable();
    let mut expected = [first.as_str(), &second];
    expected.sort_unstable();
    assert_eq!(listed, expected);

    // The newest of one's own.
    let answer = restore(&server, Who::Writer, "shared");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(emails(&server, "shared"), [[json!("second")]]);
    let (second, _) = deletion(Who::Writer);
    // The one that is named, if one may.
    let named = |who, verb: &str, deletion: &str| {
        let path = format!("/graphs/shared/{verb}?deletion={deletion}");
        server.post(who, &path, &json!(null))
    };
    for verb in ["restore", "purge"] {
        named(Who::Writer, verb, &rival).assert_problem(404, "graph_not_found");
        named(Who::Writer, verb, "newest").assert_problem(400, "invalid_request");
        let nobodys = "00000000-0000-4000-8000-000000000000";
        named(Who::ServerAdmin, verb, nobodys).assert_problem(404, "graph_not_found");
    }
    let answer = named(Who::Writer, "restore", &first);
    assert_eq!(
        (answer.status, &answer.body["uri"]),
        (200, &json!(first_uri)),
        "{answer:?}"
    );
    assert_eq!(emails(&server, "shared"), [[json!("first")]]);
    restore(&server, Who::OtherTenant, "shared").assert_problem(409, "graph_exists");
    let purged = named(Who::Writer, "purge", &second);
    assert_eq!(purged.status, 200, "{purged:?}");
    assert_eq!(purged.body["deletion"], json!(second));
    named(Who::Writer, "purge", &second).assert_problem(410, "graph_purged");
    restore(&server, Who::Writer, "shared").assert_problem(409, "graph_exists");
    let path = "/graphs/shared/purge";
    let purged = server.post(Who::OtherTenant, path, &json!(null));
    assert_eq!(
        (purged.status, &purged.body["uri"]),
        (200, &json!(rival_uri)),
        "{purged:?}"
    );
    assert_eq!(emails(&server, "shared"), [[json!("first")]]);
}
