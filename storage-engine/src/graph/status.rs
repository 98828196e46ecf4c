//! What an operator may want to know of an open graph.

use std::sync::Arc;
use std::time::Duration;

use journal::SegmentSummary;

use crate::checkpoint::Checkpoint;
use crate::clock;
use crate::files::FileError;
use crate::graph::collect::Collected;
use crate::graph::commit::unpoisoned;
use crate::graph::{Graph, Inner, log};
use crate::lease;
use crate::record::SideFile;
use crate::snapshot::{Memory, Snapshot};
use crate::store::Store;

/// The state of an open graph's storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The newest commit's position in the log.
    pub lsn: u64,
    /// The log.
    pub log: LogStatus,
    /// Files beside the log that its entries name, and others that are not collected yet.
    pub side_bytes: u64,
    /// Bytes of the log since the checkpoint, with those of the files beside it that its entries name.
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

/// Why the state of a graph's storage cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Its log cannot be listed.
    #[error("the log cannot be listed")]
    Log(#[from] journal::Error),
    /// The files beside it, or leases, cannot be listed or read.
    #[error(transparent)]
    File(#[from] FileError),
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
    /// Bytes of its files.
    pub bytes: u64,
}

/// Something that keeps the log, and what is older than a checkpoint, from being collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinStatus {
    /// Who or what.
    pub by: String,
    /// The first entry of the log that it needs.
    pub lsn: u64,
    /// Bytes of the log from there on, with those of the files beside it.
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
    /// The state of the graph's storage. Lists its log, the files beside it and leases; blocks shortly.
    ///
    /// # Errors
    /// When these cannot be listed.
    pub fn status(&self) -> Result<Status, StatusError> {
        let inner = &self.inner;
        let disk = Disk::look(&inner.store)?;
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
            ..seen.status(&disk)?
        };
        inner.add_pins(&disk, &mut status);
        Ok(status)
    }
}

impl Inner {
    /// What keeps the log, beside leases: readers of the past, and retention.
    fn add_pins(&self, disk: &Disk, status: &mut Status) {
        if let Some((lsn, readers)) = self.pins.readers() {
            let by = format!("{readers} reading the past");
            status.pins.push(disk.pin(by, lsn, None));
        }
        let needed = status.checkpoint.as_ref().map_or(0, |it| it.lsn);
        if !self.options.retention.is_zero() && status.log.horizon <= needed {
            let by = format!("history of {}", length(self.options.retention));
            status.pins.push(disk.pin(by, status.log.horizon, None));
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
) -> Result<Status, StatusError> {
    let disk = Disk::look(store)?;
    let seen = Seen {
        store,
        snapshot,
        checkpoint,
        horizon,
    };
    seen.status(&disk)
}

impl Seen<'_> {
    fn status(&self, disk: &Disk) -> Result<Status, StatusError> {
        let segments = &disk.segments;
        let first = segments.first().map_or(0, |segment| segment.first.0);
        let log = LogStatus {
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            entries: (self.snapshot.lsn() + 1).saturating_sub(first),
            segments: segments.len() as u64,
            horizon: self.horizon.max(first),
        };
        let leases = lease::live(self.store, false)?.into_iter();
        let pins = leases.map(|claim| {
            let by = format!("process {} on {}", claim.pid, claim.host);
            disk.pin(by, claim.lsn, Some(claim.since_micros))
        });
        Ok(Status {
            lsn: self.snapshot.lsn(),
            log,
            side_bytes: disk.side_files.iter().map(|(_, bytes)| bytes).sum(),
            tail_bytes: disk.bytes_from(self.checkpoint.map_or(0, |it| it.lsn + 1)),
            tail_rows: self.snapshot.changed_rows(),
            memory: self.snapshot.memory(),
            checkpoint: self.checkpoint.map(|it| self.checkpoint_status(it)),
            pins: pins.collect(),
            fold_error: None,
            compaction_error: None,
            collection_error: None,
            collected: Collected::default(),
        })
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
                bytes: version.bytes,
            })
        };
        CheckpointStatus {
            lsn: checkpoint.lsn,
            time_micros: checkpoint.time_micros,
            tables: self.snapshot.tables().filter_map(table).collect(),
        }
    }
}

/// What the log takes on disk, as it was listed.
struct Disk {
    segments: Vec<SegmentSummary>,
    /// The position that the name of each file beside the log says, and its bytes.
    side_files: Vec<(u64, u64)>,
}

impl Disk {
    fn look(store: &Store) -> Result<Self, StatusError> {
        let side_files = store.list_if_there("files")?.into_iter();
        let side_files =
            side_files.map(|file| (SideFile::lsn(&file.name).unwrap_or(0), file.bytes));
        Ok(Self {
            segments: log::segments(store)?,
            side_files: side_files.collect(),
        })
    }

    /// Bytes of the segments that hold something from a position on, and of the files beside them.
    fn bytes_from(&self, lsn: u64) -> u64 {
        let ends = self.segments.iter().skip(1).map(|next| next.first.0);
        let with_ends = self.segments.iter().zip(ends.chain([u64::MAX]));
        let needed = with_ends.filter(|(_, end)| *end > lsn);
        let beside = self.side_files.iter().filter(|(of, _)| *of >= lsn);
        let beside: u64 = beside.map(|(_, bytes)| bytes).sum();
        needed.map(|(segment, _)| segment.bytes).sum::<u64>() + beside
    }

    fn pin(&self, by: String, lsn: u64, since_micros: Option<i64>) -> PinStatus {
        PinStatus {
            by,
            lsn,
            log_bytes: self.bytes_from(lsn),
            since_micros,
        }
    }
}

/// A length of time as people write it in a config: in the largest unit that it is a whole number of.
fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units
        .into_iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_reads_as_it_is_written() {
        let cases = [
            (1_800, "30m"),
            (5_400, "90m"),
            (7_200, "2h"),
            (604_800, "7d"),
            (61, "61s"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(length(Duration::from_secs(seconds)), expected);
        }
    }
}
