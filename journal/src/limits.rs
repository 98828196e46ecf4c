//! The named limits. A number read from disk is held against them before anything is allocated.

/// Unit of alignment, in bytes: a frame never shares a sector with an earlier one.
pub const SECTOR_BYTES: usize = 512;

/// The largest entry, in bytes.
pub const MAX_ENTRY_BYTES: usize = 64 << 20;

/// The largest body of a frame, in bytes: its entries and 4 bytes for the length of each.
pub const MAX_GROUP_BYTES: usize = 128 << 20;

/// The most entries in one frame.
pub const MAX_GROUP_ENTRIES: usize = 65_536;

/// The highest lsn. Far away; it keeps `lsn + count` from overflowing.
pub const MAX_LSN: u64 = u64::MAX >> 1;

/// When a segment is full, in bytes, unless the options say otherwise. A frame larger than this has
/// a segment to itself.
pub const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;
