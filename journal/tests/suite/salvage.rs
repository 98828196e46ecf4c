//! Keeping what can be kept: every entry damaged in turn, followed from every other.

use std::fs;
use std::path::{Path, PathBuf};

use journal::{
    Digest, Journal, Lsn, Options, Point, Reason, Salvage, Start, Stop, follow, scan, verify,
};

/// A journal of three segments with four frames each, and where each frame ends.
fn made(folder: &Path) -> Vec<Point> {
    let mut points = vec![Point {
        lsn: Lsn::ZERO,
        digest: Digest::ZERO,
    }];
    for segment in 0..3 {
        let mut journal = match segment {
            0 => Journal::create(folder, Options::default()).expect("made"),
            _ => {
                Journal::open(
                    folder,
                    Start::default(),
                    Options::default(),
                    &mut |_| Ok(()),
                )
                .expect("opened")
                .0
            }
        };
        for frame in 0..4 {
            let entry = format!("entry {segment} {frame}");
            let appended = journal.append(&[&entry, &entry]).expect("appended");
            points.push(Point {
                lsn: appended.last,
                digest: appended.digest,
            });
        }
        journal.close().expect("closed");
    }
    points
}

/// Segment and offset of the frame that ends the given number of frames, from 0.
fn place(folder: &Path, frame: usize) -> (PathBuf, usize) {
    let first = frame / 4 * 8 + 1;
    (
        folder.join(format!("{first:020}.seg")),
        512 + frame % 4 * 512,
    )
}

#[expect(clippy::disallowed_methods, reason = "damage is meant here")]
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("read");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("written");
}

fn entries(folder: &Path, from: Option<Point>) -> (Vec<u64>, Stop) {
    let mut lsns = Vec::new();
    let followed = follow(folder, from, &mut |entry| lsns.push(entry.lsn.0)).expect("followed");
    assert_eq!(
        followed.to.lsn.0,
        lsns.last().copied().unwrap_or(followed.from.lsn.0)
    );
    (lsns, followed.stop)
}

/// Opens it and gives back its lsns after `after`.
fn opened(folder: &Path, after: Point) -> Vec<u64> {
    let mut lsns = Vec::new();
    let start = Start {
        after: after.lsn,
        digest: Some(after.digest),
    };
    let (journal, _) = Journal::open(folder, start, Options::default(), &mut |entry| {
        lsns.push(entry.lsn.0);
        Ok(())
    })
    .expect("opened");
    journal.close().expect("closed");
    lsns
}

#[test]
fn every_frame_damaged_in_turn() {
    for bad in 0..12 {
        for known in 0..=12 {
            let home = tempfile::tempdir().expect("a folder");
            let folder = home.path().join("log");
            let points = made(&folder);
            let (segment, offset) = place(&folder, bad);
            flip(&segment, offset + 100);

            let (from_start, stop) = entries(&folder, None);
            assert_eq!(from_start.len(), bad * 2);
            assert!(matches!(stop, Stop::Damaged(_)), "{stop:?}");
            assert_eq!(
                scan(&folder, Lsn::ZERO, &mut |_| {}).expect("scanned"),
                Lsn(24)
            );

            // From a point before the damage up to it; from one after, to the end.
            let (from_known, stop) = entries(&folder, Some(points[known]));
            let end = if known <= bad { bad } else { 12 };
            let expected: Vec<u64> = (known as u64 * 2 + 1..=end as u64 * 2).collect();
            if known == bad + 1 && known % 4 != 0 {
                // The frame that ends at the point is the damaged one; the next one names it.
                assert!(matches!(stop, Stop::End(_)), "{bad} {known} {stop:?}");
            }
            assert_eq!(from_known, expected, "{bad} {known}");

            let (salvage, kept) = if known > bad {
                (Salvage::BeginAfter(points[known]), expected)
            } else {
                let kept: Vec<u64> = (1..=bad as u64 * 2).collect();
                (Salvage::EndAfter(points[bad], Vec::new()), kept)
            };
            let begin = if known > bad {
                points[known]
            } else {
                points[0]
            };
            salvage
                .apply(&folder, Options::default())
                .expect("salvaged");
            let report = verify(&folder).expect("verified");
            assert_eq!(report.problems, [], "{bad} {known}");
            assert_eq!(opened(&folder, begin), kept, "{bad} {known}");
            // What was half done is done again in the same way.
            salvage
                .apply(&folder, Options::default())
                .expect("salvaged");
            assert_eq!(opened(&folder, begin), kept, "{bad} {known}");
        }
    }
}

#[test]
fn a_part_of_a_frame_is_kept_as_a_frame_of_its_own() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("log");
    let points = made(&folder);
    let salvage = Salvage::EndAfter(points[5], vec![b"kept".to_vec()]);
    let replaced = salvage.replaces(&folder).expect("listed");
    assert_eq!(replaced, [folder.join("00000000000000000017.seg")]);
    salvage
        .apply(&folder, Options::default())
        .expect("salvaged");
    assert_eq!(verify(&folder).expect("verified").problems, []);
    assert_eq!(opened(&folder, points[0]), (1..=11).collect::<Vec<u64>>());
}

#[test]
fn a_point_of_another_history_is_told_apart_from_one_that_is_gone() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("log");
    let points = made(&folder);
    for known in &points[1..] {
        let wrong = Point {
            digest: Digest::from_bytes([7; 32]),
            ..*known
        };
        let (lsns, stop) = entries(&folder, Some(wrong));
        assert!(
            lsns.is_empty() && matches!(stop, Stop::Contradicted),
            "{known:?} {stop:?}"
        );
    }
    let inside = Point {
        lsn: Lsn(3),
        ..points[1]
    };
    assert!(matches!(
        entries(&folder, Some(inside)).1,
        Stop::Contradicted
    ));
    let beyond = Point {
        lsn: Lsn(30),
        ..points[1]
    };
    assert!(matches!(entries(&folder, Some(beyond)).1, Stop::Absent));
}

#[test]
fn bytes_that_do_not_count_are_not_followed() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("log");
    made(&folder);
    // The header of the second segment is gone: the first one still ends where the second begins.
    flip(&folder.join("00000000000000000009.seg"), 40);
    let (lsns, stop) = entries(&folder, None);
    assert_eq!(lsns.len(), 8);
    let Stop::Damaged(problem) = stop else {
        panic!("{stop:?}")
    };
    assert_eq!(problem.reason, Reason::Header);
}
