//! Ending a damaged journal of objects at a point that is sound.
//!
//! No number that was ever taken becomes free again: a writer that was stopped in mid-put could store
//! its group there, and believe that it counts. So what is dropped is replaced, each object by one that
//! begins where it began; and before that the journal gets an end by which every writer there was finds
//! its next number taken.

use super::store::{Outcome, Packed, Unsettled, pack, store, unpack};
use super::walk::list;
use super::writer::failed;
use super::{Objects, object_name};
use crate::format::{FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::journal::{SegmentSummary, check_limits};
use crate::salvage::Point;
use crate::{AppendError, Digest, Error, Lsn, MAX_GROUP_ENTRIES, VisitError};

/// Makes entries for a position: for all from there, as many as it gives.
type Entries<'a> = dyn FnMut(Lsn) -> Result<Vec<Vec<u8>>, VisitError> + 'a;

/// What the newest object says of itself, whatever is wrong with its body.
struct Newest {
    /// The number after it; `None` when its header cannot be read.
    next: Option<Lsn>,
    /// The number of its writer.
    epoch: u64,
    first: Lsn,
}

impl Newest {
    /// The number that its writer goes on with, or one that is beyond it.
    fn end(&self) -> Lsn {
        let far = self.first.plus(MAX_GROUP_ENTRIES as u64);
        self.next.unwrap_or(far)
    }
}

fn newest(objects: &dyn Objects) -> Result<Option<Newest>, Error> {
    let Some(SegmentSummary { first, .. }) = list(objects, None)?.pop() else {
        return Ok(None);
    };
    let name = object_name(first);
    let found = objects.get(&name);
    let bytes = found
        .map_err(|source| failed(objects, "read", &name, source))?
        .unwrap_or_default();
    let segment = SegmentHeader::decode(&bytes).ok();
    let frame = bytes.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
    let header = FrameHeader::decode(frame).filter(|header| header.first == first);
    Ok(Some(Newest {
        next: header.as_ref().map(FrameHeader::next),
        epoch: (header.map(|it| it.epoch))
            .max(segment.map(|it| it.epoch))
            .unwrap_or(0),
        first,
    }))
}

/// Refuses an epoch that the journal has passed.
fn check_epoch(newest: Option<&Newest>, epoch: u64) -> Result<(), Error> {
    match newest {
        Some(newest) if newest.epoch >= epoch => Err(Error::Epoch {
            given: epoch,
            found: newest.epoch,
        }),
        _ => Ok(()),
    }
}

/// Where the newest object does not say which number follows it, stores `entry` under one that is
/// further than it can reach. Returns whether it did: a writer that does not look for as long as its
/// lease may acknowledge groups in between for two leases more, and none after that.
pub fn bar_objects(
    objects: &dyn Objects,
    epoch: u64,
    entry: &mut dyn FnMut(Lsn) -> Result<Vec<u8>, VisitError>,
) -> Result<bool, Error> {
    let newest = newest(objects)?;
    check_epoch(newest.as_ref(), epoch)?;
    let Some(newest) = newest.filter(|newest| newest.next.is_none()) else {
        return Ok(false);
    };
    let lsn = newest.end();
    let entry = entry(lsn).map_err(|source| Error::Visit { lsn, source })?;
    put(objects, &pack(&[entry], epoch, lsn, Digest::ZERO), epoch)?;
    Ok(true)
}

/// Lets a journal go on from `after` with other entries than it has, by a writer of `epoch`: `entry`
/// gives one for each number that is taken, and one more, so that no writer before this one can store
/// anything then. `ending` gives what stands behind them, perhaps nothing, once all that is sound. What
/// a crash leaves of it can be ended in the same way.
///
/// [`Error::Epoch`] when a writer of the same or a higher epoch has been here, or one was quicker to
/// store something behind the end; nothing was changed unless it says so.
pub fn end_objects(
    objects: &dyn Objects,
    after: Point,
    epoch: u64,
    entry: &mut dyn FnMut(Lsn) -> Result<Vec<u8>, VisitError>,
    ending: &mut Entries<'_>,
) -> Result<(), AppendError> {
    let refused = AppendError::NotWritten;
    let newest = newest(objects).map_err(refused)?;
    check_epoch(newest.as_ref(), epoch).map_err(refused)?;
    let end = newest.map_or(after.lsn, |newest| newest.end());
    let end = end.max(after.lsn.next());
    let dropped = list(objects, Some(after.lsn)).map_err(refused)?;
    let mut borders = dropped.iter().map(|it| it.first).chain([end]).peekable();

    let (mut next, mut chain) = (after.lsn.next(), after.digest);
    let mut replaced = Vec::new();
    while next < end {
        while borders.next_if(|border| *border <= next).is_some() {}
        let far = next.plus(MAX_GROUP_ENTRIES as u64);
        let to = borders.peek().map_or(far, |border| far.min(*border));
        let mut entries = Vec::new();
        let mut lsn = next;
        while lsn < to {
            let made = entry(lsn).map_err(|source| refused(Error::Visit { lsn, source }))?;
            entries.push(made);
            lsn = lsn.next();
        }
        let packed = packed(&entries, epoch, next, chain)?;
        (next, chain) = (packed.last.next(), packed.digest);
        replaced.push(packed);
    }
    let last = entry(end).map_err(|source| refused(Error::Visit { lsn: end, source }))?;
    let last = packed(&[last], epoch, end, chain)?;
    put(objects, &last, epoch).map_err(refused)?;
    // The oldest last: until then the journal is damaged where it was.
    for packed in replaced.iter().rev() {
        let name = object_name(packed.first);
        objects
            .replace(&name, &packed.bytes)
            .map_err(|source| AppendError::Unknown(failed(objects, "replace", &name, source)))?;
    }
    let lsn = end.next();
    let entries = ending(lsn).map_err(|source| refused(Error::Visit { lsn, source }))?;
    if entries.is_empty() {
        return Ok(());
    }
    let ending = packed(&entries, epoch, lsn, last.digest)?;
    put(objects, &ending, epoch).map_err(AppendError::Unknown)
}

fn packed(
    entries: &[Vec<u8>],
    epoch: u64,
    first: Lsn,
    chain: Digest,
) -> Result<Packed, AppendError> {
    check_limits(entries, first)?;
    Ok(pack(entries, epoch, first, chain))
}

/// Stores an object under a number that nobody has taken.
fn put(objects: &dyn Objects, packed: &Packed, epoch: u64) -> Result<(), Error> {
    let name = object_name(packed.first);
    let quicker = |found| Error::Epoch {
        given: epoch,
        found,
    };
    match store(objects, &name, &packed.bytes) {
        Ok(Outcome::Own) => Ok(()),
        Ok(Outcome::Other(found)) => {
            let found = unpack(objects, &name, packed.first, &found);
            Err(quicker(found.map_or(0, |found| found.header.epoch)))
        }
        Ok(Outcome::Gone) => Err(quicker(0)),
        Err(Unsettled { source, .. }) => Err(failed(objects, "store", &name, source)),
    }
}
