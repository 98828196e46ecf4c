//! A durable, append-only journal in a folder of segments.
//!
//! An *entry* is an opaque byte string and has an [`Lsn`], its position, counted from 1 without
//! gaps. A *frame* is a group of entries written with one write and one `fdatasync`: either all of
//! a frame's entries are there after a crash, or none. [`Journal::append`] returns once its frame
//! is durable. This crate must never know what an entry means: no graphs, no Lance, no HTTP. It is
//! synchronous; call it from a thread that may block.
//!
//! ```
//! # let home = tempfile::tempdir()?;
//! # let folder = &home.path().join("log");
//! use journal::{Journal, Options, Start};
//!
//! let mut journal = Journal::create(folder, Options::default())?;
//! journal.append(&["first", "second"])?;
//! journal.close()?;
//!
//! let mut seen = Vec::new();
//! let (journal, recovery) = Journal::open(folder, Start::default(), Options::default(), &mut |entry| {
//!     seen.push((entry.lsn.0, entry.bytes.to_vec()));
//!     Ok(())
//! })?;
//! assert!(recovery.clean);
//! assert_eq!(seen, [(1, b"first".to_vec()), (2, b"second".to_vec())]);
//! assert_eq!(journal.last_lsn().0, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The format, byte by byte
//!
//! Integers are little-endian. Everything starts on a multiple of 512 bytes ([`SECTOR_BYTES`]), so
//! that writing a frame never touches a sector that holds part of an earlier one.
//!
//! **Segment**: the file `<first lsn as 20 digits>.seg`; a segment header, then frames.
//!
//! | segment header, 512 bytes | | |
//! | --- | --- | --- |
//! | 0 | 8 | magic `TRELLSEG` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 16 | segment id: random, of this file alone |
//! | 32 | 8 | epoch of the writer that made the segment |
//! | 40 | 8 | first lsn (the file's name) |
//! | 48 | 32 | previous digest: of the frame that ends at first lsn - 1; zeros at lsn 1 |
//! | 80 | 428 | zero |
//! | 508 | 4 | CRC32C of bytes 0..508 |
//!
//! | frame | | |
//! | --- | --- | --- |
//! | 0 | 4 | magic `TFRM` |
//! | 4 | 4 | header checksum: CRC32C of bytes 8..96 |
//! | 8 | 4 | body checksum: CRC32C of the body and its padding |
//! | 12 | 4 | zero |
//! | 16 | 16 | segment id, as in the segment's header |
//! | 32 | 2 | format version, 1 |
//! | 34 | 2 | kind: 1 entries, 2 footer |
//! | 36 | 4 | entry count (footer: 0) |
//! | 40 | 8 | epoch of the writer that first wrote the frame |
//! | 48 | 8 | first lsn (footer: the next lsn) |
//! | 56 | 8 | body length in bytes, without padding (footer: 0) |
//! | 64 | 32 | previous digest |
//! | 96 | | body: for each entry its length (4 bytes) and its bytes |
//! | | | zeros up to the next multiple of 512 |
//!
//! **Digest** of a frame: SHA-256 of bytes 32 up to the end of the body. It leaves out what belongs
//! to the file alone (checksums, segment id), so that a frame copied into another segment, or one
//! day into an object, keeps its digest, and with it the chain and every checkpoint that names it.
//! A footer closes the chain (its previous digest is the last frame's) and is no part of it.
//!
//! The header has a checksum of its own because a readable header of a *later* frame is what tells
//! damage from a torn write: a frame is only begun once the one before it is durable.
//!
//! # Which bytes count
//!
//! - **A segment ends where its successor's header (first lsn, previous digest) says.** What
//!   follows in the file was never acknowledged, or was copied into the successor.
//! - A segment comes into being whole: written under `<name>.seg.new`, synced, renamed, the folder
//!   synced. So a `.seg` file with an unreadable header is damage, never a crash, and a segment of
//!   the same first lsn (which then holds no acknowledged entry of its own) is replaced in one step.
//! - **After any failed or short write or sync the file is never appended to again.** The next
//!   append starts a successor at the last acknowledged lsn + 1, which ends the old segment before
//!   whatever the failed frame left there.
//! - A clean close ends the last segment with a footer. A journal that was closed cleanly continues
//!   in a new segment.
//! - A journal may begin later than with lsn 1: [`Journal::remove_before`] removes whole segments, the
//!   oldest first, once its owner has what they hold elsewhere. Opening such a journal needs a
//!   [`Start`] that is not before its beginning.
//! - Without a footer, the last frame may exist in the page cache only: opening for writing copies
//!   it into a new segment, synced, before anything else is served. All earlier frames are known to
//!   be durable, since at most one is ever unsynced.
//! - A bad frame in the last segment with no later frame after it is *torn*: opening for writing
//!   keeps a copy in `<name>.seg.torn-<n>`, cuts it off and reports it. Everything else that does not
//!   fit is *damage*: an error, and nothing is changed on disk.
//!
//! # In an object store
//!
//! One group is one object ([`ObjectJournal`]): a segment of one frame, in the format above, stored
//! only if no object has its name. It has no footer, no torn end and no rewriting, for an object is
//! there whole or not at all. What keeps writers apart is the epoch. It is followed with an
//! [`ObjectTail`], and mended with [`end_objects`].
//!
//! # Who writes
//!
//! One process writes; the caller holds the lock that makes it so. Any number may [`read`], or follow it
//! with a [`Tail`].
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests make the files that people and crashes leave"
    )
)]

mod disk;
mod error;
mod folder;
mod format;
mod journal;
mod limits;
mod lsn;
mod objects;
mod read;
mod repair;
mod salvage;
mod segment;
mod tail;
mod verify;
mod walk;

pub use disk::{Effect, Faults, Folder, Verdict};
pub use error::{AppendError, BadFrame, Error, Reason, VisitError};
pub use journal::{Appended, Journal, Options, SegmentSummary, Start};
pub use limits::{
    DEFAULT_SEGMENT_BYTES, MAX_ENTRY_BYTES, MAX_GROUP_BYTES, MAX_GROUP_ENTRIES, MAX_LSN,
    SECTOR_BYTES,
};
pub use lsn::{Digest, Lsn};
pub use objects::{
    DELETE_AFTER_LEASES, Looked, Object, ObjectError, ObjectJournal, ObjectOptions, ObjectTail,
    Objects, Put, Seen, Sight, bar_objects, end_objects, object_segments, read_objects,
};
pub use read::{ReadEnd, read, segments};
pub use repair::{Recovery, Torn};
pub use salvage::{Followed, Point, Salvage, Stop, follow, scan};
pub use tail::Tail;
pub use verify::{Problem, Report, SegmentReport, verify};
pub use walk::{End, Entry};
