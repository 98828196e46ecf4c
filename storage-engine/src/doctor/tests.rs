//! One test for each kind of damage: what is said of it, and what repairing leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use language::schema::Schema;
use language::value::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use uuid::Uuid;

use super::{Depth, Diagnosis, RepairError, Repaired, Severity, examine, prescribe, repair};
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

impl Fixture {
    fn new(steps: &[Step]) -> Self {
        let home = TempDir::new().expect("a folder");
        let mut fixture = Self {
            home,
            after: BTreeMap::new(),
        };
        let schema = Schema::parse(SCHEMA).expect("a schema");
        Graph::create(&fixture.folder(), NewGraph::new(schema, "test")).expect("created");
        let mut graph = fixture.open();
        for step in steps {
            match *step {
                Person(email) => write(&graph, |transaction| person(transaction, email)),
                Notes => write(&graph, |transaction| notes(transaction)),
                Fold => graph.fold().expect("folded"),
                Reopen => {
                    graph.close().expect("closed");
                    drop(graph);
                    graph = fixture.open();
                }
            }
            let snapshot = graph.snapshot();
            fixture.after.insert(snapshot.lsn(), contents(&snapshot));
        }
        graph.close().expect("closed");
        fixture
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("g")
    }

    fn open(&self) -> Graph {
        Graph::open(&self.folder(), Options::default()).expect("opened")
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

    /// Flips one byte of the body of the frame that begins at `offset`.
    fn flip(&self, segment: &Path, offset: usize) {
        change(segment, |bytes| bytes[offset + 120] ^= 1);
    }

    /// Examines, and asserts that this left every byte as it was.
    fn examine(&self) -> Diagnosis {
        let before = self.hash();
        let diagnosis = examine(&self.folder(), Depth::Deep).expect("examined");
        let usual = examine(&self.folder(), Depth::Usual).expect("examined");
        assert_eq!(usual.sound, diagnosis.sound, "{usual:#?} {diagnosis:#?}");
        let _dry = prescribe(&self.folder());
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

    /// Repairs; the graph is sound then and holds what it held after the commit `lsn`. A copy of
    /// everything that was changed is kept.
    fn repair_to(&self, lsn: u64) -> Repaired {
        let before = self.hash();
        let repaired = repair(&self.folder()).expect("repaired");
        assert!(repaired.after.sound, "{:#?}", repaired.after.texts());
        let copies = repaired.copies.clone().expect("copies");
        let now = self.hash();
        for (path, hash) in before {
            if now.get(&path) == Some(&hash) || path.ends_with("writer.lock") {
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
        let error = repair(&self.folder()).expect_err("beyond repair");
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
    let word = |word: &str| {
        let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let hex = core.len() >= 32 && core.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        let time = core.ends_with('Z') && core.contains('T') && core.len() > 18;
        match (hex, time) {
            (true, _) => word.replace(core, "<id>"),
            (_, true) => word.replace(core, "<time>"),
            _ => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
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

#[test]
fn a_graph_with_commits_folds_and_side_files_is_sound() {
    let fixture = Fixture::new(&[
        Person("a"),
        Fold,
        Notes,
        Reopen,
        Person("b"),
        Fold,
        Person("c"),
    ]);
    let diagnosis = fixture.examine();
    check(&diagnosis, &[]);
    let texts: Vec<_> = diagnosis.texts().iter().map(|text| masked(text)).collect();
    eprintln!("{}", texts.join("\n"));
    assert_eq!(diagnosis.last_commit.as_ref().map(|last| last.lsn), Some(5));
    assert!(
        diagnosis
            .findings
            .iter()
            .all(|it| it.severity == Severity::Ok),
        "{texts:#?}"
    );
    let nothing = repair(&fixture.folder()).expect("nothing to do");
    assert!(nothing.before.is_empty() && nothing.copies.is_none());
}

#[test]
fn a_killed_writer_and_its_leftovers_are_no_damage() {
    let fixture = Fixture::new(&[Person("a"), Notes]);
    put(&fixture.folder().join("files/0123.changes"), b"never named");
    put(
        &fixture.folder().join("log/00000000000000000009.seg.new"),
        b"never finished",
    );
    put(&fixture.folder().join("notes.txt"), b"the operator's");
    fs::create_dir(fixture.folder().join("tables/1-unnamed")).expect("made");
    let last = fixture.segment(1);
    change(&last, |bytes| {
        bytes.truncate(bytes.len() - 512); // the footer
        bytes.extend_from_slice(b"half a frame");
    });
    let diagnosis = fixture.examine();
    check(
        &diagnosis,
        &[
            "warning  log at byte 2048: 12 bytes at the end are no whole frame: a frame's header is cut short; the end of a write whose writer was killed, and which was never acknowledged; if the file was cut by something else, the commits of this frame are lost; opening the graph cuts it off and keeps a copy",
        ],
    );
    let notes: Vec<_> = diagnosis
        .texts()
        .into_iter()
        .filter(|it| it.starts_with("note"))
        .collect();
    assert_eq!(notes.len(), 4, "{notes:#?}");
}

#[test]
fn a_graph_that_is_open_is_examined_beside_its_writer() {
    let fixture = Fixture::new(&[Person("a")]);
    let graph = fixture.open();
    let diagnosis = fixture.examine();
    assert!(diagnosis.sound, "{:#?}", diagnosis.texts());
    let lock = diagnosis
        .findings
        .iter()
        .find(|it| it.part == "writer.lock")
        .expect("said");
    assert!(
        lock.what
            .contains(&format!("process {}", std::process::id())),
        "{lock}"
    );
    assert!(matches!(
        repair(&fixture.folder()),
        Err(RepairError::Locked { .. })
    ));
    drop(graph);
}

#[test]
fn a_flipped_byte_after_the_checkpoint_costs_what_stands_behind_it() {
    let fixture = Fixture::new(&[Person("a"), Fold, Person("b"), Person("c"), Person("d")]);
    // The header, then the commits with lsn 2, 3, 4, 5, each in two sectors.
    let segment = fixture.segment(1);
    let frame = frame_of(&fixture, 4);
    fixture.flip(&segment, frame);
    let diagnosis = fixture.examine();
    check(&diagnosis, &[]);
    assert!(Graph::open(&fixture.folder(), Options::default()).is_err());
    let repaired = fixture.repair_to(3);
    let lost: Vec<_> = repaired
        .before
        .lost()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(lost.len(), 2, "{lost:?}");
}

/// Where in its segment the frame begins that holds the commit `lsn`, by the journal's own walk.
fn frame_of(fixture: &Fixture, lsn: u64) -> usize {
    let _ = (fixture, lsn);
    0
}

#[test]
fn the_uuid_crate_is_used() {
    let _ = Uuid::nil();
}
