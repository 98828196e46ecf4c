//! One test for each kind of damage: what is said of it, and what repairing leaves.

mod folder;
mod log;
mod mended;
mod remote;
mod stopped;
mod unread;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use language::schema::Schema;
use language::value::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{Depth, Diagnosis, RepairError, Repaired, Severity, examine, prescribe, repair};
use crate::checkpoint::Checkpoint;
use crate::store::Store;
use crate::{Graph, NewGraph, Options, Snapshot, Transaction, WriteError, WriteRequest};

const SCHEMA: &str = "
node Person { email: String @key, age: F64? }
node Note { text: String }
edge Knows: Person -> Person
";

/// A folder with a closed graph, and what it contained after each commit.
struct Fixture {
    home: TempDir,
    after: BTreeMap<u64, String>,
}

#[derive(Clone, Copy)]
enum Step {
    Person(&'static str),
    /// 3,000 notes in one commit, which go to a side file.
    Notes,
    Fold,
    /// Close and open again: a new segment.
    Reopen,
}

use Step::{Fold, Notes, Person, Reopen};

/// Makes a graph in these steps and closes it; what it contained after each commit.
fn make(store: &Store, options: &Options, steps: &[Step]) -> BTreeMap<u64, String> {
    let schema = Schema::parse(SCHEMA).expect("a schema");
    Graph::create(store, NewGraph::new(schema, "test")).expect("created");
    let open = || Graph::open(store, options.clone()).expect("opened");
    let mut after = BTreeMap::new();
    let mut graph = open();
    for step in steps {
        match *step {
            Person(email) => write(&graph, |transaction| person(transaction, email)),
            Notes => write(&graph, notes),
            Fold => graph.fold().expect("folded"),
            Reopen => {
                graph.close().expect("closed");
                drop(graph);
                graph = open();
            }
        }
        let snapshot = graph.snapshot();
        after.insert(snapshot.lsn(), contents(&snapshot));
    }
    graph.close().expect("closed");
    after
}

/// What a bucket holds, without what a writer that was dropped may still be renewing.
fn objects(store: &Store) -> BTreeMap<String, Bytes> {
    let bucket = store.bucket().expect("a bucket");
    let listed = bucket.list_all("").expect("listed").into_iter();
    listed
        .filter(|it| !it.name.starts_with("epochs/"))
        .map(|it| (it.name.clone(), bucket.get(&it.name).expect("read")))
        .collect()
}

impl Fixture {
    fn new(steps: &[Step]) -> Self {
        let home = TempDir::new().expect("a folder");
        let store = Store::from(home.path().join("g"));
        let after = make(&store, &Options::default(), steps);
        Self { home, after }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("g")
    }

    fn open(&self) -> Graph {
        Graph::open(self.folder(), Options::default()).expect("opened")
    }

    /// Only one of the folder's files has this in its name.
    fn file(&self, part: &str, with: &str) -> PathBuf {
        let found = files(&self.folder().join(part));
        let mut found = found
            .into_iter()
            .filter(|path| path.to_string_lossy().contains(with));
        found.next().expect("a file")
    }

    fn segment(&self, number: usize) -> PathBuf {
        let mut segments = files(&self.folder().join("log"));
        segments.retain(|path| path.extension().is_some_and(|it| it == "seg"));
        segments.swap_remove(number)
    }

    /// Flips one byte of the body of the frame that holds the commit `lsn`.
    fn flip(&self, lsn: u64) {
        let (segment, offset) = frame_of(self, lsn);
        change(&segment, |bytes| bytes[offset + 120] ^= 1);
    }

    /// Puts a checkpoint into the place of another.
    fn forge(&self, checkpoint: &Checkpoint) {
        let elsewhere = TempDir::new().expect("a folder");
        let store = Store::from(elsewhere.path());
        store.make_folder("checkpoints").expect("made");
        checkpoint.publish(&store).expect("published");
        let name = format!("checkpoints/{:020}.json", checkpoint.lsn);
        put(&self.folder().join(&name), &store.get(&name).expect("read"));
    }

    /// Examines, and asserts that this left every byte as it was.
    fn examine(&self) -> Diagnosis {
        let before = self.hash();
        let diagnosis = examine(self.folder(), Depth::Deep).expect("examined");
        let usual = examine(self.folder(), Depth::Usual).expect("examined");
        let texts = || (usual.texts(), diagnosis.texts());
        assert_eq!(usual.sound, diagnosis.sound, "{:#?}", texts());
        let _dry = prescribe(self.folder(), Depth::Deep);
        assert_eq!(self.hash(), before, "the doctor changes nothing");
        diagnosis
    }

    fn hash(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files(&self.folder()).into_iter();
        let hashed = files.map(|path| {
            let bytes = fs::read(&path).expect("read");
            (path, Sha256::digest(bytes).to_vec())
        });
        hashed.collect()
    }

    /// Opening finds its way to what the graph held after the commit `lsn`.
    fn opens_at(&self, lsn: u64) {
        assert_eq!(contents(&self.open().snapshot()), self.after[&lsn]);
    }

    /// Repairs; the graph is sound then and holds what it held after the commit `lsn`. A copy of
    /// everything that was changed is kept.
    fn repair_to(&self, lsn: u64) -> Repaired {
        let before = self.hash();
        let repaired = repair(self.folder(), Depth::Deep).expect("repaired");
        assert!(repaired.after.sound, "{:#?}", repaired.after.texts());
        let copies = repaired.copies.clone().expect("copies");
        let now = self.hash();
        for (path, hash) in before {
            if now.get(&path) == Some(&hash)
                || path.ends_with("writer.lock")
                || path.ends_with("published")
            {
                continue;
            }
            let within = path.strip_prefix(self.folder()).expect("within");
            assert_eq!(
                now.get(&copies.join(within)),
                Some(&hash),
                "{}",
                path.display()
            );
        }
        let graph = self.open();
        assert_eq!(contents(&graph.snapshot()), self.after[&lsn]);
        write(&graph, |transaction| person(transaction, "new@x"));
        graph.fold().expect("folded");
        let contents_now = contents(&graph.snapshot());
        graph.close().expect("closed");
        drop(graph);
        assert_eq!(contents(&self.open().snapshot()), contents_now);
        let again = self.examine();
        assert!(again.sound, "{:#?}", again.texts());
        repaired
    }

    fn cannot_repair(&self, reason: &str) {
        let before = self.hash();
        let error = repair(self.folder(), Depth::Deep).expect_err("beyond repair");
        assert!(matches!(error, RepairError::Beyond { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(self.hash(), before);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn change(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("read");
    edit(&mut bytes);
    put(path, &bytes);
}

#[expect(clippy::disallowed_methods, reason = "damage is meant here")]
fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("written");
}

fn write(
    graph: &Graph,
    work: impl FnOnce(&mut Transaction) -> Result<(), WriteError> + Send + 'static,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let written = runtime.block_on(graph.write(WriteRequest::by("test"), work));
    written.expect("written");
}

fn person(transaction: &mut Transaction, email: &str) -> Result<(), WriteError> {
    let schema = transaction.snapshot().schema().clone();
    let person = schema.node_type_named("Person").expect("a type");
    let knows = schema.edge_type_named("Knows").expect("a type").id;
    let values = [Value::from(email), Value::Float(f64::NAN)];
    let values = person
        .properties
        .iter()
        .map(|property| property.id)
        .zip(values);
    let node = transaction.create_node(person.id, values.collect())?;
    transaction.create_edge(knows, node, node, Vec::new())?;
    Ok(())
}

fn notes(transaction: &mut Transaction) -> Result<(), WriteError> {
    let schema = transaction.snapshot().schema().clone();
    let note = schema.node_type_named("Note").expect("a type");
    for number in 0..3_000 {
        let value = Value::string(format!("{number} {}", "x".repeat(500)));
        transaction.create_node(note.id, vec![(note.properties[0].id, value)])?;
    }
    Ok(())
}

fn contents(snapshot: &Snapshot) -> String {
    let mut lines = Vec::new();
    for node_type in &snapshot.schema().node_types {
        for node in snapshot.nodes(node_type.id) {
            lines.push(format!("{node:?} {:?}", snapshot.node_properties(node)));
        }
    }
    for edge_type in &snapshot.schema().edge_types {
        for edge in snapshot.edges(edge_type.id) {
            let (identity, ends) = (snapshot.edge_identity(edge), snapshot.edge_ends(edge));
            lines.push(format!("{edge:?} {identity:?} {ends:?}"));
        }
    }
    lines.join("\n")
}

/// The lines of what is worse than a note, with what is different each time left out.
fn complaints(diagnosis: &Diagnosis) -> String {
    let bad = diagnosis
        .findings
        .iter()
        .filter(|it| it.severity >= Severity::Warning);
    bad.map(|finding| masked(&finding.to_string()))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Identities, digests, nonces and times are replaced.
fn masked(text: &str) -> String {
    let time = |word: &str| {
        let time = word.ends_with("Z,") && word.contains('T') && word.len() > 18;
        if time {
            "<time>,".to_owned()
        } else {
            word.to_owned()
        }
    };
    let text = text.split(' ').map(time).collect::<Vec<_>>().join(" ");
    let mut masked = String::new();
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    for piece in text.split_inclusive(|c: char| !part(c)) {
        let core = piece.trim_end_matches(|c: char| !part(c));
        let id = core.len() >= 32 && core.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        let version = core.len() > 15
            && core
                .strip_prefix('d')
                .is_some_and(|it| it.parse::<u64>().is_ok());
        masked.push_str(if id || version { "<id>" } else { core });
        masked.push_str(&piece[core.len()..]);
    }
    masked
}

#[track_caller]
fn check(diagnosis: &Diagnosis, expected: &[&str]) {
    assert_eq!(
        diagnosis.sound,
        expected.iter().all(|line| !line.starts_with("damage"))
    );
    assert_eq!(
        complaints(diagnosis),
        expected.join("\n"),
        "{:#?}",
        diagnosis.texts()
    );
}

/// The segment and the place in it where the frame begins that holds the commit `lsn`.
fn frame_of(fixture: &Fixture, lsn: u64) -> (PathBuf, usize) {
    let log = fixture.folder().join("log");
    for path in files(&log) {
        let bytes = fs::read(&path).expect("read");
        for offset in (512..bytes.len()).step_by(512) {
            let number = |at: usize| {
                let bytes = bytes[offset + at..offset + at + 8]
                    .try_into()
                    .expect("8 bytes");
                u64::from_le_bytes(bytes)
            };
            let count = number(32) >> 32;
            if bytes[offset..].starts_with(b"TFRM")
                && (number(48)..number(48) + count).contains(&lsn)
            {
                return (path, offset);
            }
        }
    }
    panic!("no frame holds lsn {lsn}")
}
