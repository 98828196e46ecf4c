//! Opening a graph: the newest checkpoint, then the log's tail.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use journal::Lsn;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::answers::Answers;
use crate::base::Base;
use crate::bulk::{self, ColumnsReplayError};
use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::cold::Shelf;
use crate::column_file::ColumnsError;
use crate::columns::{Layout, Properties};
use crate::files::{self, FileError};
use crate::graph::fold::Folding;
use crate::graph::log::{self, Right};
use crate::graph::past::Pins;
use crate::graph::pressure::Pressure;
use crate::graph::queue::Places;
use crate::graph::recover::{self, Recovered};
use crate::graph::status::Report;
use crate::graph::{FORMAT, Graph, Identity, Inner, Options, Published, commit};
use crate::lock::Holder;
use crate::reach::is_out_of_reach;
use crate::record::{
    Body, CatalogueChange, Changes, Columns, Header, Record, RecordError, SideFile,
};
use crate::replay::ReplayError;
use crate::snapshot::{Bases, Snapshot};
use crate::store::claim::ClaimError;
use crate::store::{PlaceError, Store};
use crate::tables::{self, TableError};

/// Why a graph could not be opened. Nothing but torn, unacknowledged bytes was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open for writing.
    #[error("{holder} holds the graph for writing")]
    Locked {
        /// Who, and since when.
        holder: Holder,
    },
    /// There is no graph in the folder.
    #[error("{} is not a graph: it has no readable graph.json", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// Why `graph.json` cannot be read.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder was written by a newer Trellis.
    #[error("the graph has format {found}; this version reads up to {FORMAT}")]
    Format {
        /// The format in `graph.json`.
        found: u32,
    },
    /// The folder holds what belongs to another graph.
    #[error(
        "graph.json says that this is graph {says}, but {} belongs to graph {of}", place.display()
    )]
    Foreign {
        /// What `graph.json` says.
        says: Uuid,
        /// What says otherwise.
        place: PathBuf,
        /// Whose that is.
        of: Uuid,
    },
    /// The place cannot be reached.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The object store cannot keep two writers apart.
    #[error(
        "the object store cannot hold a graph: it stores an object under a name that is taken \
         (conditional writes, If-None-Match, are needed)"
    )]
    Unconditional,
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A checkpoint cannot be read now, which says nothing of what is in it: no older one is used in
    /// its place.
    #[error("cannot reach {}", place.display())]
    OutOfReach {
        /// The checkpoint.
        place: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log is damaged or cannot be read.
    #[error("the log cannot be opened")]
    Log(#[from] journal::Error),
    /// The rows cannot be held as columns.
    #[error("the rows cannot be held as columns")]
    Columns(#[source] Box<arrow_schema::ArrowError>),
    /// The log has no commit that gives the graph a schema: its creation was not finished.
    #[error("the graph's creation was not finished")]
    Unfinished,
}

impl OpenError {
    /// Whether the next attempt may find the graph well: another process has it, or a file or an
    /// object could not be reached, without a word on what is in it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        let taken = matches!(
            self,
            Self::Locked { .. } | Self::OutOfReach { .. } | Self::Log(journal::Error::Epoch { .. })
        );
        taken || is_out_of_reach(self)
    }
}

impl From<ClaimError> for OpenError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Held(holder) => Self::Locked { holder },
            ClaimError::Unconditional => Self::Unconditional,
            ClaimError::File(error) => error.into(),
        }
    }
}

/// A log entry that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the side file {0} is damaged")]
    SideFile(String),
    #[error("the entry says that it is number {0}")]
    OutOfOrder(u64),
    #[error("the first entry does not give the graph a schema")]
    NoSchema,
    #[error("graph.json says that this is graph {says}, but the log is that of graph {of}")]
    Foreign { says: Uuid, of: Uuid },
    #[error("its rows cannot be taken in")]
    Columns(#[source] ColumnsError),
    #[error("a change of schema cannot be replayed by this version of Trellis")]
    SchemaChange,
}

/// A checkpoint that cannot be used; the one before it is tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnusableCheckpoint {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("its tables do not fit its schema")]
    Columns(#[from] arrow_schema::ArrowError),
    #[error("it belongs to another graph, {0}")]
    Foreign(Uuid),
    #[error("its format {0} is not known")]
    Format(u32),
}

impl Graph {
    /// Opens a graph for reading and writing. Blocks; not to be called from an async context.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and where.
    pub fn open(store: impl Into<Store>, options: Options) -> Result<Self, OpenError> {
        let store = store.into();
        // Before anything is locked or claimed where there is no graph.
        let identity = identity(&store)?;
        let open = |right| Self::open_with(&store, &identity, &options, right);
        let passed = |error: &OpenError| match error {
            OpenError::Log(journal::Error::Epoch { found, .. }) => Some(*found),
            _ => None,
        };
        log::with_right(&store, options.lease, open, passed)
    }

    fn open_with(
        store: &Store,
        identity: &Identity,
        options: &Options,
        right: Right,
    ) -> Result<Self, OpenError> {
        let Recovered {
            base,
            log,
            recovery,
            replay,
            shelf,
        } = recover::recover(store, identity, options, right)?;
        if let Some(torn) = &recovery.torn {
            tracing::warn!(%store, ?torn, "an unfinished write was cut off the log");
        }
        let snapshot = replay.snapshot.ok_or(OpenError::Unfinished)?;
        let replayed = base.point().lsn;
        remove_leftovers(store, replayed, recovery.last, &replay.side_files);
        let published = Published {
            snapshot: Arc::new(snapshot),
            digest: replay.digest,
            log_lsn: recovery.last.0,
            tail_bytes: recovery.bytes + replay.side_bytes,
        };
        let first = log.segments().first().map_or(0, |segment| segment.first.0);
        let report = Report::after(base.checkpoint.as_ref(), replay.horizon);
        let places = Places::new(options.queue, options.queue_bytes);
        let inner = Inner {
            store: store.clone(),
            options: options.clone(),
            shelf,
            epoch: log.epoch(),
            claim: log.claim(),
            places: Arc::new(places),
            published: ArcSwap::from_pointee(published),
            queue: Mutex::default(),
            writer: Mutex::new(Some(commit::Writer { log })),
            folding: Mutex::new(Folding::after(base.checkpoint, base.previous)),
            fold_planned: AtomicBool::new(false),
            folded_lsn: AtomicU64::new(replayed.0),
            fold_not_before: AtomicI64::new(0),
            pressure: Pressure::default(),
            pins: Pins::from(replay.horizon.max(first)),
            past: Mutex::default(),
            report: Mutex::new(report),
            lost: AtomicBool::new(false),
        };
        let inner = Arc::new(inner);
        // The one that wrote the tail may have had no time for it.
        inner.plan_fold();
        Ok(Self { inner })
    }
}

pub(crate) fn identity(store: &Store) -> Result<Identity, OpenError> {
    let missing = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Missing {
        folder: store.place(""),
        source,
    };
    let bytes = match store.get("graph.json") {
        // Out of reach, which says nothing of what is there.
        Err(error) if is_out_of_reach(&error) => return Err(error.into()),
        found => found.map_err(|error| missing(error.into()))?,
    };
    let identity: Identity =
        serde_json::from_slice(&bytes).map_err(|error| missing(error.into()))?;
    if identity.format > FORMAT {
        return Err(OpenError::Format {
            found: identity.format,
        });
    }
    Ok(identity)
}

/// How much of a checkpoint's tables is read at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent<'a> {
    /// Where the rest is read from.
    pub(crate) shelf: &'a Arc<Shelf>,
    /// Tables of more than so many rows, or about so many bytes, are read without what is not always in
    /// memory.
    pub(crate) resident: (u64, u64),
    /// Also what is read of the others may leave memory, for its tables stay as long as somebody reads
    /// them.
    pub(crate) lasting: bool,
}

/// A checkpoint, and the state that it stands for.
pub(crate) fn load(
    store: &Store,
    graph: Uuid,
    name: &str,
    extent: Extent<'_>,
) -> Result<(Checkpoint, Snapshot), UnusableCheckpoint> {
    let checkpoint = Checkpoint::read(store, name)?;
    if !checkpoint::is_known(checkpoint.format) {
        return Err(UnusableCheckpoint::Format(checkpoint.format));
    }
    if checkpoint.graph != graph {
        return Err(UnusableCheckpoint::Foreign(checkpoint.graph));
    }
    let schema = Arc::new(checkpoint.schema.clone());
    let (nodes, edges) = Layout::of_schema(&schema);
    let mut bases = Bases::default();
    for mut layout in nodes.into_iter().chain(edges) {
        let base = match checkpoint.tables.get(&layout.type_id.0) {
            Some(version) => {
                if let Some(typed) = &version.typed {
                    layout = Arc::new(layout.with_typed(typed.clone()));
                }
                let (rows, bytes) = extent.resident;
                let sparing = version.rows > rows || version.memory > bytes;
                let source = (sparing || extent.lasting)
                    .then(|| extent.shelf.source(&layout, version, None));
                let columns = layout.columns(match sparing {
                    true => Properties::Fixed,
                    false => Properties::All,
                });
                let batches = tables::read(store, version, &columns)?;
                Base::of_batches(&layout, &batches, source)?
            }
            None => Base::default(),
        };
        let next_id = checkpoint.next_id(layout.type_id);
        bases.insert(layout.type_id, (layout, Arc::new(base), next_id));
    }
    let head = checkpoint.head.clone();
    let snapshot = Snapshot::at_checkpoint(graph, schema, head, checkpoint.lsn, &bases)
        .with_answers(Answers::of(&checkpoint.answers))
        .with_statistics(checkpoint.statistics.clone());
    Ok((checkpoint, snapshot))
}

/// The state that the log's entries build up.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    store: Store,
    graph: Uuid,
    /// The run that the first commit must have, if that is known.
    first_run: Option<Uuid>,
    pub(crate) snapshot: Option<Snapshot>,
    /// Names of the side files that were met.
    side_files: HashSet<String>,
    /// Their bytes.
    pub(crate) side_bytes: u64,
    /// The digest of the frame that holds the last commit.
    pub(crate) digest: journal::Digest,
    /// The first entry that history is kept from, as far as entries have said.
    pub(crate) horizon: u64,
}

impl Replay {
    pub(crate) fn from(store: &Store, graph: Uuid, snapshot: Option<Snapshot>) -> Self {
        Self {
            store: store.clone(),
            graph,
            first_run: None,
            snapshot,
            side_files: HashSet::new(),
            side_bytes: 0,
            digest: journal::Digest::ZERO,
            horizon: 0,
        }
    }

    /// The same, which refuses a log whose first commit is not that of the graph.
    pub(crate) fn of(self, identity: &Identity) -> Self {
        Self {
            first_run: identity.first_run(),
            ..self
        }
    }

    /// Forgets which side files were met: only who opens the graph for writing has a use for it.
    pub(crate) fn forget_side_files(&mut self) {
        self.side_files.clear();
    }

    pub(crate) fn visit(&mut self, entry: journal::Entry<'_>) -> Result<(), EntryError> {
        let (header, body) = match decode(entry)? {
            Record::Commit(header, body) => (header, body),
            Record::Term(_) => return Ok(()),
            Record::Horizon(horizon) => {
                self.horizon = self.horizon.max(horizon.first);
                return Ok(());
            }
        };
        for file in body.files() {
            self.side_bytes += file.bytes;
            self.side_files.insert(file.name.clone());
        }
        self.apply(&header, &effects(&self.store, body)?)?;
        self.digest = entry.digest;
        Ok(())
    }

    pub(crate) fn apply(&mut self, header: &Header, effects: &Effects) -> Result<(), EntryError> {
        match (&mut self.snapshot, effects) {
            (None, Effects::Changes(changes)) => {
                if let Some(says) = self.first_run.filter(|says| *says != header.run) {
                    let of = header.run;
                    return Err(EntryError::Foreign { says, of });
                }
                self.snapshot = Some(first(self.graph, header, changes)?);
            }
            (None, Effects::Columns(_)) => return Err(EntryError::NoSchema),
            (Some(_), Effects::Changes(changes)) if !changes.catalogue.is_empty() => {
                return Err(EntryError::SchemaChange);
            }
            (Some(snapshot), Effects::Changes(changes)) => {
                snapshot.replay(header, &changes.rows)?;
            }
            (Some(snapshot), Effects::Columns(columns)) => {
                let additions = bulk::read(&self.store, columns, snapshot)?;
                snapshot.replay_columns(header, columns.truncate, &additions);
            }
        }
        Ok(())
    }
}

impl From<ColumnsReplayError> for EntryError {
    fn from(error: ColumnsReplayError) -> Self {
        match error {
            ColumnsReplayError::Columns(error) => error.into(),
            ColumnsReplayError::Replay(error) => Self::Replay(error),
        }
    }
}

impl From<ColumnsError> for EntryError {
    fn from(error: ColumnsError) -> Self {
        match error {
            ColumnsError::File(error) => Self::File(error),
            ColumnsError::Damaged(name) => Self::SideFile(name),
            other => Self::Columns(other),
        }
    }
}

/// What a commit does, wherever that is kept.
#[derive(Debug)]
pub(crate) enum Effects {
    /// Changes of rows and of the catalogue.
    Changes(Changes),
    /// Rows as columns, which are still in their files.
    Columns(Columns),
}

/// The record of a log entry, which must be the one of its place.
pub(crate) fn decode(entry: journal::Entry<'_>) -> Result<Record, EntryError> {
    let record = Record::decode(entry.bytes)?;
    if record.lsn() != entry.lsn.0 {
        return Err(EntryError::OutOfOrder(record.lsn()));
    }
    Ok(record)
}

/// The effects of a commit; changes are read from where they are kept.
pub(crate) fn effects(store: &Store, body: Body) -> Result<Effects, EntryError> {
    match body {
        Body::Inline(changes) => Ok(Effects::Changes(changes)),
        Body::File(file) => read_side_file(store, &file).map(Effects::Changes),
        Body::Columns(columns) => Ok(Effects::Columns(columns)),
    }
}

/// The graph after its first commit.
fn first(graph: Uuid, header: &Header, changes: &Changes) -> Result<Snapshot, EntryError> {
    let Some(CatalogueChange::Schema(schema)) = changes.catalogue.first() else {
        return Err(EntryError::NoSchema);
    };
    let schema = Arc::new(schema.clone());
    let (head, nothing) = (header.info(), Bases::default());
    Ok(Snapshot::at_checkpoint(
        graph, schema, head, header.lsn, &nothing,
    ))
}

/// Removes what writes that never came to an end have left: files that were not yet renamed, and
/// side files after `replayed` that no record names. What cannot be removed stays.
fn remove_leftovers(store: &Store, replayed: Lsn, last: Lsn, named: &HashSet<String>) {
    let leftover = |name: &str| {
        // In an object store another writer may have come meanwhile, and its files are later.
        let mine = |lsn| store.bucket().is_none() || lsn <= last.0;
        let unnamed = |lsn| lsn > replayed.0 && mine(lsn) && !named.contains(name);
        name.starts_with(files::UNFINISHED) || SideFile::lsn(name).is_some_and(unnamed)
    };
    for below in ["files", "checkpoints"] {
        for found in store.list(below).unwrap_or_default() {
            if !leftover(&found.name) {
                continue;
            }
            if let Err(error) = store.delete(&format!("{below}/{}", found.name)) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "an unfinished file stays");
            }
        }
    }
}

fn read_side_file(store: &Store, file: &SideFile) -> Result<Changes, EntryError> {
    let bytes = store.get(&file.place())?;
    if bytes.len() as u64 != file.bytes || Sha256::digest(&bytes).as_slice() != file.digest {
        return Err(EntryError::SideFile(file.name.clone()));
    }
    Ok(Changes::decode(&bytes)?)
}
