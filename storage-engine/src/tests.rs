//! Tests of the engine as a whole, on a real folder.

mod bulk;
mod cold;
mod collect;
mod crash;
mod disk;
mod history;
mod memory;
mod model;
pub(crate) mod objects;
mod open;
mod past;
mod provenance;
mod repeated;
mod sizes;
mod statistics;
mod tail;
mod transfer;
mod turns;
mod typed;
pub(crate) mod unread;
mod writing;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use language::schema::{PropertyId, Schema, TypeId};
use language::value::{NodeRef, Value};
use tempfile::TempDir;

use crate::{
    At, CommitError, Follower, Graph, NewGraph, OpenError, Options, PastLimits, Snapshot, Store,
    Transaction, WriteError, WriteRequest, Written,
};

const SCHEMA: &str = "
node Person { email: String @key, name: String?, age: I64?, tags: [String]? }
node Note { text: String }
edge Knows: Person -> Person { since: Date? }
edge Wrote: Person -> Note
";

struct Fixture {
    /// Empty when the graph is in an object store.
    home: TempDir,
    store: Store,
    graph: Option<Graph>,
    schema: Schema,
}

/// Makes a place for a graph.
type Somewhere = Rc<dyn Fn() -> (TempDir, Store)>;

thread_local! {
    static ELSEWHERE: RefCell<Option<Somewhere>> = const { RefCell::new(None) };
}

/// A new place for a graph: in a folder, unless the test is run [`elsewhere`].
fn somewhere() -> (TempDir, Store) {
    let elsewhere = ELSEWHERE.with_borrow(Clone::clone);
    if let Some(elsewhere) = elsewhere {
        return elsewhere();
    }
    let home = TempDir::new().expect("a temporary folder");
    let store = Store::from(home.path().join("g"));
    (home, store)
}

/// Runs a test on graphs in other places.
fn elsewhere(places: impl Fn() -> (TempDir, Store) + 'static, test: impl FnOnce()) {
    ELSEWHERE.set(Some(Rc::new(places)));
    test();
    ELSEWHERE.set(None);
}

/// Opens a graph once what still runs on it in the background, such as a fold, has let go of it.
fn open_again(store: &Store, options: Options) -> Graph {
    let begun = std::time::Instant::now();
    loop {
        match Graph::open(store, options.clone()) {
            Err(OpenError::Locked { .. }) if begun.elapsed().as_secs() < 30 => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            opened => return opened.expect("opened"),
        }
    }
}

impl Fixture {
    fn new() -> Self {
        let (home, store) = somewhere();
        Self::at(home, store)
    }

    fn at(home: TempDir, store: Store) -> Self {
        let schema = Schema::parse(SCHEMA).expect("a valid schema");
        Graph::create(&store, NewGraph::new(schema.clone(), "test")).expect("created");
        let mut fixture = Self {
            home,
            store,
            graph: None,
            schema,
        };
        fixture.reopen();
        fixture
    }

    fn folder(&self) -> std::path::PathBuf {
        self.home.path().join("g")
    }

    /// Opens the graph as after a crash: the handle is dropped, not closed.
    fn reopen(&mut self) {
        self.graph = None;
        self.graph = Some(open_again(&self.store, Options::default()));
    }

    fn graph(&self) -> &Graph {
        self.graph.as_ref().expect("open")
    }

    fn type_id(&self, name: &str) -> TypeId {
        let node = self.schema.node_type_named(name).map(|node| node.id);
        node.or_else(|| self.schema.edge_type_named(name).map(|edge| edge.id))
            .expect("a type")
    }

    fn property(&self, type_name: &str, name: &str) -> PropertyId {
        let properties = self
            .schema
            .properties(self.type_id(type_name))
            .expect("a type");
        properties
            .iter()
            .find(|property| property.name == name)
            .expect("a property")
            .id
    }

    fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction) -> Result<R, WriteError> + Send + 'static,
    ) -> Result<Written<R>, CommitError<WriteError>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(self.graph().write(WriteRequest::by("test"), work))
    }

    fn add_person(&self, email: &str, age: i64) -> NodeRef {
        let person = self.type_id("Person");
        let values = vec![
            (self.property("Person", "email"), Value::from(email)),
            (self.property("Person", "age"), Value::Int(age)),
        ];
        self.write(move |transaction| transaction.create_node(person, values))
            .expect("a new person")
            .value
    }

    fn person(&self, email: &str) -> Option<NodeRef> {
        self.graph()
            .snapshot()
            .node_by_key(self.type_id("Person"), &[Value::from(email)])
    }

    fn connect(&self, from: NodeRef, to: NodeRef) {
        let knows = self.type_id("Knows");
        self.write(move |transaction| transaction.create_edge(knows, from, to, Vec::new()))
            .expect("a new edge");
    }

    /// Everything that a reader can see, in one comparable text.
    fn contents(&self) -> String {
        contents(&self.graph().snapshot())
    }
}

fn contents(snapshot: &Snapshot) -> String {
    let mut lines = Vec::new();
    for node_type in &snapshot.schema().node_types {
        for node in snapshot.nodes(node_type.id) {
            let identity = snapshot.node_identity(node);
            let key = match &identity {
                Value::List(values) => values.to_vec(),
                single => vec![single.clone()],
            };
            assert_eq!(snapshot.node_by_key(node_type.id, &key), Some(node));
            lines.push(format!(
                "{} {identity:?} {:?}",
                node_type.name,
                snapshot.node_properties(node)
            ));
        }
    }
    for edge_type in &snapshot.schema().edge_types {
        for edge in snapshot.edges(edge_type.id) {
            let (source, target) = snapshot.edge_ends(edge).expect("an edge has ends");
            let out = snapshot
                .outgoing(edge_type.id, source)
                .filter(|n| n.edge == edge && n.node == target);
            let back = snapshot
                .incoming(edge_type.id, target)
                .filter(|n| n.edge == edge && n.node == source);
            assert_eq!(
                (out.count(), back.count()),
                (1, 1),
                "the topology has every edge once"
            );
            lines.push(format!(
                "{} {:?} {:?} -> {:?} {:?}",
                edge_type.name,
                snapshot.edge_identity(edge),
                snapshot.node_identity(source),
                snapshot.node_identity(target),
                snapshot.edge_properties(edge)
            ));
        }
    }
    lines.join("\n")
}

/// A sequence that is the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A number that the caller of the tests may set.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The seed that was given, else another one each time; it is printed.
fn seed() -> u64 {
    let seed = number("TRELLIS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("TRELLIS_SEED={seed}");
    seed
}

/// A folder that is gone after the test; in memory where there is such a place, for tests that sync
/// many thousand times. What a lost sync does is simulated.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => TempDir::new_in(memory),
        false => TempDir::new(),
    }
    .expect("a temporary folder")
}

fn in_log(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with("log"))
}

/// The same list of tests for every kind of store.
macro_rules! on_every_store {
    ($($name:ident,)*) => {
        mod on_a_disk {
            $(#[test] fn $name() { super::$name(super::Fixture::new()); })*
        }
        mod in_memory {
            $(#[test] fn $name() { super::$name(super::objects::fixture()); })*
        }
        /// One after the other, so that the server is started once.
        #[test]
        fn in_s3() {
            let Some(server) = objects::moto::Moto::start() else { return };
            $(println!("{}", stringify!($name)); $name(server.fixture(stringify!($name)));)*
        }
    };
}

on_every_store! {
    a_graph_survives_reopening_with_and_without_folds,
    deletions_are_folded_and_keys_are_free_again,
    a_failing_write_leaves_no_trace,
    a_second_writer_is_refused_with_the_holder,
    a_damaged_checkpoint_falls_back_to_the_log,
    large_bodies_go_to_side_files,
    eight_writers_share_the_log,
    objects_of_every_size_are_kept,
    a_second_process_reads_along,
}

fn a_second_process_reads_along(mut fixture: Fixture) {
    let small = Options {
        fold_rows: 5,
        ..Options::default()
    };
    let follower = Follower::open(&fixture.store, small).expect("opened");
    let holder = follower.holder().expect("somebody writes");
    assert_eq!(holder.pid, std::process::id());
    for number in 0..12 {
        let ann = fixture.add_person(&format!("{number}@x"), number);
        fixture.connect(ann, ann);
        let seen = follower.snapshot().expect("read");
        assert_eq!(contents(&seen), fixture.contents());
        if number % 4 == 3 {
            fixture.graph().fold().expect("folded");
        }
    }
    let status = follower.status().expect("listed");
    assert_eq!(status.lsn, fixture.graph().snapshot().lsn());
    assert!(status.checkpoint.is_some(), "{status:?}");
    let limits = PastLimits::default();
    let then = follower
        .snapshot_at(At::Sequence(3), &limits)
        .expect("read");
    assert_eq!(contents(&then).lines().count(), 2);
    let also = fixture.graph().snapshot_at(At::Sequence(3), &limits);
    assert_eq!(contents(&also.expect("read")), contents(&then));
    let left = fixture.store.list_if_there("leases").expect("listed");
    assert!(left.is_empty(), "{left:?}");
    fixture.graph().close().expect("closed");
    assert_eq!(follower.holder(), None);
    fixture.reopen();
    fixture.add_person("last@x", 1);
    let seen = follower.snapshot().expect("read");
    assert_eq!(contents(&seen), fixture.contents());
}

fn objects_of_every_size_are_kept(fixture: Fixture) {
    use std::io::{Read, Write};
    let store = &fixture.store;
    for length in [0, 1, (16 << 20) + 1] {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        store.put("files/put", &[&bytes]).expect("put");
        assert!(store.get("files/put").expect("got") == bytes, "{length}");
        for synced in [false, true] {
            let mut staged = store.stage("files/unnamed").expect("staged");
            for part in bytes.chunks(100_000) {
                staged.write_all(part).expect("written");
            }
            if synced {
                staged.sync().expect("durable");
            }
            staged.finish_as("staged").expect("named");
            let mut found = Vec::new();
            let mut file = store.file("files/staged").expect("there");
            file.read_to_end(&mut found).expect("read");
            assert!(found == bytes, "{length}");
        }
        let mut dropped = store.stage("files/unnamed").expect("staged");
        dropped.write_all(&bytes).expect("written");
        dropped.sync().expect("durable");
    }
    let mut names = store.list("files").expect("listed");
    names.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<&str> = names.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["put", "staged"]);
    store.delete("files/put").expect("deleted");
    store.delete("files/put").expect("deleted already");
    assert!(store.get("files/put").expect_err("gone").is_missing());
}

fn a_graph_survives_reopening_with_and_without_folds(mut fixture: Fixture) {
    let ann = fixture.add_person("ann@x", 30);
    let bob = fixture.add_person("bob@x", 40);
    fixture.connect(ann, bob);
    fixture.connect(ann, ann);
    let before = fixture.contents();
    assert_eq!(before.lines().count(), 4);

    fixture.reopen();
    assert_eq!(fixture.contents(), before);

    fixture.graph().fold().expect("folded");
    assert_eq!(fixture.contents(), before);
    fixture.reopen();
    assert_eq!(fixture.contents(), before);
    assert_eq!(fixture.graph().status().expect("listed").tail_rows, 0);

    let age = fixture.property("Person", "age");
    let tags = fixture.property("Person", "tags");
    fixture
        .write(move |transaction| {
            let list = Value::list([Value::from("a"), Value::from("b")]);
            transaction.set_node(ann, vec![(age, Value::Int(31)), (tags, list)])
        })
        .expect("updated");
    let cid = fixture.add_person("cid@x", 50);
    fixture.connect(cid, ann);
    let changed = fixture.contents();
    fixture.reopen();
    assert_eq!(fixture.contents(), changed);
    fixture.graph().fold().expect("folded");
    assert_eq!(fixture.contents(), changed);
    fixture.graph().close().expect("closed");
    fixture.reopen();
    assert_eq!(fixture.contents(), changed);
}

fn deletions_are_folded_and_keys_are_free_again(mut fixture: Fixture) {
    let ann = fixture.add_person("ann@x", 30);
    let bob = fixture.add_person("bob@x", 40);
    fixture.connect(ann, bob);
    fixture.graph().fold().expect("folded");

    let refused = fixture.write(move |transaction| transaction.delete_node(bob));
    assert!(
        matches!(
            refused,
            Err(CommitError::Work(WriteError::HasRelationships { .. }))
        ),
        "{refused:?}"
    );
    fixture
        .write(move |transaction| {
            let edges: Vec<_> = transaction.relationships(bob).collect();
            for edge in edges {
                transaction.delete_edge(edge)?;
            }
            transaction.delete_node(bob)
        })
        .expect("deleted");
    assert_eq!(fixture.person("bob@x"), None);
    assert_eq!(fixture.contents().lines().count(), 1);
    fixture.reopen();
    assert_eq!(fixture.person("bob@x"), None);

    let again = fixture.add_person("bob@x", 41);
    assert_ne!(again, bob, "ids are never reused");
    fixture.graph().fold().expect("folded");
    fixture.reopen();
    assert_eq!(fixture.person("bob@x"), Some(again));
    assert_eq!(fixture.contents().lines().count(), 2);
    let duplicate = {
        let person = fixture.type_id("Person");
        let email = fixture.property("Person", "email");
        fixture.write(move |transaction| {
            transaction.create_node(person, vec![(email, "bob@x".into())])
        })
    };
    let message = duplicate.expect_err("a taken key").to_string();
    assert_eq!(message, r#"a Person with email = "bob@x" exists already"#);
}

fn a_failing_write_leaves_no_trace(mut fixture: Fixture) {
    let ann = fixture.add_person("ann@x", 30);
    let head = fixture.graph().snapshot().head().clone();
    let note = fixture.type_id("Note");
    let missing = fixture.write(move |transaction| transaction.create_node(note, Vec::new()));
    assert!(
        matches!(
            missing,
            Err(CommitError::Write(WriteError::MissingProperty { .. }))
        ),
        "{missing:?}"
    );
    let panicked = fixture.write(move |transaction| -> Result<(), WriteError> {
        transaction.delete_node(ann)?;
        panic!("a defect")
    });
    assert!(
        matches!(panicked, Err(CommitError::Panicked)),
        "{panicked:?}"
    );
    assert_eq!(*fixture.graph().snapshot().head(), head);
    fixture.add_person("bob@x", 1);
    fixture.reopen();
    assert_eq!(
        fixture.graph().snapshot().head().sequence,
        head.sequence + 1
    );
    assert_eq!(fixture.contents().lines().count(), 2);
}

fn a_second_writer_is_refused_with_the_holder(fixture: Fixture) {
    let error = Graph::open(&fixture.store, Options::default()).expect_err("locked");
    let crate::OpenError::Locked { holder } = error else {
        panic!("{error:?}")
    };
    assert_eq!(holder.pid, std::process::id());
}

fn a_damaged_checkpoint_falls_back_to_the_log(mut fixture: Fixture) {
    fixture.add_person("ann@x", 30);
    fixture.graph().fold().expect("folded");
    fixture.add_person("bob@x", 40);
    fixture.graph().fold().expect("folded");
    let before = fixture.contents();
    for name in crate::checkpoint::names(&fixture.store).expect("listed") {
        let mut bytes = fixture.store.get(&name).expect("read");
        bytes[20] ^= 1;
        fixture.store.put(&name, &[&bytes]).expect("written");
    }
    fixture.reopen();
    assert_eq!(fixture.contents(), before);
    fixture.add_person("cid@x", 50);
    fixture.graph().fold().expect("folded anew");
    let before = fixture.contents();
    fixture.reopen();
    assert_eq!(fixture.contents(), before);
}

fn large_bodies_go_to_side_files(mut fixture: Fixture) {
    let note = fixture.type_id("Note");
    let text = fixture.property("Note", "text");
    fixture
        .write(move |transaction| {
            for number in 0..3_000 {
                let value = Value::string(format!("{number} {}", "x".repeat(500)));
                transaction.create_node(note, vec![(text, value)])?;
            }
            Ok(())
        })
        .expect("written");
    assert_eq!(fixture.store.list("files").expect("listed").len(), 1);
    let before = fixture.contents();
    fixture.reopen();
    assert_eq!(fixture.contents(), before);
}

fn eight_writers_share_the_log(fixture: Fixture) {
    let (person, email) = (
        fixture.type_id("Person"),
        fixture.property("Person", "email"),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let writers = (0..8).map(|writer| {
            let graph = fixture.graph().clone();
            tokio::spawn(async move {
                for number in 0..25 {
                    let values = vec![(email, Value::string(format!("{writer}-{number}@x")))];
                    graph
                        .write(WriteRequest::by("test"), move |transaction| {
                            transaction.create_node(person, values)
                        })
                        .await
                        .expect("written");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("a writer");
        }
    });
    let snapshot = fixture.graph().snapshot();
    assert_eq!(snapshot.node_count(person), 200);
    assert_eq!(snapshot.head().sequence, 201);
}

#[test]
fn an_unfinished_creation_does_not_open() {
    let home = TempDir::new().expect("a temporary folder");
    let folder: &Path = home.path();
    assert!(matches!(
        Graph::open(folder, Options::default()),
        Err(crate::OpenError::Missing { .. })
    ));
    std::fs::write(
        folder.join("graph.json"),
        r#"{"format":99,"uuid":"00000000-0000-0000-0000-000000000000"}"#,
    )
    .expect("written");
    assert!(matches!(
        Graph::open(folder, Options::default()),
        Err(crate::OpenError::Format { found: 99 })
    ));
}
