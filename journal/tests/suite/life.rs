//! The ordinary life of a journal: create, append, rotate, close, open, read.

use std::fs;

use journal::{AppendError, End, Error, Journal, Lsn, Options, Reason, Start, verify};

use crate::support::{entry, files, open, open_after, options, read, scratch, segments};

/// Sizes around every boundary: sector, entry length, read buffer.
const SIZES: [usize; 12] = [
    0,
    1,
    411,
    412,
    413,
    507,
    508,
    512,
    924,
    1025,
    256 << 10,
    (256 << 10) + 513,
];

#[test]
fn every_size_comes_back_at_its_lsn() {
    let home = scratch();
    let mut journal = Journal::create(home.path(), options(100 << 10)).unwrap();
    let groups: Vec<Vec<Vec<u8>>> = (0..SIZES.len())
        .map(|group| {
            (0..=group % 3)
                .map(|at| entry(group, SIZES[(group + at) % 12]))
                .collect()
        })
        .collect();
    let mut lsn = Lsn::ZERO;
    let mut digests = Vec::new();
    for group in &groups {
        let appended = journal.append(group).unwrap();
        assert_eq!(appended.first, lsn.next());
        lsn = appended.last;
        assert_eq!(
            (lsn, appended.digest),
            (journal.last_lsn(), journal.digest())
        );
        assert_eq!(appended.bytes % 512, 0);
        digests.push((appended.last, appended.digest));
    }
    journal.close().unwrap();

    let all: Vec<Vec<u8>> = groups.concat();
    assert_eq!(lsn.0, all.len() as u64);
    let (entries, end) = read(home.path());
    assert_eq!(entries, all);
    let end = end.unwrap();
    assert_eq!((end.last, end.settled, end.end), (lsn, lsn, End::Clean));

    // From every lsn, in the middle of a group too, with the digest of the frame that holds it.
    for after in 0..=all.len() as u64 {
        let digest = digests
            .iter()
            .find(|(last, _)| *last >= Lsn(after))
            .map(|(_, digest)| *digest);
        let digest = if after == 0 {
            Some(journal::Digest::ZERO)
        } else {
            digest
        };
        let start = Start {
            after: Lsn(after),
            digest,
        };
        let (journal, recovery, entries) =
            open_after(home.path(), start, Options::default()).unwrap();
        assert_eq!(entries, all[after as usize..], "after {after}");
        assert!(recovery.clean && recovery.torn.is_none() && recovery.rewritten.is_none());
        assert_eq!(journal.last_lsn(), lsn);
    }
    assert_eq!(verify(home.path()).unwrap().problems, []);
}

#[test]
fn a_segment_is_full_at_its_limit_and_older_ones_are_not_read_again() {
    let home = scratch();
    let mut journal = Journal::create(home.path(), options(2048)).unwrap();
    let mut third = None;
    for at in 0..9 {
        let appended = journal.append(&[entry(at, 100)]).unwrap();
        if at == 3 {
            third = Some(appended);
        }
    }
    // A header and three frames of one sector each.
    let names: Vec<_> = segments(home.path())
        .iter()
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [1, 4, 7]
            .map(|lsn| format!("{lsn:020}.seg"))
            .map(std::ffi::OsString::from)
    );
    let counted: Vec<_> = journal
        .segments()
        .iter()
        .map(|s| (s.first.0, s.bytes))
        .collect();
    assert_eq!(counted, [(1, 2048), (4, 2048), (7, 2048)]);
    journal.append(&[entry(9, 10_000)]).unwrap(); // larger than a segment: has one to itself
    assert_eq!(journal.segments().last().unwrap().first, Lsn(10));
    journal.close().unwrap();

    fs::write(&segments(home.path())[0], b"rot").unwrap();
    let fourth = third.unwrap();
    let start = Start {
        after: fourth.last,
        digest: Some(fourth.digest),
    };
    let (_, recovery, entries) = open_after(home.path(), start, options(2048)).unwrap();
    assert_eq!((entries.len(), recovery.entries), (6, 6));
    let error = open(home.path(), options(2048)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Damaged {
                offset: 0,
                reason: Reason::Header,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_clean_journal_is_opened_without_touching_the_disk() {
    let home = scratch();
    let mut journal = Journal::create(home.path(), options(1 << 20)).unwrap();
    journal.append(&["a"]).unwrap();
    journal.close().unwrap();
    let before = files(home.path());
    for _ in 0..3 {
        let (journal, recovery, _) = open(home.path(), options(1 << 20)).unwrap();
        assert!(recovery.clean);
        journal.close().unwrap();
        assert_eq!(files(home.path()), before);
    }
    let (mut journal, ..) = open(home.path(), options(1 << 20)).unwrap();
    journal.append(&["b"]).unwrap();
    assert_eq!(segments(home.path()).len(), 2);
    journal.close().unwrap();
    assert_eq!(read(home.path()).0, [b"a", b"b"]);
}

#[test]
fn an_empty_journal_lives_too() {
    let home = scratch();
    for unclean in [false, true, false] {
        let folder = home.path().join(format!("{unclean}"));
        let journal = match Journal::create(&folder, Options::default()) {
            Ok(journal) => journal,
            Err(Error::Exists { .. }) => open(&folder, Options::default()).unwrap().0,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(journal.last_lsn(), Lsn::ZERO);
        if !unclean {
            journal.close().unwrap();
        }
        let (mut journal, recovery, entries) = open(&folder, Options::default()).unwrap();
        assert_eq!((recovery.clean, entries.len()), (!unclean, 0));
        journal.settle().unwrap();
        assert_eq!(segments(&folder).len(), 1);
        journal.close().unwrap();
    }
}

#[test]
fn what_cannot_be_is_refused_and_named() {
    let home = scratch();
    let folder = home.path();
    let message = |result: Result<_, Error>| match result {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    };
    let say = |what: &str| format!("{}{what}", folder.display());
    assert_eq!(
        message(open(folder, Options::default()).map(|_| ())),
        say(" holds no journal (no `<first lsn>.seg` file)")
    );
    let mut journal = Journal::create(
        folder,
        Options {
            epoch: 5,
            ..options(512)
        },
    )
    .unwrap();
    let digest = journal.append(&["a", "b"]).unwrap().digest;
    journal.append(&["c"]).unwrap();
    journal.close().unwrap();
    let before = files(folder);
    let five = Options {
        epoch: 5,
        ..options(512)
    };
    let at = |after, digest| Start {
        after: Lsn(after),
        digest,
    };
    assert_eq!(
        message(Journal::create(folder, five.clone()).map(|_| ())),
        say(" already holds a journal; open it instead of creating one")
    );
    assert_eq!(
        message(open(folder, options(512)).map(|_| ())),
        "the journal was written in epoch 5; a writer of epoch 0 may not continue it"
    );
    assert_eq!(
        message(open_after(folder, at(4, None), five.clone()).map(|_| ())),
        "the journal ends at lsn 3, but was known to reach lsn 4: entries are lost"
    );
    // The digest of lsn 2 is not that of lsn 3, nor of 1 or nothing.
    for (after, fits) in [(0, false), (1, true), (2, true), (3, false)] {
        let opened = open_after(folder, at(after, Some(digest)), five.clone());
        match opened {
            Ok(_) => assert!(fits, "after {after}"),
            Err(Error::Damaged {
                reason: Reason::Chain { .. },
                ..
            }) => assert!(!fits),
            Err(other) => panic!("{other}"),
        }
    }
    let refusal = Journal::open(folder, at(0, None), five.clone(), &mut |entry| {
        if entry.lsn == Lsn(2) {
            Err("not this one".into())
        } else {
            Ok(())
        }
    });
    let error = refusal.unwrap_err();
    assert_eq!(error.to_string(), "the entry at lsn 2 was refused");
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "not this one"
    );
    assert_eq!(files(folder), before);

    fs::remove_file(&segments(folder)[0]).unwrap();
    assert_eq!(
        message(open(folder, five).map(|_| ())),
        "the journal begins at lsn 3: the entries from lsn 1 on were asked for"
    );
}

#[test]
fn a_group_beyond_the_limits_changes_nothing() {
    let home = scratch();
    let mut journal = Journal::create(home.path(), Options::default()).unwrap();
    let before = files(home.path());
    let large = vec![1; journal::MAX_ENTRY_BYTES + 1];
    assert!(matches!(
        journal.append::<&[u8]>(&[]),
        Err(AppendError::Empty)
    ));
    let error = journal.append(&[&b"a"[..], &large]).unwrap_err();
    assert!(
        matches!(error, AppendError::EntryTooLarge { index: 1, .. }),
        "{error}"
    );
    let largest = &large[1..];
    let error = journal.append(&[largest, largest]).unwrap_err();
    assert!(
        matches!(error, AppendError::GroupTooLarge { .. }),
        "{error}"
    );
    let error = journal
        .append(&vec![b""; journal::MAX_GROUP_ENTRIES + 1])
        .unwrap_err();
    assert!(
        matches!(error, AppendError::TooManyEntries { .. }),
        "{error}"
    );
    assert_eq!(files(home.path()), before);

    journal
        .append(&vec![b""; journal::MAX_GROUP_ENTRIES])
        .unwrap();
    journal.append(&[largest]).unwrap();
    journal.close().unwrap();
    let (entries, _) = read(home.path());
    assert_eq!(entries.len(), journal::MAX_GROUP_ENTRIES + 1);
    assert!(entries.last().unwrap() == largest);
}

#[test]
fn a_reader_beside_a_writer_sees_a_growing_prefix() {
    let home = scratch();
    let folder = home.path().to_owned();
    let mut journal = Journal::create(&folder, options(4096)).unwrap();
    let writer = std::thread::spawn(move || {
        for at in 0..400usize {
            journal.append(&[at.to_string(), at.to_string()]).unwrap();
        }
        journal.close().unwrap();
    });
    let mut seen = 0;
    loop {
        let done = writer.is_finished();
        let (entries, end) = read(&folder);
        let end = end.unwrap();
        assert!(entries.len() >= seen && entries.len() % 2 == 0);
        assert!(end.settled <= end.last && end.last.0 == entries.len() as u64);
        for (at, entry) in entries.iter().enumerate() {
            assert_eq!(*entry, (at / 2).to_string().into_bytes());
        }
        seen = entries.len();
        if done {
            assert_eq!((seen, end.end), (800, End::Clean));
            break;
        }
    }
    writer.join().unwrap();
}
