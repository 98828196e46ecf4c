//! What opening for writing changes on disk after an unclean end. Each step may be the last one
//! before a crash, and leaves a journal that opens with the same entries:
//!
//! 1. The torn bytes are copied beside the segment, and the copy is synced: an extra file.
//! 2. They are cut off: what counts is the same.
//! 3. The last frame is written into a new segment, which appears whole by a rename: the same frame,
//!    with the same digest, in another file. From then on the old segment ends before it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::BadFrame;
use crate::folder::torn_path;
use crate::format::{FrameHeader, SegmentHeader, move_frame, new_segment_id};
use crate::journal::{Active, Tail};
use crate::walk::{End, Located, Walked};
use crate::{Digest, Error, Lsn, Reason};

/// How much of a torn end is copied at once.
const COPY_BYTES: usize = 1 << 20;

/// What opening a journal found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// The last entry.
    pub last: Lsn,
    /// The digest of the last frame.
    pub digest: Digest,
    /// How many entries were visited.
    pub entries: u64,
    /// Bytes of the frames that held them: the tail that the caller's next checkpoint could fold.
    pub bytes: u64,
    /// The journal ended with a footer. Otherwise its writer was killed, or lost its disk.
    pub clean: bool,
    /// A frame that was not finished, and was cut off. It was never acknowledged.
    pub torn: Option<Torn>,
    /// The first and last lsn of the frame that was copied into a new segment, since it may have
    /// existed in memory only.
    pub rewritten: Option<(Lsn, Lsn)>,
}

/// A frame that was not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment that it was cut from.
    pub segment: PathBuf,
    /// Where it began, in bytes.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// What is wrong with it.
    pub reason: BadFrame,
    /// Where they are kept.
    pub copy: PathBuf,
}

/// A journal whose end is in order.
pub(crate) struct Repaired {
    pub(crate) tail: Tail,
    pub(crate) recovery: Recovery,
}

/// Brings the end of the journal in order.
pub(crate) fn repair(
    disk: &Disk,
    folder: &Path,
    epoch: u64,
    walked: &Walked,
) -> Result<Repaired, Error> {
    let segment = &walked.last_segment.path;
    let mut recovery = Recovery {
        last: walked.cursor.next.before(),
        digest: walked.cursor.chain,
        entries: walked.entries,
        bytes: walked.bytes,
        clean: walked.end == End::Clean,
        torn: None,
        rewritten: None,
    };
    match walked.end {
        End::Clean => {
            return Ok(Repaired {
                tail: Tail::Footed,
                recovery,
            });
        }
        End::Open => {}
        End::Torn {
            offset,
            bytes,
            reason,
        } => {
            let copy = keep_torn(disk, folder, segment, offset)?;
            disk.cut(segment, offset)?;
            tracing::warn!(segment = %segment.display(), offset, bytes, %reason,
                copy = %copy.display(), "cut off an unfinished frame");
            let segment = segment.clone();
            recovery.torn = Some(Torn {
                segment,
                offset,
                bytes,
                reason,
                copy,
            });
        }
    }
    let tail = match &walked.last_frame {
        Some(frame) => {
            recovery.rewritten = Some((frame.header.first, frame.header.next().before()));
            Tail::Writing(rewrite(disk, folder, epoch, walked, frame)?)
        }
        None => Tail::Stale,
    };
    Ok(Repaired { tail, recovery })
}

/// Copies everything from `offset` on beside the segment, durably.
fn keep_torn(disk: &Disk, folder: &Path, segment: &Path, offset: u64) -> Result<PathBuf, Error> {
    let failed = |source| Error::Read {
        path: segment.to_owned(),
        offset,
        source,
    };
    disk.reads(segment).map_err(failed)?;
    let source = File::open(segment).map_err(failed)?;
    let path = torn_path(segment);
    let copy = disk.create(&path)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut copied = 0;
    loop {
        let count = source
            .read_at(&mut buffer, offset + copied)
            .map_err(failed)?;
        if count == 0 {
            break;
        }
        disk.write(&copy, copied, &buffer[..count])?;
        copied += count as u64;
    }
    disk.sync(&copy)?;
    disk.sync_folder(folder)?;
    Ok(path)
}

/// Copies the last frame into a segment of its own.
fn rewrite(
    disk: &Disk,
    folder: &Path,
    epoch: u64,
    walked: &Walked,
    last: &Located,
) -> Result<Active, Error> {
    let segment = &walked.last_segment.path;
    let mut frame = vec![0; last.header.frame_bytes()];
    disk.reads(segment)
        .and_then(|()| File::open(segment))
        .and_then(|file| file.read_exact_at(&mut frame, last.offset))
        .map_err(|source| Error::Read {
            path: segment.clone(),
            offset: last.offset,
            source,
        })?;
    let header = SegmentHeader {
        id: new_segment_id(),
        epoch,
        first: last.header.first,
        previous: last.header.previous,
    };
    move_frame(&mut frame, header.id);
    // Read a second time, so checked a second time: what is written is what was visited.
    let checked = FrameHeader::decode(&frame)
        .ok_or(BadFrame::Header)
        .and_then(|header| header.check(&frame))
        .map_err(Reason::Frame)
        .and_then(|found| {
            let expected = walked.cursor.chain;
            (found == expected)
                .then_some(())
                .ok_or(Reason::Chain { expected, found })
        });
    if let Err(reason) = checked {
        return Err(Error::Damaged {
            segment: segment.clone(),
            offset: last.offset,
            reason,
        });
    }
    Active::start(disk, folder, &header, &frame)
}
