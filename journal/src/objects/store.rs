//! One object: its bytes, and a put that is carried through until it is settled or given up.

use super::{ObjectError, Objects, Put};
use crate::error::BadFrame;
use crate::format::{
    BadSegmentHeader, FrameHeader, Kind, Place, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION,
    encode_frame, new_segment_id,
};
use crate::{Digest, Error, Lsn, Reason};

/// How often a put is tried before it is left unsettled.
const ATTEMPTS: u32 = 4;

/// A group as an object.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) first: Lsn,
    pub(super) last: Lsn,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

/// Makes the object of a group. The caller has held the entries against the limits.
pub(super) fn pack<E: AsRef<[u8]>>(
    entries: &[E],
    epoch: u64,
    first: Lsn,
    previous: Digest,
) -> Packed {
    let header = SegmentHeader {
        id: new_segment_id(),
        epoch,
        first,
        previous,
    };
    let place = Place {
        segment: header.id,
        epoch,
        first,
        previous,
    };
    let mut frame = Vec::new();
    let digest = encode_frame(place, entries, &mut frame);
    let mut bytes = header.encode().to_vec();
    bytes.append(&mut frame);
    Packed {
        first,
        last: first.plus(entries.len() as u64).before(),
        digest,
        bytes,
    }
}

/// An object that was read and is sound by itself.
#[derive(Debug)]
pub(super) struct Unpacked<'a> {
    pub(super) header: FrameHeader,
    pub(super) digest: Digest,
    pub(super) frame: &'a [u8],
}

/// Reads the object that is to begin at `first`.
pub(super) fn unpack<'a>(
    objects: &dyn Objects,
    name: &str,
    first: Lsn,
    bytes: &'a [u8],
) -> Result<Unpacked<'a>, Error> {
    let damaged = |offset: usize, reason| Error::Damaged {
        segment: objects.place(name),
        offset: offset as u64,
        reason,
    };
    let segment = SegmentHeader::decode(bytes).map_err(|bad| match bad {
        BadSegmentHeader::Unreadable => damaged(0, Reason::Header),
        BadSegmentHeader::Version(found) => Error::Version {
            segment: objects.place(name),
            found,
            known: VERSION,
        },
    })?;
    if segment.first != first {
        let header = segment.first;
        return Err(damaged(0, Reason::HeaderLsn { header }));
    }
    let at = SEGMENT_HEADER_BYTES;
    let frame = bytes.get(at..).unwrap_or_default();
    let header =
        FrameHeader::decode(frame).ok_or_else(|| damaged(at, Reason::Frame(BadFrame::Header)))?;
    let digest = header
        .check(frame)
        .map_err(|bad| damaged(at, Reason::Frame(bad)))?;
    if header.segment != segment.id {
        return Err(damaged(at, Reason::Frame(BadFrame::Stranger)));
    }
    let fits = header.kind == Kind::Entries
        && (header.first, header.previous, header.epoch)
            == (segment.first, segment.previous, segment.epoch)
        && header.frame_bytes() == frame.len();
    if !fits {
        return Err(damaged(at, Reason::Frame(BadFrame::Entries)));
    }
    Ok(Unpacked {
        header,
        digest,
        frame,
    })
}

/// What a put came to.
pub(super) enum Outcome {
    /// The object is stored, and it is this one.
    Own,
    /// Another object has that name.
    Other(Vec<u8>),
    /// An object had that name and has been deleted since: others are far ahead.
    Gone,
}

/// Why a put came to nothing.
pub(super) struct Unsettled {
    /// The object may be stored, or may yet be.
    pub(super) unclear: bool,
    pub(super) source: ObjectError,
}

/// Stores an object if its name is free, and finds out whose it is that has the name.
pub(super) fn store(objects: &dyn Objects, name: &str, bytes: &[u8]) -> Result<Outcome, Unsettled> {
    let mut unclear = false;
    let mut attempt = 0;
    loop {
        let mut failure = match objects.put_if_absent(name, bytes) {
            Ok(Put::Stored) => return Ok(Outcome::Own),
            Ok(Put::Exists) => None,
            // A refusal says nothing of an attempt before it that was not answered.
            Err(source @ ObjectError::Refused(_)) if !unclear => {
                return Err(Unsettled { unclear, source });
            }
            Err(source) => {
                unclear = true;
                Some(source)
            }
        };
        match objects.get(name) {
            Ok(Some(found)) if found == bytes => return Ok(Outcome::Own),
            Ok(Some(found)) => return Ok(Outcome::Other(found)),
            Ok(None) if failure.is_none() => return Ok(Outcome::Gone),
            Ok(None) => {}
            Err(source) => {
                // It may be the own one that is there.
                unclear = true;
                failure.get_or_insert(source);
            }
        }
        attempt += 1;
        match failure {
            Some(source) if attempt == ATTEMPTS => return Err(Unsettled { unclear, source }),
            _ => objects.wait(attempt),
        }
    }
}
