//! Tables: one Lance dataset per type, and nothing but detached versions of it.
//!
//! A table is made as an empty version 1 in a folder of its own. Every later version is one
//! detached commit on the version before it, so that the table's HEAD never moves and is never
//! read: what a crash leaves behind does not exist, because no checkpoint names it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow_array::{RecordBatch, RecordBatchIterator};
use futures::TryStreamExt;
use lance::Dataset;
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::transaction::{Operation, Transaction, UpdateMode};
use lance::dataset::{
    CommitBuilder, DeleteBuilder, InsertBuilder, WriteDestination, WriteMode, WriteParams,
};
use lance::session::Session;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::columns::{ID, Layout};

/// All graphs share one small Lance session: its caches only serve folding and opening.
const SESSION_CACHE_BYTES: usize = 16 << 20;

static SESSION: LazyLock<Arc<Session>> = LazyLock::new(|| {
    Arc::new(Session::new(
        SESSION_CACHE_BYTES,
        SESSION_CACHE_BYTES,
        Arc::default(),
    ))
});

/// Lance runs on threads of its own, so that folding does not take those that serve commits.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("tables")
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
}

/// A table that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// No thread could be started.
    #[error("cannot start the runtime for tables: {0}")]
    Runtime(&'static std::io::Error),
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

/// Runs one table operation to its end. Not to be called from an async context.
fn run<T>(future: impl Future<Output = Result<T, TableError>>) -> Result<T, TableError> {
    match &*RUNTIME {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => Err(TableError::Runtime(error)),
    }
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
    /// Ids of rows of the parent that are gone or replaced.
    pub(crate) removed: &'a [u64],
    /// Rows that are new or replace others.
    pub(crate) added: RecordBatch,
}

/// Makes the next version of a table. It exists for readers only once a checkpoint names it.
pub(crate) fn fold(tables: &Path, fold: &Fold<'_>) -> Result<TableVersion, TableError> {
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
            Some(parent) => open(tables, parent).await?,
            None => create(tables, &folder, fold.layout).await?,
        };
        let operation = stage(&folder, &parent, fold).await?;
        let version = parent.version().version;
        let committed = CommitBuilder::new(Arc::new(parent))
            .with_detached(true)
            .with_skip_auto_cleanup(true)
            .execute(Transaction::new(version, operation, None))
            .await
            .map_err(lance(&folder, "committed"))?;
        let rows = committed
            .count_rows(None)
            .await
            .map_err(lance(&folder, "counted"))? as u64;
        let before = fold.parent.map_or(0, |parent| parent.rows);
        let expected = before - fold.removed.len() as u64 + fold.added.num_rows() as u64;
        if rows != expected {
            return Err(TableError::Mismatch {
                folder,
                found: format!("{rows} rows after folding"),
                expected: format!("{expected}"),
            });
        }
        Ok(TableVersion {
            folder,
            version: committed.version().version,
            rows,
        })
    })
}

/// All rows of a version, in the columns that stay in memory.
pub(crate) fn read(
    tables: &Path,
    version: &TableVersion,
    layout: &Layout,
) -> Result<Vec<RecordBatch>, TableError> {
    run(async {
        let dataset = open(tables, version).await?;
        let mut scan = dataset.scan();
        let failed = lance(&version.folder, "read");
        scan.project(&layout.resident_columns()).map_err(&failed)?;
        let batches: Vec<RecordBatch> = scan
            .try_into_stream()
            .await
            .map_err(&failed)?
            .try_collect()
            .await
            .map_err(&failed)?;
        let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        if rows != version.rows {
            return Err(TableError::Mismatch {
                folder: version.folder.clone(),
                found: format!("{rows} rows"),
                expected: format!("{}", version.rows),
            });
        }
        Ok(batches)
    })
}

async fn open(tables: &Path, version: &TableVersion) -> Result<Dataset, TableError> {
    let path = tables.join(&version.folder);
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

async fn create(tables: &Path, folder: &str, layout: &Layout) -> Result<Dataset, TableError> {
    let path = tables.join(folder);
    let nothing = RecordBatchIterator::new([], layout.stored.clone());
    Dataset::write(
        nothing,
        &*path.to_string_lossy(),
        Some(write_params(WriteMode::Create)),
    )
    .await
    .map_err(lance(folder, "created"))
}

/// Writes the files of a fold and says, in one operation, what they change.
async fn stage(folder: &str, parent: &Dataset, fold: &Fold<'_>) -> Result<Operation, TableError> {
    let parent = Arc::new(parent.clone());
    let mut new_fragments = Vec::new();
    if fold.added.num_rows() > 0 {
        let params = write_params(WriteMode::Append);
        let staged = InsertBuilder::new(WriteDestination::Dataset(parent.clone()))
            .with_params(&params)
            .execute_uncommitted(vec![fold.added.clone()])
            .await
            .map_err(lance(folder, "appended to"))?;
        let Operation::Append { fragments } = staged.operation else {
            return Err(unexpected(folder, "an append"));
        };
        new_fragments = fragments;
    }
    if fold.removed.is_empty() {
        return Ok(Operation::Append {
            fragments: new_fragments,
        });
    }
    let staged = DeleteBuilder::new(parent, removal(fold.removed))
        .execute_uncommitted()
        .await
        .map_err(lance(folder, "deleted from"))?;
    if staged.num_deleted_rows != fold.removed.len() as u64 {
        return Err(TableError::Mismatch {
            folder: folder.to_owned(),
            found: format!("{} of the rows to remove", staged.num_deleted_rows),
            expected: format!("{}", fold.removed.len()),
        });
    }
    let Operation::Delete {
        updated_fragments,
        deleted_fragment_ids,
        ..
    } = staged.transaction.operation
    else {
        return Err(unexpected(folder, "a deletion"));
    };
    Ok(Operation::Update {
        removed_fragment_ids: deleted_fragment_ids,
        updated_fragments,
        new_fragments,
        fields_modified: Vec::new(),
        compacted_sstables: Vec::new(),
        fields_for_preserving_frag_bitmap: Vec::new(),
        update_mode: Some(UpdateMode::RewriteRows),
        inserted_rows_filter: None,
        updated_fragment_offsets: None,
    })
}

fn unexpected(folder: &str, expected: &str) -> TableError {
    TableError::Mismatch {
        folder: folder.to_owned(),
        found: "another operation".to_owned(),
        expected: expected.to_owned(),
    }
}

fn removal(ids: &[u64]) -> String {
    let list = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    format!("{ID} IN ({list})")
}

/// The tables of a checkpoint by type.
pub(crate) type Tables = HashMap<u32, TableVersion>;
