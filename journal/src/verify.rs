//! A doctor's walk: through everything, past what is wrong, changing nothing.

use std::path::PathBuf;

use crate::disk::Folder;
use crate::folder::{self, SegmentFile};
use crate::format::SEGMENT_HEADER_BYTES;
use crate::segment::Segment;
use crate::walk::{Cursor, End, check_link, walk_segment};
use crate::{Digest, Error, Lsn, Reason};

/// What a journal holds and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Oldest first; those that cannot be opened are left out.
    pub segments: Vec<SegmentReport>,
    /// Everything that is wrong, in the order of the segments. Empty: the journal is sound.
    pub problems: Vec<Problem>,
    /// The last entry that could be read.
    pub last: Lsn,
    /// The digest of the last frame that could be read.
    pub digest: Digest,
    /// How the last segment ends; `None` when it is damaged or there is none.
    pub end: Option<End>,
    /// Segments that were never finished: leftovers of a crash, harmless.
    pub unfinished: Vec<PathBuf>,
}

/// One segment that could be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its file.
    pub path: PathBuf,
    /// Its first lsn.
    pub first: Lsn,
    /// How many entries count in it, as far as it is sound.
    pub entries: u64,
    /// How many frames count in it, as far as it is sound.
    pub frames: u64,
    /// The epoch of the writer that made it.
    pub epoch: u64,
    /// The length of its file, in bytes.
    pub bytes: u64,
    /// How many of these, at its end, do not count: what a failed write or a rewritten frame left.
    pub ignored_bytes: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} at byte {offset}: {reason}", segment.display())]
pub struct Problem {
    /// The segment's file.
    pub segment: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub reason: Reason,
}

/// Walks through the whole journal in `folder`. An error only when the folder cannot be listed or
/// holds no journal; all else is in the report.
pub fn verify(folder: impl Into<Folder>) -> Result<Report, Error> {
    let folder = folder.into();
    let listing = folder::list(&folder)?;
    let misnamed = listing.misnamed.iter().map(|path| Problem {
        segment: path.clone(),
        offset: 0,
        reason: Reason::Name,
    });
    let mut report = Report {
        segments: Vec::new(),
        problems: misnamed.collect(),
        last: Lsn::ZERO,
        digest: Digest::ZERO,
        end: None,
        unfinished: listing.unfinished,
    };
    if listing.segments.is_empty() && report.problems.is_empty() {
        return Err(Error::Missing {
            folder: folder.path,
        });
    }
    // Where the last sound segment ended: the next one must link to it.
    let mut ended = None;
    let mut files = listing.segments.iter().peekable();
    while let Some(file) = files.next() {
        ended = examine(file, files.peek().copied(), ended, &mut report)?;
    }
    Ok(report)
}

/// One segment. Returns where it ended, if it is sound.
fn examine(
    file: &SegmentFile,
    next: Option<&SegmentFile>,
    ended: Option<Cursor>,
    report: &mut Report,
) -> Result<Option<Cursor>, Error> {
    report.end = None;
    let Some(mut segment) = note(report, Segment::open(file))? else {
        return Ok(None);
    };
    // The next segment's own faults are noted at its turn; without it, this one is walked as far as
    // it goes.
    let successor = next.and_then(|file| Segment::open(file).ok());
    let mut cursor = Cursor::at(&segment.header);
    if let Some(ended) = ended {
        note(report, check_link(&segment, &ended))?;
        cursor.epoch = ended.epoch;
    }
    let (mut frames, mut entries) = (0, 0);
    let walked = walk_segment(
        &mut segment,
        SEGMENT_HEADER_BYTES as u64,
        &mut cursor,
        successor.as_ref().map(|successor| &successor.header),
        &mut |header, _, _, _| {
            frames += 1;
            entries += u64::from(header.count);
            Ok(())
        },
    );
    let walked = note(report, walked)?;
    let torn = |end| matches!(end, End::Torn { .. });
    let ignored_bytes = match &walked {
        Some(walked) if !torn(walked.end) => segment.bytes.saturating_sub(walked.offset),
        _ => 0,
    };
    report.segments.push(SegmentReport {
        path: file.path.clone(),
        first: file.first,
        entries,
        frames,
        epoch: segment.header.epoch,
        bytes: segment.bytes,
        ignored_bytes,
    });
    report.last = cursor.next.before();
    report.digest = cursor.chain;
    report.end = walked
        .as_ref()
        .filter(|_| next.is_none())
        .map(|walked| walked.end);
    Ok(walked.and(successor).map(|_| cursor))
}

/// Takes an error of one segment into the report; any other is passed on.
fn note<T>(report: &mut Report, result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            report.problems.push(Problem::of(error)?);
            Ok(None)
        }
    }
}

impl Problem {
    /// An error of one segment; any other is given back.
    pub(crate) fn of(error: Error) -> Result<Problem, Error> {
        match error {
            Error::Damaged {
                segment,
                offset,
                reason,
            } => Ok(Problem {
                segment,
                offset,
                reason,
            }),
            Error::Version { segment, found, .. } => Ok(Problem {
                segment,
                offset: 0,
                reason: Reason::Version(found),
            }),
            Error::Read {
                path,
                offset,
                source,
            } => Ok(Problem {
                segment: path,
                offset,
                reason: Reason::Unreadable(source.kind()),
            }),
            Error::Io { path, source, .. } => Ok(Problem {
                segment: path,
                offset: 0,
                reason: Reason::Unreadable(source.kind()),
            }),
            other => Err(other),
        }
    }
}
