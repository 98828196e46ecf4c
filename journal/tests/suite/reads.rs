//! Reads that fail, once or for good: an error that says which file and where, nothing changed, nothing
//! taken for damage, and everything there again afterwards.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use journal::{
    Digest, Effect, Error, Faults, Folder, Journal, Lsn, Options, Point, Reason, Tail, Verdict,
};

use crate::support::{Collector, entry, files, last_segment, open, options, restore, scratch};

const ENTRIES: usize = 12;
const EIO: i32 = 5;

/// A disk that cannot be read.
#[derive(Debug, Default)]
struct Unread(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// After so many reads one fails, or all from there on.
    fault: Option<(usize, bool)>,
    /// How many have.
    failed: usize,
}

impl Unread {
    fn fail(&self, after: usize, for_good: bool) {
        let fault = Some((after, for_good));
        *self.0.lock().unwrap() = State { fault, failed: 0 };
    }

    /// Everything can be read again. Returns how many reads have failed.
    fn mend(&self) -> usize {
        let mut state = self.0.lock().unwrap();
        state.fault = None;
        state.failed
    }
}

impl Faults for Unread {
    fn read(&self, _: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let Some((after, for_good)) = state.fault else {
            return Ok(());
        };
        if after > 0 {
            state.fault = Some((after - 1, for_good));
            return Ok(());
        }
        if !for_good {
            state.fault = None;
        }
        state.failed += 1;
        Err(io::Error::from_raw_os_error(EIO))
    }

    fn before(&self, _: &Effect<'_>) -> Verdict {
        Verdict::Proceed
    }

    fn after(&self, _: &Effect<'_>) {}
}

/// A journal in some segments whose writer was killed in the middle of a frame.
fn torn(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut journal = Journal::create(folder, options(4096)).unwrap();
    for at in 0..ENTRIES {
        journal.append(&[entry(at, 700)]).unwrap();
    }
    drop(journal);
    let mut all = files(folder);
    let last = all.get_mut(&last_segment(folder)).unwrap();
    let frame = last[512..1200].to_vec();
    last.extend(frame);
    restore(folder, &all);
    all
}

/// Lets each read fail, once and for good; `read` is asked whether it failed.
fn at_each_read(disk: &Unread, mut read: impl FnMut() -> Option<Error>) -> usize {
    let mut most = 0;
    for for_good in [false, true] {
        for after in 0.. {
            disk.fail(after, for_good);
            let error = read();
            let failed = disk.mend();
            assert_eq!(error.is_some(), failed > 0, "{after}: {error:?}");
            let Some(error) = error else { break };
            let text = error.to_string();
            let read = text.starts_with("cannot read") && text.contains("at byte");
            let opened = text.starts_with("cannot open") || text.starts_with("cannot list");
            assert!(read || opened, "{text}");
            let code = std::error::Error::source(&error).unwrap().downcast_ref();
            let code = code.and_then(std::io::Error::raw_os_error);
            assert_eq!(code, Some(EIO), "{error:?}");
            most = most.max(after + 1);
        }
    }
    most
}

#[test]
fn opening_changes_nothing_and_comes_to_the_same_afterwards() {
    let home = scratch();
    let (disk, before) = (Arc::new(Unread::default()), torn(home.path()));
    let reads = at_each_read(&disk, || {
        restore(home.path(), &before);
        let faults: Arc<dyn Faults> = disk.clone();
        let options = Options {
            faults: Some(faults),
            ..options(4096)
        };
        let error = open(home.path(), options).err();
        if error.is_some() {
            let left = files(home.path());
            let kept = |(path, bytes): (&PathBuf, &Vec<u8>)| {
                let there = left.get(path);
                there.is_some_and(|there| bytes.starts_with(there))
            };
            assert!(before.iter().all(kept), "nothing that counts was changed");
            let (journal, recovery, entries) = open(home.path(), self::options(4096)).unwrap();
            assert_eq!((entries.len(), recovery.last), (ENTRIES, Lsn(12)));
            drop(journal);
        }
        error
    });
    assert!(reads > 8, "{reads}");
}

#[test]
fn reading_along_goes_on_where_it_was() {
    let home = scratch();
    torn(home.path());
    let disk = Arc::new(Unread::default());
    let faults: Arc<dyn Faults> = disk.clone();
    let folder = Folder::watched(home.path(), Some(faults));
    let start = Point {
        lsn: Lsn::ZERO,
        digest: Digest::ZERO,
    };
    let reads = at_each_read(&disk, || {
        let mut collector = Collector::new(Lsn::ZERO);
        let mut tail = Tail::after(folder.clone(), start);
        let error = tail
            .follow(Lsn(12), &mut |entry| collector.take(entry))
            .err();
        if error.is_some() {
            let waiting = std::mem::take(&mut *disk.0.lock().unwrap());
            tail.follow(Lsn(12), &mut |entry| collector.take(entry))
                .unwrap();
            *disk.0.lock().unwrap() = waiting;
        }
        assert_eq!(collector.entries.len(), ENTRIES, "each once");
        error
    });
    assert!(reads > 8, "{reads}");
    at_each_read(&disk, || {
        let mut collector = Collector::new(Lsn::ZERO);
        let read = journal::read(folder.clone(), Lsn::ZERO, &mut |entry| {
            collector.take(entry)
        });
        assert!(read.is_err() || collector.entries.len() == ENTRIES);
        read.err()
    });
}

/// Who examines is told of each file that could not be read, and of no other.
#[test]
fn what_is_not_read_is_no_damage() {
    let home = scratch();
    torn(home.path());
    let disk = Arc::new(Unread::default());
    let faults: Arc<dyn Faults> = disk.clone();
    let folder = Folder::watched(home.path(), Some(faults));
    let mut seen = 0;
    // The folder's names are read first: without them there is nothing to report.
    for after in 1.. {
        disk.fail(after, false);
        let report = journal::verify(folder.clone()).unwrap();
        if disk.mend() == 0 {
            assert_eq!(report.problems, []);
            break;
        }
        let unread = |reason: &Reason| matches!(reason, Reason::Unreadable(_));
        assert!(
            report.problems.iter().all(|it| unread(&it.reason)),
            "{report:?}"
        );
        seen += report.problems.len();
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn a_writer_goes_on_while_nothing_can_be_read() {
    let home = scratch();
    let disk = Arc::new(Unread::default());
    let faults: Arc<dyn Faults> = disk.clone();
    let watched = Options {
        faults: Some(faults),
        ..options(4096)
    };
    let mut journal = Journal::create(home.path(), watched).unwrap();
    disk.fail(0, true);
    for at in 0..ENTRIES {
        journal.append(&[entry(at, 700)]).unwrap();
    }
    journal.close().unwrap();
    disk.mend();
    let (_, recovery, entries) = open(home.path(), options(4096)).unwrap();
    assert!(recovery.clean);
    assert_eq!(entries.len(), ENTRIES);
}
