//! Loads by columns: every format, what others do meanwhile, crashes, memory.

use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, LargeStringArray,
    RecordBatch, StringArray, TimestampNanosecondArray,
};
use language::schema::Schema;
use language::value::Value;
use tempfile::TempDir;

use super::open_again;
use super::transfer::{by_columns, export, load_from};
use crate::load::{self, Format, Input, LineError, Loaded, Mode, Source};
use crate::{CommitError, Graph, NewGraph, Options, Store, Transaction, WriteRequest, Written};

const SCHEMA: &str = r#"
node Person {
  email: String @key
  age: I32? @range(0..150), score: F64?, born: Date?, seen: DateTime?, ok: Bool?
  stage: enum(a, b)?, kind: String @default("plain")
}
node Place { country: String, number: I32  @key(country, number) }
edge Knows: Person -> Person { since: I32? }
edge Lives: Person -> Place
"#;

struct Place {
    _home: TempDir,
    store: Store,
    graph: Option<Graph>,
}

impl Place {
    fn new() -> Self {
        let (_home, store) = super::somewhere();
        let schema = Schema::parse(SCHEMA).expect("a valid schema");
        Graph::create(&store, NewGraph::new(schema, "test")).expect("created");
        let mut place = Self {
            _home,
            store,
            graph: None,
        };
        place.reopen();
        place
    }

    fn reopen(&mut self) {
        self.graph = None;
        self.graph = Some(open_again(&self.store, Options::default()));
    }

    fn graph(&self) -> &Graph {
        self.graph.as_ref().expect("open")
    }

    fn export(&self) -> String {
        export(&self.graph().snapshot())
    }

    fn columns(&self, lines: &str, mode: Mode) -> Result<Written<Loaded>, Vec<LineError>> {
        load_from(self.graph(), lines, &by_columns(mode))
    }

    fn table(
        &self,
        bytes: &[u8],
        format: Format,
        type_name: &str,
        mode: Mode,
    ) -> Result<Written<Loaded>, Vec<LineError>> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file.seek(SeekFrom::Start(0)).expect("at the start");
        let source = Source::columns(format, type_name, mode);
        let batch = load::parse(Input::File(file), &source, &self.graph().snapshot())?;
        commit(self.graph(), &batch)
    }

    fn write(&self, work: impl FnOnce(&mut Transaction) + Send + 'static) {
        let work = |transaction: &mut Transaction| {
            work(transaction);
            Ok::<_, crate::WriteError>(())
        };
        let write = self.graph().write(WriteRequest::by("test"), work);
        runtime().block_on(write).expect("written");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
}

fn commit(graph: &Graph, batch: &load::Batch) -> Result<Written<Loaded>, Vec<LineError>> {
    let loaded = runtime().block_on(graph.load(WriteRequest::by("test"), None, batch));
    loaded.map_err(|error| match error {
        CommitError::Work(wrong) => wrong.lines,
        other => panic!("{other:?}"),
    })
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None);
    let mut writer = writer.expect("a writer");
    writer.write(batch).expect("written");
    writer.close().expect("closed");
    bytes
}

fn arrow(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let writer = arrow_ipc::writer::StreamWriter::try_new(&mut bytes, &batch.schema());
    let mut writer = writer.expect("a writer");
    writer.write(batch).expect("written");
    writer.finish().expect("finished");
    drop(writer);
    bytes
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .expect("columns of one length")
}

fn people() -> RecordBatch {
    batch(vec![
        ("email", Arc::new(StringArray::from(vec!["a", "é", "c"]))),
        (
            "age",
            Arc::new(Int64Array::from(vec![Some(7), None, Some(150)])),
        ),
        (
            "score",
            Arc::new(Float64Array::from(vec![Some(0.5), Some(-0.0), None])),
        ),
        (
            "born",
            Arc::new(Date32Array::from(vec![Some(0), None, Some(-1)])),
        ),
        (
            "seen",
            Arc::new(TimestampNanosecondArray::from(vec![
                Some(1_500),
                None,
                Some(0),
            ])),
        ),
        (
            "ok",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        (
            "stage",
            Arc::new(LargeStringArray::from(vec![Some("a"), None, Some("b")])),
        ),
    ])
}

const PEOPLE: &str = r#"{"type":"Person","data":{"email":"a","age":7,"score":0.5,"born":"1970-01-01","seen":"1970-01-01T00:00:00.000001Z","ok":true,"stage":"a"}}
{"type":"Person","data":{"email":"é","score":-0.0,"ok":false}}
{"type":"Person","data":{"email":"c","age":150,"born":"1969-12-31","seen":"1970-01-01T00:00:00Z","stage":"b"}}
"#;

const PEOPLE_CSV: &str = "email,age,score,born,seen,ok,stage
a,7,0.5,1970-01-01,1970-01-01T00:00:00.000001Z,true,a
é,,-0.0,,,false,
c,150,,1969-12-31,\"1970-01-01T00:00:00Z\",,b
";

#[test]
pub(super) fn every_format_brings_the_same() {
    let knows = batch(vec![
        ("from", Arc::new(StringArray::from(vec!["a", "é"]))),
        ("dst", Arc::new(StringArray::from(vec!["c", "a"]))),
        ("since", Arc::new(Int32Array::from(vec![Some(3), None]))),
        ("id", Arc::new(StringArray::from(vec!["k1", "k2"]))),
    ]);
    let places = "country,number\nde,1\nde,2\n";
    let lives = "from,to.country,to.number,id\na,de,2,l1\n";
    let lines = format!(
        "{PEOPLE}{}",
        r#"{"type":"Place","data":{"country":"de","number":1}}
        {"type":"Place","data":{"country":"de","number":2}}
        {"edge":"Knows","from":"a","to":"c","data":{"since":3,"id":"k1"}}
        {"edge":"Knows","from":"é","to":"a","data":{"id":"k2"}}
        {"edge":"Lives","from":"a","to":["de",2],"data":{"id":"l1"}}"#
    );
    let expected = Place::new();
    expected.columns(&lines, Mode::Append).expect("loaded");
    let cases = [
        (Format::Parquet, parquet(&people()), parquet(&knows)),
        (Format::Arrow, arrow(&people()), arrow(&knows)),
        (
            Format::Csv,
            PEOPLE_CSV.into(),
            "from,to,since,id\na,c,3,k1\né,a,,k2\n".into(),
        ),
    ];
    for (format, people, knows) in cases {
        let mut place = Place::new();
        let loaded = place.table(&people, format, "Person", Mode::Append);
        assert_eq!(loaded.expect("loaded").value.nodes["Person"], 3);
        let places = place.table(places.as_bytes(), Format::Csv, "Place", Mode::Append);
        places.expect("loaded");
        place
            .table(&knows, format, "Knows", Mode::Append)
            .expect("loaded");
        place
            .table(lives.as_bytes(), Format::Csv, "Lives", Mode::Append)
            .expect("loaded");
        // In Parquet and Arrow a null is null; a default is for what is not given.
        assert_eq!(place.export(), expected.export(), "{format:?}");
        // What is there is found again, and stays.
        let head = place.graph().snapshot().head().clone();
        for (bytes, type_name) in [(&people, "Person"), (&knows, "Knows")] {
            let merged = place.table(bytes, format, type_name, Mode::Merge);
            assert_eq!(
                merged.expect("merged").commit,
                head,
                "{format:?} {type_name}"
            );
        }
        place.reopen();
        assert_eq!(place.export(), expected.export(), "{format:?}");
    }
}

#[test]
fn what_is_wrong_with_a_row_is_told_with_its_number() {
    let place = Place::new();
    let email: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let column =
        |name: &'static str, array: ArrayRef| batch(vec![("email", email.clone()), (name, array)]);
    let cases = [
        (
            column("age", Arc::new(Int64Array::from(vec![1, 5_000_000_000]))),
            2,
            "Person.age: I32 holds -2147483648 to 2147483647, got 5000000000",
        ),
        (
            column("age", Arc::new(Float64Array::from(vec![1.0, 1.5]))),
            2,
            "Person.age: expected I32, got Float64 1.5",
        ),
        (
            column("age", Arc::new(Int64Array::from(vec![1, 151]))),
            2,
            "Person.age: expected 0 to 150, got integer 151",
        ),
        (
            column("stage", Arc::new(StringArray::from(vec!["c", "a"]))),
            1,
            "Person.stage: expected one of a, b, got string \"c\"",
        ),
        (
            column("kind", Arc::new(StringArray::from(vec![Some("x"), None]))),
            2,
            "Person.kind is required",
        ),
        (
            column(
                "born",
                Arc::new(StringArray::from(vec!["2020-01-01", "soon"])),
            ),
            2,
            "Person.born: expected a date",
        ),
        (
            column("agee", Arc::new(Int64Array::from(vec![1, 2]))),
            0,
            "the column `agee` is no property of Person; did you mean `age`?",
        ),
        (
            column("ok", Arc::new(Int64Array::from(vec![1, 2]))),
            0,
            "the column `Person.ok` is Int64; expected Bool",
        ),
        (
            batch(vec![(
                "email",
                Arc::new(StringArray::from(vec![Some("a"), None])),
            )]),
            2,
            "Person.email is required",
        ),
        (
            batch(vec![("email", Arc::new(StringArray::from(vec!["a", "a"])))]),
            2,
            "a Person with email = \"a\" exists already",
        ),
    ];
    let head = place.graph().snapshot().head().clone();
    for (batch, line, message) in cases {
        for (format, bytes) in [
            (Format::Parquet, parquet(&batch)),
            (Format::Arrow, arrow(&batch)),
        ] {
            let errors = place.table(&bytes, format, "Person", Mode::Append);
            let errors = errors.expect_err(message);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert_eq!(errors[0].line, line, "{errors:?}");
            assert!(errors[0].message.starts_with(message), "{errors:?}");
        }
    }
    for (bytes, type_name) in [
        (&b"nonsense"[..], "Person"),
        (b"from\na\n", "Knows"),
        (b"from,to\na,b\n", "Knows"),
        (b"email\na\n", "Nothing"),
    ] {
        for format in [Format::Parquet, Format::Arrow, Format::Csv] {
            place
                .table(bytes, format, type_name, Mode::Append)
                .expect_err("refused");
        }
    }
    let whole = parquet(&people());
    for cut in (0..whole.len()).step_by(7) {
        let cut = place.table(&whole[..cut], Format::Parquet, "Person", Mode::Append);
        cut.expect_err("cut short");
    }
    assert_eq!(*place.graph().snapshot().head(), head);
}

/// Whatever is committed between reading and loading.
#[test]
pub(super) fn a_load_gives_way_to_those_who_were_faster() {
    let person =
        |name: &str| format!("{{\"type\":\"Person\",\"data\":{{\"email\":\"{name}\"}}}}\n");
    let place = Place::new();
    place
        .columns(&(person("x") + &person("y")), Mode::Append)
        .expect("loaded");
    let snapshot = place.graph().snapshot();
    let type_id = snapshot
        .schema()
        .node_type_named("Person")
        .expect("declared")
        .id;
    let schema = snapshot.schema();
    let email = schema
        .property_named(type_id, "email")
        .expect("declared")
        .id;
    let parse = |lines: &str| {
        let input = Input::Stream(Box::new(std::io::Cursor::new(lines.as_bytes().to_vec())));
        load::parse(input, &by_columns(Mode::Append), &place.graph().snapshot()).expect("read")
    };
    let lines = person("new")
        + "{\"edge\":\"Knows\",\"from\":\"new\",\"to\":\"x\"}\n"
        + "{\"edge\":\"Knows\",\"from\":\"y\",\"to\":\"new\"}\n";

    // So many ids are given that those of the load are gone.
    let batch = parse(&lines);
    place.write(move |work| {
        for number in 0..5_000_i64 {
            let name = Value::from(format!("other {number}").as_str());
            work.create_node(type_id, vec![(email, name)])
                .expect("created");
        }
    });
    commit(place.graph(), &batch).expect("loaded");
    let snapshot = place.graph().snapshot();
    let node = |name: &str| {
        snapshot
            .node_by_key(type_id, &[name.into()])
            .expect("there")
    };
    let knows = snapshot
        .schema()
        .edge_type_named("Knows")
        .expect("declared")
        .id;
    let to: Vec<_> = snapshot
        .outgoing(knows, node("new"))
        .map(|n| n.node)
        .collect();
    let from: Vec<_> = snapshot
        .incoming(knows, node("new"))
        .map(|n| n.node)
        .collect();
    assert_eq!((to, from), (vec![node("x")], vec![node("y")]));
    assert_eq!(snapshot.node_count(type_id), 5_003);
    let exported = place.export();

    // A key is taken, an end is gone.
    let taken = parse(&person("late"));
    let orphan = parse("\n{\"edge\":\"Knows\",\"from\":\"other 1\",\"to\":\"other 2\"}\n");
    let (late, gone) = (node("other 0"), node("other 2"));
    place.write(move |work| {
        work.delete_node(late).expect("deleted");
        work.delete_node(gone).expect("deleted");
        work.create_node(type_id, vec![(email, "late".into())])
            .expect("created");
    });
    let error = |line, message: &str| {
        vec![LineError {
            line,
            message: message.to_owned(),
        }]
    };
    assert_eq!(
        commit(place.graph(), &taken).expect_err("taken"),
        error(1, "a Person with email = \"late\" exists already")
    );
    assert_eq!(
        commit(place.graph(), &orphan).expect_err("gone"),
        error(2, "to: there is no Person with the key \"other 2\"")
    );
    assert_ne!(place.export(), exported);
    place.graph().fold().expect("folded");
}

#[test]
pub(super) fn a_key_that_is_free_again_is_found_where_it_was_loaded() {
    let line = "{\"type\":\"Person\",\"data\":{\"email\":\"a\"}}\n";
    let mut place = Place::new();
    place.columns(line, Mode::Append).expect("loaded");
    let snapshot = place.graph().snapshot();
    let person = snapshot.schema().node_type_named("Person");
    let person = person.expect("declared").id;
    let there = |place: &Place| place.graph().snapshot().node_by_key(person, &["a".into()]);
    for fold in [false, true] {
        let gone = there(&place).expect("there");
        place.write(move |work| work.delete_node(gone).expect("deleted"));
        assert_eq!(there(&place), None);
        if fold {
            place.graph().fold().expect("folded");
        }
        place.columns(line, Mode::Append).expect("loaded again");
        let again = there(&place);
        assert!(again.is_some_and(|again| again != gone), "{again:?}");
        place.columns(line, Mode::Append).expect_err("taken");
        place.reopen();
        assert_eq!(there(&place), again);
    }
}

/// Whether it was put row by row or taken in as columns.
#[test]
pub(super) fn a_load_that_is_sent_again_gets_its_first_answer() {
    for by_row in [0, 1 << 20] {
        let place = Place::new();
        let send = |lines: &str, digest: u8| {
            let source = Source {
                by_row,
                ..Source::lines(Mode::Append)
            };
            let input = Input::Stream(Box::new(std::io::Cursor::new(lines.as_bytes().to_vec())));
            let batch = load::parse(input, &source, &place.graph().snapshot()).expect("read");
            let key = crate::IdempotencyKey {
                key: "once".to_owned(),
                digest: [digest; 32],
            };
            runtime().block_on(
                place
                    .graph()
                    .load(WriteRequest::by("test"), Some(key), &batch),
            )
        };
        let first = send(PEOPLE, 1).expect("loaded");
        let again = send(PEOPLE, 1).expect("answered");
        assert!(again.repeated && !first.repeated);
        assert_eq!((again.commit, again.value), (first.commit, first.value));
        let other = send(PEOPLE, 2).expect_err("another request");
        assert!(matches!(other, CommitError::KeyReused), "{other:?}");
    }
}

/// Files of `files/`.
fn side_files(place: &Place) -> Vec<String> {
    let listed = place.store.list("files").expect("listed").into_iter();
    let mut names: Vec<String> = listed.map(|it| it.name).collect();
    names.sort_unstable();
    names
}

#[test]
pub(super) fn a_load_is_replayed_folded_and_undone_by_nobody() {
    let mut place = Place::new();
    let people: String = (0..500)
        .map(|number| {
            format!(
                "{{\"type\":\"Person\",\"data\":{{\"email\":\"p{number}\",\"age\":{}}}}}\n",
                number % 99
            )
        })
        .collect();
    let knows: String = (0..2_000)
        .map(|number| {
            let (from, to) = (number % 500, number * 7 % 500);
            format!("{{\"edge\":\"Knows\",\"from\":\"p{from}\",\"to\":\"p{to}\"}}\n")
        })
        .collect();
    let loaded = place.columns(&(knows.clone() + &people), Mode::Append);
    let counts = loaded.expect("loaded").counts;
    assert_eq!((counts.nodes_created, counts.edges_created), (500, 2_000));
    assert_eq!(counts.properties_set, 1_000);
    assert_eq!(side_files(&place).len(), 2);
    let exported = place.export();
    place.reopen();
    assert_eq!(place.export(), exported, "replayed");
    // A row of it changes, one goes, before it is folded and after.
    for _ in 0..2 {
        let snapshot = place.graph().snapshot();
        let knows = snapshot
            .schema()
            .edge_type_named("Knows")
            .expect("declared")
            .id;
        let mut edges = snapshot.edges(knows);
        let (gone, changed) = (edges.next().expect("one"), edges.next().expect("two"));
        let since = snapshot
            .schema()
            .property_named(knows, "since")
            .expect("declared")
            .id;
        place.write(move |work| {
            work.delete_edge(gone).expect("deleted");
            work.set_edge(changed, vec![(since, Value::Int(9))])
                .expect("set");
        });
        let exported = place.export();
        place.reopen();
        assert_eq!(place.export(), exported);
        place.graph().fold().expect("folded");
        assert_eq!(place.graph().status().expect("listed").tail_rows, 0);
        assert_eq!(place.export(), exported);
        place.reopen();
        assert_eq!(place.graph().status().expect("listed").tail_rows, 0);
        assert_eq!(place.export(), exported);
    }
    // Everything goes, and something else comes.
    let overwritten = place.columns(&people, Mode::Overwrite).expect("loaded");
    let counts = overwritten.counts;
    assert_eq!((counts.nodes_deleted, counts.edges_deleted), (500, 1_998));
    let exported = place.export();
    assert_eq!(exported.lines().count(), 500);
    place.reopen();
    assert_eq!(place.export(), exported);
    place.graph().fold().expect("folded");
    place.reopen();
    assert_eq!(place.export(), exported);
    assert_eq!(place.graph().status().expect("listed").tail_rows, 0);
}

#[test]
pub(super) fn nothing_is_left_of_a_load_that_does_not_come_to_its_end() {
    let mut place = Place::new();
    place.columns(PEOPLE, Mode::Append).expect("loaded");
    let exported = place.export();
    let named = side_files(&place);
    place.columns(PEOPLE, Mode::Append).expect_err("taken");
    assert_eq!(side_files(&place), named);
    // What a killed process leaves: a file without a name.
    let left = "files/.unfinished-x";
    place.store.put(left, &[b"half"]).expect("written");
    place.reopen();
    assert!(place.store.get(left).expect_err("gone").is_missing());
    assert_eq!(place.export(), exported);
    // A file that is not what the log says is damage, and is said to be.
    let file = format!("files/{}", named[0]);
    let whole = place.store.get(&file).expect("read");
    let put = |bytes: &[u8]| place.store.put(&file, &[bytes]).expect("written");
    place.graph = None;
    for damage in [0, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[damage] ^= 1;
        put(&bytes);
        Graph::open(&place.store, Options::default()).expect_err("damaged");
    }
    put(b"");
    Graph::open(&place.store, Options::default()).expect_err("damaged");
    put(&whole);
    place.reopen();
    assert_eq!(place.export(), exported);
}
