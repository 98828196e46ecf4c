//! `POST /graphs/{graph_id}/load`.

use serde_json::json;

use reqwest::Method;

use crate::harness::{Answer, Harness, PEOPLE, Who};

fn server() -> Harness {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    server
}

fn person(email: &str, name: &str) -> String {
    format!(
        "{}\n",
        json!({"type": "Person", "data": {"email": email, "name": name}})
    )
}

#[test]
fn a_bad_last_line_loads_nothing_and_is_named() {
    let server = server();
    let mut lines: String = (0..5_000)
        .map(|number| person(&format!("p{number}"), "x"))
        .collect();
    let bad = [
        "{\"type\":\"Person\",\"data\":{\"email\":\"z\"}}",
        "{\"type\":\"Persn\",\"data\":{\"email\":\"z\",\"name\":\"Z\"}}",
        "{\"type\":\"Person\",\"data\":{\"email\":\"p0\",\"name\":\"again\"}}",
        "{\"edge\":\"Knows\",\"from\":\"p0\",\"to\":\"nobody\"}",
        "{\"edge\":\"Knows\",\"from\":\"p0\"",
        "nonsense",
    ];
    let length = lines.len();
    let there = server.load(Who::Writer, "people", "append", &person("before", "Bea"));
    assert_eq!(there.status, 200, "{there:?}");
    let before = server.listing();
    for (mode, line) in ["append", "merge", "overwrite"]
        .into_iter()
        .flat_map(|mode| bad.map(|line| (mode, line)))
        // Merging a key for the second time is no mistake: the last line stands.
        .filter(|(mode, line)| *mode != "merge" || !line.contains("again"))
    {
        lines.truncate(length);
        lines += line;
        let answer = server.load(Who::Writer, "people", mode, &lines);
        answer.assert_problem(400, "invalid_rows");
        let errors = answer.body["errors"].as_array().expect("errors");
        let named: Vec<_> = errors.iter().map(|error| &error["line"]).collect();
        assert_eq!(named, [5_001], "{mode} {line}: {answer:?}");
        server.assert_unchanged(&before, line);
    }
    assert_eq!(
        server.rows("people", "MATCH (p:Person) RETURN p.name"),
        [[json!("Bea")]]
    );
}

#[test]
fn the_first_hundred_bad_lines_are_named() {
    let server = server();
    let mut lines = "\n".to_owned();
    for number in 0..150 {
        lines += &person(&format!("p{number}"), "x");
        lines += "{\"type\":\"Person\",\"data\":{\"email\":7}}\n";
    }
    let answer = server.load(Who::Writer, "people", "append", &lines);
    answer.assert_problem(400, "invalid_rows");
    let errors = answer.body["errors"].as_array().expect("errors");
    let named: Vec<_> = errors.iter().map(|error| error["line"].clone()).collect();
    let expected: Vec<_> = (0..100).map(|number| json!(3 + 2 * number)).collect();
    assert_eq!(named, expected);
}

#[test]
fn modes_differ_in_what_is_there_already() {
    let server = server();
    let load = |mode, lines: &str| server.load(Who::Writer, "people", mode, lines);
    let names = || {
        server.rows(
            "people",
            "MATCH (p:Person) RETURN p.email, p.name ORDER BY p.email",
        )
    };
    let first = load("append", &(person("a", "Ada") + "\n" + &person("b", "Bob")));
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.body["nodes"], json!({"Person": 2}));
    assert!(load("append", &person("a", "Again")).status >= 400);
    assert_eq!(
        load("merge", &(person("a", "Ada L.") + &person("c", "Cy"))).status,
        200
    );
    assert_eq!(
        names(),
        [
            [json!("a"), json!("Ada L.")],
            [json!("b"), json!("Bob")],
            [json!("c"), json!("Cy")]
        ]
    );
    assert_eq!(load("overwrite", &person("d", "Dee")).status, 200);
    assert_eq!(names(), [[json!("d"), json!("Dee")]]);
    load("replace", &person("e", "E")).assert_problem(400, "invalid_request");
}

#[test]
fn only_writers_load() {
    let server = server();
    server
        .load(Who::Reader, "people", "append", &person("a", "A"))
        .assert_problem(403, "forbidden");
    server
        .load(Who::OtherTenant, "people", "append", &person("a", "A"))
        .assert_problem(404, "graph_not_found");
    assert_eq!(
        server.rows("people", "MATCH (p:Person) RETURN count(*)"),
        [[json!(0)]]
    );
}

#[test]
fn tables_are_loaded_one_type_at_a_time() {
    let server = server();
    let load = |query: &str, media: &str, body: &str| {
        let path = format!("/graphs/people/load?{query}");
        let request = server.request(Who::Writer, Method::POST, &path);
        let request = request.header("content-type", media);
        Answer::of(request.body(body.to_owned()))
    };
    let csv = "email,name\na,Ada\nb,\"Bob, the\nbuilder\"\n";
    let answer = load("type=Person", "text/csv; charset=utf-8", csv);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["nodes"], json!({"Person": 2}));
    let answer = load("mode=append&type=Knows", "text/csv", "from,to\na,b\n");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        server.rows(
            "people",
            "MATCH (a:Person)-[:Knows]->(b:Person) RETURN a.name, b.name"
        ),
        [[json!("Ada"), json!("Bob, the\nbuilder")]]
    );
    let before = server.listing();
    let wrong = load("type=Knows", "text/csv", "from,to\na,b\na,z\n");
    wrong.assert_problem(400, "invalid_rows");
    assert_eq!(wrong.body["errors"][0]["line"], 2, "{wrong:?}");
    load("type=Persn", "text/csv", csv).assert_problem(400, "invalid_request");
    load("", "text/csv", csv).assert_problem(400, "invalid_request");
    load("type=Person", "application/x-ndjson", "").assert_problem(400, "invalid_request");
    load("type=Person", "text/plain", csv).assert_problem(415, "unsupported_media_type");
    for media in [
        "application/vnd.apache.parquet",
        "application/vnd.apache.arrow.stream",
    ] {
        let wrong = load("type=Person", media, csv);
        wrong.assert_problem(400, "invalid_rows");
        assert_eq!(wrong.body["errors"][0]["line"], 0, "{wrong:?}");
    }
    server.assert_unchanged(&before, "what is refused");
}

/// Large enough for columns: what is wrong is told as ever, and what is right survives a kill.
#[test]
fn a_large_file_is_one_commit() {
    let mut server = server();
    let mut lines: String = (0..20_000)
        .map(|number| person(&format!("person number {number:05}"), "some name or other"))
        .collect();
    assert!(lines.len() > 1 << 20, "{} bytes", lines.len());
    for number in 0..20_000 {
        let (from, to) = (number, (number * 7 + 1) % 20_000);
        lines += &format!(
            "{{\"edge\":\"Knows\",\"from\":\"person number {from:05}\",\"to\":\"person number {to:05}\"}}\n"
        );
    }
    let count = "MATCH (:Person)-[k:Knows]->(:Person) RETURN count(*)";
    assert_eq!(server.rows("people", count), [[json!(0)]]);
    let before = server.listing();
    let bad =
        lines.clone() + "{\"edge\":\"Knows\",\"from\":\"person number 00000\",\"to\":\"nobody\"}";
    let answer = server.load(Who::Writer, "people", "append", &bad);
    answer.assert_problem(400, "invalid_rows");
    assert_eq!(answer.body["errors"][0]["line"], 40_001, "{answer:?}");
    server.assert_unchanged(&before, "a bad last line");
    let answer = server.load(Who::Writer, "people", "append", &lines);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["edges"], json!({"Knows": 20_000}));
    server.restart();
    let query = "MATCH (a:Person)-[:Knows]->(b:Person) WHERE a.email = 'person number 00003' RETURN b.email";
    assert_eq!(
        server.rows("people", query),
        [[json!("person number 00022")]]
    );
    assert_eq!(server.rows("people", count), [[json!(20_000)]]);
}
