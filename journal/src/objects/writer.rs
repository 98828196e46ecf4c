//! The writer of a journal of objects.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::sight::{Looked, Seen, Sight};
use super::store::{Outcome, Packed, Unsettled, pack, store, unpack};
use super::walk::{list, step, walk};
use super::{DELETE_AFTER_LEASES, Moment, ObjectError, Objects, object_name};
use crate::journal::{Appended, SegmentSummary, Start, check_limits};
use crate::repair::Recovery;
use crate::walk::{Cursor, Entry};
use crate::{AppendError, Digest, Error, Lsn, VisitError};

/// How often another writer may be quicker before a claim is given up.
const CLAIM_ATTEMPTS: usize = 1_000;

/// How a journal of objects is written.
#[derive(Debug, Clone)]
pub struct ObjectOptions {
    /// The number of this writer: above that of every other.
    pub epoch: u64,
    /// How long it may trust that nobody else writes without looking.
    pub lease: Duration,
}

/// A journal of objects open for writing. Every object is durable and whole, so that there is
/// nothing to close.
#[derive(Debug)]
pub struct ObjectJournal {
    objects: Arc<dyn Objects>,
    options: ObjectOptions,
    next: Lsn,
    chain: Digest,
    segments: Vec<SegmentSummary>,
    state: State,
    /// When it was last seen that nobody else writes.
    looked: Moment,
    /// Objects that are of no use, oldest first, and since when.
    useless: VecDeque<(SegmentSummary, Moment)>,
}

/// What may be done next.
#[derive(Debug)]
enum State {
    Ready,
    /// A put that nobody knows the end of. Nothing else may be put under its number.
    Unsettled(Packed),
    /// A writer of that epoch has taken over: nothing, ever.
    Superseded(u64),
}

impl ObjectJournal {
    /// A new journal. Refuses objects that hold one ([`Error::Exists`]).
    pub fn create(
        objects: Arc<dyn Objects>,
        options: ObjectOptions,
    ) -> Result<ObjectJournal, Error> {
        if !list(&*objects, None)?.is_empty() {
            let folder = objects.place("");
            return Err(Error::Exists { folder });
        }
        let cursor = Cursor {
            next: Lsn(1),
            chain: Digest::ZERO,
            epoch: 0,
        };
        Ok(ObjectJournal::at(objects, options, &cursor, Vec::new()))
    }

    fn at(
        objects: Arc<dyn Objects>,
        options: ObjectOptions,
        cursor: &Cursor,
        segments: Vec<SegmentSummary>,
    ) -> ObjectJournal {
        ObjectJournal {
            objects,
            options,
            next: cursor.next,
            chain: cursor.chain,
            segments,
            state: State::Ready,
            looked: Moment::now(),
            useless: VecDeque::new(),
        }
    }

    /// Opens a journal to continue it: replays every entry after `start.after` into `visit`, then
    /// stores the claim, the entry that `claim` makes for its lsn, and visits that too. From then on
    /// no writer before this one can store anything. [`Error::Epoch`] when one of the same or a
    /// higher epoch has been here.
    pub fn open(
        objects: Arc<dyn Objects>,
        start: Start,
        options: ObjectOptions,
        claim: &mut dyn FnMut(Lsn) -> Result<Vec<u8>, VisitError>,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
    ) -> Result<(ObjectJournal, Recovery), Error> {
        let mut walked = walk(&*objects, start, visit)?;
        for _ in 0..CLAIM_ATTEMPTS {
            let cursor = walked.cursor;
            if cursor.epoch >= options.epoch {
                return Err(Error::Epoch {
                    given: options.epoch,
                    found: cursor.epoch,
                });
            }
            let entry = claim(cursor.next).map_err(|source| Error::Visit {
                lsn: cursor.next,
                source,
            })?;
            let packed = pack(&[entry], options.epoch, cursor.next, cursor.chain);
            let name = object_name(packed.first);
            let (own, found) = match store(&*objects, &name, &packed.bytes) {
                Ok(Outcome::Own) => (true, packed.bytes),
                Ok(Outcome::Other(found)) => (false, found),
                Ok(Outcome::Gone) => {
                    let (after, first) = (start.after, packed.first.next());
                    return Err(Error::Collected { after, first });
                }
                Err(Unsettled { source, .. }) => {
                    return Err(failed(&*objects, "store", &name, source));
                }
            };
            let mut here = Some(cursor);
            let first = cursor.next;
            walked.entries += step(&*objects, &name, first, &found, &mut here, start, visit)?;
            let bytes = found.len() as u64;
            walked.bytes += bytes;
            walked.segments.push(SegmentSummary { first, bytes });
            walked.cursor = here.unwrap_or(cursor);
            if own {
                let recovery = Recovery {
                    last: walked.cursor.next.before(),
                    digest: walked.cursor.chain,
                    entries: walked.entries,
                    bytes: walked.bytes,
                    clean: true,
                    torn: None,
                    rewritten: None,
                };
                let segments = std::mem::take(&mut walked.segments);
                let journal = ObjectJournal::at(objects, options, &walked.cursor, segments);
                return Ok((journal, recovery));
            }
        }
        Err(Error::Epoch {
            given: options.epoch,
            found: walked.cursor.epoch,
        })
    }

    /// Appends a group: all of it or nothing. It is durable when this returns `Ok`. After
    /// [`AppendError::Unknown`] the next call is [`ObjectJournal::settle`], which tells what became
    /// of the group.
    pub fn append<E: AsRef<[u8]>>(&mut self, entries: &[E]) -> Result<Appended, AppendError> {
        check_limits(entries, self.next)?;
        if let State::Unsettled(group) = &self.state {
            let name = object_name(group.first);
            let source: Box<dyn std::error::Error + Send + Sync> =
                "the group before this one is not settled".into();
            let error = failed(&*self.objects, "store", &name, ObjectError::Refused(source));
            return Err(AppendError::NotWritten(error));
        }
        self.look_if_due().map_err(AppendError::NotWritten)?;
        let group = pack(entries, self.options.epoch, self.next, self.chain);
        self.carry_through(group, false)
    }

    /// What became of the group whose append returned [`AppendError::Unknown`]: it is in the journal
    /// (`Some`) or it is not and never will be (`None`, also when there was no such group). On an
    /// error that is still open, and nothing can be appended.
    pub fn settle(&mut self) -> Result<Option<Appended>, Error> {
        if matches!(self.state, State::Ready) {
            return Ok(None);
        }
        self.look_if_due()?;
        let group = match std::mem::replace(&mut self.state, State::Ready) {
            State::Unsettled(group) => group,
            other => {
                self.state = other;
                return Ok(None);
            }
        };
        match self.carry_through(group, true) {
            Ok(appended) => Ok(Some(appended)),
            Err(AppendError::NotWritten(error) | AppendError::Unknown(error)) => Err(error),
            // The group was held against the limits when it was appended.
            Err(_) => Ok(None),
        }
    }

    /// `again`: an earlier put of the group was not answered, so that no refusal settles it.
    fn carry_through(&mut self, group: Packed, again: bool) -> Result<Appended, AppendError> {
        let name = object_name(group.first);
        let begun = Moment::now();
        match store(&*self.objects, &name, &group.bytes) {
            Ok(Outcome::Own) if begun.elapsed() <= self.options.lease => {
                // The number was free, so nobody has come before.
                self.looked = begun;
                Ok(self.advance(&group))
            }
            Ok(Outcome::Own) => {
                // It took so long that others may have come, seen the group or not, and moved on.
                let (next, chain) = (self.next, self.chain);
                let appended = self.advance(&group);
                match self.look() {
                    Ok(()) => Ok(appended),
                    Err(error) => {
                        if !matches!(self.state, State::Superseded(_)) {
                            (self.next, self.chain) = (next, chain);
                            self.segments.pop();
                            self.state = State::Unsettled(group);
                        }
                        Err(AppendError::Unknown(error))
                    }
                }
            }
            Ok(Outcome::Other(found)) => {
                let error = self.superseded_by(&name, group.first, &found);
                Err(AppendError::NotWritten(error))
            }
            Ok(Outcome::Gone) => {
                let error = self.superseded(u64::MAX);
                Err(AppendError::Unknown(error))
            }
            Err(Unsettled { unclear, source }) => {
                let error = failed(&*self.objects, "store", &name, source);
                if !(unclear || again) {
                    return Err(AppendError::NotWritten(error));
                }
                tracing::error!(first = %group.first, epoch = self.options.epoch,
                    error = &error as &dyn std::error::Error, "it is unknown whether a group is stored");
                self.state = State::Unsettled(group);
                Err(AppendError::Unknown(error))
            }
        }
    }

    fn advance(&mut self, group: &Packed) -> Appended {
        let bytes = group.bytes.len() as u64;
        let (first, last, digest) = (group.first, group.last, group.digest);
        self.next = last.next();
        self.chain = digest;
        self.segments.push(SegmentSummary { first, bytes });
        Appended {
            first,
            last,
            digest,
            bytes,
        }
    }

    fn look_if_due(&mut self) -> Result<(), Error> {
        match self.state {
            State::Superseded(found) => Err(self.superseded(found)),
            _ if self.looked.elapsed() < self.options.lease => Ok(()),
            _ => self.look(),
        }
    }

    /// Looks whether another writer has come: [`Error::Epoch`] when one has, and then for good.
    pub fn look(&mut self) -> Result<(), Error> {
        if let State::Superseded(found) = self.state {
            return Err(self.superseded(found));
        }
        let begun = Moment::now();
        // The newest object of a journal is never deleted, so a successor has one that is seen here.
        if let Some(newest) = list(&*self.objects, Some(self.next.before()))?.last() {
            let name = object_name(newest.first);
            let found = self
                .objects
                .get(&name)
                .map_err(|source| failed(&*self.objects, "read", &name, source))?;
            let own = match (&self.state, &found) {
                (State::Unsettled(group), Some(found)) => group.bytes == *found,
                _ => false,
            };
            if !own {
                let found = found.unwrap_or_default();
                return Err(self.superseded_by(&name, newest.first, &found));
            }
        }
        self.looked = begun;
        Ok(())
    }

    /// Stops for good: another object stands where this writer's next belongs.
    fn superseded_by(&mut self, name: &str, first: Lsn, found: &[u8]) -> Error {
        match unpack(&*self.objects, name, first, found) {
            Ok(found) => self.superseded(found.header.epoch),
            Err(damaged) => {
                self.state = State::Superseded(u64::MAX);
                damaged
            }
        }
    }

    fn superseded(&mut self, found: u64) -> Error {
        self.state = State::Superseded(found);
        Error::Epoch {
            given: self.options.epoch,
            found,
        }
    }

    /// Whether another writer has taken over, as far as this one has seen.
    pub fn is_superseded(&self) -> bool {
        matches!(self.state, State::Superseded(_))
    }

    /// What asks the store whether another writer has come, without this journal.
    pub fn sight(&self) -> Sight {
        Sight {
            objects: self.objects.clone(),
            last: self.last_lsn(),
            lease: self.options.lease,
        }
    }

    /// Takes in what a look has shown: [`Error::Epoch`] when another writer has come, and then for good.
    pub fn take_in(&mut self, looked: Looked) -> Result<Seen, Error> {
        if let State::Superseded(found) = self.state {
            return Err(self.superseded(found));
        }
        match looked.newest {
            // Put by this writer since the look began.
            Some(newest) if newest < self.next => {}
            Some(_) => self.look()?,
            None => {}
        }
        if looked.begun.elapsed() < self.looked.elapsed() {
            self.looked = looked.begun;
        }
        Ok(looked.seen())
    }

    /// Says that entries before `lsn` are of no use: their objects are [`ObjectJournal::due`]
    /// [`DELETE_AFTER_LEASES`] leases later. The newest object stays.
    pub fn retire_before(&mut self, lsn: Lsn) {
        let mut followed = self.segments.windows(2);
        let useless = followed
            .position(|pair| pair.get(1).is_none_or(|next| next.first > lsn))
            .unwrap_or(self.segments.len().saturating_sub(1));
        let now = Moment::now();
        let retired = self.segments.drain(..useless);
        self.useless.extend(retired.map(|segment| (segment, now)));
    }

    /// Objects that may be deleted now, at most `most`, the oldest first: see [`Seen::delete`].
    pub fn due(&self, most: usize) -> Vec<SegmentSummary> {
        let patience = self.options.lease * DELETE_AFTER_LEASES;
        let due = self.useless.iter().take(most);
        due.take_while(|(_, since)| since.elapsed() >= patience)
            .map(|(segment, _)| *segment)
            .collect()
    }

    /// Says that the oldest objects of those that were due are deleted, so many.
    pub fn forget(&mut self, deleted: usize) {
        self.useless.drain(..deleted.min(self.useless.len()));
    }

    /// The last entry; [`Lsn::ZERO`] when there is none.
    pub fn last_lsn(&self) -> Lsn {
        self.next.before()
    }

    /// The digest of the last frame; [`Digest::ZERO`] when there is none.
    pub fn digest(&self) -> Digest {
        self.chain
    }

    /// The epoch that was given in the options.
    pub fn epoch(&self) -> u64 {
        self.options.epoch
    }

    /// The objects that are of use, oldest first.
    pub fn segments(&self) -> &[SegmentSummary] {
        &self.segments
    }
}

pub(super) fn failed(
    objects: &dyn Objects,
    action: &'static str,
    name: &str,
    source: ObjectError,
) -> Error {
    Error::Object {
        action,
        place: objects.place(name),
        source,
    }
}
