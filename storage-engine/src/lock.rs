//! `writer.lock`: one writing process for a graph.
//!
//! The lock is the `flock`, which the kernel gives back when the process ends, however it ends.
//! What stands in the file only says who holds it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use fs2::FileExt;
use serde::{Deserialize, Serialize};

use crate::files::{FileError, failed};

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

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("another process holds the graph for writing")]
    Held(Holder),
    #[error(transparent)]
    File(#[from] FileError),
}

/// This process: its id, its host, the time.
pub(crate) fn myself() -> (u32, String, i64) {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    (std::process::id(), host, crate::clock::now_micros())
}

/// Who holds the graph for writing, if anybody does. Changes nothing; for the moment of asking, a
/// writer that comes is refused.
pub(crate) fn holder(folder: &Path) -> Result<Option<Holder>, FileError> {
    let path = folder.join("writer.lock");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    match FileExt::try_lock_shared(&file) {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == fs2::lock_contended_error().kind() => {
            let mut text = String::new();
            file.read_to_string(&mut text)
                .map_err(failed("read", &path))?;
            Ok(Some(serde_json::from_str(&text).unwrap_or_default()))
        }
        Err(error) => Err(failed("lock", &path)(error)),
    }
}

impl WriterLock {
    pub(crate) fn acquire(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join("writer.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open", &path))?;
        if let Err(error) = file.try_lock_exclusive() {
            if error.kind() != fs2::lock_contended_error().kind() {
                return Err(failed("lock", &path)(error).into());
            }
            let mut text = String::new();
            file.read_to_string(&mut text)
                .map_err(failed("read", &path))?;
            return Err(LockError::Held(
                serde_json::from_str(&text).unwrap_or_default(),
            ));
        }
        let (pid, host, since_micros) = myself();
        let holder = Holder {
            pid,
            host,
            since_micros,
        };
        let text = serde_json::to_string(&holder).unwrap_or_default();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(failed("write", &path))?;
        Ok(Self { _file: file })
    }
}
