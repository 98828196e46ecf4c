//! The one way through a journal: from a known point to its end, checking every link. Opening,
//! reading and verifying all walk here; none of them decides for itself what counts.

use std::path::Path;

use crate::error::BadFrame;
use crate::folder::SegmentFile;
use crate::format::{self, FrameHeader, Kind, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::journal::Start;
use crate::segment::{Found, Segment};
use crate::{Digest, Error, Lsn, Reason, VisitError};

/// One entry, as a visitor sees it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its position.
    pub lsn: Lsn,
    /// What was appended.
    pub bytes: &'a [u8],
    /// The epoch of the writer that appended it.
    pub epoch: u64,
    /// The digest of its frame: what a checkpoint that has folded this entry keeps, and later gives
    /// back in [`Start`].
    pub digest: Digest,
}

/// How a journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the footer of a clean close.
    Clean,
    /// After a sound frame or header, without a footer: a writer is at work, or was killed.
    Open,
    /// With a frame that was not finished: a writer is at work, or was killed while it wrote.
    Torn {
        /// Where in the last segment it begins, in bytes.
        offset: u64,
        /// How many bytes there are from there.
        bytes: u64,
        /// What is wrong with it.
        reason: BadFrame,
    },
}

/// How far a walk has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    /// The lsn that comes next.
    pub(crate) next: Lsn,
    /// The digest of all before it.
    pub(crate) chain: Digest,
    /// The epoch of the last frame; frames never go back.
    pub(crate) epoch: u64,
}

impl Cursor {
    /// Where a segment says that it begins.
    pub(crate) fn at(header: &SegmentHeader) -> Cursor {
        Cursor {
            next: header.first,
            chain: header.previous,
            epoch: 0,
        }
    }
}

/// A frame and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) header: FrameHeader,
    pub(crate) offset: u64,
}

/// What a walk through one segment came to.
#[derive(Debug)]
pub(crate) struct SegmentEnd {
    pub(crate) end: End,
    /// Where its counting bytes end.
    pub(crate) offset: u64,
    pub(crate) last_frame: Option<Located>,
}

/// Takes each sound frame: header, digest, bytes, offset.
pub(crate) type OnFrame<'a> = dyn FnMut(&FrameHeader, Digest, &[u8], u64) -> Result<(), Error> + 'a;

/// Walks one segment from `offset`, where a frame begins, to where `successor` begins, or to its
/// end when it is the last. `cursor` stands at `offset` and is moved to the end.
pub(crate) fn walk_segment(
    segment: &mut Segment,
    mut offset: u64,
    cursor: &mut Cursor,
    successor: Option<&SegmentHeader>,
    on_frame: &mut OnFrame<'_>,
) -> Result<SegmentEnd, Error> {
    let high = segment.header.epoch;
    if high < cursor.epoch {
        let reason = Reason::Epoch {
            found: high,
            low: cursor.epoch,
            high: u64::MAX,
        };
        return Err(segment.damaged(0, reason));
    }
    let mut last_frame = None;
    loop {
        if successor.is_some_and(|successor| successor.first == cursor.next) {
            // Whatever follows in this file never counted. Where the successor begins is the
            // caller's to check: its digest is in another file.
            return Ok(SegmentEnd {
                end: End::Open,
                offset,
                last_frame,
            });
        }
        let bytes = segment.bytes;
        let (header, digest, frame) = match segment.frame_at(offset)? {
            Found::Frame(header, digest, frame) => (header, digest, frame),
            Found::End => {
                return match successor {
                    Some(successor) => Err(gap(segment, offset, cursor, successor)),
                    None => Ok(SegmentEnd {
                        end: End::Open,
                        offset,
                        last_frame,
                    }),
                };
            }
            Found::Bad(reason, search_from) => {
                torn_or_damaged(segment, offset, reason, search_from, cursor, successor)?;
                let end = End::Torn {
                    offset,
                    bytes: bytes - offset,
                    reason,
                };
                return Ok(SegmentEnd {
                    end,
                    offset,
                    last_frame,
                });
            }
        };
        if let Some(reason) = misfit(&header, cursor, high, successor) {
            return Err(segment.damaged(offset, reason));
        }
        if header.kind == Kind::Entries {
            on_frame(&header, digest, frame, offset)?;
            *cursor = Cursor {
                next: header.next(),
                chain: digest,
                epoch: header.epoch,
            };
        }
        let after = offset + header.frame_bytes() as u64;
        if header.kind == Kind::Footer {
            return match successor {
                Some(successor) => Err(gap(segment, offset, cursor, successor)),
                None if after != bytes => Err(segment.damaged(after, Reason::AfterFooter)),
                None => Ok(SegmentEnd {
                    end: End::Clean,
                    offset: after,
                    last_frame,
                }),
            };
        }
        last_frame = Some(Located { header, offset });
        offset = after;
    }
}

/// Why a sound frame does not belong where it stands.
fn misfit(
    header: &FrameHeader,
    cursor: &Cursor,
    high: u64,
    successor: Option<&SegmentHeader>,
) -> Option<Reason> {
    if header.first != cursor.next {
        return Some(Reason::Order {
            expected: cursor.next,
            found: header.first,
        });
    }
    if header.previous != cursor.chain {
        return Some(Reason::Chain {
            expected: cursor.chain,
            found: header.previous,
        });
    }
    if !(cursor.epoch..=high).contains(&header.epoch) {
        return Some(Reason::Epoch {
            found: header.epoch,
            low: cursor.epoch,
            high,
        });
    }
    let successor = successor?;
    (header.next() > successor.first).then(|| Reason::Straddle {
        first: header.first,
        last: header.next().before(),
        successor: successor.first,
    })
}

fn gap(segment: &Segment, offset: u64, cursor: &Cursor, successor: &SegmentHeader) -> Error {
    let (next, successor) = (cursor.next, successor.first);
    segment.damaged(offset, Reason::Gap { next, successor })
}

/// A bad frame is torn when nothing was begun after it; otherwise it had been durable.
fn torn_or_damaged(
    segment: &mut Segment,
    offset: u64,
    bad: BadFrame,
    search_from: u64,
    cursor: &Cursor,
    successor: Option<&SegmentHeader>,
) -> Result<(), Error> {
    if let Some(successor) = successor {
        let successor = successor.first;
        return Err(segment.damaged(offset, Reason::FrameBeforeSegment { bad, successor }));
    }
    match segment.later_frame(search_from, cursor.next)? {
        Some(later) => Err(segment.damaged(offset, Reason::FrameBeforeFrame { bad, later })),
        None => Ok(()),
    }
}

/// What a walk came to.
#[derive(Debug)]
pub(crate) struct Walked {
    pub(crate) cursor: Cursor,
    /// Entries that were visited.
    pub(crate) entries: u64,
    /// Bytes of the frames that held them.
    pub(crate) bytes: u64,
    /// The epoch of the last writer that made a segment.
    pub(crate) epoch: u64,
    pub(crate) last_segment: SegmentFile,
    pub(crate) end: End,
    /// The last frame of the last segment.
    pub(crate) last_frame: Option<Located>,
}

/// Walks from `start` to the journal's end and visits every entry after it.
pub(crate) fn walk(
    segments: &[SegmentFile],
    start: Start,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
) -> Result<Walked, Error> {
    let from = segments.partition_point(|segment| segment.first <= start.after.next());
    let Some(chosen) = from.checked_sub(1) else {
        let first = segments.first().map_or(Lsn::ZERO, |segment| segment.first);
        return Err(Error::Collected {
            after: start.after,
            first,
        });
    };

    let mut segment = Segment::open(&segments[chosen])?;
    let mut cursor = Cursor::at(&segment.header);
    if cursor.next == start.after.next() {
        check_digest(&segment.path, 0, start, cursor.chain)?;
    }
    let (mut entries, mut bytes) = (0, 0);
    for (index, file) in segments.iter().enumerate().skip(chosen) {
        let successor = segments.get(index + 1).map(Segment::open).transpose()?;
        let path = segment.path.clone();
        let walked = walk_segment(
            &mut segment,
            SEGMENT_HEADER_BYTES as u64,
            &mut cursor,
            successor.as_ref().map(|successor| &successor.header),
            &mut |header, digest, frame, offset| {
                let holds_start = (header.first..header.next()).contains(&start.after);
                if holds_start {
                    check_digest(&path, offset, start, digest)?;
                }
                let visited = visit_frame(header, digest, frame, start.after, visit)?;
                entries += visited;
                if visited > 0 {
                    bytes += header.frame_bytes() as u64;
                }
                Ok(())
            },
        )?;
        let Some(next) = successor else {
            let last = cursor.next.before();
            if last < start.after {
                return Err(Error::EndsEarly {
                    after: start.after,
                    last,
                });
            }
            let (last_segment, end) = (file.clone(), walked.end);
            let (last_frame, epoch) = (walked.last_frame, segment.header.epoch);
            return Ok(Walked {
                cursor,
                entries,
                bytes,
                epoch,
                last_segment,
                end,
                last_frame,
            });
        };
        check_link(&next, &cursor)?;
        segment = next;
    }
    // The last segment has no successor, so the loop has returned.
    Err(Error::EndsEarly {
        after: start.after,
        last: cursor.next.before(),
    })
}

/// A segment must name the digest of what was read before it.
pub(crate) fn check_link(segment: &Segment, cursor: &Cursor) -> Result<(), Error> {
    let (expected, found) = (cursor.chain, segment.header.previous);
    if expected == found {
        return Ok(());
    }
    Err(segment.damaged(0, Reason::Chain { expected, found }))
}

/// The caller may know the digest of the frame that holds its starting point.
pub(crate) fn check_digest(
    path: &Path,
    offset: u64,
    start: Start,
    here: Digest,
) -> Result<(), Error> {
    match start.digest {
        Some(found) if found != here => {
            let reason = Reason::Chain {
                expected: here,
                found,
            };
            Err(Error::Damaged {
                segment: path.to_owned(),
                offset,
                reason,
            })
        }
        _ => Ok(()),
    }
}

pub(crate) fn visit_frame(
    header: &FrameHeader,
    digest: Digest,
    frame: &[u8],
    after: Lsn,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
) -> Result<u64, Error> {
    let mut visited = 0;
    let mut lsn = header.first;
    for bytes in format::entries(header.body(frame)) {
        if lsn > after {
            visit(Entry {
                lsn,
                bytes,
                epoch: header.epoch,
                digest,
            })
            .map_err(|source| Error::Visit { lsn, source })?;
            visited += 1;
        }
        lsn = lsn.next();
    }
    Ok(visited)
}
