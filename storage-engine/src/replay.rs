//! Log -> snapshot: the changes of a commit, applied as they were when it was made.

use std::sync::Arc;

use language::schema::{PropertyId, TypeId};
use language::value::Value;
use uuid::Uuid;

use crate::record::{Change, Header, RowChange};
use crate::rows::{Entry, Row, Rows};
use crate::snapshot::Snapshot;

/// A record that does not fit the graph that the records before it made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The record changes rows of a type that the schema does not have.
    #[error("the record changes type {0:?}, which the schema does not have")]
    UnknownType(TypeId),
    /// The record sets a property that its type does not have.
    #[error("the record sets property {0:?}, which its type does not have")]
    UnknownProperty(PropertyId),
    /// The record updates a row that is not there.
    #[error("the record updates row {1} of type {0:?}, which is not there")]
    MissingRow(TypeId, u64),
}

impl Snapshot {
    /// Applies a commit read from the log. The rows' layouts are those of the commit's schema.
    pub(crate) fn replay(
        &mut self,
        header: &Header,
        changes: &[Change],
    ) -> Result<(), ReplayError> {
        for change in changes {
            let type_id = change.type_id;
            let rows = self
                .rows(type_id)
                .ok_or(ReplayError::UnknownType(type_id))?;
            let row = match &change.row {
                RowChange::Delete { .. } => None,
                RowChange::Insert {
                    values,
                    identity,
                    ends,
                } => {
                    let values = values.iter().map(|(id, value)| (*id, value));
                    Some(Row {
                        lsn: header.lsn,
                        run: header.run,
                        ..whole(rows, values, identity.clone(), *ends)?
                    })
                }
                RowChange::Update { values } => {
                    let old = rows
                        .row(change.id)
                        .ok_or(ReplayError::MissingRow(type_id, change.id))?;
                    let mut row = Row {
                        lsn: header.lsn,
                        run: header.run,
                        ..(*old).clone()
                    };
                    set(
                        &mut row,
                        rows,
                        values.iter().map(|change| (change.property, &change.after)),
                    )?;
                    Some(row)
                }
            };
            self.put(
                type_id,
                change.id,
                Entry {
                    lsn: header.lsn,
                    row: row.map(Arc::new),
                },
            );
        }
        for (type_id, next_id) in &header.next_ids {
            self.reserve(*type_id, *next_id, header.lsn);
        }
        self.remember(header);
        self.advance(header.info(), header.lsn);
        Ok(())
    }
}

/// A row of nothing but these values. Who wrote it is not said.
pub(crate) fn whole<'a>(
    rows: &Rows,
    values: impl Iterator<Item = (PropertyId, &'a Value)>,
    identity: Option<Arc<str>>,
    ends: Option<(u64, u64)>,
) -> Result<Row, ReplayError> {
    let mut row = Row {
        values: vec![Value::Null; rows.layout.properties.len()],
        left: Vec::new(),
        identity,
        ends,
        lsn: 0,
        run: Uuid::nil(),
    };
    set(&mut row, rows, values)?;
    Ok(row)
}

/// Sets some values of a row.
pub(crate) fn set<'a>(
    row: &mut Row,
    rows: &Rows,
    values: impl Iterator<Item = (PropertyId, &'a Value)>,
) -> Result<(), ReplayError> {
    for (property, value) in values {
        let position = rows.layout.position(property);
        if !position.is_some_and(|position| row.set(position, value.clone())) {
            return Err(ReplayError::UnknownProperty(property));
        }
    }
    Ok(())
}
