//! Where a graph is kept, and its durable objects by name.
//!
//! A name is a path within the graph with `/` between its parts: `checkpoints/1.json`. What is put
//! is there whole and durable, or not at all. The log and the tables are not kept through here: the
//! one has rules of its own (`journal`), the other are Lance's.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::files::{self, FileError, failed};

/// Where one graph is kept. Copies name the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    folder: PathBuf,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The last part of its name.
    pub(crate) name: String,
    /// Its size.
    pub(crate) bytes: u64,
}

/// A folder of a local disk.
impl From<PathBuf> for Store {
    fn from(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl From<&Path> for Store {
    fn from(folder: &Path) -> Self {
        folder.to_owned().into()
    }
}

impl From<&PathBuf> for Store {
    fn from(folder: &PathBuf) -> Self {
        folder.clone().into()
    }
}

impl From<&Store> for Store {
    fn from(store: &Store) -> Self {
        store.clone()
    }
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.folder.display().fmt(f)
    }
}

impl Store {
    /// The folder, when it is kept in one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        Some(&self.folder)
    }

    /// Where an object is, for people, and for those that work on a folder only.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        match name {
            "" => self.folder.clone(),
            _ => self.folder.join(name),
        }
    }

    /// Makes the folder of the graph, or one within it, where there are folders.
    pub(crate) fn make_folder(&self, name: &str) -> Result<(), FileError> {
        files::create_folder(&self.place(name))
    }

    /// Whether there is nothing below the graph's place.
    pub(crate) fn is_empty(&self) -> Result<bool, FileError> {
        let mut entries = fs::read_dir(&self.folder).map_err(failed("list", &self.folder))?;
        Ok(entries.next().is_none())
    }

    /// Stores `parts`, one after the other, under `name`; replaces what has that name.
    pub(crate) fn put(&self, name: &str, parts: &[&[u8]]) -> Result<(), FileError> {
        files::write_durably(&self.place(name), parts)
    }

    /// Begins an object that is written bit by bit. It is there once it is finished.
    #[allow(dead_code, reason = "for those who write side files as they come")]
    pub(crate) fn stage(&self, name: &str) -> Result<Staged, FileError> {
        let path = self.place(name);
        let folder = path.parent().unwrap_or(Path::new("."));
        let file = tempfile::Builder::new()
            .prefix(files::UNFINISHED)
            .tempfile_in(folder)
            .map_err(failed("create a file in", folder))?;
        Ok(Staged { file, path })
    }

    /// A whole object.
    pub(crate) fn get(&self, name: &str) -> Result<Vec<u8>, FileError> {
        files::read(&self.place(name))
    }

    /// A whole object as an open file, for what is too large to hold.
    #[allow(dead_code, reason = "for those who read side files as they come")]
    pub(crate) fn file(&self, name: &str) -> Result<File, FileError> {
        let path = self.place(name);
        File::open(&path).map_err(failed("open", &path))
    }

    /// What is directly below `below`, in no order. Folders are left out.
    pub(crate) fn list(&self, below: &str) -> Result<Vec<Listed>, FileError> {
        let folder = self.place(below);
        let mut listed = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed("list", &folder))? {
            let entry = entry.map_err(failed("list", &folder))?;
            let found = match entry.metadata() {
                Ok(found) => found,
                // A listing is no snapshot: it was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("look at", &entry.path())(error)),
            };
            // Names of ours are text; another's are nobody's business here.
            if let (true, Ok(name)) = (found.is_file(), entry.file_name().into_string()) {
                let bytes = found.len();
                listed.push(Listed { name, bytes });
            }
        }
        Ok(listed)
    }

    /// Removes an object. One that is not there is none too many.
    pub(crate) fn delete(&self, name: &str) -> Result<(), FileError> {
        let path = self.place(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Makes everything below `below` durable that `synced` does not have yet, with its folders:
    /// for files that others have written. What is put is durable by itself.
    pub(crate) fn sync_below(
        &self,
        below: &str,
        synced: &mut HashSet<PathBuf>,
    ) -> Result<(), FileError> {
        files::sync_tree(&self.place(below), synced)
    }
}

/// An object that is being written. Dropped without [`Staged::finish`] it never was.
#[derive(Debug)]
#[allow(dead_code, reason = "for those who write side files as they come")]
pub(crate) struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

#[allow(dead_code, reason = "for those who write side files as they come")]
impl Staged {
    /// Makes what was written durable under its name.
    pub(crate) fn finish(self) -> Result<(), FileError> {
        let Self { file, path } = self;
        file.as_file().sync_all().map_err(failed("sync", &path))?;
        file.persist(&path)
            .map_err(|error| failed("replace", &path)(error.error))?;
        files::sync_folder(path.parent().unwrap_or(Path::new(".")))
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
