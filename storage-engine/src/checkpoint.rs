//! Checkpoints: which version of each table stands for which commit.
//!
//! `checkpoints/<lsn>.json` is one line of JSON and, on the next, the SHA-256 of the first. It is
//! written only after everything that it names is synced, and read back before it counts. It and the
//! one before it are kept; collection (`graph/collect.rs`) removes the others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use language::schema::{Schema, TypeId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::answers::Kept;
use crate::files::{self, FileError, failed};
use crate::graph::LOCAL_EPOCH;
use crate::record::CommitInfo;
use crate::statistics::Statistics;
use crate::store::Store;
use crate::tables::Tables;

/// A point where the log has been folded into tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) format: u32,
    pub(crate) graph: Uuid,
    /// Everything up to here is in the tables.
    pub(crate) lsn: u64,
    /// The digest of the log's frame that ends there, in hex.
    pub(crate) digest: String,
    pub(crate) epoch: u64,
    pub(crate) time_micros: i64,
    pub(crate) head: CommitInfo,
    pub(crate) schema: Schema,
    pub(crate) tables: Tables,
    /// The first id of each type that no row has had.
    pub(crate) next_ids: BTreeMap<u32, u64>,
    /// The first entry of the log that history is kept from.
    #[serde(default)]
    pub(crate) horizon: u64,
    /// What keyed requests were answered, oldest first.
    #[serde(default)]
    pub(crate) answers: Vec<Kept>,
    /// What plans are chosen by.
    #[serde(default)]
    pub(crate) statistics: Statistics,
}

/// Where checkpoints are.
pub(crate) const FOLDER: &str = "checkpoints";

/// The newest format. The one before it knows nothing of typed columns, and is written where there are
/// none.
const FORMAT: u32 = 2;

/// The format of a checkpoint that names these tables.
pub(crate) fn format_of(tables: &Tables) -> u32 {
    let mut typed = tables.values().filter_map(|table| table.typed.as_ref());
    match typed.any(|typed| !typed.columns.is_empty()) {
        true => FORMAT,
        false => FORMAT - 1,
    }
}

/// Whether a checkpoint of this format can be used.
pub(crate) const fn is_known(format: u32) -> bool {
    1 <= format && format <= FORMAT
}

/// A checkpoint that cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not what was written.
    #[error("the checkpoint {} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be turned into JSON or back.
    #[error("the checkpoint cannot be encoded")]
    Encode(#[from] serde_json::Error),
}

impl Checkpoint {
    /// The digest, unless it is not 64 hex digits.
    pub(crate) fn digest(&self) -> Option<journal::Digest> {
        let mut bytes = [0_u8; 32];
        hex::decode_to_slice(&self.digest, &mut bytes).ok()?;
        Some(journal::Digest::from_bytes(bytes))
    }

    pub(crate) fn next_id(&self, type_id: TypeId) -> u64 {
        self.next_ids.get(&type_id.0).copied().unwrap_or(1)
    }

    /// Writes it durably and reads it back. Those before it are for collection to remove.
    pub(crate) fn publish(&self, store: &Store) -> Result<(), CheckpointError> {
        let name = self.name();
        let line = serde_json::to_vec(self)?;
        let digest = hex::encode(Sha256::digest(&line));
        store.put(&name, &[&line, b"\n", digest.as_bytes(), b"\n"])?;
        if Self::read(store, &name)? != *self {
            let path = store.place(&name);
            return Err(CheckpointError::Damaged { path });
        }
        Ok(())
    }

    /// Its name in the store.
    pub(crate) fn name(&self) -> String {
        match self.epoch {
            LOCAL_EPOCH => format!("{FOLDER}/{:020}.json", self.lsn),
            // Where there are several writers, none replaces what another has put.
            epoch => format!("{FOLDER}/{:020}-{epoch:020}.json", self.lsn),
        }
    }

    /// The checkpoint of that name.
    pub(crate) fn read(store: &Store, name: &str) -> Result<Self, CheckpointError> {
        Self::decode(&store.get(name)?, &store.place(name))
    }

    /// The checkpoint in that file.
    pub(crate) fn load(path: &Path) -> Result<Self, CheckpointError> {
        Self::decode(&files::read(path)?, path)
    }

    fn decode(bytes: &[u8], path: &Path) -> Result<Self, CheckpointError> {
        let damaged = || CheckpointError::Damaged {
            path: path.to_owned(),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let (line, rest) = text.split_once('\n').ok_or_else(damaged)?;
        if rest.trim_end() != hex::encode(Sha256::digest(line.as_bytes())) {
            return Err(damaged());
        }
        serde_json::from_str(line).map_err(|_| damaged())
    }
}

/// The position in a checkpoint's name.
pub(crate) fn lsn_of(name: &str) -> Option<u64> {
    let file = name.rsplit('/').next()?;
    file.get(..20)?.parse().ok()
}

fn is_checkpoint(name: &str) -> bool {
    let stem = name.strip_suffix(".json");
    let number = |text: &str| text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    stem.is_some_and(|stem| stem.split('-').count() <= 2 && stem.split('-').all(number))
}

/// The epoch in a checkpoint's name, where there is one.
pub(crate) fn epoch_of(name: &str) -> Option<u64> {
    let (_, epoch) = name.strip_suffix(".json")?.rsplit_once('-')?;
    epoch.parse().ok()
}

/// The names of all checkpoints, newest first.
pub(crate) fn names(store: &Store) -> Result<Vec<String>, FileError> {
    let mut names: Vec<String> = store.list(FOLDER)?.into_iter().map(|it| it.name).collect();
    names.retain(|name| is_checkpoint(name));
    names.sort_unstable_by(|a, b| b.cmp(a));
    names
        .iter_mut()
        .for_each(|name| *name = format!("{FOLDER}/{name}"));
    Ok(names)
}

/// The checkpoint files in a folder, newest first: for those that work on folders only.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let path = entry.map_err(failed("list", folder))?.path();
        if path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(is_checkpoint)
        {
            paths.push(path);
        }
    }
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}
