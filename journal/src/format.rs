//! Bytes to values and back: the segment header and the frame, as the crate's page lays them out.
//! Pure; it knows nothing of files.

use sha2::Digest as _;
use sha2::Sha256;

use crate::error::BadFrame;
use crate::limits::{MAX_ENTRY_BYTES, MAX_GROUP_BYTES, MAX_GROUP_ENTRIES, MAX_LSN, SECTOR_BYTES};
use crate::{Digest, Lsn};

/// The newest format that this program knows.
pub(crate) const VERSION: u32 = 1;
/// Size of a segment header.
pub(crate) const SEGMENT_HEADER_BYTES: usize = SECTOR_BYTES;
/// Size of a frame's header.
pub(crate) const FRAME_HEADER_BYTES: usize = 96;

const SEGMENT_MAGIC: &[u8; 8] = b"TRELLSEG";
const FRAME_MAGIC: &[u8; 4] = b"TFRM";
const FRAME_VERSION: u16 = 1;
const KIND_ENTRIES: u16 = 1;
const KIND_FOOTER: u16 = 2;
/// Where the part of a frame begins that the digest covers.
const DIGEST_FROM: usize = 32;
const ENTRY_LENGTH_BYTES: usize = 4;

/// The random name of one segment file.
pub(crate) type SegmentId = [u8; 16];

/// A new name for a segment file.
pub(crate) fn new_segment_id() -> SegmentId {
    uuid::Uuid::new_v4().into_bytes()
}

/// `bytes` rounded up to whole sectors.
pub(crate) fn whole_sectors(bytes: usize) -> usize {
    bytes.next_multiple_of(SECTOR_BYTES)
}

/// The first sector of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: SegmentId,
    pub(crate) epoch: u64,
    pub(crate) first: Lsn,
    pub(crate) previous: Digest,
}

/// Why a segment header is no header of ours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadSegmentHeader {
    Unreadable,
    Version(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[0..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.id);
        bytes[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[48..80].copy_from_slice(self.previous.as_bytes());
        let checksum = crc32c::crc32c(&bytes[..508]);
        bytes[508..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `bytes` may be of any length.
    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentHeader, BadSegmentHeader> {
        let bytes = bytes
            .get(..SEGMENT_HEADER_BYTES)
            .ok_or(BadSegmentHeader::Unreadable)?;
        let sound = &bytes[0..8] == SEGMENT_MAGIC
            && crc32c::crc32c(&bytes[..508]) == u32::from_le_bytes(array(bytes, 508));
        if !sound {
            return Err(BadSegmentHeader::Unreadable);
        }
        match u32::from_le_bytes(array(bytes, 8)) {
            VERSION => {}
            other => return Err(BadSegmentHeader::Version(other)),
        }
        let first = u64::from_le_bytes(array(bytes, 40));
        if !(1..=MAX_LSN).contains(&first) {
            return Err(BadSegmentHeader::Unreadable);
        }
        Ok(SegmentHeader {
            id: array(bytes, 16),
            epoch: u64::from_le_bytes(array(bytes, 32)),
            first: Lsn(first),
            previous: Digest::from_bytes(array(bytes, 48)),
        })
    }
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Entries,
    Footer,
}

/// The header of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) segment: SegmentId,
    pub(crate) kind: Kind,
    pub(crate) count: u32,
    pub(crate) epoch: u64,
    pub(crate) first: Lsn,
    /// Without padding.
    pub(crate) body_bytes: usize,
    pub(crate) previous: Digest,
    body_checksum: u32,
}

impl FrameHeader {
    /// Reads and checks a header; `bytes` begins with it. `None` when it is none, or when what it
    /// announces is beyond the limits.
    pub(crate) fn decode(bytes: &[u8]) -> Option<FrameHeader> {
        let bytes = bytes.get(..FRAME_HEADER_BYTES)?;
        let sound = &bytes[0..4] == FRAME_MAGIC
            && crc32c::crc32c(&bytes[8..]) == u32::from_le_bytes(array(bytes, 4))
            && u16::from_le_bytes(array(bytes, 32)) == FRAME_VERSION;
        if !sound {
            return None;
        }
        let kind = match u16::from_le_bytes(array(bytes, 34)) {
            KIND_ENTRIES => Kind::Entries,
            KIND_FOOTER => Kind::Footer,
            _ => return None,
        };
        let count = u32::from_le_bytes(array(bytes, 36));
        let first = u64::from_le_bytes(array(bytes, 48));
        let body_bytes = usize::try_from(u64::from_le_bytes(array(bytes, 56))).ok()?;
        let entries = usize::try_from(count).ok()?;
        let fits = match kind {
            Kind::Entries => {
                (1..=MAX_GROUP_ENTRIES).contains(&entries)
                    && (entries * ENTRY_LENGTH_BYTES..=MAX_GROUP_BYTES).contains(&body_bytes)
            }
            Kind::Footer => entries == 0 && body_bytes == 0,
        };
        // The lsn after the last is within the limit too: nothing later has to ask again.
        let lsns = (1..=MAX_LSN).contains(&first) && MAX_LSN - first >= u64::from(count);
        (fits && lsns).then(|| FrameHeader {
            segment: array(bytes, 16),
            kind,
            count,
            epoch: u64::from_le_bytes(array(bytes, 40)),
            first: Lsn(first),
            body_bytes,
            previous: Digest::from_bytes(array(bytes, 64)),
            body_checksum: u32::from_le_bytes(array(bytes, 8)),
        })
    }

    /// Size on disk, padding included.
    pub(crate) fn frame_bytes(&self) -> usize {
        whole_sectors(FRAME_HEADER_BYTES + self.body_bytes)
    }

    /// The lsn after this frame.
    pub(crate) fn next(&self) -> Lsn {
        self.first.plus(u64::from(self.count))
    }

    /// Checks the whole frame, of which `self` is the decoded header and `frame` all the bytes, and
    /// returns its digest.
    pub(crate) fn check(&self, frame: &[u8]) -> Result<Digest, BadFrame> {
        let frame = frame.get(..self.frame_bytes()).ok_or(BadFrame::ShortBody)?;
        if crc32c::crc32c(&frame[FRAME_HEADER_BYTES..]) != self.body_checksum {
            return Err(BadFrame::Body);
        }
        let body = self.body(frame);
        let mut rest = body;
        for _ in 0..self.count {
            rest = split_entry(rest).ok_or(BadFrame::Entries)?.1;
        }
        if !rest.is_empty() {
            return Err(BadFrame::Entries);
        }
        Ok(digest(&frame[..FRAME_HEADER_BYTES + self.body_bytes]))
    }

    /// The body within `frame`, which was checked.
    pub(crate) fn body<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        &frame[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + self.body_bytes]
    }
}

/// The entries of a body that was checked.
pub(crate) fn entries(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (entry, after) = split_entry(rest)?;
        rest = after;
        Some(entry)
    })
}

fn split_entry(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk::<ENTRY_LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length > MAX_ENTRY_BYTES {
        return None;
    }
    rest.split_at_checked(length)
}

/// Size of the body that `entries` make.
pub(crate) fn body_bytes<E: AsRef<[u8]>>(entries: &[E]) -> usize {
    entries
        .iter()
        .map(|entry| ENTRY_LENGTH_BYTES + entry.as_ref().len())
        .sum()
}

/// Size on disk of the frame that `entries` make, padding included.
pub(crate) fn frame_bytes<E: AsRef<[u8]>>(entries: &[E]) -> usize {
    whole_sectors(FRAME_HEADER_BYTES + body_bytes(entries))
}

/// What the caller says of a frame; the rest follows from its entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) segment: SegmentId,
    pub(crate) epoch: u64,
    pub(crate) first: Lsn,
    pub(crate) previous: Digest,
}

/// Writes the frame of `entries` into `frame`, which is cleared first, and returns its digest.
/// Without entries it is a footer. The caller has held the entries against the limits.
pub(crate) fn encode_frame<E: AsRef<[u8]>>(
    place: Place,
    entries: &[E],
    frame: &mut Vec<u8>,
) -> Digest {
    let body_bytes = body_bytes(entries);
    frame.clear();
    frame.reserve(whole_sectors(FRAME_HEADER_BYTES + body_bytes));
    frame.resize(FRAME_HEADER_BYTES, 0);
    for entry in entries {
        let entry = entry.as_ref();
        frame.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        frame.extend_from_slice(entry);
    }
    frame.resize(whole_sectors(frame.len()), 0);

    let kind = if entries.is_empty() {
        KIND_FOOTER
    } else {
        KIND_ENTRIES
    };
    frame[0..4].copy_from_slice(FRAME_MAGIC);
    frame[32..34].copy_from_slice(&FRAME_VERSION.to_le_bytes());
    frame[34..36].copy_from_slice(&kind.to_le_bytes());
    frame[36..40].copy_from_slice(&(entries.len() as u32).to_le_bytes());
    frame[40..48].copy_from_slice(&place.epoch.to_le_bytes());
    frame[48..56].copy_from_slice(&place.first.0.to_le_bytes());
    frame[56..64].copy_from_slice(&(body_bytes as u64).to_le_bytes());
    frame[64..96].copy_from_slice(place.previous.as_bytes());
    let checksum = crc32c::crc32c(&frame[FRAME_HEADER_BYTES..]);
    frame[8..12].copy_from_slice(&checksum.to_le_bytes());
    move_frame(frame, place.segment);
    digest(&frame[..FRAME_HEADER_BYTES + body_bytes])
}

/// Makes `frame` one of another segment. Its digest stays.
pub(crate) fn move_frame(frame: &mut [u8], segment: SegmentId) {
    frame[16..32].copy_from_slice(&segment);
    let checksum = crc32c::crc32c(&frame[8..FRAME_HEADER_BYTES]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
}

fn digest(frame_without_padding: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(&frame_without_padding[DIGEST_FROM..]).into())
}

/// `N` bytes of `bytes` from `at`: only used on slices whose length was checked.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            segment: [7; 16],
            epoch: 3,
            first: Lsn(11),
            previous: Digest::from_bytes([9; 32]),
        }
    }

    /// The format is final: these bytes may never change.
    #[test]
    fn golden_frame() {
        let mut frame = Vec::new();
        let digest = encode_frame(place(), &["ab", ""], &mut frame);
        assert_eq!(frame.len(), 512);
        assert_eq!(&frame[0..4], b"TFRM");
        assert_eq!(
            &frame[32..64],
            [
                1, 0, 1, 0, 2, 0, 0, 0, // version, kind, count
                3, 0, 0, 0, 0, 0, 0, 0, // epoch
                11, 0, 0, 0, 0, 0, 0, 0, // first lsn
                10, 0, 0, 0, 0, 0, 0, 0, // body length
            ]
        );
        assert_eq!(&frame[96..106], [2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0]);
        assert!(frame[106..].iter().all(|byte| *byte == 0));
        assert_eq!(
            (frame[4..12].to_vec(), digest.to_string()),
            (GOLDEN_CHECKSUMS.to_vec(), GOLDEN_DIGEST.to_owned()),
        );
    }
    /// Computed from the page's table by another program (Python).
    const GOLDEN_CHECKSUMS: [u8; 8] = [112, 17, 125, 170, 203, 41, 18, 118];
    const GOLDEN_DIGEST: &str = "5864f96bb37dd810dfad04b57fa69841a0a6eeed0faba47c90a6b5ff6601afab";

    #[test]
    fn a_moved_frame_keeps_its_digest() {
        let mut frame = Vec::new();
        let digest = encode_frame(place(), &["ab"], &mut frame);
        move_frame(&mut frame, [8; 16]);
        let header = FrameHeader::decode(&frame).expect("sound");
        assert_eq!(header.segment, [8; 16]);
        assert_eq!(header.check(&frame), Ok(digest));
    }

    #[test]
    fn limits_hold_before_anything_is_allocated() {
        let sound = {
            let mut frame = Vec::new();
            encode_frame(place(), &["ab"], &mut frame);
            frame
        };
        let huge = (MAX_GROUP_BYTES as u64 + 1).to_le_bytes();
        let too_high = MAX_LSN.to_le_bytes();
        let cases: [(&str, usize, &[u8]); 7] = [
            ("body over the limit", 56, &huge),
            ("body of u64::MAX", 56, &[255; 8]),
            (
                "body too small for its count",
                56,
                &[3, 0, 0, 0, 0, 0, 0, 0],
            ),
            ("no entries", 36, &[0; 4]),
            ("too many entries", 36, &[255; 4]),
            ("lsn 0", 48, &[0; 8]),
            ("lsn over the limit", 48, &too_high),
        ];
        for (name, at, bytes) in cases {
            let mut frame = sound.clone();
            frame[at..at + bytes.len()].copy_from_slice(bytes);
            move_frame(&mut frame, [7; 16]); // makes the checksum right again
            assert_eq!(FrameHeader::decode(&frame), None, "{name}");
        }
    }

    #[test]
    fn entries_must_add_up_to_the_body() {
        for length in [0u32, 1, 3, u32::MAX] {
            let mut frame = Vec::new();
            encode_frame(place(), &["ab"], &mut frame);
            frame[96..100].copy_from_slice(&length.to_le_bytes());
            let checksum = crc32c::crc32c(&frame[96..]);
            frame[8..12].copy_from_slice(&checksum.to_le_bytes());
            move_frame(&mut frame, [7; 16]);
            let header = FrameHeader::decode(&frame).expect("the header is sound");
            assert_eq!(
                header.check(&frame),
                Err(BadFrame::Entries),
                "length {length}"
            );
        }
    }

    #[test]
    fn segment_header_round_trip_and_every_bit_flip() {
        let header = SegmentHeader {
            id: [7; 16],
            epoch: 3,
            first: Lsn(11),
            previous: Digest::from_bytes([9; 32]),
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                SegmentHeader::decode(&bytes),
                Err(BadSegmentHeader::Unreadable)
            );
        }
    }

    #[test]
    fn a_newer_format_is_named_as_such() {
        let header = SegmentHeader {
            id: [7; 16],
            epoch: 3,
            first: Lsn(1),
            previous: Digest::ZERO,
        };
        let mut bytes = header.encode();
        bytes[8] = 2;
        let checksum = crc32c::crc32c(&bytes[..508]);
        bytes[508..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(
            SegmentHeader::decode(&bytes),
            Err(BadSegmentHeader::Version(2))
        );
    }
}
