//! Reading without writing: for a second process, beside a writer at work. It never repairs.

use crate::disk::Folder;
use crate::folder;
use crate::journal::{SegmentSummary, Start};
use crate::walk::{End, Entry, walk};
use crate::{Digest, Error, Lsn, VisitError};

/// How far a reader came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadEnd {
    /// The last entry.
    pub last: Lsn,
    /// The digest of its frame.
    pub digest: Digest,
    /// The last entry that is known to be durable. Those after it (at most one frame) may be on
    /// their way to the disk still, and come to nothing if that fails.
    pub settled: Lsn,
    /// How the journal ended when it was read.
    pub end: End,
}

/// Visits every entry after `after`, up to the end of the journal or the first unfinished frame.
pub fn read(
    folder: impl Into<Folder>,
    after: Lsn,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
) -> Result<ReadEnd, Error> {
    let folder = folder.into();
    let listing = folder::list(&folder)?;
    let walked = walk(
        listing.sound(&folder.path)?,
        Start {
            after,
            digest: None,
        },
        visit,
    )?;
    let last = walked.cursor.next.before();
    let settled = match (walked.end, &walked.last_frame) {
        (End::Open, Some(frame)) => frame.header.first.before(),
        // A footer, or the beginning of another frame, follows only what is durable; and so does
        // the segment that has no frame yet.
        _ => last,
    };
    Ok(ReadEnd {
        last,
        digest: walked.cursor.chain,
        settled,
        end: walked.end,
    })
}

/// The segments in `folder`, oldest first, by their names alone; none when it holds no journal.
pub fn segments(folder: impl Into<Folder>) -> Result<Vec<SegmentSummary>, Error> {
    let files = folder::list(&folder.into())?.segments.into_iter();
    let summary = |file: folder::SegmentFile| SegmentSummary {
        first: file.first,
        bytes: file.bytes,
    };
    Ok(files.map(summary).collect())
}
