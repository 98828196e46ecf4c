//! What lies at a graph's place and is not that graph's, for whoever is about to remove it.

use std::fs;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{IDENTITY, Kept, PARTS, REPAIRED, Store};
use crate::disk;
use crate::files::{self, FileError, failed};
use crate::graph::Identity;

impl Store {
    /// Where another graph than the one of that uuid lies within what the engine makes here: it would go
    /// with it. One whose `graph.json` cannot be understood is another.
    ///
    /// # Errors
    /// When not all of it can be looked at.
    pub fn other_graph(&self, graph: Uuid) -> Result<Option<PathBuf>, FileError> {
        for part in self.parts()? {
            let found = match &self.kept {
                Kept::Folder(folder) => other_below(&folder.join(part), graph)?,
                Kept::Bucket(bucket) => {
                    let mut marks = bucket.list_all(&part)?.into_iter();
                    let of_other = |name: String| {
                        let folder = name.strip_suffix(IDENTITY)?.strip_suffix('/')?.to_owned();
                        Some(
                            self.get(&name)
                                .map(|mark| is_other(&mark, graph).then_some(folder)),
                        )
                    };
                    let other = marks.find_map(|it| of_other(it.name)?.transpose());
                    other.transpose()?.map(|folder| self.place(&folder))
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether anything is here that the engine makes, or its mark.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn has_parts(&self) -> Result<bool, FileError> {
        if !self.parts()?.is_empty() {
            return Ok(true);
        }
        match self.get(IDENTITY) {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The folders here that the engine makes.
    pub(super) fn parts(&self) -> Result<Vec<String>, FileError> {
        let mut parts = self.folders("")?;
        parts.retain(|part| PARTS.contains(&part.as_str()) || part.starts_with(REPAIRED));
        Ok(parts)
    }
}

fn is_other(mark: &[u8], graph: Uuid) -> bool {
    serde_json::from_slice::<Identity>(mark).map_or(true, |identity| identity.uuid != graph)
}

/// Links are not followed, for a link goes without what it leads to.
fn other_below(folder: &Path, graph: Uuid) -> Result<Option<PathBuf>, FileError> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        disk::reads(&folder).map_err(failed("list", &folder))?;
        for entry in fs::read_dir(&folder).map_err(failed("list", &folder))? {
            let entry = entry.map_err(failed("list", &folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(failed("look at", &path))?;
            if kind.is_dir() {
                folders.push(path);
            } else if entry.file_name() == IDENTITY && is_other(&files::read(&path)?, graph) {
                return Ok(Some(folder));
            }
        }
    }
    Ok(None)
}
