//! Commits undone one after the other, the newest first: what their rows were before.

use language::schema::TypeId;

use super::PastError;
use crate::executor::size_of_row;
use crate::record::{Change, Changes, RowChange};
use crate::replay::{self, ReplayError};
use crate::rows::Row;
use crate::snapshot::{Before, Snapshot};

/// Commits that are being undone.
pub(super) struct Undoing<'a> {
    base: &'a Snapshot,
    pub(super) before: Before,
    /// About how many bytes `before` takes.
    pub(super) bytes: usize,
}

impl<'a> Undoing<'a> {
    pub(super) fn from(base: &'a Snapshot) -> Self {
        Self {
            base,
            before: Before::new(),
            bytes: 0,
        }
    }

    pub(super) fn undo(&mut self, lsn: u64, changes: &Changes) -> Result<(), PastError> {
        if !changes.catalogue.is_empty() {
            return Err(PastError::NotUndoable { lsn });
        }
        let mut changed = changes.rows.iter().rev();
        changed.try_for_each(|change| self.undo_row(change))
    }

    fn undo_row(&mut self, change: &Change) -> Result<(), PastError> {
        let unfit = |error: ReplayError| PastError::Unfit(error.into());
        let type_id = change.type_id;
        let rows = self.base.rows(type_id);
        let rows = rows.ok_or_else(|| unfit(ReplayError::UnknownType(type_id)))?;
        let row = match &change.row {
            RowChange::Insert { .. } => None,
            RowChange::Delete {
                values,
                identity,
                ends,
            } => {
                let values = values.iter().map(|(id, value)| (*id, value));
                let row = replay::whole(rows, values, identity.clone(), *ends);
                Some(row.map_err(unfit)?)
            }
            RowChange::Update { values } => {
                let after = self.row(type_id, change.id);
                let mut row =
                    after.ok_or_else(|| unfit(ReplayError::MissingRow(type_id, change.id)))?;
                let values = values.iter().map(|it| (it.property, &it.before));
                replay::set(&mut row, rows, values).map_err(unfit)?;
                Some(row)
            }
        };
        self.bytes += size(row.as_ref());
        let known = self.before.entry(type_id).or_default();
        if let Some(replaced) = known.insert(change.id, row) {
            self.bytes = self.bytes.saturating_sub(size(replaced.as_ref()));
        }
        Ok(())
    }

    /// A row as it was after what is to be undone next.
    fn row(&self, type_id: TypeId, id: u64) -> Option<Row> {
        match self.before.get(&type_id).and_then(|rows| rows.get(&id)) {
            Some(known) => known.clone(),
            None => Some(self.base.rows(type_id)?.row(id)?.as_ref().clone()),
        }
    }
}

/// About how many bytes a row takes that was put back.
fn size(row: Option<&Row>) -> usize {
    let identity = |row: &Row| row.identity.as_ref().map_or(0, |it| it.len());
    let content = row.map_or(0, |row| size_of_row(&row.values) + identity(row));
    size_of::<Row>() + content
}
