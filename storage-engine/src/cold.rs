//! Columns that are on disk alone, and are read from their table when somebody needs them.
//!
//! What a checkpoint's table has, need not be in memory: a [`Base`] of it knows its [`Source`], and a
//! property's column is read whole on first use, into the chunks that lack it, for everybody who has
//! them. Ids, ends, keys and identities are always there. To be rid of a column, a graph publishes the
//! same snapshot without it ([`Snapshot::cooled`]): who reads it at that moment keeps what he has.
//!
//! A statement says what it needs before it begins, so that what cannot be had is an error at once.
//! Whatever else is looked at is read on the way; when that fails, the reader sees null, and the failure
//! is counted, so that nobody answers or commits what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arrow_array::{Array, RecordBatch};
use arrow_schema::ArrowError;
use language::plan::{Clause, Plan, Touch};
use language::schema::TypeId;

use crate::base::Base;
use crate::chunk::{Chunk, ids_of};
use crate::clock;
use crate::columns::{self, ID, Layout};
use crate::rows::Rows;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::tables::{self, TableError, TableVersion};

/// What graphs may hold in memory together, and what is done when they have come to hold more.
pub struct MemoryBudget {
    bytes: AtomicU64,
    relieve: Box<dyn Fn() + Send + Sync>,
}

impl MemoryBudget {
    /// So many bytes. `relieve` is called, on any thread, after columns were read: it may
    /// [evict](crate::Graph::evict) some, of any graph.
    pub fn new(bytes: u64, relieve: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            bytes: AtomicU64::new(bytes),
            relieve: Box::new(relieve),
        }
    }

    /// How many bytes it is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// So many bytes from now on.
    pub fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Why a column that is on disk was not read.
#[derive(Debug, thiserror::Error)]
pub enum ColumnError {
    /// What is needed at once is more than graphs may hold.
    #[error(
        "`{property}` of `{type_name}` does not fit into memory: more than {needed} bytes are needed at \
         once, and all graphs together may take {limit}"
    )]
    TooLarge {
        /// The node or edge type.
        type_name: String,
        /// The property at which the limit was passed.
        property: String,
        /// Bytes that are needed, as far as they were counted.
        needed: u64,
        /// Bytes that graphs may take together.
        limit: u64,
    },
    /// The table cannot be read.
    #[error("`{property}` of `{type_name}` cannot be read from its table")]
    Table {
        /// The node or edge type.
        type_name: String,
        /// The property.
        property: String,
        /// Why.
        #[source]
        source: TableError,
    },
    /// What the table has is no column of these rows.
    #[error("`{property}` of `{type_name}` is not in its table as it should be")]
    Unfit {
        /// The node or edge type.
        type_name: String,
        /// The property.
        property: String,
        /// Why.
        #[source]
        source: ArrowError,
    },
}

/// Where the columns of one graph are that are not in memory.
#[derive(Debug)]
pub(crate) struct Shelf {
    store: Store,
    memory: Option<Arc<MemoryBudget>>,
    sources: Mutex<Vec<Weak<Source>>>,
    /// How often a column was looked at that could not be read, and why the last time.
    failures: AtomicU64,
    last: Mutex<Option<Arc<ColumnError>>>,
}

impl Shelf {
    pub(crate) fn new(store: &Store, memory: Option<Arc<MemoryBudget>>) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            memory,
            sources: Mutex::default(),
            failures: AtomicU64::new(0),
            last: Mutex::default(),
        })
    }

    /// The table of a type, as a checkpoint names it. What is known of the use of its columns goes on
    /// from the version `before`.
    pub(crate) fn source(
        self: &Arc<Self>,
        layout: &Arc<Layout>,
        version: &TableVersion,
        before: Option<&Source>,
    ) -> Arc<Source> {
        let used = (0..layout.properties.len()).map(|position| {
            let before = before.and_then(|before| before.used.get(position));
            AtomicU64::new(before.map_or(0, |used| used.load(Ordering::Relaxed)))
        });
        let source = Arc::new(Source {
            shelf: self.clone(),
            version: version.clone(),
            layout: layout.clone(),
            used: used.collect(),
            missing: layout
                .properties
                .iter()
                .map(|_| AtomicU64::new(0))
                .collect(),
            reading: Mutex::new(()),
        });
        let mut sources = unpoisoned(&self.sources);
        sources.retain(|source| source.strong_count() > 0);
        sources.push(Arc::downgrade(&source));
        source
    }

    /// The versions of tables that somebody may read yet.
    pub(crate) fn versions(&self) -> Vec<TableVersion> {
        let sources = unpoisoned(&self.sources);
        let live = sources.iter().filter_map(Weak::upgrade);
        live.map(|source| source.version.clone()).collect()
    }

    fn failed(&self, error: Arc<ColumnError>) {
        *unpoisoned(&self.last) = Some(error);
        self.failures.fetch_add(1, Ordering::Release);
    }
}

/// A column that could not be read on the way is not tried again for so long.
const RETRY_MICROS: u64 = 1_000_000;

/// Microseconds since 1970.
fn now() -> u64 {
    u64::try_from(clock::now_micros()).unwrap_or(0)
}

/// Nothing under these locks can be half done.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A version of a table, from which columns are read.
#[derive(Debug)]
pub(crate) struct Source {
    shelf: Arc<Shelf>,
    version: TableVersion,
    layout: Arc<Layout>,
    /// When each property was needed last: microseconds since 1970.
    used: Box<[AtomicU64]>,
    /// Of each property, when reading it on the way has failed (microseconds since 1970): it is not tried
    /// for every row.
    missing: Box<[AtomicU64]>,
    /// One reads at a time, the others find it done.
    reading: Mutex<()>,
}

/// What is needed at once may take so much.
#[derive(Debug)]
pub(crate) struct Room {
    limit: u64,
    held: u64,
}

impl Room {
    fn take(&mut self, source: &Source, position: usize, bytes: u64) -> Result<(), ColumnError> {
        self.held = self.held.saturating_add(bytes);
        if self.held <= self.limit {
            return Ok(());
        }
        let (type_name, property) = source.names(position);
        Err(ColumnError::TooLarge {
            type_name,
            property,
            needed: self.held,
            limit: self.limit,
        })
    }

    fn left(&self) -> u64 {
        self.limit.saturating_sub(self.held)
    }
}

impl Source {
    pub(crate) fn version(&self) -> &TableVersion {
        &self.version
    }

    /// As much as the graphs may hold.
    pub(crate) fn room(&self) -> Room {
        let memory = self.shelf.memory.as_ref();
        Room {
            limit: memory.map_or(u64::MAX, |memory| memory.bytes()),
            held: 0,
        }
    }

    /// When a property was needed last.
    pub(crate) fn used(&self, position: usize) -> u64 {
        self.used
            .get(position)
            .map_or(0, |used| used.load(Ordering::Relaxed))
    }

    fn touch(&self, position: usize, now: u64) {
        if let Some(used) = self.used.get(position) {
            used.store(now, Ordering::Relaxed);
        }
    }

    /// The names of a property and its type, for messages.
    fn names(&self, position: usize) -> (String, String) {
        let property = self.layout.properties.get(position);
        let property = property.map(|property| property.name.clone());
        (self.layout.name.clone(), property.unwrap_or_default())
    }

    /// Reads one column into the chunks that lack it, which are those of this version. Blocks.
    fn read(&self, chunks: &[&Chunk], position: usize, room: &mut Room) -> Result<(), ColumnError> {
        let Some(property) = self.layout.properties.get(position) else {
            return Ok(());
        };
        let names = vec![ID.to_owned(), columns::property_column(property.id)];
        let (type_name, property) = self.names(position);
        let batches = tables::read_apart(&self.shelf.store, &self.version, names, room.left());
        let batches = batches.map_err(|source| ColumnError::Table {
            type_name: type_name.clone(),
            property: property.clone(),
            source,
        })?;
        let Some(batches) = batches else {
            let over = room.left().saturating_add(1);
            return room.take(self, position, over);
        };
        let unfit = |source| ColumnError::Unfit {
            type_name,
            property,
            source,
        };
        fill(chunks, position, &batches).map_err(unfit)?;
        let bytes = chunks
            .iter()
            .map(|chunk| chunk.column_bytes(position) as u64);
        room.take(self, position, bytes.sum())
    }
}

/// Puts a column into the chunks that lack it. Each batch has ids and values; chunks ascend.
fn fill(chunks: &[&Chunk], position: usize, batches: &[RecordBatch]) -> Result<(), ArrowError> {
    const NOWHERE: (u32, u32) = (u32::MAX, 0);
    let lacks = |chunk: &Chunk| chunk.is_cold(position);
    let mut places: Vec<Vec<(u32, u32)>> = chunks
        .iter()
        .map(|chunk| vec![NOWHERE; if lacks(chunk) { chunk.len() } else { 0 }])
        .collect();
    let mut values: Vec<&dyn Array> = Vec::with_capacity(batches.len());
    for (at, batch) in (0_u32..).zip(batches) {
        let [ids, column] = batch.columns() else {
            return Err(ArrowError::SchemaError(
                "not one column with ids".to_owned(),
            ));
        };
        values.push(column);
        for (row, id) in (0_u32..).zip(ids_of(ids)?.values()) {
            let after = chunks.partition_point(|chunk| chunk.first() <= *id);
            let Some(nth) = after.checked_sub(1) else {
                continue;
            };
            let found = chunks.get(nth).and_then(|chunk| chunk.find(*id));
            let place = found.and_then(|found| places.get_mut(nth)?.get_mut(found));
            if let Some(place) = place {
                *place = (at, row);
            }
        }
    }
    for (chunk, places) in chunks.iter().zip(places).filter(|(chunk, _)| lacks(chunk)) {
        if places.contains(&NOWHERE) {
            let missing = "a row is not in the table".to_owned();
            return Err(ArrowError::InvalidArgumentError(missing));
        }
        let places: Vec<(usize, usize)> = places
            .iter()
            .map(|(batch, row)| (*batch as usize, *row as usize))
            .collect();
        chunk.warm(
            position,
            arrow_select::interleave::interleave(&values, &places)?,
        );
    }
    Ok(())
}

impl Base {
    /// Reads what is not in memory of these properties. Blocks.
    pub(crate) fn warm(
        &self,
        positions: impl Iterator<Item = usize>,
        room: &mut Room,
    ) -> Result<(), Arc<ColumnError>> {
        let Some(source) = self.source() else {
            return Ok(());
        };
        let now = now();
        if !self.has_cold() {
            positions.for_each(|position| source.touch(position, now));
            return Ok(());
        }
        let mut read = false;
        for position in positions {
            source.touch(position, now);
            let _reading = unpoisoned(&source.reading);
            if self.is_warm(position) {
                room.take(source, position, self.column_bytes(position))?;
                continue;
            }
            let chunks: Vec<&Chunk> = self.written().collect();
            source.read(&chunks, position, room)?;
            if let Some(missing) = source.missing.get(position) {
                missing.store(0, Ordering::Relaxed);
            }
            read = true;
        }
        if read {
            self.look_for_cold();
            if let Some(memory) = &source.shelf.memory {
                (memory.relieve)();
            }
        }
        Ok(())
    }

    /// Reads a column if it is on disk alone, for who is about to look at it chunk by chunk.
    pub(crate) fn bring(&self, position: usize) {
        if !self.is_warm(position) {
            self.fetch(position);
        }
    }

    /// Reads a column that nobody has said to need. What fails is counted.
    #[cold]
    pub(crate) fn fetch(&self, position: usize) {
        let Some(source) = self.source() else { return };
        let now = now();
        let failed = source.missing.get(position);
        let lately = failed.map_or(0, |failed| failed.load(Ordering::Acquire)) + RETRY_MICROS;
        if lately > now {
            // Counted again: another work may look now.
            source.shelf.failures.fetch_add(1, Ordering::Release);
            return;
        }
        if let Err(error) = self.warm([position].into_iter(), &mut source.room()) {
            let shown = error.as_ref() as &dyn std::error::Error;
            tracing::error!(store = %source.shelf.store, error = shown, "a column cannot be read");
            // First, so that whoever finds the time finds the error too.
            source.shelf.failed(error);
            if let Some(failed) = failed {
                failed.store(now, Ordering::Release);
            }
        }
    }
}

/// How many columns had failed to be read when a work began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

impl Snapshot {
    /// Where to begin looking for failures.
    pub(crate) fn mark(&self) -> Mark {
        let shelf = self.shelf.as_ref();
        Mark(shelf.map_or(0, |shelf| shelf.failures.load(Ordering::Acquire)))
    }

    /// That no column has failed to be read since: what was seen is what there is. Also another's
    /// failure is one.
    pub(crate) fn whole_since(&self, mark: Mark) -> Result<(), Arc<ColumnError>> {
        let Some(shelf) = &self.shelf else {
            return Ok(());
        };
        if shelf.failures.load(Ordering::Acquire) == mark.0 {
            return Ok(());
        }
        unpoisoned(&shelf.last).clone().map_or(Ok(()), Err)
    }

    /// Whether everything that a statement needs is in memory, so that it does not block on a disk.
    #[must_use]
    pub fn is_warm(&self, plan: &Plan) -> bool {
        let rewrites = rewrites(plan);
        plan.touches.types.iter().all(|(type_id, touch)| {
            self.rows(*type_id).is_none_or(|rows| {
                !rows.base.has_cold()
                    || needed(rows, touch, self.is_whole(touch, rewrites))
                        .all(|position| rows.base.is_warm(position))
            })
        })
    }

    /// Reads what a statement needs and is not in memory. Blocks.
    pub(crate) fn warm(&self, plan: &Plan) -> Result<(), Arc<ColumnError>> {
        let rewrites = rewrites(plan);
        let mut room: Option<Room> = None;
        for (type_id, touch) in &plan.touches.types {
            let Some(rows) = self.rows(*type_id) else {
                continue;
            };
            if let Some(source) = rows.base.source() {
                let room = room.get_or_insert_with(|| source.room());
                let whole = self.is_whole(touch, rewrites);
                rows.base.warm(needed(rows, touch, whole), room)?;
            }
        }
        Ok(())
    }

    /// Whether all properties of a type are needed: rows are changed as a whole, and an open graph's
    /// properties are in one.
    fn is_whole(&self, touch: &Touch, rewrites: bool) -> bool {
        self.open().is_some() || touch.write && rewrites
    }

    /// The same snapshot without what was needed the longest time ago, so many bytes at least as far as
    /// there are; and how many bytes those were. `None` when there is nothing to be rid of.
    pub(crate) fn cooled(&self, bytes: u64) -> Option<(Self, u64)> {
        let mut known: Vec<(u64, u64, TypeId, usize)> = Vec::new();
        for rows in self.tables() {
            let Some(source) = rows.base.source() else {
                continue;
            };
            for position in 0..rows.layout.properties.len() {
                let bytes = rows.base.column_bytes(position);
                if bytes > 0 && !rows.layout.is_fixed(position) {
                    known.push((source.used(position), bytes, rows.layout.type_id, position));
                }
            }
        }
        known.sort_unstable();
        let mut freed = 0;
        let mut victims = BTreeMap::<TypeId, Vec<usize>>::new();
        for (_, of_column, type_id, position) in known {
            if freed >= bytes {
                break;
            }
            freed += of_column;
            victims.entry(type_id).or_default().push(position);
        }
        if victims.is_empty() {
            return None;
        }
        let mut cooled = self.clone();
        for rows in cooled.tables_mut() {
            if let Some(positions) = victims.get(&rows.layout.type_id) {
                rows.base = Arc::new(rows.base.cooled(positions));
            }
        }
        Some((cooled, freed))
    }

    /// The same snapshot with all of one type in memory. What is read for that goes with it. Blocks.
    pub(crate) fn with_whole(&self, type_id: TypeId) -> Result<Self, Arc<ColumnError>> {
        let mut whole = self.clone();
        for rows in whole.tables_mut() {
            if rows.layout.type_id == type_id && rows.base.has_cold() {
                rows.base = Arc::new(rows.base.cooled(&[]));
                rows.warm()?;
            }
        }
        Ok(whole)
    }
}

impl Rows {
    /// Reads all that is not in memory, if it fits. Blocks.
    fn warm(&self) -> Result<(), Arc<ColumnError>> {
        match self.base.source() {
            Some(source) => self.base.warm(self.positions(), &mut source.room()),
            None => Ok(()),
        }
    }

    /// The same for a commit that the log has: it must be carried out, whatever it takes. Who made it had
    /// the room.
    pub(crate) fn warm_anyway(&self) -> Result<(), Arc<ColumnError>> {
        let mut room = Room {
            limit: u64::MAX,
            held: 0,
        };
        self.base.warm(self.positions(), &mut room)
    }

    fn positions(&self) -> std::ops::Range<usize> {
        0..self.layout.properties.len()
    }
}

/// Whether the statement changes or deletes rows that are there.
fn rewrites(plan: &Plan) -> bool {
    let changes = |clause: &Clause| {
        matches!(
            clause,
            Clause::Set(_) | Clause::Merge(_) | Clause::Delete(_)
        )
    };
    plan.branches()
        .any(|(clauses, _)| clauses.iter().any(changes))
}

/// The positions of the properties of a type that a statement needs.
fn needed<'a>(rows: &'a Rows, touch: &'a Touch, whole: bool) -> impl Iterator<Item = usize> + 'a {
    let all = 0..if whole {
        rows.layout.properties.len()
    } else {
        0
    };
    let read = touch.properties_read.iter().filter(move |_| !whole);
    all.chain(read.filter_map(|id| rows.layout.position(*id)))
}
