//! A graph's log, wherever the graph is kept, and the right to write it.

use std::sync::Arc;
use std::time::Duration;

use journal::{
    AppendError, Appended, Error, Journal, Looked, Lsn, ObjectJournal, ObjectOptions, ObjectTail,
    Point, Recovery, Seen, SegmentSummary, Sight, Start, VisitError,
};

use crate::aside::in_background;
use crate::disk;
use crate::graph::{LOCAL_EPOCH, Options};
use crate::lock::{LockError, WriterLock};
use crate::record::{Record, Term};
use crate::store::claim::{Claim, ClaimError};
use crate::store::{LogObjects, Store};

/// The most objects of a log that are deleted before it is looked again who writes.
const OBJECTS: usize = 64;

/// How often an epoch is claimed that the log turns out to have passed.
const CLAIMS: usize = 3;

/// What makes this process the writer of a graph.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, while a graph is opened"
)]
pub(crate) enum Right {
    /// The lock on its folder.
    Lock(WriterLock),
    /// An epoch, and a lease in an object store.
    Claim(Claim),
}

impl Right {
    /// The right to write, unless another has it. In an object store the epoch is at least `least`.
    pub(super) fn take(store: &Store, lease: Duration, least: u64) -> Result<Self, ClaimError> {
        match store.bucket() {
            Some(bucket) => Claim::take(bucket, lease, least).map(Self::Claim),
            None => match WriterLock::acquire(&store.place("")) {
                Ok(lock) => Ok(Self::Lock(lock)),
                Err(LockError::Held(holder)) => Err(ClaimError::Held(holder)),
                Err(LockError::File(error)) => Err(error.into()),
            },
        }
    }
}

/// The log, open for writing.
#[derive(Debug)]
pub(super) struct Log {
    form: Form,
    /// Whether what the log has can only be told by opening it again.
    lost: bool,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one a graph, mostly the large one"
)]
enum Form {
    Folder(Journal, WriterLock),
    Objects(Box<ObjectJournal>, Held),
}

/// A claim by which this log is written, and nothing once the log is gone, whoever else looks at it.
#[derive(Debug)]
struct Held(Arc<Claim>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// Takes the log's entries.
type Visit<'a> = dyn FnMut(journal::Entry<'_>) -> Result<(), VisitError> + 'a;

impl Log {
    /// Makes the log of a new graph.
    pub(super) fn create(store: &Store, right: Right, lease: Duration) -> Result<Self, Error> {
        let form = match right {
            Right::Claim(claim) => {
                let objects = Arc::new(objects(store)?);
                let options = ObjectOptions {
                    epoch: claim.epoch(),
                    lease,
                };
                let journal = ObjectJournal::create(objects, options)?;
                Form::Objects(Box::new(journal), Held(Arc::new(claim)))
            }
            Right::Lock(lock) => {
                let options = journal::Options {
                    epoch: LOCAL_EPOCH,
                    ..journal::Options::default()
                };
                Form::Folder(Journal::create(&store.place("log"), options)?, lock)
            }
        };
        Ok(Self { form, lost: false })
    }

    /// Replays the log from `start` on and continues it. When that fails, the right stays.
    pub(super) fn open(
        store: &Store,
        right: &mut Option<Right>,
        options: &Options,
        start: Start,
        visit: &mut Visit<'_>,
    ) -> Result<(Self, Recovery), Error> {
        let missing = || Error::Missing {
            folder: store.place("log"),
        };
        let (form, recovery) = match right.take().ok_or_else(missing)? {
            Right::Claim(claim) => {
                let epoch = claim.epoch();
                match open_objects(store, epoch, options.lease, start, visit) {
                    Ok((journal, recovery)) => {
                        claim.forget_others();
                        let claim = Held(Arc::new(claim));
                        (Form::Objects(Box::new(journal), claim), recovery)
                    }
                    Err(error) => {
                        *right = Some(Right::Claim(claim));
                        return Err(error);
                    }
                }
            }
            Right::Lock(lock) => match open_folder(store, options, start, visit) {
                Ok((journal, recovery)) => {
                    lock.publish(recovery.last.0);
                    (Form::Folder(journal, lock), recovery)
                }
                Err(error) => {
                    *right = Some(Right::Lock(lock));
                    return Err(error);
                }
            },
        };
        Ok((Self { form, lost: false }, recovery))
    }

    /// Appends a group; see [`Journal::append`].
    pub(super) fn append<E: AsRef<[u8]>>(
        &mut self,
        entries: &[E],
    ) -> Result<Appended, AppendError> {
        match &mut self.form {
            Form::Folder(journal, lock) => {
                let appended = journal.append(entries)?;
                lock.publish(appended.last.0);
                Ok(appended)
            }
            Form::Objects(journal, claim) => {
                let appended = journal.append(entries);
                if appended.is_ok() {
                    renew_if_due(&claim.0);
                }
                // A later look would tell what became of the group, and everybody who has been told
                // otherwise by then would have to be told anew. Opening the graph again is simpler.
                let unknown = matches!(appended, Err(AppendError::Unknown(_)));
                self.lost |= unknown || journal.is_superseded();
                appended
            }
        }
    }

    /// Makes what it has a part of its own, that can go without what comes. In an object store each group
    /// is one.
    pub(super) fn end_part(&mut self) -> Result<(), Error> {
        match &mut self.form {
            Form::Folder(journal, _) => journal.end_segment(),
            Form::Objects(..) => Ok(()),
        }
    }

    /// What this process claims in an object store.
    pub(super) fn claim(&self) -> Option<Arc<Claim>> {
        match &self.form {
            Form::Folder(..) => None,
            Form::Objects(_, claim) => Some(claim.0.clone()),
        }
    }

    /// What asks the store whether another writer has come, without keeping others from the log
    /// meanwhile. Nothing in a folder, where the lock keeps them away.
    pub(super) fn sight(&self) -> Option<Sight> {
        match &self.form {
            Form::Folder(..) => None,
            Form::Objects(journal, _) => Some(journal.sight()),
        }
    }

    /// Takes in what that has shown.
    pub(super) fn take_in(&mut self, looked: Looked) -> Result<Option<Seen>, Error> {
        match &mut self.form {
            Form::Folder(..) => Ok(None),
            Form::Objects(journal, _) => {
                let seen = journal.take_in(looked);
                self.lost |= journal.is_superseded();
                seen.map(Some)
            }
        }
    }

    /// Whether nothing can be appended, and what the log has is only told by opening it again.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// The last entry.
    pub(super) fn last_lsn(&self) -> Lsn {
        match &self.form {
            Form::Folder(journal, _) => journal.last_lsn(),
            Form::Objects(journal, _) => journal.last_lsn(),
        }
    }

    /// The term of this writer.
    pub(super) fn epoch(&self) -> u64 {
        match &self.form {
            Form::Folder(journal, _) => journal.epoch(),
            Form::Objects(journal, _) => journal.epoch(),
        }
    }

    /// The files or objects that it is in, oldest first.
    pub(super) fn segments(&self) -> &[SegmentSummary] {
        match &self.form {
            Form::Folder(journal, _) => journal.segments(),
            Form::Objects(journal, _) => journal.segments(),
        }
    }

    /// Removes what is before `lsn`, as far as it is in parts of its own. In an object store they are
    /// only said to be of no use, and are due later.
    pub(super) fn remove_before(&mut self, lsn: Lsn) -> Result<(), Error> {
        match &mut self.form {
            Form::Folder(journal, _) => journal.remove_before(lsn).map(drop),
            Form::Objects(journal, _) => {
                journal.retire_before(lsn);
                Ok(())
            }
        }
    }

    /// Objects that are to be deleted now.
    pub(super) fn due(&self) -> Vec<SegmentSummary> {
        match &self.form {
            Form::Folder(..) => Vec::new(),
            Form::Objects(journal, _) => journal.due(OBJECTS),
        }
    }

    /// So many of them are.
    pub(super) fn forget(&mut self, deleted: usize) {
        if let Form::Objects(journal, _) = &mut self.form {
            journal.forget(deleted);
        }
    }

    /// Closes it cleanly, and lets others write.
    pub(super) fn close(self) -> Result<(), Error> {
        match self.form {
            Form::Folder(journal, lock) => {
                let closed = journal.close();
                drop(lock);
                closed
            }
            Form::Objects(_, claim) => {
                claim.0.release();
                Ok(())
            }
        }
    }
}

/// Says that this writer is at work, when that was said some time ago. Nobody waits for it.
pub(super) fn renew_if_due(claim: &Arc<Claim>) {
    if let Some(renewal) = claim.renewal() {
        in_background(move || renewal.make());
    }
}

fn open_folder(
    store: &Store,
    options: &Options,
    start: Start,
    visit: &mut Visit<'_>,
) -> Result<(Journal, Recovery), Error> {
    let options = journal::Options {
        segment_bytes: options.segment_bytes,
        epoch: LOCAL_EPOCH,
        faults: disk::faults(&store.place("log")),
    };
    Journal::open(&store.place("log"), start, options, visit)
}

fn open_objects(
    store: &Store,
    epoch: u64,
    lease: Duration,
    start: Start,
    visit: &mut Visit<'_>,
) -> Result<(ObjectJournal, Recovery), Error> {
    let objects = Arc::new(objects(store)?);
    let mut term = |lsn: Lsn| Ok(term(lsn, epoch).encode()?);
    let options = ObjectOptions { epoch, lease };
    ObjectJournal::open(objects, start, options, &mut term, visit)
}

/// A place in a log from which it is followed while another process writes it. A copy goes its own way.
#[derive(Clone, Debug)]
pub(super) enum Tail {
    Folder(journal::Tail),
    Objects(ObjectTail),
}

impl Tail {
    /// Follows the log after a point; its writers keep to the lease.
    pub(super) fn after(store: &Store, point: Point, lease: Duration) -> Result<Self, Error> {
        match store.bucket() {
            None => {
                let log = disk::log(&store.place("log"));
                Ok(Self::Folder(journal::Tail::after(log, point)))
            }
            Some(_) => {
                let objects = Arc::new(objects(store)?);
                Ok(Self::Objects(ObjectTail::after(objects, point, lease)))
            }
        }
    }

    /// How far it has come.
    pub(super) fn point(&self) -> Point {
        match self {
            Self::Folder(tail) => tail.point(),
            Self::Objects(tail) => tail.point(),
        }
    }

    /// Visits what is new and durable: in a folder what its writer says is, `published`; in an object
    /// store all that there is.
    pub(super) fn follow(&mut self, published: Lsn, visit: &mut Visit<'_>) -> Result<(), Error> {
        match self {
            Self::Folder(tail) => tail.follow(published, visit),
            Self::Objects(tail) => tail.follow(visit),
        }
    }
}

/// Visits the log's entries after `after` without writing, whoever else writes; see
/// [`journal::read`].
pub(super) fn read(store: &Store, after: Lsn, visit: &mut Visit<'_>) -> Result<(), Error> {
    match store.bucket() {
        Some(_) => journal::read_objects(&objects(store)?, after, visit).map(drop),
        None => journal::read(disk::log(&store.place("log")), after, visit).map(drop),
    }
}

/// The parts that the log is in, oldest first, as they are seen without writing.
pub(super) fn segments(store: &Store) -> Result<Vec<SegmentSummary>, Error> {
    if store.bucket().is_none() {
        return journal::segments(&store.place("log"));
    }
    journal::object_segments(&objects(store)?)
}

/// Opens a log as `open` does with the right it is given. An epoch that the log turns out to have
/// passed, as when the objects that say so were lost, is claimed anew.
pub(crate) fn with_right<T, E>(
    store: &Store,
    lease: Duration,
    mut open: impl FnMut(Right) -> Result<T, E>,
    passed: impl Fn(&E) -> Option<u64>,
) -> Result<T, E>
where
    E: From<ClaimError>,
{
    let mut least = 1;
    for _ in 1..CLAIMS {
        match open(Right::take(store, lease, least)?) {
            Err(error) if store.bucket().is_some() => match passed(&error) {
                Some(found) => least = found.saturating_add(1),
                None => return Err(error),
            },
            other => return other,
        }
    }
    open(Right::take(store, lease, least)?)
}

fn objects(store: &Store) -> Result<LogObjects, Error> {
    let bucket = store.bucket().ok_or_else(|| Error::Missing {
        folder: store.place("log"),
    })?;
    Ok(LogObjects::of(bucket))
}

/// The record with which a writer begins.
pub(crate) fn term(lsn: Lsn, epoch: u64) -> Record {
    let (pid, host, time_micros) = crate::lock::myself();
    Record::Term(Term {
        lsn: lsn.0,
        epoch,
        time_micros,
        pid,
        host,
    })
}
