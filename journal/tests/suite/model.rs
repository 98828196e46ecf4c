//! Random lives of a journal, with failing writes, crashes and power cuts, against a list.

use std::path::Path;
use std::sync::Arc;

use journal::{AppendError, Digest, Journal, Lsn, Options, Start, verify};
use proptest::prelude::*;

use crate::support::{
    Entries, Fault, Keep, Simulated, entry, open_after, read, scratch, with_faults,
};

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<usize>),
    /// Meets the next append, or whatever comes.
    Fault(Fault),
    Settle,
    Close,
    /// The process or the machine goes down; `from` chooses the checkpoint to open from.
    Crash {
        keep: Keep,
        from: usize,
    },
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Full),
        Just(Fault::WriteError),
        (0usize..1500).prop_map(Fault::Short),
        Just(Fault::SyncError),
        (0usize..14).prop_map(Fault::Nth),
        (0usize..14, 0usize..1500).prop_map(|(effects, written)| Fault::Crash { effects, written }),
    ]
}

fn keep() -> impl Strategy<Value = Keep> {
    prop_oneof![
        Just(Keep::All),
        Just(Keep::Synced),
        any::<u64>().prop_map(Keep::Sectors),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::collection::vec(0usize..700, 1..4).prop_map(Step::Append),
        3 => fault().prop_map(Step::Fault),
        1 => Just(Step::Settle),
        1 => Just(Step::Close),
        2 => (keep(), any::<usize>()).prop_map(|(keep, from)| Step::Crash { keep, from }),
    ]
}

/// What must be there.
struct Model {
    acknowledged: Entries,
    /// The group that may be there as well, whole.
    unknown: Option<Entries>,
    /// Where a checkpoint could stand.
    points: Vec<(Lsn, Digest)>,
    epoch: u64,
    written: usize,
}

impl Model {
    fn append(&mut self, journal: &mut Journal, sizes: &[usize]) {
        let group: Entries = sizes
            .iter()
            .enumerate()
            .map(|(at, bytes)| entry(self.written + at, *bytes))
            .collect();
        self.written += group.len();
        match journal.append(&group) {
            Ok(appended) => {
                self.acknowledged.extend(group);
                self.unknown = None;
                assert_eq!(appended.last.0, self.acknowledged.len() as u64);
                self.points.push((appended.last, appended.digest));
            }
            // A new segment was started first: an earlier unknown group is out.
            Err(AppendError::Unknown(_)) => self.unknown = Some(group),
            Err(AppendError::NotWritten(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }

    /// Opens, perhaps failing a few times, from a checkpoint.
    fn open(&mut self, folder: &Path, disk: &Arc<Simulated>, keep: Keep, from: usize) -> Journal {
        let (after, digest) = self.points[from % self.points.len()];
        let start = Start {
            after,
            digest: Some(digest),
        };
        loop {
            self.epoch += 1;
            let options = Options {
                epoch: self.epoch,
                ..with_faults(2048, disk)
            };
            match open_after(folder, start, options) {
                Ok((journal, _, entries)) => {
                    self.compare(after, entries, &journal);
                    return journal;
                }
                Err(journal::Error::Io { .. }) => disk.crash(folder, keep), // a waiting fault
                Err(other) => panic!("a healthy journal is refused: {other}"),
            }
        }
    }

    fn compare(&mut self, after: Lsn, entries: Entries, journal: &Journal) {
        let known = self.acknowledged.len() - after.0 as usize;
        assert!(entries.len() >= known, "acknowledged entries are lost");
        let (old, new) = entries.split_at(known);
        assert!(
            old == &self.acknowledged[after.0 as usize..],
            "entries were changed"
        );
        if !new.is_empty() {
            assert_eq!(Some(new), self.unknown.as_deref(), "a ghost");
            self.acknowledged.extend_from_slice(new);
            self.points.push((journal.last_lsn(), journal.digest()));
        }
        self.unknown = None;
        let last = self.points.last().unwrap();
        assert_eq!((journal.last_lsn(), journal.digest()), *last);
    }

    /// At any moment: a reader beside sees what is acknowledged and at most one group more.
    fn look(&self, folder: &Path) {
        let (entries, end) = read(folder);
        let end = end.expect("a healthy journal can be read");
        assert!(entries.starts_with(&self.acknowledged));
        let more = &entries[self.acknowledged.len()..];
        assert!(
            more.is_empty() || Some(more) == self.unknown.as_deref(),
            "a ghost"
        );
        assert!(end.settled.0 as usize <= self.acknowledged.len());
        assert_eq!(verify(folder).unwrap().problems, []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: crate::support::cases(), ..ProptestConfig::default() })]

    #[test]
    fn a_journal_is_a_list(steps in proptest::collection::vec(step(), 1..60)) {
        let home = scratch();
        let folder = home.path();
        let disk = Arc::new(Simulated::default());
        let mut journal = Journal::create(folder, with_faults(2048, &disk)).unwrap();
        let mut model = Model {
            acknowledged: Vec::new(),
            unknown: None,
            points: vec![(Lsn::ZERO, Digest::ZERO)],
            epoch: 0,
            written: 0,
        };
        for step in steps {
            match step {
                Step::Append(sizes) => model.append(&mut journal, &sizes),
                Step::Fault(fault) => disk.arm(fault),
                Step::Settle => {
                    if journal.settle().is_ok() {
                        // It may have been settled before, or not at all at risk.
                        model.unknown = None;
                    }
                }
                Step::Close => {
                    let closed = journal.close();
                    if closed.is_ok() {
                        model.unknown = None;
                    }
                    disk.crash(folder, if closed.is_ok() { Keep::Synced } else { Keep::All });
                    journal = model.open(folder, &disk, Keep::Synced, 0);
                }
                Step::Crash { keep, from } => {
                    drop(journal);
                    disk.disarm();
                    disk.crash(folder, keep);
                    journal = model.open(folder, &disk, keep, from);
                }
            }
            model.look(folder);
        }
    }

    /// A crash while opening, again and again, with whatever is left each time.
    #[test]
    fn crashes_while_opening(
        groups in 1usize..6,
        last in fault(),
        crashes in proptest::collection::vec((0usize..12, 0usize..1500, keep()), 0..5),
        keep in keep(),
    ) {
        let home = scratch();
        let folder = home.path();
        let disk = Arc::new(Simulated::default());
        let mut journal = Journal::create(folder, with_faults(2048, &disk)).unwrap();
        let mut model = Model {
            acknowledged: Vec::new(),
            unknown: None,
            points: vec![(Lsn::ZERO, Digest::ZERO)],
            epoch: 0,
            written: 0,
        };
        for group in 0..groups {
            model.append(&mut journal, &[group * 100, 50]);
        }
        disk.arm(last);
        model.append(&mut journal, &[900]);
        drop(journal);
        disk.crash(folder, keep);
        for (effects, written, keep) in crashes {
            disk.arm(Fault::Crash { effects, written });
            journal = model.open(folder, &disk, keep, 0);
            drop(journal);
            disk.disarm();
            disk.crash(folder, keep);
        }
        journal = model.open(folder, &disk, keep, 0);
        model.append(&mut journal, &[1]);
        journal.close().unwrap();
        model.look(folder);
    }
}
