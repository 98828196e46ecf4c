//! What a disk that fails may do to a run, and what it may not.

use std::fmt::Debug;

use super::Step;
use super::coverage::note;
use super::run::{After, Run};
use crate::tests::disk::{Fault, Keep};
use crate::{Graph, lock};

/// A commit of which nobody could tell whether it was stored.
pub(super) struct Unknown {
    pub(super) sequence: u64,
    pub(super) after: After,
    /// The key of the request, its digest and what it would have been answered.
    pub(super) answer: Option<((u8, u8), u8, String)>,
}

impl Run {
    pub(super) fn arm(&mut self, fault: Fault) {
        if let Some((disk, _)) = &self.disk {
            disk.arm(fault);
            self.troubled = true;
        }
    }

    pub(super) fn disarm(&mut self) {
        if let Some((disk, _)) = &self.disk {
            disk.disarm();
        }
    }

    fn is_dead(&self) -> bool {
        self.disk.as_ref().is_some_and(|(disk, _)| disk.is_dead())
    }

    /// An operation that did not succeed, which only the disk excuses.
    pub(super) fn excuses(&self, error: &dyn Debug) {
        assert!(self.troubled, "{error:?}");
    }

    /// A dead process does nothing more.
    pub(super) fn bury(&mut self) {
        if self.is_dead() {
            self.step(Step::Crash(self.steps));
        }
    }

    /// The process ends, and what the disk has is opened again.
    pub(super) fn crash(&mut self, how: u8) {
        self.graph = None;
        let keep = match how % 4 {
            0 => Keep::All,
            1 => Keep::Synced,
            _ => Keep::Some(u64::from(how)),
        };
        if self.disk.is_some() {
            self.lose(keep);
        }
        self.open();
    }

    fn lose(&mut self, keep: Keep) {
        self.until_nobody_has_it();
        if !matches!(keep, Keep::All) {
            // It reads what the power took.
            self.follower = None;
        }
        if let Some((disk, _)) = &self.disk {
            note(match keep {
                Keep::All => "kill",
                Keep::Synced | Keep::Some(_) => "power cut",
            });
            disk.crash(keep);
        }
    }

    /// Folds in the background may have it for a while.
    pub(super) fn until_nobody_has_it(&self) {
        let folder = self.store.folder().expect("in a folder");
        for _ in 0..1_000 {
            match lock::hold(folder) {
                Ok(_) => return,
                Err(crate::OpenError::Locked { .. }) => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        panic!("the graph stays open");
    }

    /// Opens the graph, which has every commit that was acknowledged, and at most the one more that
    /// nobody could tell of.
    pub(super) fn open(&mut self) {
        self.graph = None;
        let mut opened = None;
        // A fold in the background may hold it still, and the disk may fail once.
        for attempt in 0..1_000_u16 {
            match Graph::open(&self.store, self.options.clone()) {
                Ok(graph) => {
                    opened = Some(graph);
                    break;
                }
                Err(crate::OpenError::Locked { .. }) => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                Err(error) => {
                    self.excuses(&error);
                    note("opening failed");
                    assert!(attempt < 20, "{error:?}");
                    self.lose(Keep::Some(u64::from(attempt)));
                }
            }
        }
        let graph = opened.expect("the graph is locked or cannot be read");
        self.acknowledge(&graph);
        self.graph = Some(graph);
        // A fault that still waits may meet what comes.
        self.bury();
    }

    fn acknowledge(&mut self, graph: &Graph) {
        let snapshot = graph.snapshot();
        let head = snapshot.head();
        let known = self.head.sequence;
        if head.sequence == known {
            assert_eq!(*head, self.head);
        } else {
            let unknown = self.unknown.take();
            let unknown =
                unknown.unwrap_or_else(|| panic!("{head:?} is nobody's: {:?}", self.head));
            note("unknown is there");
            assert_eq!(head.sequence, unknown.sequence);
            self.model = unknown.after.model(&snapshot);
            if let Some((key, digest, counts)) = unknown.answer {
                let commit = head.clone();
                let answer = super::Answer {
                    digest,
                    counts,
                    commit,
                };
                self.model.answers.insert(key, answer);
            }
            self.head = head.clone();
        }
        self.unknown = None;
        let waits = self.disk.as_ref().is_some_and(|(disk, _)| disk.is_armed());
        self.troubled &= waits;
    }
}
