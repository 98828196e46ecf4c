//! A repair that is killed between its steps, and tried again.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use journal::{Effect, Faults, Verdict};

use super::Step::{Fold, Notes, Person, Reopen};
use super::{Fixture, change, contents};
use crate::checkpoint::Checkpoint;
use crate::doctor::repair::repair_with;
use crate::doctor::{Depth, repair};
use crate::graph::LEASE;
use crate::{Graph, Options};

/// After so many effects nothing reaches the disk any more.
#[derive(Debug)]
struct Dies(AtomicUsize);

impl Faults for Dies {
    fn before(&self, _: &Effect<'_>) -> Verdict {
        let took = |left: usize| left.checked_sub(1);
        match self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, took)
        {
            Ok(_) => Verdict::Proceed,
            Err(_) => Verdict::Fail(io::Error::other("the process is dead")),
        }
    }

    fn after(&self, _: &Effect<'_>) {}
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

/// Stops the repair of this folder after each effect, repairs again, and finds what was there after
/// the commit `lsn`.
fn stops_anywhere(fixture: &Fixture, lsn: u64) -> usize {
    for effects in 0.. {
        let folder = fixture.home.path().join(format!("stopped-{effects}"));
        copy(&fixture.folder(), &folder);
        let dies: Arc<dyn Faults> = Arc::new(Dies(AtomicUsize::new(effects)));
        let stopped = repair_with(&folder.as_path().into(), Depth::Usual, LEASE, Some(dies));
        if stopped.is_err() {
            let again = repair(&folder, Depth::Usual);
            let again = again.unwrap_or_else(|error| panic!("after {effects}: {error:?}"));
            assert!(
                again.after.sound,
                "after {effects}: {:#?}",
                again.after.texts()
            );
        }
        let graph = Graph::open(&folder, Options::default()).expect("opened");
        assert!(
            contents(&graph.snapshot()) == fixture.after[&lsn],
            "after {effects}"
        );
        if stopped.is_ok() {
            return effects;
        }
    }
    unreachable!("it ends")
}

#[test]
fn where_the_log_is_cut_off() {
    let fixture = Fixture::new(&[
        Person("a"),
        Notes,
        Reopen,
        Person("b"),
        Reopen,
        Person("c"),
        Person("d"),
    ]);
    fixture.flip(4);
    assert!(stops_anywhere(&fixture, 3) > 6);
}

#[test]
fn where_the_log_begins_later_and_a_checkpoint_goes() {
    let fixture = Fixture::new(&[
        Person("a"),
        Reopen,
        Person("b"),
        Fold,
        Person("c"),
        Fold,
        Reopen,
        Person("d"),
    ]);
    let path = fixture.file("checkpoints", "4.json");
    let mut newest = Checkpoint::load(&path).expect("loaded");
    newest.digest = "0".repeat(64);
    fixture.forge(&newest);
    fixture.flip(2);
    assert!(stops_anywhere(&fixture, 5) > 6);
}

#[test]
fn where_all_checkpoints_are_unreadable() {
    let fixture = Fixture::new(&[Person("a"), Fold, Person("b"), Fold, Person("c")]);
    for name in ["2.json", "3.json"] {
        change(&fixture.file("checkpoints", name), |bytes| bytes[20] ^= 1);
    }
    assert!(stops_anywhere(&fixture, 4) >= 2);
}
