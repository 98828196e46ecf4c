//! Holding a graph so that nobody writes to it: its handle here is closed, and its writer lock is taken
//! from whichever process has it.
//!
//! Who wants a graph held by another process says so with a file in `.trellis/wanted/`, locked for as
//! long as it is wanted: the wish of a process that died is no wish any more. The others look there
//! often ([`Handles::yield_to_peers`]), close the graph, and do not open it while the wish stands.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs2::FileExt;
use storage_engine::OpenError;

use crate::durable::{self, Naming};
use crate::handle::{Handles, State, hold, shut};
use crate::hold::Hold;
use crate::intent::{self, Found};
use crate::{Digest, Error};

const FOLDER: &str = "wanted";
const PAUSE: Duration = Duration::from_millis(20);

/// Held while it lives: nobody opens the graph for writing, here or elsewhere.
pub(crate) struct Fence<'a> {
    handles: &'a Handles,
    folder: PathBuf,
    _hold: Option<Hold>,
}

impl<'a> Fence<'a> {
    /// Closes the graph here, asks other processes to, and takes its writer lock. A folder without a
    /// graph has nothing to be held.
    pub(crate) fn raise(
        handles: &'a Handles,
        folder: &Path,
        patience: Duration,
    ) -> Result<Self, Error> {
        if !handles.withhold(folder) {
            // Another request is at the same graph.
            return Err(Error::Changed);
        }
        let mut fence = Self {
            handles,
            folder: folder.to_owned(),
            _hold: None,
        };
        if !matches!(intent::look(folder)?, Found::Graph(_)) {
            return Ok(fence);
        }
        let begun = Instant::now();
        let mut wish = None;
        loop {
            match hold(folder) {
                Ok(hold) => {
                    fence._hold = Some(hold);
                    return Ok(fence);
                }
                Err(error @ OpenError::Locked { .. }) if begun.elapsed() >= patience => {
                    return Err(Error::held(error));
                }
                Err(OpenError::Locked { .. }) => {
                    // Another process may have taken one that was not locked yet for a dead one.
                    if !wish.as_ref().is_some_and(|wish: &Wish| wish.path.exists()) {
                        drop(wish.take());
                        wish = Some(Wish::make(handles, folder)?);
                    }
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "callers are on a thread that may block, and flock has no wait with a limit"
                    )]
                    std::thread::sleep(PAUSE);
                }
                // Deleted and purged meanwhile, by another process.
                Err(_) if !matches!(intent::look(folder)?, Found::Graph(_)) => return Ok(fence),
                Err(error) => return Err(Error::held(error)),
            }
        }
    }
}

impl Drop for Fence<'_> {
    fn drop(&mut self) {
        self.handles.release(&self.folder);
    }
}

/// A file that stands, and is locked, while a graph is wanted.
struct Wish {
    path: PathBuf,
    _file: File,
}

impl Wish {
    fn make(handles: &Handles, folder: &Path) -> Result<Self, Error> {
        let bytes = folder.as_os_str().as_bytes();
        let wanted = handles.state_folder().join(FOLDER);
        durable::create_folder(&wanted)?;
        let name = format!("{}.{}", Digest::of(bytes), handles.name());
        let path = wanted.join(name);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&path)
            .naming("make", &path)?;
        FileExt::try_lock_exclusive(&file).naming("lock", &path)?;
        io::Write::write_all(&mut file, bytes).naming("write", &path)?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        // One that stays is not locked any more, and so is no wish.
        let _ = fs::remove_file(&self.path);
    }
}

impl Handles {
    /// Closes the graph and keeps it closed; says no when somebody keeps it closed already. Blocks.
    fn withhold(&self, folder: &Path) -> bool {
        let Some(slot) = self.slot_of(folder) else {
            return true;
        };
        let mut state = slot.state();
        if matches!(*state, State::Withheld(false)) {
            return false;
        }
        shut(
            folder,
            std::mem::replace(&mut *state, State::Withheld(false)),
        );
        true
    }

    /// Ends [`Self::withhold`].
    fn release(&self, folder: &Path) {
        if let Some(slot) = self.slot_of(folder) {
            *slot.state() = State::Closed;
        }
    }

    /// Keeps these closed, which others want, and no longer those that others wanted before.
    fn yield_only(&self, wanted: &[PathBuf]) {
        let slots: Vec<_> = match self.slots().as_ref() {
            Some(slots) => slots
                .iter()
                .map(|(at, slot)| (at.clone(), slot.clone()))
                .collect(),
            None => return,
        };
        for (folder, slot) in slots {
            // One that is being opened is seen the next time.
            let Ok(mut state) = slot.state.try_lock() else {
                continue;
            };
            match (wanted.contains(&folder), &*state) {
                (true, State::Withheld(_)) => {}
                (true, _) => shut(
                    &folder,
                    std::mem::replace(&mut *state, State::Withheld(true)),
                ),
                (false, State::Withheld(true)) => *state = State::Closed,
                (false, _) => {}
            }
        }
    }

    /// Closes every other graph, for the config file does not name it any more. Does not wait for it.
    pub(crate) fn keep_only(&self, registered: &HashSet<&Path>) {
        let gone: Vec<_> = match self.slots().as_mut() {
            Some(slots) => slots
                .extract_if(|folder, _| !registered.contains(folder.as_path()))
                .collect(),
            None => return,
        };
        for (folder, slot) in gone {
            // Without anybody to wait for, it is closed before the lock on its log is free again.
            std::thread::spawn(move || {
                let state = std::mem::take(&mut *slot.state());
                shut(&folder, state);
            });
        }
    }

    /// Lets go of the graphs that other processes want, and of the others no more.
    pub(crate) fn yield_to_peers(&self) {
        let wanted = match wanted(&self.state_folder().join(FOLDER), &self.name().to_string()) {
            Ok(wanted) => wanted,
            Err(error) => {
                tracing::debug!(%error, "cannot see whether another process wants a graph");
                return;
            }
        };
        self.yield_only(&wanted);
    }
}

/// The folders that others than `own` want now.
fn wanted(folder: &Path, own: &str) -> io::Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing?,
    };
    let mut found = Vec::new();
    for item in listing {
        let path = item?.path();
        let is_own = path
            .file_name()
            .and_then(std::ffi::OsStr::to_str)
            .is_some_and(|name| name.ends_with(own));
        if is_own {
            continue;
        }
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        if FileExt::try_lock_shared(&file).is_ok() {
            // Left by a process that died. One that is being made is locked only in a moment, and is
            // removed here at worst, which costs its maker the wait.
            let _ = fs::remove_file(&path);
            continue;
        }
        found.push(PathBuf::from(std::ffi::OsString::from_vec(fs::read(
            &path,
        )?)));
    }
    Ok(found)
}
