//! How far the log may run ahead of its tables.
//!
//! What no fold has written yet stands in memory, is read again when the graph is opened, and cannot be
//! collected. So when folding does not keep up, writes wait for it in the place that they have taken,
//! and when it fails they are refused, before either takes more than the graph's share. What a fold
//! under way has taken on does not count: after a large load small writes go on at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock;
use crate::graph::commit::unpoisoned;
use crate::graph::queue::Place;
use crate::graph::{CommitError, Graph, Inner, WriteRequest};

/// What stands in the log's tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    bytes: u64,
    rows: usize,
}

/// How far the log has run ahead.
#[derive(Debug)]
pub(super) struct Pressure {
    /// Too far, when it was last looked: for those who write, a look at nothing else.
    high: AtomicBool,
    /// What stood in the tail when the fold under way began, or the first that failed since one did not.
    taken_on: Mutex<Option<Amount>>,
    /// A fold has begun or ended.
    turn: watch::Sender<()>,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            high: AtomicBool::new(false),
            taken_on: Mutex::default(),
            turn: watch::Sender::new(()),
        }
    }
}

/// Why a write is not let in.
enum Refusal {
    /// Its time is over.
    Late,
    /// Folding fails.
    Unfolded(Duration),
}

impl Inner {
    fn tail(&self) -> Amount {
        let published = self.published.load();
        Amount {
            bytes: published.tail_bytes,
            rows: published.snapshot.changed_rows(),
        }
    }

    /// A fold of this much begins.
    pub(super) fn take_on(&self) {
        let tail = self.tail();
        unpoisoned(&self.pressure.taken_on).get_or_insert(tail);
        self.weigh();
        self.pressure.turn.send_replace(());
    }

    /// What was taken on is in the tables, if `done`.
    pub(super) fn hand_over(&self, done: bool) {
        if done {
            *unpoisoned(&self.pressure.taken_on) = None;
        }
        self.weigh();
        self.pressure.turn.send_replace(());
    }

    /// Looks how far the log has run ahead; says whether it is too far.
    pub(super) fn weigh(&self) -> bool {
        let (tail, options) = (self.tail(), &self.options);
        let taken_on = *unpoisoned(&self.pressure.taken_on);
        let taken_on = taken_on.unwrap_or_default();
        let over = options.memory.as_ref().is_some_and(|it| it.is_over());
        // Once is what may come while a fold is under way.
        let behind = if over { 1 } else { options.folds_behind };
        let bytes = tail.bytes.saturating_sub(taken_on.bytes);
        let rows = tail.rows.saturating_sub(taken_on.rows);
        let high = bytes >= options.fold_bytes.saturating_mul(behind as u64)
            || rows >= options.fold_rows.saturating_mul(behind);
        self.pressure.high.store(high, Ordering::Relaxed);
        high
    }

    /// Waits until folding has caught up.
    async fn caught_up(self: &Arc<Self>, deadline: Option<Instant>) -> Result<(), Refusal> {
        if !self.pressure.high.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Before looking, so that no turn is missed.
        let mut turn = self.pressure.turn.subscribe();
        while self.weigh() {
            let wait = self.fold_not_before.load(Ordering::Relaxed) - clock::now_micros();
            if let Ok(wait @ 1..) = u64::try_from(wait) {
                return Err(Refusal::Unfolded(Duration::from_micros(wait)));
            }
            self.plan_fold();
            let changed = turn.changed();
            match deadline {
                // The sender is the graph's.
                None => drop(changed.await),
                Some(deadline) => {
                    let changed = tokio::time::timeout_at(deadline.into(), changed).await;
                    drop(changed.map_err(|_| Refusal::Late)?);
                }
            }
        }
        Ok(())
    }
}

impl Graph {
    /// A place for a write, which may begin.
    pub(super) async fn let_in<E: std::error::Error + 'static>(
        &self,
        request: &WriteRequest,
    ) -> Result<Place, CommitError<E>> {
        let place = self.place(request)?;
        match self.inner.caught_up(request.deadline).await {
            Ok(()) => Ok(place),
            Err(Refusal::Late) => Err(CommitError::Late),
            Err(Refusal::Unfolded(retry_after)) => Err(CommitError::Unfolded { retry_after }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use journal::{Effect, Faults, Verdict};
    use language::schema::Schema;
    use language::value::Value;
    use tempfile::TempDir;

    use super::*;
    use crate::disk::watched::watch;
    use crate::graph::{NewGraph, Options};
    use crate::store::Store;
    use crate::{Transaction, WriteError};

    const FOLD_BYTES: u64 = 1 << 20;

    fn graph(home: &TempDir) -> Graph {
        let store = Store::from(home.path().join("g"));
        let schema = Schema::parse("node A { k: I64 @key, t: String? }").expect("a valid schema");
        Graph::create(&store, NewGraph::new(schema, "test")).expect("created");
        let options = Options {
            fold_bytes: FOLD_BYTES,
            ..Options::default()
        };
        Graph::open(&store, options).expect("opened")
    }

    /// Adds a node with a text of half of what makes a fold due.
    fn add(graph: &Graph, k: i64, request: WriteRequest) -> Result<(), CommitError<WriteError>> {
        let schema = graph.snapshot().schema().clone();
        let node = schema.node_type_named("A").expect("declared").clone();
        let (key, text) = (node.properties[0].id, node.properties[1].id);
        let work = move |work: &mut Transaction| {
            let text_of = Value::string("x".repeat(FOLD_BYTES as usize / 2));
            work.create_node(node.id, vec![(key, Value::Int(k)), (text, text_of)])
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(graph.write(request, work)).map(drop)
    }

    fn by(principal: &str) -> WriteRequest {
        WriteRequest::by(principal)
    }

    #[test]
    fn writes_wait_for_folding_that_does_not_keep_up() {
        const WRITES: usize = 40;
        let home = TempDir::new().expect("a temporary folder");
        let graph = graph(&home);
        let written = AtomicUsize::new(0);
        let folding = unpoisoned(&graph.inner.folding);
        thread::scope(|scope| {
            scope.spawn(|| {
                for k in 0..WRITES {
                    add(&graph, k as i64, by("ann")).expect("in the end");
                    written.fetch_add(1, Ordering::SeqCst);
                }
            });
            // Two of them make a fold due, which waits.
            while !graph.inner.pressure.high.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            let soon = Instant::now() + Duration::from_millis(200);
            let late = add(
                &graph,
                -1,
                WriteRequest {
                    deadline: Some(soon),
                    ..by("bob")
                },
            );
            assert!(matches!(late, Err(CommitError::Late)), "{late:?}");
            // Who goes away, leaves no place taken.
            let abandoned = thread::scope(|scope| {
                let soon = Instant::now() + Duration::from_millis(20);
                let eve = WriteRequest {
                    deadline: Some(soon),
                    ..by("eve")
                };
                scope.spawn(|| add(&graph, -2, eve)).join().expect("ends")
            });
            assert!(abandoned.is_err());
            let before = written.load(Ordering::SeqCst);
            assert!((7..=9).contains(&before), "{before}");
            let tail = graph.inner.published.load().tail_bytes;
            assert!(tail < 6 * FOLD_BYTES, "{tail}");
            drop(folding);
        });
        assert_eq!(written.load(Ordering::SeqCst), WRITES);
        let left = graph.inner.published.load().tail_bytes;
        assert!(left < (WRITES as u64 / 2) * FOLD_BYTES, "{left}");
        assert_eq!(
            graph
                .snapshot()
                .nodes(graph.snapshot().schema().node_types[0].id)
                .count(),
            WRITES
        );
    }

    #[test]
    fn what_a_fold_has_taken_on_holds_up_nobody() {
        let home = TempDir::new().expect("a temporary folder");
        let graph = graph(&home);
        let folding = unpoisoned(&graph.inner.folding);
        for k in 0..7 {
            add(&graph, k, by("ann")).expect("there is room");
        }
        // As a fold does.
        graph.inner.take_on();
        for k in 7..14 {
            add(&graph, k, by("ann")).expect("there is room again");
        }
        let soon = Instant::now() + Duration::from_millis(20);
        add(&graph, 14, by("ann")).expect("the last");
        let late = add(
            &graph,
            15,
            WriteRequest {
                deadline: Some(soon),
                ..by("ann")
            },
        );
        assert!(matches!(late, Err(CommitError::Late)), "{late:?}");
        drop(folding);
        add(&graph, 16, by("ann")).expect("folded");
    }

    /// No checkpoint can be put.
    #[derive(Debug)]
    struct Full(AtomicBool);

    impl Faults for Full {
        fn before(&self, effect: &Effect<'_>) -> Verdict {
            let of_checkpoint = |path: &Path| {
                path.components()
                    .any(|part| part.as_os_str() == "checkpoints")
            };
            match effect {
                Effect::Create { path } if of_checkpoint(path) && self.0.load(Ordering::SeqCst) => {
                    Verdict::Fail(io::Error::from_raw_os_error(28))
                }
                _ => Verdict::Proceed,
            }
        }

        fn after(&self, _: &Effect<'_>) {}
    }

    #[test]
    fn while_folding_fails_writes_are_refused_in_time_and_nothing_is_lost() {
        let home = TempDir::new().expect("a temporary folder");
        let full = Arc::new(Full(AtomicBool::new(true)));
        let _watch = watch(&home.path().join("g"), full.clone());
        let graph = graph(&home);
        let mut written = 0;
        let retry_after = loop {
            match add(&graph, written, by("ann")) {
                Ok(()) => written += 1,
                Err(CommitError::Unfolded { retry_after }) => break retry_after,
                Err(error) => panic!("{error:?}"),
            }
            assert!(written < 40, "memory grows without end");
        };
        assert!(retry_after <= Duration::from_secs(30) && retry_after > Duration::ZERO);
        // What was there when the first began, and as much again as may wait for a fold.
        assert!((8..24).contains(&written), "{written}");
        let status = graph.status().expect("listed");
        assert!(status.fold_error.is_some() && status.checkpoint.is_none());
        let tried = graph.inner.pressure.turn.subscribe();
        full.0.store(false, Ordering::SeqCst);
        add(&graph, written, by("ann")).expect_err("it is not tried before its time");
        assert!(!tried.has_changed().expect("there"));
        graph.inner.fold_not_before.store(0, Ordering::Relaxed);
        add(&graph, written, by("ann")).expect("folded");
        let status = graph.status().expect("listed");
        assert!(status.fold_error.is_none() && status.checkpoint.is_some());
        let node = graph.snapshot().schema().node_types[0].id;
        assert_eq!(graph.snapshot().node_count(node), written as u64 + 1);
    }
}
