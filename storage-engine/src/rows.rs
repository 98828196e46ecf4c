//! The rows of one type: a base of columns plus the changes since.
//!
//! A [`Base`] is immutable and shared; the changes are a persistent map, so that a copy of
//! [`Rows`] costs nothing and publishing a commit costs what it changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow_schema::ArrowError;
use language::value::Value;
use rpds::RedBlackTreeMapSync;
use uuid::Uuid;

use crate::columns::{self, Layout};

/// One row as a transaction or the log holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// In the order of the layout's properties.
    pub(crate) values: Vec<Value>,
    /// Given from outside, where it is not the key.
    pub(crate) identity: Option<Arc<str>>,
    /// Source and target, for edges.
    pub(crate) ends: Option<(u64, u64)>,
    /// The log position that wrote it.
    pub(crate) lsn: u64,
    /// The run that wrote it.
    pub(crate) run: Uuid,
}

/// A row changed since the base, or deleted.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The log position of the change.
    pub(crate) lsn: u64,
    /// The row as it is now; `None` when deleted.
    pub(crate) row: Option<Arc<Row>>,
}

/// Rows as columns, in ascending order of id.
#[derive(Debug)]
pub(crate) struct Base {
    ids: UInt64Array,
    /// When the ids have no holes: the first of them.
    dense_from: Option<u64>,
    ends: Option<(UInt64Array, UInt64Array)>,
    identities: ArrayRef,
    properties: Vec<ArrayRef>,
    batch: RecordBatch,
}

impl Base {
    /// A base without rows.
    pub(crate) fn empty(layout: &Layout) -> Result<Self, ArrowError> {
        Self::from_batches(layout, &[])
    }

    /// A base of batches in any order. Their columns may be in any order; ids must not repeat.
    pub(crate) fn from_batches(
        layout: &Layout,
        batches: &[RecordBatch],
    ) -> Result<Self, ArrowError> {
        let names = layout.resident_columns();
        let fields = names
            .iter()
            .map(|name| layout.stored.field_with_name(name).cloned());
        let schema = Arc::new(arrow_schema::Schema::new(
            fields.collect::<Result<Vec<_>, _>>()?,
        ));
        let resident = batches
            .iter()
            .map(|batch| {
                let columns = names.iter().map(|name| {
                    batch.column_by_name(name).cloned().ok_or_else(|| {
                        ArrowError::SchemaError(format!(
                            "the table of {} has no column {name}",
                            layout.name
                        ))
                    })
                });
                RecordBatch::try_new(schema.clone(), columns.collect::<Result<Vec<_>, _>>()?)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let batch = arrow_select::concat::concat_batches(&schema, &resident)?;
        Self::sorted(layout, batch)
    }

    fn sorted(layout: &Layout, mut batch: RecordBatch) -> Result<Self, ArrowError> {
        let column = |batch: &RecordBatch, name: &str| {
            batch
                .column_by_name(name)
                .cloned()
                .ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))
        };
        let numbers = |batch: &RecordBatch, name: &str| {
            column(batch, name).map(|array| array.as_primitive::<UInt64Type>().clone())
        };
        let mut ids = numbers(&batch, columns::ID)?;
        if !ids.values().is_sorted() {
            let order = arrow_ord::sort::sort_to_indices(&ids, None, None)?;
            batch = arrow_select::take::take_record_batch(&batch, &order)?;
            ids = numbers(&batch, columns::ID)?;
        }
        if let Some(pair) = ids
            .values()
            .windows(2)
            .find(|pair| pair.first() == pair.last())
        {
            return Err(ArrowError::InvalidArgumentError(format!(
                "the table of {} has two rows with the id {}",
                layout.name,
                pair.first().copied().unwrap_or_default()
            )));
        }
        let dense_from = match (ids.values().first(), ids.values().last()) {
            (Some(first), Some(last)) if last - first + 1 == ids.len() as u64 => Some(*first),
            _ => None,
        };
        let ends = match layout.ends {
            Some(_) => Some((
                numbers(&batch, columns::SOURCE)?,
                numbers(&batch, columns::TARGET)?,
            )),
            None => None,
        };
        let properties = layout
            .properties
            .iter()
            .map(|property| column(&batch, &format!("p{}", property.id.0)))
            .collect::<Result<Vec<_>, _>>()?;
        let identities = column(&batch, columns::IDENTITY)?;
        Ok(Self {
            ids,
            dense_from,
            ends,
            identities,
            properties,
            batch,
        })
    }

    /// This base with `changes` applied.
    pub(crate) fn with_changes(
        &self,
        layout: &Layout,
        changes: &RedBlackTreeMapSync<u64, Entry>,
    ) -> Result<Self, ArrowError> {
        let keep: BooleanArray = self
            .ids
            .values()
            .iter()
            .map(|id| Some(!changes.contains_key(id)))
            .collect();
        let kept = arrow_select::filter::filter_record_batch(&self.batch, &keep)?;
        let rows = changes
            .iter()
            .filter_map(|(id, entry)| Some((*id, entry.row.as_deref()?)));
        Self::from_batches(layout, &[kept, layout.batch(rows)?])
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The place of a row, or `None` when the base does not have it.
    pub(crate) fn slot(&self, id: u64) -> Option<usize> {
        match self.dense_from {
            Some(first) => {
                let slot = usize::try_from(id.checked_sub(first)?).ok()?;
                (slot < self.ids.len()).then_some(slot)
            }
            None => self.ids.values().binary_search(&id).ok(),
        }
    }

    pub(crate) fn id(&self, slot: usize) -> u64 {
        self.ids.value(slot)
    }

    pub(crate) fn ids(&self) -> &[u64] {
        self.ids.values()
    }

    pub(crate) fn ends(&self, slot: usize) -> Option<(u64, u64)> {
        self.ends
            .as_ref()
            .map(|(sources, targets)| (sources.value(slot), targets.value(slot)))
    }

    pub(crate) fn value(&self, slot: usize, position: usize) -> Value {
        self.properties
            .get(position)
            .map_or(Value::Null, |column| columns::value_at(column, slot))
    }

    pub(crate) fn identity(&self, slot: usize) -> Option<&str> {
        let identities = self.identities.as_string::<i64>();
        identities.is_valid(slot).then(|| identities.value(slot))
    }

    /// Bytes of memory that the columns take.
    pub(crate) fn bytes(&self) -> usize {
        self.batch.get_array_memory_size()
    }
}

/// All rows of one type.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) layout: Arc<Layout>,
    pub(crate) base: Arc<Base>,
    pub(crate) changes: RedBlackTreeMapSync<u64, Entry>,
    /// How many rows there are now.
    pub(crate) count: u64,
    /// The first id that no row has had.
    pub(crate) next_id: u64,
    /// How many rows of the base are deleted.
    pub(crate) base_deletions: u64,
    /// The newest log position, since the graph was opened, that changed a row or gave an id.
    pub(crate) changed: u64,
}

impl Rows {
    pub(crate) fn new(layout: Arc<Layout>, base: Arc<Base>, next_id: u64) -> Self {
        let count = base.len() as u64;
        Self {
            layout,
            base,
            changes: RedBlackTreeMapSync::new_sync(),
            count,
            next_id,
            base_deletions: 0,
            changed: 0,
        }
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        match self.changes.get(&id) {
            Some(entry) => entry.row.is_some(),
            None => self.base.slot(id).is_some(),
        }
    }

    /// Ids of live rows, ascending.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        let mut base = self.base.ids().iter().copied().peekable();
        let mut changed = self.changes.iter().peekable();
        std::iter::from_fn(move || {
            loop {
                match (base.peek().copied(), changed.peek().map(|(id, _)| **id)) {
                    (Some(id), next) if next.is_none_or(|next| id < next) => {
                        base.next();
                        return Some(id);
                    }
                    (old, Some(id)) => {
                        if old == Some(id) {
                            base.next();
                        }
                        let live = changed.next().is_some_and(|(_, entry)| entry.row.is_some());
                        if live {
                            return Some(id);
                        }
                    }
                    (_, None) => return None,
                }
            }
        })
    }

    /// One property of a row; null when the row does not exist.
    pub(crate) fn value(&self, id: u64, position: usize) -> Value {
        match self.changes.get(&id) {
            Some(entry) => entry
                .row
                .as_ref()
                .and_then(|row| row.values.get(position).cloned())
                .unwrap_or(Value::Null),
            None => self
                .base
                .slot(id)
                .map_or(Value::Null, |slot| self.base.value(slot, position)),
        }
    }

    pub(crate) fn ends(&self, id: u64) -> Option<(u64, u64)> {
        match self.changes.get(&id) {
            Some(entry) => entry.row.as_ref()?.ends,
            None => self.base.ends(self.base.slot(id)?),
        }
    }

    pub(crate) fn identity(&self, id: u64) -> Option<Arc<str>> {
        match self.changes.get(&id) {
            Some(entry) => entry.row.as_ref()?.identity.clone(),
            None => self.base.identity(self.base.slot(id)?).map(Arc::from),
        }
    }

    /// A whole row. Provenance of a row of the base is not kept in memory and reads as zero.
    pub(crate) fn row(&self, id: u64) -> Option<Arc<Row>> {
        if let Some(entry) = self.changes.get(&id) {
            return entry.row.clone();
        }
        let slot = self.base.slot(id)?;
        let properties = 0..self.layout.properties.len();
        Some(Arc::new(Row {
            values: properties
                .map(|position| self.base.value(slot, position))
                .collect(),
            identity: self.base.identity(slot).map(Arc::from),
            ends: self.base.ends(slot),
            lsn: 0,
            run: Uuid::nil(),
        }))
    }

    /// Puts or deletes a row.
    pub(crate) fn put(&mut self, id: u64, entry: Entry) {
        let was = self.contains(id);
        let is = entry.row.is_some();
        match (was, is) {
            (false, true) => self.count += 1,
            (true, false) => self.count -= 1,
            _ => {}
        }
        if was != is && self.base.slot(id).is_some() {
            self.base_deletions = if is {
                self.base_deletions - 1
            } else {
                self.base_deletions + 1
            };
        }
        self.next_id = self.next_id.max(id + 1);
        self.changed = self.changed.max(entry.lsn);
        self.changes.insert_mut(id, entry);
    }

    /// The same rows on a newer base, which holds everything up to `folded`.
    pub(crate) fn rebased(&self, base: Arc<Base>, folded: u64) -> Self {
        let mut rebased = Self {
            layout: self.layout.clone(),
            count: base.len() as u64,
            base,
            changes: RedBlackTreeMapSync::new_sync(),
            next_id: self.next_id,
            base_deletions: 0,
            changed: self.changed,
        };
        for (id, entry) in self.changes.iter().filter(|(_, entry)| entry.lsn > folded) {
            rebased.put(*id, entry.clone());
        }
        rebased
    }

    /// The properties that have a value, by name.
    pub(crate) fn named_values(&self, id: u64) -> BTreeMap<String, Value> {
        self.layout
            .properties
            .iter()
            .enumerate()
            .map(|(position, property)| (property.name.clone(), self.value(id, position)))
            .filter(|(_, value)| !value.is_null())
            .collect()
    }
}
