//! The real graph, driven through the steps.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use language::schema::Schema;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::compare::compare;
use super::coverage::note;
use super::faults::Unknown;
use super::{End, Life, Model, SCHEMA, Step};
use crate::disk::watched::Watch;
use crate::doctor::Severity;
use crate::load::Mode;
use crate::tests::disk::Disk;
use crate::tests::{objects, scratch, transfer};
use crate::{
    At, CommitInfo, Follower, Graph, NewGraph, Options, PastError, PastLimits, Snapshot, Store,
};

/// Where a graph lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder as it is.
    Folder,
    /// A folder on a disk that fails when it is told to.
    Disk,
    /// An object store where answers are lost again and again.
    Objects,
}

/// A graph that is driven through the steps.
pub(super) struct Run {
    pub(super) graph: Option<Graph>,
    pub(super) follower: Option<Follower>,
    pub(super) disk: Option<(Arc<Disk>, Watch)>,
    pub(super) store: Store,
    /// Empty when the graph is in an object store.
    _home: TempDir,
    pub(super) options: Options,
    pub(super) model: Model,
    /// The newest commit that was acknowledged, of which `model` is the state.
    pub(super) head: CommitInfo,
    /// What may be there besides, at the next opening.
    pub(super) unknown: Option<Unknown>,
    /// The disk has failed, or is to.
    pub(super) troubled: bool,
    pub(super) loads: usize,
    pub(super) steps: u8,
    /// The heads that there were, each with the model at it.
    past: Vec<(CommitInfo, Model)>,
}

/// One for all lives, for threads cost more than most steps.
pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    });
    &RUNTIME
}

impl Run {
    pub(super) fn new(life: &Life) -> Self {
        let place = life.place;
        let (home, store) = match place {
            Place::Folder | Place::Disk => {
                let home = scratch();
                let store = Store::from(home.path().join("g"));
                (home, store)
            }
            Place::Objects => {
                let (home, store, memory) = objects::place();
                memory.lose_every(3);
                (home, store)
            }
        };
        let schema = Schema::parse(SCHEMA).expect("a valid schema");
        Graph::create(&store, NewGraph::new(schema.clone(), "test")).expect("created");
        let disk = match (place, store.folder()) {
            (Place::Disk, Some(folder)) => Some(Disk::below(folder)),
            _ => None,
        };
        let options = Options {
            fold_rows: if life.background { 3 } else { 50_000 },
            // There a fold is held up while others go on, who must not wait for it.
            folds_behind: if place == Place::Disk { usize::MAX } else { 4 },
            retention: Duration::from_secs(if life.forgetful { 0 } else { 3_600 }),
            resident_rows: if life.sparing { 0 } else { 1 << 16 },
            segment_bytes: 4 << 10,
            ..Options::default()
        };
        let graph = Graph::open(&store, options.clone()).expect("opened");
        Self {
            head: graph.snapshot().head().clone(),
            graph: Some(graph),
            follower: None,
            disk,
            store,
            _home: home,
            options,
            model: Model::new(Arc::new(schema)),
            unknown: None,
            troubled: false,
            loads: 0,
            steps: 0,
            past: Vec::new(),
        }
    }

    pub(super) fn graph(&self) -> &Graph {
        self.graph.as_ref().expect("open")
    }

    /// A commit was made, and nothing that was tried before it can be there any more.
    pub(super) fn acknowledged(&mut self, head: CommitInfo) {
        self.head = head;
        self.unknown = None;
    }

    pub(super) fn step(&mut self, step: Step) {
        self.act(step);
        self.bury();
        self.compare();
    }

    fn compare(&self) {
        let snapshot = self.graph().snapshot();
        assert_eq!(*snapshot.head(), self.head);
        compare(&snapshot, &self.model);
    }

    fn act(&mut self, step: Step) {
        self.steps = self.steps.wrapping_add(1);
        if self.past.last().is_none_or(|(last, _)| *last != self.head) {
            self.past.push((self.head.clone(), self.model.clone()));
        }
        match step {
            Step::Write(changes, end, key) => self.write(vec![changes], end, key),
            Step::Group(group) => self.write(group, End::Commit, None),
            Step::Load(load) => self.load(&load),
            Step::Fold => match self.graph().fold() {
                Ok(()) => {
                    note("fold");
                    assert_eq!(self.graph().status().expect("listed").tail_rows, 0);
                }
                Err(error) => {
                    note("fold failed");
                    self.excuses(&error);
                }
            },
            Step::During(after, steps) => self.during(after, steps),
            Step::Collect => self.collect(),
            Step::Evict => {
                if self.graph().evict(u64::MAX) > 0 {
                    note("evicted");
                }
            }
            Step::Past(at, how) => {
                let at = usize::from(at) % self.past.len();
                self.read_past(at, how);
            }
            Step::Follow => self.follow(),
            Step::Crash(how) => self.crash(how),
            Step::Close => {
                match self.graph().close() {
                    Ok(()) => {
                        note("close");
                        self.unknown = None;
                    }
                    Err(error) => self.excuses(&error),
                }
                self.open();
            }
            Step::Fault(fault) => self.arm(fault),
        }
    }

    /// A fold begins, others go on while it waits, and it comes to its end on what they have made.
    fn during(&mut self, after: usize, steps: Vec<Step>) {
        let Some((disk, _)) = &self.disk else {
            return steps.into_iter().for_each(|step| self.act(step));
        };
        let disk = disk.clone();
        disk.hold(after);
        let graph = self.graph().clone();
        let fold = std::thread::spawn(move || graph.fold());
        while !disk.holds() && !fold.is_finished() {
            std::thread::yield_now();
        }
        if disk.holds() {
            note("during a fold");
        }
        for step in steps {
            if !disk.is_dead() {
                self.act(step);
                self.compare();
            }
        }
        disk.release();
        if let Err(error) = fold.join().expect("a fold ends") {
            note("fold failed");
            self.excuses(&error);
        }
    }

    fn collect(&self) {
        match self.graph().collect() {
            Ok(collected) => {
                note(if collected.files > 0 {
                    "collected"
                } else {
                    "collected nothing"
                });
                assert_eq!(
                    self.graph().status().expect("listed").collection_error,
                    None
                );
            }
            Err(error) => {
                note("collection failed");
                self.excuses(&error);
            }
        }
        if !self.troubled {
            let status = self.graph().status().expect("listed");
            assert_eq!((status.fold_error, status.compaction_error), (None, None));
        }
    }

    /// A commit that is kept is as it was; one that is not is said to be gone.
    fn read_past(&self, at: usize, how: u8) {
        let (head, model) = &self.past[at];
        let at = match how % 3 {
            0 => At::Commit(head.id),
            1 => At::Sequence(head.sequence),
            _ => At::Time(head.time_micros),
        };
        match self.graph().snapshot_at(at, &PastLimits::default()) {
            Ok(past) => {
                note("past");
                assert_eq!(past.head(), head);
                compare(&past, model);
            }
            Err(PastError::Gone { .. }) => {
                note("past gone");
                assert!(self.options.retention.is_zero(), "{at} is to be kept");
                assert_ne!(self.graph().snapshot().head(), head);
            }
            // A load by columns stands in between, and no checkpoint is kept from before it.
            Err(PastError::NotUndoable { .. }) => {
                note("past not undoable");
                assert!(self.options.retention.is_zero(), "{at} is to be kept");
            }
            Err(error) => panic!("{at}: {error:?}"),
        }
    }

    /// Some of the commits that there were, the first and the last among them.
    pub(super) fn some_past(&self) {
        let every = self.past.len() / 6 + 1;
        let some = (0..self.past.len()).step_by(every);
        some.for_each(|at| self.read_past(at, self.steps.wrapping_add(at as u8)));
    }

    /// What is acknowledged is seen by whoever reads along, from then on.
    fn follow(&mut self) {
        let follower = self.follower.get_or_insert_with(|| {
            Follower::open(&self.store, self.options.clone()).expect("opened for reading")
        });
        note("follow");
        let seen = follower.snapshot().expect("read along");
        assert_eq!(*seen.head(), self.head);
        compare(&seen, &self.model);
    }

    /// Nothing is left that nothing needs, and the doctor has nothing to say.
    pub(super) fn is_sound(&mut self) {
        self.graph().collect().expect("collected");
        let again = self.graph().collect().expect("collected");
        assert_eq!(again, crate::Collected::default());
        let Some(folder) = self.store.folder().map(std::path::Path::to_owned) else {
            return;
        };
        self.graph = None;
        self.until_nobody_has_it();
        let diagnosis = crate::doctor::examine(&folder, crate::doctor::Depth::Usual);
        let diagnosis = diagnosis.expect("examined");
        assert!(diagnosis.sound, "{:#?}", diagnosis.findings);
        let mut findings = diagnosis.findings.iter();
        // A side file that could not be removed goes with the log of its time.
        let stray = findings.find(|it| match it.part {
            "tables" | "checkpoints" => it.severity > Severity::Ok,
            _ => it.severity > Severity::Note,
        });
        assert_eq!(stray, None, "nothing needs it");
        self.open();
    }

    /// Exports, loads that elsewhere and merges it back.
    pub(super) fn transfer(&self) {
        let exported = transfer::export(&self.graph().snapshot());
        let head = self.graph().snapshot().head().clone();
        let other = Self::new(&Life::plain());
        for (run, mode) in [
            (&other, Mode::Append),
            (&other, Mode::Merge),
            (self, Mode::Merge),
        ] {
            transfer::load(run.graph(), &exported, mode).expect("loaded");
            assert_eq!(transfer::export(&run.graph().snapshot()), exported);
        }
        assert_eq!(
            *self.graph().snapshot().head(),
            head,
            "merging what is there changes nothing"
        );
    }
}

/// What a commit left that nobody could tell of.
pub(super) enum After {
    Model(Box<Model>),
    Load(Box<super::load::Prepared>),
}

impl After {
    pub(super) fn model(self, snapshot: &Snapshot) -> Model {
        match self {
            Self::Model(model) => *model,
            Self::Load(prepared) => prepared.loaded(snapshot),
        }
    }
}

impl Drop for Run {
    /// Folds in the background end before their folder is gone.
    fn drop(&mut self) {
        if let Some((disk, _)) = &self.disk {
            disk.release();
        }
        self.graph = None;
        if !std::thread::panicking() && self.store.folder().is_some() {
            self.until_nobody_has_it();
        }
    }
}
