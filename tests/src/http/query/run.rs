//! `POST /graphs/{graph_id}/query`.

use reqwest::Method;
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

/// Without reading Arrow here: what a load makes of the columns is what was asked for.
#[test]
fn rows_come_as_an_arrow_stream() {
    let server = server();
    server.create_graph("copy", PEOPLE);
    let ask = |query: &str| {
        let request = server.request(Who::Reader, Method::POST, "/graphs/people/query");
        let request = request.header("accept", "application/vnd.apache.arrow.stream");
        let answer = request.json(&json!({"query": query})).send();
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(
            answer.headers()["content-type"],
            "application/vnd.apache.arrow.stream"
        );
        answer.bytes().expect("a body").to_vec()
    };
    let load = |type_name: &str, bytes: Vec<u8>| {
        let path = format!("/graphs/copy/load?type={type_name}");
        let request = server.request(Who::Writer, Method::POST, &path);
        let request = request.header("content-type", "application/vnd.apache.arrow.stream");
        Answer::of(request.body(bytes))
    };
    let people =
        "MATCH (p:Person) RETURN p.email AS email, p.name AS name, p.born AS born, p.age AS age";
    // One that is answered at once, and one that is not.
    let point = "MATCH (p:Person {email: 'a'}) RETURN p.email AS email, p.name AS name, p.born AS born, p.age AS age";
    let loaded = load("Person", ask(point));
    assert_eq!(loaded.body["nodes"], json!({"Person": 1}), "{loaded:?}");
    let taken = load("Person", ask(people));
    taken.assert_problem(400, "invalid_rows");
    let path = "/graphs/copy/load?type=Person&mode=merge";
    let request = server.request(Who::Writer, Method::POST, path);
    let request = request.header("content-type", "application/vnd.apache.arrow.stream");
    assert_eq!(Answer::of(request.body(ask(people))).status, 200);
    let knows = "MATCH (a)-[k:Knows]->(b) RETURN a.email AS from, b.email AS to, k.since AS since";
    assert_eq!(load("Knows", ask(knows)).status, 200);
    let all = "MATCH (p:Person) OPTIONAL MATCH (p)-[k:Knows]->(q) \
        RETURN p.email, p.name, p.born, p.age, k.since, q.email ORDER BY p.email";
    assert_eq!(server.rows("copy", all), server.rows("people", all));
}

#[test]
fn what_does_not_fit_an_arrow_column_is_refused() {
    let server = server();
    let request = server.request(Who::Reader, Method::POST, "/graphs/people/query");
    let request = request.header("accept", "application/vnd.apache.arrow.stream");
    let query = json!({"query": "RETURN date('+999999999-01-01') AS far"});
    let answer = Answer::of(request.json(&query));
    answer.assert_problem(400, "execution_failed");
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with("`far`: +999999999-01-01"), "{answer:?}");
}

/// 50 bytes and more in each row.
const LONG: &str = "UNWIND range(1, 40000) AS x RETURN x, 60000 / (LAST - x) AS y, \
    'some text that makes a row as long as rows are mostly' AS t";

#[test]
fn long_answers_come_whole_or_break_off() {
    let server = server();
    let ask = |accept: &str, last: u32| {
        let request = server.request(Who::Reader, Method::POST, "/graphs/people/query");
        let query = LONG.replace("LAST", &last.to_string());
        let request = request
            .header("accept", accept)
            .json(&json!({"query": query}));
        let answer = request.send().expect("an answer");
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.bytes()
    };
    let json = ask("application/json", 50_000).expect("whole");
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["rows"].as_array().map(Vec::len), Some(40_000));
    assert_eq!(json["stats"]["rows"], 40_000);
    assert_eq!(json["rows"][39_999]["y"], 6);
    assert_eq!(json["commit"]["branch"], "main");
    let lines = ask("application/x-ndjson", 50_000).expect("whole");
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 40_000);
    // A stream ends with a message of no length (Arrow, "Encapsulated message format").
    let arrow = ask("application/vnd.apache.arrow.stream", 50_000).expect("whole");
    assert!(arrow.ends_with(&[255, 255, 255, 255, 0, 0, 0, 0]));
    for accept in [
        "application/json",
        "application/x-ndjson",
        "application/vnd.apache.arrow.stream",
    ] {
        assert!(
            ask(accept, 40_000).is_err(),
            "{accept}: divided by zero at the end"
        );
    }
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
fn a_statement_that_fails_says_where() {
    let server = server();
    let text = "UNWIND [1, true] AS x\nRETURN 1 + x";
    let answer = query(&server, Who::Reader, &json!({"query": text}));
    answer.assert_problem(400, "execution_failed");
    let error = &answer.body["errors"][0];
    assert_eq!(error["code"], "type_mismatch", "{answer:?}");
    assert_eq!(
        (&error["line"], &error["column"]),
        (&json!(2), &json!(8)),
        "{answer:?}"
    );
    assert_eq!(
        (&error["end_line"], &error["end_column"]),
        (&json!(2), &json!(13)),
        "{answer:?}"
    );
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
