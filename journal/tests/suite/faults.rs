//! Writes and syncs that fail: the group's outcome is unknown, the journal goes on, and what the
//! failed group left never comes back to life.

use std::sync::Arc;

use journal::{AppendError, Journal, Lsn, verify};

use crate::support::{Fault, Keep, Simulated, entry, open, read, scratch, with_faults};

const FAULTS: [Fault; 7] = [
    Fault::Full,
    Fault::WriteError,
    Fault::Short(0),
    Fault::Short(1),
    Fault::Short(512),
    Fault::Short(1000),
    Fault::SyncError,
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Next {
    Append,
    Settle,
    Close,
}

#[test]
fn a_failed_group_never_comes_back() {
    // 0: the failed frame is the first of its segment, so the successor has the same name.
    for before in [0, 1, 3, 4] {
        for fault in FAULTS {
            for next in [Next::Append, Next::Settle, Next::Close] {
                for keep in [Keep::All, Keep::Synced, Keep::Sectors(1), Keep::Sectors(2)] {
                    let context = format!("{before} before, {fault:?}, {next:?}, {keep:?}");
                    check(before, fault, next, keep, &context);
                }
            }
        }
    }
}

fn check(before: usize, fault: Fault, next: Next, keep: Keep, context: &str) {
    let home = scratch();
    let disk = Arc::new(Simulated::default());
    let mut journal = Journal::create(home.path(), with_faults(4096, &disk)).unwrap();
    let mut expected: Vec<_> = (0..before).map(|at| entry(at, 100)).collect();
    for entry in &expected {
        journal.append(&[entry]).unwrap();
    }
    let (last, digest) = (journal.last_lsn(), journal.digest());
    disk.arm(fault);
    let error = journal.append(&[entry(90, 800), entry(91, 8)]).unwrap_err();
    assert!(
        matches!(error, AppendError::Unknown(_)),
        "{context}: {error}"
    );
    assert_eq!(
        (journal.last_lsn(), journal.digest()),
        (last, digest),
        "{context}"
    );

    match next {
        Next::Append => {
            let appended = journal.append(&[entry(92, 50)]).expect(context);
            assert_eq!(appended.first, Lsn(before as u64 + 1), "{context}");
            expected.push(entry(92, 50));
            drop(journal);
        }
        Next::Settle => {
            journal.settle().expect(context);
            drop(journal);
        }
        Next::Close => journal.close().expect(context),
    }
    assert_eq!(read(home.path()).0, expected, "{context}");
    disk.crash(home.path(), keep);
    for round in 0..3 {
        let (mut journal, recovery, entries) =
            open(home.path(), with_faults(4096, &disk)).expect(context);
        assert_eq!(entries, expected, "{context}, round {round}");
        assert_eq!(
            recovery.clean,
            next == Next::Close && round == 0,
            "{context}"
        );
        assert_eq!(recovery.torn, None, "{context}");
        journal.append(&[entry(round, 30)]).expect(context);
        expected.push(entry(round, 30));
        disk.crash(home.path(), keep);
    }
    assert_eq!(verify(home.path()).unwrap().problems, [], "{context}");
}

#[test]
fn a_group_of_unknown_outcome_is_there_whole_or_not_at_all() {
    for fault in FAULTS {
        for seed in 0..40 {
            let home = scratch();
            let disk = Arc::new(Simulated::default());
            let mut journal = Journal::create(home.path(), with_faults(1 << 20, &disk)).unwrap();
            journal.append(&["a"]).unwrap();
            disk.arm(fault);
            journal.append(&[entry(1, 800), entry(2, 800)]).unwrap_err();
            drop(journal);
            disk.crash(home.path(), Keep::Sectors(seed));
            let (_, _, entries) = open(home.path(), with_faults(1 << 20, &disk)).unwrap();
            assert_eq!(entries[0], b"a");
            assert!(
                entries.len() == 1 || entries[1..] == [entry(1, 800), entry(2, 800)],
                "{fault:?}, seed {seed}: {} entries",
                entries.len(),
            );
        }
    }
}

/// While no segment can be started, groups are refused as not written; nothing that was
/// acknowledged suffers, even though the half-started segment may exist.
#[test]
fn a_segment_that_cannot_be_started() {
    for step in 0..6 {
        for keep in [Keep::All, Keep::Synced, Keep::Sectors(3), Keep::Sectors(4)] {
            let home = scratch();
            let disk = Arc::new(Simulated::default());
            // Full after one frame.
            let mut journal = Journal::create(home.path(), with_faults(1024, &disk)).unwrap();
            journal.append(&["a"]).unwrap();
            disk.arm(Fault::Nth(step));
            let result = journal.append(&["b"]);
            let context = format!("step {step}, {keep:?}");
            let mut expected = vec![b"a".to_vec()];
            match result {
                Err(AppendError::NotWritten(_)) => assert!(step < 5, "{context}"),
                Err(AppendError::Unknown(_)) => assert!(step >= 5, "{context}"),
                other => panic!("{context}: {other:?}"),
            }
            if step % 2 == 0 {
                journal.append(&["c"]).expect(&context);
                expected.push(b"c".to_vec());
            }
            drop(journal);
            disk.crash(home.path(), keep);
            let (journal, _, entries) = open(home.path(), with_faults(1024, &disk)).unwrap();
            // Step 5 is the write itself, which was refused.
            assert_eq!(entries, expected, "{context}");
            journal.close().unwrap();
            assert_eq!(verify(home.path()).unwrap().problems, []);
        }
    }
}

#[test]
fn a_failed_close_is_an_unclean_end_and_nothing_more() {
    // A footer is one sector: 512 bytes of it are all of it.
    let faults = FAULTS
        .into_iter()
        .filter(|fault| !matches!(fault, Fault::Short(512..)));
    for fault in faults {
        let home = scratch();
        let disk = Arc::new(Simulated::default());
        let mut journal = Journal::create(home.path(), with_faults(1 << 20, &disk)).unwrap();
        journal.append(&["a"]).unwrap();
        disk.arm(fault);
        journal.close().unwrap_err();
        disk.crash(home.path(), Keep::Synced);
        let (_, recovery, entries) = open(home.path(), with_faults(1 << 20, &disk)).unwrap();
        assert_eq!(
            (entries, recovery.clean),
            (vec![b"a".to_vec()], false),
            "{fault:?}"
        );
    }
}
