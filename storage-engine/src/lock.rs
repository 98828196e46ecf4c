//! `writer.lock`: one writing process for a graph.
//!
//! The lock is the `flock`, which the kernel gives back when the process ends, however it ends.
//! What stands in the file only says who holds it.
//!
//! Beside it, in `published`, the writer says how far the log is durable, for processes that read
//! along. That file is never synced: it is of use only while its writer lives.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use fs2::FileExt;
use serde::{Deserialize, Serialize};

use crate::files::{FileError, failed};
use crate::graph::OpenError;
use crate::store::IDENTITY;

/// Who holds a graph for writing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// Microseconds since 1970, UTC.
    pub since_micros: i64,
}

impl Holder {
    /// Whether it could say who it is.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.pid != 0
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_known() {
            true => write!(f, "process {} on {}", self.pid, self.host),
            false => f.write_str("another process"),
        }
    }
}

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
    published: PathBuf,
    mark: OnceLock<File>,
}

/// Who only asks for the holder has the lock for a moment; so one who is refused asks again.
const ATTEMPTS: u32 = 12;

/// How long it waits before.
const PATIENCE: Duration = Duration::from_millis(5);

/// The lock's file. It is removed after the file that says whose the folder is, by whoever holds it.
const NAME: &str = "writer.lock";

/// Where a writer says how far the log is durable.
const PUBLISHED: &str = "published";

/// This process: its id, its host, the time.
pub(crate) fn myself() -> (u32, String, i64) {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    (std::process::id(), host, crate::clock::now_micros())
}

/// How far the log is durable, as its writer says; nothing when none has said so.
pub(crate) fn published(folder: &Path) -> Option<u64> {
    let mut bytes = [0; 16];
    let file = File::open(folder.join(PUBLISHED)).ok()?;
    file.read_exact_at(&mut bytes, 0).ok()?;
    let [lsn, inverse] = [0, 8].map(|at| {
        let mut number = [0; 8];
        number.copy_from_slice(bytes.get(at..at + 8).unwrap_or(&[0; 8]));
        u64::from_le_bytes(number)
    });
    // Not while it is being written.
    (lsn == !inverse).then_some(lsn)
}

/// A graph held for writing without being open, so that nobody else opens it, until dropped.
#[derive(Debug)]
pub struct Hold {
    _lock: WriterLock,
}

/// Holds the graph in `folder` for writing without opening it.
///
/// # Errors
/// [`OpenError::Locked`] when it is open somewhere, else what failed.
pub fn hold(folder: &Path) -> Result<Hold, OpenError> {
    match WriterLock::acquire(folder) {
        Ok(lock) => Ok(Hold { _lock: lock }),
        Err(LockError::Held(holder)) => Err(OpenError::Locked { holder }),
        Err(LockError::File(error)) => Err(error.into()),
    }
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("another process holds the graph for writing")]
    Held(Holder),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Who holds the graph for writing, if anybody does. Changes nothing; a writer that comes in the moment
/// of asking is refused and asks again.
pub(crate) fn holder(folder: &Path) -> Result<Option<Holder>, FileError> {
    let path = folder.join(NAME);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    match FileExt::try_lock_shared(&file) {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == fs2::lock_contended_error().kind() => Ok(Some(said(&file))),
        Err(error) => Err(failed("lock", &path)(error)),
    }
}

impl WriterLock {
    pub(crate) fn acquire(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(NAME);
        let file = lock_named(folder, &path)?;
        let (pid, host, since_micros) = myself();
        let holder = Holder {
            pid,
            host,
            since_micros,
        };
        // The lock is what counts: on a full disk nobody learns who has it.
        if let Err(error) = sign(&file, &holder) {
            tracing::debug!(path = %path.display(), %error, "cannot note who holds a graph");
        }
        Ok(Self {
            _file: file,
            published: folder.join(PUBLISHED),
            mark: OnceLock::new(),
        })
    }

    /// Says to processes that read along how far the log is durable. Where it cannot be said, they
    /// come to know with the commit after it.
    pub(crate) fn publish(&self, lsn: u64) {
        if let Err(error) = self.write_mark(lsn) {
            tracing::debug!(%error, "cannot say how far the log is durable");
        }
    }

    fn write_mark(&self, lsn: u64) -> std::io::Result<()> {
        let file = match self.mark.get() {
            Some(file) => file,
            None => {
                let file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(&self.published)?;
                self.mark.get_or_init(|| file)
            }
        };
        let mut bytes = lsn.to_le_bytes().to_vec();
        bytes.extend((!lsn).to_le_bytes());
        file.write_all_at(&bytes, 0)
    }
}

/// Who the file says has the lock; nobody known while that is being written, or could not be.
fn said(mut file: &File) -> Holder {
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    let said = read.ok().and_then(|_| serde_json::from_str(&text).ok());
    said.unwrap_or_default()
}

/// Writes over what the one before has written, which needs no room on the disk. Where even that fails
/// nobody is named, rather than the one before.
fn sign(file: &File, holder: &Holder) -> std::io::Result<()> {
    let text = serde_json::to_string(holder)?;
    let written = file.write_all_at(text.as_bytes(), 0);
    let length = written.as_ref().map_or(0, |()| text.len() as u64);
    let cut = file.set_len(length);
    written.and(cut)
}

/// The file of that name, locked.
fn lock_named(folder: &Path, path: &Path) -> Result<File, LockError> {
    for _ in 0..ATTEMPTS {
        let file = open(folder, path).map_err(failed("open", path))?;
        if let Err(error) = lock_patiently(&file) {
            if error.kind() != fs2::lock_contended_error().kind() {
                return Err(failed("lock", path)(error).into());
            }
            return Err(LockError::Held(said(&file)));
        }
        // A lock that was removed with its graph, while this waited for it, keeps nobody out.
        if is_named(&file, path).map_err(failed("look at", path))? {
            return Ok(file);
        }
    }
    Err(LockError::Held(Holder::default()))
}

/// Made where a graph has none yet; a graph that is gone gets none.
fn open(folder: &Path, path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder.join(IDENTITY).exists() => {
            options.create(true).truncate(false).open(path)
        }
        opened => opened,
    }
}

fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "opening a graph blocks; the lock gives no notice when it is free"
)]
fn lock_patiently(file: &File) -> std::io::Result<()> {
    for _ in 1..ATTEMPTS {
        match file.try_lock_exclusive() {
            Err(error) if error.kind() == fs2::lock_contended_error().kind() => {
                std::thread::sleep(PATIENCE);
            }
            other => return other,
        }
    }
    file.try_lock_exclusive()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32, host: &str) -> Holder {
        Holder {
            pid,
            host: host.to_owned(),
            since_micros: 1,
        }
    }

    #[test]
    fn the_holder_is_written_over_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("writer.lock");
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.open(&path).expect("opened")
        };
        for before in [holder(1, "a-host-of-a-long-name"), holder(23, "h")] {
            sign(&open(), &before).expect("written");
            assert_eq!(said(&open()), before);
        }
    }

    /// Whoever waits for the lock of a graph that is being removed does not get it, nor one that keeps
    /// nobody out of the graph that comes after it; and makes none where there is no graph any more.
    #[test]
    fn the_lock_of_a_graph_that_is_gone_is_nobodys() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("graph");
        let make = || {
            std::fs::create_dir(&place).expect("made");
            crate::files::write_durably(&place.join(IDENTITY), &[b"{}"]).expect("written");
        };
        let remove = || {
            std::fs::remove_file(place.join(IDENTITY)).expect("removed");
            std::fs::remove_file(place.join(NAME)).expect("removed");
        };
        let is_missing = |got: Result<WriterLock, LockError>| match got {
            Err(LockError::File(error)) => error.is_missing(),
            _ => false,
        };
        for again in [false, true] {
            make();
            let held = WriterLock::acquire(&place).expect("free");
            let waiting = std::thread::spawn({
                let place = place.clone();
                move || WriterLock::acquire(&place)
            });
            #[expect(clippy::disallowed_methods, reason = "the other is to have opened it")]
            std::thread::sleep(2 * PATIENCE);
            remove();
            assert!(is_missing(WriterLock::acquire(&place)), "none is made");
            std::fs::remove_dir(&place).expect("empty");
            let next = again.then(|| {
                make();
                WriterLock::acquire(&place).expect("free")
            });
            drop(held);
            let got = waiting.join().expect("no panic");
            match next {
                Some(_) => assert!(matches!(got, Err(LockError::Held(_))), "{got:?}"),
                None => assert!(is_missing(got)),
            }
        }
    }

    /// A file that takes nothing, as on a full disk.
    #[test]
    fn nobody_is_named_where_nothing_can_be_written() {
        let full = OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it");
        let error = sign(&full, &holder(1, "h")).expect_err("full");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
        assert_eq!(Holder::default().to_string(), "another process");
        assert_eq!(holder(7, "h").to_string(), "process 7 on h");
    }
}
