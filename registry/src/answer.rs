//! What was answered to a create with an `Idempotency-Key`, so that the same request again is answered
//! the same and done once.
//!
//! `.trellis/answers/<hash of principal and key>.json`, written before the create's intent ends: a
//! crash in between is finished from the intent. Only what succeeded is remembered.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{ConfigFile, GraphEntry};
use crate::deleted::now_micros;
use crate::durable::{self, DiskError, Naming};
use crate::{Digest, GraphId};

pub(crate) const FOLDER: &str = "answers";

/// How long an answer is kept at least.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The most answers that are kept; more are forgotten from the oldest on, however young.
const MOST: usize = 10_000;

/// What a caller calls a request that it may have to send again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The caller's word for it; another caller's same word is another key.
    pub key: String,
    /// Of everything that the request asks for.
    pub request: Digest,
}

/// What came of a request with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Of principal and key.
    pub name: Digest,
    /// Of everything that the request asked for.
    pub request: Digest,
    /// The graph that was made.
    pub graph_id: GraphId,
    /// What its folder carries; `None` of an answer that is older than this field.
    #[serde(default)]
    pub graph_uuid: Option<Uuid>,
    /// As it was made, whatever it is now.
    pub entry: GraphEntry,
    /// When, in microseconds since 1970.
    pub time_micros: i64,
}

impl Answer {
    /// To `key` of `principal`: the graph was made.
    pub(crate) fn new(
        principal: &str,
        key: &Key,
        graph_id: &GraphId,
        graph_uuid: Uuid,
        entry: &GraphEntry,
    ) -> Self {
        Self {
            name: name(principal, key),
            request: key.request,
            graph_id: graph_id.clone(),
            graph_uuid: Some(graph_uuid),
            entry: entry.clone(),
            time_micros: now_micros(),
        }
    }

    /// Writes it down, durably.
    pub(crate) fn keep(&self, file: &ConfigFile) -> Result<(), DiskError> {
        durable::write_record(&path(file, self.name), self)
    }
}

fn name(principal: &str, key: &Key) -> Digest {
    Digest::of(format!("{principal}\0{}", key.key).as_bytes())
}

fn path(file: &ConfigFile, name: Digest) -> PathBuf {
    file.state_folder()
        .join(FOLDER)
        .join(format!("{name}.json"))
}

/// What was answered to that key of that principal.
pub(crate) fn find(
    file: &ConfigFile,
    principal: &str,
    key: &Key,
) -> Result<Option<Answer>, DiskError> {
    let path = path(file, name(principal, key));
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => serde_json::from_slice(&bytes.naming("read", &path)?)
            .map(Some)
            .map_err(io::Error::from)
            .naming("understand", &path),
    }
}

/// Forgets answers that are older than they must be kept, and the oldest of too many.
pub(crate) fn forget_old(file: &ConfigFile) -> Result<(), DiskError> {
    let folder = file.state_folder().join(FOLDER);
    let listing = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listing => listing.naming("list", &folder)?,
    };
    let mut found = Vec::new();
    for item in listing {
        let item = item.naming("list", &folder)?;
        if let Ok(age) = item
            .metadata()
            .and_then(|found| found.modified())
            .map(|at| at.elapsed().unwrap_or_default())
        {
            found.push((age, item.path()));
        }
    }
    found.sort();
    for (number, (age, path)) in found.into_iter().enumerate() {
        if age > KEPT || number >= MOST {
            durable::remove(&path)?;
        }
    }
    Ok(())
}
