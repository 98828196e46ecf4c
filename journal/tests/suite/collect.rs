//! A journal whose beginning is removed, and one that is followed while it is written.

use std::path::Path;
use std::sync::Arc;

use journal::{Digest, Error, Journal, Lsn, Options, Point, Start, Tail, segments, verify};

use crate::support::{
    Collector, Entries, Fault, Keep, Simulated, entry, files, open, open_after, options, restore,
    scratch, with_faults,
};

/// A journal of `count` frames of one entry each, in segments of two or three, and the digests.
fn written(folder: &Path, options: Options, count: usize) -> (Journal, Vec<Digest>) {
    let mut journal = Journal::create(folder, options).unwrap();
    let mut digests = vec![Digest::ZERO];
    for at in 0..count {
        digests.push(journal.append(&[entry(at, 700)]).unwrap().digest);
    }
    (journal, digests)
}

fn start(lsn: usize, digests: &[Digest]) -> Start {
    Start {
        after: Lsn(lsn as u64),
        digest: Some(digests[lsn]),
    }
}

#[test]
fn a_segment_ends_when_it_is_told_to() {
    let home = scratch();
    let (mut journal, _) = written(home.path(), options(1 << 20), 3);
    journal.end_segment().unwrap();
    journal.end_segment().unwrap();
    let firsts = |journal: &Journal| -> Vec<u64> {
        journal.segments().iter().map(|it| it.first.0).collect()
    };
    assert_eq!(firsts(&journal), [1, 4], "one that is empty goes on");
    drop(journal);
    let (mut journal, recovery, _) = open(home.path(), options(1 << 20)).unwrap();
    assert_eq!(recovery.entries, 3);
    assert!(journal.remove_before(Lsn(4)).unwrap() > 0);
    journal.append(&[entry(3, 700)]).unwrap();
    assert_eq!(firsts(&journal), [4]);
    journal.close().unwrap();
    let (mut journal, recovery, _) = open_after(
        home.path(),
        Start {
            after: Lsn(3),
            digest: None,
        },
        options(1 << 20),
    )
    .unwrap();
    assert_eq!(recovery.entries, 1);
    journal.end_segment().unwrap();
    assert_eq!(firsts(&journal), [4], "with a footer it has ended");
}

#[test]
fn what_is_before_an_lsn_goes_in_whole_segments() {
    let home = scratch();
    let (journal, digests) = written(home.path(), options(4096), 12);
    drop(journal);
    let whole = files(home.path());
    for lsn in 0..=14 {
        restore(home.path(), &whole);
        let (mut journal, _, _) = open(home.path(), options(4096)).unwrap();
        let firsts: Vec<u64> = journal.segments().iter().map(|it| it.first.0).collect();
        assert!(firsts.len() >= 4, "{firsts:?}");
        let before: u64 = journal.segments().iter().map(|it| it.bytes).sum();
        let removed = journal.remove_before(Lsn(lsn)).unwrap();
        let after: u64 = journal.segments().iter().map(|it| it.bytes).sum();
        assert_eq!(before - after, removed);
        assert_eq!(journal.segments().to_vec(), segments(home.path()).unwrap());
        let begins = journal.segments()[0].first.0;
        let last = journal.segments().last().unwrap().first.0;
        let expected = firsts
            .iter()
            .copied()
            .filter(|first| *first <= lsn.max(1))
            .max();
        assert_eq!(begins, expected.unwrap().min(last), "before {lsn}");
        assert_eq!(journal.remove_before(Lsn(lsn)).unwrap(), 0);
        journal.append(&[entry(50, 9)]).unwrap();
        journal.close().unwrap();
        assert_eq!(verify(home.path()).unwrap().problems, []);
        for from in 0..12 {
            let opened = open_after(home.path(), start(from, &digests), options(4096));
            if (from as u64) + 1 < begins {
                assert!(
                    matches!(opened, Err(Error::Collected { .. })),
                    "from {from}"
                );
                continue;
            }
            let expected: Entries = (from..12)
                .map(|at| entry(at, 700))
                .chain([entry(50, 9)])
                .collect();
            assert_eq!(opened.unwrap().2, expected, "from {from}");
        }
    }
}

#[test]
fn copies_of_torn_bytes_go_with_their_segment() {
    let home = scratch();
    let (mut journal, _) = written(home.path(), options(4096), 7);
    let oldest = files(home.path()).into_keys().next().unwrap();
    for number in 1..3 {
        std::fs::write(format!("{}.torn-{number}", oldest.display()), b"x").unwrap();
    }
    journal.remove_before(Lsn(7)).unwrap();
    let left: Vec<_> = files(home.path()).into_keys().collect();
    assert_eq!(left.len(), journal.segments().len(), "{left:?}");
}

#[test]
fn a_crash_in_between_leaves_no_gap() {
    for effects in 0.. {
        for keep in [Keep::All, Keep::Synced, Keep::Sectors(3), Keep::Sectors(4)] {
            let home = scratch();
            let disk = Arc::new(Simulated::default());
            let (mut journal, digests) = written(home.path(), with_faults(4096, &disk), 12);
            disk.arm(Fault::Crash {
                effects,
                written: 0,
            });
            let ended = journal.remove_before(Lsn(12));
            drop(journal);
            disk.crash(home.path(), keep);
            assert_eq!(
                verify(home.path()).unwrap().problems,
                [],
                "{effects} {keep:?}"
            );
            let (_, _, entries) =
                open_after(home.path(), start(11, &digests), with_faults(4096, &disk)).unwrap();
            assert_eq!(entries, [entry(11, 700)]);
            if ended.is_ok() && effects > 20 {
                return;
            }
        }
    }
}

/// Follows, and says whether it could.
fn follow(tail: &mut Tail, published: Lsn, seen: &mut Collector) -> Result<(), Error> {
    tail.follow(published, &mut |entry| seen.take(entry))
}

#[test]
fn a_tail_sees_what_was_published_and_never_what_was_not_durable() {
    let home = scratch();
    let disk = Arc::new(Simulated::default());
    let mut journal = Journal::create(home.path(), with_faults(4096, &disk)).unwrap();
    let beginning = || Point {
        lsn: Lsn::ZERO,
        digest: Digest::ZERO,
    };
    let mut told = Tail::after(home.path(), beginning());
    let mut untold = Tail::after(home.path(), beginning());
    let (mut by_told, mut by_untold) = (Collector::new(Lsn::ZERO), Collector::new(Lsn::ZERO));
    let mut expected = Entries::new();
    for round in 0..60 {
        match round % 10 {
            3 => {
                disk.arm(Fault::SyncError);
                journal.append(&[entry(200, 300)]).unwrap_err();
            }
            5 => {
                disk.arm(Fault::Short(100));
                journal.append(&[entry(201, 900)]).unwrap_err();
            }
            7 => {
                drop(journal);
                journal = open(home.path(), with_faults(4096, &disk)).unwrap().0;
            }
            9 => {
                journal.close().unwrap();
                journal = open(home.path(), with_faults(4096, &disk)).unwrap().0;
            }
            _ => {
                let group: Vec<_> = (0..=round % 3).map(|at| entry(round + at, 400)).collect();
                journal.append(&group).unwrap();
                expected.extend(group);
            }
        }
        follow(&mut told, journal.last_lsn(), &mut by_told).unwrap();
        assert_eq!(by_told.entries, expected, "round {round}");
        assert_eq!(told.point().digest, journal.digest());
        follow(&mut untold, Lsn::ZERO, &mut by_untold).unwrap();
        assert!(expected.starts_with(&by_untold.entries), "round {round}");
        assert!(
            expected.len() - by_untold.entries.len() <= 3,
            "one frame behind"
        );
    }
    journal.close().unwrap();
    follow(&mut untold, Lsn::ZERO, &mut by_untold).unwrap();
    assert_eq!(
        by_untold.entries, expected,
        "a footer comes after what is durable"
    );
}

#[test]
fn a_tail_notices_that_what_it_needs_is_gone_or_another() {
    let home = scratch();
    let (mut journal, digests) = written(home.path(), options(4096), 12);
    let point = |lsn: usize| Point {
        lsn: Lsn(lsn as u64),
        digest: digests[lsn],
    };
    journal.remove_before(Lsn(9)).unwrap();
    let begins = journal.segments()[0].first.0 as usize;
    let mut seen = Collector::new(Lsn(2));
    let gone = follow(&mut Tail::after(home.path(), point(2)), Lsn(12), &mut seen);
    assert!(matches!(gone, Err(Error::Collected { .. })), "{gone:?}");
    for lsn in begins - 1..12 {
        let mut seen = Collector::new(Lsn(lsn as u64));
        follow(
            &mut Tail::after(home.path(), point(lsn)),
            Lsn(12),
            &mut seen,
        )
        .unwrap();
        assert_eq!(seen.entries.len(), 12 - lsn);
        let other = Point {
            lsn: Lsn(lsn as u64),
            digest: digests[1],
        };
        let found = follow(&mut Tail::after(home.path(), other), Lsn(12), &mut seen);
        assert!(
            matches!(found, Err(Error::Damaged { .. })),
            "{lsn}: {found:?}"
        );
    }
}

#[test]
fn a_visitor_that_fails_sees_the_frame_again() {
    let home = scratch();
    let (_journal, digests) = written(home.path(), options(4096), 6);
    let point = Point {
        lsn: Lsn(1),
        digest: digests[1],
    };
    let mut tail = Tail::after(home.path(), point);
    let mut seen = Collector::new(Lsn(1));
    for limit in [2, 4, 4, 6] {
        let followed = tail.follow(Lsn(6), &mut |entry| {
            if entry.lsn > Lsn(limit) {
                return Err("not yet".into());
            }
            seen.take(entry)
        });
        assert_eq!(followed.is_ok(), limit == 6);
        assert_eq!(tail.point().lsn, Lsn(limit));
    }
    assert_eq!(seen.entries.len(), 5);
}
