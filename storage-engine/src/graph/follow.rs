//! Reading a graph that another process writes.
//!
//! The newest checkpoint, then the log's tail, read without repairing anything: a frame that is not
//! whole, or not known to be durable, is not there yet. Each reading looks for what has come since; in
//! an object store it asks for the next object, and those who ask at once share the answer. What cannot
//! be reached is an error: an older state is never given for the newest. While tables are opened, and while the past is read, a lease keeps them from being collected; a
//! follower that finds what it needs collected all the same opens anew.

use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use journal::Lsn;

use crate::checkpoint::{self, Checkpoint};
use crate::cold::Shelf;
use crate::files::FileError;
use crate::graph::commit::unpoisoned;
use crate::graph::log::{self, Tail};
use crate::graph::open::{Extent, OpenError, Replay, identity};
use crate::graph::past::{Cache, Past};
use crate::graph::recover::from_newest;
use crate::graph::status::{self, Status, StatusError};
use crate::graph::{At, Identity, Options, PastError, PastLimits};
use crate::lease::Lease;
use crate::lock::{self, Holder};
use crate::reach::is_out_of_reach;
use crate::snapshot::{Memory, Snapshot};
use crate::store::{Store, claim};

/// How often a graph is opened that is collected under the opening's hands.
const ATTEMPTS: usize = 5;

/// How often it is looked for what the writer has not said.
const LOOK: Duration = Duration::from_millis(100);

/// How often a graph is opened anew at most.
const REST: Duration = Duration::from_secs(1);

/// When a graph with columns on disk alone is opened anew at the latest, because a lease in an object store
/// is over by itself, and what it is on is kept for its sake.
const LEASED: Duration = Duration::from_secs(3_600);

/// A graph that is read while another process may write it. Copies are handles on the same one.
#[derive(Clone, Debug)]
pub struct Follower {
    inner: Arc<Following>,
}

#[derive(Debug)]
struct Following {
    store: Store,
    identity: Identity,
    options: Options,
    /// Whoever reads what is new has it, as long as the store takes.
    state: Mutex<State>,
    /// Its snapshot, for those who must not wait for that.
    seen: ArcSwap<Snapshot>,
    past: Mutex<Cache>,
}

/// How far the log was followed.
#[derive(Debug)]
struct State {
    tail: Tail,
    replay: Replay,
    snapshot: Arc<Snapshot>,
    /// The one that it was begun from.
    checkpoint: Option<Arc<Checkpoint>>,
    /// When it was last begun to look.
    looked: Instant,
    /// When that was begun and nothing could be reached, and why.
    failed: Option<(Instant, String)>,
    /// Where its columns are that are not in memory.
    shelf: Arc<Shelf>,
    /// When it was opened.
    opened: Instant,
    /// When it was last considered to open it anew.
    considered: Instant,
}

impl Follower {
    /// Opens a graph for reading alone. Blocks; not to be called from an async context.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and where.
    pub fn open(store: impl Into<Store>, options: Options) -> Result<Self, OpenError> {
        let store = store.into();
        let identity = identity(&store)?;
        let state = begin(&store, &identity, &options)?;
        let inner = Following {
            store,
            identity,
            options,
            seen: ArcSwap::new(state.snapshot.clone()),
            state: Mutex::new(state),
            past: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The newest durable state. Blocks while there is something new to read.
    ///
    /// # Errors
    /// When what is new cannot be read; the next call tries again.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, OpenError> {
        self.inner.snapshot()
    }

    /// Who writes the graph, as far as it can be told; `None` when nobody does.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        let store = &self.inner.store;
        let holder = match store.bucket() {
            None => lock::holder(&store.place("")),
            Some(bucket) => claim::holder(bucket),
        };
        // Whoever then tries to write finds out.
        holder.unwrap_or_default()
    }

    /// The graph as it was. Blocks; not to be called from an async context.
    ///
    /// # Errors
    /// [`PastError`] says whether it never was, is gone, or cannot be had.
    pub fn snapshot_at(&self, at: At, limits: &PastLimits) -> Result<Arc<Snapshot>, PastError> {
        let inner = &self.inner;
        let newest = inner
            .snapshot()
            .map_err(|error| PastError::Newest(Box::new(error)))?;
        let first = inner.first()?;
        match inner.read_past(at, limits, first, newest.clone()) {
            // A collection that had looked for leases before this one was there goes on for a while.
            Err(error @ (PastError::Log(_) | PastError::Unfit(_))) => match inner.first()? {
                later if later > first => inner.read_past(at, limits, later, newest),
                _ => Err(error),
            },
            read => read,
        }
    }

    /// Gets rid of columns as [`Graph::evict`](crate::Graph::evict) does, and says of how many bytes: of
    /// none while somebody reads what is new, which may take long.
    pub fn evict(&self, bytes: u64) -> u64 {
        let mut state = match self.inner.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => return 0,
        };
        let Some((cooled, freed)) = state.snapshot.cooled(bytes) else {
            return 0;
        };
        cooled.lead();
        state.replay.snapshot = Some(cooled.clone());
        state.snapshot = Arc::new(cooled);
        self.inner.show(&state);
        freed
    }

    /// What it takes in memory, about. Does not block.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.inner.seen.load().memory()
    }

    /// Whether this is the only handle on it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// The state of the graph's storage, as far as it can be seen from here.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn status(&self) -> Result<Status, StatusError> {
        let state = unpoisoned(&self.inner.state);
        let (snapshot, known) = (state.snapshot.clone(), state.checkpoint.clone());
        let horizon = state.replay.horizon;
        drop(state);
        let checkpoint = newest_checkpoint(&self.inner.store)?.or(known);
        status::of_follower(&self.inner.store, &snapshot, checkpoint.as_deref(), horizon)
    }
}

impl Following {
    /// The first entry that the log has.
    fn first(&self) -> Result<u64, PastError> {
        let segments = log::segments(&self.store);
        let first = segments.map(|it| it.first().map_or(0, |segment| segment.first.0));
        first.map_err(PastError::Log)
    }

    /// The past under a lease on the log from `first` on.
    fn read_past(
        &self,
        at: At,
        limits: &PastLimits,
        first: u64,
        newest: Arc<Snapshot>,
    ) -> Result<Arc<Snapshot>, PastError> {
        let unfit = |error: FileError| PastError::Unfit(error.into());
        let _lease = Lease::take(&self.store, first.saturating_sub(1)).map_err(unfit)?;
        let past = Past {
            store: &self.store,
            // What was collected before the lease was seen is gone.
            horizon: self.first()?.max(unpoisoned(&self.state).replay.horizon),
            limits,
            options: &self.options,
            shelf: None,
        };
        past.read(at, newest, &self.past)
    }

    fn snapshot(&self) -> Result<Arc<Snapshot>, OpenError> {
        let called = Instant::now();
        let mut state = unpoisoned(&self.state);
        let newest = self.newest(&mut state, called);
        self.show(&state);
        newest
    }

    /// Keeps nothing in memory that the state has no more.
    fn show(&self, state: &State) {
        if !Arc::ptr_eq(&self.seen.load(), &state.snapshot) {
            self.seen.store(state.snapshot.clone());
        }
    }

    fn newest(&self, state: &mut State, called: Instant) -> Result<Arc<Snapshot>, OpenError> {
        self.refresh(state)?;
        let said = self.store.folder().and_then(lock::published);
        if !state.is_behind(&self.store, said, called) {
            return Ok(state.snapshot.clone());
        }
        if let Some((begun, why)) = &state.failed
            && *begun >= called
        {
            // Asking takes its time: who waited while another did is told the same.
            return Err(OpenError::OutOfReach {
                place: self.store.place("log"),
                source: why.clone().into(),
            });
        }
        let begun = Instant::now();
        match state.follow(said) {
            Ok(()) => {}
            Err(error) if is_out_of_reach(&error) => {
                state.failed = Some((begun, error.to_string()));
                return Err(error.into());
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::info!(store = %self.store, error, "a followed graph is opened anew");
                *state = begin(&self.store, &self.identity, &self.options)?;
            }
        }
        if state.snapshot.changed_rows() >= self.options.fold_rows && state.shelf.is_empty() {
            state.refold()?;
        }
        Ok(state.snapshot.clone())
    }

    /// Opens the graph anew when its tables have become old.
    fn refresh(&self, state: &mut State) -> Result<(), OpenError> {
        if state.considered.elapsed() < REST || state.shelf.is_empty() {
            return Ok(());
        }
        state.considered = Instant::now();
        let long = state.snapshot.changed_rows() >= self.options.fold_rows
            || state.replay.side_bytes >= self.options.fold_bytes;
        let known = state.checkpoint.as_ref().map_or(0, |known| known.lsn);
        let outdated = long && newest_lsn(&self.store)? > known;
        if outdated || state.opened.elapsed() >= LEASED || state.shelf.is_broken() {
            *state = begin(&self.store, &self.identity, &self.options)?;
        }
        Ok(())
    }
}

impl State {
    /// Whether there may be something that was acknowledged before the call.
    fn is_behind(&self, store: &Store, said: Option<u64>, called: Instant) -> bool {
        if store.bucket().is_some() {
            // Who waited while another looked has what that one found.
            return self.looked < called;
        }
        let seen = self.tail.point().lsn.0;
        // Without a word of the writer, what is new shows itself one commit later.
        said.is_some_and(|said| said > seen) || self.looked.elapsed() >= LOOK
    }

    fn follow(&mut self, said: Option<u64>) -> Result<(), journal::Error> {
        let begun = Instant::now();
        // What fails half-way leaves no trace.
        let (mut tail, mut replay) = (self.tail.clone(), self.replay.clone());
        tail.follow(Lsn(said.unwrap_or(0)), &mut |entry| {
            replay.visit(entry).map_err(Into::into)
        })?;
        replay.forget_side_files();
        let news = tail.point() != self.tail.point();
        (self.tail, self.replay, self.looked) = (tail, replay, begun);
        if news && let Some(newest) = &self.replay.snapshot {
            self.snapshot = Arc::new(newest.clone());
        }
        Ok(())
    }

    /// Makes columns of the changes, as the writer does when it folds.
    fn refold(&mut self) -> Result<(), OpenError> {
        let folded = self
            .snapshot
            .folded(&|_| None)
            .map_err(|error| OpenError::Columns(error.into()))?;
        self.replay.snapshot = Some(folded.clone());
        self.snapshot = Arc::new(folded);
        Ok(())
    }
}

/// Opens the newest state, under a lease on its checkpoint.
fn begin(store: &Store, identity: &Identity, options: &Options) -> Result<State, OpenError> {
    let mut last = OpenError::Unfinished;
    for _ in 0..ATTEMPTS {
        let newest = newest_lsn(store)?;
        let lease = Lease::take(store, newest)?;
        // What is there after the lease was taken stays there.
        if newest_lsn(store)? != newest {
            continue;
        }
        match begin_leased(store, identity, options, lease) {
            Ok(state) => return Ok(state),
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn newest_lsn(store: &Store) -> Result<u64, FileError> {
    let names = checkpoint::names(store)?;
    let newest = names.first().and_then(|name| checkpoint::lsn_of(name));
    Ok(newest.unwrap_or(0))
}

/// Nothing when there is none, or when it was collected just now.
fn newest_checkpoint(store: &Store) -> Result<Option<Arc<Checkpoint>>, FileError> {
    let names = checkpoint::names(store)?;
    let newest = names.first().map(|name| Checkpoint::read(store, name));
    Ok(newest.and_then(Result::ok).map(Arc::new))
}

/// As opening for writing does, without repairing anything.
fn begin_leased(
    store: &Store,
    identity: &Identity,
    options: &Options,
    lease: Option<Lease>,
) -> Result<State, OpenError> {
    let looked = Instant::now();
    // Without a lease nothing can be read later.
    let resident = match &lease {
        Some(_) => (options.resident_rows, options.resident_bytes),
        None => (u64::MAX, u64::MAX),
    };
    let shelf = Shelf::leased(store, options.memory.clone(), lease);
    let extent = Extent {
        shelf: &shelf,
        resident,
        lasting: false,
    };
    let names = checkpoint::names(store)?;
    let said = store.folder().and_then(lock::published).unwrap_or(0);
    let (tail, base, mut replay) = from_newest(store, identity, &names, extent, |base, replay| {
        let mut tail = Tail::after(store, base.point(), options.lease)?;
        tail.follow(Lsn(said), &mut |entry| {
            replay.visit(entry).map_err(Into::into)
        })?;
        Ok(tail)
    })?;
    replay.forget_side_files();
    if shelf.is_empty() {
        shelf.release();
    }
    let snapshot = replay.snapshot.clone().ok_or(OpenError::Unfinished)?;
    Ok(State {
        tail,
        replay,
        snapshot: Arc::new(snapshot),
        checkpoint: base.checkpoint.map(Arc::new),
        looked,
        failed: None,
        shelf,
        opened: Instant::now(),
        considered: Instant::now(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use language::schema::Schema;

    use super::*;
    use crate::graph::{Graph, NewGraph};

    #[test]
    fn nobody_waits_for_who_reads_what_is_new() {
        let home = tempfile::TempDir::new().expect("a temporary folder");
        let store = Store::from(home.path().join("g"));
        let schema = Schema::parse("node A { k: I64 @key }").expect("a valid schema");
        Graph::create(&store, NewGraph::new(schema, "test")).expect("created");
        let follower = Follower::open(store, Options::default()).expect("opened");
        // As long as its store hangs.
        let reading = unpoisoned(&follower.inner.state);
        let (told, found) = mpsc::channel();
        let other = follower.clone();
        thread::spawn(move || told.send((other.memory().total(), other.evict(u64::MAX))));
        let (memory, evicted) = found
            .recv_timeout(Duration::from_secs(30))
            .expect("neither waits");
        assert_eq!(memory, reading.snapshot.memory().total());
        assert_eq!(evicted, 0);
    }
}
