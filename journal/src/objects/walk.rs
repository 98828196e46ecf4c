//! From a known point to the end of a journal of objects, checking every link.

use super::store::unpack;
use super::{Objects, lsn_of, object_name};
use crate::journal::{SegmentSummary, Start};
use crate::read::ReadEnd;
use crate::walk::{Cursor, End, Entry, check_digest, visit_frame};
use crate::{Error, Lsn, Reason, VisitError};

/// How many objects are read at once: a few first, for who stops soon, then twice as many each time.
const FIRST_WINDOW: usize = 4;
const LAST_WINDOW: usize = 64;

/// What a walk came to.
pub(super) struct Walked {
    pub(super) cursor: Cursor,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// Every object that there is, oldest first, whether it was looked at or not.
    pub(super) segments: Vec<SegmentSummary>,
}

/// Visits every entry after `start`.
pub(super) fn walk(
    objects: &dyn Objects,
    start: Start,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
) -> Result<Walked, Error> {
    let segments = list(objects, None)?;
    if segments.is_empty() {
        let folder = objects.place("");
        return Err(Error::Missing { folder });
    }
    let from = segments.partition_point(|segment| segment.first <= start.after.next());
    let Some(chosen) = from.checked_sub(1) else {
        let first = segments.first().map_or(Lsn::ZERO, |segment| segment.first);
        return Err(Error::Collected {
            after: start.after,
            first,
        });
    };
    let mut cursor = None;
    let (mut entries, mut bytes) = (0, 0);
    let rest = segments.get(chosen..).unwrap_or_default();
    read_all(objects, rest, &mut |name, segment, found| {
        // Listed, and deleted since: the caller's starting point is no longer kept.
        let found = found.ok_or(Error::Collected {
            after: start.after,
            first: segment.first.next(),
        })?;
        let visited = step(
            objects,
            name,
            segment.first,
            &found,
            &mut cursor,
            start,
            visit,
        )?;
        if visited > 0 {
            entries += visited;
            bytes += found.len() as u64;
        }
        Ok(())
    })?;
    let cursor = cursor.ok_or_else(|| Error::Missing {
        folder: objects.place(""),
    })?;
    let last = cursor.next.before();
    if last < start.after {
        return Err(Error::EndsEarly {
            after: start.after,
            last,
        });
    }
    Ok(Walked {
        cursor,
        entries,
        bytes,
        segments,
    })
}

/// Takes an object of a listing: its name, what the listing says of it, its bytes if it is still there.
type OnObject<'a> = dyn FnMut(&str, &SegmentSummary, Option<Vec<u8>>) -> Result<(), Error> + 'a;

/// Reads objects in their order, several at once.
pub(super) fn read_all(
    objects: &dyn Objects,
    mut rest: &[SegmentSummary],
    take: &mut OnObject<'_>,
) -> Result<(), Error> {
    let mut size = FIRST_WINDOW;
    while !rest.is_empty() {
        let (window, after) = rest.split_at(size.min(rest.len()));
        (rest, size) = (after, (2 * size).min(LAST_WINDOW));
        let names: Vec<String> = window.iter().map(|it| object_name(it.first)).collect();
        let found = objects.get_all(&names).map_err(unread(objects, &names))?;
        for ((name, segment), found) in names.iter().zip(window).zip(found) {
            take(name, segment, found)?;
        }
    }
    Ok(())
}

/// Takes one object as the next, and visits what it has after `start`.
pub(super) fn step(
    objects: &dyn Objects,
    name: &str,
    first: Lsn,
    bytes: &[u8],
    cursor: &mut Option<Cursor>,
    start: Start,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
) -> Result<u64, Error> {
    let place = objects.place(name);
    let read = unpack(objects, name, first, bytes)?;
    let header = &read.header;
    let damaged = |reason| Error::Damaged {
        segment: place.clone(),
        offset: 0,
        reason,
    };
    let here = cursor.get_or_insert(Cursor {
        next: first,
        chain: header.previous,
        epoch: 0,
    });
    if here.next != first {
        return Err(damaged(Reason::Gap {
            next: here.next,
            successor: first,
        }));
    }
    if here.chain != header.previous {
        return Err(damaged(Reason::Chain {
            expected: here.chain,
            found: header.previous,
        }));
    }
    if header.epoch < here.epoch {
        return Err(damaged(Reason::Epoch {
            found: header.epoch,
            low: here.epoch,
            high: u64::MAX,
        }));
    }
    if here.next == start.after.next() {
        check_digest(&place, 0, start, here.chain)?;
    }
    if (header.first..header.next()).contains(&start.after) {
        check_digest(&place, 0, start, read.digest)?;
    }
    let visited = visit_frame(header, read.digest, read.frame, start.after, visit)?;
    *here = Cursor {
        next: header.next(),
        chain: read.digest,
        epoch: header.epoch,
    };
    Ok(visited)
}

/// The objects of a journal after `after`, oldest first. Names that are not ours are left alone.
pub(super) fn list(
    objects: &dyn Objects,
    after: Option<Lsn>,
) -> Result<Vec<SegmentSummary>, Error> {
    let name = after.map(object_name);
    let listed = objects
        .list(name.as_deref())
        .map_err(|source| Error::Object {
            action: "list",
            place: objects.place(""),
            source,
        })?;
    let ours = listed.into_iter().filter_map(|object| {
        let first = lsn_of(&object.name)?;
        let bytes = object.bytes;
        Some(SegmentSummary { first, bytes })
    });
    let mut segments: Vec<SegmentSummary> = ours.collect();
    segments.sort_unstable_by_key(|segment| segment.first);
    Ok(segments)
}

fn unread<'a>(
    objects: &'a dyn Objects,
    names: &'a [String],
) -> impl FnOnce(super::ObjectError) -> Error + 'a {
    move |source| Error::Object {
        action: "read",
        place: objects.place(names.first().map_or("", String::as_str)),
        source,
    }
}

/// The objects of a journal, oldest first; none when there is no journal.
pub fn object_segments(objects: &dyn Objects) -> Result<Vec<SegmentSummary>, Error> {
    list(objects, None)
}

/// Visits every entry after `after`, up to the end, without writing: for a second process, beside a
/// writer at work. What is there is durable, so all of it is settled.
pub fn read_objects(
    objects: &dyn Objects,
    after: Lsn,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
) -> Result<ReadEnd, Error> {
    let start = Start {
        after,
        digest: None,
    };
    let walked = walk(objects, start, visit)?;
    let last = walked.cursor.next.before();
    Ok(ReadEnd {
        last,
        digest: walked.cursor.chain,
        settled: last,
        end: End::Open,
    })
}
