//! Folding: the log's tail into tables, then a checkpoint, then the snapshot onto both.
//!
//! It runs beside readers and writers and holds the writer only to swap the snapshot, on a thread that does
//! not give way meanwhile. What a crash
//! leaves of it, no checkpoint names. The worst table is compacted on the way, and afterwards what is
//! not needed any more is collected; neither makes a fold fail.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_schema::ArrowError;

use crate::aside;
use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::clock;
use crate::files::FileError;
use crate::graph::commit::unpoisoned;
use crate::graph::status::Trouble;
use crate::graph::{Graph, Inner, Published, collect};
use crate::rows::Rows;
use crate::snapshot::Snapshot;
use crate::statistics::Statistics;
use crate::tables::{self, Fold, TableError, TableVersion, Tables};

/// Why a fold did not succeed. Nothing is lost: the log has everything, and the next fold tries
/// again.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A table could not be written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The rows do not make columns.
    #[error("the rows cannot be held as columns")]
    Columns(#[from] ArrowError),
    /// What was written could not be made durable.
    #[error(transparent)]
    File(#[from] FileError),
    /// The graph is closed.
    #[error("the graph is closed")]
    Closed,
    /// Another process writes the graph, or it cannot be told.
    #[error("this process may not write the graph any more")]
    Superseded(#[from] journal::Error),
    /// The checkpoint could not be published.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// After a fold has failed, none is started in the background for this long: it has much to do for
/// nothing, and every commit would start it anew.
const RETRY_AFTER_MICROS: i64 = 30_000_000;

/// Where memory is short, one part in so many of what makes a fold due is enough: not so little that folding
/// would be all that is done.
const EARLY: usize = 16;

/// How far folding has come.
#[derive(Debug, Default)]
pub(super) struct Folding {
    /// The checkpoint in use.
    pub(super) checkpoint: Option<Checkpoint>,
    /// The one before it.
    pub(super) previous: Option<Checkpoint>,
    /// Files of tables that are known to be durable.
    pub(super) synced: HashSet<PathBuf>,
    /// Side files that entries of the log name.
    pub(super) named: collect::Named,
    /// The last collection left something to do.
    pub(super) uncollected: bool,
}

impl Folding {
    pub(super) fn after(checkpoint: Option<Checkpoint>, previous: Option<Checkpoint>) -> Self {
        Self {
            checkpoint,
            previous,
            uncollected: true,
            ..Self::default()
        }
    }
}

impl Graph {
    /// Folds everything committed so far. Blocks; not to be called from an async context.
    ///
    /// # Errors
    /// [`FoldError`]; the graph goes on without.
    pub fn fold(&self) -> Result<(), FoldError> {
        self.inner.fold()
    }

    /// Starts a fold in the background if one is due: one that failed is tried again though nobody
    /// writes.
    pub fn fold_if_due(&self) {
        self.inner.plan_fold();
    }

    /// The same when the log has grown by much less since the checkpoint, because memory is short; says
    /// whether a fold is under way.
    pub fn fold_early(&self) -> bool {
        self.inner.plan_fold_of(EARLY)
    }
}

impl Inner {
    /// Starts a fold in the background when the tail is long enough and none is under way.
    pub(super) fn plan_fold(self: &Arc<Self>) {
        self.weigh();
        self.plan_fold_of(1);
    }

    /// The same when the tail has one part in `parts` of what makes a fold due; says whether a fold is
    /// under way.
    fn plan_fold_of(self: &Arc<Self>, parts: usize) -> bool {
        let (published, options) = (self.published.load(), &self.options);
        let folded = self.folded_lsn.load(Ordering::Relaxed);
        let entries = published.log_lsn.saturating_sub(folded);
        let due = published.tail_bytes >= options.fold_bytes / parts as u64
            || published.snapshot.changed_rows() >= options.fold_rows / parts
            || (self.store.bucket().is_some() && entries >= options.fold_entries);
        let waits = clock::now_micros() < self.fold_not_before.load(Ordering::Relaxed);
        if !due || waits {
            return false;
        }
        if self.fold_planned.swap(true, Ordering::AcqRel) {
            return true;
        }
        let planned = Planned {
            inner: self.clone(),
            folded: false,
        };
        // Whether it went well, it says itself.
        drop(aside::run(move || {
            // As a whole, so that it ends here.
            let mut planned = planned;
            match planned.inner.fold() {
                Ok(()) => planned.folded = true,
                Err(FoldError::Closed) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(store = %planned.inner.store, error, "folding failed");
                }
            }
        }));
        true
    }

    /// None is started in the background for a while.
    fn fold_later(&self) {
        let later = clock::now_micros().saturating_add(RETRY_AFTER_MICROS);
        self.fold_not_before.store(later, Ordering::Relaxed);
    }

    fn fold(self: &Arc<Self>) -> Result<(), FoldError> {
        let mut folding = unpoisoned(&self.folding);
        // Closing it waits until nothing is folded.
        if unpoisoned(&self.writer).is_none() {
            return Err(FoldError::Closed);
        }
        self.take_on();
        let folded = self.fold_with(&mut folding);
        self.hand_over(folded.is_ok());
        unpoisoned(&self.report).fold = Trouble::of(folded.as_ref().err());
        if folded? || folding.uncollected {
            let collected = self.collect_with(&mut folding);
            if let Err(error) = &collected {
                let error = error as &dyn std::error::Error;
                tracing::error!(store = %self.store, error, "collection failed");
            }
        }
        Ok(())
    }

    /// Returns whether there was anything to fold.
    fn fold_with(self: &Arc<Self>, folding: &mut Folding) -> Result<bool, FoldError> {
        let published = self.published.load_full();
        let newest = published.snapshot.lsn();
        let done = folding.checkpoint.as_ref();
        if done.is_some_and(|done| done.lsn >= newest) {
            return Ok(false);
        }
        let mut snapshot = published.snapshot.as_ref().clone();
        for rows in snapshot.tables_mut() {
            rows.complete(&self.store)?;
            rows.divide()?;
        }
        let mut versions = folding
            .checkpoint
            .as_ref()
            .map(|done| done.tables.clone())
            .unwrap_or_default();
        let mut next_ids = BTreeMap::new();
        for rows in snapshot.tables() {
            let type_id = rows.layout.type_id;
            if let Some(version) = self.fold_table(rows, versions.get(&type_id.0))? {
                versions.insert(type_id.0, version);
            }
            next_ids.insert(type_id.0, rows.next_id);
        }
        self.compact_worst(&mut versions);
        self.store.sync_below("tables", &mut folding.synced)?;
        let mut checkpoint = Checkpoint {
            format: checkpoint::format_of(&versions),
            graph: snapshot.graph(),
            lsn: snapshot.lsn(),
            digest: published.digest.to_string(),
            epoch: self.epoch,
            time_micros: clock::now_micros(),
            head: snapshot.head().clone(),
            schema: snapshot.schema().as_ref().clone(),
            tables: versions,
            next_ids,
            horizon: self.pins.horizon(),
            answers: snapshot.answers().kept(snapshot.head().time_micros),
            statistics: Statistics::default(),
        };
        // Everything that can fail comes before the checkpoint counts: then the tables that it names
        // and the bases in memory are never of different positions.
        let prepared = snapshot.folded(&|rows| {
            let (layout, before) = (&rows.layout, rows.base.source());
            let version = checkpoint.tables.get(&layout.type_id.0)?;
            match before {
                Some(same) if same.version() == version => Some(same.clone()),
                _ => Some(self.shelf.source(layout, version, before.map(|it| &**it))),
            }
        })?;
        checkpoint.statistics = snapshot.statistics().renewed(&snapshot, &prepared);
        let prepared = prepared.with_statistics(checkpoint.statistics.clone());
        self.look()?;
        checkpoint.publish(&self.store)?;
        self.look()?;
        self.folded_lsn.store(checkpoint.lsn, Ordering::Relaxed);
        unpoisoned(&self.report).checkpoint = Some(Arc::new(checkpoint.clone()));
        folding.previous = folding.checkpoint.replace(checkpoint);
        let inner = self.clone();
        aside::usually(move || inner.swap(&published, &prepared));
        Ok(true)
    }

    /// Compacts the table that needs it most, if any does. Its new version stands for the same rows.
    fn compact_worst(&self, versions: &mut Tables) {
        let worst = versions.values_mut().max_by_key(|it| tables::urgency(it));
        let Some(version) = worst.filter(|it| tables::urgency(it) > 0) else {
            return;
        };
        let compacted = tables::compact(&self.store, version);
        if let Err(error) = &compacted {
            let error = error as &dyn std::error::Error;
            tracing::error!(store = %self.store, error, "compaction failed");
        }
        unpoisoned(&self.report).compaction = Trouble::of(compacted.as_ref().err());
        if let Ok(Some(better)) = compacted {
            *version = better;
        }
    }

    /// Makes sure that this process still writes the graph. One that was stopped for long, in the
    /// middle of a fold perhaps, must neither publish nor delete anything in an object store. Nobody
    /// who writes waits while the store is asked.
    pub(super) fn look(&self) -> Result<Option<journal::Seen>, FoldError> {
        let sight = {
            let writer = unpoisoned(&self.writer);
            writer.as_ref().ok_or(FoldError::Closed)?.log.sight()
        };
        let Some(sight) = sight else { return Ok(None) };
        let looked = sight.look()?;
        let mut writer = unpoisoned(&self.writer);
        let writer = writer.as_mut().ok_or(FoldError::Closed)?;
        let seen = writer.log.take_in(looked);
        if writer.log.is_lost() {
            self.lose();
        }
        Ok(seen?)
    }

    /// The next version of one table; `None` when nothing changed in it.
    fn fold_table(
        &self,
        rows: &Rows,
        parent: Option<&TableVersion>,
    ) -> Result<Option<TableVersion>, FoldError> {
        if rows.unfolded() == 0 {
            return Ok(None);
        }
        let removed: Vec<u64> = rows
            .changes
            .keys()
            .copied()
            .filter(|id| rows.base.is_written(*id))
            .collect();
        let fold = Fold {
            layout: &rows.layout,
            // What was deleted all at once stays in a table of its own, which nothing names any more.
            parent: parent.filter(|_| rows.emptied.is_none()),
            removed,
            added: rows.unwritten(),
        };
        Ok(Some(tables::fold(&self.store, fold)?))
    }

    /// Puts the newest snapshot onto the new bases. What was committed meanwhile stays a change. Whoever
    /// writes waits for it.
    fn swap(&self, folded: &Published, prepared: &Snapshot) {
        let _writer = unpoisoned(&self.writer);
        let now = self.published.load_full();
        self.published.store(Arc::new(Published {
            snapshot: Arc::new(now.snapshot.rebased(prepared)),
            digest: now.digest,
            log_lsn: now.log_lsn,
            tail_bytes: now.tail_bytes.saturating_sub(folded.tail_bytes),
        }));
        // They hold on to the bases that were.
        unpoisoned(&self.past).clear();
    }
}

/// A fold that is to run or runs; the next may be planned when this is gone, however it ends.
struct Planned {
    inner: Arc<Inner>,
    folded: bool,
}

impl Drop for Planned {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(store = %self.inner.store, "a defect: folding panicked");
        }
        if !self.folded {
            self.inner.fold_later();
        }
        self.inner.fold_planned.store(false, Ordering::Release);
        // Who waits for it looks again, and what came meanwhile may be enough for the next.
        self.inner.hand_over(false);
        self.inner.plan_fold();
    }
}
