//! Crashes: states of the folder that a fold can leave, operations that are stopped at any effect on
//! the disk, and processes that are killed.

mod killed;
mod stopped;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use language::schema::{PropertyId, Schema, TypeId};
use language::value::{NodeRef, Value};
use tempfile::TempDir;

use super::contents;
use crate::{Graph, NewGraph, Options, Transaction, WriteError, WriteRequest};

/// Two halves and the edge between them are one commit; some commits take older ones out again.
const SCHEMA: &str = "
node Half { name: String @key, writer: I64, number: I64, note: String? }
node Log { text: String }
edge Twin: Half -> Half { number: I64 }
";

#[derive(Clone, Copy)]
struct Names {
    half: TypeId,
    name: PropertyId,
    writer: PropertyId,
    number: PropertyId,
    note: PropertyId,
    twin: TypeId,
    twin_number: PropertyId,
    log: TypeId,
    text: PropertyId,
}

impl Names {
    fn of(schema: &Schema) -> Self {
        let half = schema.node_type_named("Half").expect("declared");
        let log = schema.node_type_named("Log").expect("declared");
        let twin = schema.edge_type_named("Twin").expect("declared");
        let id = |name| half.property(name).expect("declared").id;
        Self {
            half: half.id,
            name: id("name"),
            writer: id("writer"),
            number: id("number"),
            note: id("note"),
            twin: twin.id,
            twin_number: twin.property("number").expect("declared").id,
            log: log.id,
            text: log.property("text").expect("declared").id,
        }
    }

    fn key(writer: i64, number: i64, side: &str) -> Value {
        Value::string(format!("{writer}-{number}-{side}"))
    }

    fn pair(self, work: &mut Transaction, writer: i64, number: i64) -> Result<(), WriteError> {
        let mut half = |side: &str| -> Result<NodeRef, WriteError> {
            let values = vec![
                (self.name, Self::key(writer, number, side)),
                (self.writer, Value::Int(writer)),
                (self.number, Value::Int(number)),
            ];
            work.create_node(self.half, values)
        };
        let (left, right) = (half("left")?, half("right")?);
        let number = vec![(self.twin_number, Value::Int(number))];
        work.create_edge(self.twin, left, right, number)?;
        Ok(())
    }

    /// What a writer's commit of this number does: a pair; every third also notes something on the
    /// pair two before; every fifth takes the pair four before out.
    fn commit(self, work: &mut Transaction, writer: i64, number: i64) -> Result<(), WriteError> {
        self.pair(work, writer, number)?;
        let find = |work: &Transaction, number, side| {
            let key = [Self::key(writer, number, side)];
            work.snapshot().node_by_key(self.half, &key)
        };
        if number % 3 == 0 {
            for side in ["left", "right"] {
                if let Some(node) = find(work, number - 2, side) {
                    work.set_node(node, vec![(self.note, Value::from("seen"))])?;
                }
            }
        }
        if number % 5 == 0 {
            for side in ["left", "right"] {
                if let Some(node) = find(work, number - 4, side) {
                    for edge in work.relationships(node).collect::<Vec<_>>() {
                        work.delete_edge(edge)?;
                    }
                    work.delete_node(node)?;
                }
            }
        }
        if number % 50 == 7 {
            // Large enough for a side file.
            let text = Value::string("x".repeat((1 << 20) + 5));
            let log = work.create_node(self.log, vec![(self.text, text)])?;
            work.delete_node(log)?;
            let text = Value::string("y".repeat((1 << 20) + 5));
            work.create_node(self.log, vec![(self.text, text)])?;
        }
        Ok(())
    }
}

fn create(folder: &Path) {
    let schema = Schema::parse(SCHEMA).expect("a valid schema");
    Graph::create(folder, NewGraph::new(schema, "test")).expect("created");
}

fn open(folder: &Path) -> Graph {
    Graph::open(folder, Options::default()).expect("opened")
}

fn write(
    graph: &Graph,
    work: impl FnOnce(&mut Transaction) -> Result<(), WriteError> + Send + 'static,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime
        .block_on(graph.write(WriteRequest::by("test"), work))
        .expect("written");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    fn gather(at: &Path, home: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(at).expect("listed") {
            let path = entry.expect("listed").path();
            if path.is_dir() {
                gather(&path, home, found);
            } else {
                found.insert(path.strip_prefix(home).expect("below").to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    gather(folder, folder, &mut found);
    found
}

/// The folder before and after a fold that has something of everything in it.
struct Fold {
    _home: TempDir,
    before: PathBuf,
    after: PathBuf,
    contents: String,
}

fn a_fold() -> Fold {
    let home = TempDir::new().expect("a temporary folder");
    let (live, before, after) = (
        home.path().join("g"),
        home.path().join("before"),
        home.path().join("after"),
    );
    create(&live);
    let graph = open(&live);
    let names = Names::of(graph.snapshot().schema());
    let commit = |number| write(&graph, move |work| names.commit(work, 0, number));
    (1..12).for_each(commit);
    graph.fold().expect("folded");
    (12..24).for_each(commit);
    copy(&live, &before);
    graph.fold().expect("folded");
    copy(&live, &after);
    let contents = contents(&graph.snapshot());
    Fold {
        _home: home,
        before,
        after,
        contents,
    }
}

/// Opens what a crash has left, folds twice, and finds everything as it was.
fn recovers(folder: &Path, expected: &str, what: &str) {
    let graph = open(folder);
    assert_eq!(contents(&graph.snapshot()), expected, "{what}");
    let names = Names::of(graph.snapshot().schema());
    write(&graph, move |work| names.commit(work, 9, 1));
    graph
        .fold()
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    write(&graph, move |work| names.commit(work, 9, 5));
    graph
        .fold()
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let grown = contents(&graph.snapshot());
    drop(graph);
    let graph = open(folder);
    assert_eq!(
        graph.status().expect("listed").tail_rows,
        0,
        "{what}: the fold counts"
    );
    assert_eq!(contents(&graph.snapshot()), grown, "{what}");
    let kept = crate::checkpoint::list(&folder.join("checkpoints")).expect("listed");
    assert!(kept.len() <= 2, "{what}: {kept:?}");
    for path in kept {
        crate::checkpoint::Checkpoint::load(&path)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[test]
fn every_file_of_a_fold_may_be_missing_or_empty() {
    let fold = a_fold();
    let scratch = TempDir::new().expect("a temporary folder");
    let (old, new) = (files(&fold.before), files(&fold.after));
    let mut added: Vec<_> = new.difference(&old).cloned().collect();
    assert!(
        added.iter().any(|path| path.starts_with("checkpoints")),
        "{added:?}"
    );
    assert!(
        added
            .iter()
            .filter(|path| path.starts_with("tables"))
            .count()
            >= 6,
        "{added:?}"
    );
    // The manifests of the empty first versions: a table's HEAD, which is never read.
    added.extend(
        old.iter()
            .filter(|path| path.ends_with("1.manifest"))
            .cloned(),
    );
    for (number, path) in added.iter().enumerate() {
        for kind in ["missing", "empty", "half"] {
            let folder = scratch.path().join(format!("{number}-{kind}"));
            copy(&fold.after, &folder);
            let file = folder.join(path);
            let bytes = fs::read(&file).expect("read");
            match kind {
                "missing" => fs::remove_file(&file).expect("removed"),
                "empty" => fs::write(&file, b"").expect("written"),
                _ => fs::write(&file, &bytes[..bytes.len() / 2]).expect("written"),
            }
            recovers(
                &folder,
                &fold.contents,
                &format!("{} {kind}", path.display()),
            );
            fs::remove_dir_all(&folder).expect("removed");
        }
    }
}

#[test]
fn a_fold_may_stop_before_its_checkpoint_counts() {
    let fold = a_fold();
    let scratch = TempDir::new().expect("a temporary folder");
    let state = |name: &str| {
        let folder = scratch.path().join(name);
        copy(&fold.after, &folder);
        let newest = crate::checkpoint::list(&folder.join("checkpoints"))
            .expect("listed")
            .remove(0);
        (folder, newest)
    };
    recovers(&fold.before, &fold.contents, "nothing of the fold");

    let (folder, newest) = state("unfinished");
    let line = fs::read(&newest).expect("read");
    fs::remove_file(&newest).expect("removed");
    let unfinished = folder
        .join("checkpoints")
        .join(format!("{}x", crate::files::UNFINISHED));
    fs::write(&unfinished, &line[..line.len() / 3]).expect("written");
    recovers(&folder, &fold.contents, "a checkpoint not yet renamed");
    assert!(!unfinished.exists());

    for (name, length) in [
        ("digest-short", line.len() - 9),
        ("one-line", line.len() - 66),
    ] {
        let (folder, newest) = state(name);
        fs::write(&newest, &line[..length]).expect("written");
        recovers(&folder, &fold.contents, name);
    }

    let (folder, _) = state("none");
    for path in crate::checkpoint::list(&folder.join("checkpoints")).expect("listed") {
        fs::write(path, b"").expect("written");
    }
    recovers(&folder, &fold.contents, "no checkpoint is whole");

    let (folder, _) = state("no-tables");
    fs::remove_dir_all(folder.join("tables")).expect("removed");
    fs::create_dir(folder.join("tables")).expect("made");
    recovers(&folder, &fold.contents, "no table is there");
}

#[test]
fn a_checkpoint_ahead_of_the_log_is_damage_and_changes_nothing() {
    let fold = a_fold();
    let scratch = TempDir::new().expect("a temporary folder");
    let folder = scratch.path().join("g");
    create(&folder);
    let graph = open(&folder);
    let names = Names::of(graph.snapshot().schema());
    write(&graph, move |work| names.commit(work, 0, 1));
    let uuid = fs::read(folder.join("graph.json")).expect("read");
    drop(graph);
    // The log of another, shorter life of the same graph.
    fs::remove_dir_all(fold.after.join("log")).expect("removed");
    copy(&folder.join("log"), &fold.after.join("log"));
    let state = || -> Vec<_> {
        let names = files(&fold.after)
            .into_iter()
            .filter(|path| !path.ends_with("writer.lock"));
        names
            .map(|path| (fs::read(fold.after.join(&path)).expect("read"), path))
            .collect()
    };
    let before = state();
    let error = Graph::open(&fold.after, Options::default()).expect_err("the log is short");
    assert!(matches!(error, crate::OpenError::Log(_)), "{error:?}");
    assert!(state() == before, "nothing is changed");
    assert_ne!(uuid, fs::read(fold.after.join("graph.json")).expect("read"));
}
