//! Files that survive a power cut: every write here is on the disk, name included, when it returns.
//!
//! It knows nothing of what the files mean. Replacing a file is one rename, so that a reader or a
//! crash finds the old bytes or the new ones, never a part of either.

pub(crate) mod fault;

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// How the names of temporary files begin and end.
const TEMPORARY: (&str, &str) = (".trellis-", ".tmp");

/// A step on the disk that failed: what was being done, to what, and why it could not be.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct DiskError {
    /// What was being done, as a verb: `read`, `replace`, `sync the folder`.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

thread_local! {
    static EFFECTS: Cell<u64> = const { Cell::new(0) };
}

/// How many changes of the disk this thread has made here: for a test that asks whether each has a
/// step of its own ([`crate::Step`]).
#[must_use]
pub fn effects() -> u64 {
    EFFECTS.get()
}

pub(crate) fn count_effect() {
    EFFECTS.set(EFFECTS.get() + 1);
}

/// Names the action and the path of an IO error.
pub(crate) trait Naming<T> {
    fn naming(self, action: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> Naming<T> for io::Result<T> {
    fn naming(self, action: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError {
            action,
            path: path.to_owned(),
            source,
        })
    }
}

/// Makes the names in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), DiskError> {
    fault::check(fault::Kind::Write)
        .and_then(|()| File::open(folder))
        .and_then(|file| file.sync_all())
        .naming("sync the folder", folder)
}

/// The folder that holds `path`. A path without one is relative to the working folder.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Removes a file, durably. One that is gone already is no error.
pub(crate) fn remove(path: &Path) -> Result<(), DiskError> {
    match fault::check(fault::Kind::Remove).and_then(|()| fs::remove_file(path)) {
        Ok(()) => {
            count_effect();
            sync_folder(parent(path))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(DiskError {
            action: "remove",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Removes a folder when nothing is in it, durably. One that is gone, or that something is mounted on, is
/// no error.
pub(crate) fn remove_empty_folder(folder: &Path) -> Result<(), DiskError> {
    match fault::check(fault::Kind::Remove).and_then(|()| fs::remove_dir(folder)) {
        Ok(()) => {
            count_effect();
            sync_folder(parent(folder))
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::ResourceBusy
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error).naming("remove", folder),
    }
}

/// Creates the folder and what is missing above it, durably; returns whether it was created.
pub(crate) fn create_folder(folder: &Path) -> Result<bool, DiskError> {
    match fault::check(fault::Kind::Write).and_then(|()| fs::create_dir(folder)) {
        Ok(()) => {
            sync_folder(parent(folder))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder.parent().is_some() => {
            create_folder(parent(folder))?;
            create_folder(folder)
        }
        Err(source) => Err(DiskError {
            action: "create the folder",
            path: folder.to_owned(),
            source,
        }),
    }
}

/// Puts a value as JSON in place, in a folder that is made where it is missing.
pub(crate) fn write_record(path: &Path, record: &impl Serialize) -> Result<(), DiskError> {
    create_folder(parent(path))?;
    let bytes = serde_json::to_vec(record)
        .map_err(io::Error::from)
        .naming("encode", path)?;
    write(path, &bytes)
}

/// Puts a file of our own in place, mode 0644, whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let temporary = prepare(path, bytes)?;
    set_mode(temporary.as_file(), 0o644).naming("set the mode of", temporary.path())?;
    sync(temporary.as_file()).naming("sync", path)?;
    take_name(temporary, path)?;
    sync_folder(parent(path))
}

fn sync(file: &File) -> io::Result<()> {
    fault::check(fault::Kind::Write)?;
    file.sync_all()
}

fn take_name(temporary: tempfile::NamedTempFile, target: &Path) -> Result<(), DiskError> {
    fault::check(fault::Kind::Write).naming("replace", target)?;
    temporary
        .persist(target)
        .map_err(|error| error.error)
        .naming("replace", target)?;
    count_effect();
    Ok(())
}

/// The new bytes of a file that somebody else owns, ready to take its name.
#[derive(Debug)]
pub(crate) struct Replacement {
    temporary: tempfile::NamedTempFile,
    target: PathBuf,
}

impl Replacement {
    /// Writes and syncs `bytes` beside `target`, with the mode and the owner that `target` has.
    ///
    /// A target that nobody may write is refused: a rename would go round its mode.
    pub(crate) fn prepare(target: &Path, bytes: &[u8]) -> Result<Self, DiskError> {
        let metadata = fs::metadata(target).naming("read the mode of", target)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o222 == 0 {
            let source = io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("its mode is {mode:03o}: it is read-only"),
            );
            return Err(DiskError {
                action: "replace",
                path: target.to_owned(),
                source,
            });
        }
        OpenOptions::new()
            .write(true)
            .open(target)
            .naming("open for writing", target)?;
        let temporary = prepare(target, bytes)?;
        let file = temporary.as_file();
        let ours = file
            .metadata()
            .naming("read the owner of", temporary.path())?;
        if (ours.uid(), ours.gid()) != (metadata.uid(), metadata.gid()) {
            std::os::unix::fs::fchown(file, Some(metadata.uid()), Some(metadata.gid()))
                .naming("keep the owner of", target)?;
        }
        set_mode(file, mode).naming("keep the mode of", target)?;
        sync(file).naming("sync", temporary.path())?;
        Ok(Self {
            temporary,
            target: target.to_owned(),
        })
    }

    /// Leaves the temporary file where it is, as a crash would.
    pub(crate) fn leave(self) {
        if let Err(error) = self.temporary.keep() {
            tracing::warn!(%error, "a temporary file could not be left");
        }
    }

    /// Takes the target's name. After an error the target is as it was, unless only the sync of
    /// the folder failed.
    pub(crate) fn rename(self) -> Result<(), DiskError> {
        take_name(self.temporary, &self.target)
    }
}

/// Temporary files of ours in a folder: left by a crash when this is asked under the lock, for nobody else
/// is writing there then.
pub(crate) fn leftovers(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let mut found = Vec::new();
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        listing => listing.naming("list", folder)?,
    };
    for item in listing {
        let item = item.naming("list", folder)?;
        let name = item.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1));
        if ours && item.file_type().is_ok_and(|kind| kind.is_file()) {
            found.push(item.path());
        }
    }
    Ok(found)
}

fn prepare(target: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile, DiskError> {
    let folder = parent(target);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
    let mut temporary = fault::check(fault::Kind::Write)
        .and_then(|()| builder.tempfile_in(folder))
        .naming("create a temporary file in", folder)?;
    fault::check(fault::Kind::Write)
        .and_then(|()| temporary.write_all(bytes))
        .naming("write", temporary.path())?;
    Ok(temporary)
}

fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(mode))
}
