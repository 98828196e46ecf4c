//! `GET /graphs/{graph_id}/export`.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Harness, PEOPLE, TENANT, Who};

const PARQUET: &str = "application/vnd.apache.parquet";

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
fn load_takes_back_columns() {
    let server = Harness::start();
    server.create_graph("one", PEOPLE);
    let lines = "\
        {\"type\":\"Person\",\"data\":{\"email\":\"a\",\"name\":\"Ada\",\"born\":\"1815-12-10\",\"age\":36}}\n\
        {\"type\":\"Person\",\"data\":{\"email\":\"b\",\"name\":\"Bob\"}}\n\
        {\"edge\":\"Knows\",\"from\":\"a\",\"to\":\"b\",\"data\":{\"since\":\"1833-06-05\"}}\n\
        {\"edge\":\"Knows\",\"from\":\"b\",\"to\":\"a\"}\n";
    assert_eq!(server.load(Who::Writer, "one", "append", lines).status, 200);
    let exported = server.get(Who::Reader, "/graphs/one/export").text;
    let formats = [
        ("arrow", "application/vnd.apache.arrow.stream"),
        ("parquet", "application/vnd.apache.parquet"),
    ];
    for (graph, media_type) in formats {
        server.create_graph(graph, PEOPLE);
        for name in ["Person", "Knows"] {
            let path = format!("/graphs/one/export?type={name}");
            let request = server.request(Who::Reader, Method::GET, &path);
            let answer = request
                .header("accept", media_type)
                .send()
                .expect("an answer");
            assert_eq!(answer.status(), 200, "{answer:?}");
            assert_eq!(answer.headers()["content-type"], media_type);
            let bytes = answer.bytes().expect("a body").to_vec();
            let path = format!("/graphs/{graph}/load?type={name}");
            let request = server.request(Who::Writer, Method::POST, &path);
            let loaded = Answer::of(request.header("content-type", media_type).body(bytes));
            assert_eq!(loaded.status, 200, "{loaded:?}");
        }
        let copy = server
            .get(Who::Reader, &format!("/graphs/{graph}/export"))
            .text;
        assert_eq!(copy, exported, "{media_type}");
        let all = server.request(Who::Reader, Method::GET, "/graphs/one/export");
        Answer::of(all.header("accept", media_type)).assert_problem(400, "invalid_request");
    }
}

#[test]
fn a_label_of_an_open_graph() {
    let server = Harness::start();
    for graph in ["one", "two"] {
        let open = json!({"graph_id": graph, "schema": {"source": ""}, "graph_type": "open", "tenant": TENANT});
        assert_eq!(server.post(Who::ServerAdmin, "/graphs", &open).status, 201);
    }
    let load = |graph: &str, name: &str, media_type: &str, body: Vec<u8>| {
        let path = format!("/graphs/{graph}/load?type={name}");
        let request = server.request(Who::Writer, Method::POST, &path);
        Answer::of(request.header("content-type", media_type).body(body))
    };
    let people = b"_id,name\na,Ann\nb,Bob\n".to_vec();
    assert_eq!(load("one", "Person", "text/csv", people).status, 200);
    let knows = b"from,to,since\na,b,2001\n".to_vec();
    assert_eq!(load("one", "KNOWS", "text/csv", knows).status, 200);
    for name in ["Person", "KNOWS"] {
        let path = format!("/graphs/one/export?type={name}");
        let lines = server.get(Who::Reader, &path).text;
        assert!(lines.lines().all(|line| line.contains(name)), "{lines}");
        let request = server.request(Who::Reader, Method::GET, &path);
        let parquet = request.header("accept", PARQUET).send().expect("an answer");
        let bytes = parquet.bytes().expect("a file").to_vec();
        assert_eq!(load("two", name, PARQUET, bytes).status, 200);
    }
    let all = |graph: &str| {
        server
            .get(Who::Reader, &format!("/graphs/{graph}/export"))
            .text
    };
    assert_eq!(all("one"), all("two"));
    let answer = server.get(Who::Reader, "/graphs/one/export?type=Persn");
    answer.assert_problem(400, "invalid_request");
    assert!(answer.text.contains("did you mean"), "{answer:?}");
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
