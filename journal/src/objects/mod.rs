//! The journal in an object store: no files, no folders, no `flock`.
//!
//! One group is one object: a whole segment with one frame, `<first lsn>.seg`, stored only if no
//! object has that name. The frame is the same as on a disk, so that its digest, the chain and every
//! checkpoint that names it stay what they are when a journal is copied from one to the other. The
//! segment id in it is random, and tells a writer its own object from another's.
//!
//! # Why no two writers can both acknowledge
//!
//! - A writer first stores a group of its own, its *claim*, at the next lsn, with an epoch above all
//!   others'. Whoever held the journal before finds that number taken, reads what is there, sees the
//!   higher epoch, and stops for good.
//! - After a time-out, or when the number is taken, the object is read back: one with the own bytes
//!   is the own. A number whose put is not settled is never used for another payload.
//! - A writer that has not looked for longer than its lease looks at what follows its last object
//!   before it writes, and before it acknowledges what took that long.
//! - Objects are deleted ten leases after they were found to be of no use, and only by a writer that
//!   has just seen that it is the last ([`Seen`]): a writer that was stopped in mid-put could otherwise
//!   store its group under a number that is free again. The journal itself is not needed while the
//!   store is asked and while it deletes ([`Sight`]), so that nobody who writes waits for that.

mod salvage;
mod sight;
mod store;
mod tail;
mod walk;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

pub use salvage::{bar_objects, end_objects};
pub use sight::{Looked, Seen, Sight};
pub use tail::ObjectTail;
pub use walk::{object_segments, read_objects};
pub use writer::{ObjectJournal, ObjectOptions};

use crate::Lsn;

/// How many leases an object outlives the moment when it was found to be of no use.
pub const DELETE_AFTER_LEASES: u32 = 10;

/// The objects of one journal, in some store. Names have no folder. Every call blocks.
pub trait Objects: fmt::Debug + Send + Sync {
    /// Stores an object, durably, unless one has that name.
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<Put, ObjectError>;

    /// Stores an object, durably, whatever has that name: to mend a journal.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectError>;

    /// A whole object; `None` when there is none of that name.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, ObjectError>;

    /// Several objects, in the order of their names here.
    fn get_all(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, ObjectError> {
        names.iter().map(|name| self.get(name)).collect()
    }

    /// Every object whose name comes after `after`, in no order. What was put before is in it.
    fn list(&self, after: Option<&str>) -> Result<Vec<Object>, ObjectError>;

    /// Removes an object. One that is not there is none too many.
    fn delete(&self, name: &str) -> Result<(), ObjectError>;

    /// Removes several objects, in no order.
    fn delete_all(&self, names: &[String]) -> Result<(), ObjectError> {
        names.iter().try_for_each(|name| self.delete(name))
    }

    /// Waits before the `attempt`-th repetition, counted from 1, of what failed.
    fn wait(&self, attempt: u32);

    /// Where an object is, for people.
    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

/// What became of a put that the store has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is stored.
    Stored,
    /// There is an object of that name: perhaps this one, when an answer was lost on the way.
    Exists,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// Why the store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// It said no: nothing was changed, for certain.
    #[error("the object store refuses")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer, or not clearly: what was asked for may have happened, or may yet.
    #[error("the object store does not answer clearly")]
    Unclear(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The object of the group that begins at `first`.
fn object_name(first: Lsn) -> String {
    format!("{:020}.seg", first.0)
}

/// The lsn in a name; `None` for names that are not ours.
fn lsn_of(name: &str) -> Option<Lsn> {
    crate::folder::parse_lsn(name.strip_suffix(".seg")?)
}

/// A moment, and how long ago it was. Time counts that passed while the machine slept.
#[derive(Debug, Clone, Copy)]
struct Moment {
    steady: Instant,
    clock: SystemTime,
}

impl Moment {
    fn now() -> Moment {
        Moment {
            steady: Instant::now(),
            clock: SystemTime::now(),
        }
    }

    fn elapsed(&self) -> Duration {
        let by_clock = self.clock.elapsed().unwrap_or_default();
        self.steady.elapsed().max(by_clock)
    }
}
