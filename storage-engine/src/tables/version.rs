//! One more detached version of a table: wider, where new columns came, and of so many rows.

use std::sync::Arc;

use lance::Dataset;
use lance::dataset::CommitBuilder;
use lance::dataset::transaction::{Operation, Transaction};

use super::{TableError, TableVersion, contents, lance};
use crate::columns::Layout;

/// `bytes` of `all` rows, of which `some` stay.
pub(super) fn scaled(bytes: u64, some: u64, all: u64) -> u64 {
    let scaled = u128::from(bytes) * u128::from(some) / u128::from(all.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// What a version must have.
pub(super) struct Expected {
    pub(super) rows: u64,
    /// About how many bytes they take in memory.
    pub(super) memory: u64,
}

impl Expected {
    pub(super) fn with(self, memory: u64) -> Self {
        Self {
            memory: self.memory.saturating_add(memory),
            ..self
        }
    }
}

/// A version with the columns that the layout has and the table has not, null in all its rows: no file
/// of the table is written for it. Nothing but the next version knows of it.
pub(super) async fn widened(
    folder: &str,
    parent: Dataset,
    layout: &Layout,
) -> Result<Dataset, TableError> {
    let fields = layout.stored.fields().iter();
    let new = fields.filter(|field| parent.schema().field(field.name()).is_none());
    let new: Vec<_> = new.cloned().collect();
    if new.is_empty() {
        return Ok(parent);
    }
    let failed = lance(folder, "given columns");
    let new = arrow_schema::Schema::new(new);
    let mut schema = parent.schema().merge(&new).map_err(&failed)?;
    let last = parent.manifest().max_field_id();
    schema.try_set_field_id(Some(last)).map_err(&failed)?;
    let operation = Operation::Merge {
        fragments: parent.manifest().fragments.as_ref().clone(),
        schema,
        // All of them may be null.
        preserves_nullability: true,
    };
    detached(folder, parent, operation).await
}

/// Commits a detached version.
async fn detached(
    folder: &str,
    parent: Dataset,
    operation: Operation,
) -> Result<Dataset, TableError> {
    let version = parent.version().version;
    CommitBuilder::new(Arc::new(parent))
        .with_detached(true)
        .with_skip_auto_cleanup(true)
        .execute(Transaction::new(version, operation, None))
        .await
        .map_err(lance(folder, "committed"))
}

/// Commits a detached version that must have so many rows.
pub(super) async fn commit(
    folder: &str,
    parent: Dataset,
    operation: Operation,
    expected: Expected,
) -> Result<TableVersion, TableError> {
    let committed = detached(folder, parent, operation).await?;
    let rows = committed
        .count_rows(None)
        .await
        .map_err(lance(folder, "counted"))? as u64;
    if rows != expected.rows {
        return Err(TableError::Mismatch {
            folder: folder.to_owned(),
            found: format!("{rows} rows after it was written"),
            expected: format!("{}", expected.rows),
        });
    }
    let wear = contents::Wear::of(folder, &committed)?;
    Ok(TableVersion {
        folder: folder.to_owned(),
        version: committed.version().version,
        rows,
        fragments: wear.fragments,
        deleted: wear.deleted,
        bytes: wear.bytes,
        memory: expected.memory,
        typed: None,
    })
}
