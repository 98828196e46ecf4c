//! Following a journal that another process writes. Each call takes up where the one before ended,
//! so that a reader that follows closely reads every byte once.
//!
//! A frame may be seen before its writer has synced it, and comes to nothing when that fails. So a
//! frame is visited only when it is known to be durable: its writer says so ([`Tail::follow`]'s
//! `published`), or something was begun after it.

use std::path::Path;

use crate::disk::Folder;
use crate::folder;
use crate::format::{FrameHeader, SEGMENT_HEADER_BYTES, SegmentId};
use crate::salvage::Point;
use crate::segment::Segment;
use crate::walk::{Cursor, Entry, SegmentEnd, check_link, visit_frame, walk_segment};
use crate::{Digest, Error, Lsn, Reason, VisitError};

/// A place in a journal, from which it is followed. A copy goes its own way.
#[derive(Debug, Clone)]
pub struct Tail {
    folder: Folder,
    cursor: Cursor,
    /// Where the cursor stands, once that is known.
    stand: Option<Stand>,
}

#[derive(Debug, Clone, Copy)]
struct Stand {
    segment: SegmentId,
    offset: u64,
}

/// Ends a walk at a frame that may not be durable yet.
#[derive(Debug, thiserror::Error)]
#[error("the frame may not be durable yet")]
struct Unsettled;

impl Tail {
    /// Follows the journal in `folder` after `point`, which has [`Digest::ZERO`] for lsn 0.
    #[must_use]
    pub fn after(folder: impl Into<Folder>, point: Point) -> Tail {
        Tail {
            folder: folder.into(),
            cursor: Cursor {
                next: point.lsn.next(),
                chain: point.digest,
                epoch: 0,
            },
            stand: None,
        }
    }

    /// How far it has come: the end of the last frame that was visited whole.
    #[must_use]
    pub fn point(&self) -> Point {
        Point {
            lsn: self.cursor.next.before(),
            digest: self.cursor.chain,
        }
    }

    /// Visits what is new and durable. Frames up to `published` are, as their writer says; a frame
    /// that is not whole is not there yet. After an error of the visitor its frame is visited again.
    ///
    /// [`Error::Collected`]: what comes next is not kept any more. [`Error::Damaged`] with
    /// [`Reason::Chain`]: this is another journal than the one that was followed.
    pub fn follow(
        &mut self,
        published: Lsn,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
    ) -> Result<(), Error> {
        let listing = folder::list(&self.folder)?;
        let files = listing.sound(&self.folder.path)?;
        let next = self.cursor.next;
        let chosen = files
            .partition_point(|file| file.first <= next)
            .checked_sub(1)
            .ok_or(Error::Collected {
                after: next.before(),
                first: files.first().map_or(Lsn::ZERO, |file| file.first),
            })?;
        let mut segment = Segment::open(&files[chosen])?;
        for index in chosen..files.len() {
            let successor = files.get(index + 1).map(Segment::open).transpose()?;
            if !self.segment(&mut segment, successor.as_ref(), published, visit)? {
                break;
            }
            let Some(successor) = successor else { break };
            check_link(&successor, &self.cursor)?;
            segment = successor;
            self.stand = None;
        }
        Ok(())
    }

    /// One segment, from where the cursor stands in it. `false` when it ended at a frame that may
    /// not be durable.
    fn segment(
        &mut self,
        segment: &mut Segment,
        successor: Option<&Segment>,
        published: Lsn,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
    ) -> Result<bool, Error> {
        let id = segment.header.id;
        let begin = self.begin(segment)?;
        let (path, bytes) = (segment.path.clone(), segment.bytes);
        let mut cursor = begin.0;
        let walked = walk_segment(
            segment,
            begin.1,
            &mut cursor,
            successor.map(|successor| &successor.header),
            &mut |header, digest, frame, offset| {
                let after = offset + header.frame_bytes() as u64;
                let begun_after = after < bytes || successor.is_some();
                if header.next() > published.next() && !begun_after {
                    let (lsn, source) = (header.first, Box::new(Unsettled));
                    return Err(Error::Visit { lsn, source });
                }
                self.check(&path, header, digest, offset)?;
                if header.next() > self.cursor.next {
                    let seen = self.cursor.next.before();
                    visit_frame(header, digest, frame, seen, visit)?;
                    self.cursor = Cursor {
                        next: header.next(),
                        chain: digest,
                        epoch: header.epoch,
                    };
                }
                self.stand = Some(Stand {
                    segment: id,
                    offset: after,
                });
                Ok(())
            },
        );
        match walked {
            Ok(SegmentEnd { .. }) => Ok(true),
            Err(Error::Visit { source, .. }) if source.is::<Unsettled>() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where to begin in a segment: where the cursor stands, or at its first frame.
    fn begin(&self, segment: &Segment) -> Result<(Cursor, u64), Error> {
        if let Some(stand) = self.stand
            && stand.segment == segment.header.id
        {
            return Ok((self.cursor, stand.offset));
        }
        let cursor = Cursor::at(&segment.header);
        if cursor.next == self.cursor.next && cursor.chain != self.cursor.chain {
            return Err(self.contradicted(&segment.path, 0, cursor.chain));
        }
        Ok((cursor, SEGMENT_HEADER_BYTES as u64))
    }

    /// The frame that holds the last entry seen must be the one that was seen.
    fn check(
        &self,
        path: &Path,
        header: &FrameHeader,
        digest: Digest,
        offset: u64,
    ) -> Result<(), Error> {
        let last = self.cursor.next.before();
        let holds_last = (header.first..header.next()).contains(&last);
        if holds_last && digest != self.cursor.chain {
            return Err(self.contradicted(path, offset, digest));
        }
        Ok(())
    }

    fn contradicted(&self, path: &Path, offset: u64, here: Digest) -> Error {
        Error::Damaged {
            segment: path.to_owned(),
            offset,
            reason: Reason::Chain {
                expected: here,
                found: self.cursor.chain,
            },
        }
    }
}
