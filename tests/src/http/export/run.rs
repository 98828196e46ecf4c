//! `GET /graphs/{graph_id}/export`.

use std::collections::BTreeSet;

use crate::harness::{Harness, PEOPLE, Who};

#[test]
fn load_takes_back_what_export_gives() {
    let server = Harness::start();
    server.create_graph("one", PEOPLE);
    server.create_graph("two", PEOPLE);
    let lines = "\
        {\"type\":\"Person\",\"data\":{\"email\":\"a\",\"name\":\"Ada \\\"A\\\" L\\u00f6\",\"born\":\"1815-12-10\",\"age\":36}}\n\
        {\"type\":\"Person\",\"data\":{\"email\":\"b\",\"name\":\"Bob\"}}\n\
        {\"edge\":\"Knows\",\"from\":\"a\",\"to\":\"b\",\"data\":{\"since\":\"1833-06-05\"}}\n\
        {\"edge\":\"Knows\",\"from\":\"b\",\"to\":\"a\"}\n";
    assert_eq!(server.load(Who::Writer, "one", "append", lines).status, 200);
    let first = server.get(Who::Reader, "/graphs/one/export");
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.header("content-type"), Some("application/x-ndjson"));
    let back = server.load(Who::Writer, "two", "append", &first.text);
    assert_eq!(back.status, 200, "{back:?}");
    let second = server.get(Who::Reader, "/graphs/two/export");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(lines(&first.text), lines(&second.text));
    assert_eq!(lines(&first.text).len(), 4);
}

#[test]
fn one_type_alone() {
    let server = Harness::start();
    server.create_graph("one", PEOPLE);
    let line = "{\"type\":\"Person\",\"data\":{\"email\":\"a\",\"name\":\"A\"}}\n{\"edge\":\"Knows\",\"from\":\"a\",\"to\":\"a\"}";
    assert_eq!(server.load(Who::Writer, "one", "append", line).status, 200);
    let edges = server.get(Who::Reader, "/graphs/one/export?type=Knows");
    assert!(
        edges.text.lines().count() == 1 && edges.text.contains("\"Knows\""),
        "{edges:?}"
    );
}
