//! Processes that are killed while they write, load, fold and collect: after so many effects on the
//! disk, or at any moment.
//!
//! The killed process is this test's own program, which runs [`child`] when a variable names a folder.
//! `TRELLIS_KILLS` says how many there are in all; a failure prints the seed.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use journal::{Effect, Faults, Verdict};
use language::value::Value;

use super::{Names, create, open};
use crate::disk::watched::watch;
use crate::load::{self, Input, Mode, Source};
use crate::tests::{Random, contents, number, scratch, seed};
use crate::{Follower, Graph, Options, Snapshot, Transaction, WriteRequest};

const FOLDER: &str = "TRELLIS_CRASH_FOLDER";
const KIND: &str = "TRELLIS_CRASH_KIND";
/// The effect after which the process ends, counted from when it is ready; none: somebody ends it.
const AFTER: &str = "TRELLIS_CRASH_AFTER";

const WRITERS: i64 = 4;
/// Who loads, and how many pairs at a time.
const LOADER: i64 = 50;
const LOADED: i64 = 20;

/// What a process does besides writing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// It folds again and again.
    Fold,
    /// Folds come by themselves.
    Write,
    /// It loads, and folds.
    Load,
}

const KINDS: [Kind; 3] = [Kind::Fold, Kind::Write, Kind::Load];

/// Ends the process after an effect.
#[derive(Debug)]
struct Dies {
    after: AtomicU64,
}

impl Faults for Dies {
    fn before(&self, _: &Effect<'_>) -> Verdict {
        Verdict::Proceed
    }

    fn after(&self, _: &Effect<'_>) {
        if self.after.fetch_sub(1, Ordering::AcqRel) == 1 {
            let this = rustix::process::getpid();
            let _ = rustix::process::kill_process(this, rustix::process::Signal::KILL);
            // Nothing of this process goes on from here.
            std::thread::sleep(Duration::from_secs(60));
        }
    }
}

/// What the killed process does; nothing when this runs as a test.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let kind = std::env::var(KIND).expect("a kind");
    let kind = KINDS.into_iter().find(|it| format!("{it:?}") == kind);
    let kind = kind.expect("a kind");
    let dies = Arc::new(Dies {
        after: AtomicU64::new(u64::MAX),
    });
    let after = number(AFTER);
    let _watch = after.map(|_| watch(&folder.join("g"), dies.clone()));
    let options = Options {
        fold_rows: if kind == Kind::Write { 10 } else { usize::MAX },
        segment_bytes: 16 << 10,
        // Every fold finds something to collect.
        retention: Duration::ZERO,
        ..Options::default()
    };
    let graph = Graph::open(folder.join("g"), options).expect("opened");
    let names = Names::of(graph.snapshot().schema());
    let acknowledged = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("acknowledged"))
        .expect("opened");
    let acknowledged = Arc::new(Mutex::new(acknowledged));
    fs::write(folder.join("ready"), b"").expect("written");
    dies.after
        .store(after.unwrap_or(u64::MAX), Ordering::Release);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    let tell = move |writer: i64, number: i64| {
        let line = format!("{writer} {number}\n");
        let mut file = acknowledged.lock().expect("sound");
        file.write_all(line.as_bytes()).expect("noted");
    };
    let mut work = Vec::new();
    for writer in 0..WRITERS {
        let (graph, tell) = (graph.clone(), tell.clone());
        work.push(runtime.spawn(async move {
            for number in first_free(&graph, names, writer).. {
                let work = move |work: &mut Transaction| names.commit(work, writer, number);
                let written = graph.write(WriteRequest::by("test"), work).await;
                written.expect("written");
                tell(writer, number);
            }
        }));
    }
    if kind == Kind::Load {
        let graph = graph.clone();
        work.push(runtime.spawn(async move {
            let first = first_free(&graph, names, LOADER);
            for number in (first..).step_by(LOADED as usize) {
                let batch = batch(&graph, number);
                let loaded = graph.load(WriteRequest::by("test"), None, &batch).await;
                loaded.expect("loaded");
                tell(LOADER, number);
            }
        }));
    }
    if kind != Kind::Write {
        loop {
            graph.fold().expect("folded");
        }
    }
    for ended in runtime.block_on(futures::future::join_all(work)) {
        ended.expect("a writer");
    }
}

/// Pairs that are loaded as columns in one commit.
fn batch(graph: &Graph, first: i64) -> load::Batch {
    let mut lines = String::new();
    for number in first..first + LOADED {
        let name = |side: &str| format!("{LOADER}-{number}-{side}");
        for side in ["left", "right"] {
            let data = serde_json::json!({"name": name(side), "writer": LOADER, "number": number});
            lines += &format!("{}\n", serde_json::json!({"type": "Half", "data": data}));
        }
        let twin = serde_json::json!({
            "edge": "Twin", "from": name("left"), "to": name("right"), "data": {"number": number},
        });
        lines += &format!("{twin}\n");
    }
    let source = Source {
        by_row: 0,
        ..Source::lines(Mode::Append)
    };
    let input = Input::Stream(Box::new(std::io::Cursor::new(lines.into_bytes())));
    load::parse(input, &source, &graph.snapshot()).expect("read")
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
    let number = |text: &str| text.parse().expect("a number");
    text.lines()
        .map(|line| {
            let (writer, of) = line.split_once(' ').expect("two numbers");
            (number(writer), number(of))
        })
        .collect()
}

fn alive(process: &mut Child, folder: &Path) {
    if let Some(status) = process.try_wait().expect("waited") {
        let said = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
        panic!("the child ended with {status}: {said}");
    }
}

/// One of four parts of the kills.
fn part(part: u64) {
    let kills = number("TRELLIS_KILLS").unwrap_or(200);
    let first = seed();
    let home = scratch();
    let mut acknowledged = 0;
    for round in (part..kills).step_by(4) {
        let what = format!("TRELLIS_SEED={first}, kill {round}");
        let at = round / 4;
        // A graph for some rounds, so that opening it stays quick.
        let folder = home.path().join(format!("{}", at / 12));
        if at % 12 == 0 {
            fs::create_dir(&folder).expect("made");
            create(&folder.join("g"));
        }
        let mut random = Random(first.wrapping_add(round));
        let kind = KINDS[(at % 3) as usize];
        killed(&folder, kind, &mut random, &what);
        acknowledged += whole(&folder, &what);
        if at % 12 == 11 {
            fs::remove_dir_all(&folder).expect("removed");
        }
    }
    assert!(
        acknowledged > kills,
        "too little is written before the kills"
    );
}

/// Runs a process until it is killed.
fn killed(folder: &Path, kind: Kind, random: &mut Random, what: &str) {
    let ready = folder.join("ready");
    let _ = fs::remove_file(&ready);
    let by_count = random.below(3) > 0;
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    if by_count {
        command.env(AFTER, (1 + random.below(400)).to_string());
    }
    let mut process = command
        .args(["--exact", "tests::crash::killed::child", "--nocapture"])
        .env(FOLDER, folder)
        .env(KIND, format!("{kind:?}"))
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("stderr")).expect("made"))
        .spawn()
        .expect("started");
    if by_count {
        let status = process.wait().expect("waited");
        let said = fs::read_to_string(folder.join("stderr"));
        assert_eq!(status.signal(), Some(9), "{what}: {said:?}");
        return;
    }
    while !ready.exists() {
        alive(&mut process, folder);
        std::thread::sleep(Duration::from_millis(1));
    }
    let until = Instant::now() + Duration::from_micros(random.below(60_000));
    match random.below(2) {
        0 => read_along(folder, until, what),
        _ => std::thread::sleep(until.saturating_duration_since(Instant::now())),
    }
    alive(&mut process, folder);
    process.kill().expect("killed");
    process.wait().expect("waited");
}

/// Reads what the other process writes, folds and collects: all that it acknowledged, and no half.
fn read_along(folder: &Path, until: Instant, what: &str) {
    let follower = Follower::open(folder.join("g"), Options::default());
    let follower = follower.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    loop {
        let before = acknowledged(folder);
        let snapshot = follower.snapshot();
        let snapshot = snapshot.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        holds(&snapshot, &before, what);
        if Instant::now() >= until {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every acknowledged write is there, and none is half there; says how many there are.
fn whole(folder: &Path, what: &str) -> u64 {
    let graph = open(&folder.join("g"));
    let snapshot = graph.snapshot();
    contents(&snapshot);
    let acknowledged = acknowledged(folder);
    holds(&snapshot, &acknowledged, what);
    acknowledged.len() as u64
}

fn holds(snapshot: &Snapshot, acknowledged: &[(i64, i64)], what: &str) {
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
    assert_eq!(halves, 2 * written.len() as u64, "{what}");
    let loaded = written.iter().filter(|(writer, _)| *writer == LOADER);
    let loaded = loaded.count() as i64;
    assert_eq!(loaded % LOADED, 0, "{what}: a load is half there");
    let gone = |writer, number: i64| {
        let by = number + 4;
        writer != LOADER
            && by % 5 == 0
            && (written.contains(&(writer, by)) || !written.contains(&(writer, number)))
    };
    for (writer, number) in acknowledged.iter().copied() {
        let there = written.contains(&(writer, number));
        assert!(
            there || gone(writer, number),
            "{what}: {writer}-{number} was acknowledged"
        );
        let noted = number + 2;
        if writer != LOADER && there && noted % 3 == 0 && written.contains(&(writer, noted)) {
            let key = [Names::key(writer, number, "right")];
            let node = snapshot.node_by_key(names.half, &key).expect("there");
            let note = snapshot.node_property(node, names.note);
            assert_eq!(note, Value::from("seen"), "{what}: {writer}-{number}");
        }
    }
}

#[test]
fn killed_0() {
    part(0);
}

#[test]
fn killed_1() {
    part(1);
}

#[test]
fn killed_2() {
    part(2);
}

#[test]
fn killed_3() {
    part(3);
}
