//! Collection: what nothing needs any more is removed.
//!
//! Mark and sweep, on the thread that folds, in the process that may write the graph. Needed are the
//! checkpoint in use and the one before it, checkpoints that somebody leases, the log as far back as
//! these, retention and readers of the past reach, and the side files that entries of it name. Of a
//! table those files are needed that a needed checkpoint's version consists of; Lance is asked which,
//! and never to clean up.
//!
//! Each step leaves a graph that opens: a checkpoint goes before what it names, the horizon is in the
//! log before anything of the log goes, the log goes oldest first. What a crash or a failure leaves,
//! the next collection finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use journal::{AppendError, Lsn, SegmentSummary};

use crate::aside;
use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::clock;
use crate::files::FileError;
use crate::graph::commit::unpoisoned;
use crate::graph::fold::{FoldError, Folding};
use crate::graph::past::{self, PastError};
use crate::graph::status::Trouble;
use crate::graph::{Graph, Inner, Published};
use crate::lease;
use crate::reach::is_out_of_reach;
use crate::record::{Heading, Horizon, Record, RecordError, SideFile};
use crate::store::Store;
use crate::tables::{self, TableError};

/// The most files that one collection removes.
const FILES: u64 = 20_000;

/// The most bytes that one collection removes.
const BYTES: u64 = 32 << 30;

/// How often it may take longer than a lease to look who writes, before the rest is left for later.
const LATE: usize = 10;

/// What a collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files that were removed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// It came to its limit: there is more.
    pub more: bool,
}

/// Why a collection ended early. What it removed was of no use; nothing else is lost.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A file could not be removed or listed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A version that is needed could not be opened, so it is not known what it needs.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The log could not be read or shortened.
    #[error("the log cannot be shortened")]
    Log(#[from] journal::Error),
    /// An entry of the log could not be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The horizon is not in the log.
    #[error("the log cannot take the horizon")]
    Append(#[from] AppendError),
    /// The graph is closed.
    #[error("the graph is closed")]
    Closed,
}

/// Side files that entries of the log name, and their entries, as far as the log was looked through.
#[derive(Debug, Default)]
pub(super) struct Named {
    upto: u64,
    files: BTreeMap<String, u64>,
}

/// What is removed, and how much may be.
#[derive(Default)]
struct Sweep {
    done: Collected,
}

impl Graph {
    /// Removes what nothing needs any more. Blocks; not to be called from an async context.
    ///
    /// # Errors
    /// [`CollectError`]; the graph goes on, and the next collection tries again.
    pub fn collect(&self) -> Result<Collected, CollectError> {
        let mut folding = unpoisoned(&self.inner.folding);
        self.inner.collect_with(&mut folding)
    }
}

impl Inner {
    pub(super) fn collect_with(
        self: &Arc<Self>,
        folding: &mut Folding,
    ) -> Result<Collected, CollectError> {
        let mut sweep = Sweep::default();
        let swept = self.sweep(folding, &mut sweep);
        folding.uncollected = swept.is_err() || sweep.done.more;
        let mut report = unpoisoned(&self.report);
        report.collection = Trouble::of(swept.as_ref().err());
        report.collected.files += sweep.done.files;
        report.collected.bytes += sweep.done.bytes;
        report.collected.more = sweep.done.more;
        drop(report);
        swept.map(|()| sweep.done)
    }

    fn sweep(
        self: &Arc<Self>,
        folding: &mut Folding,
        sweep: &mut Sweep,
    ) -> Result<(), CollectError> {
        let Some(newest) = folding.checkpoint.clone() else {
            // The log is all there is.
            return Ok(());
        };
        self.still_ours()?;
        self.part_from_side_files(newest.lsn)?;
        let kept = self.keep_checkpoints(newest, folding.previous.clone(), sweep)?;
        // What it consists of is known before anything that could replace it goes.
        let mut marked = BTreeMap::<String, BTreeSet<String>>::new();
        // Snapshots in use may have columns of earlier versions to read yet.
        let mut in_use = self.shelf.versions();
        let named = || kept.iter().flat_map(|kept| kept.tables.values());
        in_use.retain(|version| !named().any(|named| named == version));
        for version in named().chain(&in_use) {
            let files = tables::contents(&self.store, version)?;
            marked
                .entry(version.folder.clone())
                .or_default()
                .extend(files);
        }
        if folding.previous.is_some() {
            let floor = kept.iter().map(|kept| kept.lsn).min().unwrap_or_default();
            self.shorten_log(floor, sweep)?;
        }
        self.delete_retired(sweep)?;
        self.still_ours()?;
        self.sweep_side_files(&mut folding.named, sweep)?;
        self.still_ours()?;
        self.sweep_tables(&marked, folding, sweep)
    }

    /// In an object store another may have taken over meanwhile, and what is of no use to this process
    /// may be of use to that one.
    fn still_ours(&self) -> Result<Option<journal::Seen>, CollectError> {
        self.look().map_err(|error| match error {
            FoldError::Superseded(error) => CollectError::Log(error),
            _ => CollectError::Closed,
        })
    }

    /// Removes the checkpoints that are not needed, and returns those that are. A lease that came
    /// while one was removed still has its checkpoint, for it was taken before that was gone.
    fn keep_checkpoints(
        &self,
        newest: Checkpoint,
        previous: Option<Checkpoint>,
        sweep: &mut Sweep,
    ) -> Result<Vec<Checkpoint>, CollectError> {
        let leased = |sweep: bool| -> Result<BTreeSet<u64>, FileError> {
            let claims = lease::live(&self.store, sweep)?;
            Ok(claims.iter().map(|claim| claim.lsn).collect())
        };
        let before = leased(true)?;
        let mut kept = vec![newest];
        kept.extend(previous);
        let mut dropped = Vec::new();
        let mut removed = false;
        for name in checkpoint::names(&self.store)? {
            // In an object store another writer may have come meanwhile, and put its own.
            let later = checkpoint::epoch_of(&name).is_some_and(|epoch| epoch > self.epoch);
            if later || kept.iter().any(|kept| kept.name() == name) {
                continue;
            }
            match Checkpoint::read(&self.store, &name) {
                Ok(found) if before.contains(&found.lsn) => kept.push(found),
                // What it names is not known, and somebody may need it.
                Err(CheckpointError::File(error)) if is_out_of_reach(&error) => {
                    return Err(error.into());
                }
                found => {
                    dropped.extend(found);
                    removed |= self.remove(&name, 0, sweep)?;
                }
            }
        }
        if removed {
            self.store.sync_names(checkpoint::FOLDER)?;
        }
        let after = leased(false)?;
        dropped.retain(|dropped| after.contains(&dropped.lsn));
        kept.extend(dropped);
        // One leases what there was before the first checkpoint, or one that is gone: the log.
        let missing = after
            .iter()
            .filter(|lsn| kept.iter().all(|it| it.lsn != **lsn));
        if let (Some(lsn), Some(like)) = (missing.min(), kept.first().cloned()) {
            kept.push(Checkpoint {
                lsn: *lsn,
                tables: Default::default(),
                ..like
            });
        }
        Ok(kept)
    }

    /// Files that entries of the last part of the log name stay as long as it does, and few entries can
    /// name much: so it ends when a fold has put such files into tables.
    fn part_from_side_files(self: &Arc<Self>, folded: u64) -> Result<(), CollectError> {
        if self.store.bucket().is_some() {
            return Ok(());
        }
        let last = {
            let writer = unpoisoned(&self.writer);
            let writer = writer.as_ref().ok_or(CollectError::Closed)?;
            writer.log.segments().last().map_or(0, |it| it.first.0)
        };
        let files = self.store.list(FILES_FOLDER)?;
        let mut named = files.iter().filter_map(|file| SideFile::lsn(&file.name));
        if !named.any(|lsn| (last..=folded).contains(&lsn)) {
            return Ok(());
        }
        let inner = self.clone();
        // Whoever writes waits for it.
        aside::usually(move || {
            let mut writer = unpoisoned(&inner.writer);
            let writer = writer.as_mut().ok_or(CollectError::Closed)?;
            Ok(writer.log.end_part()?)
        })
    }

    /// Removes segments of the log that end before everything that needs them.
    fn shorten_log(self: &Arc<Self>, floor: u64, sweep: &mut Sweep) -> Result<(), CollectError> {
        let cutoff = match self.options.retention.is_zero() {
            true => i64::MAX,
            false => {
                let micros = i64::try_from(self.options.retention.as_micros()).unwrap_or(i64::MAX);
                clock::now_micros().saturating_sub(micros)
            }
        };
        let segments = {
            let writer = unpoisoned(&self.writer);
            let writer = writer.as_ref().ok_or(CollectError::Closed)?;
            writer.log.segments().to_vec()
        };
        // Recovery goes on with the entry after a checkpoint, which may be the first of a segment.
        let firsts = segments.iter().skip(1).map(|segment| segment.first.0);
        let firsts: Vec<u64> = firsts.take_while(|first| *first <= floor + 1).collect();
        // Times never go back. In an object store there are many segments, and each look is a request.
        let (mut low, mut high) = (0, firsts.len());
        while low < high {
            let middle = low.midpoint(high);
            let first = firsts.get(middle).copied().unwrap_or(u64::MAX);
            match past::first_commit(&self.store, first)?.is_some_and(|it| it <= cutoff) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let begin = low.checked_sub(1).and_then(|at| firsts.get(at)).copied();
        let Some(begin) = begin.and_then(|begin| self.pins.move_horizon(begin)) else {
            return Ok(());
        };
        if segments
            .first()
            .is_none_or(|oldest| oldest.first.0 >= begin)
        {
            return Ok(());
        }
        let inner = self.clone();
        // Whoever writes waits for it, and for what is removed of the log.
        aside::usually(move || inner.commit_horizon(begin))?;
        // In an object store nothing goes yet, and there are many.
        let remote = self.store.bucket().is_some();
        let steps: Vec<u64> = match remote {
            true => vec![begin],
            false => firsts.into_iter().filter(|it| *it <= begin).collect(),
        };
        for step in steps {
            if !sweep.takes_more() {
                return Ok(());
            }
            let inner = self.clone();
            let removed = aside::usually(move || inner.remove_log_before(step))?;
            if !remote {
                sweep.removed(removed);
            }
        }
        Ok(())
    }

    /// Removes what the log has before a position; says how many bytes.
    fn remove_log_before(&self, lsn: u64) -> Result<u64, CollectError> {
        let mut writer = unpoisoned(&self.writer);
        let writer = writer.as_mut().ok_or(CollectError::Closed)?;
        let before = bytes(writer.log.segments());
        writer.log.remove_before(Lsn(lsn))?;
        let removed = before.saturating_sub(bytes(writer.log.segments()));
        Ok(removed)
    }

    /// In an object store: deletes what the log has not needed for long enough. Each is a request, for
    /// which nobody who writes waits.
    fn delete_retired(&self, sweep: &mut Sweep) -> Result<(), CollectError> {
        let mut late = 0;
        while late < LATE {
            let due = {
                let writer = unpoisoned(&self.writer);
                writer.as_ref().ok_or(CollectError::Closed)?.log.due()
            };
            if due.is_empty() || !sweep.takes_more() {
                return Ok(());
            }
            let Some(seen) = self.still_ours()? else {
                return Ok(());
            };
            let deleted = seen.delete(&due)?;
            late += usize::from(deleted == 0);
            let mut writer = unpoisoned(&self.writer);
            let writer = writer.as_mut().ok_or(CollectError::Closed)?;
            writer.log.forget(deleted);
            due.iter()
                .take(deleted)
                .for_each(|it| sweep.removed(it.bytes));
        }
        // The next collection goes on.
        Ok(())
    }

    /// Puts the horizon into the log, unless an earlier collection has.
    fn commit_horizon(&self, first: u64) -> Result<(), CollectError> {
        // Only collecting moves it, and one at a time does.
        if unpoisoned(&self.report).horizon >= first {
            return Ok(());
        }
        let mut guard = unpoisoned(&self.writer);
        let writer = guard.as_mut().ok_or(CollectError::Closed)?;
        let horizon = Horizon {
            lsn: writer.log.last_lsn().0 + 1,
            epoch: self.epoch,
            time_micros: clock::now_micros(),
            first,
        };
        let appended = writer.log.append(&[Record::Horizon(horizon).encode()?])?;
        let now = self.published.load_full();
        self.published.store(Arc::new(Published {
            snapshot: now.snapshot.clone(),
            digest: now.digest,
            log_lsn: appended.last.0,
            tail_bytes: now.tail_bytes + appended.bytes,
        }));
        drop(guard);
        unpoisoned(&self.report).horizon = first;
        Ok(())
    }

    /// Removes side files of entries that are gone. Their names begin with a position that is not
    /// after their entry's; what is decisive is that no entry that is kept names them.
    fn sweep_side_files(&self, named: &mut Named, sweep: &mut Sweep) -> Result<(), CollectError> {
        let first = {
            let writer = unpoisoned(&self.writer);
            let writer = writer.as_ref().ok_or(CollectError::Closed)?;
            writer.log.segments().first().map_or(0, |it| it.first.0)
        };
        let mut old = self.store.list(FILES_FOLDER)?;
        old.retain(|file| SideFile::lsn(&file.name).is_some_and(|lsn| lsn < first));
        if old.is_empty() {
            return Ok(());
        }
        named.look(&self.store, first, self.published.load().log_lsn)?;
        for file in old {
            if named.files.contains_key(&file.name) {
                continue;
            }
            if !sweep.takes_more() {
                return Ok(());
            }
            self.remove(&format!("{FILES_FOLDER}/{}", file.name), file.bytes, sweep)?;
        }
        Ok(())
    }

    /// Removes tables that no needed checkpoint names, and of the others what no version needs.
    fn sweep_tables(
        &self,
        marked: &BTreeMap<String, BTreeSet<String>>,
        folding: &mut Folding,
        sweep: &mut Sweep,
    ) -> Result<(), CollectError> {
        let nothing = BTreeSet::new();
        for folder in self.store.folders("tables")? {
            let table = format!("tables/{folder}");
            let version = marked.get(&folder);
            let needed = version.unwrap_or(&nothing);
            for below in tables::FOLDERS {
                let within = format!("{table}/{below}");
                let mut gone = self.store.list_if_there(&within)?;
                gone.retain(|file| {
                    let head = below == "_versions" && !file.name.starts_with(tables::DETACHED);
                    let in_use = needed.contains(&format!("{below}/{}", file.name));
                    let of_table = head && version.is_some();
                    !in_use && !of_table
                });
                if !gone.is_empty() {
                    // After the listing: then nothing in it was put by one who has taken over.
                    self.still_ours()?;
                }
                for file in gone {
                    if !sweep.takes_more() {
                        return Ok(());
                    }
                    let name = format!("{within}/{}", file.name);
                    self.remove(&name, file.bytes, sweep)?;
                    folding.synced.remove(&self.store.place(&name));
                }
                if version.is_none() {
                    self.store.remove_empty_folder(&within);
                }
            }
            if version.is_none() {
                self.store.remove_empty_folder(&table);
            }
        }
        Ok(())
    }

    /// Removes one object.
    fn remove(&self, name: &str, bytes: u64, sweep: &mut Sweep) -> Result<bool, FileError> {
        self.store.delete(name)?;
        sweep.removed(bytes);
        Ok(true)
    }
}

/// Where side files are.
const FILES_FOLDER: &str = "files";

fn bytes(segments: &[SegmentSummary]) -> u64 {
    segments.iter().map(|segment| segment.bytes).sum()
}

impl Sweep {
    fn removed(&mut self, bytes: u64) {
        self.done.files += 1;
        self.done.bytes += bytes;
    }

    fn takes_more(&mut self) -> bool {
        let room = self.done.files < FILES && self.done.bytes < BYTES;
        self.done.more |= !room;
        room
    }
}

impl Named {
    /// Looks through what the log has got since the last time, up to `last`; forgets what is before
    /// `first`, where it begins now.
    fn look(&mut self, store: &Store, first: u64, last: u64) -> Result<(), CollectError> {
        self.files.retain(|_, lsn| *lsn >= first);
        let after = self.upto.max(first.saturating_sub(1));
        past::headings(store, after, last, &mut |lsn, heading| {
            if let Heading::Commit(_, files) = heading {
                let names = files.into_iter().map(|file| (file.name, lsn));
                self.files.extend(names);
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .map_err(|error| match error {
            PastError::Log(error) => CollectError::Log(error),
            PastError::Record(error) => CollectError::Record(error),
            _ => CollectError::Closed,
        })?;
        self.upto = last;
        Ok(())
    }
}
