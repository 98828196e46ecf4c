//! The last frame of a journal that was not closed: cut at every byte, with every set of sectors
//! missing, and with a crash at every step of the repair.

use std::fs;
use std::sync::Arc;

use journal::{End, Journal, verify};

use crate::support::{
    Fault, Keep, Simulated, entry, files, last_segment, open, options, read, restore, scratch,
    with_faults,
};

#[test]
fn every_prefix_of_the_last_frame_is_cut_off() {
    let home = scratch();
    let mut journal = Journal::create(home.path(), options(1 << 20)).unwrap();
    journal.append(&[entry(1, 100), entry(2, 10)]).unwrap();
    journal.append(&[entry(3, 600)]).unwrap();
    let kept = fs::metadata(last_segment(home.path())).unwrap().len();
    let last = journal.append(&[entry(4, 900), entry(5, 9)]).unwrap();
    drop(journal);
    let whole = files(home.path());
    let segment = last_segment(home.path());
    let survivors = vec![entry(1, 100), entry(2, 10), entry(3, 600)];

    for length in 0..last.bytes {
        restore(home.path(), &whole);
        fs::File::options()
            .write(true)
            .open(&segment)
            .unwrap()
            .set_len(kept + length)
            .unwrap();
        let torn_bytes = fs::read(&segment).unwrap().split_off(kept as usize);

        let (entries, end) = read(home.path());
        assert_eq!(entries, survivors, "{length} bytes of the last frame");
        assert_eq!(matches!(end.unwrap().end, End::Torn { .. }), length > 0);

        let (mut journal, recovery, entries) = open(home.path(), options(1 << 20)).unwrap();
        assert_eq!(entries, survivors);
        assert_eq!(
            recovery.rewritten.map(|(first, last)| (first.0, last.0)),
            Some((3, 3))
        );
        assert_eq!(recovery.torn.is_some(), length > 0);
        if let Some(torn) = recovery.torn {
            assert_eq!((torn.offset, torn.bytes), (kept, length));
            assert_eq!(fs::read(&torn.copy).unwrap(), torn_bytes);
        }
        journal.append(&["after"]).unwrap();
        journal.close().unwrap();
        let (entries, _) = read(home.path());
        assert_eq!(entries.len(), 4);
        assert_eq!(entries[3], b"after");
        assert_eq!(verify(home.path()).unwrap().problems, []);
    }
}

#[test]
fn every_set_of_missing_sectors_of_the_last_frame() {
    const SECTORS: usize = 10;
    let home = scratch();
    let mut journal = Journal::create(home.path(), options(1 << 20)).unwrap();
    journal.append(&[entry(1, 700)]).unwrap();
    let kept = fs::metadata(last_segment(home.path())).unwrap().len() as usize;
    let group: Vec<_> = (0..4).map(|at| entry(at, SECTORS * 512 / 4 - 30)).collect();
    let last = journal.append(&group).unwrap();
    assert_eq!(last.bytes as usize, SECTORS * 512);
    drop(journal);
    let whole = files(home.path());
    let segment = last_segment(home.path());

    for missing in 0..1usize << SECTORS {
        // The length of the file may have reached the disk or not.
        for short in [false, true] {
            let mut bytes = whole[&segment].clone();
            for sector in (0..SECTORS).filter(|sector| missing & (1 << sector) != 0) {
                bytes[kept + sector * 512..][..512].fill(0);
            }
            if short {
                let gone = (0..SECTORS)
                    .rev()
                    .take_while(|s| missing & (1 << s) != 0)
                    .count();
                bytes.truncate(bytes.len() - gone * 512);
            }
            restore(home.path(), &whole);
            fs::write(&segment, bytes).unwrap();
            let (_, recovery, entries) = open(home.path(), options(1 << 20)).unwrap();
            let expected = if missing == 0 { 5 } else { 1 };
            assert_eq!(
                entries.len(),
                expected,
                "missing {missing:010b}, short {short}"
            );
            assert_eq!(entries[0], entry(1, 700));
            let all_gone = short && missing + 1 == 1 << SECTORS;
            assert_eq!(recovery.torn.is_some(), missing != 0 && !all_gone);
            assert_eq!(read(home.path()).0, entries);
        }
    }
}

/// A journal that needs repair, on a simulated disk: its last segment holds `frames` frames and,
/// if `torn`, half of another.
fn needs_repair(folder: &std::path::Path, frames: usize, torn: bool) -> Arc<Simulated> {
    let disk = Arc::new(Simulated::default());
    let mut journal = Journal::create(folder, with_faults(2048, &disk)).unwrap();
    for at in 0..3 + frames {
        journal.append(&[entry(at, 100)]).unwrap();
    }
    if torn {
        disk.arm(Fault::Crash {
            effects: 0,
            written: 600,
        });
        // In the same segment: it is not full yet.
        journal
            .append(&[entry(9, 700 - 512 * (frames - 1).min(1))])
            .unwrap_err();
    }
    drop(journal);
    disk.crash(folder, Keep::All);
    disk
}

#[test]
fn a_crash_at_every_step_of_the_repair_is_harmless() {
    let mut keeps = vec![Keep::All, Keep::Synced];
    keeps.extend((0..16).map(Keep::Sectors));
    // One frame: the new segment replaces the old one of the same lsn. Two: it follows it.
    for (frames, torn) in [(1, false), (1, true), (2, false), (2, true)] {
        let mut steps = 0;
        for keep in &keeps {
            for effects in 0.. {
                let home = scratch();
                let disk = needs_repair(home.path(), frames, torn);
                disk.arm(Fault::Crash {
                    effects,
                    written: 300,
                });
                let opened = open(home.path(), with_faults(2048, &disk));
                if disk.disarm() {
                    steps = effects;
                    let torn_there = opened.unwrap().1.torn.is_some();
                    assert_eq!(torn_there, torn);
                    break; // more steps than there are
                }
                opened.unwrap_err();
                disk.crash(home.path(), *keep);

                let context = format!("{frames} frames, torn {torn}, step {effects}, {keep:?}");
                let (mut journal, _, entries) =
                    open(home.path(), with_faults(2048, &disk)).expect(&context);
                let expected: Vec<_> = (0..3 + frames).map(|at| entry(at, 100)).collect();
                assert_eq!(entries, expected, "{context}");
                journal.append(&["after"]).unwrap();
                disk.crash(home.path(), Keep::Synced);
                assert_eq!(read(home.path()).0.len(), 4 + frames, "{context}");
                assert_eq!(verify(home.path()).unwrap().problems, [], "{context}");
            }
        }
        // create, write, sync, rename, sync the folder; before it the copy and the cut.
        assert_eq!(steps, if torn { 11 } else { 5 });
    }
}

#[test]
fn opening_unclean_again_and_again_does_not_grow() {
    let home = scratch();
    let mut journal = Journal::create(home.path(), options(1 << 20)).unwrap();
    journal.append(&["a"]).unwrap();
    journal.append(&["b"]).unwrap();
    drop(journal);
    let digest = open(home.path(), options(1 << 20)).unwrap().1.digest;
    let before = files(home.path());
    for _ in 0..5 {
        let (journal, recovery, entries) = open(home.path(), options(1 << 20)).unwrap();
        assert_eq!(entries, [b"a", b"b"]);
        assert_eq!((recovery.digest, recovery.clean), (digest, false));
        drop(journal);
    }
    assert!(files(home.path()).keys().eq(before.keys()));
}

/// The page cache shows a frame that the disk does not have: once it was visited it must stay.
#[test]
fn what_was_visited_survives_a_later_power_cut() {
    for before in [0, 1, 3] {
        let home = scratch();
        let disk = Arc::new(Simulated::default());
        let mut journal = Journal::create(home.path(), with_faults(4096, &disk)).unwrap();
        for at in 0..before {
            journal.append(&[entry(at, 100)]).unwrap();
        }
        disk.arm(Fault::SyncError);
        journal.append(&["in memory only"]).unwrap_err();
        drop(journal);
        disk.crash(home.path(), Keep::All);
        let (journal, _, visited) = open(home.path(), with_faults(4096, &disk)).unwrap();
        assert_eq!(visited.len(), before + 1);
        drop(journal);
        disk.crash(home.path(), Keep::Synced);
        let (_, _, entries) = open(home.path(), with_faults(4096, &disk)).unwrap();
        assert_eq!(entries, visited, "{before} before");
    }
}
