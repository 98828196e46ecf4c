//! Bytes that no writer wrote: the reader may refuse them, and never panics, never allocates what
//! they claim, and never hands out an entry that was not appended.

use std::fs;
use std::path::Path;

use journal::{Journal, verify};
use proptest::prelude::*;

use crate::support::{Entries, entry, files, open, options, read, restore, scratch, segments};

fn sample(folder: &Path) -> Entries {
    let mut journal = Journal::create(folder, options(2048)).unwrap();
    let all: Vec<_> = (0..8).map(|at| entry(at, 50 + at * 70)).collect();
    for entry in &all {
        journal.append(&[entry]).unwrap();
    }
    all
}

fn walk_every_way(folder: &Path) {
    let _ = verify(folder);
    let _ = read(folder);
    if let Ok((mut journal, ..)) = open(folder, options(2048)) {
        // What opens can be continued.
        journal.append(&["more"]).unwrap();
        journal.close().unwrap();
        let (entries, end) = read(folder);
        end.unwrap();
        assert_eq!(entries.last().unwrap(), b"more");
    }
}

#[derive(Debug, Clone)]
enum Harm {
    Overwrite(usize, Vec<u8>),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Truncate(usize),
    /// Moves whole sectors, as a lost or misdirected write would.
    CopySector(usize, usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = || 0usize..4096;
    let bytes = || proptest::collection::vec(any::<u8>(), 1..40);
    prop_oneof![
        (at(), bytes()).prop_map(|(at, bytes)| Harm::Overwrite(at, bytes)),
        (at(), bytes()).prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
        (at(), 1usize..600).prop_map(|(at, count)| Harm::Remove(at, count)),
        at().prop_map(Harm::Truncate),
        (0usize..8, 0usize..8).prop_map(|(from, to)| Harm::CopySector(from, to)),
    ]
}

fn apply(harm: &Harm, bytes: &mut Vec<u8>) {
    let length = bytes.len();
    match harm {
        Harm::Overwrite(at, with) => {
            for (at, byte) in (at % length..length).zip(with) {
                bytes[at] = *byte;
            }
        }
        Harm::Insert(at, with) => {
            let at = at % length;
            bytes.splice(at..at, with.iter().copied());
        }
        Harm::Remove(at, count) => {
            let at = at % length;
            bytes.drain(at..(at + count).min(length));
        }
        Harm::Truncate(at) => bytes.truncate(at % length),
        Harm::CopySector(from, to) => {
            let sectors = length / 512;
            if sectors > 0 {
                let (from, to) = (from % sectors * 512, to % sectors * 512);
                bytes.copy_within(from..from + 512, to);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: crate::support::cases(), ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(files in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 1..3)) {
        let home = scratch();
        for (at, bytes) in files.iter().enumerate() {
            fs::write(home.path().join(format!("{:020}.seg", at * 3 + 1)), bytes).unwrap();
        }
        walk_every_way(home.path());
    }

    #[test]
    fn a_harmed_journal_yields_nothing_new(harms in proptest::collection::vec((0usize..8, harm()), 1..4)) {
        let home = scratch();
        let all = sample(home.path());
        let paths = segments(home.path());
        let mut harmed = files(home.path());
        for (segment, harm) in &harms {
            let bytes = harmed.get_mut(&paths[segment % paths.len()]).unwrap();
            if !bytes.is_empty() {
                apply(harm, bytes);
            }
        }
        restore(home.path(), &harmed);
        let (entries, _) = read(home.path());
        prop_assert!(all.starts_with(&entries));
        walk_every_way(home.path());
    }

    /// Headers whose checksum is right and whose fields are anything.
    #[test]
    fn sound_checksums_over_wild_fields(
        frame in 0usize..2,
        at in 32usize..96,
        with in proptest::collection::vec(any::<u8>(), 1..9),
        body in any::<bool>(),
    ) {
        let home = scratch();
        sample(home.path());
        let path = segments(home.path()).pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let frames = (bytes.len() - 512) / 512;
        let start = 512 + frame % frames * 512;
        let header = &mut bytes[start..start + 512];
        let at = if body { at + 64 } else { at };
        for (at, byte) in (at..if body { 512 } else { 96 }).zip(&with) {
            header[at] = *byte;
        }
        let checksum = crc32c::crc32c(&header[96..]);
        header[8..12].copy_from_slice(&checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&header[8..96]);
        header[4..8].copy_from_slice(&checksum.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        let _ = verify(home.path());
        let _ = read(home.path());
        let _ = open(home.path(), options(2048));
    }
}
