//! A disk that keeps book of what is durable below a graph's folder, and fails or dies when told to.
//!
//! The changes are real; only what a power cut leaves is made by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use journal::{Effect, Faults, Verdict};

use super::Random;
use crate::disk::watched::{Watch, watch};

/// What happens to an effect on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A write is refused: the disk is full.
    Full,
    /// Any effect fails: EIO.
    Broken,
    /// A sync of a file or a folder fails: EIO.
    Unsynced,
    /// Of a write so many bytes are taken.
    Short(usize),
    /// The process dies; of a write at hand so many bytes are made.
    Death(usize),
}

/// After so many more effects that it could meet, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) after: usize,
    pub(super) kind: Kind,
}

/// What the end of a process leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keep {
    /// Everything: it was killed. A power cut later can still take what was not synced.
    All,
    /// What was synced and nothing else: the power went.
    Synced,
    /// What was synced, and of the rest something, chosen by this seed.
    Some(u64),
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// The disk below one folder.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    state: Mutex<State>,
    gate: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What is durable of each file that ever was.
    contents: Vec<Vec<u8>>,
    /// Names as the process sees them, and as they are durable.
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    /// Folders whose names are durable.
    folders: BTreeSet<PathBuf>,
    fault: Option<Fault>,
    dead: bool,
    effects: usize,
    /// After so many more effects of its own, a fold waits.
    hold: Option<usize>,
    held: bool,
}

impl Disk {
    /// Takes what is in the folder for durable, and watches it from then on.
    pub(super) fn below(root: &Path) -> (Arc<Self>, Watch) {
        let disk = Arc::new(Self {
            root: root.to_owned(),
            state: Mutex::default(),
            gate: Condvar::new(),
        });
        disk.adopt();
        let watch = watch(root, disk.clone());
        (disk, watch)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("sound")
    }

    pub(super) fn arm(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// Says whether a fault was waiting still.
    pub(super) fn disarm(&self) -> bool {
        self.state().fault.take().is_some()
    }

    /// Whether a fault waits, or has ended the process.
    pub(super) fn is_armed(&self) -> bool {
        let state = self.state();
        state.fault.is_some() || state.dead
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// How many effects there were.
    pub(super) fn effects(&self) -> usize {
        self.state().effects
    }

    /// The next fold waits after so many effects.
    pub(super) fn hold(&self, after: usize) {
        self.state().hold = Some(after);
    }

    /// Whether a fold waits.
    pub(super) fn holds(&self) -> bool {
        self.state().held
    }

    /// It goes on.
    pub(super) fn release(&self) {
        let mut state = self.state();
        (state.hold, state.held) = (None, false);
        self.gate.notify_all();
    }

    fn wait(&self, effect: &Effect<'_>) {
        let mut state = self.state();
        let Some(left) = state.hold.filter(|_| is_of_fold(effect)) else {
            return;
        };
        state.hold = left.checked_sub(1);
        state.held = state.hold.is_none();
        while state.held {
            state = self.gate.wait(state).expect("sound");
        }
    }

    fn adopt(&self) {
        let mut state = State {
            effects: self.effects(),
            ..State::default()
        };
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("listed") {
                let path = entry.expect("listed").path();
                if path.is_dir() {
                    state.folders.insert(path.clone());
                    folders.push(path);
                } else if is_durable(&path) {
                    let id = state.contents.len();
                    state.contents.push(fs::read(&path).expect("read"));
                    state.live.insert(path.clone(), id);
                    state.durable.insert(path, id);
                }
            }
        }
        *self.state() = state;
    }

    /// The process or the machine goes down, and what is left is there. Nobody may have the graph
    /// open any more.
    pub(super) fn crash(&self, keep: Keep) {
        let mut random = match keep {
            Keep::All => {
                let mut state = self.state();
                (state.fault, state.dead) = (None, false);
                return;
            }
            Keep::Synced => None,
            Keep::Some(seed) => Some(Random(seed)),
        };
        let left = self.state().left(random.as_mut());
        let reached = |path: &Path, state: &State| {
            let mut above = path.ancestors().skip(1);
            above.all(|folder| folder <= self.root.as_path() || state.folders.contains(folder))
        };
        let state = self.state();
        let left: BTreeMap<_, _> = left
            .into_iter()
            .filter(|(path, _)| random.is_some() || reached(path, &state))
            .collect();
        drop(state);
        clear(&self.root, &left);
        for (path, bytes) in left {
            if fs::read(&path).is_ok_and(|there| there == bytes) {
                continue;
            }
            fs::create_dir_all(path.parent().expect("below the root")).expect("made");
            fs::write(path, bytes).expect("written");
        }
        self.adopt();
    }
}

/// Whether it is the fold itself that does it, and neither Lance nor a writer.
fn is_of_fold(effect: &Effect<'_>) -> bool {
    let (Effect::SyncFile { path }
    | Effect::SyncFolder { path }
    | Effect::Create { path }
    | Effect::Rename { from: path, .. }) = effect
    else {
        return false;
    };
    let within = |name: &str| path.ancestors().any(|it| it.ends_with(name));
    within("checkpoints") || within("tables") && !matches!(effect, Effect::Create { .. })
}

/// Whether a file is meant to outlive its process.
fn is_durable(path: &Path) -> bool {
    let within = |name: &str| path.ancestors().any(|it| it.ends_with(name));
    !within("leases") && !path.ends_with("writer.lock") && !path.ends_with("published")
}

/// Removes the files that are not to be left.
fn clear(folder: &Path, left: &BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            clear(&path, left);
            // As good as there: who needs it makes it.
            let kept = ["log", "files", "tables", "checkpoints"];
            if !kept.iter().any(|name| path.ends_with(name)) {
                let _ = fs::remove_dir(&path);
            }
        } else if !left.contains_key(&path) && is_durable(&path) {
            fs::remove_file(&path).expect("removed");
        }
    }
}

impl State {
    fn left(&self, mut random: Option<&mut Random>) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut left = BTreeMap::new();
        let mut coins = BTreeMap::new();
        let names: BTreeSet<_> = self.live.keys().chain(self.durable.keys()).collect();
        for path in names {
            let id = match random.as_deref_mut() {
                None => self.durable.get(path),
                Some(random) => {
                    // The names of a folder are those of one moment or the other.
                    let coin = coins
                        .entry(path.parent())
                        .or_insert_with(|| random.below(2));
                    match coin {
                        0 => self.durable.get(path),
                        _ => self.live.get(path),
                    }
                }
            };
            let Some(id) = id else { continue };
            let Some(durable) = self.contents.get(*id) else {
                continue;
            };
            let there = self.live.iter().find(|(_, live)| *live == id);
            let live = there.and_then(|(path, _)| fs::read(path).ok());
            let bytes = match (random.as_deref_mut(), live) {
                (Some(random), Some(live)) => mix(random, durable, &live),
                _ => durable.clone(),
            };
            left.insert(path.clone(), bytes);
        }
        left
    }

    /// Whether the fault meets this effect.
    fn meets(&self, effect: &Effect<'_>) -> bool {
        let write = matches!(effect, Effect::Write { .. });
        let sync = matches!(effect, Effect::SyncFile { .. } | Effect::SyncFolder { .. });
        match self.fault.map(|fault| fault.kind) {
            None => false,
            Some(Kind::Broken | Kind::Death(_)) => true,
            Some(Kind::Full) => write || matches!(effect, Effect::Create { .. }),
            Some(Kind::Short(_)) => write,
            Some(Kind::Unsynced) => sync,
        }
    }
}

/// The durable bytes with some of what came after.
fn mix(random: &mut Random, durable: &[u8], live: &[u8]) -> Vec<u8> {
    if live.len() <= durable.len() {
        return if random.below(2) == 0 { durable } else { live }.to_vec();
    }
    let mut bytes = durable.to_vec();
    for sector in live.get(durable.len()..).unwrap_or_default().chunks(512) {
        match random.below(2) {
            0 => bytes.extend_from_slice(sector),
            _ => bytes.resize(bytes.len() + sector.len(), 0),
        }
    }
    match random.below(3) {
        0 => bytes.truncate(durable.len()),
        1 => {
            let unsynced = (bytes.len() - durable.len()) as u64;
            let some = usize::try_from(random.below(unsynced + 1)).expect("small");
            bytes.truncate(durable.len() + some);
        }
        _ => {}
    }
    bytes
}

impl Faults for Disk {
    fn before(&self, effect: &Effect<'_>) -> Verdict {
        self.wait(effect);
        let mut state = self.state();
        let fail = |code| Verdict::Fail(io::Error::from_raw_os_error(code));
        if state.dead {
            return fail(EIO);
        }
        let Some(fault) = state.fault.filter(|_| state.meets(effect)) else {
            return Verdict::Proceed;
        };
        if let Some(after) = fault.after.checked_sub(1) {
            state.fault = Some(Fault { after, ..fault });
            return Verdict::Proceed;
        }
        state.fault = None;
        match (fault.kind, effect) {
            (Kind::Full, _) => fail(ENOSPC),
            (Kind::Broken | Kind::Unsynced, _) => fail(EIO),
            (Kind::Short(most), _) => Verdict::Short(most),
            (Kind::Death(most), _) => {
                state.dead = true;
                match effect {
                    Effect::Write { bytes, .. } => {
                        Verdict::Short(most.min(bytes.saturating_sub(1)))
                    }
                    _ => fail(EIO),
                }
            }
        }
    }

    fn after(&self, effect: &Effect<'_>) {
        let mut state = self.state();
        state.effects += 1;
        match *effect {
            Effect::Create { path } => {
                let id = state.contents.len();
                state.contents.push(Vec::new());
                state.live.insert(path.to_owned(), id);
            }
            Effect::Rename { from, to } => {
                if let Some(id) = state.live.remove(from) {
                    state.live.insert(to.to_owned(), id);
                }
            }
            Effect::Remove { path } => {
                state.live.remove(path);
            }
            Effect::SyncFile { path } => {
                if let (Some(id), Ok(bytes)) = (state.live.get(path).copied(), fs::read(path))
                    && let Some(durable) = state.contents.get_mut(id)
                {
                    *durable = bytes;
                }
            }
            Effect::SyncFolder { path } => {
                let inside = |name: &Path| name.parent() == Some(path);
                state.durable.retain(|name, _| !inside(name));
                let live = state.live.iter().filter(|(name, _)| inside(name));
                let live: Vec<_> = live.map(|(name, id)| (name.clone(), *id)).collect();
                state.durable.extend(live);
                let folders = fs::read_dir(path).into_iter().flatten().flatten();
                let folders = folders
                    .map(|entry| entry.path())
                    .filter(|path| path.is_dir());
                state.folders.extend(folders);
            }
            Effect::Write { .. } | Effect::Cut { .. } => {}
        }
    }
}
