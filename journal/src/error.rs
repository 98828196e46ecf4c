//! What can go wrong: one enum for opening and reading, one for appending, one for what is damaged.

use std::io;
use std::path::PathBuf;

use crate::{Digest, Lsn};

/// What a visitor of entries returns when it cannot go on.
pub type VisitError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why a journal could not be created, opened, read or closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// A verb: "write", "sync the folder".
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },

    /// The operating system did not read a file.
    #[error("cannot read {} at byte {offset}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// From where on it was to be read, in bytes.
        offset: u64,
        /// The cause.
        #[source]
        source: io::Error,
    },

    /// The object store did not do it.
    #[error("cannot {action} {}", place.display())]
    Object {
        /// A verb: "store", "list".
        action: &'static str,
        /// The object.
        place: PathBuf,
        /// The cause.
        #[source]
        source: crate::ObjectError,
    },

    /// `create` found a journal.
    #[error("{} already holds a journal; open it instead of creating one", folder.display())]
    Exists {
        /// The journal's folder.
        folder: PathBuf,
    },

    /// There is no segment at all.
    #[error("{} holds no journal (no `<first lsn>.seg` file)", folder.display())]
    Missing {
        /// The journal's folder.
        folder: PathBuf,
    },

    /// What is on disk cannot be what was written, and a crash does not explain it. Nothing was
    /// changed.
    #[error("{} is damaged at byte {offset}: {reason}", segment.display())]
    Damaged {
        /// The segment's file.
        segment: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        reason: Reason,
    },

    /// The segment was written by a newer program.
    #[error("{} has journal format {found}; this program reads up to {known}", segment.display())]
    Version {
        /// The segment's file.
        segment: PathBuf,
        /// The version in its header.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },

    /// Entries that the caller needs are no longer kept.
    #[error("the journal begins at lsn {first}: the entries from lsn {} on were asked for", after.next())]
    Collected {
        /// Entries after this one were asked for.
        after: Lsn,
        /// The first that is there.
        first: Lsn,
    },

    /// The journal ends before the point that the caller knows it reached. Nothing was changed.
    #[error("the journal ends at lsn {last}, but was known to reach lsn {after}: entries are lost")]
    EndsEarly {
        /// The point that the caller knows of.
        after: Lsn,
        /// The last entry that is there.
        last: Lsn,
    },

    /// A later writer has been here. Nothing was changed.
    #[error(
        "the journal was written in epoch {found}; a writer of epoch {given} may not continue it"
    )]
    Epoch {
        /// The epoch of this writer.
        given: u64,
        /// The highest epoch in the journal.
        found: u64,
    },

    /// The caller's visitor refused an entry. Nothing was changed.
    #[error("the entry at lsn {lsn} was refused")]
    Visit {
        /// The entry.
        lsn: Lsn,
        /// The visitor's error.
        #[source]
        source: VisitError,
    },
}

/// What exactly is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// A `.seg` file whose name is no lsn.
    #[error("its name is not `<first lsn as 20 digits>.seg`")]
    Name,
    /// The segment header's magic, checksum or values are wrong.
    #[error("the segment header is unreadable")]
    Header,
    /// The header is of another segment than the name.
    #[error("the segment header says first lsn {header}")]
    HeaderLsn {
        /// The lsn in the header.
        header: Lsn,
    },
    /// A frame is unreadable.
    #[error("{0}")]
    Frame(BadFrame),
    /// A frame is unreadable although a later one, begun after it was durable, is there.
    #[error("{bad}, although a later frame begins at byte {later}")]
    FrameBeforeFrame {
        /// What is wrong with it.
        bad: BadFrame,
        /// Where the later frame begins, in bytes.
        later: u64,
    },
    /// A frame is unreadable although a later segment continues after it.
    #[error("{bad}, although the journal goes on at lsn {successor} in the next segment")]
    FrameBeforeSegment {
        /// What is wrong with it.
        bad: BadFrame,
        /// The first lsn of the next segment.
        successor: Lsn,
    },
    /// The next segment starts later than this one ends.
    #[error("the entries from lsn {next} to lsn {} are missing", successor.before())]
    Gap {
        /// The first missing lsn.
        next: Lsn,
        /// The first lsn of the next segment.
        successor: Lsn,
    },
    /// The next segment starts inside a frame of this one.
    #[error(
        "the next segment starts at lsn {successor}, inside the frame from lsn {first} to lsn {last}"
    )]
    Straddle {
        /// The frame's first lsn.
        first: Lsn,
        /// The frame's last lsn.
        last: Lsn,
        /// The first lsn of the next segment.
        successor: Lsn,
    },
    /// A sound frame with another lsn than the next.
    #[error("found lsn {found} where lsn {expected} belongs")]
    Order {
        /// The next lsn.
        expected: Lsn,
        /// The lsn in the frame.
        found: Lsn,
    },
    /// The chain of digests is broken.
    #[error("the chain is broken: the digest up to here is {expected}, but {found} is named")]
    Chain {
        /// The digest of what was read.
        expected: Digest,
        /// The digest named by what follows, or by the caller.
        found: Digest,
    },
    /// A frame is older than the one before it, or newer than its segment.
    #[error("epoch {found} does not fit here (from {low} to {high})")]
    Epoch {
        /// The epoch in the frame or header.
        found: u64,
        /// The epoch of what came before.
        low: u64,
        /// The epoch of the segment.
        high: u64,
    },
    /// Something follows a footer.
    #[error("there is something after the footer of a clean close")]
    AfterFooter,
    /// The file cannot be read (only in a report; otherwise an error of its own).
    #[error("it cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// Another program's format (only in a report; otherwise an error of its own).
    #[error("it has journal format {0}, which this program does not know")]
    Version(u32),
}

/// Why a frame is unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Fewer bytes than a header.
    #[error("a frame's header is cut short")]
    ShortHeader,
    /// Magic, checksum, version or a limit does not hold.
    #[error("a frame's header is unreadable")]
    Header,
    /// The header is sound, but of another segment.
    #[error("a frame of another segment stands here")]
    Stranger,
    /// Fewer bytes than the header announces.
    #[error("a frame's body is cut short")]
    ShortBody,
    /// The body's checksum does not hold.
    #[error("a frame's body does not match its checksum")]
    Body,
    /// The body's checksum holds, but its entries do not add up.
    #[error("a frame's entries do not add up to its body")]
    Entries,
}

/// Why a group was not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// There was nothing to append.
    #[error("a group needs at least one entry")]
    Empty,

    /// One entry is too large. Nothing was written.
    #[error("entry {index} of the group has {bytes} bytes; the largest may have {max}")]
    EntryTooLarge {
        /// Which of the given entries, from 0.
        index: usize,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },

    /// The entries together are too large. Nothing was written.
    #[error("the group takes {bytes} bytes; the largest may take {max}: append it in parts")]
    GroupTooLarge {
        /// The size of the body that they would make.
        bytes: usize,
        /// The limit.
        max: usize,
    },

    /// Too many entries. Nothing was written.
    #[error("the group has {entries} entries; the largest may have {max}: append it in parts")]
    TooManyEntries {
        /// How many were given.
        entries: usize,
        /// The limit.
        max: usize,
    },

    /// There are no more numbers. Nothing was written.
    #[error("the journal has used up its lsns (the last is {last})")]
    Exhausted {
        /// The last entry's lsn.
        last: Lsn,
    },

    /// A new segment was needed and could not be started. None of the group was written; trying
    /// again is safe.
    #[error("the group was not written: no new segment could be started")]
    NotWritten(#[source] Error),

    /// The write or its sync failed. The group counts as not written as soon as a later `append`,
    /// `settle` or `close` succeeds; after a crash before that, it may be there whole or not at all.
    #[error("it is unknown whether the group was written")]
    Unknown(#[source] Error),
}
