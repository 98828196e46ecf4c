//! `POST /graphs/{graph_id}/query`.

use serde_json::{Value, json};

use crate::harness::{Answer, Harness, PEOPLE, Who};

fn server() -> Harness {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let lines = "\
        {\"type\":\"Person\",\"data\":{\"email\":\"a\",\"name\":\"Ada\",\"born\":\"1815-12-10\",\"age\":36}}\n\
        {\"type\":\"Person\",\"data\":{\"email\":\"b\",\"name\":\"Bob\"}}\n\
        {\"edge\":\"Knows\",\"from\":\"a\",\"to\":\"b\",\"data\":{\"since\":\"1833-06-05\"}}\n";
    let loaded = server.load(Who::Writer, "people", "append", lines);
    assert_eq!(loaded.status, 200, "{loaded:?}");
    server
}

fn query(server: &Harness, who: Who, body: &Value) -> Answer {
    server.post(who, "/graphs/people/query", body)
}

#[test]
fn rows_come_with_columns_the_commit_and_the_cost() {
    let server = server();
    let body = json!({
        "query": "MATCH (p:Person)-[k:Knows]->(f) WHERE p.name = $name RETURN f.name AS friend, k.since, p.age",
        "params": {"name": "Ada"},
    });
    let answer = query(&server, Who::Reader, &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let names: Vec<_> = answer.body["columns"]
        .as_array()
        .expect("columns")
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["friend", "k.since", "p.age"]);
    assert_eq!(
        answer.body["rows"],
        json!([{"friend": "Bob", "k.since": "1833-06-05", "p.age": 36}])
    );
    assert_eq!(answer.body["commit"]["branch"], "main");
    assert_eq!(answer.body["stats"]["rows"], 1);
}

#[test]
fn nodes_relationships_and_paths_have_their_shapes() {
    let server = server();
    let rows = server.rows(
        "people",
        "MATCH p = (a:Person {email: 'a'})-[k:Knows]->(b) RETURN a, k, p",
    );
    let [node, edge, path] = rows[0].as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!(node["id"], "a");
    assert_eq!(node["labels"], json!(["Person"]));
    assert_eq!(node["properties"]["born"], "1815-12-10");
    assert_eq!(
        (&edge["type"], &edge["start"], &edge["end"]),
        (&json!("Knows"), &json!("a"), &json!("b"))
    );
    assert_eq!(path["nodes"].as_array().map(Vec::len), Some(2));
    assert_eq!(path["relationships"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_statement_with_errors_is_refused_at_its_place() {
    let server = server();
    let cases = [
        (
            "MATCH (p:Persn) RETURN p",
            "unknown_type",
            10,
            Some("Person"),
        ),
        (
            "MATCH (p:Person) RETURN p.nme",
            "unknown_property",
            27,
            Some("name"),
        ),
        ("MATCH (p:Person) RETURN q", "unknown_variable", 25, None),
        ("MATCH (p:Person) RETURN p,", "syntax", 27, None),
    ];
    for (text, code, column, suggestion) in cases {
        let answer = query(&server, Who::Reader, &json!({"query": text}));
        answer.assert_problem(400, "invalid_query");
        let error = &answer.body["errors"][0];
        assert_eq!(
            (&error["code"], &error["line"]),
            (&json!(code), &json!(1)),
            "{text}: {answer:?}"
        );
        if code != "syntax" {
            assert_eq!(error["column"], column, "{text}: {answer:?}");
        }
        assert_eq!(
            error["suggestion"].as_str(),
            suggestion,
            "{text}: {answer:?}"
        );
    }
}

#[test]
fn a_writing_statement_is_not_a_query() {
    let server = server();
    let body = json!({"query": "CREATE (:Person {email: 'c', name: 'Cy'})"});
    query(&server, Who::ServerAdmin, &body).assert_problem(400, "write_in_read_query");
    assert_eq!(
        server.rows("people", "MATCH (p:Person) RETURN count(*)"),
        [[json!(2)]]
    );
}

#[test]
fn who_may_ask() {
    let server = server();
    let body = json!({"query": "MATCH (p:Person) RETURN count(*) AS n"});
    for who in [Who::Reader, Who::Writer, Who::GraphAdmin, Who::ServerAdmin] {
        assert_eq!(
            query(&server, who, &body).body["rows"],
            json!([{"n": 2}]),
            "{who:?}"
        );
    }
    query(&server, Who::OtherTenant, &body).assert_problem(404, "graph_not_found");
    for who in [Who::Nobody, Who::Stranger] {
        query(&server, who, &body).assert_problem(401, "unauthenticated");
    }
}
