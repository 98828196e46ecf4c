//! `GET /graphs/{graph_id}`.

use serde_json::json;

use crate::harness::{Harness, PEOPLE, Who};

#[test]
fn it_counts_what_is_there() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let lines = "\
        {\"type\":\"Person\",\"data\":{\"email\":\"a\",\"name\":\"Ada\"}}\n\
        {\"type\":\"Person\",\"data\":{\"email\":\"b\",\"name\":\"Bob\"}}\n\
        {\"edge\":\"Knows\",\"from\":\"a\",\"to\":\"b\"}\n";
    assert_eq!(
        server.load(Who::Writer, "people", "append", lines).status,
        200
    );
    let answer = server.get(Who::Reader, "/graphs/people");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["nodes"], json!({"Person": 2}));
    assert_eq!(answer.body["edges"], json!({"Knows": 1}));
    assert_eq!(answer.body["head"]["principal"], "writer");
    let memory = &answer.body["storage"]["memory"];
    let part = |name: &str| memory[name].as_u64().expect("a number");
    let parts = [
        "columns_bytes",
        "keys_bytes",
        "topology_bytes",
        "changes_bytes",
        "answers_bytes",
    ];
    assert_eq!(part("bytes"), parts.map(part).iter().sum::<u64>());
    // Nothing is folded yet.
    assert!(part("changes_bytes") > 0, "{memory}");
}

#[test]
fn what_may_not_be_seen_is_answered_like_what_is_not_there() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let hidden = server.get(Who::OtherTenant, "/graphs/people");
    let absent = server.get(Who::OtherTenant, "/graphs/nobody");
    hidden.assert_problem(404, "graph_not_found");
    absent.assert_problem(404, "graph_not_found");
    let told = |answer: &crate::harness::Answer| answer.text.replace("people", "nobody");
    let same = |text: String| {
        let mut body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        body["request_id"] = json!(null);
        body
    };
    assert_eq!(same(told(&hidden)), same(told(&absent)));
}
