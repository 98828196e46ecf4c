//! Durable files: written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(folder)
        .map_err(failed("create a file in", folder))?;
    for part in parts {
        file.write_all(part).map_err(failed("write", path))?;
    }
    file.as_file().sync_all().map_err(failed("sync", path))?;
    file.persist(path)
        .map_err(|error| failed("replace", path)(error.error))?;
    sync_folder(folder)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
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
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(failed("sync", &path))?;
            synced.insert(path);
        }
    }
    sync_folder(folder)
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(failed("read", path))
}
