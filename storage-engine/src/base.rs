//! The rows of one type as chunks, in ascending order of id.
//!
//! A base is never changed; another one shares the chunks that are equal. Rows that a commit brought
//! as columns stand in chunks of their own until a fold has put them into the table. Of what the table
//! has, properties may be on disk alone.

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use language::value::Value;
use rpds::RedBlackTreeMapSync;

use crate::chunk::{CHUNK_ROWS, Chunk, Column, Written, ids_of};
use crate::cold::{Failures, Source, unpoisoned};
use crate::columns::{self, ID, Layout};
use crate::rows::{Entry, Row};

/// Rows as columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Base {
    parts: Vec<Part>,
    rows: usize,
    unwritten_rows: usize,
    /// The table that has all rows but the unwritten ones, where it is known.
    source: Option<Arc<Source>>,
    /// Something may be on disk alone.
    cold: Arc<AtomicBool>,
    kin: Arc<Mutex<Kin>>,
}

/// Bases of the same rows, which differ in what of them is in memory.
#[derive(Debug, Default)]
struct Kin {
    all: Vec<Weak<Base>>,
    /// The one that everybody gets now, when that is not the first.
    newest: Weak<Base>,
}

/// A chunk of a base.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) chunk: Arc<Chunk>,
    /// Who wrote it, while the table does not have it.
    pub(crate) unwritten: Option<Written>,
}

/// Changes since a base, by id.
pub(crate) type Entries = RedBlackTreeMapSync<u64, Entry>;

impl Base {
    /// Rows that the table has, in any order; ids must not repeat. Without a source, with all their
    /// properties.
    pub(crate) fn of_batches(
        layout: &Layout,
        batches: &[RecordBatch],
        source: Option<Arc<Source>>,
    ) -> Result<Self, ArrowError> {
        let mut chunks = Vec::new();
        for batch in ordered(layout, batches)? {
            chunks.push(Arc::new(Chunk::of_batch(layout, &batch)?));
        }
        Self::of_chunks(layout, chunks, source)
    }

    /// Chunks that the table has, in order; small neighbours become one.
    fn of_chunks(
        layout: &Layout,
        chunks: Vec<Arc<Chunk>>,
        source: Option<Arc<Source>>,
    ) -> Result<Self, ArrowError> {
        let written = |chunk| Part {
            chunk,
            unwritten: None,
        };
        Ok(Self::of_parts(
            merged(layout, chunks)?.into_iter().map(written).collect(),
            source,
        ))
    }

    fn of_parts(parts: Vec<Part>, source: Option<Arc<Source>>) -> Self {
        let rows =
            |parts: &mut dyn Iterator<Item = &Part>| parts.map(|part| part.chunk.len()).sum();
        let base = Self {
            rows: rows(&mut parts.iter()),
            unwritten_rows: rows(&mut parts.iter().filter(|part| part.unwritten.is_some())),
            parts,
            source,
            cold: Arc::default(),
            kin: Arc::default(),
        };
        base.look_for_cold();
        base
    }

    /// The same rows, in another version of their table.
    pub(crate) fn on(&self, source: Arc<Source>) -> Self {
        Self {
            source: Some(source),
            ..self.clone()
        }
    }

    /// This base with rows whose ids follow on its own.
    pub(crate) fn with_chunks(
        &self,
        chunks: impl Iterator<Item = Arc<Chunk>>,
        written: Written,
    ) -> Self {
        let new = chunks.map(|chunk| Part {
            chunk,
            unwritten: Some(written),
        });
        let parts = self.parts.iter().cloned().chain(new);
        Self::of_parts(parts.collect(), self.source.clone())
    }

    /// This base, and what `newer` has that was written after `folded`.
    pub(crate) fn with_newer(&self, newer: &Self, folded: u64) -> Self {
        let after = |part: &&Part| part.unwritten.is_some_and(|written| written.lsn > folded);
        let new = newer.parts.iter().filter(after).cloned();
        let parts = self.parts.iter().cloned().chain(new);
        Self::of_parts(parts.collect(), self.source.clone())
    }

    /// This base with `changes` applied, as the table has it then, in the version `source`. Chunks in
    /// which nothing changed stay what they are; of the others, what was on disk alone stays there.
    pub(crate) fn folded(
        &self,
        layout: &Layout,
        changes: &Entries,
        source: Option<Arc<Source>>,
    ) -> Result<Self, ArrowError> {
        let mut chunks = Vec::with_capacity(self.parts.len() + 1);
        let first = self
            .parts
            .first()
            .map_or(u64::MAX, |part| part.chunk.first());
        insert(
            layout,
            changes,
            (Bound::Unbounded, Bound::Excluded(first)),
            &mut chunks,
        )?;
        for (place, part) in self.parts.iter().enumerate() {
            let (first, last) = (part.chunk.first(), part.chunk.last());
            let next = self.parts.get(place + 1).map(|part| part.chunk.first());
            let inside = changes.range(first..=last).count();
            if inside == 0 {
                chunks.push(part.chunk.clone());
            } else {
                replace(layout, &part.chunk, changes, &mut chunks)?;
            }
            let end = next.map_or(Bound::Unbounded, Bound::Excluded);
            insert(layout, changes, (Bound::Excluded(last), end), &mut chunks)?;
        }
        Self::of_chunks(layout, chunks, source)
    }

    /// The same rows, with the maps of those that the table does not have taken apart.
    pub(crate) fn divided(&self, layout: &Layout) -> Result<Self, ArrowError> {
        let part = |part: &Part| match part.unwritten {
            Some(_) => Ok(Part {
                chunk: Arc::new(part.chunk.divided(layout)?),
                unwritten: part.unwritten,
            }),
            None => Ok(part.clone()),
        };
        let parts = self.parts.iter().map(part);
        Ok(Self::of_parts(
            parts.collect::<Result<_, ArrowError>>()?,
            self.source.clone(),
        ))
    }

    /// The table that has the rows, where it is known.
    pub(crate) fn source(&self) -> Option<&Arc<Source>> {
        self.source.as_ref()
    }

    /// The chunks that the table has.
    pub(crate) fn written(&self) -> impl Iterator<Item = &Chunk> {
        let written = self.parts.iter().filter(|part| part.unwritten.is_none());
        written.map(|part| &*part.chunk)
    }

    /// Whether something is on disk alone, or was a moment ago.
    pub(crate) fn has_cold(&self) -> bool {
        self.cold.load(Ordering::Acquire)
    }

    /// Finds out whether something is on disk alone.
    pub(crate) fn look_for_cold(&self) {
        let cold = |chunk: &Chunk| (0..chunk.width()).any(|position| chunk.is_cold(position));
        let found = self.source.is_some() && self.written().any(cold);
        self.cold.store(found, Ordering::Release);
    }

    /// Whether a property is in memory.
    pub(crate) fn is_warm(&self, position: usize) -> bool {
        !self.has_cold() || !self.written().any(|chunk| chunk.is_cold(position))
    }

    /// Bytes of memory that a property takes, as far as the table has it.
    pub(crate) fn column_bytes(&self, position: usize) -> u64 {
        let bytes = self
            .written()
            .map(|chunk| chunk.column_bytes(position) as u64);
        bytes.sum()
    }

    /// The same rows with some properties on disk alone, as far as the table has them.
    pub(crate) fn cooled(self: &Arc<Self>, positions: &[usize]) -> Arc<Self> {
        let part = |part: &Part| match part.unwritten {
            Some(_) => part.clone(),
            None => Part {
                chunk: Arc::new(part.chunk.cooled(positions)),
                unwritten: None,
            },
        };
        let parts = self.parts.iter().map(part).collect();
        let cooled = Arc::new(Self {
            kin: self.kin.clone(),
            ..Self::of_parts(parts, self.source.clone())
        });
        let mut kin = unpoisoned(&self.kin);
        let known = |one: &Weak<Self>| one.strong_count() > 0 && !is(one, self);
        kin.all.retain(known);
        kin.all.extend([self, &cooled].map(Arc::downgrade));
        drop(kin);
        cooled
    }

    /// Makes this the one of its kin that everybody gets.
    pub(crate) fn lead(self: &Arc<Self>) {
        unpoisoned(&self.kin).newest = Arc::downgrade(self);
    }

    /// Until this is dropped, none of its kin comes to lead.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> impl Drop + '_ {
        unpoisoned(&self.kin)
    }

    /// The one of its kin that everybody gets, when it is another.
    pub(crate) fn newest(&self) -> Option<Arc<Self>> {
        let newest = unpoisoned(&self.kin).newest.upgrade();
        newest.filter(|newest| !std::ptr::eq(&**newest, self))
    }

    /// Takes over a property from one of its kin that has it in memory.
    pub(crate) fn take_over(&self, position: usize) {
        let kin: Vec<Arc<Self>> = {
            let kin = unpoisoned(&self.kin);
            kin.all.iter().filter_map(Weak::upgrade).collect()
        };
        let has = |other: &&Arc<Self>| other.is_warm(position);
        if let Some(other) = kin.iter().find(has) {
            self.share(position, other);
        }
    }

    /// Takes over a property from another, if that is of its kin and has it in memory.
    pub(crate) fn take_over_from(&self, other: &Self, position: usize) {
        if Arc::ptr_eq(&self.kin, &other.kin) {
            self.share(position, other);
        }
    }

    /// Takes over a property from one of its kin, as far as that has it in memory.
    pub(crate) fn share(&self, position: usize, other: &Self) {
        for (own, other) in self.parts.iter().zip(&other.parts) {
            if own.unwritten.is_none() {
                own.chunk.share(position, &other.chunk);
            }
        }
    }

    /// Bytes of columns that may leave memory, and how many of them are reserved.
    pub(crate) fn loose_bytes(&self, layout: &Layout) -> (u64, u64) {
        let mut bytes = (0, 0);
        if self.source.is_none() {
            return bytes;
        }
        for chunk in self.written() {
            for position in (0..chunk.width()).filter(|it| !layout.is_fixed(*it)) {
                bytes.0 += chunk.column_bytes(position) as u64;
                bytes.1 += chunk.reserved_bytes(position);
            }
        }
        bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// How many rows the table does not have yet.
    pub(crate) fn unwritten_rows(&self) -> usize {
        self.unwritten_rows
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(crate) fn chunks(&self) -> impl DoubleEndedIterator<Item = &Chunk> + Clone {
        self.parts.iter().map(|part| &*part.chunk)
    }

    /// The part that would have a row, and its place in it.
    fn part(&self, id: u64) -> Option<(&Part, usize)> {
        let after = match self.parts.len() {
            1 => 1,
            _ => self.parts.partition_point(|part| part.chunk.first() <= id),
        };
        let part = self.parts.get(after.checked_sub(1)?)?;
        Some((part, part.chunk.find(id)?))
    }

    /// The chunk that has a row, and its place in it.
    pub(crate) fn find(&self, id: u64) -> Option<(&Chunk, usize)> {
        self.part(id).map(|(part, row)| (&*part.chunk, row))
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.part(id).is_some()
    }

    /// Whether the row is there and the table has it.
    pub(crate) fn is_written(&self, id: u64) -> bool {
        self.part(id)
            .is_some_and(|(part, _)| part.unwritten.is_none())
    }

    /// A property of a row; null when the row is not there. Read from the table if need be.
    pub(crate) fn value(
        &self,
        layout: &Layout,
        id: u64,
        position: usize,
        failures: &Failures,
    ) -> Value {
        let Some((chunk, row)) = self.find(id) else {
            return Value::Null;
        };
        let value = self.held(chunk, row, position, failures);
        let typed = layout.parts(position).skip(1);
        let typed = typed.map(|part| self.held(chunk, row, part, failures));
        layout.typed.join(value, typed)
    }

    /// One entry of the map of a row: what `value` gives of it, without making the map.
    pub(crate) fn entry(
        &self,
        layout: &Layout,
        id: u64,
        (position, name): (usize, &str),
        failures: &Failures,
    ) -> Value {
        let Some((part, row)) = self.part(id) else {
            return Value::Null;
        };
        let chunk = &*part.chunk;
        if let Some(place) = layout.place_of(name) {
            let value = self.held(chunk, row, place, failures);
            if !value.is_null() {
                return value;
            }
        }
        if part.unwritten.is_none() && !layout.typed.may_be_left(name) {
            return Value::Null;
        }
        if chunk.is_cold(position) {
            self.fetch(position, failures);
        }
        let maps = chunk.resident(position);
        maps.map_or(Value::Null, |maps| columns::entry_at(maps, row, name))
    }

    /// Whether a property of a row, a text or a list of texts, has one that is asked for.
    pub(crate) fn any_text(
        &self,
        id: u64,
        position: usize,
        is: impl Fn(&str) -> bool,
        failures: &Failures,
    ) -> bool {
        let Some((chunk, row)) = self.find(id) else {
            return false;
        };
        if chunk.is_cold(position) {
            self.fetch(position, failures);
        }
        let texts = chunk.resident(position);
        texts.is_some_and(|texts| columns::any_text(texts, row, is))
    }

    /// The value of a row in one column.
    fn held(&self, chunk: &Chunk, row: usize, position: usize, failures: &Failures) -> Value {
        match chunk.column(position) {
            Column::Here(column) => columns::value_at(column, row),
            Column::Null => Value::Null,
            Column::Cold => {
                self.fetch(position, failures);
                chunk.value(row, position)
            }
        }
    }

    /// Id, source and target of all edges.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (u64, u64, u64)> + Clone + '_ {
        self.chunks().flat_map(edges)
    }

    /// Bytes of memory that the columns take.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks().map(Chunk::bytes).sum()
    }
}

fn is(one: &Weak<Base>, base: &Arc<Base>) -> bool {
    std::ptr::eq(one.as_ptr(), Arc::as_ptr(base))
}

/// Id, source and target of the edges of a chunk.
pub(crate) fn edges(chunk: &Chunk) -> impl Iterator<Item = (u64, u64, u64)> + Clone + '_ {
    let ends = chunk.end_columns().into_iter();
    let ends = ends.flat_map(|(sources, targets)| sources.iter().zip(targets.iter()));
    let with_ids = chunk.ids().iter().zip(ends);
    with_ids.map(|(id, (source, target))| (id, source, target))
}

/// New rows of a range of ids, as chunks.
fn insert(
    layout: &Layout,
    changes: &Entries,
    range: (Bound<u64>, Bound<u64>),
    chunks: &mut Vec<Arc<Chunk>>,
) -> Result<(), ArrowError> {
    let mut rows = live(changes, range).peekable();
    while rows.peek().is_some() {
        let some = layout.batch(rows.by_ref().take(CHUNK_ROWS))?;
        chunks.push(Arc::new(Chunk::of_batch(layout, &some)?));
    }
    Ok(())
}

/// A chunk with the changes in its range of ids.
fn replace(
    layout: &Layout,
    chunk: &Chunk,
    changes: &Entries,
    chunks: &mut Vec<Arc<Chunk>>,
) -> Result<(), ArrowError> {
    let (first, last) = (chunk.first(), chunk.last());
    let keep = chunk
        .ids()
        .iter()
        .map(|id| Some(!changes.contains_key(&id)));
    let kept = arrow_select::filter::filter_record_batch(&chunk.batch(layout)?, &keep.collect())?;
    let changed = live(changes, (Bound::Included(first), Bound::Included(last)));
    let changed = columns::select(kept.schema_ref(), &layout.batch(changed)?)?;
    for batch in ordered(layout, &[kept, changed])? {
        chunks.push(Arc::new(Chunk::of_batch(layout, &batch)?));
    }
    Ok(())
}

/// The rows that changes leave in a range of ids.
fn live(changes: &Entries, range: (Bound<u64>, Bound<u64>)) -> impl Iterator<Item = (u64, &Row)> {
    let entries = changes.range(range);
    entries.filter_map(|(id, entry)| Some((*id, entry.row.as_deref()?)))
}

/// Joins small neighbours, so that there are few chunks: one that is appended grows at each fold
/// until it has as many rows as a quarter of the one before it, as the digits of a number do.
fn merged(layout: &Layout, chunks: Vec<Arc<Chunk>>) -> Result<Vec<Arc<Chunk>>, ArrowError> {
    // Neighbours that are to be joined stand together, and each row is copied once.
    let mut groups: Vec<(usize, Vec<Arc<Chunk>>)> = Vec::new();
    for chunk in chunks {
        let (mut rows, mut group) = (chunk.len(), vec![chunk]);
        while let Some((before, _)) = groups.last()
            && before + rows <= CHUNK_ROWS
            && *before <= rows.saturating_mul(4)
            && let Some((before, mut earlier)) = groups.pop()
        {
            rows += before;
            earlier.append(&mut group);
            group = earlier;
        }
        groups.push((rows, group));
    }
    groups
        .into_iter()
        .map(|(_, mut group)| match (group.len(), group.pop()) {
            (1, Some(only)) => Ok(only),
            (_, last) => {
                group.extend(last);
                Chunk::concat(layout, &group).map(Arc::new)
            }
        })
        .collect()
}

/// Batches of at most [`CHUNK_ROWS`] rows in ascending order of id. What is in order already is not
/// copied.
fn ordered(layout: &Layout, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut columns = Vec::with_capacity(batches.len());
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        let ids = batch.column_by_name(ID).ok_or_else(|| {
            ArrowError::SchemaError(format!("the table of {} has no column {ID}", layout.name))
        })?;
        columns.push((batch, ids_of(ids)?.values()));
    }
    // Strictly: an id that repeats is found below.
    let ascending = columns.iter().flat_map(|(_, ids)| ids.iter());
    if ascending.is_sorted_by(|a, b| a < b) {
        return Ok(columns
            .iter()
            .flat_map(|(batch, _)| pieces(batch))
            .collect());
    }
    let mut order: Vec<(u64, u32, u32)> = Vec::new();
    for (place, (_, ids)) in (0_u32..).zip(&columns) {
        order.extend((0_u32..).zip(ids.iter()).map(|(row, id)| (*id, place, row)));
    }
    order.sort_unstable();
    if let Some([(id, ..), _]) = order.array_windows().find(|[a, b]| a.0 == b.0) {
        return Err(ArrowError::InvalidArgumentError(format!(
            "the table of {} has two rows with the id {id}",
            layout.name
        )));
    }
    let batches: Vec<&RecordBatch> = columns.iter().map(|(batch, _)| *batch).collect();
    order
        .chunks(CHUNK_ROWS)
        .map(|order| {
            let places: Vec<(usize, usize)> = order
                .iter()
                .map(|(_, place, row)| (*place as usize, *row as usize))
                .collect();
            arrow_select::interleave::interleave_record_batch(&batches, &places)
        })
        .collect()
}

/// A batch in pieces of at most [`CHUNK_ROWS`] rows.
fn pieces(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let starts = (0..batch.num_rows()).step_by(CHUNK_ROWS);
    starts.map(|start| batch.slice(start, CHUNK_ROWS.min(batch.num_rows() - start)))
}
