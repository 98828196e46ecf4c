//! `POST /graphs/{graph_id}/retry`.

use std::fs;

use serde_json::json;

use crate::harness::{Harness, PEOPLE, Who};

#[test]
fn a_graph_that_was_mended_is_opened_again_at_once() {
    let mut server = Harness::start();
    server.create_graph("people", PEOPLE);
    server.create_graph("whole", PEOPLE);
    let mark = server.folder().join("data/people/graph.json");
    let text = fs::read_to_string(&mark).expect("a file");
    fs::write(&mark, "{").expect("a file");
    server.restart();
    let query = json!({"query": "RETURN 1 AS one"});
    let ask = |server: &Harness| server.post(Who::Reader, "/graphs/people/query", &query);
    let answer = ask(&server);
    answer.assert_problem(503, "graph_quarantined");
    assert!(
        answer.body["errors"][0]["message"].is_string(),
        "{answer:?}"
    );
    let retry = |who| server.post(who, "/graphs/people/retry", &json!(null));
    retry(Who::GraphAdmin).assert_problem(503, "graph_quarantined");
    fs::write(&mark, text).expect("a file");
    // Left alone, it waits for its time.
    ask(&server).assert_problem(503, "graph_quarantined");
    retry(Who::Writer).assert_problem(403, "forbidden");
    retry(Who::OtherTenant).assert_problem(404, "graph_not_found");
    let answer = retry(Who::GraphAdmin);
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (200, &json!("open")),
        "{answer:?}"
    );
    assert_eq!(ask(&server).status, 200);
    assert_eq!(server.rows("whole", "RETURN 1 AS one"), [[json!(1)]]);
}
