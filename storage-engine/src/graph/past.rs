//! Reading a graph as it was: the log, read backwards from the newest state.
//!
//! A record has what its rows were before, so a commit is undone without reading anything else. Where
//! one cannot be undone, or it is a shorter way, the state is made forwards from a kept checkpoint.
//! Either way the log is read a segment at a time, and memory goes to the rows that differ.

mod pins;
mod reading;
mod undo;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use journal::SegmentSummary;
use uuid::Uuid;

use crate::checkpoint;
use crate::cold::Shelf;
use crate::executor::Limits;
use crate::graph::commit::unpoisoned;
use crate::graph::open::{Effects, EntryError, Extent, OpenError, Replay, effects, load};
use crate::graph::{Graph, Inner, Options, log};
use crate::lease::Lease;
use crate::reach::is_out_of_reach;
use crate::record::{
    Body, CommitId, CommitInfo, Encoding, Header, Heading, Record, RecordError, SideFile,
};
use crate::snapshot::Snapshot;
use crate::store::Store;

pub(super) use pins::Pins;
pub(super) use reading::{first_commit, headings};
use reading::{first_header, read};
use undo::Undoing;

/// How many past states are kept for those who ask again.
const KEPT: usize = 4;

/// A past state that takes more than this beside the newest is not kept.
const KEPT_BYTES: usize = 16 << 20;

/// Which commit of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The commit of this id.
    Commit(CommitId),
    /// The commit at this position of its branch.
    Sequence(u64),
    /// The newest commit that was there at this time: microseconds since 1970, UTC.
    Time(i64),
}

impl At {
    /// A commit's id, a position as digits, or a time in RFC 3339; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().map(Self::Sequence);
        }
        if let Ok(id) = Uuid::try_parse(text) {
            return Some(Self::Commit(CommitId(id)));
        }
        let time: jiff::Timestamp = text.parse().ok()?;
        Some(Self::Time(time.as_microsecond()))
    }
}

/// As it is shown to people.
impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Commit(id) => write!(f, "commit {id}"),
            Self::Sequence(sequence) => write!(f, "commit {sequence}"),
            Self::Time(micros) => {
                let time = jiff::Timestamp::from_microsecond(*micros).unwrap_or_default();
                write!(f, "time {time}")
            }
        }
    }
}

/// What making a past state may take.
#[derive(Clone, Debug)]
pub struct PastLimits {
    /// When it must be done.
    pub deadline: Option<Instant>,
    /// Bytes of rows that may differ from the newest state, and of what is read of the log to know
    /// them.
    pub max_bytes: usize,
    /// Set when nobody waits any more.
    pub cancelled: Arc<AtomicBool>,
}

impl Default for PastLimits {
    fn default() -> Self {
        Self {
            deadline: None,
            max_bytes: usize::MAX,
            cancelled: Arc::default(),
        }
    }
}

/// What a statement on a past state may use, making the state may use too.
impl From<&Limits> for PastLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            deadline: limits.deadline,
            max_bytes: limits.max_bytes,
            cancelled: limits.cancelled.clone(),
        }
    }
}

/// Why a past state was not made.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// There is no such commit, and never was.
    #[error("there is no {0}")]
    Unknown(At),
    /// The graph was not there yet.
    #[error("the graph did not exist at {0}: its first commit is later")]
    BeforeGraph(At),
    /// It is not kept any more.
    #[error("history is kept from log position {horizon} on; {at} is before it")]
    Gone {
        /// What was asked for.
        at: At,
        /// The first position that is kept.
        horizon: u64,
    },
    /// Between it and the newest state is a commit that cannot be undone, and no checkpoint before.
    #[error(
        "the commit at log position {lsn} after it cannot be undone, and no checkpoint before it is kept"
    )]
    NotUndoable {
        /// The position of that commit.
        lsn: u64,
    },
    /// It took too long.
    #[error("making the past state took too long")]
    Deadline,
    /// Nobody waits for it any more.
    #[error("nobody waits for the past state any more")]
    Cancelled,
    /// It differs too much from the newest state.
    #[error("the past state needs more than {limit} bytes of memory beside the newest")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The newest state cannot be had.
    #[error("the newest state cannot be read")]
    Newest(#[source] Box<OpenError>),
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[source] journal::Error),
    /// An entry cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An entry does not fit the state after it: a defect, or damage.
    #[error("the log does not fit the newest state")]
    Unfit(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl PastError {
    /// Whether it may be had the next time: a file or an object could not be reached, without a word on
    /// what is in it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        is_out_of_reach(self)
    }
}

/// Past states that were asked for lately, the newest last.
pub(super) type Cache = VecDeque<Arc<Snapshot>>;

impl Graph {
    /// The graph as it was. Blocks; not to be called from an async context.
    ///
    /// # Errors
    /// [`PastError`] says whether it never was, is gone, or cannot be had.
    pub fn snapshot_at(&self, at: At, limits: &PastLimits) -> Result<Arc<Snapshot>, PastError> {
        self.inner.snapshot_at(at, limits)
    }
}

impl Inner {
    fn snapshot_at(&self, at: At, limits: &PastLimits) -> Result<Arc<Snapshot>, PastError> {
        let pin = self.pins.hold();
        let newest = self.published.load().snapshot.clone();
        let past = Past {
            store: &self.store,
            horizon: pin.horizon,
            limits,
            options: &self.options,
            shelf: Some(&self.shelf),
        };
        past.read(at, newest, &self.past)
    }
}

/// How a past state is made, on one graph.
pub(super) struct Past<'a> {
    pub(super) store: &'a Store,
    /// The first entry that is kept while this is there.
    pub(super) horizon: u64,
    pub(super) limits: &'a PastLimits,
    pub(super) options: &'a Options,
    /// Where tables are read from that nobody collects while they are read; `None` where another process
    /// collects, which a lease keeps from it.
    pub(super) shelf: Option<&'a Arc<Shelf>>,
}

impl Past<'_> {
    pub(super) fn read(
        &self,
        at: At,
        newest: Arc<Snapshot>,
        cache: &Mutex<Cache>,
    ) -> Result<Arc<Snapshot>, PastError> {
        let Some((lsn, head)) = self.locate(at, &newest)? else {
            return Ok(newest);
        };
        let known: Vec<_> = unpoisoned(cache).iter().cloned().collect();
        if let Some(same) = known.iter().find(|it| it.lsn() == lsn) {
            return Ok(same.clone());
        }
        // The nearest state after it.
        let later = known.iter().filter(|it| it.lsn() > lsn);
        let base = later.min_by_key(|it| it.lsn()).unwrap_or(&newest);
        let forth = self.forwards(lsn, base)?;
        let (made, bytes) = match forth {
            Some(made) => (made, usize::MAX),
            None => match self.undo(base, lsn, &head) {
                Err(PastError::NotUndoable { lsn: obstacle }) => {
                    let made = self.replay(lsn, base)?;
                    let none = PastError::NotUndoable { lsn: obstacle };
                    (made.ok_or(none)?, usize::MAX)
                }
                undone => undone?,
            },
        };
        let made = Arc::new(made);
        if bytes <= KEPT_BYTES {
            let mut cache = unpoisoned(cache);
            cache.push_back(made.clone());
            while cache.len() > KEPT {
                cache.pop_front();
            }
        }
        Ok(made)
    }

    fn segments(&self) -> Result<Vec<SegmentSummary>, PastError> {
        log::segments(self.store).map_err(PastError::Log)
    }

    fn check(&self) -> Result<(), PastError> {
        if self.limits.cancelled.load(Ordering::Relaxed) {
            return Err(PastError::Cancelled);
        }
        match self.limits.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(PastError::Deadline),
            _ => Ok(()),
        }
    }

    /// Refuses to hold more than the limit.
    fn require(&self, bytes: usize) -> Result<(), PastError> {
        let limit = self.limits.max_bytes;
        match bytes > limit {
            true => Err(PastError::TooLarge { limit }),
            false => Ok(()),
        }
    }

    /// The same for what is held and a file of changes, before it is read.
    fn require_file(&self, file: &SideFile, held: usize) -> Result<(), PastError> {
        let bytes = usize::try_from(file.bytes).unwrap_or(usize::MAX);
        self.require(held.saturating_add(bytes))
    }

    /// The commit that is meant, and its position; `None` when it is the newest.
    fn locate(&self, at: At, newest: &Snapshot) -> Result<Option<(u64, CommitInfo)>, PastError> {
        let head = newest.head();
        let is_newest = match at {
            At::Commit(id) => id == head.id,
            At::Sequence(sequence) => sequence == head.sequence,
            At::Time(micros) => micros >= head.time_micros,
        };
        if is_newest {
            return Ok(None);
        }
        if matches!(at, At::Sequence(sequence) if sequence == 0 || sequence > head.sequence) {
            return Err(PastError::Unknown(at));
        }
        let begin = self.begin(at)?;
        let mut found = None;
        let after = begin
            .unwrap_or(self.horizon)
            .max(self.horizon)
            .saturating_sub(1);
        headings(self.store, after, newest.lsn(), &mut |lsn, heading| {
            self.check()?;
            let Heading::Commit(header, _) = heading else {
                return Ok(ControlFlow::Continue(()));
            };
            let matches = match at {
                At::Commit(id) => header.id == id,
                At::Sequence(sequence) => header.sequence == sequence,
                // The last of those that were there.
                At::Time(micros) => header.time_micros <= micros,
            };
            if matches {
                found = Some((lsn, header.info()));
            }
            let done = match at {
                At::Time(_) => !matches,
                _ => matches,
            };
            Ok(match done {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        match found {
            Some(found) => Ok(Some(found)),
            None => Err(self.absent(at)?),
        }
    }

    /// The first entry of the segment where the search begins. Times and positions never go back, and
    /// a commit's id is not made after its time; so one commit of some segments tells.
    fn begin(&self, at: At) -> Result<Option<u64>, PastError> {
        let before = |header: &Header| match at {
            At::Sequence(sequence) => header.sequence <= sequence,
            At::Time(micros) => header.time_micros <= micros,
            At::Commit(id) => {
                let made = made_micros(id);
                made.is_some_and(|made| header.time_micros < made - SET_BACK_MICROS)
            }
        };
        let segments = self.segments()?;
        let (mut low, mut high) = (0, segments.len());
        while low < high {
            self.check()?;
            let middle = low.midpoint(high);
            let first = segments.get(middle).map_or(0, |segment| segment.first.0);
            let header = first_header(self.store, first.max(self.horizon))?;
            match header.is_some_and(|header| before(&header)) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let chosen = low.checked_sub(1).and_then(|at| segments.get(at));
        Ok(chosen.map(|segment| segment.first.0))
    }

    /// Nothing that is kept is it: what is there to say of it.
    fn absent(&self, at: At) -> Result<PastError, PastError> {
        let kept = first_header(self.store, self.horizon)?;
        let gone = kept.is_some_and(|kept| {
            kept.sequence > 1
                && match at {
                    At::Sequence(sequence) => sequence < kept.sequence,
                    At::Time(micros) => micros < kept.time_micros,
                    At::Commit(id) => made_micros(id).is_some_and(|it| it < kept.time_micros),
                }
        });
        let horizon = self.horizon;
        Ok(match gone {
            true => PastError::Gone { at, horizon },
            false if matches!(at, At::Time(_)) => PastError::BeforeGraph(at),
            false => PastError::Unknown(at),
        })
    }

    /// The state at `lsn`, from a later one, and the bytes of the rows in which they differ.
    fn undo(
        &self,
        base: &Snapshot,
        lsn: u64,
        head: &CommitInfo,
    ) -> Result<(Snapshot, usize), PastError> {
        let mut undoing = Undoing::from(base);
        let segments = self.segments()?;
        let mut upto = base.lsn();
        for segment in segments.iter().rev() {
            let after = segment.first.0.saturating_sub(1).max(lsn);
            if after >= upto {
                continue;
            }
            let (mut entries, mut held) = (Vec::new(), 0);
            read(self.store, after, upto, &mut |entry| {
                self.check()?;
                held += entry.bytes.len();
                self.require(undoing.bytes.saturating_add(held))?;
                entries.push((entry.lsn.0, entry.bytes.to_vec()));
                Ok(ControlFlow::Continue(()))
            })?;
            while let Some((at, bytes)) = entries.pop() {
                self.check()?;
                let Record::Commit(_, body) = Record::decode(&bytes)? else {
                    continue;
                };
                if !body.can_be_undone() {
                    return Err(PastError::NotUndoable { lsn: at });
                }
                if let Body::File(file) = &body {
                    self.require_file(file, undoing.bytes.saturating_add(held))?;
                }
                held = held.saturating_sub(bytes.len());
                let effects = effects(self.store, body);
                match effects.map_err(|it| PastError::Unfit(it.into()))? {
                    Effects::Changes(changes) => undoing.undo(at, &changes)?,
                    Effects::Columns(_) => return Err(PastError::NotUndoable { lsn: at }),
                }
                self.require(undoing.bytes)?;
            }
            upto = after;
        }
        let bytes = undoing.bytes;
        Ok((base.restored(undoing.before, head.clone(), lsn), bytes))
    }

    /// The state at `lsn` made forwards, where that is the shorter way: there is a checkpoint at or
    /// before it, and less of the log and of tables to read than of the log from `base` back.
    fn forwards(&self, lsn: u64, base: &Snapshot) -> Result<Option<Snapshot>, PastError> {
        let Some((from, _)) = self.checkpoint_before(lsn)? else {
            return Ok(None);
        };
        let segments = self.segments()?;
        let between = |low: u64, high: u64| -> u64 {
            let starts = segments.iter().map(|it| it.first.0);
            let ends = starts.clone().skip(1).chain([base.lsn() + 1]);
            let parts = segments
                .iter()
                .zip(starts.zip(ends))
                .map(|(it, (start, end))| {
                    let entries = end.saturating_sub(start).max(1);
                    let wanted = end.min(high + 1).saturating_sub(start.max(low + 1));
                    it.bytes / entries * wanted.min(entries)
                });
            parts.sum()
        };
        let back = between(lsn, base.lsn());
        let forth = between(from, lsn) + base.memory().tables() as u64;
        match back > forth {
            true if base.memory().tables() <= self.limits.max_bytes => self.replay(lsn, base),
            _ => Ok(None),
        }
    }

    /// The newest checkpoint that is not after a position: its own, and its name.
    fn checkpoint_before(&self, lsn: u64) -> Result<Option<(u64, String)>, PastError> {
        let names = checkpoint::names(self.store);
        let names = names.map_err(|it| PastError::Unfit(it.into()))?.into_iter();
        let mut known = names.filter_map(|name| Some((checkpoint::lsn_of(&name)?, name)));
        Ok(known.find(|(at, _)| *at <= lsn))
    }

    /// The state at `lsn` from the newest checkpoint that is not after it, or from the beginning of
    /// the log; `None` when neither is there. It shares nothing with `like`, a later state.
    fn replay(&self, lsn: u64, like: &Snapshot) -> Result<Option<Snapshot>, PastError> {
        self.require(like.memory().tables())?;
        let unfit = |error: EntryError| PastError::Unfit(error.into());
        let from = self.checkpoint_before(lsn)?;
        let lease = Lease::take(self.store, from.as_ref().map_or(0, |(at, _)| *at));
        let lease = lease.map_err(|it| PastError::Unfit(it.into()))?;
        let lasting = lease.is_some() || self.shelf.is_some();
        // Given back at the end, or when nobody reads the tables any more, on whatever thread.
        let leased = Shelf::leased(self.store, self.options.memory.clone(), lease);
        let extent = Extent {
            shelf: self.shelf.unwrap_or(&leased),
            resident: match lasting {
                true => (self.options.resident_rows, self.options.resident_bytes),
                false => (u64::MAX, u64::MAX),
            },
            lasting,
        };
        let mut replay = Replay::from(self.store, like.graph(), None);
        let mut after = 0;
        if let Some((from, name)) = from {
            match load(self.store, like.graph(), &name, extent) {
                Ok((_, snapshot)) => {
                    replay = Replay::from(self.store, like.graph(), Some(snapshot));
                    after = from;
                }
                Err(error) if is_out_of_reach(&error) => {
                    return Err(PastError::Unfit(error.into()));
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(store = %self.store, name, error, "a checkpoint is not usable");
                }
            }
        }
        let segments = self.segments()?;
        let begins = segments.first().map(|it| it.first.0.max(self.horizon));
        // Before the horizon the log of an object store is there yet, and its side files are not.
        if begins.is_none_or(|first| first > after + 1) {
            return Ok(None);
        }
        read(self.store, after, lsn, &mut |entry| {
            self.check()?;
            if let Heading::Commit(_, files) = Heading::decode(entry.bytes)? {
                // Columns are a part of the state, of which it is known what it takes.
                let changes = files.iter().filter(|it| it.encoding == Encoding::Changes);
                for file in changes {
                    self.require_file(file, 0)?;
                }
            }
            replay.visit(entry).map_err(unfit)?;
            Ok(ControlFlow::Continue(()))
        })?;
        if leased.is_empty() {
            leased.release();
        }
        Ok(replay.snapshot)
    }
}

/// An id is not made later than its commit's time, unless the clock was set back in between; by so
/// much it may have been.
const SET_BACK_MICROS: i64 = 60_000_000;

/// When an id was made: microseconds since 1970, not after the time of its commit. Nothing for an id
/// that was not made by this engine.
fn made_micros(id: CommitId) -> Option<i64> {
    let (seconds, nanos) = id.0.get_timestamp()?.to_unix();
    let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    micros.checked_add(i64::from(nanos / 1_000))
}
