//! Where a graph is kept, and its durable objects by name: a folder of a local disk, or all objects
//! of a bucket whose names begin with a prefix.
//!
//! A name is a path within the graph with `/` between its parts: `checkpoints/1.json`. What is put
//! is there whole and durable, or not at all. The log and the tables are not kept through here: the
//! one has rules of its own (`journal`), the other are Lance's.

pub(crate) mod bucket;
pub(crate) mod claim;
mod log;
mod remote;
mod strangers;

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use tempfile::NamedTempFile;
use uuid::Uuid;

use crate::disk;
use crate::files::{self, FileError, failed};
use crate::store::bucket::{Bucket, PutNew};

pub(crate) use log::LogObjects;
pub use remote::PlaceError;
pub(crate) use remote::lance_stores;
#[cfg(test)]
pub(crate) use remote::lend;

/// Where one graph is kept. Copies name the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    kept: Kept,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Folder(PathBuf),
    Bucket(Bucket),
}

/// What lies at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing.
    Nothing,
    /// A graph of that uuid, or a part of one.
    Graph(Uuid),
    /// Anything else.
    Other,
}

/// What the engine puts into a graph's place beside `graph.json`.
const PARTS: [&str; 6] = ["log", "epochs", "files", "tables", "checkpoints", "leases"];

/// How the folders begin in which a repair keeps what it changed.
pub(crate) const REPAIRED: &str = "repair-";

/// The object that says which graph it is.
pub(crate) const IDENTITY: &str = "graph.json";

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The last part of its name, or all of it within the place when that was asked for.
    pub(crate) name: String,
    /// Its size.
    pub(crate) bytes: u64,
}

/// A folder of a local disk.
impl From<PathBuf> for Store {
    fn from(folder: PathBuf) -> Self {
        Self {
            kept: Kept::Folder(folder),
        }
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
        self.place("").display().fmt(f)
    }
}

impl Store {
    /// The place that `s3://bucket/prefix` names; anything else is a folder.
    ///
    /// # Errors
    /// [`PlaceError`] when it is no place or the environment does not say how to reach it. The store
    /// is not asked yet.
    pub fn at(place: &str) -> Result<Self, PlaceError> {
        if !place.starts_with("s3:") {
            return Ok(Path::new(place).into());
        }
        Ok(Self {
            kept: Kept::Bucket(remote::bucket(place)?),
        })
    }

    /// The folder, when it is kept in one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.kept {
            Kept::Folder(folder) => Some(folder),
            Kept::Bucket(_) => None,
        }
    }

    /// The bucket, when it is kept in one.
    pub(crate) fn bucket(&self) -> Option<&Bucket> {
        match &self.kept {
            Kept::Folder(_) => None,
            Kept::Bucket(bucket) => Some(bucket),
        }
    }

    /// What lies here.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn contents(&self) -> Result<Contents, FileError> {
        match self.is_empty() {
            Ok(true) => return Ok(Contents::Nothing),
            Err(error) if error.is_missing() => return Ok(Contents::Nothing),
            other => other?,
        };
        match self.get(IDENTITY) {
            Ok(bytes) => {
                let identity = serde_json::from_slice::<crate::graph::Identity>(&bytes);
                Ok(identity.map_or(Contents::Other, |it| Contents::Graph(it.uuid)))
            }
            Err(error) if error.is_missing() => Ok(Contents::Other),
            Err(error) => Err(error),
        }
    }

    /// Removes the graph of that uuid from a bucket, and nothing that the engine has not put there.
    /// What says whose it is goes last. Of another graph, and in a folder, nothing is removed.
    ///
    /// # Errors
    /// When an object cannot be removed; it can be tried again.
    pub fn erase(&self, graph: Uuid) -> Result<(), FileError> {
        let Kept::Bucket(bucket) = &self.kept else {
            return Ok(());
        };
        if self.contents()? != Contents::Graph(graph) {
            return Ok(());
        }
        for part in self.parts()? {
            for found in bucket.list_all(&part)? {
                bucket.delete(&found.name)?;
            }
        }
        bucket.delete(IDENTITY)
    }

    /// Where an object is, for people, and for those that work on a folder only.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        match (&self.kept, name) {
            (Kept::Folder(folder), "") => folder.clone(),
            (Kept::Folder(folder), name) => folder.join(name),
            (Kept::Bucket(bucket), name) => bucket.place(name),
        }
    }

    /// Makes the folder of the graph, or one within it, where there are folders.
    pub(crate) fn make_folder(&self, name: &str) -> Result<(), FileError> {
        match &self.kept {
            Kept::Folder(_) => files::create_folder(&self.place(name)),
            Kept::Bucket(_) => Ok(()),
        }
    }

    /// Whether there is nothing below the graph's place.
    pub(crate) fn is_empty(&self) -> Result<bool, FileError> {
        match &self.kept {
            Kept::Folder(folder) => {
                let mut entries = fs::read_dir(folder).map_err(failed("list", folder))?;
                Ok(entries.next().is_none())
            }
            Kept::Bucket(bucket) => bucket.is_empty(),
        }
    }

    /// Stores `parts`, one after the other, under `name`; replaces what has that name.
    pub(crate) fn put(&self, name: &str, parts: &[&[u8]]) -> Result<(), FileError> {
        match &self.kept {
            Kept::Folder(_) => files::write_durably(&self.place(name), parts),
            Kept::Bucket(bucket) => bucket.put(name, parts.concat().into()),
        }
    }

    /// As [`Store::put`], where two could have come to the same place: `false` when another was first.
    pub(crate) fn put_first(&self, name: &str, parts: &[&[u8]]) -> Result<bool, FileError> {
        let Kept::Bucket(bucket) = &self.kept else {
            return files::write_first(&self.place(name), parts);
        };
        let bytes = Bytes::from(parts.concat());
        let put = bucket.put_new(name, bytes.clone());
        if let Ok(PutNew::Stored) = put {
            return Ok(true);
        }
        // The name is taken, or an answer was lost: what is there tells.
        match (bucket.find(name), put) {
            (Ok(Some(found)), _) => Ok(found == bytes),
            (_, Err(error)) => Err(bucket.error("store", name, error)),
            (Err(error), _) => Err(bucket.error("read", name, error)),
            (Ok(None), Ok(_)) => Ok(false),
        }
    }

    /// Begins an object that is written bit by bit. It is there once it is finished.
    pub(crate) fn stage(&self, name: &str) -> Result<Staged, FileError> {
        let path = self.place(name);
        let file = match &self.kept {
            Kept::Folder(_) => files::unfinished(path.parent().unwrap_or(Path::new("."))),
            #[expect(
                clippy::disallowed_methods,
                reason = "a file there gets a name that nobody can guess"
            )]
            Kept::Bucket(_) => files::unfinished(&std::env::temp_dir()),
        };
        let file = file.map_err(failed("create a file for", &path))?;
        let below = name.rsplit_once('/').map_or("", |(below, _)| below);
        Ok(Staged {
            store: self.clone(),
            below: below.to_owned(),
            file: Some(file),
            uploaded: OnceLock::new(),
        })
    }

    /// A whole object.
    pub(crate) fn get(&self, name: &str) -> Result<Vec<u8>, FileError> {
        match &self.kept {
            Kept::Folder(_) => files::read(&self.place(name)),
            Kept::Bucket(bucket) => bucket.get(name).map(Into::into),
        }
    }

    /// A whole object as an open file, for what is too large to hold.
    pub(crate) fn file(&self, name: &str) -> Result<File, FileError> {
        let path = self.place(name);
        match &self.kept {
            Kept::Folder(_) => disk::reads(&path)
                .and_then(|()| File::open(&path))
                .map_err(failed("open", &path)),
            Kept::Bucket(bucket) => {
                let mut file = tempfile::tempfile().map_err(failed("create a file for", &path))?;
                bucket.get_into(name, &mut file)?;
                file.rewind().map_err(failed("read", &path))?;
                Ok(file)
            }
        }
    }

    /// Copies objects within the place, durably: from where, and to where there is nothing yet.
    pub(crate) fn copy_all(&self, pairs: &[(String, String)]) -> Result<(), FileError> {
        if let Kept::Bucket(bucket) = &self.kept {
            return bucket.copy_all(pairs);
        }
        for (from, to) in pairs {
            let (from, to) = (self.place(from), self.place(to));
            let folder = to.parent().unwrap_or(Path::new("."));
            files::create_folder(folder)?;
            files::copy(&from, &to)?;
            files::sync_folder(folder)?;
        }
        Ok(())
    }

    /// What is directly below `below`, in no order. Folders are left out.
    pub(crate) fn list(&self, below: &str) -> Result<Vec<Listed>, FileError> {
        let folder = match &self.kept {
            Kept::Folder(_) => self.place(below),
            Kept::Bucket(bucket) => return bucket.list(below),
        };
        let mut listed = Vec::new();
        disk::reads(&folder).map_err(failed("list", &folder))?;
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

    /// As [`Store::list`]; nothing where there is no such folder.
    pub(crate) fn list_if_there(&self, below: &str) -> Result<Vec<Listed>, FileError> {
        match self.list(below) {
            Err(error) if error.is_missing() => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// The names of the folders directly below `below`.
    pub(crate) fn folders(&self, below: &str) -> Result<Vec<String>, FileError> {
        if let Kept::Bucket(bucket) = &self.kept {
            let listed = bucket.list_all(below)?.into_iter();
            let named = listed.filter_map(|it| {
                let within = it
                    .name
                    .strip_prefix(below)?
                    .trim_start_matches('/')
                    .to_owned();
                Some(within.split_once('/')?.0.to_owned())
            });
            return Ok(named.collect::<BTreeSet<_>>().into_iter().collect());
        }
        let folder = self.place(below);
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed("list", &folder))? {
            let entry = entry.map_err(failed("list", &folder))?;
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if let (true, Ok(name)) = (is_folder, entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Removes a folder when there is nothing in it. In a bucket it is gone with its last object.
    pub(crate) fn remove_empty_folder(&self, name: &str) {
        if self.folder().is_some() {
            // One that is not empty, or cannot be removed, is in nobody's way.
            let _ = fs::remove_dir(self.place(name));
        }
    }

    /// Makes it durable which objects are directly below `below`, after some were removed.
    pub(crate) fn sync_names(&self, below: &str) -> Result<(), FileError> {
        match &self.kept {
            Kept::Folder(_) => files::sync_folder(&self.place(below)),
            Kept::Bucket(_) => Ok(()),
        }
    }

    /// Removes an object. One that is not there is none too many.
    pub(crate) fn delete(&self, name: &str) -> Result<(), FileError> {
        let path = match &self.kept {
            Kept::Folder(_) => self.place(name),
            Kept::Bucket(bucket) => return bucket.delete(name),
        };
        files::remove(&path)
    }

    /// Makes everything below `below` durable that `synced` does not have yet, with its folders:
    /// for files that others have written. What is put is durable by itself, and every object is put.
    pub(crate) fn sync_below(
        &self,
        below: &str,
        synced: &mut HashSet<PathBuf>,
    ) -> Result<(), FileError> {
        match &self.kept {
            Kept::Folder(_) => files::sync_tree(&self.place(below), synced),
            Kept::Bucket(_) => Ok(()),
        }
    }
}

/// An object that is being written. Dropped without [`Staged::finish_as`] it never was.
#[derive(Debug)]
pub(crate) struct Staged {
    store: Store,
    /// The folder that it is to be in, by its name.
    below: String,
    file: Option<NamedTempFile>,
    /// Where it is in a bucket until it has its name.
    uploaded: OnceLock<String>,
}

impl Staged {
    fn named(&self, name: &str) -> String {
        match self.below.as_str() {
            "" => name.to_owned(),
            below => format!("{below}/{name}"),
        }
    }

    fn file(&self) -> io::Result<&NamedTempFile> {
        // It is taken away only by what takes the whole value.
        let taken = || io::Error::other("the file is finished");
        self.file.as_ref().ok_or_else(taken)
    }

    /// Makes what was written durable, so that naming it takes no time.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        let path = self.store.place(&self.below);
        let file = self.file().map_err(failed("sync", &path))?;
        let Kept::Bucket(bucket) = &self.store.kept else {
            return files::sync(file).map_err(failed("sync", &path));
        };
        let file = file.as_file();
        let unfinished = format!("{}{}", files::UNFINISHED, Uuid::new_v4().simple());
        let name = self.named(&unfinished);
        bucket.put_all(&name, &mut FromStart { file, at: 0 })?;
        // A second call has nothing more to do than the first; what it stored goes when this is dropped.
        if let Err(again) = self.uploaded.set(name) {
            bucket.delete(&again)?;
        }
        Ok(())
    }

    /// Makes what was written durable under a name in the folder that it was staged for.
    pub(crate) fn finish_as(mut self, name: &str) -> Result<(), FileError> {
        let name = self.named(name);
        let path = self.store.place(&name);
        if let Kept::Bucket(bucket) = &self.store.kept {
            return match self.uploaded.get() {
                Some(uploaded) => bucket.copy(uploaded, &name),
                None => {
                    let file = self.file().map_err(failed("read", &path))?.as_file();
                    bucket.put_all(&name, &mut FromStart { file, at: 0 })
                }
            };
        }
        let taken = || io::Error::other("the file is finished");
        let file = self.file.take().ok_or_else(taken);
        let file = file.map_err(failed("replace", &path))?;
        files::sync(&file).map_err(failed("sync", &path))?;
        files::persist(file, &path).map_err(failed("replace", &path))?;
        files::sync_folder(path.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let (Kept::Bucket(bucket), Some(uploaded)) = (&self.store.kept, self.uploaded.get())
            && let Err(error) = bucket.delete(uploaded)
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "an unfinished file stays");
        }
    }
}

/// A file from its first byte on, wherever it was written to last.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl io::Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        files::Growing(self.file()?).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file()?.as_file().flush()
    }
}
