//! One segment, read: its header, its frames one after another, and the search for a later frame.
//! It says what stands at an offset; what that means is decided in `walk`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::disk::Disk;
use crate::error::BadFrame;
use crate::folder::SegmentFile;
use crate::format::{
    BadSegmentHeader, FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION,
};
use crate::limits::SECTOR_BYTES;
use crate::{Digest, Error, Lsn, Reason};

/// How much is read at once, at least.
const READ_BYTES: usize = 256 << 10;

/// A segment open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) header: SegmentHeader,
    /// Length when it was opened; what a writer adds later is not looked at.
    pub(crate) bytes: u64,
    window: Window,
}

/// What stands at an offset.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// The end of the file.
    End,
    /// A sound frame: header, digest and all of its bytes.
    Frame(FrameHeader, Digest, &'a [u8]),
    /// No sound frame; a later one is to be looked for from the given offset.
    Bad(BadFrame, u64),
}

impl Segment {
    /// Opens a segment and checks its header against its name.
    pub(crate) fn open(file: &SegmentFile) -> Result<Segment, Error> {
        let path = file.path.clone();
        let failed = |source| Error::Io {
            action: "open",
            path: path.clone(),
            source,
        };
        file.disk.reads(&path).map_err(failed)?;
        let handle = File::open(&path).map_err(failed)?;
        let bytes = handle.metadata().map_err(failed)?.len();
        let mut window = Window {
            file: handle,
            path: path.clone(),
            disk: file.disk.clone(),
            limit: bytes,
            buffer: Vec::new(),
            start: 0,
        };
        let damaged = |reason| Error::Damaged {
            segment: path.clone(),
            offset: 0,
            reason,
        };
        let head = window.at(0, SEGMENT_HEADER_BYTES)?;
        let header = SegmentHeader::decode(head).map_err(|bad| match bad {
            BadSegmentHeader::Unreadable => damaged(Reason::Header),
            BadSegmentHeader::Version(found) => Error::Version {
                segment: path.clone(),
                found,
                known: VERSION,
            },
        })?;
        if header.first != file.first {
            return Err(damaged(Reason::HeaderLsn {
                header: header.first,
            }));
        }
        if header.first == Lsn(1) && header.previous != Digest::ZERO {
            let (expected, found) = (Digest::ZERO, header.previous);
            return Err(damaged(Reason::Chain { expected, found }));
        }
        Ok(Segment {
            path,
            header,
            bytes,
            window,
        })
    }

    /// What stands at `offset`.
    pub(crate) fn frame_at(&mut self, offset: u64) -> Result<Found<'_>, Error> {
        if offset >= self.bytes {
            return Ok(Found::End);
        }
        let head = self.window.at(offset, FRAME_HEADER_BYTES)?;
        let short = head.len() < FRAME_HEADER_BYTES;
        let sector = offset + SECTOR_BYTES as u64;
        let Some(header) = FrameHeader::decode(head) else {
            let bad = if short {
                BadFrame::ShortHeader
            } else {
                BadFrame::Header
            };
            return Ok(Found::Bad(bad, sector));
        };
        if header.segment != self.header.id {
            return Ok(Found::Bad(BadFrame::Stranger, sector));
        }
        // The header is sound, so it is known how far its body reaches: nothing in there is taken
        // for a frame.
        let end = offset + header.frame_bytes() as u64;
        let frame = self.window.at(offset, header.frame_bytes())?;
        Ok(match header.check(frame) {
            Ok(digest) => Found::Frame(header, digest, frame),
            Err(bad) => Found::Bad(bad, end),
        })
    }

    /// Where the first frame header of this segment begins at or after `from`, if there is one that
    /// could follow `next`. Its body is not looked at: a frame is only begun after the one before
    /// it is durable, so its header is proof enough.
    pub(crate) fn later_frame(&mut self, from: u64, next: Lsn) -> Result<Option<u64>, Error> {
        let mut offset = from;
        while offset < self.bytes {
            let head = self.window.at(offset, FRAME_HEADER_BYTES)?;
            let later = FrameHeader::decode(head)
                .is_some_and(|header| header.segment == self.header.id && header.first >= next);
            if later {
                return Ok(Some(offset));
            }
            offset += SECTOR_BYTES as u64;
        }
        Ok(None)
    }

    /// The path, for errors.
    pub(crate) fn damaged(&self, offset: u64, reason: Reason) -> Error {
        Error::Damaged {
            segment: self.path.clone(),
            offset,
            reason,
        }
    }
}

/// A part of the file, held in memory.
#[derive(Debug)]
struct Window {
    file: File,
    path: PathBuf,
    disk: Disk,
    limit: u64,
    buffer: Vec<u8>,
    start: u64,
}

impl Window {
    /// `length` bytes from `offset`, or as many as there are.
    fn at(&mut self, offset: u64, length: usize) -> Result<&[u8], Error> {
        let there = usize::try_from(self.limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(there);
        let held = self.start..self.start + self.buffer.len() as u64;
        if offset < held.start || offset + length as u64 > held.end {
            let filled = self.fill(offset, length.max(READ_BYTES).min(there));
            filled.map_err(|source| Error::Read {
                path: self.path.clone(),
                offset,
                source,
            })?;
        }
        let from = (offset - self.start) as usize;
        let to = (from + length).min(self.buffer.len());
        Ok(self.buffer.get(from..to).unwrap_or(&[]))
    }

    fn fill(&mut self, offset: u64, length: usize) -> io::Result<()> {
        self.start = offset;
        self.buffer.clear();
        self.disk.reads(&self.path)?;
        self.buffer.resize(length, 0);
        let mut filled = 0;
        while filled < length {
            match self
                .file
                .read_at(&mut self.buffer[filled..], offset + filled as u64)
            {
                Ok(0) => break, // a writer cut the file meanwhile
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.clear();
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}
