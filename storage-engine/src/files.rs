//! Durable files: written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use journal::Effect;
use tempfile::NamedTempFile;

use crate::disk;

/// How the names of files begin that are not finished; readers never look at them.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    /// The file is not there.
    pub(crate) fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// The system, or the object store, does not allow it.
    pub(crate) fn is_refused(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }
}

/// Names the operation that an IO error came from.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError {
        action,
        path,
        source,
    }
}

/// Writes `parts` to a temporary file beside `path`, syncs it, renames it and syncs the folder.
pub(crate) fn write_durably(path: &Path, parts: &[&[u8]]) -> Result<(), FileError> {
    let file = prepare(path, parts)?;
    persist(file, path).map_err(failed("replace", path))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// As [`write_durably`], where nothing may be replaced: `false` when the name is taken.
pub(crate) fn write_first(path: &Path, parts: &[&[u8]]) -> Result<bool, FileError> {
    let file = prepare(path, parts)?;
    let from = file.path().to_owned();
    let named = disk::make(
        Effect::Rename {
            from: &from,
            to: path,
        },
        || file.persist_noclobber(path).map_err(|error| error.error),
    );
    match named {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(failed("name", path)(error)),
    }
    sync_folder(path.parent().unwrap_or(Path::new("."))).map(|()| true)
}

/// The parts on the disk, under a temporary name beside `path`.
fn prepare(path: &Path, parts: &[&[u8]]) -> Result<NamedTempFile, FileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = unfinished(folder).map_err(failed("create a file in", folder))?;
    for part in parts {
        Growing(&file)
            .write_all(part)
            .map_err(failed("write", path))?;
    }
    sync(&file).map_err(failed("sync", path))?;
    Ok(file)
}

/// A file in `folder` under a name that readers never look at; it goes when it is dropped.
pub(crate) fn unfinished(folder: &Path) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(folder)?;
    let path = file.path().to_owned();
    disk::make(Effect::Create { path: &path }, || Ok(file))
}

/// A file that is being written.
pub(crate) struct Growing<'a>(pub(crate) &'a NamedTempFile);

impl Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        disk::write(self.0.path(), bytes, |bytes| self.0.as_file().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_file().flush()
    }
}

/// Makes what was written durable.
pub(crate) fn sync(file: &NamedTempFile) -> io::Result<()> {
    let path = file.path();
    disk::make(Effect::SyncFile { path }, || file.as_file().sync_all())
}

/// Gives a file its name, durable once its folder is synced.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    let from = file.path().to_owned();
    disk::make(
        Effect::Rename {
            from: &from,
            to: path,
        },
        || file.persist(path).map(drop).map_err(|error| error.error),
    )
}

/// Copies a file to where none is, durably once its folder is synced.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    let mut source = File::open(from).map_err(failed("open", from))?;
    let mut target = File::create_new(to).map_err(failed("create", to))?;
    io::copy(&mut source, &mut target).map_err(failed("copy", from))?;
    target.sync_all().map_err(failed("sync", to))
}

/// Removes a file; one that is not there is none too many. Not durable by itself.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match disk::make(Effect::Remove { path }, || fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    disk::make(Effect::SyncFolder { path: folder }, || {
        File::open(folder)?.sync_all()
    })
    .map_err(failed("sync the folder", folder))
}

/// Makes a folder, those above it that are missing, and the names of all of them durable.
pub(crate) fn create_folder(folder: &Path) -> Result<(), FileError> {
    let mut named = Vec::new();
    for above in folder.ancestors() {
        let parent = match above.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => break,
        };
        named.push(parent);
        if parent.exists() {
            break;
        }
    }
    fs::create_dir_all(folder).map_err(failed("create the folder", folder))?;
    named.into_iter().try_for_each(sync_folder)
}

/// Syncs every file below `folder` that `synced` does not have yet, then the folders themselves.
pub(crate) fn sync_tree(
    folder: &Path,
    synced: &mut std::collections::HashSet<PathBuf>,
) -> Result<(), FileError> {
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let path = entry.map_err(failed("list", folder))?.path();
        if path.is_dir() {
            sync_tree(&path, synced)?;
        } else if !synced.contains(&path) {
            disk::make(Effect::SyncFile { path: &path }, || {
                File::open(&path)?.sync_all()
            })
            .map_err(failed("sync", &path))?;
            synced.insert(path);
        }
    }
    sync_folder(folder)
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    disk::reads(path)
        .and_then(|()| fs::read(path))
        .map_err(failed("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_who_write_the_same_name_one_is_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("graph.json");
        assert!(write_first(&path, &[b"a", b"1"]).expect("written"));
        assert!(!write_first(&path, &[b"b"]).expect("refused"));
        assert_eq!(read(&path).expect("read"), b"a1");
        write_durably(&path, &[b"c"]).expect("replaced");
        assert_eq!(read(&path).expect("read"), b"c");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
}
