//! Tables: one Lance dataset per type, and nothing but detached versions of it.
//!
//! A table is made as an empty version 1 in a folder of its own. Every later version is one
//! detached commit on the version before it, so that the table's HEAD never moves and is never
//! read: what a crash leaves behind does not exist, because no checkpoint names it.

mod compaction;
mod contents;
mod version;

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchIterator, RecordBatchReader};
use arrow_schema::Field;
use futures::TryStreamExt;
use lance::Dataset;
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::transaction::{Operation, UpdateMode};
use lance::dataset::{InsertBuilder, WriteDestination, WriteMode, WriteParams};
use lance::session::Session;
use lance_core::ROW_ADDR;
use lance_core::utils::address::RowAddress;
use lance_table::format::Fragment;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::account::Reservation;
use crate::columns::{ID, Layout};
use crate::disk;
use crate::files::FileError;
use crate::rows::Unwritten;
use crate::store::Store;
use crate::typed::Typed;

pub(crate) use compaction::{compact, urgency};
pub(crate) use contents::{DETACHED, FOLDERS, contents, has_half_a_manifest};
use version::{Expected, commit, scaled, widened};

/// All graphs share one small Lance session: its caches only serve folding and opening.
const SESSION_CACHE_BYTES: usize = 16 << 20;

static SESSION: LazyLock<Arc<Session>> = LazyLock::new(|| {
    Arc::new(Session::new(
        SESSION_CACHE_BYTES,
        SESSION_CACHE_BYTES,
        crate::store::lance_stores(),
    ))
});

/// Lance runs on threads of its own, so that folding does not take those that serve commits.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("tables")
        .on_thread_start(crate::aside::give_way_from_now_on)
        .enable_all()
        .build()
});

/// A version of a table, as a checkpoint names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableVersion {
    /// Folder within `tables/`.
    pub(crate) folder: String,
    /// The Lance version.
    pub(crate) version: u64,
    /// Its rows.
    pub(crate) rows: u64,
    /// The fragments that it is in; 0 when it is not known.
    #[serde(default)]
    pub(crate) fragments: u64,
    /// Rows in its files that are deleted.
    #[serde(default)]
    pub(crate) deleted: u64,
    /// Bytes of its data files; 0 when it is not known.
    #[serde(default)]
    pub(crate) bytes: u64,
    /// About how many bytes its rows take in memory, as far as is known.
    #[serde(default)]
    pub(crate) memory: u64,
    /// What it has of the maps of an open graph in columns of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) typed: Option<Typed>,
}

/// A table that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// No thread could be started.
    #[error("cannot start the runtime for tables")]
    Runtime(#[source] &'static std::io::Error),
    /// Lance failed.
    #[error("the table {folder} cannot be {action}")]
    Lance {
        /// Folder within `tables/`.
        folder: String,
        /// What was attempted, as a participle.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<lance::Error>,
    },
    /// Lance panicked, as it does on some files that are cut short.
    #[error("a table cannot be read or written: Lance panicked")]
    Panicked,
    /// Its files could not be listed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The version opened is not the one named, or does not hold what it should.
    #[error("the table {folder} has {found}, the checkpoint says {expected}")]
    Mismatch {
        /// Folder within `tables/`.
        folder: String,
        /// What it has.
        found: String,
        /// What was expected.
        expected: String,
    },
}

impl TableError {
    /// A row is not there that should be.
    pub(crate) fn without(table: &str, id: u64) -> Self {
        Self::Mismatch {
            folder: table.to_owned(),
            found: "not all rows".to_owned(),
            expected: format!("row {id}"),
        }
    }
}

/// Runs one table operation to its end. Not to be called from an async context.
fn run<T>(future: impl Future<Output = Result<T, TableError>>) -> Result<T, TableError> {
    match &*RUNTIME {
        // Nothing of ours is shared with the future; what it has written, no checkpoint names.
        Ok(runtime) => catch_unwind(AssertUnwindSafe(|| runtime.block_on(future)))
            .unwrap_or(Err(TableError::Panicked)),
        Err(error) => Err(TableError::Runtime(error)),
    }
}

/// The same for a thread that may be one of an async runtime.
fn run_apart<T: Send + 'static>(
    future: impl Future<Output = Result<T, TableError>> + Send + 'static,
) -> Result<T, TableError> {
    let runtime = RUNTIME.as_ref().map_err(TableError::Runtime)?;
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    runtime.spawn(async move {
        // Who asked waits.
        let _ = sender.send(future.await);
    });
    // A panic drops the sender.
    receiver.recv().unwrap_or(Err(TableError::Panicked))
}

fn lance(folder: &str, action: &'static str) -> impl Fn(lance::Error) -> TableError {
    let folder = folder.to_owned();
    move |source| TableError::Lance {
        folder: folder.clone(),
        action,
        source: Box::new(source),
    }
}

/// What one fold does to one table.
pub(crate) struct Fold<'a> {
    pub(crate) layout: &'a Layout,
    /// The version to go on from; `None` for a table that does not exist yet.
    pub(crate) parent: Option<&'a TableVersion>,
    /// Ids of rows of the parent that are gone or replaced, ascending.
    pub(crate) removed: Vec<u64>,
    /// Rows that are new or replace others.
    pub(crate) added: Unwritten,
}

/// Makes the next version of a table. It exists for readers only once a checkpoint names it.
pub(crate) fn fold(store: &Store, fold: Fold<'_>) -> Result<TableVersion, TableError> {
    run(async {
        let folder = match fold.parent {
            Some(parent) => parent.folder.clone(),
            None => format!(
                "{}-{}",
                fold.layout.type_id.0,
                uuid::Uuid::new_v4().simple()
            ),
        };
        let parent = match fold.parent {
            Some(parent) => open(store, parent).await?,
            None => create(store, &folder, fold.layout).await?,
        };
        let parent = widened(&folder, parent, fold.layout).await?;
        let (before, memory) = fold
            .parent
            .map_or((0, 0), |parent| (parent.rows, parent.memory));
        let kept = before - fold.removed.len() as u64;
        let expected = Expected {
            rows: kept + fold.added.rows as u64,
            // Those that go are taken for rows like the others.
            memory: scaled(memory, kept, before),
        };
        let typed = fold.layout.map.map(|_| fold.layout.typed.clone());
        let (operation, added) = stage(&folder, &parent, fold).await?;
        let version = commit(&folder, parent, operation, expected.with(added)).await?;
        Ok(TableVersion { typed, ..version })
    })
}

/// Some columns of all rows of a version.
pub(crate) fn read(
    store: &Store,
    version: &TableVersion,
    columns: &[String],
) -> Result<Vec<RecordBatch>, TableError> {
    match run(scan(store, version, columns, &mut Reservation::free()))? {
        Scanned::Whole(batches) => Ok(batches),
        // Not without an account.
        Scanned::Part { .. } => Ok(Vec::new()),
    }
}

/// The same, in the midst of whatever a thread does, which may be one of an async runtime, and as far as
/// the reservation of their values can grow.
pub(crate) fn read_apart(
    store: &Store,
    version: &TableVersion,
    columns: Vec<String>,
    mut reservation: Reservation,
) -> Result<(Scanned, Reservation), TableError> {
    let (store, version) = (store.clone(), version.clone());
    run_apart(async move {
        let scanned = scan(&store, &version, &columns, &mut reservation).await?;
        Ok((scanned, reservation))
    })
}

/// What was read of some columns.
pub(crate) enum Scanned {
    /// All rows.
    Whole(Vec<RecordBatch>),
    /// There was no room for more than so many rows, of so many bytes.
    Part { rows: u64, bytes: u64 },
}

async fn scan(
    store: &Store,
    version: &TableVersion,
    columns: &[String],
    reservation: &mut Reservation,
) -> Result<Scanned, TableError> {
    let (mut batches, mut bytes, mut rows) = (Vec::new(), 0, 0);
    let whole = visit(store, version, columns, |batch| {
        // Ids are there already.
        let arrays = batch.columns().iter().skip(1);
        bytes += arrays.map(sliced_bytes).sum::<u64>();
        rows += batch.num_rows() as u64;
        batches.push(batch);
        Ok(reservation.at_least(bytes))
    });
    Ok(match whole.await? {
        true => Scanned::Whole(batches),
        false => Scanned::Part { rows, bytes },
    })
}

/// Reads every row of a version with all its columns, and keeps none of them.
pub(crate) fn check(
    store: &Store,
    version: &TableVersion,
    layout: &Layout,
) -> Result<(), TableError> {
    let fields = layout.stored.fields();
    let columns: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
    let whole = visit(store, version, &columns, |batch| {
        let fits = |column: &ArrayRef, expected: &Field| column.data_type() == expected.data_type();
        let mut expected = fields.iter();
        let wrong = expected.find(|it| {
            let found = batch.column_by_name(it.name());
            found.is_none_or(|column| !fits(column, it))
        });
        match wrong {
            None => Ok(true),
            Some(expected) => Err(TableError::Mismatch {
                folder: version.folder.clone(),
                found: format!("no such column {}", expected.name()),
                expected: format!("one of {}", expected.data_type()),
            }),
        }
    });
    run(whole).map(drop)
}

/// Values of one row, in the columns that were asked for.
pub(crate) struct Picked<'a> {
    pub(crate) columns: &'a [ArrayRef],
    pub(crate) row: usize,
}

/// Gives the id and some values of every row, and keeps none.
pub(crate) fn pick(
    store: &Store,
    version: &TableVersion,
    mut columns: Vec<String>,
    mut take: impl FnMut(u64, Picked<'_>),
) -> Result<(), TableError> {
    columns.insert(0, ID.to_owned());
    let whole = visit(store, version, &columns, |batch| {
        let arrays = batch.columns();
        let (Some(ids), Some(columns)) = (
            arrays
                .first()
                .and_then(|ids| ids.as_primitive_opt::<UInt64Type>()),
            arrays.get(1..),
        ) else {
            return Err(unexpected(&version.folder, ID));
        };
        for (row, id) in ids.values().iter().enumerate() {
            take(*id, Picked { columns, row });
        }
        Ok(true)
    });
    run(whole).map(drop)
}

/// Gives each batch of some columns of all rows; says whether `take` has wanted all of them.
async fn visit(
    store: &Store,
    version: &TableVersion,
    columns: &[String],
    mut take: impl FnMut(RecordBatch) -> Result<bool, TableError>,
) -> Result<bool, TableError> {
    let dataset = open(store, version).await?;
    let mut scan = dataset.scan();
    let failed = lance(&version.folder, "read");
    scan.project(columns).map_err(&failed)?;
    let mut stream = scan.try_into_stream().await.map_err(&failed)?;
    let mut rows = 0;
    while let Some(batch) = stream.try_next().await.map_err(&failed)? {
        rows += batch.num_rows() as u64;
        if !take(batch)? {
            return Ok(false);
        }
    }
    if rows != version.rows {
        return Err(TableError::Mismatch {
            folder: version.folder.clone(),
            found: format!("{rows} rows"),
            expected: format!("{}", version.rows),
        });
    }
    Ok(true)
}

/// Bytes of the values of an array, which may be a part of something larger.
fn sliced_bytes(array: &ArrayRef) -> u64 {
    let bytes = array.to_data().get_slice_memory_size();
    bytes.map_or(0, |bytes| bytes as u64)
}

/// Where a table is.
fn place(store: &Store, folder: &str) -> PathBuf {
    disk::table(store.place(&format!("tables/{folder}")))
}

async fn open(store: &Store, version: &TableVersion) -> Result<Dataset, TableError> {
    let path = place(store, &version.folder);
    let dataset = DatasetBuilder::from_uri(path.to_string_lossy())
        .with_version(version.version)
        .with_session(SESSION.clone())
        .load()
        .await
        .map_err(lance(&version.folder, "opened"))?;
    let found = dataset.version().version;
    if found != version.version {
        return Err(TableError::Mismatch {
            folder: version.folder.clone(),
            found: format!("version {found}"),
            expected: format!("version {}", version.version),
        });
    }
    Ok(dataset)
}

fn write_params(mode: WriteMode) -> WriteParams {
    WriteParams {
        mode,
        session: Some(SESSION.clone()),
        auto_cleanup: None,
        ..WriteParams::default()
    }
}

async fn create(store: &Store, folder: &str, layout: &Layout) -> Result<Dataset, TableError> {
    let path = place(store, folder);
    let nothing = RecordBatchIterator::new([], layout.stored.clone());
    Dataset::write(
        nothing,
        &*path.to_string_lossy(),
        Some(write_params(WriteMode::Create)),
    )
    .await
    .map_err(lance(folder, "created"))
}

/// Writes the files of a fold and says, in one operation, what they change; and about how many bytes the
/// rows that it adds take in memory.
async fn stage(
    folder: &str,
    parent: &Dataset,
    fold: Fold<'_>,
) -> Result<(Operation, u64), TableError> {
    let memory = Arc::new(AtomicU64::new(0));
    let mut new_fragments = Vec::new();
    if fold.added.rows > 0 {
        let params = write_params(WriteMode::Append);
        let counted = memory.clone();
        let added = fold.added.inspect(move |batch| {
            let columns = batch.iter().flat_map(RecordBatch::columns);
            counted.fetch_add(columns.map(sliced_bytes).sum(), Ordering::Relaxed);
        });
        let added = RecordBatchIterator::new(added, fold.layout.stored.clone());
        let added: Box<dyn RecordBatchReader + Send> = Box::new(added);
        let staged = InsertBuilder::new(WriteDestination::Dataset(Arc::new(parent.clone())))
            .with_params(&params)
            .execute_uncommitted_stream(added)
            .await
            .map_err(lance(folder, "appended to"))?;
        let Operation::Append { fragments } = staged.operation else {
            return Err(unexpected(folder, "an append"));
        };
        new_fragments = fragments;
    }
    if fold.removed.is_empty() {
        let operation = Operation::Append {
            fragments: new_fragments,
        };
        return Ok((operation, memory.load(Ordering::Relaxed)));
    }
    let removal = remove(folder, parent, &fold.removed).await?;
    let operation = update(removal.emptied, removal.updated, new_fragments);
    Ok((operation, memory.load(Ordering::Relaxed)))
}

/// Fragments that go, that have other deletions, that are new.
fn update(
    removed_fragment_ids: Vec<u64>,
    updated_fragments: Vec<Fragment>,
    new_fragments: Vec<Fragment>,
) -> Operation {
    Operation::Update {
        removed_fragment_ids,
        updated_fragments,
        new_fragments,
        fields_modified: Vec::new(),
        compacted_sstables: Vec::new(),
        fields_for_preserving_frag_bitmap: Vec::new(),
        update_mode: Some(UpdateMode::RewriteRows),
        inserted_rows_filter: None,
        updated_fragment_offsets: None,
    }
}

/// Fragments as a removal leaves them.
struct Removal {
    updated: Vec<Fragment>,
    emptied: Vec<u64>,
}

/// Writes the deletion files that take rows out. They are found by reading all ids once; a predicate
/// would list them all in text, and there may be as many as the table has.
async fn remove(folder: &str, parent: &Dataset, removed: &[u64]) -> Result<Removal, TableError> {
    let failed = lance(folder, "deleted from");
    let mut scan = parent.scan();
    scan.with_row_address().project(&[ID]).map_err(&failed)?;
    let mut batches = scan.try_into_stream().await.map_err(&failed)?;
    let mut places: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut found = 0;
    while let Some(batch) = batches.try_next().await.map_err(&failed)? {
        let column = |name: &str| {
            let column = batch.column_by_name(name);
            let numbers = column.and_then(|column| column.as_primitive_opt::<UInt64Type>());
            numbers.ok_or_else(|| unexpected(folder, name))
        };
        let (ids, addresses) = (column(ID)?, column(ROW_ADDR)?);
        for (id, address) in ids.values().iter().zip(addresses.values()) {
            if removed.binary_search(id).is_ok() {
                let address = RowAddress::from(*address);
                let rows = places.entry(address.fragment_id()).or_default();
                rows.push(address.row_offset());
                found += 1;
            }
        }
    }
    if found != removed.len() {
        return Err(TableError::Mismatch {
            folder: folder.to_owned(),
            found: format!("{found} of the rows to remove"),
            expected: format!("{}", removed.len()),
        });
    }
    let mut removal = Removal {
        updated: Vec::new(),
        emptied: Vec::new(),
    };
    for fragment in parent.get_fragments() {
        let id = fragment.metadata().id;
        let rows = u32::try_from(id).ok().and_then(|id| places.remove(&id));
        let Some(rows) = rows else { continue };
        match fragment.extend_deletions(rows).await.map_err(&failed)? {
            Some(left) => removal.updated.push(left.metadata().clone()),
            None => removal.emptied.push(id),
        }
    }
    Ok(removal)
}

fn unexpected(folder: &str, expected: &str) -> TableError {
    TableError::Mismatch {
        folder: folder.to_owned(),
        found: "another operation".to_owned(),
        expected: expected.to_owned(),
    }
}

/// The tables of a checkpoint by type.
pub(crate) type Tables = HashMap<u32, TableVersion>;
