//! Collection and compaction: what is removed, what never is, and crashes in between.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal::{Effect, Faults, Verdict};
use language::value::Value;

use super::{Fixture, contents, in_log};
use crate::aside;
use crate::disk::watched::watch;
use crate::lease::Lease;
use crate::{At, Collected, Follower, Graph, Options, PastError, PastLimits};

/// Small segments, and no history but what recovery needs.
pub(super) fn frugal() -> Options {
    Options {
        retention: Duration::ZERO,
        segment_bytes: 4 << 10,
        ..Options::default()
    }
}

/// Bytes and files of each part of a graph.
pub(super) fn sizes(folder: &Path) -> BTreeMap<&'static str, (u64, usize)> {
    fn gather(at: &Path, sum: &mut (u64, usize)) {
        for entry in fs::read_dir(at).into_iter().flatten() {
            let entry = entry.expect("listed");
            let metadata = entry.metadata().expect("there");
            if metadata.is_dir() {
                gather(&entry.path(), sum);
            } else {
                sum.0 += metadata.len();
                sum.1 += 1;
            }
        }
    }
    let parts = ["log", "files", "tables", "checkpoints", "leases"];
    let size = |part| {
        let mut sum = (0, 0);
        gather(&folder.join(part), &mut sum);
        (part, sum)
    };
    parts.into_iter().map(size).collect()
}

/// Whether those who change the log, for which whoever writes waits, give way: for each change.
#[derive(Debug, Default)]
struct GiveWay(Mutex<Vec<bool>>);

impl Faults for GiveWay {
    fn before(&self, effect: &Effect<'_>) -> Verdict {
        if let Effect::Write { path, .. } | Effect::SyncFile { path } | Effect::Remove { path } =
            effect
            && in_log(path)
        {
            self.0.lock().expect("whole").push(aside::gives_way());
        }
        Verdict::Proceed
    }

    fn after(&self, _: &Effect<'_>) {}
}

#[test]
fn a_fold_that_gives_way_does_not_while_writers_wait_for_it() {
    let mut fixture = Fixture::new();
    let changes = Arc::new(GiveWay::default());
    let _watch = watch(&fixture.folder(), changes.clone());
    fixture.reopen_with(frugal());
    let begun = fixture.graph().status().expect("listed").log.horizon;
    for round in 0..30 {
        churn(&fixture, round);
        let graph = fixture.graph().clone();
        let folded = aside::run(move || graph.fold().map(|()| aside::gives_way()));
        let gives_way = futures::executor::block_on(folded).expect("ends");
        assert!(gives_way.expect("folded"));
    }
    assert!(fixture.graph().status().expect("listed").log.horizon > begun);
    let changes = changes.0.lock().expect("whole");
    assert!(changes.len() > 60, "{}", changes.len());
    assert!(!changes.contains(&true), "{changes:?}");
}

/// Replaces some rows, deletes and adds others, and leaves the graph as large as before.
fn churn(fixture: &Fixture, round: i64) {
    let (person, note) = (fixture.type_id("Person"), fixture.type_id("Note"));
    let (email, age) = (
        fixture.property("Person", "email"),
        fixture.property("Person", "age"),
    );
    let text = fixture.property("Note", "text");
    let (knows, wrote) = (fixture.type_id("Knows"), fixture.type_id("Wrote"));
    fixture
        .write(move |work| {
            let key = |number: i64| [Value::string(format!("{number}@x"))];
            let old = work.snapshot().node_by_key(person, &key(round - 10));
            if let Some(old) = old {
                let others: Vec<_> = work.relationships(old).collect();
                let notes: Vec<_> = work
                    .snapshot()
                    .outgoing(wrote, old)
                    .map(|it| it.node)
                    .collect();
                for edge in others {
                    work.delete_edge(edge)?;
                }
                for note in notes {
                    work.delete_node(note)?;
                }
                work.delete_node(old)?;
            }
            let made = work.create_node(person, vec![(email, key(round)[0].clone())])?;
            if let Some(before) = work.snapshot().node_by_key(person, &key(round - 1)) {
                work.set_node(before, vec![(age, Value::Int(round))])?;
                work.create_edge(knows, made, before, Vec::new())?;
            }
            let body = Value::string("n".repeat(if round % 20 == 3 { 2 << 20 } else { 300 }));
            let note = work.create_node(note, vec![(text, body)])?;
            work.create_edge(wrote, made, note, Vec::new())?;
            Ok(())
        })
        .expect("written");
}

#[test]
fn the_disk_comes_back_to_its_baseline() {
    let mut fixture = Fixture::new();
    fixture.reopen_with(frugal());
    let mut most = BTreeMap::new();
    let mut fragments = 0;
    for round in 0..200 {
        churn(&fixture, round);
        fixture.graph().fold().expect("folded");
        let status = fixture.graph().status().expect("listed");
        assert_eq!(status.collection_error, None);
        assert_eq!(status.compaction_error, None);
        let checkpoint = status.checkpoint.expect("a checkpoint");
        for table in &checkpoint.tables {
            fragments = fragments.max(table.fragments);
            assert!(table.deleted_rows <= 2 + table.rows, "{table:?}");
        }
        let sizes = sizes(&fixture.folder());
        if round == 60 {
            most = sizes;
        } else if round > 60 {
            for (part, (bytes, files)) in sizes {
                let (bytes_before, files_before) = most[part];
                // A note of two megabytes comes and goes with its side file.
                let slack = 6 << 20;
                assert!(
                    bytes <= 2 * bytes_before + slack,
                    "{part}: {bytes} bytes in round {round}"
                );
                assert!(
                    files <= 2 * files_before + 20,
                    "{part}: {files} files in round {round}"
                );
            }
        }
    }
    assert!(fragments <= 34, "{fragments} fragments");
    let status = fixture.graph().status().expect("listed");
    assert!(status.log.segments <= 12, "{:?}", status.log);
    assert!(
        status.log.horizon > 1 && status.collected.files > 200,
        "{status:?}"
    );
    let before = fixture.contents();
    fixture.reopen_with(frugal());
    assert!(fixture.contents() == before);
    assert_eq!(sizes(&fixture.folder())["leases"], (0, 0));
    let sound = crate::doctor::examine(fixture.folder(), crate::doctor::Depth::Usual);
    let diagnosis = sound.expect("examined");
    assert!(diagnosis.sound, "{:#?}", diagnosis.findings);
}

#[test]
fn history_is_kept_as_long_as_it_was_said() {
    let mut fixture = Fixture::new();
    fixture.reopen_with(Options {
        retention: Duration::from_secs(3_600),
        ..frugal()
    });
    for round in 0..30 {
        churn(&fixture, round);
        fixture.graph().fold().expect("folded");
    }
    let status = fixture.graph().status().expect("listed");
    assert_eq!(status.log.horizon, 1);
    assert_eq!(status.pins.len(), 1, "{:?}", status.pins);
    assert_eq!(status.pins[0].by, "history of 1h");
    let limits = PastLimits::default();
    let first = fixture
        .graph()
        .snapshot_at(At::Sequence(1), &limits)
        .expect("there");
    assert_eq!(contents(&first), "");

    fixture.reopen_with(frugal());
    let collected = fixture.graph().collect().expect("collected");
    assert!(collected.files > 5 && !collected.more, "{collected:?}");
    assert_eq!(
        fixture.graph().collect().expect("collected"),
        Collected::default()
    );
    let gone = fixture.graph().snapshot_at(At::Sequence(1), &limits);
    let horizon = fixture.graph().status().expect("listed").log.horizon;
    assert!(horizon > 1);
    assert!(
        matches!(&gone, Err(PastError::Gone { horizon: told, .. }) if *told == horizon),
        "{gone:?}"
    );
}

#[test]
fn a_lease_keeps_its_checkpoint_and_the_log() {
    let mut fixture = Fixture::new();
    fixture.reopen_with(frugal());
    for round in 0..5 {
        churn(&fixture, round);
        fixture.graph().fold().expect("folded");
    }
    let leased = fixture
        .graph()
        .status()
        .expect("listed")
        .checkpoint
        .expect("a checkpoint")
        .lsn;
    let lease = Lease::take(&fixture.store, leased)
        .expect("taken")
        .expect("written");
    let (before, sequence) = (
        fixture.contents(),
        fixture.graph().snapshot().head().sequence,
    );
    let keep = fixture.home.path().join("copy");
    for round in 5..12 {
        churn(&fixture, round);
        fixture.graph().fold().expect("folded");
    }
    let status = fixture.graph().status().expect("listed");
    let pin = status
        .pins
        .iter()
        .find(|pin| pin.since_micros.is_some())
        .expect("a pin");
    assert_eq!(pin.lsn, leased);
    assert!(status.log.horizon <= leased + 1);
    // Without the newer checkpoints, the leased one and the log after it are the graph.
    let now = fixture.contents();
    copy(&fixture.folder(), &keep);
    for path in crate::checkpoint::list(&keep.join("checkpoints")).expect("listed") {
        if crate::checkpoint::lsn_of(&path.to_string_lossy()) != Some(leased) {
            fs::remove_file(path).expect("removed");
        }
    }
    let copied = Graph::open(&keep, Options::default()).expect("opened");
    assert!(contents(&copied.snapshot()) == now);
    let then = copied.snapshot_at(At::Sequence(sequence), &PastLimits::default());
    assert!(contents(&then.expect("there")) == before);
    drop(lease);
    fixture.graph().collect().expect("collected");
    let left = crate::checkpoint::list(&fixture.folder().join("checkpoints")).expect("listed");
    assert_eq!(left.len(), 2);
    assert!(fixture.graph().status().expect("listed").log.horizon > leased);
}

pub(super) fn copy(from: &Path, to: &Path) {
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

/// After so many effects the process is as good as dead: nothing reaches the disk any more.
#[derive(Debug)]
struct Dies {
    left: AtomicUsize,
}

impl Faults for Dies {
    fn before(&self, _: &Effect<'_>) -> Verdict {
        let took = |left: usize| left.checked_sub(1);
        match self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, took)
        {
            Ok(_) => Verdict::Proceed,
            Err(_) => Verdict::Fail(io::Error::other("the process is dead")),
        }
    }

    fn after(&self, _: &Effect<'_>) {}
}

#[test]
fn a_collection_may_stop_after_every_effect() {
    let mut fixture = Fixture::new();
    fixture.reopen_with(Options {
        retention: Duration::from_secs(3_600),
        ..frugal()
    });
    for round in 0..25 {
        churn(&fixture, round);
        if round % 4 == 3 {
            fixture.graph().fold().expect("folded");
        }
    }
    let (expected, home) = (fixture.contents(), fixture.home.path().to_owned());
    let before = home.join("before");
    fixture.graph = None;
    copy(&fixture.folder(), &before);
    let mut effects = 0;
    loop {
        let folder = home.join(format!("stopped-{effects}"));
        copy(&before, &folder);
        let dies = Arc::new(Dies {
            left: AtomicUsize::new(usize::MAX),
        });
        let watched = watch(&folder, dies.clone());
        let graph = Graph::open(&folder, frugal()).expect("opened");
        dies.left.store(effects, Ordering::Release);
        let ended = graph.collect();
        drop(graph);
        drop(watched);
        fixture.folder_is(&folder, &expected, &format!("after {effects} effects"));
        fs::remove_dir_all(&folder).expect("removed");
        if let Ok(collected) = ended {
            assert!(collected.files >= 8, "{collected:?}");
            break;
        }
        // The beginning one by one: the horizon and the log. What comes after is alike.
        effects += if effects < 24 { 1 } else { 5 };
    }
    assert!(effects > 12, "{effects}");
}

impl Fixture {
    /// The graph in `folder` opens with these contents, folds twice, and is sound.
    fn folder_is(&mut self, folder: &Path, expected: &str, what: &str) {
        let graph = Graph::open(folder, frugal()).unwrap_or_else(|it| panic!("{what}: {it:?}"));
        assert!(contents(&graph.snapshot()) == expected, "{what}");
        let ours = self.graph.replace(graph);
        for round in [100, 101] {
            churn(self, round);
            self.graph()
                .fold()
                .unwrap_or_else(|it| panic!("{what}: {it:?}"));
            assert_eq!(
                self.graph().status().expect("listed").collection_error,
                None,
                "{what}"
            );
        }
        let grown = self.contents();
        self.graph = ours;
        let graph = Graph::open(folder, frugal()).expect("opened");
        assert!(contents(&graph.snapshot()) == grown, "{what}");
        drop(graph);
        let diagnosis = crate::doctor::examine(folder, crate::doctor::Depth::Usual);
        let diagnosis = diagnosis.expect("examined");
        assert!(diagnosis.sound, "{what}: {:#?}", diagnosis.findings);
    }
}

#[test]
fn without_its_checkpoints_a_collected_graph_says_what_is_missing() {
    let mut fixture = Fixture::new();
    fixture.reopen_with(frugal());
    for round in 0..12 {
        churn(&fixture, round);
        fixture.graph().fold().expect("folded");
    }
    let begins = fixture.graph().status().expect("listed").log.horizon;
    assert!(begins > 2);
    fixture.graph = None;
    for path in crate::checkpoint::list(&fixture.folder().join("checkpoints")).expect("listed") {
        fs::remove_file(path).expect("removed");
    }
    let error = Graph::open(fixture.folder(), Options::default()).expect_err("not whole");
    let crate::OpenError::Log(journal::Error::Collected { first, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(first.0, begins);
    let followed = Follower::open(fixture.folder(), Options::default());
    assert!(followed.is_err());
    let diagnosis = crate::doctor::examine(fixture.folder(), crate::doctor::Depth::Usual);
    let diagnosis = diagnosis.expect("examined");
    assert!(!diagnosis.sound);
    let told = diagnosis
        .findings
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    assert!(
        told.contains("so that a checkpoint is needed, and none can be used"),
        "{told}"
    );
}
