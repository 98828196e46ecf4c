//! The rows of one type: a base of columns plus the changes since.
//!
//! A [`Base`] is immutable and shared; the changes are a persistent map, so that a copy of
//! [`Rows`] costs nothing and publishing a commit costs what it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use language::value::Value;
use rpds::RedBlackTreeMapSync;
use uuid::Uuid;

use crate::base::{Base, Entries};
use crate::chunk::{CHUNK_ROWS, Chunk, Written};
use crate::cold::{Failures, Source};
use crate::columns::{self, Layout};
use crate::index::Changed;
use crate::store::Store;
use crate::tables::{self, TableError};

/// About what a changed row takes beside its values: its places in the maps of rows and of keys or links.
const CHANGE_BYTES: usize = 256;

/// One row as a transaction or the log holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// In the order of the layout's properties.
    pub(crate) values: Vec<Value>,
    /// The positions, ascending, of properties that stand as null here and are what the base has: they are
    /// on disk alone, and nobody has changed them.
    pub(crate) left: Vec<usize>,
    /// Given from outside, where it is not the key.
    pub(crate) identity: Option<Arc<str>>,
    /// Source and target, for edges.
    pub(crate) ends: Option<(u64, u64)>,
    /// The log position that wrote it.
    pub(crate) lsn: u64,
    /// The run that wrote it.
    pub(crate) run: Uuid,
}

impl Row {
    /// Whether a property is what the base has.
    pub(crate) fn is_left(&self, position: usize) -> bool {
        !self.left.is_empty() && self.left.binary_search(&position).is_ok()
    }

    /// Sets a property; says whether there is one at that position.
    pub(crate) fn set(&mut self, position: usize, value: Value) -> bool {
        let place = self.values.get_mut(position);
        let is_there = place.is_some();
        if let Some(place) = place {
            *place = value;
            self.left.retain(|left| *left != position);
        }
        is_there
    }
}

/// A row changed since the base, or deleted.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The log position of the change.
    pub(crate) lsn: u64,
    /// The row as it is now; `None` when deleted.
    pub(crate) row: Option<Arc<Row>>,
}

impl Entry {
    /// About how many bytes of memory it takes.
    fn bytes(&self) -> usize {
        let row = self.row.as_ref().map_or(0, |row| {
            let identity = row.identity.as_ref().map_or(0, |identity| identity.len());
            identity + row.values.iter().map(bytes_of).sum::<usize>()
        });
        CHANGE_BYTES + row
    }
}

/// About how many bytes of memory a value takes that shares nothing: always the same for the same, so
/// that what was added can be taken off.
fn bytes_of(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::List(values) => values.iter().map(bytes_of).sum(),
            Value::Map(map) => {
                let entries = map.iter();
                entries
                    .map(|(name, value)| name.len() + bytes_of(value))
                    .sum()
            }
            _ => 0,
        }
}

/// All rows of one type.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) layout: Arc<Layout>,
    pub(crate) base: Arc<Base>,
    pub(crate) changes: Entries,
    /// Where the values of indexed properties of changed rows stand.
    indexed: Changed,
    /// The rows that the statement at work has changed, in that order; `None` when there is none.
    journal: Option<Vec<u64>>,
    /// About how many bytes of memory the changes take.
    changes_bytes: usize,
    /// How many rows there are now.
    pub(crate) count: u64,
    /// The first id that no row has had.
    pub(crate) next_id: u64,
    /// The log position at which everything before was deleted, while the table has it still.
    pub(crate) emptied: Option<u64>,
    /// The newest log position, since the graph was opened, that changed a row or gave an id.
    pub(crate) changed: u64,
    /// Where it is noted that a column could not be read.
    pub(crate) failures: Arc<Failures>,
}

impl Rows {
    pub(crate) fn new(layout: Arc<Layout>, base: Arc<Base>, next_id: u64) -> Self {
        let count = base.len() as u64;
        Self {
            layout,
            base,
            changes: RedBlackTreeMapSync::new_sync(),
            indexed: Changed::default(),
            journal: None,
            changes_bytes: 0,
            count,
            next_id,
            emptied: None,
            changed: 0,
            failures: Arc::default(),
        }
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        match self.changes.get(&id) {
            Some(entry) => entry.row.is_some(),
            None => self.base.contains(id),
        }
    }

    /// Ids of live rows, ascending.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.ids_between(0, u64::MAX)
    }

    /// Those of them that lie in a range, both ends included.
    pub(crate) fn ids_between(&self, first: u64, last: u64) -> impl Iterator<Item = u64> + '_ {
        let chunks = self.base.chunks();
        let chunks = chunks.filter(move |chunk| chunk.first() <= last && chunk.last() >= first);
        let base = chunks.flat_map(move |chunk| chunk.ids().between(first, last));
        let mut base = base.peekable();
        let mut changed = self.changes.range(first..=last).peekable();
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

    /// Ids between which all rows lie, both included; `None` when there never was one.
    pub(crate) fn bounds(&self) -> Option<(u64, u64)> {
        let (mut base, mut last) = (self.base.chunks(), self.base.chunks());
        let first = base.next().map(Chunk::first);
        let last = last.next_back().map(Chunk::last);
        let first_changed = self.changes.first().map(|(id, _)| *id);
        let last_changed = self.changes.last().map(|(id, _)| *id);
        let first = first.into_iter().chain(first_changed).min()?;
        let last = last.into_iter().chain(last_changed).max()?;
        Some((first, last))
    }

    /// Ids of live rows from one on.
    pub(crate) fn ids_from(&self, first: u64) -> impl Iterator<Item = u64> + '_ {
        let chunks = self
            .base
            .chunks()
            .filter(move |chunk| chunk.last() >= first);
        let base = chunks.flat_map(|chunk| chunk.ids().iter());
        let base = base.filter(move |id| *id >= first && !self.changes.contains_key(id));
        let changed = self.changes.range(first..);
        base.chain(changed.filter_map(|(id, entry)| entry.row.is_some().then_some(*id)))
    }

    /// One property of a row; null when the row does not exist.
    pub(crate) fn value(&self, id: u64, position: usize) -> Value {
        match self.changes.get(&id) {
            Some(Entry { row: Some(row), .. }) if row.is_left(position) => {
                self.base_value(id, position)
            }
            Some(entry) => entry
                .row
                .as_ref()
                .and_then(|row| row.values.get(position).cloned())
                .unwrap_or(Value::Null),
            None => self.base_value(id, position),
        }
    }

    /// One property of a row as the base has it, whatever has changed since.
    pub(crate) fn base_value(&self, id: u64, position: usize) -> Value {
        self.base.value(&self.layout, id, position, &self.failures)
    }

    /// Whether all that holds a property is in memory.
    pub(crate) fn is_warm(&self, position: usize) -> bool {
        let mut parts = self.layout.parts(position);
        parts.all(|part| self.base.is_warm(part))
    }

    /// Whether a row has changed since the base, and this property of it has not.
    pub(crate) fn is_left(&self, id: u64, position: usize) -> bool {
        let entry = self.changes.get(&id);
        let row = entry.and_then(|entry| entry.row.as_ref());
        row.is_some_and(|row| row.is_left(position))
    }

    pub(crate) fn ends(&self, id: u64) -> Option<(u64, u64)> {
        match self.changes.get(&id) {
            Some(entry) => entry.row.as_ref()?.ends,
            None => {
                let (chunk, row) = self.base.find(id)?;
                chunk.ends(row)
            }
        }
    }

    pub(crate) fn identity(&self, id: u64) -> Option<Arc<str>> {
        match self.changes.get(&id) {
            Some(entry) => entry.row.as_ref()?.identity.clone(),
            None => {
                let (chunk, row) = self.base.find(id)?;
                chunk.identity(row).map(Arc::from)
            }
        }
    }

    /// A row with all its values, which may have to be read.
    pub(crate) fn whole(&self, id: u64) -> Option<Arc<Row>> {
        self.row(id).map(|row| self.completed(id, &row))
    }

    /// A row of that id, as it is or was since the base, with all its values.
    pub(crate) fn completed(&self, id: u64, row: &Arc<Row>) -> Arc<Row> {
        if row.left.is_empty() {
            return row.clone();
        }
        let mut whole = row.as_ref().clone();
        for position in &row.left {
            whole.set(*position, self.base_value(id, *position));
        }
        Arc::new(whole)
    }

    /// The same rows, every changed one with all its values: those that are on disk alone are read row by
    /// row, not into memory as columns. Blocks; not to be called from an async context.
    pub(crate) fn complete(&mut self, store: &Store) -> Result<(), TableError> {
        let mut partial: BTreeMap<u64, Row> = BTreeMap::new();
        let (mut cold, mut lsns) = (BTreeSet::new(), BTreeMap::new());
        for (id, entry) in self.changes.iter() {
            let Some(row) = entry.row.as_ref().filter(|row| !row.left.is_empty()) else {
                continue;
            };
            let mut row = row.as_ref().clone();
            for position in std::mem::take(&mut row.left) {
                match self.is_warm(position) {
                    true => {
                        row.set(position, self.base_value(*id, position));
                    }
                    false => {
                        row.left.push(position);
                        cold.insert(position);
                    }
                }
            }
            lsns.insert(*id, entry.lsn);
            partial.insert(*id, row);
        }
        if let Some(source) = self.base.source().filter(|_| !cold.is_empty()) {
            let layout = &self.layout;
            let parts = cold.iter().flat_map(|position| layout.parts(*position));
            let names = parts.filter_map(|part| layout.column_at(part));
            tables::pick(store, source.version(), names.collect(), |id, values| {
                let Some(row) = partial.get_mut(&id) else {
                    return;
                };
                let columns = values.columns.iter();
                let mut found = columns.map(|column| columns::value_at(column, values.row));
                for position in &cold {
                    let typed = layout.parts(*position).count() - 1;
                    let value = found.next().unwrap_or(Value::Null);
                    let value = layout.typed.join(value, found.by_ref().take(typed));
                    if row.is_left(*position) {
                        row.set(*position, value);
                    }
                }
            })?;
        }
        for (id, row) in partial {
            if !row.left.is_empty() {
                return Err(TableError::without(&self.layout.name, id));
            }
            let lsn = lsns.get(&id).copied().unwrap_or(row.lsn);
            let row = Some(Arc::new(row));
            self.set(id, Some(Entry { lsn, row }));
        }
        Ok(())
    }

    /// A row, of which what is on disk alone is [left](Row::left) there. Provenance of a row of the base is
    /// not kept in memory and reads as zero.
    pub(crate) fn row(&self, id: u64) -> Option<Arc<Row>> {
        if let Some(entry) = self.changes.get(&id) {
            return entry.row.clone();
        }
        let (chunk, row) = self.base.find(id)?;
        let mut left = Vec::new();
        let layout = &self.layout;
        let value = |position: usize| {
            if layout.parts(position).any(|part| chunk.is_cold(part)) {
                left.push(position);
                return Value::Null;
            }
            let typed = layout.parts(position).skip(1);
            let typed = typed.map(|part| chunk.value(row, part));
            layout.typed.join(chunk.value(row, position), typed)
        };
        let values = (0..self.layout.properties.len()).map(value).collect();
        Some(Arc::new(Row {
            values,
            left,
            identity: chunk.identity(row).map(Arc::from),
            ends: chunk.ends(row),
            lsn: 0,
            run: Uuid::nil(),
        }))
    }

    /// Puts or deletes a row.
    pub(crate) fn put(&mut self, id: u64, entry: Entry) {
        match (self.contains(id), entry.row.is_some()) {
            (false, true) => self.count += 1,
            (true, false) => self.count -= 1,
            _ => {}
        }
        self.next_id = self.next_id.max(id + 1);
        self.changed = self.changed.max(entry.lsn);
        self.set(id, Some(entry));
    }

    /// Takes back a change that came to nothing: the row is as it was, down to the commit that it names.
    pub(crate) fn put_back(&mut self, id: u64, before: &Arc<Row>) {
        // One of the base has no provenance in memory; the table has it.
        match before.lsn {
            0 => self.set(id, None),
            lsn => {
                let row = Some(before.clone());
                self.set(id, Some(Entry { lsn, row }));
            }
        }
    }

    /// Sets what has changed of a row, and with it what the changes take.
    fn set(&mut self, id: u64, entry: Option<Entry>) {
        let replaced = self.changes.get(&id);
        let bytes = entry.as_ref().map_or(0, Entry::bytes);
        self.changes_bytes = self
            .changes_bytes
            .saturating_sub(replaced.map_or(0, Entry::bytes))
            + bytes;
        if !self.layout.indexed.is_empty() {
            let before = replaced.and_then(|entry| entry.row.as_deref());
            let after = entry.as_ref().and_then(|entry| entry.row.as_deref());
            self.indexed.put(&self.layout.indexed, id, before, after);
        }
        if let Some(journal) = &mut self.journal {
            journal.push(id);
        }
        match entry {
            Some(entry) => self.changes.insert_mut(id, entry),
            None => {
                self.changes.remove_mut(&id);
            }
        }
    }

    /// Takes rows in whose ids no row has had.
    pub(crate) fn append(&mut self, chunks: &[Arc<Chunk>], written: Written) {
        let added: usize = chunks.iter().map(|chunk| chunk.len()).sum();
        self.base = Arc::new(self.base.with_chunks(chunks.iter().cloned(), written));
        self.count += added as u64;
        if let Some(last) = chunks.last() {
            self.next_id = self.next_id.max(last.last() + 1);
        }
        self.changed = self.changed.max(written.lsn);
    }

    /// Deletes every row.
    pub(crate) fn clear(&mut self, lsn: u64) {
        self.base = Arc::default();
        self.changes = RedBlackTreeMapSync::new_sync();
        self.indexed = Changed::default();
        self.changes_bytes = 0;
        self.count = 0;
        self.emptied = Some(lsn);
        self.changed = self.changed.max(lsn);
    }

    /// About how many bytes of memory the changes since the base take.
    pub(crate) fn changes_bytes(&self) -> usize {
        self.changes_bytes + self.indexed.bytes()
    }

    /// Where the values of indexed properties of changed rows stand.
    pub(crate) fn indexed(&self) -> &Changed {
        &self.indexed
    }

    /// From now on it is kept which rows are changed, or no more.
    pub(crate) fn keep_journal(&mut self, keep: bool) {
        self.journal = keep.then(Vec::new);
    }

    /// The rows that the statement at work has changed, in that order; a row as often as that was.
    pub(crate) fn journal(&self) -> &[u64] {
        self.journal.as_deref().unwrap_or_default()
    }

    /// About how many bytes of memory can leave once a fold has put them into the table.
    pub(crate) fn unfolded_bytes(&self) -> usize {
        let parts = self.base.parts().iter();
        let unwritten = parts.filter(|part| part.unwritten.is_some());
        let columns = unwritten.map(|part| {
            let positions = (0..part.chunk.width()).filter(|at| !self.layout.is_fixed(*at));
            positions
                .map(|at| part.chunk.column_bytes(at))
                .sum::<usize>()
        });
        self.changes_bytes + columns.sum::<usize>()
    }

    /// How many properties are not, or not all, in memory.
    pub(crate) fn cold_columns(&self) -> usize {
        let positions = 0..self.layout.width();
        positions.filter(|at| !self.base.is_warm(*at)).count()
    }

    /// How many rows of these are not in the table as they are.
    pub(crate) fn unfolded(&self) -> usize {
        self.changes.size() + self.base.unwritten_rows() + usize::from(self.emptied.is_some())
    }

    /// Every row that the table does not have as it is, in batches of the stored shape, which are
    /// made when they are asked for.
    pub(crate) fn unwritten(&self) -> Unwritten {
        let changed = self.changes.values().filter(|entry| entry.row.is_some());
        let parts = self.base.parts().iter();
        let parts = parts.filter_map(|part| Some((part.chunk.clone(), part.unwritten?)));
        let unchanged = parts.clone().map(|(chunk, _)| {
            let ids = self.changes.range(chunk.first()..=chunk.last());
            chunk.len() - ids.filter(|(id, _)| chunk.find(**id).is_some()).count()
        });
        Unwritten {
            rows: changed.count() + unchanged.sum::<usize>(),
            layout: self.layout.clone(),
            changes: self.changes.clone(),
            after: 0,
            chunks: parts.collect::<Vec<_>>().into_iter(),
        }
    }

    /// These rows as the table has them once all of them are folded, in the version `source`.
    pub(crate) fn folded(&self, source: Option<Arc<Source>>) -> Result<Self, ArrowError> {
        let base = match (self.unfolded(), source) {
            (0, None) => self.base.clone(),
            (0, Some(source)) => Arc::new(self.base.on(source)),
            (_, source) => Arc::new(self.base.folded(&self.layout, &self.changes, source)?),
        };
        Ok(Self {
            changed: self.changed,
            failures: self.failures.clone(),
            ..Self::new(self.layout.clone(), base, self.next_id)
        })
    }

    /// The same rows on the base of `prepared`, which holds everything up to `folded`; not for those
    /// that were emptied since.
    pub(crate) fn rebased(&self, prepared: &Self, folded: u64) -> Self {
        let base = match self.base.unwritten_rows() {
            0 => prepared.base.clone(),
            _ => Arc::new(prepared.base.with_newer(&self.base, folded)),
        };
        let mut rebased = Self {
            changed: self.changed,
            failures: self.failures.clone(),
            ..Self::new(prepared.layout.clone(), base, self.next_id)
        };
        for (id, entry) in self.changes.iter().filter(|(_, entry)| entry.lsn > folded) {
            rebased.put(*id, entry.clone());
        }
        rebased
    }

    /// Whether everything that was there at `lsn` has been deleted at once since.
    pub(crate) fn is_emptied_after(&self, lsn: u64) -> bool {
        self.emptied.is_some_and(|emptied| emptied > lsn)
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

/// Rows that a table does not have yet, a batch at a time.
#[derive(Debug)]
pub(crate) struct Unwritten {
    /// How many there are.
    pub(crate) rows: usize,
    layout: Arc<Layout>,
    changes: Entries,
    /// The last change that was given.
    after: u64,
    chunks: std::vec::IntoIter<(Arc<Chunk>, Written)>,
}

impl Unwritten {
    fn changed(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        // No row has the id 0.
        let rest = self.changes.range(self.after + 1..);
        let live = rest.filter_map(|(id, entry)| Some((*id, entry.row.as_deref()?)));
        let some: Vec<(u64, &Row)> = live.take(CHUNK_ROWS).collect();
        let (last, _) = some.last()?;
        let last = *last;
        let batch = self.layout.batch(some.into_iter());
        self.after = last;
        Some(batch)
    }
}

impl Iterator for Unwritten {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(changed) = self.changed() {
            return Some(changed);
        }
        let (chunk, written) = self.chunks.next()?;
        let replaced = |id: u64| self.changes.contains_key(&id);
        Some(chunk.stored(&self.layout, written, replaced))
    }
}
