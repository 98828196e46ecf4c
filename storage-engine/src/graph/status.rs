//! What an operator may want to know of an open graph.

use std::sync::atomic::Ordering;

use crate::graph::Graph;

/// The state of an open graph's storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The newest entry of the log.
    pub lsn: u64,
    /// Bytes of the log's segments.
    pub log_bytes: u64,
    /// Bytes of the log since the checkpoint.
    pub tail_bytes: u64,
    /// Rows changed since the checkpoint.
    pub tail_rows: usize,
    /// Bytes of columns and adjacency in memory.
    pub resident_bytes: usize,
    /// The newest checkpoint, if there is one.
    pub checkpoint: Option<CheckpointStatus>,
    /// Why the last fold failed, if it did.
    pub last_fold_error: Option<String>,
}

/// The newest checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointStatus {
    /// Everything up to this entry of the log is in the tables.
    pub lsn: u64,
    /// When it was made: microseconds since 1970, UTC.
    pub time_micros: i64,
    /// Per type name: rows and Lance version of its table.
    pub tables: Vec<(String, u64, u64)>,
}

impl Graph {
    /// The state of the graph's storage. While a fold is under way, that of before it.
    #[must_use]
    pub fn status(&self) -> Status {
        let published = self.inner.published.load();
        let snapshot = &published.snapshot;
        let folding = self.inner.folding.try_lock().ok();
        let checkpoint = folding
            .as_ref()
            .and_then(|folding| folding.checkpoint.as_ref());
        Status {
            lsn: snapshot.lsn(),
            log_bytes: self.inner.log_bytes.load(Ordering::Relaxed),
            tail_bytes: published.tail_bytes,
            tail_rows: snapshot.changed_rows(),
            resident_bytes: snapshot.resident_bytes(),
            checkpoint: checkpoint.map(|checkpoint| CheckpointStatus {
                lsn: checkpoint.lsn,
                time_micros: checkpoint.time_micros,
                tables: snapshot
                    .tables()
                    .filter_map(|rows| {
                        let version = checkpoint.tables.get(&rows.layout.type_id.0)?;
                        Some((rows.layout.name.clone(), version.rows, version.version))
                    })
                    .collect(),
            }),
            last_fold_error: folding
                .as_ref()
                .and_then(|folding| folding.last_error.clone()),
        }
    }
}
