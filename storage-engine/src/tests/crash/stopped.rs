//! Each operation that changes much on the disk, stopped at each of its effects: the process dies and
//! loses what was not synced, or the disk fails once and the operation is tried again.
//!
//! Where there are many effects every fifth is, chosen by the seed; with `TRELLIS_LONG` all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use language::value::Value;
use tempfile::TempDir;

use super::{Names, copy, create, recovers, write};
use crate::load::{self, Input, Mode, Source};
use crate::tests::disk::{Disk, Fault, Keep, Kind};
use crate::tests::{contents, scratch, seed};
use crate::{CommitError, Graph, Options, WriteError, WriteRequest};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    /// With what follows a fold: compaction and collection.
    Fold,
    /// As columns.
    Load(Mode),
    /// With a file of changes.
    Large,
}

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Became {
    Done,
    Nothing,
    Unknown,
}

fn frugal() -> Options {
    Options {
        retention: Duration::ZERO,
        segment_bytes: 4 << 10,
        ..Options::default()
    }
}

/// A graph in which a fold finds everything: rows that are new, changed and gone, columns of a load,
/// a table that is worn, checkpoints, side files and segments that nothing needs any more.
fn ripe() -> (TempDir, PathBuf) {
    let home = scratch();
    let folder = home.path().join("g");
    create(&folder);
    let options = Options {
        retention: Duration::from_secs(3_600),
        ..frugal()
    };
    let graph = Graph::open(&folder, options).expect("opened");
    let names = Names::of(graph.snapshot().schema());
    let commit = |number| write(&graph, move |work| names.commit(work, 0, number));
    for numbers in [1..8, 8..16, 16..24] {
        numbers.for_each(commit);
        graph.fold().expect("folded");
    }
    assert_eq!(Operation::Load(Mode::Append).run(&graph, 0), Became::Done);
    (24..30).for_each(commit);
    write(&graph, move |work| {
        let loaded = work
            .snapshot()
            .node_by_key(names.half, &["loaded 3 of 0".into()]);
        let loaded = loaded.expect("there");
        work.set_node(loaded, vec![(names.note, Value::from("noted"))])?;
        // So many rows of the table are replaced that it is worn.
        let all: Vec<_> = work.snapshot().nodes(names.half).collect();
        for node in all {
            work.set_node(node, vec![(names.writer, Value::Int(8))])?;
        }
        Ok(())
    });
    (home, folder)
}

impl Operation {
    fn run(self, graph: &Graph, number: i64) -> Became {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let request = WriteRequest::by("test");
        match self {
            Self::Fold => match graph.fold() {
                Ok(()) => Became::Done,
                Err(_) => Became::Nothing,
            },
            Self::Load(mode) => {
                let source = Source {
                    by_row: 0,
                    ..Source::lines(mode)
                };
                let input = Input::Stream(Box::new(std::io::Cursor::new(lines(number))));
                let batch = load::parse(input, &source, &graph.snapshot()).expect("read");
                became(runtime.block_on(graph.load(request, None, &batch)))
            }
            Self::Large => {
                let names = Names::of(graph.snapshot().schema());
                let text = Value::string("z".repeat((1 << 20) + 9));
                became(runtime.block_on(graph.write(request, move |work| {
                    let values = vec![
                        (names.name, Value::from("large")),
                        (names.writer, Value::Int(71)),
                        (names.number, Value::Int(1)),
                        (names.note, text),
                    ];
                    work.create_node(names.half, values)?;
                    Ok::<_, WriteError>(())
                })))
            }
        }
    }
}

fn became<T, E: std::error::Error>(outcome: Result<T, CommitError<E>>) -> Became {
    match outcome {
        Ok(_) => Became::Done,
        Err(CommitError::Unknown(_)) => Became::Unknown,
        Err(CommitError::NotWritten(_) | CommitError::SideFile(_)) => Became::Nothing,
        Err(error) => panic!("{error:?}"),
    }
}

fn lines(number: i64) -> Vec<u8> {
    let name = |at: i64| format!("loaded {at} of {number}");
    let mut lines = String::new();
    for at in 0..6 {
        let data = serde_json::json!({"name": name(at), "writer": 70, "number": at});
        lines += &format!("{}\n", serde_json::json!({"type": "Half", "data": data}));
        let twin = serde_json::json!({
            "edge": "Twin", "from": name(at), "to": name(0),
            "data": {"number": at, "id": format!("twin {at} of {number}")},
        });
        lines += &format!("{twin}\n");
    }
    lines.into_bytes()
}

/// An operation on copies of one graph.
struct Trial {
    home: TempDir,
    ripe: PathBuf,
    operation: Operation,
    before: String,
    after: String,
    effects: usize,
}

impl Trial {
    fn of(operation: Operation) -> Self {
        let (home, ripe) = ripe();
        let mut trial = Self {
            home,
            ripe,
            operation,
            before: String::new(),
            after: String::new(),
            effects: 0,
        };
        let folder = trial.copy("whole");
        let (disk, _watch) = Disk::below(&folder);
        let graph = Graph::open(&folder, frugal()).expect("opened");
        trial.before = contents(&graph.snapshot());
        let opened = disk.effects();
        assert_eq!(operation.run(&graph, 1), Became::Done);
        trial.effects = disk.effects() - opened;
        trial.after = contents(&graph.snapshot());
        if operation == Operation::Fold {
            let status = graph.status().expect("listed");
            assert!(status.collected.files > 6, "{:?}", status.collected);
            let tables = &status.checkpoint.as_ref().expect("a checkpoint").tables;
            let halves = tables.iter().find(|table| table.name == "Half");
            // Four folds have added to it.
            let compacted = halves.is_some_and(|table| table.fragments < 4);
            assert!(compacted, "{tables:?}");
            assert_eq!(
                (status.compaction_error, status.collection_error),
                (None, None)
            );
        }
        println!("{operation:?}: {} effects", trial.effects);
        trial
    }

    fn copy(&self, name: &str) -> PathBuf {
        let folder = self.home.path().join(name);
        copy(&self.ripe, &folder);
        folder
    }

    fn is(&self, graph: &Graph, became: Became, what: &str) {
        let found = contents(&graph.snapshot());
        let expected = match became {
            Became::Done => found == self.after,
            Became::Nothing => found == self.before,
            Became::Unknown => found == self.after || found == self.before,
        };
        assert!(expected, "{what}: {became:?}");
    }

    /// The process dies at the effect.
    fn dies(&self, at: usize, keep: Keep) {
        let what = format!("{:?} dies at {at}, {keep:?}", self.operation);
        let folder = self.copy("dies");
        let (disk, watch) = Disk::below(&folder);
        let graph = Graph::open(&folder, frugal()).expect("opened");
        disk.arm(Fault {
            after: at,
            kind: Kind::Death(at * 37 % 700),
        });
        let became = self.operation.run(&graph, 1);
        drop(graph);
        disk.crash(keep);
        drop(watch);
        self.lives(&folder, became, &what);
    }

    /// The disk fails at the effect, once.
    fn fails(&self, at: usize, kind: Kind) {
        let what = format!("{:?} fails at {at}, {kind:?}", self.operation);
        let folder = self.copy("fails");
        let (disk, watch) = Disk::below(&folder);
        let graph = Graph::open(&folder, frugal()).expect("opened");
        disk.arm(Fault { after: at, kind });
        let became = self.operation.run(&graph, 1);
        let seen = match became {
            Became::Unknown => {
                // The process may be killed before the log says that it does not count.
                let killed = self.home.path().join("killed");
                copy(&folder, &killed);
                self.lives(&killed, became, &format!("{what}, killed"));
                Became::Nothing
            }
            told => told,
        };
        self.is(&graph, seen, &what);
        disk.disarm();
        if became != Became::Done || self.operation == Operation::Fold {
            assert_eq!(self.operation.run(&graph, 1), Became::Done, "{what}");
        }
        self.is(&graph, Became::Done, &what);
        drop(graph);
        disk.crash(Keep::Synced);
        drop(watch);
        self.lives(&folder, Became::Done, &what);
    }

    /// What is left opens as it should, folds and collects, and is sound.
    fn lives(&self, folder: &Path, became: Became, what: &str) {
        let graph = Graph::open(folder, frugal()).unwrap_or_else(|it| panic!("{what}: {it:?}"));
        self.is(&graph, became, what);
        graph.fold().unwrap_or_else(|it| panic!("{what}: {it:?}"));
        let status = graph.status().expect("listed");
        assert_eq!(status.collection_error, None, "{what}");
        let found = contents(&graph.snapshot());
        drop(graph);
        recovers(folder, &found, what);
        let diagnosis = crate::doctor::examine(folder, crate::doctor::Depth::Usual);
        let diagnosis = diagnosis.expect("examined");
        assert!(diagnosis.sound, "{what}: {:#?}", diagnosis.findings);
        fs::remove_dir_all(folder).expect("removed");
    }
}

fn stopped_everywhere(operation: Operation) {
    let trial = Trial::of(operation);
    let every = match std::env::var_os("TRELLIS_LONG") {
        None if trial.effects > 50 => 5,
        _ => 1,
    };
    let first = usize::try_from(seed() % every as u64).expect("small");
    for at in (first..trial.effects).step_by(every) {
        let keep = match at / every % 3 {
            0 => Keep::All,
            1 => Keep::Synced,
            _ => Keep::Some(at as u64),
        };
        trial.dies(at, keep);
        let kind = match at / every % 3 {
            0 => Kind::Full,
            1 => Kind::Unsynced,
            _ => Kind::Broken,
        };
        trial.fails(at, kind);
    }
}

#[test]
fn a_fold_may_stop_anywhere() {
    stopped_everywhere(Operation::Fold);
}

#[test]
fn a_load_may_stop_anywhere() {
    stopped_everywhere(Operation::Load(Mode::Append));
}

#[test]
fn an_overwriting_load_may_stop_anywhere() {
    stopped_everywhere(Operation::Load(Mode::Overwrite));
}

#[test]
fn a_large_commit_may_stop_anywhere() {
    stopped_everywhere(Operation::Large);
}
