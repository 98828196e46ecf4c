//! What a crash cannot have done: it is named, nothing is changed on disk, and no changed entry is
//! ever handed out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use journal::{BadFrame, End, Error, Journal, Lsn, Reason, verify};

use crate::support::{Entries, entry, files, open, options, read, restore, scratch, segments};

/// Seven groups in three segments (of three, three and one frame).
fn sample(folder: &Path, close: bool) -> Entries {
    let mut journal = Journal::create(folder, options(2048)).unwrap();
    let all: Vec<_> = (0..7)
        .map(|at| vec![entry(at, 60), entry(at + 50, 40)])
        .collect();
    for group in &all {
        journal.append(group).unwrap();
    }
    if close {
        journal.close().unwrap();
    }
    all.concat()
}

#[test]
fn every_flipped_byte_is_noticed() {
    for close in [true, false] {
        let home = scratch();
        let all = sample(home.path(), close);
        let whole = files(home.path());
        let paths = segments(home.path());
        assert_eq!(paths.len(), 3);
        for (index, path) in paths.iter().enumerate() {
            for at in 0..whole[path].len() {
                // The last segment: header, one frame, the footer.
                let torn = index == 2 && at >= if close { 1024 } else { 512 };
                for mask in [0x01, 0x80, 0xff] {
                    let mut bytes = whole[path].clone();
                    bytes[at] ^= mask;
                    fs::write(path, bytes).unwrap();
                    let context = format!("segment {index}, byte {at}, mask {mask:#x}, {close}");
                    one_flip(home.path(), &all, torn, close, &context);
                }
            }
            fs::write(path, &whole[path]).unwrap();
        }
        assert_eq!(read(home.path()).0, all);
    }
}

fn one_flip(folder: &Path, all: &Entries, torn: bool, close: bool, context: &str) {
    let (entries, end) = read(folder);
    assert!(all.starts_with(&entries), "{context}: a changed entry");
    if torn {
        let end = end.expect(context);
        assert!(matches!(end.end, End::Torn { .. }), "{context}: {end:?}");
        assert_eq!(entries.len(), if close { 14 } else { 12 }, "{context}");
        return;
    }
    assert!(
        matches!(end, Err(Error::Damaged { .. })),
        "{context}: {end:?}"
    );
    let before = files(folder);
    let opened = open(folder, options(2048));
    assert!(matches!(opened, Err(Error::Damaged { .. })), "{context}");
    assert!(files(folder) == before, "{context}: the disk was changed");
    assert!(!verify(folder).unwrap().problems.is_empty(), "{context}");
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Damages the sample with `harm` and says what is found: segment (0 to 2), offset, reason.
#[track_caller]
fn check(close: bool, harm: impl Fn(&mut Files, &[PathBuf]), expected: (usize, u64, Reason)) {
    let home = scratch();
    let all = sample(home.path(), close);
    let mut harmed = files(home.path());
    let paths = segments(home.path());
    harm(&mut harmed, &paths);
    restore(home.path(), &harmed);
    match open(home.path(), options(2048)) {
        Err(Error::Damaged {
            segment,
            offset,
            reason,
        }) => {
            let (index, at, why) = expected;
            assert_eq!((&segment, offset, &reason), (&paths[index], at, &why));
            let report = verify(home.path()).unwrap();
            let named = |problem: &journal::Problem| {
                problem.segment == segment && problem.offset == offset && problem.reason == why
            };
            assert!(report.problems.iter().any(named), "{:?}", report.problems);
        }
        other => panic!("not seen as damaged: {:?}", other.map(|opened| opened.1)),
    }
    assert!(files(home.path()) == harmed, "the disk was changed");
    assert!(all.starts_with(&read(home.path()).0));
}

#[test]
fn a_bad_frame_before_a_good_one_in_the_last_segment() {
    // The footer proves that the frame before it was whole.
    let reason = Reason::FrameBeforeFrame {
        bad: BadFrame::Body,
        later: 1024,
    };
    check(
        true,
        |files, paths| files.get_mut(&paths[2]).unwrap()[700] ^= 1,
        (2, 512, reason),
    );
    let reason = Reason::FrameBeforeFrame {
        bad: BadFrame::Header,
        later: 1024,
    };
    check(
        true,
        |files, paths| files.get_mut(&paths[2]).unwrap()[512..1024].fill(0),
        (2, 512, reason),
    );
}

#[test]
fn a_later_frame_counts_as_proof_by_its_header_alone() {
    let reason = Reason::FrameBeforeFrame {
        bad: BadFrame::Body,
        later: 1024,
    };
    check(
        true,
        |files, paths| {
            files.remove(&paths[2]);
            let second = files.get_mut(&paths[1]).unwrap();
            second[700] ^= 1;
            second[1024 + 200] ^= 1; // the body of the next
            second[1536 + 200] ^= 1; // and of the last
        },
        (1, 512, reason),
    );
}

#[test]
fn a_bad_frame_before_a_later_segment() {
    let reason = Reason::FrameBeforeSegment {
        bad: BadFrame::Body,
        successor: Lsn(7),
    };
    check(
        false,
        |files, paths| files.get_mut(&paths[0]).unwrap()[1736] ^= 1,
        (0, 1536, reason),
    );
    let reason = Reason::FrameBeforeSegment {
        bad: BadFrame::ShortBody,
        successor: Lsn(7),
    };
    check(
        false,
        |files, paths| files.get_mut(&paths[0]).unwrap().truncate(1700),
        (0, 1536, reason),
    );
}

#[test]
fn missing_things() {
    let gap = |next, successor| Reason::Gap {
        next: Lsn(next),
        successor: Lsn(successor),
    };
    check(
        true,
        |files, paths| drop(files.remove(&paths[1])),
        (0, 2048, gap(7, 13)),
    );
    check(
        false,
        |files, paths| files.get_mut(&paths[0]).unwrap().truncate(1536),
        (0, 1536, gap(5, 7)),
    );
    check(
        false,
        |files, paths| files.get_mut(&paths[1]).unwrap().truncate(100),
        (1, 0, Reason::Header),
    );
}

#[test]
fn things_in_the_wrong_place() {
    let header = Lsn(7);
    check(
        true,
        |files, paths| drop(files.insert(paths[2].clone(), files[&paths[1]].clone())),
        (2, 0, Reason::HeaderLsn { header }),
    );
    check(
        true,
        |files, paths| files.get_mut(&paths[2]).unwrap().extend([0; 3]),
        (2, 1536, Reason::AfterFooter),
    );
    // A frame of another segment, at the right place by its lsn.
    let bad = BadFrame::Stranger;
    check(
        true,
        |files, paths| {
            let frame = files[&paths[1]][512..1024].to_vec();
            files.get_mut(&paths[0]).unwrap()[512..1024].copy_from_slice(&frame);
        },
        (
            0,
            512,
            Reason::FrameBeforeSegment {
                bad,
                successor: Lsn(7),
            },
        ),
    );
    // A frame twice.
    let order = Reason::Order {
        expected: Lsn(3),
        found: Lsn(1),
    };
    check(
        true,
        |files, paths| {
            files
                .get_mut(&paths[0])
                .unwrap()
                .copy_within(512..1024, 1024)
        },
        (0, 1024, order),
    );
    // A name that is no lsn.
    let home = scratch();
    sample(home.path(), true);
    fs::write(home.path().join("7.seg"), b"").unwrap();
    let error = open(home.path(), options(2048)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Damaged {
                reason: Reason::Name,
                ..
            }
        ),
        "{error}"
    );
}

/// Makes the checksums of a frame of one sector right again.
fn seal_frame(frame: &mut [u8]) {
    let checksum = crc32c::crc32c(&frame[96..512]);
    frame[8..12].copy_from_slice(&checksum.to_le_bytes());
    let checksum = crc32c::crc32c(&frame[8..96]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// Right checksums are not enough.
#[test]
fn forgeries() {
    let epoch = Reason::Epoch {
        found: 9,
        low: 0,
        high: 0,
    };
    check(
        true,
        |files, paths| {
            let frame = &mut files.get_mut(&paths[0]).unwrap()[1024..1536];
            frame[40] = 9;
            seal_frame(frame);
        },
        (0, 1024, epoch),
    );
    let straddle = Reason::Straddle {
        first: Lsn(5),
        last: Lsn(6),
        successor: Lsn(6),
    };
    check(
        true,
        |files, paths| {
            let mut second = files.remove(&paths[1]).unwrap();
            second[40] = 6;
            let checksum = crc32c::crc32c(&second[..508]);
            second[508..512].copy_from_slice(&checksum.to_le_bytes());
            files.insert(paths[1].with_file_name(format!("{:020}.seg", 6)), second);
        },
        (0, 1536, straddle),
    );
    // Changed entries: the next frame, the next segment, or the footer names another digest.
    for (segment, frame, found_in, found_at) in
        [(0, 512, 0, 1024), (0, 1536, 1, 0), (2, 512, 2, 1024)]
    {
        let home = scratch();
        sample(home.path(), true);
        let paths = segments(home.path());
        let mut bytes = fs::read(&paths[segment]).unwrap();
        bytes[frame + 110] ^= 1;
        seal_frame(&mut bytes[frame..frame + 512]);
        fs::write(&paths[segment], bytes).unwrap();
        match open(home.path(), options(2048)) {
            Err(Error::Damaged {
                segment,
                offset,
                reason: Reason::Chain { .. },
            }) => {
                assert_eq!((segment, offset), (paths[found_in].clone(), found_at));
            }
            other => panic!("{:?}", other.map(|opened| opened.1)),
        }
    }
}

#[test]
fn a_segment_of_another_journal_breaks_the_chain() {
    let [ours, other] = [scratch(), scratch()];
    let all = sample(ours.path(), true);
    let mut journal = Journal::create(other.path(), options(2048)).unwrap();
    for at in 0..7 {
        journal
            .append(&[entry(at + 9, 60), entry(at + 59, 40)])
            .unwrap();
    }
    journal.close().unwrap();
    let name = format!("{:020}.seg", 7);
    fs::copy(other.path().join(&name), ours.path().join(&name)).unwrap();
    let error = open(ours.path(), options(2048)).unwrap_err();
    assert!(
        matches!(&error, Error::Damaged { offset: 0, reason: Reason::Chain { .. }, segment }
            if segment.ends_with(&name)),
        "{error}"
    );
    let (entries, _) = read(ours.path());
    assert_eq!(entries, all[..6]);
    // Both links of the foreign segment are broken; the entries around it are sound.
    let report = verify(ours.path()).unwrap();
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    let counts: Vec<_> = report
        .segments
        .iter()
        .map(|segment| segment.entries)
        .collect();
    assert_eq!(counts, [6, 6, 2]);
}

#[test]
fn what_does_not_count_is_no_problem() {
    let home = scratch();
    sample(home.path(), false);
    let (journal, recovery, _) = open(home.path(), options(2048)).unwrap();
    assert_eq!(recovery.rewritten, Some((Lsn(13), Lsn(14))));
    drop(journal);
    // Behind the end of the first segment, and beside the segments.
    let first = &segments(home.path())[0];
    let mut bytes = fs::read(first).unwrap();
    bytes.extend([7; 700]);
    fs::write(first, bytes).unwrap();
    fs::write(home.path().join(format!("{:020}.seg.new", 15)), b"half").unwrap();
    fs::write(home.path().join("notes.txt"), b"mine").unwrap();
    let report = verify(home.path()).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.segments[0].ignored_bytes, 700);
    assert_eq!(report.unfinished.len(), 1);
    assert_eq!(report.last, Lsn(14));
    let (journal, _, entries) = open(home.path(), options(2048)).unwrap();
    assert_eq!(entries.len(), 14);
    journal.close().unwrap();
    assert_eq!(
        verify(home.path()).unwrap().unfinished,
        Vec::<PathBuf>::new()
    );
    assert!(home.path().join("notes.txt").exists());
}
