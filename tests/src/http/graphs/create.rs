//! `POST /graphs`: a graph is made as a whole or not at all, and the operator's file keeps every
//! word of the operator's.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::harness::{Harness, PEOPLE, Setup, TENANT, Who};
use crate::listing::Listing;

fn create(server: &Harness, body: &Value) -> crate::harness::Answer {
    server.post(Who::ServerAdmin, "/graphs", body)
}

fn people(id: &str) -> Value {
    json!({"graph_id": id, "schema": {"source": PEOPLE}})
}

/// The file without the entries of graphs: what the operator wrote.
fn of_the_operator(config: &str) -> String {
    config
        .split("graphs:")
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn two_graphs_in_a_row_stand_in_the_file_and_take_data() {
    let server = Harness::start();
    let before = server.config();
    for id in ["alpha", "Beta-2"] {
        let mut body = people(id);
        body["tenant"] = json!("acme");
        body["labels"] = json!({"env": "test"});
        let answer = create(&server, &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.body["graph_id"], *id);
        assert_eq!(
            answer.header("location"),
            Some(format!("/graphs/{id}").as_str())
        );
        assert!(answer.header("etag").is_some());
        let loaded = server.load(
            Who::ServerAdmin,
            id,
            "append",
            r#"{"type":"Person","data":{"email":"ada@example.org","name":"Ada"}}"#,
        );
        assert_eq!(loaded.status, 200, "{loaded:?}");
        assert_eq!(
            server.rows(id, "MATCH (p:Person) RETURN p.name"),
            [[json!("Ada")]]
        );
    }
    let after = server.config();
    assert_eq!(of_the_operator(&after), of_the_operator(&before));
    let parsed: serde_yaml::Value = serde_yaml::from_str(&after).expect("still YAML");
    let graphs = parsed["graphs"].as_mapping().expect("entries");
    let names: Vec<_> = graphs
        .keys()
        .filter_map(serde_yaml::Value::as_str)
        .collect();
    assert_eq!(names, ["alpha", "Beta-2"]);
    assert_eq!(parsed["graphs"]["alpha"]["tenant"].as_str(), Some("acme"));
    assert_eq!(
        parsed["graphs"]["alpha"]["labels"]["env"].as_str(),
        Some("test")
    );
}

/// The one piece of text that `after` has and `before` has not.
#[track_caller]
fn inserted<'a>(before: &str, after: &'a str) -> &'a str {
    let same = before.bytes().zip(after.bytes());
    let same = same.take_while(|(one, other)| one == other).count();
    let start = before[..same].rfind('\n').map_or(0, |end| end + 1);
    let rest = &before[start..];
    assert!(
        after.ends_with(rest),
        "more than an insertion:\n{before}\n---\n{after}"
    );
    &after[start..after.len() - rest.len()]
}

/// What an operator may well have: comments and blank lines everywhere, an order of their own,
/// something after the graphs, no two styles alike.
const LIVED_IN: &str = "\
# Ours since 2019.
version: 1

groups: { staff: [ada] }   # the whole team
graphs:
  # The first one.
  zebra:   { uri: ../data/zebra, tenant: acme }

  alpha:
    # where the old disk was
    uri: '../data/alpha'    # keep the quotes

    tenant: \"acme\"
    labels:
      b: '2'
      a: '1'

  # the last word about graphs

# After the graphs.
auth:
  tokens_file: tokens.yaml
server:
  storage: ../data
  bind: 127.0.0.1:0
  policy: {file: ../policies/server.cedar}
# The end.
";

#[test]
fn every_word_of_the_operator_stays_where_it_is() {
    let setup = Setup {
        config: LIVED_IN.to_owned(),
        ..Setup::default()
    };
    let server = setup.start();
    for id in ["middle", "Another-1"] {
        let before = server.config();
        let answer = create(&server, &people(id));
        assert_eq!(answer.status, 201, "{answer:?}");
        let after = server.config();
        let entry = format!("  {id}:\n    uri: ../data/{id}");
        assert_eq!(
            inserted(&before, &after).trim_matches('\n'),
            entry,
            "{after}"
        );
    }
    let parsed: serde_yaml::Value = serde_yaml::from_str(&server.config()).expect("still YAML");
    let graphs = parsed["graphs"].as_mapping().expect("entries");
    let names: Vec<_> = graphs
        .keys()
        .filter_map(serde_yaml::Value::as_str)
        .collect();
    assert_eq!(names, ["zebra", "alpha", "middle", "Another-1"]);
}

#[test]
fn a_graph_is_still_there_after_a_restart() {
    let mut server = Harness::start();
    server.create_graph("people", PEOPLE);
    let line = r#"{"type":"Person","data":{"email":"ada@example.org","name":"Ada"}}"#;
    assert_eq!(
        server
            .load(Who::ServerAdmin, "people", "append", line)
            .status,
        200
    );
    server.restart();
    assert_eq!(
        server.rows("people", "MATCH (p:Person) RETURN p.name"),
        [[json!("Ada")]]
    );
}

#[test]
fn an_id_is_taken_in_every_case_and_a_uri_under_every_name() {
    let server = Harness::start();
    let data = server.folder().join("data");
    let mut first = people("alpha");
    first["uri"] = json!(data.join("place"));
    assert_eq!(create(&server, &first).status, 201);
    symlink(data.join("place"), data.join("link")).expect("a symbolic link");
    symlink(&data, data.join("again")).expect("a symbolic link");
    let before = server.listing();

    for id in ["alpha", "ALPHA", "Alpha"] {
        create(&server, &people(id)).assert_problem(409, "graph_exists");
    }
    let data = data.display();
    for uri in [
        format!("{data}/place"),
        format!("{data}/place/"),
        format!("{data}//place"),
        format!("{data}/./place"),
        format!("{data}/x/../place"),
        format!("{data}/link"),
        format!("{data}/again/place"),
        format!("{data}/again/../data/link/"),
        format!("file://{data}/place"),
        "../data/place".to_owned(),
        "../config/../data/place/".to_owned(),
    ] {
        let mut body = people("other");
        body["uri"] = json!(uri);
        let answer = create(&server, &body);
        assert_eq!(answer.body["code"], "uri_in_use", "{uri}: {answer:?}");
        answer.assert_problem(409, "uri_in_use");
    }
    server.assert_unchanged(&before, "after what is taken");
}

#[test]
fn a_place_that_holds_something_is_not_taken_and_not_touched() {
    let server = Harness::start();
    let place = server.folder().join("data/place");
    fs::create_dir(&place).expect("a folder");
    fs::write(place.join("thesis.txt"), "years of work").expect("a file");
    fs::write(server.folder().join("data/file"), "one file").expect("a file");
    let before = server.listing();
    for (name, status, code) in [
        ("place", 409, "uri_not_empty"),
        ("file", 400, "invalid_uri"),
    ] {
        let mut body = people("alpha");
        body["uri"] = json!(server.folder().join("data").join(name));
        create(&server, &body).assert_problem(status, code);
    }
    server.assert_unchanged(&before, "after places that hold something");

    // Where a graph would be put by itself: beside it.
    let beside = create(&server, &people("place"));
    assert_eq!(beside.status, 201, "{beside:?}");
    let after = server.listing();
    let thesis = std::path::Path::new("data/place/thesis.txt");
    assert_eq!(after.get(thesis), before.get(thesis));
    let below = |listing: &Listing| {
        let place = std::path::Path::new("data/place");
        listing
            .keys()
            .filter(|path| path.starts_with(place))
            .count()
    };
    assert_eq!(below(&after), 2);
}

#[test]
fn what_is_not_valid_is_refused_with_its_name_and_leaves_nothing() {
    let server = Harness::start();
    // What the server keeps for itself beside the config is there from now on.
    server.create_graph("first", PEOPLE);
    fs::write(
        server.folder().join("policies/bad.cedar"),
        "permit (principal,",
    )
    .expect("a file");
    fs::write(server.folder().join("secret.cedar"), "the-secret-content").expect("a file");
    fs::create_dir(server.folder().join("outside")).expect("a folder");
    for (place, link) in [
        ("outside", "data/way-out"),
        ("secret.cedar", "policies/s.cedar"),
    ] {
        symlink(server.folder().join(place), server.folder().join(link)).expect("a link");
    }
    let before = server.listing();
    let with = |name: &str, value: Value| {
        let mut body = people("alpha");
        body[name] = value;
        body
    };
    let folder = server.folder().display();
    let cases = [
        (with("graph_id", json!("")), "invalid_graph_id"),
        (with("graph_id", json!("a b")), "invalid_graph_id"),
        (with("graph_id", json!("a/b")), "invalid_graph_id"),
        (with("graph_id", json!("..")), "invalid_graph_id"),
        (with("graph_id", json!("ä")), "invalid_graph_id"),
        (with("graph_id", json!("a".repeat(65))), "invalid_graph_id"),
        (with("schema", json!({"source": ""})), "empty_schema"),
        (
            with("schema", json!({"source": "// nothing\n"})),
            "empty_schema",
        ),
        (
            with("schema", json!({"source": "node Person { name: Strin }"})),
            "invalid_schema",
        ),
        (
            with("schema", json!({"source": "edge Knows: A -> B"})),
            "invalid_schema",
        ),
        (with("uri", json!("")), "invalid_uri"),
        (with("uri", json!("/")), "invalid_uri"),
        (
            with("uri", json!(format!("{folder}/elsewhere"))),
            "invalid_uri",
        ),
        (with("uri", json!("../data/../../outside")), "invalid_uri"),
        (with("uri", json!("../data/way-out/x")), "invalid_uri"),
        (with("uri", json!("../data/x/../../outside")), "invalid_uri"),
        (with("uri", json!("s3://bucket/alpha")), "invalid_uri"),
        (with("uri", json!("../data/nul\u{0}")), "invalid_uri"),
        (with("policy", json!({"file": ""})), "invalid_uri"),
        (
            with("policy", json!({"file": format!("{folder}/secret.cedar")})),
            "invalid_uri",
        ),
        (
            with("policy", json!({"file": "../secret.cedar"})),
            "invalid_uri",
        ),
        (
            with("policy", json!({"file": "../policies/s.cedar"})),
            "invalid_uri",
        ),
        (
            with("policy", json!({"file": "../policies/none.cedar"})),
            "invalid_uri",
        ),
        (
            with(
                "policy",
                json!({"file": format!("{folder}/policies/bad.cedar")}),
            ),
            "invalid_policy",
        ),
        (with("colour", json!("red")), "invalid_request"),
        (with("graph_type", json!("ajar")), "invalid_request"),
        (json!({"graph_id": "alpha"}), "empty_schema"),
    ];
    let reserved = [
        "policies", "healthz", "readyz", "metrics", "openapi", "graphs", "admin", "Healthz",
        "ADMIN",
    ];
    let reserved = reserved.map(|id| (with("graph_id", json!(id)), "invalid_graph_id"));
    for (body, code) in cases.into_iter().chain(reserved) {
        let answer = create(&server, &body);
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (400, Some(code)),
            "{body}: {answer:?}"
        );
        answer.assert_problem(400, code);
        assert!(!answer.text.contains("the-secret-content"), "{answer:?}");
        server.assert_unchanged(&before, &body.to_string());
    }
    server
        .get(Who::ServerAdmin, "/graphs/alpha")
        .assert_problem(404, "graph_not_found");
}

#[test]
fn a_mistake_in_the_schema_is_shown_at_its_place() {
    let server = Harness::start();
    let body = json!({"graph_id": "a", "schema": {"source": "node Person {\n  name: Strin\n}\n"}});
    let answer = create(&server, &body);
    answer.assert_problem(400, "invalid_schema");
    let error = &answer.body["errors"][0];
    assert_eq!(
        (&error["line"], &error["column"]),
        (&json!(2), &json!(9)),
        "{answer:?}"
    );
    assert_eq!(error["suggestion"], "String", "{answer:?}");
}

#[test]
fn a_file_that_was_edited_by_hand_is_left_alone() {
    let mut server = Harness::start();
    server.create_graph("alpha", PEOPLE);
    let edited = format!("{}\n# a note in the margin\n", server.config());
    fs::write(server.config_path(), &edited).expect("the operator may write");
    let before = server.listing();
    create(&server, &people("beta")).assert_problem(503, "config_drift");
    server.assert_unchanged(&before, "after drift");
    assert_eq!(server.config(), edited);
    server
        .get(Who::ServerAdmin, "/graphs/beta")
        .assert_problem(404, "graph_not_found");
    assert_eq!(
        server.rows("alpha", "MATCH (p:Person) RETURN count(*)"),
        [[json!(0)]]
    );
    // What the problem advises helps, and the note stays.
    server.restart();
    server.create_graph("beta", PEOPLE);
    assert_eq!(
        inserted(&edited, &server.config()).trim_matches('\n'),
        ENTRY_OF_BETA
    );
}

const ENTRY_OF_BETA: &str = "  beta:\n    uri: ../data/beta\n    tenant: acme";

#[test]
fn only_those_who_may_create() {
    let server = Harness::start();
    let before = server.listing();
    for who in [Who::Nobody, Who::Stranger] {
        server
            .post(who, "/graphs", &people("alpha"))
            .assert_problem(401, "unauthenticated");
    }
    for who in [Who::Reader, Who::Writer, Who::GraphAdmin, Who::OtherTenant] {
        server
            .post(who, "/graphs", &people("alpha"))
            .assert_problem(403, "forbidden");
    }
    server.assert_unchanged(&before, "after those who may not");
}

#[test]
fn an_open_graph_takes_whatever_comes_and_gives_it_back() {
    let server = Harness::start();
    let body = json!({"graph_id": "loose", "graph_type": "open", "tenant": TENANT});
    let answer = server.post(Who::ServerAdmin, "/graphs", &body);
    assert_eq!(answer.status, 201, "{answer:?}");
    let shown = server.get(Who::ServerAdmin, "/graphs/loose");
    assert_eq!(shown.body["graph_type"], "open", "{shown:?}");

    let query = "CREATE (a:Person:Admin {name: 'Ada', born: date('1815-12-10'), mixed: 1}) \
        CREATE (a)-[:KNOWS {since: duration('P1D')}]->(:Robot {mixed: 'text'})";
    let written = server.post(
        Who::ServerAdmin,
        "/graphs/loose/mutate",
        &json!({"query": query}),
    );
    assert_eq!(written.status, 200, "{written:?}");
    assert_eq!(written.body["stats"]["properties_set"], 5, "{written:?}");
    let rows = server.rows(
        "loose",
        "MATCH (a:Admin)-[r]->(b) RETURN a, type(r) AS t, r.since AS s, b.mixed AS m",
    );
    let node = &rows[0][0];
    assert_eq!(node["labels"], json!(["Person", "Admin"]));
    assert_eq!(
        node["properties"],
        json!({"born": "1815-12-10", "mixed": 1, "name": "Ada"})
    );
    assert_eq!(rows[0][1..], [json!("KNOWS"), json!("P1D"), json!("text")]);

    let exported = server.get(Who::ServerAdmin, "/graphs/loose/export");
    let lines = exported.text.clone();
    server.post(
        Who::ServerAdmin,
        "/graphs",
        &json!({"graph_id": "copy", "schema": {"source": ""}, "graph_type": "open", "tenant": TENANT}),
    );
    let loaded = server.load(Who::ServerAdmin, "copy", "append", &lines);
    assert_eq!(loaded.status, 200, "{loaded:?}");
    assert_eq!(
        server.get(Who::ServerAdmin, "/graphs/copy/export").text,
        lines
    );

    let keys = json!({"graph_id": "half", "schema": {"source": PEOPLE}, "graph_type": "open"});
    server
        .post(Who::ServerAdmin, "/graphs", &keys)
        .assert_problem(400, "unsupported");
}

#[test]
fn an_open_graph_keeps_to_what_it_declares() {
    let server = Harness::start();
    let source =
        "node Person { name: String, born: Date? } edge KNOWS: Person -> Person { since: I64 }";
    let body = json!({"graph_id": "half", "schema": {"source": source}, "graph_type": "open", "tenant": TENANT});
    let made = server.post(Who::ServerAdmin, "/graphs", &body);
    assert_eq!(made.status, 201, "{made:?}");
    let schema = server.get(Who::Reader, "/graphs/half/schema");
    assert_eq!(schema.body["source"], source, "{schema:?}");
    let names = |list: &str| -> Vec<Value> {
        let types = schema.body[list].as_array().expect("types");
        types.iter().map(|it| it["name"].clone()).collect()
    };
    assert_eq!(names("node_types"), ["_Node", "Person"]);
    assert_eq!(names("edge_types"), ["_Edge", "KNOWS"]);
    let mutate = |query: &str| {
        let body = json!({"query": query});
        server.post(Who::Writer, "/graphs/half/mutate", &body)
    };
    let fine = "CREATE (:Person {name: 'Ada', more: 1})-[:KNOWS {since: 1}]->(:Person:Admin {name: 'Bob'}), (:Robot {name: 1})";
    assert_eq!(mutate(fine).status, 200);
    let wrong = [
        ("CREATE (:Person)", "missing_property"),
        ("CREATE (:Person {name: 1})", "invalid_value"),
        ("MATCH (n:Robot) SET n:Person", "invalid_value"),
        (
            "MATCH (n:Person {name: 'Ada'}) REMOVE n.name",
            "missing_property",
        ),
        (
            "MATCH (n:Robot) CREATE (n)-[:KNOWS {since: 1}]->(n)",
            "invalid_value",
        ),
        ("MATCH (n:Person) REMOVE n:Person", "invalid_value"),
    ];
    for (query, code) in wrong {
        let answer = mutate(query);
        assert_eq!(answer.body["code"], code, "{query}: {answer:?}");
    }
    let lines = "{\"type\":\"Person\",\"data\":{\"name\":\"Cy\",\"born\":\"2000-01-01\"}}\n{\"type\":\"Person\",\"data\":{}}\n";
    let refused = server.load(Who::Writer, "half", "append", lines);
    refused.assert_problem(400, "invalid_rows");
    assert_eq!(refused.body["errors"][0]["line"], 2, "{refused:?}");
    let first = lines.lines().next().unwrap_or_default();
    assert_eq!(
        server.load(Who::Writer, "half", "append", first).status,
        200
    );
    let born = server.rows(
        "half",
        "MATCH (n:Person {name: 'Cy'}) RETURN n.born.year, labels(n)",
    );
    assert_eq!(born, [[json!(2000), json!(["Person"])]]);
}
