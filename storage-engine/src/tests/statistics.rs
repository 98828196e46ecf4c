//! What is known of values: it chooses better plans than rules of thumb do, and outlives the process.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use language::cypher;
use language::schema::Schema;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::executor::{self, ExecuteError, Limits, Operator, Parameters};
use crate::statistics::Statistics;
use crate::{Graph, NewGraph, Options, Snapshot, Transaction, WriteRequest};

const SCHEMA: &str = "
node A { key: I64 @key, flag: Bool, x: I64 }
node B { key: I64 @key, code: I64?, x: I64, name: String }
edge R: A -> B
edge Q: A -> B
";

/// Each A has ten B by R and by Q. Nearly every A has the flag, each B its own code, `x` from 0 to 499.
const MADE: [&str; 4] = [
    "UNWIND range(0, 199) AS i CREATE (:A {key: i, flag: i % 10 > 0, x: i})",
    "UNWIND range(0, 499) AS i CREATE (:B {key: i, code: 1000 + i, x: i, name: 'b' + toString(i)})",
    "MATCH (a:A) UNWIND range(0, 9) AS i MATCH (b:B {key: (a.key * 7 + i * 31) % 500}) CREATE (a)-[:R]->(b)",
    "MATCH (a:A) UNWIND range(0, 9) AS i MATCH (b:B {key: (a.key * 3 + i * 17) % 500}) CREATE (a)-[:Q]->(b)",
];

/// Nearly every node is `Usual`, and few of them know a `Rare` one.
const OPEN: [&str; 3] = [
    "UNWIND range(0, 399) AS i CREATE (:Usual {n: i})",
    "UNWIND range(0, 3) AS i CREATE (:Rare {n: i})",
    "MATCH (r:Rare), (u:Usual) WHERE u.n < 8 AND u.n % 4 = r.n CREATE (u)-[:KNOWS]->(r)",
];

/// Opens with columns on disk alone.
fn open(folder: &Path) -> Graph {
    let options = Options {
        resident_rows: 0,
        ..Options::default()
    };
    Graph::open(folder, options).expect("opened")
}

fn made(folder: &Path, schema: Schema, statements: &[&str]) -> Graph {
    Graph::create(folder, NewGraph::new(schema, "test")).expect("created");
    let graph = open(folder);
    statements.iter().for_each(|text| write(&graph, text));
    graph
}

fn write(graph: &Graph, text: &str) {
    let plan = cypher::compile(text, graph.snapshot().schema()).expect(text);
    let work = move |transaction: &mut Transaction| -> Result<(), ExecuteError> {
        let mut sink = |_: &[_]| ControlFlow::Continue(());
        let (parameters, limits) = (Parameters::new(), Limits::default());
        executor::write(&plan, &parameters, transaction, &limits, &mut sink)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let written = runtime.block_on(graph.write(WriteRequest::by("test"), work));
    written.expect(text);
}

/// The operators of a run.
fn profile(snapshot: &Snapshot, text: &str) -> Vec<Operator> {
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let (parameters, limits) = (Parameters::new(), Limits::default());
    let profiled = executor::profile(&plan, &parameters, snapshot, &limits);
    profiled.expect(text).0.remove(0)
}

/// How many rows came out of all operators.
fn touched(snapshot: &Snapshot, text: &str) -> u64 {
    let operators = profile(snapshot, text);
    operators.iter().filter_map(|operator| operator.rows).sum()
}

/// The same graph of which nothing is known.
fn ignorant(snapshot: &Snapshot) -> Snapshot {
    snapshot.clone().with_statistics(Statistics::default())
}

/// What rules of thumb choose, and what statistics choose, in rows touched.
fn compare(snapshot: &Snapshot, text: &str) -> (u64, u64) {
    (touched(&ignorant(snapshot), text), touched(snapshot, text))
}

fn closed() -> (TempDir, Graph) {
    let home = TempDir::new().expect("a temporary folder");
    let schema = Schema::parse(SCHEMA).expect("a valid schema");
    let graph = made(&home.path().join("g"), schema, &MADE);
    graph.fold().expect("folded");
    (home, graph)
}

/// A condition that leaves nearly all beside one that leaves one: where to begin.
const BEGIN: &str =
    "MATCH (a:A)-[:R]->(b:B) WHERE a.flag = true AND b.code = 1007 RETURN a.key, b.key";

/// Two ways to go on, one of which ends at once.
const NEXT: &str =
    "MATCH (b:B)<-[:R]-(a:A {key: 5})-[:Q]->(c:B) WHERE b.x >= 0 AND c.x > 498 RETURN b.key, c.key";

#[test]
fn a_walk_begins_where_the_values_leave_least() {
    let (_home, graph) = closed();
    let (usual, better) = compare(&graph.snapshot(), BEGIN);
    assert!(
        better * 10 < usual,
        "{better} rows, {usual} without statistics"
    );
    let operators = profile(&graph.snapshot(), BEGIN);
    assert!(operators[0].details.starts_with("(b"), "{operators:?}");
    assert!(operators[0].estimated_rows < 2.0, "{operators:?}");
}

#[test]
fn a_walk_goes_on_where_a_range_leaves_least() {
    let (_home, graph) = closed();
    let (usual, better) = compare(&graph.snapshot(), NEXT);
    assert!(
        better * 2 < usual,
        "{better} rows, {usual} without statistics"
    );
}

#[test]
fn estimates_are_those_of_the_values() {
    let (_home, graph) = closed();
    let snapshot = graph.snapshot();
    for (condition, expected) in [
        ("b.x < 100", 100.0),
        ("b.x >= 400", 100.0),
        ("50 > b.x", 50.0),
        ("b.code IS NULL", 0.0),
        ("b.code = 1003 OR b.code = 1004", 2.0),
        ("NOT b.x < 100", 400.0),
        ("b.code IN [1001, 1002, 1003]", 3.0),
        ("b.x <> 3", 499.0),
        ("b.name STARTS WITH 'c'", 0.0),
        ("b.name STARTS WITH 'b4'", 111.0),
    ] {
        let text = format!("MATCH (b:B) WHERE {condition} RETURN b.key");
        let found = profile(&snapshot, &text)[0].estimated_rows;
        let near = (found - expected).abs() <= 25.0_f64.max(expected * 0.2);
        assert!(near, "{condition}: {found}, not {expected}");
    }
}

#[test]
fn labels_of_an_open_graph_are_known() {
    let home = TempDir::new().expect("a temporary folder");
    let schema = Schema::parse_open("").expect("the empty schema");
    let graph = made(&home.path().join("g"), schema, &OPEN);
    graph.fold().expect("folded");
    let text = "MATCH (u:Usual)-[:KNOWS]->(r:Rare) RETURN u.n, r.n";
    let (usual, better) = compare(&graph.snapshot(), text);
    assert!(
        better * 2 < usual,
        "{better} rows, {usual} without statistics"
    );
    let text = "MATCH (r:Rare) RETURN r.n";
    let found = profile(&graph.snapshot(), text)[0].estimated_rows;
    assert!((found - 4.0).abs() < 1.0, "{found}");
    let text = "MATCH (n) WHERE n.n < 100 RETURN n.n";
    let found = profile(&graph.snapshot(), text)[0].estimated_rows;
    assert!((found - 104.0).abs() < 30.0, "{found}");
}

/// They are read with the checkpoint, and plans are made without a look at the columns.
#[test]
fn a_graph_that_is_opened_again_is_planned_as_before() {
    let (home, graph) = closed();
    let before = graph.snapshot().statistics().clone();
    assert_ne!(before, Statistics::default());
    drop(graph);
    let graph = open(&home.path().join("g"));
    let snapshot = graph.snapshot();
    assert_eq!(*snapshot.statistics(), before);
    let cold = snapshot.memory().cold_columns;
    assert!(cold > 0);
    let plan = cypher::compile(BEGIN, snapshot.schema()).expect(BEGIN);
    let explained = executor::explain(&plan, &Parameters::new(), &snapshot, &Limits::default());
    let operators = explained.expect(BEGIN).remove(0);
    assert!(operators[0].details.starts_with("(b"), "{operators:?}");
    assert_eq!(snapshot.memory().cold_columns, cold, "nothing was read");
    // A fold that finds the columns on disk alone keeps what was known of them.
    write(&graph, "MATCH (a:A {key: 1}) SET a.x = 7");
    write(
        &graph,
        "UNWIND range(500, 899) AS i CREATE (:B {key: i, code: i, x: i, name: 'c'})",
    );
    graph.fold().expect("folded");
    drop((snapshot, graph));
    let graph = open(&home.path().join("g"));
    let (usual, better) = compare(&graph.snapshot(), BEGIN);
    assert!(
        better * 10 < usual,
        "{better} rows, {usual} without statistics"
    );
}

/// Few changes leave what is known as it is; more have it looked at again.
#[test]
fn they_follow_what_is_written() {
    let (_home, graph) = closed();
    let part = |graph: &Graph| {
        let text = "MATCH (b:B) WHERE b.x = 1000000 RETURN b.key";
        profile(&graph.snapshot(), text)[0].estimated_rows
    };
    assert!(part(&graph) < 2.0);
    write(&graph, "MATCH (b:B) WHERE b.key < 20 SET b.x = 1000000");
    graph.fold().expect("folded");
    assert!(part(&graph) < 2.0, "a twenty-fifth has changed");
    write(&graph, "MATCH (b:B) WHERE b.key < 400 SET b.x = 1000000");
    graph.fold().expect("folded");
    assert!((part(&graph) - 400.0).abs() < 10.0, "{}", part(&graph));
}

#[test]
fn a_checkpoint_without_statistics_opens() {
    let (home, graph) = closed();
    drop(graph);
    let folder = home.path().join("g");
    let found = fs::read_dir(folder.join("checkpoints")).expect("listed");
    for entry in found {
        let path = entry.expect("there").path();
        let text = fs::read_to_string(&path).expect("read");
        let line = text.lines().next().expect("one line");
        let mut json: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let members = json.as_object_mut().expect("an object");
        assert!(members.remove("statistics").is_some());
        let line = json.to_string();
        let digest = hex::encode(Sha256::digest(line.as_bytes()));
        fs::write(&path, format!("{line}\n{digest}\n")).expect("written");
    }
    let graph = open(&folder);
    assert_eq!(*graph.snapshot().statistics(), Statistics::default());
    assert!(
        graph.status().expect("listed").checkpoint.is_some(),
        "it is used"
    );
    let (usual, same) = compare(&graph.snapshot(), BEGIN);
    assert_eq!(usual, same);
}
