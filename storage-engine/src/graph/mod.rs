//! A graph's folder: made, opened, written, folded, closed.
//!
//! ```text
//! <folder>/
//!   graph.json            format version, graph uuid
//!   log/<first lsn>.seg   every commit, in order: the only thing that is acknowledged
//!   files/                immutable side files of large commits
//!   tables/<type id>-<nonce>/   one Lance dataset per type
//!   checkpoints/          which version of each table stands for which commit
//!   leases/               who reads what would be collected
//!   writer.lock           one writing process
//!   epochs/<epoch>.json   instead of it in an object store
//!   published             how far the log is durable, for processes that read along
//! ```

mod ahead;
mod collect;
mod commit;
mod create;
mod encode;
mod fold;
mod follow;
mod job;
mod load;
mod log;
mod open;
mod past;
mod pressure;
mod queue;
mod recover;
mod status;
mod write;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use collect::{CollectError, Collected};
pub use create::{CreateError, NewGraph};
pub use fold::FoldError;
pub use follow::Follower;
pub(crate) use log::{Right, term, with_right};
pub use open::OpenError;
pub(crate) use open::{
    Effects, EntryError, Extent, Replay, UnusableCheckpoint, decode, effects, identity, load,
};
pub use past::{At, PastError, PastLimits};
pub use status::{
    CheckpointStatus, LogStatus, PinStatus, Status, StatusError, TableStatus, Trouble,
};
pub use write::{Answer, CommitError, IdempotencyKey, Work, WriteRequest, Written};

use crate::account::Account;
use crate::chunk::CHUNK_ROWS;
use crate::cold::Shelf;
use crate::snapshot::{Memory, Snapshot};
use crate::store::Store;
use crate::store::claim::Claim;

/// The format of a graph's folder that this version writes.
pub(crate) const FORMAT: u32 = 1;

/// Long enough for a pause of the process or the network, short enough to wait for.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// On a local file system the lock keeps writers apart, not the epoch.
pub(crate) const LOCAL_EPOCH: u64 = 1;

/// How far back the past can be read, unless it is said otherwise.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);

/// One chunk: what is read for one of them at once is no more than opening costs anyway.
const RESIDENT_ROWS: u64 = CHUNK_ROWS as u64;

/// Few rows may have long values, and many graphs may be opened at once.
const RESIDENT_BYTES: u64 = 16 << 20;

/// `graph.json`: written before anything else in a graph's folder, so that whoever made the folder can
/// tell that it is theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) format: u32,
    pub(crate) uuid: Uuid,
    /// The first commit has the uuid as its run: the log of another graph is told by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) in_log: bool,
}

impl Identity {
    /// The run that the graph's first commit must have; `None` when it can have any.
    pub(crate) fn first_run(&self) -> Option<Uuid> {
        self.in_log.then_some(self.uuid)
    }
}

/// How a graph is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Fold when this many rows have changed since the checkpoint.
    pub fold_rows: usize,
    /// Fold when the log has grown by this many bytes since the checkpoint, with the files beside it that
    /// its entries name.
    pub fold_bytes: u64,
    /// In an object store, where every group is an object that opening has to read: fold when the log
    /// has grown by this many entries since the checkpoint.
    pub fold_entries: u64,
    /// Writes wait while what no fold has taken on is more than so many times what makes one due, and are
    /// refused with [`CommitError::Unfolded`] where folds fail.
    pub folds_behind: usize,
    /// When a segment of the log is full.
    pub segment_bytes: u64,
    /// How far back the past can be read. Zero: what recovery needs is kept, and no more.
    pub retention: Duration,
    /// In an object store: how long a writer may trust that nobody else writes without looking, and
    /// for how long others leave the graph to it.
    pub lease: Duration,
    /// How many writes may be under way; more are refused with [`CommitError::Busy`], and those of one
    /// principal as soon as it has as many as are free.
    pub queue: usize,
    /// How many bytes those writes may hold together, as far as their callers say.
    pub queue_bytes: usize,
    /// How many bytes the changes of one commit may take in the log, each value counted wherever it
    /// stands; more are refused with [`WriteError::TooLarge`](crate::WriteError::TooLarge). Rows that
    /// are loaded as columns are not meant.
    pub commit_bytes: usize,
    /// How many long statements run beside the committer; one principal never has all of them.
    pub ahead: usize,
    /// Of a table of more rows than this, properties are read when they are needed first, not when the
    /// graph is opened.
    pub resident_rows: u64,
    /// The same of a table whose rows take about more bytes than this.
    pub resident_bytes: u64,
    /// What this graph and others hold in memory; `None` for any amount.
    pub memory: Option<Arc<Account>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fold_rows: 50_000,
            fold_bytes: 64 << 20,
            fold_entries: 2_000,
            folds_behind: 4,
            segment_bytes: journal::DEFAULT_SEGMENT_BYTES,
            retention: RETENTION,
            lease: LEASE,
            queue: 1_024,
            queue_bytes: 256 << 20,
            commit_bytes: 1 << 30,
            ahead: 4,
            resident_rows: RESIDENT_ROWS,
            resident_bytes: RESIDENT_BYTES,
            memory: None,
        }
    }
}

/// An open graph. Copies are handles on the same one.
#[derive(Clone, Debug)]
pub struct Graph {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    options: Options,
    /// Where its columns are that are not in memory.
    shelf: Arc<Shelf>,
    /// What readers get; replaced by the writer, and by folding while it holds the writer.
    published: ArcSwap<Published>,
    /// Writes that wait for the one that leads.
    queue: Mutex<queue::Queue>,
    /// Room for them.
    places: Arc<queue::Places>,
    /// `None` once closed.
    writer: Mutex<Option<commit::Writer>>,
    folding: Mutex<fold::Folding>,
    fold_planned: AtomicBool,
    /// The last entry of the log that is in the tables.
    folded_lsn: AtomicU64,
    /// Microseconds since 1970 before which no fold is planned.
    fold_not_before: AtomicI64,
    /// How far the log has run ahead of folding.
    pressure: pressure::Pressure,
    /// Where history begins, and who reads in it.
    pins: past::Pins,
    past: Mutex<past::Cache>,
    report: Mutex<status::Report>,
    /// The term of this writer.
    epoch: u64,
    /// In an object store: for how long others leave the graph to it.
    claim: Option<Arc<Claim>>,
    /// Nothing can be written, and only opening the graph again tells what it has.
    lost: AtomicBool,
}

impl Inner {
    /// It has to be opened again before anything can be written.
    fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.keep_tables();
    }

    /// Keeps the tables for those who still read them, before another process collects what it does not
    /// need.
    fn keep_tables(&self) {
        self.shelf.keep(self.folded_lsn.load(Ordering::Relaxed));
    }
}

/// A durable state of the graph.
#[derive(Debug)]
struct Published {
    snapshot: Arc<Snapshot>,
    /// Of the log's frame that ends with the snapshot's commit.
    digest: journal::Digest,
    /// The last entry of the log, which may be later than the last commit.
    log_lsn: u64,
    /// Bytes of the log since the checkpoint, and of the files that its entries name.
    tail_bytes: u64,
}

impl Graph {
    /// The newest durable state.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.published.load().snapshot.clone()
    }

    /// Whether it has to be opened again before anything can be written: another process has taken
    /// over, or the log did not say what became of a commit, both only in an object store; or a defect
    /// left readers behind the log.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.inner.lost.load(Ordering::Acquire)
    }

    /// What it takes in memory, about.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.inner.published.load().snapshot.memory()
    }

    /// Gets rid of columns that the tables have and that were needed the longest time ago, so many bytes
    /// at least as far as there are; says how many. They are read again when they are needed. What a
    /// statement has in its hands stays until it is done.
    pub fn evict(&self, bytes: u64) -> u64 {
        // Somebody publishes a commit at the same moment at worst, and then again.
        for _ in 0..3 {
            let now = self.inner.published.load_full();
            let Some((snapshot, freed)) = now.snapshot.cooled(bytes) else {
                return 0;
            };
            // Before anybody can see it: who sees it looks for what leads.
            snapshot.lead();
            let cooled = Arc::new(Published {
                snapshot: Arc::new(snapshot),
                ..*now
            });
            let before = self.inner.published.compare_and_swap(&now, cooled);
            if Arc::ptr_eq(&before, &now) {
                return freed;
            }
            before.snapshot.lead();
        }
        0
    }

    /// Whether this is the only handle on it, and nothing is under way: no reader that came through
    /// another one, no write, no fold.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// Whether its newest state is that of the graph: in an object store another process may have
    /// taken over once this one had nothing to do for some time. Does not block.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let Some(claim) = &self.inner.claim else {
            return true;
        };
        let valid = claim.is_valid();
        if valid {
            log::renew_if_due(claim);
        }
        valid
    }

    /// Makes sure that its newest state is that of the graph, and stays so while it is used. Blocks.
    ///
    /// # Errors
    /// When another process has taken over, and then it [is lost](Graph::is_lost); or when that cannot
    /// be told now.
    pub fn hold_on(&self) -> Result<(), OpenError> {
        let Some(claim) = &self.inner.claim else {
            return Ok(());
        };
        if claim.is_valid() {
            return Ok(());
        }
        let confirm = || match self.inner.look() {
            Err(FoldError::Superseded(error)) => Err(OpenError::Log(error)),
            // One that is closed says so to whoever writes.
            _ => Ok(()),
        };
        let held = claim.regain(confirm);
        if let Err(OpenError::Locked { .. }) = held {
            self.inner.lose();
        }
        held
    }

    /// Where it is kept.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The folder that it is kept in, when it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.inner.store.folder()
    }
}
