//! The writer: one open journal, appended to group by group.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, Faults, Folder};
use crate::folder::{self, segment_path, unfinished_path};
use crate::format::{
    self, Place, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId, encode_frame, new_segment_id,
};
use crate::limits::{
    DEFAULT_SEGMENT_BYTES, MAX_ENTRY_BYTES, MAX_GROUP_BYTES, MAX_GROUP_ENTRIES, MAX_LSN,
};
use crate::repair::{self, Recovery};
use crate::walk::{Entry, walk};
use crate::{AppendError, Digest, Error, Lsn, VisitError};

/// A frame's buffer above this size is given back after use.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// How a journal is written.
#[derive(Debug, Clone)]
pub struct Options {
    /// When a segment is full, in bytes. A frame larger than this has a segment to itself.
    pub segment_bytes: u64,
    /// The number of this writer: at least that of the one before. It is stored with each frame.
    pub epoch: u64,
    /// For tests: makes effects on the disk fail. `None` in production.
    pub faults: Option<Arc<dyn Faults>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            epoch: 0,
            faults: None,
        }
    }
}

/// From where to replay: the default is from the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Start {
    /// The last entry that is not needed any more, such as the last one that a checkpoint folded.
    /// Segments that end before it are not looked at.
    pub after: Lsn,
    /// The digest of the frame that holds `after` ([`Digest::ZERO`] for lsn 0), when it is known:
    /// then the journal is proven to continue what the caller has.
    pub digest: Option<Digest>,
}

/// A durable group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The lsn of its first entry.
    pub first: Lsn,
    /// The lsn of its last entry.
    pub last: Lsn,
    /// The digest of its frame.
    pub digest: Digest,
    /// What it takes on disk, in bytes.
    pub bytes: u64,
}

/// One segment, for those who count or collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Its first lsn.
    pub first: Lsn,
    /// The length of its file, in bytes.
    pub bytes: u64,
}

/// A journal open for writing. Dropped without [`Journal::close`] it ends like after a crash, which
/// loses nothing.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    options: Options,
    disk: Disk,
    tail: Tail,
    next: Lsn,
    chain: Digest,
    segments: Vec<SegmentSummary>,
    buffer: Vec<u8>,
}

/// What the last segment on disk allows.
#[derive(Debug)]
pub(crate) enum Tail {
    /// It may be appended to.
    Writing(Active),
    /// It ends with a footer; the next append starts a successor.
    Footed,
    /// It may hold bytes that do not count, and only a successor says so.
    Stale,
}

/// The segment that is appended to.
#[derive(Debug)]
pub(crate) struct Active {
    file: DiskFile,
    id: SegmentId,
    bytes: u64,
}

impl Journal {
    /// Makes a new journal in `folder`, which is made too when it is missing. Refuses a folder that
    /// has a journal ([`Error::Exists`]).
    pub fn create(folder: &Path, options: Options) -> Result<Journal, Error> {
        let listing = folder::list(&Folder::watched(folder, options.faults.clone()))?;
        if !listing.segments.is_empty() || !listing.misnamed.is_empty() {
            return Err(Error::Exists {
                folder: folder.to_owned(),
            });
        }
        let disk = Disk {
            faults: options.faults.clone(),
        };
        fs::create_dir_all(folder).map_err(|source| Error::Io {
            action: "create the folder",
            path: folder.to_owned(),
            source,
        })?;
        if let Some(parent) = folder.parent() {
            let here = Path::new(".");
            disk.sync_folder(if parent.as_os_str().is_empty() {
                here
            } else {
                parent
            })?;
        }
        Journal::begin(folder, options, Lsn::ZERO, Digest::ZERO)
    }

    /// Starts a segment after `after`, whose frame has the digest `chain`. What it knows of segments
    /// is this one.
    pub(crate) fn begin(
        folder: &Path,
        options: Options,
        after: Lsn,
        chain: Digest,
    ) -> Result<Journal, Error> {
        let disk = Disk {
            faults: options.faults.clone(),
        };
        let mut journal = Journal {
            folder: folder.to_owned(),
            options,
            disk,
            tail: Tail::Stale,
            next: after.next(),
            chain,
            segments: Vec::new(),
            buffer: Vec::new(),
        };
        journal.start_segment()?;
        Ok(journal)
    }

    /// Opens a journal to continue it: replays every entry after `start.after` into `visit`, then
    /// repairs what a crash left at the end. When it returns, all that was visited is durable. On
    /// [`Error::Damaged`] and every other error of the replay nothing was changed on disk.
    pub fn open(
        folder: &Path,
        start: Start,
        options: Options,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), VisitError>,
    ) -> Result<(Journal, Recovery), Error> {
        let listing = folder::list(&Folder::watched(folder, options.faults.clone()))?;
        let segments = listing.sound(folder)?;
        let walked = walk(segments, start, visit)?;
        if options.epoch < walked.epoch {
            return Err(Error::Epoch {
                given: options.epoch,
                found: walked.epoch,
            });
        }
        let disk = Disk {
            faults: options.faults.clone(),
        };
        for path in &listing.unfinished {
            disk.remove(path)?;
        }
        let repaired = repair::repair(&disk, folder, options.epoch, &walked)?;
        let summary = |file: &folder::SegmentFile| SegmentSummary {
            first: file.first,
            bytes: file.bytes,
        };
        let mut journal = Journal {
            folder: folder.to_owned(),
            options,
            disk,
            tail: repaired.tail,
            next: walked.cursor.next,
            chain: walked.cursor.chain,
            segments: segments.iter().map(summary).collect(),
            buffer: Vec::new(),
        };
        if let (Some(torn), Some(last)) = (&repaired.recovery.torn, journal.segments.last_mut()) {
            last.bytes = torn.offset;
        }
        if let (Some((first, _)), Tail::Writing(active)) =
            (repaired.recovery.rewritten, &journal.tail)
        {
            let bytes = active.bytes;
            journal.note_segment(first, bytes);
        }
        Ok((journal, repaired.recovery))
    }

    /// Appends a group: all of it or nothing. It is durable when this returns `Ok`. After an error
    /// the journal can be used on.
    pub fn append<E: AsRef<[u8]>>(&mut self, entries: &[E]) -> Result<Appended, AppendError> {
        check_limits(entries, self.next)?;
        let frame_bytes = format::frame_bytes(entries) as u64;
        if self.needs_segment(frame_bytes) {
            self.start_segment().map_err(AppendError::NotWritten)?;
        }
        let (first, epoch) = (self.next, self.options.epoch);
        let digest = self.write_frame(entries).map_err(|error| {
            tracing::error!(%first, epoch, error = &error as &dyn std::error::Error,
                "a group could not be written; its segment is abandoned");
            AppendError::Unknown(error)
        })?;
        let last = first.plus(entries.len() as u64).before();
        self.next = last.next();
        self.chain = digest;
        Ok(Appended {
            first,
            last,
            digest,
            bytes: frame_bytes,
        })
    }

    /// After [`AppendError::Unknown`]: makes it certain that the failed group does not count, by
    /// starting the next segment now. Otherwise nothing is to be done. `append` and `close` do this
    /// by themselves.
    pub fn settle(&mut self) -> Result<(), Error> {
        match self.tail {
            Tail::Stale => self.start_segment(),
            Tail::Writing(_) | Tail::Footed => Ok(()),
        }
    }

    /// Ends the last segment, if it has any entry: what is appended next stands in another, so that what
    /// is there now can [go](Journal::remove_before) without it. After an error the journal can be used
    /// on.
    pub fn end_segment(&mut self) -> Result<(), Error> {
        match &self.tail {
            Tail::Writing(active) if active.bytes > SEGMENT_HEADER_BYTES as u64 => {
                self.start_segment()
            }
            // It has none, or the next append starts another.
            Tail::Writing(_) | Tail::Footed | Tail::Stale => Ok(()),
        }
    }

    /// Closes cleanly: with a footer, from which the next to open sees that nothing is missing.
    pub fn close(mut self) -> Result<(), Error> {
        self.settle()?;
        match self.tail {
            Tail::Footed => Ok(()),
            Tail::Writing(_) | Tail::Stale => self.write_frame::<&[u8]>(&[]).map(|_| ()),
        }
    }

    /// Removes the segments that hold nothing from `lsn` on, oldest first, with the copies of what was
    /// torn off them. The last segment stays. Returns the bytes of the segments. Each removal is
    /// durable before the next, so that what a crash leaves has no gap.
    ///
    /// The caller answers for the entries: it has folded them, and nobody is to read them any more.
    pub fn remove_before(&mut self, lsn: Lsn) -> Result<u64, Error> {
        let mut removed = 0;
        while let [oldest, next, ..] = self.segments.as_slice()
            && next.first <= lsn
        {
            let (oldest, path) = (*oldest, segment_path(&self.folder, oldest.first));
            // The copies first: without their segment nobody would look for them.
            for number in 1.. {
                let copy = folder::torn_copy(&path, number);
                if !copy.exists() {
                    break;
                }
                self.disk.remove(&copy)?;
            }
            if path.exists() {
                self.disk.remove(&path)?;
            }
            self.disk.sync_folder(&self.folder)?;
            self.segments.remove(0);
            removed += oldest.bytes;
        }
        Ok(removed)
    }

    /// The last entry; [`Lsn::ZERO`] when there is none.
    pub fn last_lsn(&self) -> Lsn {
        self.next.before()
    }

    /// The digest of the last frame; [`Digest::ZERO`] when there is none.
    pub fn digest(&self) -> Digest {
        self.chain
    }

    /// The epoch that was given in the options.
    pub fn epoch(&self) -> u64 {
        self.options.epoch
    }

    /// The folder that was given.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The segments on disk, oldest first.
    pub fn segments(&self) -> &[SegmentSummary] {
        &self.segments
    }

    fn needs_segment(&self, frame_bytes: u64) -> bool {
        match &self.tail {
            Tail::Footed | Tail::Stale => true,
            Tail::Writing(active) => {
                active.bytes > SEGMENT_HEADER_BYTES as u64
                    && active.bytes + frame_bytes > self.options.segment_bytes
            }
        }
    }

    /// Ends the last segment at the last acknowledged entry, by starting its successor. Once begun
    /// there is no way back to the old one: the successor may exist although this failed, and then
    /// nothing that is added to the old one would count.
    fn start_segment(&mut self) -> Result<(), Error> {
        self.tail = Tail::Stale;
        let header = SegmentHeader {
            id: new_segment_id(),
            epoch: self.options.epoch,
            first: self.next,
            previous: self.chain,
        };
        let active = Active::start(&self.disk, &self.folder, &header, &[])?;
        self.note_segment(self.next, active.bytes);
        self.tail = Tail::Writing(active);
        Ok(())
    }

    /// A segment of the same first lsn was replaced.
    fn note_segment(&mut self, first: Lsn, bytes: u64) {
        self.segments.retain(|segment| segment.first < first);
        self.segments.push(SegmentSummary { first, bytes });
    }

    /// Writes and syncs one frame at the end of the active segment. Whatever fails, the segment is
    /// not used again.
    fn write_frame<E: AsRef<[u8]>>(&mut self, entries: &[E]) -> Result<Digest, Error> {
        let mut active = match std::mem::replace(&mut self.tail, Tail::Stale) {
            Tail::Writing(active) => active,
            // The callers have started a segment; should one forget, nothing is written blindly.
            other @ (Tail::Footed | Tail::Stale) => {
                self.tail = other;
                self.start_segment()?;
                return self.write_frame(entries);
            }
        };
        let place = Place {
            segment: active.id,
            epoch: self.options.epoch,
            first: self.next,
            previous: self.chain,
        };
        let digest = encode_frame(place, entries, &mut self.buffer);
        let written = self
            .disk
            .write(&active.file, active.bytes, &self.buffer)
            .and_then(|()| self.disk.sync(&active.file));
        active.bytes += self.buffer.len() as u64;
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        written?;
        if let Some(segment) = self.segments.last_mut() {
            segment.bytes = active.bytes;
        }
        self.tail = Tail::Writing(active);
        Ok(digest)
    }
}

/// Refuses what no frame holds. `next` is the lsn of the first entry.
pub(crate) fn check_limits<E: AsRef<[u8]>>(entries: &[E], next: Lsn) -> Result<(), AppendError> {
    if entries.is_empty() {
        return Err(AppendError::Empty);
    }
    if entries.len() > MAX_GROUP_ENTRIES {
        let max = MAX_GROUP_ENTRIES;
        return Err(AppendError::TooManyEntries {
            entries: entries.len(),
            max,
        });
    }
    let sizes = entries.iter().map(|entry| entry.as_ref().len());
    if let Some((index, bytes)) = sizes
        .enumerate()
        .find(|(_, bytes)| *bytes > MAX_ENTRY_BYTES)
    {
        return Err(AppendError::EntryTooLarge {
            index,
            bytes,
            max: MAX_ENTRY_BYTES,
        });
    }
    let bytes = format::body_bytes(entries);
    if bytes > MAX_GROUP_BYTES {
        return Err(AppendError::GroupTooLarge {
            bytes,
            max: MAX_GROUP_BYTES,
        });
    }
    // The lsn after the last must be one too.
    if MAX_LSN.saturating_sub(next.0) < entries.len() as u64 {
        return Err(AppendError::Exhausted {
            last: next.before(),
        });
    }
    Ok(())
}

impl Active {
    /// Makes the segment of `header`, with `frames` already in it. It appears whole, under its final
    /// name, or not at all; a segment of the same first lsn is replaced.
    pub(crate) fn start(
        disk: &Disk,
        folder: &Path,
        header: &SegmentHeader,
        frames: &[u8],
    ) -> Result<Active, Error> {
        let unfinished = unfinished_path(folder, header.first);
        if unfinished.exists() {
            disk.remove(&unfinished)?;
        }
        let mut content = header.encode().to_vec();
        content.extend_from_slice(frames);
        let mut file = disk.create(&unfinished)?;
        disk.write(&file, 0, &content)?;
        disk.sync(&file)?;
        disk.rename(&mut file, &segment_path(folder, header.first))?;
        disk.sync_folder(folder)?;
        Ok(Active {
            file,
            id: header.id,
            bytes: content.len() as u64,
        })
    }
}
