//! `DELETE /graphs/{graph_id}`: out of the registry at once, its data kept, and nobody writes to it any
//! more.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Harness, PEOPLE, Who};

pub(super) fn delete(server: &Harness, who: Who, graph: &str) -> Answer {
    Answer::of(server.request(who, Method::DELETE, &format!("/graphs/{graph}")))
}

#[test]
fn it_is_gone_for_everybody_and_its_data_is_kept() {
    let server = Harness::start();
    let before = server.config();
    server.create_graph("people", PEOPLE);
    assert_eq!(server.rows("people", "RETURN 1 AS one"), [[json!(1)]]);
    delete(&server, Who::GraphAdmin, "people").assert_problem(403, "forbidden");
    delete(&server, Who::OtherTenant, "people").assert_problem(404, "graph_not_found");
    let answer = delete(&server, Who::ServerAdmin, "PEOPLE");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["graph_id"], "people");
    assert!(answer.body["deleted_at"].as_str() < answer.body["purge_after"].as_str());
    server
        .get(Who::ServerAdmin, "/graphs/people")
        .assert_problem(404, "graph_not_found");
    delete(&server, Who::ServerAdmin, "people").assert_problem(404, "graph_not_found");
    assert_eq!(
        server.config(),
        before
            .replace("graphs: {}", "graphs:{}")
            .replace("graphs:{}", "graphs:"),
        "no entry"
    );
    assert!(server.folder().join("data/people/graph.json").exists());
    // The id can be used again, in a folder of its own.
    server.create_graph("people", PEOPLE);
    let uri = server.get(Who::ServerAdmin, "/graphs/people").body["uri"].clone();
    assert!(
        uri.as_str()
            .is_some_and(|uri| uri.starts_with("../data/people-")),
        "{uri}"
    );
}

#[test]
fn another_version_than_was_seen_is_not_deleted() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let request = server.request(Who::ServerAdmin, Method::DELETE, "/graphs/people");
    Answer::of(request.header("if-match", "\"0000000000000000\""))
        .assert_problem(412, "precondition_failed");
    assert_eq!(server.get(Who::ServerAdmin, "/graphs/people").status, 200);
}

/// The version that was read of a graph is none of another graph that has its id and its place by now.
#[test]
fn a_version_holds_for_no_later_graph_of_the_same_id() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let etag = || {
        let shown = server.get(Who::ServerAdmin, "/graphs/people");
        shown.header("etag").expect("an ETag").to_owned()
    };
    let delete_if = |etag: &str| {
        let request = server.request(Who::ServerAdmin, Method::DELETE, "/graphs/people");
        Answer::of(request.header("if-match", etag))
    };
    let first = etag();
    assert_eq!(delete(&server, Who::ServerAdmin, "people").status, 200);
    let purged = server.post(Who::ServerAdmin, "/graphs/people/purge", &json!(null));
    assert_eq!(purged.status, 200, "{purged:?}");
    server.create_graph("people", PEOPLE);
    assert!(
        server.folder().join("data/people").exists(),
        "the same place"
    );
    delete_if(&first).assert_problem(412, "precondition_failed");
    assert_eq!(delete_if(&etag()).status, 200);
}

/// While writers are at it: what was acknowledged before is there after a restore, and nothing is
/// acknowledged after the delete was.
#[test]
fn no_commit_is_acknowledged_after_the_delete_was() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let deleted = AtomicBool::new(false);
    let acknowledged: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (server, deleted) = (&server, &deleted);
                scope.spawn(move || {
                    let mut acknowledged = 0;
                    for count in 0..2_000 {
                        let gone = deleted.load(Ordering::Acquire);
                        let query = "CREATE (:Person {email: $email, name: 'x'})";
                        let email = format!("{writer}-{count}");
                        let body = json!({"query": query, "params": {"email": email}});
                        match server
                            .post(Who::Writer, "/graphs/people/mutate", &body)
                            .status
                        {
                            200 if gone => panic!("a commit after the delete"),
                            200 => acknowledged += 1,
                            404 => break,
                            503 => {}
                            status => panic!("{status}"),
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(200));
        let answer = delete(&server, Who::ServerAdmin, "people");
        deleted.store(true, Ordering::Release);
        assert_eq!(answer.status, 200, "{answer:?}");
        writers
            .into_iter()
            .map(|writer| writer.join().expect("ends"))
            .sum()
    });
    let restored = server.post(Who::ServerAdmin, "/graphs/people/restore", &json!(null));
    assert_eq!(restored.status, 200, "{restored:?}");
    let count = server.rows("people", "MATCH (p:Person) RETURN count(*)");
    assert_eq!(count, [[json!(acknowledged)]]);
}
