//! Reading the log's records as opening does, and holding them against the rules of the log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use journal::{Digest, Entry, Followed, Lsn, Point, Stop};
use language::schema::TypeId;
use uuid::Uuid;

use crate::column_file;
use crate::doctor::Chart;
use crate::doctor::finding::CommitMark;
use crate::graph::{self, Effects, EntryError, Replay};
use crate::record::{Change, ColumnFile, CommitId, CommitInfo, Header, Record, RowChange};
use crate::store::Store;

/// How many breaches of a rule are told one by one.
const TOLD: usize = 20;

/// A commit that cannot be carried out again.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) lsn: u64,
    pub(super) error: EntryError,
    /// Its side file, when that is what is wrong.
    pub(super) file: Option<String>,
    /// The end of the last frame before it.
    before: Point,
}

/// What was learned from the records.
#[derive(Debug)]
pub(super) struct Reader {
    store: Store,
    /// The state that the records build up; `None` when it is not asked for.
    replay: Option<Replay>,
    /// Points that checkpoints name, and what the log has there.
    points: BTreeMap<u64, Option<(Digest, CommitInfo)>>,
    pub(super) refusals: Vec<Refusal>,
    /// Records that can be read and break a rule.
    pub(super) breaches: Vec<(u64, String)>,
    pub(super) more_breaches: usize,
    /// Side files that records name.
    pub(super) named: HashSet<String>,
    /// The last commit before anything was refused.
    pub(super) last: Option<CommitMark>,
    /// The run of the graph's first commit.
    pub(super) first_run: Option<Uuid>,
    branches: HashMap<u32, (u64, u64, CommitId, i64)>,
    next_ids: HashMap<TypeId, u64>,
    before: Point,
    frame: Point,
}

/// A walk through the records, from a point to where it had to end.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) followed: Followed,
    pub(super) reader: Reader,
}

impl Reading {
    /// Reads from `from`, or from the beginning of the log.
    pub(super) fn new(
        chart: &Chart,
        from: Option<Point>,
        replay: Option<Replay>,
        points: impl Iterator<Item = u64>,
    ) -> Result<Self, journal::Error> {
        let start = from.unwrap_or(Point {
            lsn: Lsn::ZERO,
            digest: Digest::ZERO,
        });
        let mut reader = Reader {
            store: chart.store.clone(),
            replay,
            points: points.map(|lsn| (lsn, None)).collect(),
            refusals: Vec::new(),
            breaches: Vec::new(),
            more_breaches: 0,
            named: HashSet::new(),
            last: None,
            first_run: None,
            branches: HashMap::new(),
            next_ids: HashMap::new(),
            before: start,
            frame: start,
        };
        let followed = journal::follow(&chart.folder.join("log"), from, &mut |entry| {
            reader.visit(entry);
        })?;
        Ok(Self { followed, reader })
    }

    /// Whether it began with the graph's first commit.
    pub(super) fn is_whole(&self) -> bool {
        self.followed.from.lsn == Lsn::ZERO
    }

    /// The last commit that can be had from here: those after it are unreadable.
    pub(super) fn last(&self) -> u64 {
        let refused = self.reader.refusals.first();
        refused.map_or(self.followed.to.lsn.0, |refusal| refusal.lsn - 1)
    }

    /// The end of the last frame that holds no commit after [`Reading::last`].
    pub(super) fn whole(&self) -> Point {
        match self.reader.refusals.first() {
            // Only the log itself knows the digest that its first frame names.
            Some(refusal) if refusal.before.lsn > self.followed.from.lsn => refusal.before,
            Some(_) => self.followed.from,
            None => self.followed.to,
        }
    }

    /// Whether it came to the end of the log with nothing in the way.
    pub(super) fn is_complete(&self) -> bool {
        self.reader.refusals.is_empty() && matches!(self.followed.stop, Stop::End(_))
    }

    /// The state at [`Reading::last`], when it was asked for.
    pub(super) fn state(&self) -> Option<&crate::Snapshot> {
        self.reader.replay.as_ref()?.snapshot.as_ref()
    }

    /// What the log has at a point that was asked for.
    pub(super) fn at(&self, lsn: u64) -> Option<&(Digest, CommitInfo)> {
        self.reader.points.get(&lsn)?.as_ref()
    }
}

impl Reader {
    fn visit(&mut self, entry: Entry<'_>) {
        if entry.digest != self.frame.digest {
            self.before = Point {
                lsn: Lsn(entry.lsn.0 - 1),
                digest: self.frame.digest,
            };
        }
        self.frame = Point {
            lsn: entry.lsn,
            digest: entry.digest,
        };
        let mut file = None;
        if let Err(error) = self.read(entry, &mut file) {
            self.refusals.push(Refusal {
                lsn: entry.lsn.0,
                error,
                file,
                before: self.before,
            });
        }
    }

    fn read(&mut self, entry: Entry<'_>, file: &mut Option<String>) -> Result<(), EntryError> {
        let Record::Commit(header, body) = graph::decode(entry)? else {
            return Ok(());
        };
        if let Some(point) = self.points.get_mut(&header.lsn) {
            *point = Some((entry.digest, header.info()));
        }
        if header.lsn == 1 {
            self.first_run = Some(header.run);
        }
        self.check_order(&header);
        self.named
            .extend(body.files().map(|side| side.name.clone()));
        *file = body.files().next().map(|side| side.name.clone());
        let effects = graph::effects(&self.store, body)?;
        if let Effects::Columns(columns) = &effects {
            for table in &columns.tables {
                *file = Some(table.file.name.clone());
                column_file::verify(&self.store, &table.file)?;
            }
        }
        *file = None;
        self.check_ids(&header, &effects);
        // After a commit that is missing, what follows cannot be carried out any more.
        if self.refusals.is_empty() {
            // A log that begins later gives no state by itself.
            if self.replay.as_ref().is_some_and(|it| it.snapshot.is_none()) && header.lsn > 1 {
                self.replay = None;
            }
            if let Some(replay) = &mut self.replay {
                replay.apply(&header, &effects)?;
            }
            self.last = Some(CommitMark::of(&header));
        }
        Ok(())
    }

    /// Sequence, link and time of a commit, against the one before it on its branch.
    fn check_order(&mut self, header: &Header) {
        let lsn = header.lsn;
        let now = (lsn, header.sequence, header.id, header.time_micros);
        let Some((last, sequence, id, time)) = self.branches.insert(header.branch, now) else {
            return;
        };
        if header.sequence != sequence + 1 {
            let found = header.sequence;
            self.breach(lsn, format!("sequence {found} follows {sequence}"));
        }
        if header.previous_lsn != last {
            let found = header.previous_lsn;
            self.breach(
                lsn,
                format!(
                    "it names lsn {found} as the one before on its branch, which is lsn {last}"
                ),
            );
        }
        if !header.parents.contains(&id) {
            self.breach(
                lsn,
                format!("its parents do not have the commit before, {id}"),
            );
        }
        if header.time_micros <= time {
            self.breach(
                lsn,
                "its time is not after that of the commit before".to_owned(),
            );
        }
    }

    /// New rows have ids that no row had, below the mark that the commit leaves.
    fn check_ids(&mut self, header: &Header, effects: &Effects) {
        let marks: HashMap<TypeId, u64> = header.next_ids.iter().copied().collect();
        for (type_id, ids) in given(effects) {
            let id = ids.start;
            if marks.get(&type_id).is_none_or(|mark| ids.end > *mark) {
                self.breach(
                    header.lsn,
                    format!("row {id} of type {} is above its mark of ids", type_id.0),
                );
            }
            if self.next_ids.get(&type_id).is_some_and(|mark| id < *mark) {
                self.breach(
                    header.lsn,
                    format!(
                        "row {id} of type {} has an id that was given before",
                        type_id.0
                    ),
                );
            }
        }
        for (type_id, mark) in marks {
            let known = self.next_ids.entry(type_id).or_insert(mark);
            *known = mark.max(*known);
        }
    }

    fn breach(&mut self, lsn: u64, what: String) {
        if self.breaches.len() < TOLD {
            self.breaches.push((lsn, what));
        } else {
            self.more_breaches += 1;
        }
    }
}

/// The ids of new rows.
fn given(effects: &Effects) -> Vec<(TypeId, Range<u64>)> {
    match effects {
        Effects::Changes(changes) => {
            let inserted = |change: &&Change| matches!(change.row, RowChange::Insert { .. });
            let inserts = changes.rows.iter().filter(inserted);
            inserts
                .map(|change| (change.type_id, change.id..change.id + 1))
                .collect()
        }
        Effects::Columns(columns) => {
            let tables = columns.tables.iter();
            let ids = |table: &ColumnFile| table.first_id..table.first_id + table.file.rows;
            tables.map(|table| (table.type_id, ids(table))).collect()
        }
    }
}
