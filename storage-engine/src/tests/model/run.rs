//! The real graph, driven through the steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use language::schema::{Schema, TypeId};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::apply::apply;
use super::compare::compare;
use super::{Change, End, Model, SCHEMA, Step};
use crate::load::Mode;
use crate::tests::transfer;
use crate::{
    At, CommitInfo, Follower, Graph, NewGraph, OpenError, Options, PastError, PastLimits, Store,
    Transaction, WriteError, WriteRequest,
};

/// A graph that is driven through the steps.
pub(super) struct Run {
    /// Empty when the graph is in an object store.
    _home: TempDir,
    store: Store,
    runtime: Runtime,
    graph: Option<Graph>,
    options: Options,
    model: Model,
    loads: usize,
    follower: Option<Follower>,
    /// The heads that there were, each with the model at it.
    past: Vec<(CommitInfo, Model)>,
}

impl Run {
    /// `forgetful`: no history is kept but what recovery needs.
    pub(super) fn new(fold_rows: usize, forgetful: bool) -> Self {
        let home = TempDir::new().expect("a temporary folder");
        let store = Store::from(home.path().join("g"));
        Self::kept(home, store, fold_rows, forgetful)
    }

    pub(super) fn at(home: TempDir, store: Store, fold_rows: usize) -> Self {
        Self::kept(home, store, fold_rows, false)
    }

    fn kept(home: TempDir, store: Store, fold_rows: usize, forgetful: bool) -> Self {
        let schema = Schema::parse(SCHEMA).expect("a valid schema");
        Graph::create(&store, NewGraph::new(schema.clone(), "test")).expect("created");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut run = Self {
            _home: home,
            store,
            runtime,
            graph: None,
            options: Options {
                fold_rows,
                retention: Duration::from_secs(if forgetful { 0 } else { 3_600 }),
                segment_bytes: 4 << 10,
                ..Options::default()
            },
            model: Model::new(Arc::new(schema)),
            loads: 0,
            follower: None,
            past: Vec::new(),
        };
        run.open();
        run
    }

    fn graph(&self) -> &Graph {
        self.graph.as_ref().expect("open")
    }

    fn open(&mut self) {
        self.graph = None;
        // A fold in the background may hold it still.
        for _ in 0..500 {
            match Graph::open(&self.store, self.options.clone()) {
                Ok(graph) => {
                    self.graph = Some(graph);
                    return;
                }
                Err(OpenError::Locked { .. }) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => panic!("cannot open: {error:?}"),
            }
        }
        panic!("the graph stays locked");
    }

    /// Writes one after the other in the order of the queue; the model goes along.
    fn write(&mut self, group: Vec<Vec<Change>>, end: End) {
        let model = Arc::new(Mutex::new(self.model.clone()));
        let jobs: Vec<_> = group
            .into_iter()
            .map(|changes| {
                let (graph, shared) = (self.graph().clone(), model.clone());
                async move {
                    let before = shared.clone();
                    let before_model = move || before.lock().expect("sound").clone();
                    let work = move |transaction: &mut Transaction| {
                        let mut model = before_model();
                        for change in &changes {
                            apply(&mut model, change, transaction)?;
                        }
                        let ended = transaction.end_statement();
                        assert_eq!(ended.is_ok(), model.complete(), "{ended:?}");
                        ended?;
                        match end {
                            End::Panic => panic!("a defect"),
                            End::GoAway => Err(WriteError::UnknownType(TypeId(u32::MAX))),
                            End::Commit => {
                                let mut shared = shared.lock().expect("sound");
                                let counts = counts(&shared, &model);
                                *shared = model;
                                Ok(counts)
                            }
                        }
                    };
                    match graph.write(WriteRequest::by("test"), work).await {
                        Ok(written) => {
                            let found = written.counts;
                            let found = [
                                found.nodes_created,
                                found.nodes_deleted,
                                found.edges_created,
                                found.edges_deleted,
                            ];
                            assert_eq!(found, written.value);
                            assert!(graph.snapshot().head().sequence >= written.commit.sequence);
                        }
                        Err(crate::CommitError::Work(_)) => {}
                        Err(crate::CommitError::Panicked) if matches!(end, End::Panic) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
            .collect();
        self.runtime.block_on(futures::future::join_all(jobs));
        self.model = model.lock().expect("sound").clone();
    }

    pub(super) fn step(&mut self, step: Step) {
        let head = self.graph().snapshot().head().clone();
        if self.past.last().is_none_or(|(last, _)| *last != head) {
            self.past.push((head.clone(), self.model.clone()));
        }
        match step {
            Step::Write(changes, end) => self.write(vec![changes], end),
            Step::Group(group) => self.write(group, End::Commit),
            Step::Load(load) => self.load(&load),
            Step::Fold => {
                self.graph().fold().expect("folded");
                assert_eq!(self.graph().status().tail_rows, 0);
            }
            Step::Collect => {
                self.graph().collect().expect("collected");
                let status = self.graph().status();
                assert_eq!(status.fold_error, None);
                assert_eq!(status.compaction_error, None);
            }
            Step::Past(at, how) => {
                let at = usize::from(at) % self.past.len();
                self.read_past(at, how);
            }
            Step::Follow => self.follow(),
            Step::Crash => {
                self.open();
                assert_eq!(*self.graph().snapshot().head(), head);
            }
            Step::Close => {
                self.graph().close().expect("closed");
                self.open();
                assert_eq!(*self.graph().snapshot().head(), head);
            }
        }
        compare(&self.graph().snapshot(), &self.model);
    }

    fn load(&mut self, load: &super::Load) {
        self.loads += 1;
        let exported = transfer::export(&self.graph().snapshot());
        let prepared = super::load::prepare(&self.model, load, self.loads, &exported);
        let source = transfer::by_columns(prepared.mode);
        let lines = prepared.lines.as_str();
        transfer::load_from(self.graph(), lines, &source)
            .unwrap_or_else(|errors| panic!("{errors:?} in\n{lines}"));
        self.model = prepared.loaded(&self.graph().snapshot());
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
                assert_eq!(past.head(), head);
                compare(&past, model);
            }
            Err(PastError::Gone { .. }) => {
                assert!(self.options.retention.is_zero(), "{at} is to be kept");
                assert_ne!(self.graph().snapshot().head(), head);
            }
            // A load by columns stands in between, and no checkpoint is kept from before it.
            Err(PastError::NotUndoable { .. }) => {
                assert!(self.options.retention.is_zero(), "{at} is to be kept");
            }
            Err(error) => panic!("{at}: {error:?}"),
        }
    }

    pub(super) fn every_past(&self) {
        (0..self.past.len()).for_each(|at| self.read_past(at, at as u8));
    }

    /// What is acknowledged is seen by whoever reads along, from then on.
    fn follow(&mut self) {
        let follower = self.follower.get_or_insert_with(|| {
            Follower::open(&self.store, self.options.clone()).expect("opened for reading")
        });
        let seen = follower.snapshot().expect("read along");
        assert_eq!(
            seen.head(),
            self.graph.as_ref().expect("open").snapshot().head()
        );
        compare(&seen, &self.model);
    }

    /// Exports, loads that elsewhere and merges it back.
    pub(super) fn transfer(&self) {
        let exported = transfer::export(&self.graph().snapshot());
        let head = self.graph().snapshot().head().clone();
        let other = Self::new(50_000, false);
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

/// Nodes made and gone, edges made and gone.
fn counts(before: &Model, after: &Model) -> [u64; 4] {
    fn only<K: Ord, V>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> u64 {
        a.keys().filter(|key| !b.contains_key(key)).count() as u64
    }
    [
        only(&after.nodes, &before.nodes),
        only(&before.nodes, &after.nodes),
        only(&after.edges, &before.edges),
        only(&before.edges, &after.edges),
    ]
}
