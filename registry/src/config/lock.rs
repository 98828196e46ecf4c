//! The lock under which the config file is changed: an exclusive `flock` on a file of its own,
//! never renamed, beside the config. The kernel gives it back when its holder dies.
//!
//! ```
//! use std::time::Duration;
//! use registry::config::lock::ConfigLock;
//! let folder = tempfile::tempdir().unwrap();
//! let lock = ConfigLock::acquire(folder.path(), Duration::from_secs(1)).unwrap();
//! assert!(ConfigLock::acquire(folder.path(), Duration::ZERO).is_err());
//! drop(lock);
//! assert!(ConfigLock::acquire(folder.path(), Duration::ZERO).is_ok());
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs2::FileExt;

use crate::durable::{self, DiskError, Naming, fault};

/// The lock file's name within the registry's own folder.
pub const FILE_NAME: &str = "config.lock";

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Held while it lives.
#[derive(Debug)]
pub struct ConfigLock {
    /// Open for as long as the lock is held: closing it gives the lock back.
    _file: File,
}

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else held it to the end of the wait.
    #[error(
        "{} is locked{}; gave up after {} ms",
        path.display(),
        holder.map(|pid| format!(" by process {pid}")).unwrap_or_default(),
        waited.as_millis()
    )]
    Timeout {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, when it wrote its id.
        holder: Option<u32>,
        /// How long was waited.
        waited: Duration,
    },
    /// The file system has no locks; two servers could not be kept apart.
    #[error(
        "the file system of {} has no flock; keep the config file where there is one", path.display()
    )]
    Unsupported {
        /// The lock file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The lock file could not be made or opened.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl ConfigLock {
    /// Takes the lock in `state_folder` (made when missing), waiting at most `patience`.
    pub fn acquire(state_folder: &Path, patience: Duration) -> Result<Self, LockError> {
        durable::create_folder(state_folder)?;
        let path = state_folder.join(FILE_NAME);
        let mut opening = OpenOptions::new();
        opening.read(true).write(true).create(true).truncate(false);
        let mut file = fault::check(fault::Kind::Write)
            .and_then(|()| opening.mode(0o644).open(&path))
            .naming("open the lock file", &path)?;
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        while let Err(error) =
            fault::check(fault::Kind::Lock).and_then(|()| FileExt::try_lock_exclusive(&file))
        {
            if is_without_locks(&error) {
                return Err(LockError::Unsupported {
                    path,
                    source: error,
                });
            }
            if error.raw_os_error() != fs2::lock_contended_error().raw_os_error() {
                return Err(DiskError {
                    action: "lock",
                    path,
                    source: error,
                }
                .into());
            }
            let waited = started.elapsed();
            let Some(left) = patience.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return Err(LockError::Timeout {
                    holder: holder(&file),
                    path,
                    waited,
                });
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "callers are on a thread that may block, and flock has no wait with a limit"
            )]
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // Only told to people who wait; the lock itself does not depend on it.
        if let Err(error) = sign(&mut file) {
            tracing::debug!(path = %path.display(), %error, "cannot note the lock's holder");
        }
        Ok(Self { _file: file })
    }
}

/// Whether the file system has no locks at all.
pub(crate) fn is_without_locks(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    error.kind() == io::ErrorKind::Unsupported
        || [
            rustix::io::Errno::NOLCK,
            rustix::io::Errno::NOTSUP,
            rustix::io::Errno::NOSYS,
        ]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// The process that has written its id into the lock file.
pub(crate) fn holder(mut file: &File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_bounded_and_names_the_holder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let held = ConfigLock::acquire(folder.path(), Duration::ZERO).expect("free");
        let started = Instant::now();
        let error =
            ConfigLock::acquire(folder.path(), Duration::from_millis(60)).expect_err("held");
        assert!(started.elapsed() >= Duration::from_millis(60));
        assert!(started.elapsed() < Duration::from_secs(5));
        match error {
            LockError::Timeout { holder, .. } => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other}"),
        }
        drop(held);
        ConfigLock::acquire(folder.path(), Duration::ZERO).expect("given back");
    }

    #[test]
    fn who_waits_gets_it_when_it_is_given_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let held = ConfigLock::acquire(folder.path(), Duration::ZERO).expect("free");
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| ConfigLock::acquire(folder.path(), Duration::from_secs(10)).is_ok());
            std::thread::sleep(Duration::from_millis(50));
            drop(held);
            assert!(waiting.join().expect("no panic"));
        });
    }
}
