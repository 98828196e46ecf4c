//! What can be kept of a damaged journal, and keeping it.
//!
//! [`follow`] reads on from a point that is known to be sound, past whatever is wrong before it;
//! [`scan`] finds what is readable at all. A [`Salvage`] makes a journal of a part of one. It never
//! edits a segment: what stays is said by a new segment's header, as after a failed write.

use std::path::{Path, PathBuf};

use crate::disk::{Disk, Folder};
use crate::folder::{self, SegmentFile};
use crate::format::{
    self, FrameHeader, Kind, SEGMENT_HEADER_BYTES, SegmentHeader, move_frame, new_segment_id,
};
use crate::journal::{Active, Journal, Options};
use crate::segment::{Found, Segment};
use crate::verify::Problem;
use crate::walk::{Cursor, End, Entry, check_link, walk_segment};
use crate::{AppendError, Digest, Error, Lsn};

/// The end of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Its last entry.
    pub lsn: Lsn,
    /// Its digest.
    pub digest: Digest,
}

/// How far a journal can be followed.
#[derive(Debug)]
pub struct Followed {
    /// Where it began: the point that was given, or that before the first segment.
    pub from: Point,
    /// The end of the last frame that was visited.
    pub to: Point,
    /// Why it ends there.
    pub stop: Stop,
}

/// Why a journal cannot be followed further.
#[derive(Debug)]
pub enum Stop {
    /// It ends.
    End(End),
    /// It is damaged.
    Damaged(Problem),
    /// The journal has nothing that ends at the given point: it is damaged there or ends before.
    Absent,
    /// The journal has something else there than what the given point says.
    Contradicted,
}

/// Follows the journal from a point, or from its first segment on, to its end or to the first thing
/// that is wrong. An error only when the folder holds no journal or the point is before its
/// beginning.
pub fn follow(
    folder: impl Into<Folder>,
    from: Option<Point>,
    visit: &mut dyn FnMut(Entry<'_>),
) -> Result<Followed, Error> {
    let folder = folder.into();
    let files = folder::list(&folder)?.segments;
    let Some(first) = files.first() else {
        return Err(Error::Missing {
            folder: folder.path,
        });
    };
    let start = from.unwrap_or(Point {
        lsn: first.first.before(),
        digest: Digest::ZERO,
    });
    let chosen = holder(&files, start.lsn).ok_or(Error::Collected {
        after: start.lsn,
        first: first.first,
    })?;
    let mut walk = Walk {
        from: start,
        cursor: Cursor {
            next: start.lsn.next(),
            chain: start.digest,
            epoch: 0,
        },
        visit,
    };
    let mut stop = Stop::Absent;
    for (index, file) in files.iter().enumerate().skip(chosen) {
        let beginning = (index == chosen).then_some(from);
        stop = walk.segment(file, files.get(index + 1), beginning)?;
        if !matches!(stop, Stop::End(_)) {
            break;
        }
    }
    Ok(Followed {
        to: walk.here(),
        from: walk.from,
        stop,
    })
}

/// The segment that holds the entry after `lsn`, or would.
fn holder(files: &[SegmentFile], lsn: Lsn) -> Option<usize> {
    files
        .partition_point(|file| file.first <= lsn.next())
        .checked_sub(1)
}

struct Walk<'a> {
    from: Point,
    cursor: Cursor,
    visit: &'a mut dyn FnMut(Entry<'_>),
}

impl Walk<'_> {
    fn here(&self) -> Point {
        Point {
            lsn: self.cursor.next.before(),
            digest: self.cursor.chain,
        }
    }

    /// One segment; `beginning` is set for the first.
    fn segment(
        &mut self,
        file: &SegmentFile,
        next: Option<&SegmentFile>,
        beginning: Option<Option<Point>>,
    ) -> Result<Stop, Error> {
        let mut segment = match Segment::open(file) {
            Ok(segment) => segment,
            Err(error) => return Ok(Stop::Damaged(Problem::of(error)?)),
        };
        let offset = match beginning {
            None => {
                if let Err(error) = check_link(&segment, &self.cursor) {
                    return Ok(Stop::Damaged(Problem::of(error)?));
                }
                SEGMENT_HEADER_BYTES as u64
            }
            Some(None) => {
                self.cursor.chain = segment.header.previous;
                self.from = self.here();
                SEGMENT_HEADER_BYTES as u64
            }
            Some(Some(point)) => match find(&mut segment, point)? {
                Place::At(offset) => offset,
                Place::Absent => return Ok(Stop::Absent),
                Place::Contradicted => return Ok(Stop::Contradicted),
            },
        };
        let successor = next.map(boundary);
        let visit = &mut self.visit;
        let walked = walk_segment(
            &mut segment,
            offset,
            &mut self.cursor,
            successor.as_ref(),
            &mut |header, digest, frame, _| {
                visit_all(header, digest, frame, visit);
                Ok(())
            },
        );
        Ok(match walked {
            Ok(walked) => Stop::End(walked.end),
            Err(error) => Stop::Damaged(Problem::of(error)?),
        })
    }
}

fn visit_all(header: &FrameHeader, digest: Digest, frame: &[u8], visit: &mut dyn FnMut(Entry<'_>)) {
    let epoch = header.epoch;
    let mut lsn = header.first;
    for bytes in format::entries(header.body(frame)) {
        visit(Entry {
            lsn,
            bytes,
            epoch,
            digest,
        });
        lsn = lsn.next();
    }
}

/// Where the next segment begins, by its name: even when its header is unreadable, what follows in
/// the segment before it does not count.
fn boundary(file: &SegmentFile) -> SegmentHeader {
    SegmentHeader {
        id: [0; 16],
        epoch: 0,
        first: file.first,
        previous: Digest::ZERO,
    }
}

/// What a segment has at a point.
enum Place {
    /// The frame after it begins here.
    At(u64),
    Absent,
    Contradicted,
}

/// Looks for `point` in the segment that should hold what follows it, past damage.
fn find(segment: &mut Segment, point: Point) -> Result<Place, Error> {
    let next = point.lsn.next();
    let mut offset = SEGMENT_HEADER_BYTES as u64;
    if segment.header.first == next {
        return Ok(agree(segment.header.previous == point.digest, offset));
    }
    loop {
        match segment.frame_at(offset)? {
            Found::End => return Ok(Place::Absent),
            Found::Frame(header, digest, _) => {
                let after = offset + header.frame_bytes() as u64;
                if header.kind == Kind::Entries && header.next() == next {
                    return Ok(agree(digest == point.digest, after));
                }
                if header.first == next {
                    return Ok(agree(header.previous == point.digest, offset));
                }
                if header.next() > next {
                    return Ok(Place::Contradicted);
                }
                offset = after;
            }
            Found::Bad(_, from) => match segment.later_frame(from, Lsn(1))? {
                Some(later) => offset = later,
                None => return Ok(Place::Absent),
            },
        }
    }
}

fn agree(same: bool, offset: u64) -> Place {
    if same {
        Place::At(offset)
    } else {
        Place::Contradicted
    }
}

/// Visits the entries of every frame that reaches beyond `after` and is readable by itself, whatever
/// is wrong around it. Returns the last entry that is known to have been there.
pub fn scan(
    folder: impl Into<Folder>,
    after: Lsn,
    visit: &mut dyn FnMut(Entry<'_>),
) -> Result<Lsn, Error> {
    let files = folder::list(&folder.into())?.segments;
    let mut last = Lsn::ZERO;
    for (index, file) in files.iter().enumerate() {
        let end = files.get(index + 1).map(|next| next.first);
        let Ok(mut segment) = Segment::open(file) else {
            continue;
        };
        last = last.max(file.first.before());
        let mut offset = SEGMENT_HEADER_BYTES as u64;
        loop {
            match segment.frame_at(offset)? {
                Found::End => break,
                // What stands behind the beginning of the next segment never counted.
                Found::Frame(header, ..) if end.is_some_and(|end| header.first >= end) => break,
                Found::Frame(header, digest, frame) => {
                    last = last.max(header.next().before());
                    if header.next() > after.next() {
                        visit_all(&header, digest, frame, visit);
                    }
                    offset += header.frame_bytes() as u64;
                }
                Found::Bad(_, from) => match segment.later_frame(from, Lsn(1))? {
                    Some(later) => offset = later,
                    None => break,
                },
            }
        }
    }
    Ok(last)
}

/// A journal made of a part of one. The caller holds what keeps writers apart, and has copied the
/// files of [`Salvage::replaces`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Salvage {
    /// It begins after this point; what stands before is dropped.
    BeginAfter(Point),
    /// It ends at this point, with these entries after it; what stands behind is dropped.
    EndAfter(Point, Vec<Vec<u8>>),
}

impl Salvage {
    /// The files that [`Salvage::apply`] removes or replaces.
    pub fn replaces(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut files = folder::list(&folder.into())?.segments;
        match self {
            Salvage::BeginAfter(point) => files.retain(|file| file.first <= point.lsn.next()),
            Salvage::EndAfter(point, _) => files.retain(|file| file.first > point.lsn),
        }
        Ok(files.into_iter().map(|file| file.path).collect())
    }

    /// Does it. What a crash leaves of it can be salvaged in the same way.
    pub fn apply(&self, folder: &Path, options: Options) -> Result<(), AppendError> {
        let failed = AppendError::NotWritten;
        match self {
            Salvage::BeginAfter(point) => begin_after(folder, *point, &options).map_err(failed),
            Salvage::EndAfter(point, entries) => {
                let disk = Disk {
                    faults: options.faults.clone(),
                };
                // The newest first: at every moment what is left is a beginning.
                for path in self.replaces(folder).map_err(failed)?.iter().rev() {
                    disk.remove(path).map_err(failed)?;
                }
                disk.sync_folder(folder).map_err(failed)?;
                let begun = Journal::begin(folder, options, point.lsn, point.digest);
                let mut journal = begun.map_err(failed)?;
                if !entries.is_empty() {
                    journal.append(entries)?;
                }
                journal.close().map_err(failed)
            }
        }
    }
}

/// Copies the frames after `point` from its segment into one of their own, then removes what stands
/// before.
fn begin_after(folder: &Path, point: Point, options: &Options) -> Result<(), Error> {
    let disk = Disk {
        faults: options.faults.clone(),
    };
    std::fs::create_dir_all(folder).map_err(|source| Error::Io {
        action: "create the folder",
        path: folder.to_owned(),
        source,
    })?;
    let files = folder::list(&Folder::watched(folder, options.faults.clone()))?.segments;
    let header = SegmentHeader {
        id: new_segment_id(),
        epoch: options.epoch,
        first: point.lsn.next(),
        previous: point.digest,
    };
    let mut frames = Vec::new();
    if let Some(chosen) = holder(&files, point.lsn) {
        let next = files.get(chosen + 1).map(boundary);
        if let Ok(mut segment) = Segment::open(&files[chosen])
            && let Place::At(offset) = find(&mut segment, point)?
        {
            let mut cursor = Cursor::at(&header);
            let copied = walk_segment(
                &mut segment,
                offset,
                &mut cursor,
                next.as_ref(),
                &mut |_, _, frame, _| {
                    let from = frames.len();
                    frames.extend_from_slice(frame);
                    move_frame(&mut frames[from..], header.id);
                    Ok(())
                },
            );
            // Where it is damaged again, it is the caller's to end it.
            copied
                .map(drop)
                .or_else(|error| Problem::of(error).map(drop))?;
        }
    }
    Active::start(&disk, folder, &header, &frames)?;
    for file in files.iter().filter(|file| file.first < header.first) {
        disk.remove(&file.path)?;
    }
    disk.sync_folder(folder)
}
