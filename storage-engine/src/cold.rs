//! Columns that are on disk alone, and are read from their table when somebody needs them.
//!
//! What a checkpoint's table has, need not be in memory: a [`Base`] of it knows its [`Source`], and a
//! property's column is read whole on first use, into the chunks that lack it, for everybody who has
//! them, as far as the [account](crate::account) of all graphs has room. Ids, ends, keys and identities
//! are always there.
//!
//! A work says what it needs before it begins ([`crate::needed`]), so that what cannot be had is an error
//! at once. Whatever else is looked at is read on the way; when that fails, the reader sees null, and the
//! failure is noted with the copy of the graph that he works on, so that nobody answers or commits what
//! came of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arrow_array::{Array, RecordBatch};
use arrow_schema::ArrowError;

use crate::account::{Account, Reservation};
use crate::base::Base;
use crate::chunk::{Chunk, ids_of};
use crate::clock;
use crate::columns::{ID, Layout};
use crate::lease::Lease;
use crate::store::Store;
use crate::tables::{self, Scanned, TableError, TableVersion};

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
    /// There is no room for it now: others hold what graphs may take.
    #[error(
        "there is no room in memory now for `{property}` of `{type_name}`: {needed} bytes are needed at \
         once, and others hold what all graphs together may take"
    )]
    Full {
        /// The node or edge type.
        type_name: String,
        /// The property.
        property: String,
        /// Bytes that are needed, about.
        needed: u64,
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
    account: Option<Arc<Account>>,
    sources: Mutex<Vec<Weak<Source>>>,
    /// What keeps the tables from being collected, when another process writes the graph.
    lease: Mutex<Option<Lease>>,
    /// A table could not be read.
    broken: AtomicBool,
}

impl Shelf {
    pub(crate) fn new(store: &Store, account: Option<Arc<Account>>) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            account,
            sources: Mutex::default(),
            lease: Mutex::default(),
            broken: AtomicBool::new(false),
        })
    }

    /// Of a graph that another process writes, which collects nothing of what the lease is on.
    pub(crate) fn leased(
        store: &Store,
        account: Option<Arc<Account>>,
        lease: Option<Lease>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            account,
            sources: Mutex::default(),
            lease: Mutex::new(lease),
            broken: AtomicBool::new(false),
        })
    }

    /// From now on another process may write the graph: as long as somebody reads its tables, they are
    /// kept by a lease on their checkpoint, the last one.
    pub(crate) fn keep(&self, checkpoint: u64) {
        let mut lease = unpoisoned(&self.lease);
        if lease.is_some() || self.is_empty() {
            return;
        }
        match Lease::take(&self.store, checkpoint) {
            Ok(taken) => *lease = taken,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(store = %self.store, error, "who still reads the graph may lose its tables");
            }
        }
    }

    /// Gives the lease back, for nothing needs it. Blocks.
    pub(crate) fn release(&self) {
        drop(unpoisoned(&self.lease).take());
    }

    /// Whether a table could not be read, so that it may have been collected.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Whether nothing of it is on disk alone, nor can be.
    pub(crate) fn is_empty(&self) -> bool {
        self.versions().is_empty()
    }

    /// The table of a type, as a checkpoint names it. What is known of its columns goes on from the
    /// version `before`.
    pub(crate) fn source(
        self: &Arc<Self>,
        layout: &Arc<Layout>,
        version: &TableVersion,
        before: Option<&Source>,
    ) -> Arc<Source> {
        let columns = (0..layout.width()).map(|position| {
            let before = before.and_then(|before| before.columns.get(position));
            before.map_or_else(Known::default, Known::later)
        });
        let source = Arc::new(Source {
            shelf: self.clone(),
            version: version.clone(),
            layout: layout.clone(),
            columns: columns.collect(),
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
}

impl Drop for Shelf {
    fn drop(&mut self) {
        // Giving it back in an object store blocks, and this may be any thread.
        if let Some(lease) = unpoisoned(&self.lease).take() {
            lease.give_back();
        }
    }
}

/// A column that could not be read on the way is not tried again for so long.
const RETRY_MICROS: u64 = 1_000_000;

/// Microseconds since 1970.
fn now() -> u64 {
    u64::try_from(clock::now_micros()).unwrap_or(0)
}

/// Nothing under these locks can be half done.
pub(crate) fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A version of a table, from which columns are read.
#[derive(Debug)]
pub(crate) struct Source {
    shelf: Arc<Shelf>,
    version: TableVersion,
    layout: Arc<Layout>,
    /// In the order of the layout.
    columns: Box<[Known]>,
    /// One reads at a time, the others find it done.
    reading: Mutex<()>,
}

/// What is known of a column.
#[derive(Debug, Default)]
struct Known {
    /// When it was needed last: microseconds since 1970.
    used: AtomicU64,
    /// Bytes that it took in memory, about; 0 before it was read.
    bytes: AtomicU64,
    /// When reading it on the way has failed, and why: it is not tried for every row.
    failed: Mutex<Option<(u64, Arc<ColumnError>)>>,
}

impl Known {
    /// Of a later version of the table.
    fn later(&self) -> Self {
        Self {
            used: AtomicU64::new(self.used.load(Ordering::Relaxed)),
            ..Self::default()
        }
    }
}

/// What one piece of work needs at once.
#[derive(Debug)]
pub(crate) struct Need {
    account: Option<Arc<Account>>,
    bytes: u64,
}

impl Need {
    /// So many bytes are needed and in memory.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Room for a column of about so many bytes, or less if that is to be found out.
    fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let mut reservation = Reservation::of(self.account.as_ref());
        reservation.at_least(bytes).then_some(reservation)
    }

    /// Says that there is no room for a column of about so many bytes.
    fn refused(&self, source: &Source, position: usize, bytes: u64) -> ColumnError {
        let (type_name, property) = source.names(position);
        let needed = self.bytes.saturating_add(bytes);
        match &self.account {
            Some(account) if needed > account.room() => ColumnError::TooLarge {
                type_name,
                property,
                needed,
                limit: account.limit(),
            },
            account => {
                if let Some(account) = account {
                    account.ask(bytes);
                }
                ColumnError::Full {
                    type_name,
                    property,
                    needed,
                }
            }
        }
    }
}

impl Source {
    pub(crate) fn version(&self) -> &TableVersion {
        &self.version
    }

    /// The account that its columns are in.
    pub(crate) fn account(&self) -> Option<&Arc<Account>> {
        self.shelf.account.as_ref()
    }

    /// Nothing yet, in its account.
    pub(crate) fn need(&self) -> Need {
        Need {
            account: self.shelf.account.clone(),
            bytes: 0,
        }
    }

    /// When a property was needed last.
    pub(crate) fn used(&self, position: usize) -> u64 {
        let known = self.columns.get(position);
        known.map_or(0, |known| known.used.load(Ordering::Relaxed))
    }

    fn touch(&self, position: usize, now: u64) {
        if let Some(known) = self.columns.get(position) {
            known.used.store(now, Ordering::Relaxed);
        }
    }

    /// The names of a property and its type, for messages.
    fn names(&self, position: usize) -> (String, String) {
        let property = self.layout.name_at(position).unwrap_or_default();
        (self.layout.name.clone(), property.to_owned())
    }

    /// Reads one column into the chunks that lack it, which are those of this version. Blocks, but does
    /// not wait for room.
    fn read(&self, chunks: &[&Chunk], position: usize, need: &Need) -> Result<(), ColumnError> {
        let (Some(column), Some(known)) =
            (self.layout.column_at(position), self.columns.get(position))
        else {
            return Ok(());
        };
        let expected = known.bytes.load(Ordering::Relaxed);
        let Some(reservation) = need.reserve(expected) else {
            return Err(need.refused(self, position, expected));
        };
        let names = vec![ID.to_owned(), column];
        let (type_name, property) = self.names(position);
        let read = tables::read_apart(&self.shelf.store, &self.version, names, reservation);
        let (scanned, mut reservation) = read.map_err(|source| {
            self.shelf.broken.store(true, Ordering::Relaxed);
            ColumnError::Table {
                type_name: type_name.clone(),
                property: property.clone(),
                source,
            }
        })?;
        let batches = match scanned {
            Scanned::Whole(batches) => batches,
            Scanned::Part { rows, bytes } => {
                let whole = u128::from(bytes) * u128::from(self.version.rows.max(rows));
                let whole = whole / u128::from(rows.max(1));
                let whole = u64::try_from(whole).unwrap_or(u64::MAX);
                known.bytes.store(whole, Ordering::Relaxed);
                return Err(need.refused(self, position, whole));
            }
        };
        let unfit = |source| ColumnError::Unfit {
            type_name,
            property,
            source,
        };
        fill(chunks, position, &batches, &mut reservation).map_err(unfit)?;
        let bytes = chunks.iter().map(|it| it.column_bytes(position) as u64);
        known.bytes.store(bytes.sum(), Ordering::Relaxed);
        *unpoisoned(&known.failed) = None;
        Ok(())
    }
}

/// Puts a column into the chunks that lack it. Each batch has ids and values; chunks ascend.
fn fill(
    chunks: &[&Chunk],
    position: usize,
    batches: &[RecordBatch],
    reservation: &mut Reservation,
) -> Result<(), ArrowError> {
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
        let column = arrow_select::interleave::interleave(&values, &places)?;
        chunk.warm(position, column, reservation);
    }
    Ok(())
}

impl Base {
    /// Reads what is not in memory of these properties, or takes it over from who has it. Blocks, but
    /// does not wait for room.
    pub(crate) fn warm(
        &self,
        positions: impl Iterator<Item = usize>,
        need: &mut Need,
    ) -> Result<(), Arc<ColumnError>> {
        let Some(source) = self.source() else {
            return Ok(());
        };
        let now = now();
        let mut found = false;
        for position in positions {
            source.touch(position, now);
            if !self.is_warm(position) {
                let _reading = unpoisoned(&source.reading);
                self.take_over(position);
                if !self.is_warm(position) {
                    let chunks: Vec<&Chunk> = self.written().collect();
                    source.read(&chunks, position, need)?;
                }
                found = true;
                need.add(self.column_bytes(position));
            }
        }
        if found {
            self.look_for_cold();
        }
        Ok(())
    }

    /// Notes that these properties are needed, which are in memory.
    pub(crate) fn touch(&self, positions: impl Iterator<Item = usize>) {
        if let Some(source) = self.source() {
            let now = now();
            positions.for_each(|position| source.touch(position, now));
        }
    }

    /// Reads a column that nobody has said to need. What fails is noted.
    #[cold]
    pub(crate) fn fetch(&self, position: usize, failures: &Failures) {
        let Some(source) = self.source() else { return };
        let Some(known) = source.columns.get(position) else {
            return;
        };
        let now = now();
        if let Some((at, error)) = &*unpoisoned(&known.failed)
            && *at + RETRY_MICROS > now
        {
            failures.add(error.clone());
            return;
        }
        if let Err(error) = self.warm([position].into_iter(), &mut source.need()) {
            let shown = error.as_ref() as &dyn std::error::Error;
            tracing::error!(store = %source.shelf.store, error = shown, "a column cannot be read");
            *unpoisoned(&known.failed) = Some((now, error.clone()));
            failures.add(error);
        }
    }
}

/// Columns that could not be read, as far as that was noticed on one copy of a graph.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    count: AtomicU64,
    last: Mutex<Option<Arc<ColumnError>>>,
}

/// How many columns had failed to be read when a work began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

impl Failures {
    fn add(&self, error: Arc<ColumnError>) {
        // First, so that whoever finds the number finds the error too.
        *unpoisoned(&self.last) = Some(error);
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Where to begin looking.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.count.load(Ordering::Acquire))
    }

    /// That there was none since: what was seen is what there is.
    pub(crate) fn none_since(&self, mark: Mark) -> Result<(), Arc<ColumnError>> {
        if self.count.load(Ordering::Acquire) == mark.0 {
            return Ok(());
        }
        unpoisoned(&self.last).clone().map_or(Ok(()), Err)
    }
}
