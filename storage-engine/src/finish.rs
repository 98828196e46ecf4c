//! A transaction's end: what it changed, as it goes into the log.

use std::collections::BTreeMap;

use language::schema::{Property, PropertyId, TypeId};
use language::value::Value;

use crate::bulk::Bulk;
use crate::columns::Layout;
use crate::record::{Change, ChangeCounts, Changes, RowChange, ValueChange};
use crate::rows::{Row, Rows};
use crate::snapshot::Snapshot;
use crate::transaction::{Transaction, WriteError};

/// What a finished transaction leaves.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) snapshot: Snapshot,
    pub(crate) changes: Changes,
    /// Rows that came as columns, instead of changes.
    pub(crate) bulk: Option<Bulk>,
    pub(crate) counts: ChangeCounts,
    pub(crate) next_ids: Vec<(TypeId, u64)>,
}

impl Finished {
    /// Whether there is nothing to store: no row is different and no id was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.rows.is_empty() && self.next_ids.is_empty() && self.bulk.is_none()
    }
}

impl Transaction {
    /// The changes as they go into the log, and the graph with them.
    pub(crate) fn finish(mut self) -> Result<Finished, WriteError> {
        let ended = self.end_statement();
        // First: what was not read may look like a value that is missing.
        let whole = self.snapshot.whole_since(self.mark);
        whole.map_err(WriteError::Column)?;
        ended?;
        match self.bulk.take() {
            Some(bulk) => Ok(Finished {
                snapshot: self.snapshot,
                changes: Changes::default(),
                counts: bulk.counts,
                next_ids: bulk.next_ids(),
                bulk: Some(bulk),
            }),
            None => {
                let (failures, mark) = (self.snapshot.failures.clone(), self.mark);
                let finished = self.finish_rows();
                // What was there before may have had to be read.
                failures.none_since(mark).map_err(WriteError::Column)?;
                Ok(finished)
            }
        }
    }

    fn finish_rows(mut self) -> Finished {
        let mut counts = ChangeCounts {
            properties_set: self.properties_set,
            ..Default::default()
        };
        let mut rows = Vec::with_capacity(self.before.len());
        let mut next_ids = BTreeMap::new();
        let mut set_back = Vec::new();
        for ((type_id, id), before) in &self.before {
            let Some(table) = self.snapshot.rows(*type_id) else {
                continue;
            };
            let after = table.row(*id);
            let edge = table.layout.ends.is_some();
            if before.is_none() {
                // Also when it is gone again: its id has been given.
                next_ids.insert(*type_id, table.next_id);
            }
            let change = match (before, after) {
                (None, None) => continue,
                (None, Some(after)) => {
                    *(match edge {
                        true => &mut counts.edges_created,
                        false => &mut counts.nodes_created,
                    }) += 1;
                    RowChange::Insert {
                        values: present(&table.layout, &after),
                        identity: after.identity.clone(),
                        ends: after.ends,
                    }
                }
                (Some(before), None) => {
                    *(match edge {
                        true => &mut counts.edges_deleted,
                        false => &mut counts.nodes_deleted,
                    }) += 1;
                    RowChange::Delete {
                        values: present(&table.layout, &table.completed(*id, before)),
                        identity: before.identity.clone(),
                        ends: before.ends,
                    }
                }
                (Some(before), Some(after)) => {
                    let values = differences(table, *id, before, &after);
                    if values.is_empty() {
                        set_back.push((*type_id, *id, before));
                        continue;
                    }
                    RowChange::Update { values }
                }
            };
            rows.push(Change {
                type_id: *type_id,
                id: *id,
                row: change,
            });
        }
        for (type_id, id, before) in set_back {
            // The log says nothing of it, so neither may the tables.
            self.snapshot.put_back(type_id, id, before);
        }
        Finished {
            changes: Changes {
                catalogue: Vec::new(),
                rows,
            },
            bulk: None,
            counts,
            next_ids: next_ids.into_iter().collect(),
            snapshot: self.snapshot,
        }
    }
}

fn present(layout: &Layout, row: &Row) -> Vec<(PropertyId, Value)> {
    let pairs = layout.properties.iter().zip(&row.values);
    pairs
        .filter(|(_, value)| !value.is_null())
        .map(|(property, value)| (property.id, value.clone()))
        .collect()
}

fn differences(rows: &Rows, id: u64, before: &Row, after: &Row) -> Vec<ValueChange> {
    let properties = rows.layout.properties.iter().enumerate();
    let change = |(position, property): (usize, &Property)| {
        let was = match before.is_left(position) {
            true if after.is_left(position) => return None,
            true => rows.base_value(id, position),
            false => before.values.get(position)?.clone(),
        };
        let is = after.values.get(position)?;
        (!same(&was, is)).then(|| ValueChange {
            property: property.id,
            before: was,
            after: is.clone(),
        })
    };
    properties.filter_map(change).collect()
}

/// Whether nothing distinguishes the values: unlike for `=`, NaN is itself and `-0.0` is not `0.0`.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let mut pairs = a.iter().zip(b.iter());
            a.len() == b.len() && pairs.all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
        }
        _ => a == b,
    }
}
