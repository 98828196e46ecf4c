//! `POST /graphs/{graph_id}/load`.

use serde_json::json;

use crate::harness::{Harness, PEOPLE, Who};

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
