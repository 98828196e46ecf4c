//! What an operator may want to know of an open graph.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::checkpoint::Checkpoint;
use crate::clock;
use crate::graph::collect::Collected;
use crate::graph::commit::unpoisoned;
use crate::graph::{Graph, Inner, log};
use crate::lease;
use crate::snapshot::{Memory, Snapshot};
use crate::store::Store;

/// The state of an open graph's storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The newest commit's position in the log.
    pub lsn: u64,
    /// The log.
    pub log: LogStatus,
    /// Bytes of the log since the checkpoint.
    pub tail_bytes: u64,
    /// Rows changed since the checkpoint.
    pub tail_rows: usize,
    /// What it takes in memory.
    pub memory: Memory,
    /// The newest checkpoint, if there is one.
    pub checkpoint: Option<CheckpointStatus>,
    /// Who keeps what from being collected.
    pub pins: Vec<PinStatus>,
    /// Why the last fold failed, if it did.
    pub fold_error: Option<Trouble>,
    /// Why the last compaction failed, if it did.
    pub compaction_error: Option<Trouble>,
    /// Why the last collection failed, if it did.
    pub collection_error: Option<Trouble>,
    /// What collections have removed since the graph was opened.
    pub collected: Collected,
}

/// The log of a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStatus {
    /// Bytes of its segments.
    pub bytes: u64,
    /// Entries that it holds.
    pub entries: u64,
    /// Its segments.
    pub segments: u64,
    /// The first entry from which the past can be read.
    pub horizon: u64,
}

/// The newest checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointStatus {
    /// Everything up to this entry of the log is in the tables.
    pub lsn: u64,
    /// When it was made: microseconds since 1970, UTC.
    pub time_micros: i64,
    /// Its tables, by name of their types.
    pub tables: Vec<TableStatus>,
}

/// A table, as the newest checkpoint names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// The type.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its Lance version.
    pub version: u64,
    /// Fragments that it is in.
    pub fragments: u64,
    /// Rows in its files that are deleted.
    pub deleted_rows: u64,
}

/// Something that keeps the log, and what is older than a checkpoint, from being collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinStatus {
    /// Who or what.
    pub by: String,
    /// The first entry of the log that it needs.
    pub lsn: u64,
    /// Bytes of the log from there on.
    pub log_bytes: u64,
    /// Since when, in microseconds since 1970, UTC, where it is somebody.
    pub since_micros: Option<i64>,
}

/// Something in the background that failed, and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Why.
    pub message: String,
    /// When: microseconds since 1970, UTC.
    pub time_micros: i64,
}

impl Trouble {
    /// What is wrong now, if anything is.
    pub(super) fn of<E: std::error::Error>(error: Option<&E>) -> Option<Self> {
        error.map(|error| {
            let mut message = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                message = format!("{message}: {error}");
                cause = error.source();
            }
            Self {
                message,
                time_micros: clock::now_micros(),
            }
        })
    }
}

/// What folding, compaction and collection have to say. Looking at it never waits for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) checkpoint: Option<Arc<Checkpoint>>,
    /// The horizon that is in the log.
    pub(super) horizon: u64,
    pub(super) fold: Option<Trouble>,
    pub(super) compaction: Option<Trouble>,
    pub(super) collection: Option<Trouble>,
    pub(super) collected: Collected,
}

impl Report {
    pub(super) fn after(checkpoint: Option<&Checkpoint>, horizon: u64) -> Self {
        Self {
            checkpoint: checkpoint.cloned().map(Arc::new),
            horizon,
            ..Self::default()
        }
    }
}

impl Graph {
    /// The state of the graph's storage. Lists its log and leases; blocks shortly.
    #[must_use]
    pub fn status(&self) -> Status {
        let inner = &self.inner;
        let published = inner.published.load();
        // Listing takes its time, and folding and collecting have something to report meanwhile.
        let report = unpoisoned(&inner.report).clone();
        let (checkpoint, horizon) = (report.checkpoint, inner.pins.horizon());
        let seen = Seen {
            store: &inner.store,
            snapshot: &published.snapshot,
            checkpoint: checkpoint.as_deref(),
            horizon,
        };
        let mut status = Status {
            tail_bytes: published.tail_bytes,
            fold_error: report.fold,
            compaction_error: report.compaction,
            collection_error: report.collection,
            collected: report.collected,
            ..seen.status()
        };
        status.log.bytes = inner.log_bytes.load(Ordering::Relaxed);
        inner.add_pins(&mut status);
        status
    }
}

impl Inner {
    /// What keeps the log, beside leases: readers of the past, and retention.
    fn add_pins(&self, status: &mut Status) {
        if let Some((lsn, readers)) = self.pins.readers() {
            let by = format!("{readers} reading the past");
            status.pins.push(pin(&self.store, by, lsn, None));
        }
        let needed = status.checkpoint.as_ref().map_or(0, |it| it.lsn);
        if !self.options.retention.is_zero() && status.log.horizon <= needed {
            let hours = self.options.retention.as_secs() / 3_600;
            let by = format!("history of {hours} hours");
            status
                .pins
                .push(pin(&self.store, by, status.log.horizon, None));
        }
    }
}

/// A graph's storage as this process or another sees it.
struct Seen<'a> {
    store: &'a Store,
    snapshot: &'a Snapshot,
    checkpoint: Option<&'a Checkpoint>,
    horizon: u64,
}

/// The state of the storage of a graph that another process writes.
pub(super) fn of_follower(
    store: &Store,
    snapshot: &Snapshot,
    checkpoint: Option<&Checkpoint>,
    horizon: u64,
) -> Status {
    let seen = Seen {
        store,
        snapshot,
        checkpoint,
        horizon,
    };
    seen.status()
}

impl Seen<'_> {
    fn status(&self) -> Status {
        let segments = log::segments(self.store).unwrap_or_default();
        let first = segments.first().map_or(0, |segment| segment.first.0);
        let log = LogStatus {
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            entries: (self.snapshot.lsn() + 1).saturating_sub(first),
            segments: segments.len() as u64,
            horizon: self.horizon.max(first),
        };
        let leases = lease::live(self.store, false).unwrap_or_default();
        let leases = leases.into_iter();
        let pins = leases.map(|claim| {
            let by = format!("process {} on {}", claim.pid, claim.host);
            pin(self.store, by, claim.lsn, Some(claim.since_micros))
        });
        Status {
            lsn: self.snapshot.lsn(),
            log,
            tail_bytes: bytes_from(self.store, self.checkpoint.map_or(0, |it| it.lsn + 1)),
            tail_rows: self.snapshot.changed_rows(),
            memory: self.snapshot.memory(),
            checkpoint: self.checkpoint.map(|it| self.checkpoint_status(it)),
            pins: pins.collect(),
            fold_error: None,
            compaction_error: None,
            collection_error: None,
            collected: Collected::default(),
        }
    }

    fn checkpoint_status(&self, checkpoint: &Checkpoint) -> CheckpointStatus {
        let table = |rows: &crate::rows::Rows| {
            let version = checkpoint.tables.get(&rows.layout.type_id.0)?;
            Some(TableStatus {
                name: rows.layout.name.clone(),
                rows: version.rows,
                version: version.version,
                fragments: version.fragments,
                deleted_rows: version.deleted,
            })
        };
        CheckpointStatus {
            lsn: checkpoint.lsn,
            time_micros: checkpoint.time_micros,
            tables: self.snapshot.tables().filter_map(table).collect(),
        }
    }
}

fn pin(store: &Store, by: String, lsn: u64, since_micros: Option<i64>) -> PinStatus {
    PinStatus {
        by,
        lsn,
        log_bytes: bytes_from(store, lsn),
        since_micros,
    }
}

/// Bytes of the log's segments that hold something from a position on.
fn bytes_from(store: &Store, lsn: u64) -> u64 {
    let segments = log::segments(store).unwrap_or_default();
    let ends = segments.iter().skip(1).map(|next| next.first.0);
    let with_ends = segments.iter().zip(ends.chain([u64::MAX]));
    let needed = with_ends.filter(|(_, end)| *end > lsn);
    needed.map(|(segment, _)| segment.bytes).sum()
}
