//! Loading and exporting: what goes out comes in as it was, and what is wrong comes in not at all.

use std::io::{Seek, Write};
use std::ops::ControlFlow;
use std::path::Path;

use language::schema::Schema;
use tempfile::TempDir;

use crate::export::Selection;
use crate::load::{self, Input, LineError, Loaded, Mode, Source};
use crate::{
    CommitError, Graph, NewGraph, Options, Snapshot, Transaction, WriteRequest, Written, export,
};

mod open;

const SCHEMA: &str = r#"
node Person {
  email: String @key
  age: I64?, score: F64?, tags: [String]?, born: Date?, seen: DateTime?, small: F32?, ok: Bool?
  stage: enum(a, b-c)?, n: U32?, u: U64?, i: I32?, nums: [F64]?, kind: String? @default("plain")
}
node Place { country: String, number: I32  @key(country, number) }
node Note { text: String }
node Ticket { id: I64, text: String? }
node Tag { id: String? }
edge Knows: Person -> Person { since: Date? }
edge Near: Place -> Place
edge About: Note -> Ticket { id: String?, weight: F64? }
edge Tagged: Note -> Tag { id: I64? }
"#;

const LINES: &str = r#"
{"edge":"Knows","from":"ünï\u0000\n\"🦀\"","to":"b","data":{"since":"2020-02-29","id":"k1"}}
{"type":"Person","data":{"email":"ünï\u0000\n\"🦀\"","age":-9223372036854775808,"score":31.245270191439438,"tags":["","é"],"born":"0001-01-01","seen":"2024-02-29T23:59:59.999999Z","small":0.1,"ok":false,"stage":"b-c","n":4294967295,"u":"9223372036854775807","i":-2147483648,"nums":[-0.0,1e-320],"kind":null}}
{"type":"Person","data":{"email":"b","id":"b","score":"NaN","nums":[],"tags":null,"kind":"other"}}

{"edge":"Knows","from":"b","to":"ünï\u0000\n\"🦀\""}
{"edge":"Knows","from":"b","to":"ünï\u0000\n\"🦀\""}
{"edge":"Knows","from":"b","to":"b"}
{"type":"Place","data":{"country":"de","number":1,"id":["de",1]}}
{"type":"Place","data":{"country":"de","number":2}}
{"edge":"Near","from":["de",1],"to":["de",2]}
{"edge":"Near","from":["de",1],"to":["de",2]}
{"type":"Note","data":{"id":"n1","text":"first"}}
{"type":"Note","data":{"id":2,"text":"second"}}
{"type":"Note","data":{"text":"third"}}
{"type":"Ticket","data":{"id":7}}
{"type":"Tag","data":{"id":"x"}}
{"type":"Tag"}
{"edge":"About","from":"n1","to":7,"data":{"id":"a1","weight":1}}
{"edge":"About","from":"n1","to":"7","data":{"id":"a2","weight":2}}
{"edge":"About","from":2,"to":7}
{"edge":"Tagged","from":2,"to":"x","data":{"id":1}}
"#;

struct Place {
    _home: TempDir,
    graph: Graph,
}

impl Place {
    fn new(schema: &str) -> Self {
        Self::of(Schema::parse(schema).expect("a valid schema"))
    }

    fn of(schema: Schema) -> Self {
        let home = TempDir::new().expect("a temporary folder");
        let folder = home.path().join("g");
        Graph::create(&folder, NewGraph::new(schema, "test")).expect("created");
        let graph = Graph::open(&folder, Options::default()).expect("opened");
        Self { _home: home, graph }
    }

    fn load(&self, lines: &str, mode: Mode) -> Result<Written<Loaded>, Vec<LineError>> {
        load(&self.graph, lines, mode)
    }

    fn load_columns(&self, lines: &str, mode: Mode) -> Result<Written<Loaded>, Vec<LineError>> {
        load_from(&self.graph, lines, &by_columns(mode))
    }

    fn export(&self) -> String {
        export(&self.graph.snapshot())
    }
}

pub(super) fn load(
    graph: &Graph,
    lines: &str,
    mode: Mode,
) -> Result<Written<Loaded>, Vec<LineError>> {
    load_from(graph, lines, &Source::lines(mode))
}

/// By rows when it is little, else by columns: `source` says what little is.
pub(super) fn load_from(
    graph: &Graph,
    input: impl Into<Vec<u8>>,
    source: &Source,
) -> Result<Written<Loaded>, Vec<LineError>> {
    let input = Input::Stream(Box::new(std::io::Cursor::new(input.into())));
    load_input(graph, input, source)
}

fn load_input(
    graph: &Graph,
    input: Input,
    source: &Source,
) -> Result<Written<Loaded>, Vec<LineError>> {
    let batch = load::parse(input, source, &graph.snapshot())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime
        .block_on(graph.load(WriteRequest::by("test"), None, &batch))
        .map_err(|error| match error {
            CommitError::Work(wrong) => wrong.lines,
            other => panic!("{other:?}"),
        })
}

/// Little enough for nothing: everything that is not merged goes by columns.
pub(super) fn by_columns(mode: Mode) -> Source {
    Source {
        by_row: 0,
        ..Source::lines(mode)
    }
}

pub(super) fn export(snapshot: &Snapshot) -> String {
    let mut text = Vec::new();
    let mut sink = |chunk: &[u8]| {
        text.extend_from_slice(chunk);
        ControlFlow::Continue(())
    };
    export::write(snapshot, &Selection::default(), &mut sink).expect("exported");
    String::from_utf8(text).expect("text")
}

/// The rows of one type as columns.
fn export_columns(snapshot: &Snapshot, name: &str, format: export::Format) -> Vec<u8> {
    let selection = Selection::new(snapshot.schema(), Some(name.to_owned()), format);
    let mut bytes = Vec::new();
    let mut sink = |chunk: &[u8]| {
        bytes.extend_from_slice(chunk);
        ControlFlow::Continue(())
    };
    export::write(snapshot, &selection.expect("can be"), &mut sink).expect("exported");
    bytes
}

fn load_file(graph: &Graph, bytes: &[u8], source: &Source) {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    file.rewind().expect("rewound");
    let batch = load::parse(Input::File(file), source, &graph.snapshot())
        .unwrap_or_else(|lines| panic!("{source:?}: {lines:?}"));
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(graph.load(WriteRequest::by("test"), None, &batch))
        .unwrap_or_else(|error| panic!("{source:?}: {error:?}"));
}

#[test]
fn what_is_exported_as_columns_is_loaded_as_it_was() {
    let first = Place::new(SCHEMA);
    first.load(LINES, Mode::Append).expect("loaded");
    let exported = first.export();
    let formats = [
        (export::Format::Arrow, load::Format::Arrow),
        (export::Format::Parquet, load::Format::Parquet),
    ];
    let snapshot = first.graph.snapshot();
    let schema = snapshot.schema().clone();
    let nodes = schema.node_types.iter().map(|node| node.name.as_str());
    let edges = schema.edge_types.iter().map(|edge| edge.name.as_str());
    for (format, back) in formats {
        let second = Place::new(SCHEMA);
        for mode in [Mode::Append, Mode::Merge] {
            for name in nodes.clone().chain(edges.clone()) {
                let bytes = export_columns(&snapshot, name, format);
                // Rows without an identity of their own would be added once more.
                if mode == Mode::Append || name != "Tag" {
                    load_file(&second.graph, &bytes, &Source::columns(back, name, mode));
                }
            }
            assert_eq!(second.export(), exported, "{format:?} {mode:?}");
        }
        // From tables, and nothing at all.
        second.graph.fold().expect("folded");
        let third = Place::new(SCHEMA);
        for name in nodes.clone().chain(edges.clone()) {
            let nothing = export_columns(&third.graph.snapshot(), name, format);
            load_file(
                &third.graph,
                &nothing,
                &Source::columns(back, name, Mode::Append),
            );
            let bytes = export_columns(&second.graph.snapshot(), name, format);
            load_file(
                &third.graph,
                &bytes,
                &Source::columns(back, name, Mode::Append),
            );
        }
        assert_eq!(third.export(), exported, "{format:?}");
    }
}

#[test]
fn columns_are_handed_over_while_they_are_made() {
    let place = Place::new("node A { k: I64 @key, text: String }");
    let mut state = 1_u64;
    // Text in which nothing repeats, so that it stays as large as it is.
    let mut line = |k: usize| {
        let mut text = String::new();
        while text.len() < 1_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text += &format!("{:x}", state >> 16);
        }
        format!("{{\"type\":\"A\",\"data\":{{\"k\":{k},\"text\":\"{text}\"}}}}\n")
    };
    let lines: String = (0..15_000).map(&mut line).collect();
    place.load(&lines, Mode::Append).expect("loaded");
    let snapshot = place.graph.snapshot();
    for format in [export::Format::Arrow, export::Format::Parquet] {
        let selection = Selection::new(snapshot.schema(), Some("A".to_owned()), format);
        let selection = selection.expect("can be");
        let mut pieces = 0;
        let mut sink = |_: &[u8]| {
            pieces += 1;
            ControlFlow::Continue(())
        };
        export::write(&snapshot, &selection, &mut sink).expect("exported");
        assert!(pieces > 1, "{format:?}");
        let mut sink = |_: &[u8]| ControlFlow::Break(());
        export::write(&snapshot, &selection, &mut sink).expect("ended early");
    }
}

#[test]
fn what_cannot_be_columns_is_refused() {
    let closed = "node A { k: String @key } edge E: A -> A { from: String? } edge F: A -> A";
    let closed = Schema::parse(closed).expect("a valid schema");
    let refused = |schema: &Schema, name: Option<&str>, format| {
        let refused = Selection::new(schema, name.map(str::to_owned), format);
        refused.err().map(|error| error.to_string())
    };
    let cases = [
        (
            &closed,
            Some("E"),
            "E.from would stand in the column of an end",
        ),
        (&closed, Some("G"), "there is no type \"G\""),
        (&closed, None, "which type the rows are of must be said"),
    ];
    for (schema, name, expected) in cases {
        let error = refused(schema, name, export::Format::Arrow).expect("refused");
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(refused(&closed, Some("F"), export::Format::Parquet), None);
    assert_eq!(refused(&closed, Some("E"), export::Format::Ndjson), None);
}

#[test]
fn what_is_exported_is_loaded_as_it_was() {
    let first = Place::new(SCHEMA);
    let loaded = first.load(LINES, Mode::Append).expect("loaded");
    assert_eq!(loaded.value.nodes.values().sum::<u64>(), 10);
    assert_eq!(loaded.value.edges.values().sum::<u64>(), 10);
    let exported = first.export();
    for part in [
        r#""score":31.245270191439438"#,
        r#""nums":[-0.0,1e-320]"#,
        r#""small":0.10000000149011612"#,
        r#""kind":null"#,
    ] {
        assert!(exported.contains(part), "{part} in\n{exported}");
    }

    let second = Place::new(SCHEMA);
    second.load(&exported, Mode::Append).expect("loaded");
    assert_eq!(second.export(), exported);
    // Merging what is there, into where it came from or elsewhere, finds every row and changes none.
    for place in [&first, &second] {
        let head = place.graph.snapshot().head().clone();
        let merged = place.load(&exported, Mode::Merge).expect("merged");
        assert_eq!(merged.commit, head);
        assert_eq!(place.export(), exported);
        place.graph.fold().expect("folded");
        let merged = place.load(&exported, Mode::Merge).expect("merged");
        assert_eq!(merged.commit, head);
    }
    second.load(&exported, Mode::Overwrite).expect("loaded");
    assert_eq!(second.export(), exported);
    second
        .load_columns(&exported, Mode::Overwrite)
        .expect("loaded");
    assert_eq!(second.export(), exported);
    let third = Place::new(SCHEMA);
    let by_columns = third.load_columns(LINES, Mode::Append).expect("loaded");
    assert_eq!(by_columns.value, loaded.value);
    assert_eq!(by_columns.counts, loaded.counts);
    assert_eq!(
        without_made_ids(&third.export()),
        without_made_ids(&exported)
    );
    let taken = second
        .load_columns(&exported, Mode::Append)
        .expect_err("taken");
    assert_eq!(taken.len(), 10, "{taken:?}");
    let taken = second.load(&exported, Mode::Append).expect_err("taken");
    assert_eq!(taken.len(), 10, "{taken:?}");
}

/// Without identities that were made rather than given: UUIDs.
fn without_made_ids(lines: &str) -> Vec<serde_json::Value> {
    let lines = lines.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let id = line["data"]["id"].as_str().unwrap_or_default();
        if uuid::Uuid::parse_str(id).is_ok() {
            line["data"]["id"] = "made".into();
        }
        line
    });
    lines.collect()
}

#[test]
fn a_declared_id_is_the_identity() {
    let place = Place::new(SCHEMA);
    place.load(LINES, Mode::Append).expect("loaded");
    let snapshot = place.graph.snapshot();
    let schema = snapshot.schema();
    let ticket = schema.node_type_named("Ticket").expect("declared");
    let about = schema.edge_type_named("About").expect("declared");
    let id = ticket.property("id").expect("declared").id;
    let found = snapshot
        .node_by_key(ticket.id, &["7".into()])
        .expect("there");
    let created = |value: i64| {
        let type_id = ticket.id;
        let work =
            move |work: &mut Transaction| work.create_node(type_id, vec![(id, value.into())]);
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(place.graph.write(WriteRequest::by("test"), work))
    };
    let made = created(8).expect("written").value;
    assert_eq!(place.graph.snapshot().node_identity(made), "8".into());
    assert_eq!(
        created(7).expect_err("taken").to_string(),
        r#"a Ticket with identity "7" exists already"#
    );
    let changed = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(
            place
                .graph
                .write(WriteRequest::by("test"), move |work: &mut Transaction| {
                    work.set_node(found, vec![(id, 9.into())])
                }),
        );
    assert!(changed.is_err(), "an identity stays");
    // Parallel edges are told apart by it.
    let lines = r#"{"edge":"About","from":"n1","to":7,"data":{"id":"a2","weight":5}}"#;
    let merged = place.load(lines, Mode::Merge).expect("merged");
    assert_eq!(merged.counts.edges_created, 0);
    let snapshot = place.graph.snapshot();
    let weight = about.property("weight").expect("declared").id;
    let weights: Vec<_> = snapshot
        .edges(about.id)
        .map(|edge| snapshot.edge_property(edge, weight))
        .collect();
    assert_eq!(weights[..2], [1.0, 5.0].map(language::value::Value::Float));
}

#[test]
fn one_bad_line_loads_nothing_and_is_named() {
    let place = Place::new(SCHEMA);
    let good = r#"{"type":"Person","data":{"email":"a"}}"#;
    let cases = [
        (
            r#"{"type":"Person","data":{"email":"a"}}"#,
            r#"a Person with email = "a" exists already"#,
        ),
        (r#"{"type":"Person","data":{}}"#, "Person.email is required"),
        (
            r#"{"type":"Person","data":{"email":"b","id":"c"}}"#,
            r#"`id` is "c", which is not the key of this Person"#,
        ),
        (
            r#"{"type":"Persn","data":{}}"#,
            "`Persn` is no node type; did you mean `Person`?",
        ),
        (r#"{"type":"Note","data":{"text":1}}"#, "Note.text: "),
        (r#"{"type":"Note"}"#, "Note.text is required"),
        (
            r#"{"edge":"Knows","from":"a","to":"z"}"#,
            r#"to: there is no Person with the key "z""#,
        ),
        (
            r#"{"edge":"Near","from":["de",1],"to":"de"}"#,
            "to: the key of Place is an array of 2 values",
        ),
        (
            r#"{"edge":"Knows","from":"a"}"#,
            "an edge needs `from` and `to`",
        ),
        (r#"{"type":"Ticket","data":{}}"#, "Ticket.id is required"),
        (
            r#"{"type":"Person","data":{"email":"b"}"#,
            "not JSON at column 37: ",
        ),
        (
            r#"{"type":"Person","data":{"email":"b"},"x":1}"#,
            "unknown field `x`",
        ),
    ];
    let head = place.graph.snapshot().head().clone();
    for (bad, message) in cases {
        for mode in [Mode::Append, Mode::Overwrite] {
            let lines = format!("{good}\n\r\n{bad}");
            let errors = place.load(&lines, mode).expect_err(bad);
            assert_eq!(
                errors.iter().map(|error| error.line).collect::<Vec<_>>(),
                [3],
                "{errors:?}"
            );
            assert!(errors[0].message.starts_with(message), "{bad}: {errors:?}");
            let by_columns = place.load_columns(&lines, mode).expect_err(bad);
            assert_eq!(by_columns, errors);
        }
    }
    assert_eq!(*place.graph.snapshot().head(), head);
    assert_eq!(place.export(), "");
}

#[test]
fn the_first_hundred_errors_are_told() {
    let place = Place::new(SCHEMA);
    let unreadable = "{\n".repeat(150);
    let lines = |errors: Vec<LineError>| errors.iter().map(|error| error.line).collect::<Vec<_>>();
    let expected: Vec<u64> = (1..=100).collect();
    let unfit = "{\"edge\":\"Knows\",\"from\":\"a\",\"to\":\"b\"}\n".repeat(150);
    for input in [unreadable, unfit] {
        let errors = place.load(&input, Mode::Append).expect_err("bad");
        let by_columns = place.load_columns(&input, Mode::Append).expect_err("bad");
        assert_eq!(by_columns, errors);
        assert_eq!(lines(errors), expected);
    }
}

/// The name alone, without any folder before it.
#[test]
fn a_graph_is_made_where_it_is_said() {
    let home = TempDir::new_in(".").expect("a temporary folder");
    let name = home.path().file_name().expect("a name").to_owned();
    let deep = Path::new(&name).join("a/b/c");
    let schema = || Schema::parse("node A { k: String @key }").expect("valid");
    Graph::create(&deep, NewGraph::new(schema(), "test")).expect("created");
    Graph::open(&deep, Options::default()).expect("opened");
    std::fs::remove_dir_all(&name).expect("removed");
    Graph::create(Path::new(&name), NewGraph::new(schema(), "test")).expect("created");
    Graph::open(Path::new(&name), Options::default()).expect("opened");
}

/// What a checkpoint says of the schema is what it was.
#[test]
fn every_schema_survives_a_checkpoint() {
    let schema = r#"
    interface Named { name: String @index }
    node Thing implements Named @description("ü \"x\"") {
      key: String @key
      name: String @index
      ratio: F64 @default(31.245270191439438)
      small: F32? @range(0.1..0.7)
      code: String? @check("[a-z]{2}\\d+")
      list: [I64]? @default([1, 2])
      day: Date? @default("2020-02-29")
    }
    edge Link: Thing -> Thing @instruction("use it") { weight: F64? @range(0.1..) }
    "#;
    let place = Place::new(schema);
    place
        .load(
            r#"{"type":"Thing","data":{"key":"a","name":"n"}}"#,
            Mode::Append,
        )
        .expect("loaded");
    let (before, exported) = (place.graph.snapshot().schema().clone(), place.export());
    place.graph.fold().expect("folded");
    let folder = place.graph.folder().expect("a folder").to_owned();
    let Place { _home, graph } = place;
    drop(graph);
    let graph = Graph::open(&folder, Options::default()).expect("opened");
    assert_eq!(graph.status().tail_rows, 0);
    assert_eq!(*graph.snapshot().schema(), before);
    assert_eq!(export(&graph.snapshot()), exported);
}
