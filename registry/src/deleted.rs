//! Deleted graphs: what is known of each while its data is kept, and afterwards that it is gone.
//!
//! `.trellis/deleted/<id>.<hash of the folder>.json` stands while the data is kept. Its name follows
//! from the graph, so that whoever opens a graph's folder, in whichever process and by whichever id, sees
//! by the names alone whether the graph was deleted meanwhile: the record is the fence. `.trellis/purged/` says, for a
//! while, which graphs are gone for good.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{ConfigFile, Finding, GraphEntry};
use crate::durable::{self, DiskError, Naming};
use crate::registration::{self, Graphs, Registration};
use crate::uri::{GraphUri, Relation};
use crate::{Digest, Error, GraphId};

pub(crate) const DELETED: &str = "deleted";
pub(crate) const PURGED: &str = "purged";

/// Digits of a folder's mark.
const MARK: usize = 16;

/// The most purged graphs of one id that are looked at, the newest ones.
const PURGES: usize = 64;

/// How long it is remembered that a graph was purged.
const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 3600);

/// A graph that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// This deletion's own name.
    pub deletion: Uuid,
    /// The graph, in the case that the file had.
    pub graph_id: GraphId,
    /// What its folder carries; `None` when there was no graph in it.
    pub graph_uuid: Option<Uuid>,
    /// Its canonical folder.
    pub folder: PathBuf,
    /// What the file said of it.
    pub entry: GraphEntry,
    /// When it was deleted, in microseconds since 1970.
    pub deleted_micros: i64,
    /// When its data may go, in microseconds since 1970.
    pub purge_after_micros: i64,
    /// Who deleted it.
    pub deleted_by: String,
    /// What has become of its data.
    pub stage: Stage,
}

/// What has become of a deleted graph's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is kept: the graph can be restored.
    Kept,
    /// It is being removed.
    Purging,
    /// It is gone, since then (microseconds since 1970).
    Purged(i64),
}

/// A deleted graph as policies see it, and as whoever brings it back needs it.
#[derive(Debug)]
pub struct DeletedGraph {
    /// What is known of it.
    pub record: Deleted,
    /// As it was registered.
    pub registration: Registration,
}

/// The deleted graphs that were listed last, so that the next list reads no policy again. As those of
/// other graphs, policies are read anew when the file is.
#[derive(Debug, Default)]
pub(crate) struct Listed(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    graphs: Vec<Arc<DeletedGraph>>,
    /// How often it was forgotten.
    generation: u64,
}

impl Listed {
    /// The graphs of these records, which are in order of [`Deleted::name`].
    pub(crate) fn graphs(
        &self,
        file: &ConfigFile,
        records: Vec<Deleted>,
    ) -> Vec<Arc<DeletedGraph>> {
        let (known, generation) = {
            let known = self.known();
            let graphs = known.graphs.iter().cloned();
            let known_graphs: HashMap<Uuid, Arc<DeletedGraph>> =
                graphs.map(|graph| (graph.record.deletion, graph)).collect();
            (known_graphs, known.generation)
        };
        let is_known = |record: &Deleted| {
            let known = known.get(&record.deletion)?;
            (known.record == *record).then_some(known)
        };
        let others = records.iter().filter(|record| is_known(record).is_none());
        let mut made = registration::made(file, others.map(Deleted::place).collect()).into_iter();
        let mut graphs = Vec::with_capacity(records.len());
        for record in records {
            let graph = match is_known(&record) {
                Some(known) => Some(known.clone()),
                None => made.next().map(|registration| {
                    Arc::new(DeletedGraph {
                        record,
                        registration,
                    })
                }),
            };
            graphs.extend(graph);
        }
        let mut known = self.known();
        if known.generation == generation {
            known.graphs.clone_from(&graphs);
        }
        drop(known);
        graphs
    }

    /// Their policies may be others.
    pub(crate) fn forget(&self) {
        let mut known = self.known();
        known.graphs.clear();
        known.generation += 1;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What is in it may be forgotten at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Microseconds since 1970.
pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(i64::MAX)
}

/// What tells a deleted graph whose data is kept from every other: its id, and a mark of its folder.
fn kept_name(graph_id: &GraphId, folder: &Path) -> String {
    format!("{}.{}", graph_id.folded(), mark(folder))
}

/// What tells a folder from every other.
fn mark(folder: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut hash = Digest::of(folder.as_os_str().as_bytes()).to_string();
    hash.truncate(MARK);
    hash
}

/// The file that stands while a graph's data is kept after its deletion.
fn kept_path(state_folder: &Path, graph_id: &GraphId, folder: &Path) -> PathBuf {
    let name = kept_name(graph_id, folder);
    state_folder.join(DELETED).join(format!("{name}.json"))
}

/// Whether the graph in this folder was deleted and not restored, on the disk now. By the folder alone: who
/// opens it may know it by another id than who deleted it.
pub(crate) fn is_deleted(state_folder: &Path, folder: &Path) -> Result<bool, DiskError> {
    let ending = format!(".{}.json", mark(folder));
    let records = state_folder.join(DELETED);
    let listing = match fs::read_dir(&records) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        listing => listing.naming("list", &records)?,
    };
    for item in listing {
        let name = item.naming("list", &records)?.file_name();
        if name.to_str().is_some_and(|name| name.ends_with(&ending)) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Deleted {
    /// A graph that is about to be deleted, its data to be kept for `keep`.
    pub(crate) fn new(
        graph: &Registration,
        graph_uuid: Option<Uuid>,
        by: &str,
        keep: Duration,
    ) -> Self {
        let now = now_micros();
        let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        Self {
            deletion: Uuid::new_v4(),
            graph_id: graph.graph_id.clone(),
            graph_uuid,
            folder: graph.uri.canonical().to_owned(),
            entry: graph.entry.clone(),
            deleted_micros: now,
            purge_after_micros: now.saturating_add(keep),
            deleted_by: by.to_owned(),
            stage: Stage::Kept,
        }
    }

    /// Its name among the deleted graphs whose data is kept: sorted by it they are sorted by id.
    #[must_use]
    pub fn name(&self) -> String {
        kept_name(&self.graph_id, &self.folder)
    }

    /// Whether a text can be such a name.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        text.split_once('.').is_some_and(|(graph_id, mark)| {
            GraphId::parse(graph_id).is_ok()
                && mark.len() == MARK
                && mark.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }

    fn path(&self, file: &ConfigFile) -> PathBuf {
        let state = file.state_folder();
        match self.stage {
            Stage::Kept | Stage::Purging => kept_path(&state, &self.graph_id, &self.folder),
            Stage::Purged(_) => state.join(PURGED).join(format!(
                "{}.{}.json",
                self.graph_id.folded(),
                self.deletion
            )),
        }
    }

    /// Writes it down, durably.
    pub(crate) fn write(&self, file: &ConfigFile) -> Result<(), DiskError> {
        durable::write_record(&self.path(file), self)
    }

    /// Forgets it, durably.
    pub(crate) fn remove(&self, file: &ConfigFile) -> Result<(), DiskError> {
        durable::remove(&self.path(file))
    }

    /// Whether both are of the same deletion: the same graph may have been deleted again.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        self.deletion == other.deletion
    }

    /// The record as it is on the disk now, if it is there still.
    pub(crate) fn again(&self, file: &ConfigFile) -> Result<Option<Self>, DiskError> {
        read(&self.path(file))
    }

    /// As they were registered, in the same order.
    pub(crate) fn into_graphs(file: &ConfigFile, records: Vec<Self>) -> Vec<DeletedGraph> {
        let made = registration::made(file, records.iter().map(Self::place).collect());
        let graphs = records.into_iter().zip(made);
        graphs
            .map(|(record, registration)| DeletedGraph {
                record,
                registration,
            })
            .collect()
    }

    /// Where it is kept.
    pub(crate) fn uri(&self) -> GraphUri {
        GraphUri::known(&self.entry.uri, &self.folder)
    }

    fn place(&self) -> (GraphId, GraphEntry, GraphUri) {
        (self.graph_id.clone(), self.entry.clone(), self.uri())
    }
}

/// The deleted graphs of that id: first those whose data is kept, then those that are being purged, then
/// those that were purged last; each the newest first.
pub(crate) fn of_id(file: &ConfigFile, graph_id: &GraphId) -> Result<Vec<Deleted>, DiskError> {
    let of_id = format!("{}.", graph_id.folded());
    let named = |name: &str| name.starts_with(&of_id);
    let newest_first = |record: &Deleted| Reverse((record.deleted_micros, record.deletion));
    let mut found = records(file, DELETED, named)?;
    found.sort_by_key(|record| (record.stage != Stage::Kept, newest_first(record)));
    let mut purged = records(file, PURGED, named)?;
    purged.sort_by_key(newest_first);
    purged.truncate(PURGES);
    found.extend(purged);
    Ok(found)
}

/// Refuses a place of which the record of a deleted graph still speaks: its folder, one inside it or one
/// around it. It is to be a graph's of that id.
pub(crate) fn check_unclaimed(
    state_folder: &Path,
    kept: &[Deleted],
    graph_id: &GraphId,
    uri: &GraphUri,
) -> Result<(), Error> {
    let in_use = |relation, by: &GraphId| Error::UriInUse {
        uri: uri.written().to_owned(),
        relation,
        by: by.clone(),
    };
    for record in kept {
        if let Some(relation) = uri.relation(&record.folder) {
            return Err(in_use(relation, &record.graph_id));
        }
    }
    // Also by one that cannot be read: whoever opens the graph looks for its name alone.
    match is_deleted(state_folder, uri.canonical())? {
        true => Err(in_use(Relation::Same, graph_id)),
        false => Ok(()),
    }
}

/// What stands in the file and cannot be, for it is in the way of a deleted graph whose data is kept. One
/// that stands there again, under whichever id, is no problem: it is restored.
pub(crate) fn claimed(kept: &[Deleted], graphs: &Graphs) -> Vec<Finding> {
    let places: BTreeMap<&Path, &Registration> = graphs
        .values()
        .map(|graph| (graph.uri.canonical(), graph.as_ref()))
        .collect();
    let mut findings = Vec::new();
    for record in kept {
        let folder = record.folder.as_path();
        let around = folder.ancestors().filter_map(|above| places.get(above));
        let inside = places.range::<Path, _>((Bound::Excluded(folder), Bound::Unbounded));
        let inside = inside.take_while(|(place, _)| place.starts_with(folder));
        for graph in around.chain(inside.map(|(_, graph)| graph)) {
            let Some(relation) = graph.uri.relation(folder) else {
                continue;
            };
            let is_back = relation == Relation::Same && record.stage == Stage::Kept;
            if !is_back {
                let path = ["graphs", graph.graph_id.as_str(), "uri"].map(str::to_owned);
                let deleted = record.graph_id.as_str();
                let words = format!(
                    "{relation} the folder of the deleted graph {deleted:?}, which is kept: choose another, or restore or purge that one first"
                );
                findings.push((path.into(), words));
            }
        }
    }
    findings
}

/// Every deleted graph whose data is kept or is being removed.
pub(crate) fn kept(file: &ConfigFile) -> Result<Vec<Deleted>, DiskError> {
    records(file, DELETED, |_| true)
}

/// Forgets purges of long ago.
pub(crate) fn forget_old_purges(file: &ConfigFile) -> Result<(), DiskError> {
    let age = i64::try_from(REMEMBERED.as_micros()).unwrap_or(i64::MAX);
    for record in records(file, PURGED, |_| true)? {
        if matches!(record.stage, Stage::Purged(at) if now_micros().saturating_sub(at) > age) {
            record.remove(file)?;
        }
    }
    Ok(())
}

fn records(
    file: &ConfigFile,
    folder: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Deleted>, DiskError> {
    let folder = file.state_folder().join(folder);
    let listing = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.naming("list", &folder)?,
    };
    let mut found = Vec::new();
    for item in listing {
        let item = item.naming("list", &folder)?;
        let name = item.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.ends_with(".json") && wanted(name));
        if ours && let Some(record) = read(&item.path())? {
            found.push(record);
        }
    }
    Ok(found)
}

/// One that cannot be understood is left where it is and said in the log: its graph stays deleted and
/// its data stays kept.
fn read(path: &Path) -> Result<Option<Deleted>, DiskError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.naming("read", path)?,
    };
    match serde_json::from_slice(&bytes) {
        Ok(record) => Ok(Some(record)),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "the record of a deleted graph cannot be read; it stays");
            Ok(None)
        }
    }
}
