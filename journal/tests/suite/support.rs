//! A scratch folder, a journal's entries as a list, and a disk that can be told to fail.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use journal::{Effect, Entry, Error, Faults, Journal, Lsn, Options, Recovery, Start, Verdict};

pub(crate) type Entries = Vec<Vec<u8>>;

/// A folder that is gone after the test; in memory where there is such a place, since these tests
/// sync many thousand times. What a lost sync does is simulated.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .unwrap()
}

/// How many cases of a property are tried.
pub(crate) fn cases() -> u32 {
    let given = std::env::var("TRELLIS_CASES").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(256)
}

pub(crate) fn options(segment_bytes: u64) -> Options {
    Options {
        segment_bytes,
        ..Options::default()
    }
}

pub(crate) fn with_faults(segment_bytes: u64, faults: &Arc<Simulated>) -> Options {
    let faults: Arc<dyn Faults> = faults.clone();
    Options {
        segment_bytes,
        epoch: 0,
        faults: Some(faults),
    }
}

/// Opens for writing from the beginning, and collects.
pub(crate) fn open(folder: &Path, options: Options) -> Result<(Journal, Recovery, Entries), Error> {
    open_after(folder, Start::default(), options)
}

pub(crate) fn open_after(
    folder: &Path,
    start: Start,
    options: Options,
) -> Result<(Journal, Recovery, Entries), Error> {
    let mut collector = Collector::new(start.after);
    let (journal, recovery) =
        Journal::open(folder, start, options, &mut |entry| collector.take(entry))?;
    assert_eq!(recovery.last, journal.last_lsn());
    assert_eq!(recovery.digest, journal.digest());
    assert_eq!(recovery.entries, collector.entries.len() as u64);
    Ok((journal, recovery, collector.entries))
}

/// Takes entries, which must come in order and without gaps.
pub(crate) struct Collector {
    last: Lsn,
    pub(crate) entries: Entries,
}

impl Collector {
    pub(crate) fn new(after: Lsn) -> Collector {
        Collector {
            last: after,
            entries: Vec::new(),
        }
    }

    pub(crate) fn take(&mut self, entry: Entry<'_>) -> Result<(), journal::VisitError> {
        assert_eq!(entry.lsn, self.last.next());
        self.last = entry.lsn;
        self.entries.push(entry.bytes.to_vec());
        Ok(())
    }
}

/// Every entry that a second process sees; those seen before an error too.
pub(crate) fn read(folder: &Path) -> (Entries, Result<journal::ReadEnd, Error>) {
    let mut collector = Collector::new(Lsn::ZERO);
    let end = journal::read(folder, Lsn::ZERO, &mut |entry| collector.take(entry));
    (collector.entries, end)
}

/// Every file of a folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

/// Makes the folder hold exactly these files.
pub(crate) fn restore(folder: &Path, wanted: &BTreeMap<PathBuf, Vec<u8>>) {
    for path in files(folder).keys() {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in wanted {
        fs::write(path, bytes).unwrap();
    }
}

pub(crate) fn segments(folder: &Path) -> Vec<PathBuf> {
    let segment = |path: &PathBuf| path.extension().is_some_and(|suffix| suffix == "seg");
    files(folder).into_keys().filter(segment).collect()
}

pub(crate) fn last_segment(folder: &Path) -> PathBuf {
    segments(folder).pop().unwrap()
}

/// An entry of `bytes` bytes, none of them zero, different for each `seed`.
pub(crate) fn entry(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| ((seed * 31 + at * 7 + at / 251) % 255) as u8 + 1)
        .collect()
}

/// What the next matching effect shall meet, once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The write is refused: the disk is full.
    Full,
    /// The write is refused: EIO.
    WriteError,
    /// Only so many bytes are written.
    Short(usize),
    /// The write lands in the page cache, its sync fails.
    SyncError,
    /// After so many more effects one fails, whichever it is.
    Nth(usize),
    /// After so many more effects the process dies; of a write then at hand, so many bytes land.
    Crash { effects: usize, written: usize },
}

/// What a crash leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keep {
    /// Everything: the process was killed. A power cut later can still take what was not synced.
    All,
    /// What was synced and nothing else: the power went.
    Synced,
    /// What was synced, and of the rest some sectors, chosen by this seed.
    Sectors(u64),
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// A disk that keeps book of what is durable, and fails when told to.
#[derive(Debug, Default)]
pub(crate) struct Simulated(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What is durable of each file that ever was.
    contents: Vec<Vec<u8>>,
    /// Names as the process sees them, and as they are durable.
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    fault: Option<Fault>,
    dead: bool,
}

impl Simulated {
    pub(crate) fn arm(&self, fault: Fault) {
        self.0.lock().unwrap().fault = Some(fault);
    }

    /// Returns whether the fault was still waiting.
    pub(crate) fn disarm(&self) -> bool {
        self.0.lock().unwrap().fault.take().is_some()
    }

    /// The process or the machine goes down and comes up again with what is left.
    pub(crate) fn crash(&self, folder: &Path, keep: Keep) {
        let mut state = self.0.lock().unwrap();
        (state.fault, state.dead) = (None, false);
        if let Keep::All = keep {
            return; // what was not synced is there, and still not durable
        }
        let mut random = match keep {
            Keep::Sectors(seed) => Random(seed),
            Keep::All | Keep::Synced => Random(0),
        };
        let live_names = matches!(keep, Keep::Sectors(_)) && random.coin();
        let names = if live_names {
            state.live.clone()
        } else {
            state.durable.clone()
        };
        let live_content: BTreeMap<usize, Vec<u8>> = state
            .live
            .iter()
            .map(|(path, id)| (*id, fs::read(path).unwrap()))
            .collect();
        let mut left = BTreeMap::new();
        for (path, id) in &names {
            let durable = &state.contents[*id];
            let live = live_content.get(id).unwrap_or(durable);
            let bytes = match keep {
                Keep::Sectors(_) => random.mix(durable, live),
                Keep::All | Keep::Synced => durable.clone(),
            };
            left.insert(path.clone(), bytes);
        }
        restore(folder, &left);
        // What came up again is on the disk: that is where it was read from.
        *state = State::default();
        for (path, bytes) in left {
            let id = state.contents.len();
            state.contents.push(bytes);
            state.live.insert(path.clone(), id);
            state.durable.insert(path, id);
        }
    }
}

impl Faults for Simulated {
    fn before(&self, effect: &Effect<'_>) -> Verdict {
        let mut state = self.0.lock().unwrap();
        let fail = |code| Verdict::Fail(io::Error::from_raw_os_error(code));
        if state.dead {
            return fail(EIO);
        }
        let verdict = match (state.fault, effect) {
            (Some(Fault::Full), Effect::Write { .. }) => fail(ENOSPC),
            (Some(Fault::WriteError), Effect::Write { .. }) => fail(EIO),
            (Some(Fault::Short(most)), Effect::Write { .. }) => Verdict::Short(most),
            (Some(Fault::SyncError), Effect::SyncFile { .. }) => fail(EIO),
            (Some(Fault::Nth(0)), _) => fail(EIO),
            (Some(Fault::Nth(more)), _) => {
                state.fault = Some(Fault::Nth(more - 1));
                return Verdict::Proceed;
            }
            (
                Some(Fault::Crash {
                    effects: 0,
                    written,
                }),
                _,
            ) => {
                state.dead = true;
                match effect {
                    Effect::Write { bytes, .. } => Verdict::Short(written.min(bytes - 1)),
                    _ => fail(EIO),
                }
            }
            (Some(Fault::Crash { effects, written }), _) => {
                state.fault = Some(Fault::Crash {
                    effects: effects - 1,
                    written,
                });
                return Verdict::Proceed;
            }
            _ => return Verdict::Proceed,
        };
        state.fault = None;
        verdict
    }

    fn after(&self, effect: &Effect<'_>) {
        let mut state = self.0.lock().unwrap();
        match *effect {
            Effect::Create { path } => {
                let id = state.contents.len();
                state.contents.push(Vec::new());
                state.live.insert(path.to_owned(), id);
            }
            Effect::Rename { from, to } => {
                let id = state.live.remove(from).unwrap();
                state.live.insert(to.to_owned(), id);
            }
            Effect::Remove { path } => {
                state.live.remove(path).unwrap();
            }
            Effect::SyncFile { path } => {
                let id = state.live[path];
                state.contents[id] = fs::read(path).unwrap();
            }
            Effect::SyncFolder { path } => {
                let inside = |(name, _): &(&PathBuf, &usize)| name.parent() == Some(path);
                let durable = state.live.iter().filter(inside);
                let durable = durable.map(|(name, id)| (name.clone(), *id)).collect();
                state.durable = durable;
            }
            Effect::Write { .. } | Effect::Cut { .. } => {}
        }
    }
}

/// A small generator: a crash is told by its seed alone.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 29)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// The durable bytes with some of what came after.
    fn mix(&mut self, durable: &[u8], live: &[u8]) -> Vec<u8> {
        if live.len() <= durable.len() {
            return if self.coin() { durable } else { live }.to_vec();
        }
        let mut bytes = durable.to_vec();
        for sector in live[durable.len()..].chunks(512) {
            if self.coin() {
                bytes.extend_from_slice(sector);
            } else {
                bytes.resize(bytes.len() + sector.len(), 0);
            }
        }
        if self.coin() {
            let unsynced = (bytes.len() - durable.len()) as u64;
            bytes.truncate(durable.len() + (self.next() % (unsynced + 1)) as usize);
        }
        bytes
    }
}
