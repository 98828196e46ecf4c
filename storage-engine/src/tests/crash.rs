//! Crashes: states of the folder that a fold can leave, and processes that are killed.
//!
//! The killed process is this test's own program, which runs [`child`] when a variable names a
//! folder. 30 rounds of each kind; `TRELLIS_LONG` makes them 1,000.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use language::schema::{PropertyId, Schema, TypeId};
use language::value::{NodeRef, Value};
use tempfile::TempDir;

use super::contents;
use crate::{Follower, Graph, NewGraph, Options, Snapshot, Transaction, WriteError, WriteRequest};

/// Two halves and the edge between them are one commit; some commits take older ones out again.
const SCHEMA: &str = "
node Half { name: String @key, writer: I64, number: I64, note: String? }
node Log { text: String }
edge Twin: Half -> Half { number: I64 }
";
const FOLDER: &str = "TRELLIS_CRASH_FOLDER";
const KIND: &str = "TRELLIS_CRASH_KIND";
const WRITERS: i64 = 4;

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
    assert_eq!(graph.status().tail_rows, 0, "{what}: the fold counts");
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

/// A sequence that is the same for the same seed (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn rounds() -> u64 {
    if std::env::var_os("TRELLIS_LONG").is_some() {
        1_000
    } else {
        30
    }
}

/// What the killed process does; nothing when this runs as a test.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = PathBuf::from(folder);
    let folds_only = std::env::var(KIND).expect("a kind") == "fold";
    let fold_rows = if folds_only { usize::MAX } else { 10 };
    // Every fold finds something to collect.
    let graph = Graph::open(
        &folder.join("g"),
        Options {
            fold_rows,
            segment_bytes: 16 << 10,
            retention: Duration::ZERO,
            ..Options::default()
        },
    )
    .expect("opened");
    let names = Names::of(graph.snapshot().schema());
    let acknowledged = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("acknowledged"))
        .expect("opened");
    let acknowledged = Arc::new(Mutex::new(acknowledged));
    fs::write(folder.join("ready"), b"").expect("written");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    let work = (0..WRITERS).map(|writer| {
        let (graph, acknowledged) = (graph.clone(), acknowledged.clone());
        runtime.spawn(async move {
            for number in first_free(&graph, names, writer).. {
                let work = move |work: &mut Transaction| names.commit(work, writer, number);
                graph
                    .write(WriteRequest::by("test"), work)
                    .await
                    .expect("written");
                let line = format!("{writer} {number}\n");
                acknowledged
                    .lock()
                    .expect("sound")
                    .write_all(line.as_bytes())
                    .expect("noted");
            }
        })
    });
    let work: Vec<_> = work.collect();
    if folds_only {
        loop {
            graph.fold().expect("folded");
        }
    }
    for ended in runtime.block_on(futures::future::join_all(work)) {
        ended.expect("a writer");
    }
}

/// The number after the last that the writer has written, acknowledged or not.
fn first_free(graph: &Graph, names: Names, writer: i64) -> i64 {
    let snapshot = graph.snapshot();
    let of = |node, property| int(snapshot.node_property(node, property));
    let nodes = snapshot.nodes(names.half);
    let own = nodes.filter(|node| of(*node, names.writer) == writer);
    own.map(|node| of(node, names.number) + 1)
        .max()
        .unwrap_or(1)
}

fn int(value: Value) -> i64 {
    match value {
        Value::Int(value) => value,
        other => panic!("not a number: {other:?}"),
    }
}

fn acknowledged(folder: &Path) -> Vec<(i64, i64)> {
    let text = fs::read_to_string(folder.join("acknowledged")).unwrap_or_default();
    text.lines()
        .map(|line| {
            let (writer, number) = line.split_once(' ').expect("two numbers");
            (
                writer.parse().expect("a number"),
                number.parse().expect("a number"),
            )
        })
        .collect()
}

fn alive(process: &mut Child, folder: &Path) {
    if let Some(status) = process.try_wait().expect("waited") {
        let said = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
        panic!("the child ended with {status}: {said}");
    }
}

fn killed_rounds(kind: &str) {
    let home = TempDir::new().expect("a temporary folder");
    let seed = std::env::var("TRELLIS_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("TRELLIS_SEED={seed}");
    let mut state = seed;
    for round in 0..rounds() {
        // A graph for some rounds, so that opening it stays quick.
        let folder = home.path().join(format!("{}", round / 10));
        if round % 10 == 0 {
            fs::create_dir(&folder).expect("made");
            create(&folder.join("g"));
        }
        let ready = folder.join("ready");
        let _ = fs::remove_file(&ready);
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "tests::crash::child", "--nocapture"])
            .env(FOLDER, &folder)
            .env(KIND, kind)
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("stderr")).expect("made"))
            .spawn()
            .expect("started");
        while !ready.exists() {
            alive(&mut process, &folder);
            std::thread::sleep(Duration::from_millis(1));
        }
        let until = Instant::now() + Duration::from_micros(next(&mut state) % 120_000);
        read_along(
            &folder,
            until,
            &format!("{kind}, seed {seed}, round {round}"),
        );
        alive(&mut process, &folder);
        process.kill().expect("killed");
        process.wait().expect("waited");
        whole(&folder, &format!("{kind}, seed {seed}, round {round}"));
    }
}

/// Reads what the other process writes, folds and collects: all that it acknowledged, and no half.
fn read_along(folder: &Path, until: Instant, what: &str) {
    let follower = Follower::open(&folder.join("g"), Options::default());
    let follower = follower.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    loop {
        let before = acknowledged(folder);
        let snapshot = follower.snapshot();
        let snapshot = snapshot.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        holds(&snapshot, before, what);
        if Instant::now() >= until {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every acknowledged write is there, and none is half there.
fn whole(folder: &Path, what: &str) {
    let graph = open(&folder.join("g"));
    let snapshot = graph.snapshot();
    contents(&snapshot);
    holds(&snapshot, acknowledged(folder), what);
}

fn holds(snapshot: &Snapshot, acknowledged: Vec<(i64, i64)>, what: &str) {
    let names = Names::of(snapshot.schema());
    let mut written = BTreeSet::new();
    for node in snapshot.nodes(names.half) {
        let of = |property| int(snapshot.node_property(node, property));
        let (writer, number) = (of(names.writer), of(names.number));
        written.insert((writer, number));
        let edges = snapshot.out_degree(names.twin, node) + snapshot.in_degree(names.twin, node);
        assert_eq!(edges, 1, "{what}: {writer}-{number} is half there");
    }
    let halves = snapshot.node_count(names.half);
    assert_eq!(halves, 2 * snapshot.edge_count(names.twin), "{what}");
    let gone = |writer, number: i64| {
        let by = number + 4;
        by % 5 == 0 && (written.contains(&(writer, by)) || !written.contains(&(writer, number)))
    };
    for (writer, number) in acknowledged {
        let there = written.contains(&(writer, number));
        assert!(
            there || gone(writer, number),
            "{what}: {writer}-{number} was acknowledged"
        );
        let noted = number + 2;
        if there && noted % 3 == 0 && written.contains(&(writer, noted)) {
            let key = [Names::key(writer, number, "right")];
            let node = snapshot.node_by_key(names.half, &key).expect("there");
            let note = snapshot.node_property(node, names.note);
            assert_eq!(note, Value::from("seen"), "{what}: {writer}-{number}");
        }
    }
}

#[test]
fn killed_while_folding() {
    killed_rounds("fold");
}

#[test]
fn killed_while_writing_with_folds() {
    killed_rounds("write");
}
