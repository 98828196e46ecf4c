//! Looking whether a writer of objects is still the last one, and deleting what is of no use, without
//! keeping the journal from being written meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::walk::list;
use super::{Moment, Objects, object_name};
use crate::journal::SegmentSummary;
use crate::{Error, Lsn};

/// How many objects are deleted at once. What a crash leaves of them has holes no longer than this.
const AT_ONCE: usize = 16;

/// A look at what follows a journal's last object, see [`ObjectJournal::sight`](crate::ObjectJournal::sight).
#[derive(Debug)]
pub struct Sight {
    pub(super) objects: Arc<dyn Objects>,
    pub(super) last: Lsn,
    pub(super) lease: Duration,
}

/// What a look has shown.
#[derive(Debug)]
pub struct Looked {
    pub(super) begun: Moment,
    /// The newest object after the journal's last one, as that was when the look began.
    pub(super) newest: Option<Lsn>,
    objects: Arc<dyn Objects>,
    lease: Duration,
}

/// The certainty that a writer was the last one a moment ago, for no longer than its lease.
#[derive(Debug)]
pub struct Seen {
    objects: Arc<dyn Objects>,
    begun: Moment,
    lease: Duration,
}

impl Sight {
    /// Asks the store.
    pub fn look(self) -> Result<Looked, Error> {
        let begun = Moment::now();
        let newest = list(&*self.objects, Some(self.last))?;
        Ok(Looked {
            begun,
            newest: newest.last().map(|newest| newest.first),
            objects: self.objects,
            lease: self.lease,
        })
    }
}

impl Looked {
    pub(super) fn seen(self) -> Seen {
        Seen {
            objects: self.objects,
            begun: self.begun,
            lease: self.lease,
        }
    }
}

impl Seen {
    /// Deletes objects of [`ObjectJournal::due`](crate::ObjectJournal::due), in that order as far as it
    /// goes. Returns how many: fewer when the lease was over before the end.
    pub fn delete(&self, due: &[SegmentSummary]) -> Result<usize, Error> {
        let mut deleted = 0;
        for together in due.chunks(AT_ONCE) {
            if self.begun.elapsed() >= self.lease {
                break;
            }
            let names: Vec<String> = together.iter().map(|it| object_name(it.first)).collect();
            self.objects
                .delete_all(&names)
                .map_err(|source| Error::Object {
                    action: "delete",
                    place: self.objects.place(names.first().map_or("", String::as_str)),
                    source,
                })?;
            deleted += together.len();
        }
        Ok(deleted)
    }
}
