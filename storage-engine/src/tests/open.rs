//! Open graphs on disk: through the log, a fold, a reopening, an export and a load.

use std::path::Path;

use language::cypher;
use language::schema::Schema;
use language::value::Value;
use tempfile::TempDir;

use super::transfer::{by_columns, export, load, load_from};
use crate::executor::{self, ExecuteError, Limits, Parameters};
use crate::load::{Mode, Source};
use crate::{Graph, NewGraph, Options, Snapshot, Transaction, WriteRequest};

fn graph(folder: &Path) -> Graph {
    let schema = Schema::parse_open("").expect("the empty schema");
    Graph::create(folder, NewGraph::new(schema, "test")).expect("created");
    Graph::open(folder, Options::default()).expect("opened")
}

/// How many properties it set.
fn write(graph: &Graph, text: &str) -> u64 {
    let plan = cypher::compile(text, graph.snapshot().schema()).expect(text);
    let work = move |transaction: &mut Transaction| -> Result<(), ExecuteError> {
        let mut sink = |_: &[Value]| std::ops::ControlFlow::Continue(());
        executor::write(
            &plan,
            &Parameters::new(),
            transaction,
            &Limits::default(),
            &mut sink,
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let written = runtime.block_on(graph.write(WriteRequest::by("test"), work));
    written.expect(text).counts.properties_set
}

fn rows(snapshot: &Snapshot, text: &str) -> Vec<Vec<Value>> {
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let mut rows = Vec::new();
    let mut sink = |row: &[Value]| {
        rows.push(row.to_vec());
        std::ops::ControlFlow::Continue(())
    };
    executor::read(
        &plan,
        &Parameters::new(),
        snapshot,
        &Limits::default(),
        &mut sink,
    )
    .expect(text);
    rows
}

const MADE: &str = "CREATE (a:Person:Admin {name: 'Ada', mixed: 1, born: date('1815-12-10'),
    seen: datetime('2024-02-29T12:00:00.000000001+01:00[Europe/Stockholm]'),
    while: duration('P1M2DT3.5S'), at: localtime('12:30'), nan: 0.0 / 0.0, list: [1, 'a', 2.0]}),
    (b {mixed: 'text', id: 7}), (a)-[:KNOWS {since: time('12:00+01:00')}]->(b), (b)-[:KNOWS]->(a)";

/// Everything, in one order.
const ALL: &str = "MATCH (n) OPTIONAL MATCH (n)-[r]->(m)
    RETURN labels(n) AS l, toString(n.seen) AS s, n, type(r) AS t, properties(r) AS p
    ORDER BY toString(n.mixed)";

#[test]
fn labels_and_properties_of_any_kind_survive_log_fold_and_reopening() {
    let home = TempDir::new().expect("a temporary folder");
    let folder = home.path().join("g");
    let first = graph(&folder);
    write(&first, MADE);
    write(
        &first,
        "MATCH (n:Admin) REMOVE n:Person SET n:Boss, n.more = [true], n.at = null",
    );
    let expected = rows(&first.snapshot(), ALL);
    assert_eq!(expected.len(), 2);
    let properties = |snapshot: &Snapshot| {
        let nodes = rows(
            snapshot,
            "MATCH (n) RETURN toString(n.mixed) AS m, properties(n) AS p ORDER BY m",
        );
        format!("{nodes:?}")
    };
    let before = properties(&first.snapshot());
    assert!(
        before.contains("more") && !before.contains("\"at\""),
        "{before}"
    );
    drop(first);

    let replayed = Graph::open(&folder, Options::default()).expect("opened");
    assert_eq!(properties(&replayed.snapshot()), before);
    replayed.fold().expect("folded");
    assert_eq!(properties(&replayed.snapshot()), before);
    drop(replayed);

    let folded = Graph::open(&folder, Options::default()).expect("opened");
    assert_eq!(properties(&folded.snapshot()), before);
    let labels = rows(
        &folded.snapshot(),
        "MATCH (n:Boss:Admin) RETURN labels(n) AS l",
    );
    assert_eq!(labels, [[Value::list(["Admin", "Boss"].map(Value::from))]]);
}

#[test]
fn what_is_exported_is_loaded_as_it_was() {
    let home = TempDir::new().expect("a temporary folder");
    let first = graph(&home.path().join("a"));
    write(&first, MADE);
    write(&first, "CREATE (:`odd label` {`odd name`: -0.0})");
    let exported = export(&first.snapshot());
    assert!(exported.contains(r#"{"date":"1815-12-10"}"#), "{exported}");
    let second = graph(&home.path().join("b"));
    load(&second, &exported, Mode::Append).expect("loaded");
    assert_eq!(export(&second.snapshot()), exported);
    // Merging the same again changes nothing.
    load(&second, &exported, Mode::Merge).expect("merged");
    assert_eq!(export(&second.snapshot()), exported);
}

#[test]
fn loaded_records_are_known_by_their_id_and_merged_by_it() {
    let home = TempDir::new().expect("a temporary folder");
    let graph = graph(&home.path().join("g"));
    let lines = "{\"type\":\"A\",\"data\":{\"id\":\"x\",\"n\":1}}\n{\"labels\":[\"A\",\"B\"],\"id\":2}\n\
        {\"edge\":\"T\",\"from\":\"x\",\"to\":2,\"data\":{\"w\":1.5}}\n";
    load(&graph, lines, Mode::Append).expect("loaded");
    let more = "{\"type\":\"C\",\"data\":{\"id\":\"x\",\"m\":2}}\n{\"edge\":\"U\",\"from\":\"x\",\"to\":2}\n\
        {\"edge\":\"T\",\"from\":\"x\",\"to\":2,\"data\":{\"v\":1}}\n";
    load(&graph, more, Mode::Merge).expect("merged");
    let found = rows(
        &graph.snapshot(),
        "MATCH (a {id: 'x'})-[r]->(b:B) RETURN labels(a) AS l, a.n + a.m AS s, type(r) AS t, keys(r) AS k ORDER BY t",
    );
    let row = |name: &str, keys: &[&str]| {
        let texts = |texts: &[&str]| Value::list(texts.iter().map(|text| Value::from(*text)));
        vec![
            texts(&["A", "C"]),
            Value::Int(3),
            Value::from(name),
            texts(keys),
        ]
    };
    assert_eq!(found, [row("T", &["v", "w"]), row("U", &[])]);
    for wrong in [
        "{\"type\":\"A\",\"data\":{\"m\":{\"a\":1}}}",
        "{\"type\":\"A\",\"labels\":[\"B\"]}",
        "{\"edge\":\"T\",\"from\":\"x\",\"to\":\"nobody\"}",
        "{\"edge\":\"T\",\"from\":\"x\"}",
    ] {
        assert!(load(&graph, wrong, Mode::Append).is_err(), "{wrong}");
    }
}

#[test]
fn a_change_counts_the_properties_that_it_sets() {
    let home = TempDir::new().expect("a temporary folder");
    let graph = graph(&home.path().join("g"));
    let counted = |text: &str| write(&graph, text);
    assert_eq!(
        counted("CREATE (:A {x: 1, y: 2, z: null})-[:T {w: 1}]->(:B)"),
        3
    );
    assert_eq!(counted("MATCH (n:A) SET n.x = 3, n:C"), 1);
    assert_eq!(counted("MATCH (n:A) SET n = {y: 5}"), 2);
}

const DECLARED: &str = "node Person { name: String, age: F64? }
    node Admin { level: I32 }
    edge KNOWS: Person -> Person { since: Date? }";

fn declared(folder: &Path) -> Graph {
    let schema = Schema::parse_open(DECLARED).expect("declarations");
    Graph::create(folder, NewGraph::new(schema, "test")).expect("created");
    Graph::open(folder, Options::default()).expect("opened")
}

/// What a write is refused with; nothing of it is there afterwards.
fn refused(graph: &Graph, text: &str) -> String {
    let before = export(&graph.snapshot());
    let plan = cypher::compile(text, graph.snapshot().schema()).expect(text);
    let work = move |transaction: &mut Transaction| -> Result<(), ExecuteError> {
        let (parameters, limits) = (Parameters::new(), Limits::default());
        let mut sink = |_: &[Value]| std::ops::ControlFlow::Continue(());
        executor::write(&plan, &parameters, transaction, &limits, &mut sink)?;
        transaction.end_statement().map_err(ExecuteError::from)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let written = runtime
        .expect("a runtime")
        .block_on(graph.write(WriteRequest::by("test"), work));
    assert_eq!(export(&graph.snapshot()), before, "{text}");
    match written.expect_err(text) {
        crate::CommitError::Work(error) => error.to_string(),
        other => panic!("{text}: {other}"),
    }
}

#[test]
fn declared_labels_and_types_are_kept_to() {
    let home = TempDir::new().expect("a temporary folder");
    let folder = home.path().join("g");
    let graph = declared(&folder);
    write(
        &graph,
        "CREATE (a:Person {name: 'Ada', age: 36, other: [1]}), (b:Robot {name: 1}),
         (a)-[:KNOWS {since: date('2020-01-01')}]->(:Person:Admin {name: 'Bob', level: 1}),
         (a)-[:LIKES {since: 'ever'}]->(b)",
    );
    // A whole number where a float is declared is one.
    let ages = rows(&graph.snapshot(), "MATCH (n {name: 'Ada'}) RETURN n.age");
    assert_eq!(ages, [[Value::Float(36.0)]]);
    // Within a statement it may be otherwise.
    write(&graph, "CREATE (c:Person) SET c.name = 'Cy'");
    let cases = [
        ("CREATE (:Person {age: 1.0})", "Person.name is required"),
        ("CREATE (:Person {name: 1})", "Person.name"),
        (
            "CREATE (:Person:Admin {name: 'x', level: 5000000000})",
            "Admin.level",
        ),
        ("MATCH (n:Robot) SET n:Person", "Person.name"),
        ("MATCH (n:Person) SET n.age = 'old'", "Person.age"),
        ("MATCH (n:Person) REMOVE n.name", "Person.name is required"),
        ("MATCH (n:Person) SET n = {}", "Person.name is required"),
        (
            "MATCH (n:Robot), (m:Person) CREATE (m)-[:KNOWS]->(n)",
            "KNOWS",
        ),
        ("MATCH ()-[k:KNOWS]->() SET k.since = 1", "KNOWS.since"),
        ("MATCH (n:Admin) REMOVE n:Person", "KNOWS"),
        ("MERGE (:Person {age: 2.0})", "Person.name is required"),
    ];
    for (text, expected) in cases {
        let words = refused(&graph, text);
        assert!(words.contains(expected), "{text}: {words}");
    }
    // Without the edge the label may go.
    write(
        &graph,
        "MATCH (n:Admin)<-[k:KNOWS]-() DELETE k REMOVE n:Person",
    );
    // Export, load, a fold and another process have the same.
    let exported = export(&graph.snapshot());
    graph.fold().expect("folded");
    drop(graph);
    let graph = Graph::open(&folder, Options::default()).expect("opened");
    assert_eq!(export(&graph.snapshot()), exported);
    assert!(refused(&graph, "CREATE (:Person)").contains("Person.name is required"));
    let copy = declared(&home.path().join("copy"));
    load(&copy, &exported, Mode::Append).expect("loaded");
    assert_eq!(export(&copy.snapshot()), exported);
}

#[test]
fn a_load_is_held_to_declarations_by_line() {
    let home = TempDir::new().expect("a temporary folder");
    let graph = declared(&home.path().join("g"));
    let lines = r#"
{"type":"Person","data":{"id":"a","name":"A"}}
{"type":"Person","data":{"id":"b"}}
{"labels":["Person","Admin"],"data":{"id":"c","name":"C","level":"high"}}
{"type":"Robot","data":{"id":"r"}}
{"edge":"KNOWS","from":"a","to":"r"}
{"edge":"KNOWS","from":"a","to":"a","data":{"since":"2020-13-01"}}"#;
    for source in [
        Source::lines(Mode::Append),
        by_columns(Mode::Append),
        Source::lines(Mode::Merge),
    ] {
        let errors = load_from(&graph, lines, &source).expect_err("wrong");
        let lines: Vec<u64> = errors.iter().map(|error| error.line).collect();
        // Of lines that can be read, what is wrong is told as well.
        assert_eq!(lines, [3, 4, 6, 7], "{errors:?}");
    }
    let some: Vec<&str> = lines
        .lines()
        .filter(|line| !line.contains("high") && !line.contains("13-01"))
        .collect();
    let some = some.join("\n");
    for source in [Source::lines(Mode::Append), by_columns(Mode::Append)] {
        let errors = load_from(&graph, some.as_str(), &source).expect_err("wrong");
        let lines: Vec<u64> = errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [3, 5], "{errors:?}");
    }
    assert_eq!(export(&graph.snapshot()), "");
    let fine = r#"{"type":"Person","data":{"id":"a","name":"A","age":1}}
{"edge":"KNOWS","from":"a","to":"a","data":{"since":"2020-12-01"}}"#;
    load_from(&graph, fine, &by_columns(Mode::Append)).expect("loaded");
    let found = rows(
        &graph.snapshot(),
        "MATCH (n)-[k]->() RETURN n.age, k.since.year",
    );
    assert_eq!(found, [[Value::Float(1.0), Value::Int(2020)]]);
}
