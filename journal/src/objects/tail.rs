//! Following a journal of objects that another process writes. What is there is durable, so all of it
//! is visited. Each call asks the store at least once: the answer is as new as the call.

use std::sync::Arc;
use std::time::Duration;

use super::walk::{list, read_all, step, walk};
use super::{DELETE_AFTER_LEASES, Moment, Objects, object_name};
use crate::journal::Start;
use crate::salvage::Point;
use crate::walk::{Cursor, Entry};
use crate::{Digest, Error, Lsn, VisitError};

/// A place in a journal of objects, from which it is followed. A copy goes its own way.
#[derive(Debug, Clone)]
pub struct ObjectTail {
    objects: Arc<dyn Objects>,
    point: Point,
    /// How long an object outlives being found of no use.
    kept: Duration,
    /// Where the journal was followed to, and a moment when nothing of what follows was deleted; not
    /// before the first time.
    stand: Option<(Cursor, Moment)>,
}

impl ObjectTail {
    /// Follows the journal after `point`, which has [`Digest::ZERO`] for lsn 0. Its writers have a
    /// lease of at least `lease`.
    #[must_use]
    pub fn after(objects: Arc<dyn Objects>, point: Point, lease: Duration) -> ObjectTail {
        ObjectTail {
            objects,
            point,
            kept: lease * DELETE_AFTER_LEASES,
            stand: None,
        }
    }

    /// How far it has come: the end of the last object that was visited whole.
    #[must_use]
    pub fn point(&self) -> Point {
        self.stand.map_or(self.point, |(cursor, _)| Point {
            lsn: cursor.next.before(),
            digest: cursor.chain,
        })
    }

    /// Visits what is new. After an error of the visitor its object is visited again.
    ///
    /// [`Error::Collected`]: what comes next is not kept any more. [`Error::Damaged`] with
    /// [`Reason::Chain`](crate::Reason::Chain): this is another journal than the one that was followed.
    pub fn follow(
        &mut self,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
    ) -> Result<(), Error> {
        let begun = Moment::now();
        let cursor = match self.stand {
            None => self.begin(visit)?,
            Some((cursor, since)) => self.go_on(cursor, since, visit)?,
        };
        self.stand = Some((cursor, begun));
        Ok(())
    }

    /// The first time: also holds the point against what the journal has there.
    fn begin(
        &mut self,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
    ) -> Result<Cursor, Error> {
        let Point { lsn, digest } = self.point;
        let start = Start {
            after: lsn,
            digest: (digest != Digest::ZERO).then_some(digest),
        };
        Ok(walk(&*self.objects, start, visit)?.cursor)
    }

    fn go_on(
        &mut self,
        cursor: Cursor,
        since: Moment,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
    ) -> Result<Cursor, Error> {
        let objects = self.objects.clone();
        let name = object_name(cursor.next);
        let found = objects.get(&name).map_err(|source| Error::Object {
            action: "read",
            place: objects.place(&name),
            source,
        })?;
        let mut here = cursor;
        match found {
            Some(bytes) => self.take(&mut here, &name, &bytes, since, &mut *visit)?,
            // It was not there at `since`, or this would have visited it; so what was put under that
            // name has not been deleted yet.
            None if since.elapsed() < self.kept => return Ok(here),
            None => {}
        }
        let segments = list(&*objects, Some(here.next.before()))?;
        read_all(&*objects, &segments, &mut |name, segment, found| {
            let next = here.next;
            let bytes = found.filter(|_| segment.first == next);
            let Some(bytes) = bytes else {
                // The numbers have no gaps: what is missing was there, and was deleted.
                let (after, first) = (next.before(), segment.first.max(next.next()));
                return Err(Error::Collected { after, first });
            };
            self.take(&mut here, name, &bytes, since, &mut *visit)
        })?;
        Ok(here)
    }

    /// One object more; it stays visited when the next one cannot be.
    fn take(
        &mut self,
        here: &mut Cursor,
        name: &str,
        bytes: &[u8],
        since: Moment,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
    ) -> Result<(), Error> {
        let start = Start {
            after: here.next.before(),
            digest: None,
        };
        let (first, mut cursor): (Lsn, _) = (here.next, Some(*here));
        step(
            &*self.objects,
            name,
            first,
            bytes,
            &mut cursor,
            start,
            visit,
        )?;
        *here = cursor.unwrap_or(*here);
        self.stand = Some((*here, since));
        Ok(())
    }
}
