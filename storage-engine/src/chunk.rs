//! Some rows of one type as columns, in ascending order of id; never changed.
//!
//! What is the same in all rows takes no room: ids without holes, a property or an identity that no
//! row has. Ends of edges take four bytes each while nodes lie within 2^32 of each other. A property that
//! the table has may be on disk alone ([`crate::cold`]).

use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array, new_null_array};
use arrow_schema::{ArrowError, DataType};
use language::value::Value;
use uuid::Uuid;

use crate::account::Reservation;
use crate::columns::{self, Layout};
use crate::index::Places;
use crate::packed::Numbers;

/// The most rows of a chunk: what changing one row of it costs.
pub(crate) const CHUNK_ROWS: usize = 1 << 16;

/// Rows as columns. There is at least one.
#[derive(Debug)]
pub(crate) struct Chunk {
    ids: Numbers,
    ends: Option<(Numbers, Numbers)>,
    /// `None` when no row has one.
    identities: Option<ArrayRef>,
    /// In the order of the layout: properties, then typed columns. Of those that the table did not have
    /// when this was made there are none here; no row of this has a value in them.
    properties: Vec<Property>,
}

/// A property's column: nothing while it is on disk alone.
type Property = OnceLock<Held>;

/// A property's column in memory.
#[derive(Clone, Debug, Default)]
struct Held {
    /// `None` when it is null in every row.
    column: Option<ArrayRef>,
    /// What lets it be there, when it was read because somebody needed it.
    reservation: Option<Arc<Reservation>>,
    /// Where its values stand, once somebody has looked one up.
    places: OnceLock<Arc<Places>>,
}

impl From<Option<ArrayRef>> for Held {
    fn from(column: Option<ArrayRef>) -> Self {
        Self {
            column: column.and_then(compact),
            ..Self::default()
        }
    }
}

/// A property's column, as it is found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column<'a> {
    /// It is null in every row.
    Null,
    /// It is in memory.
    Here(&'a ArrayRef),
    /// It is on disk alone: nothing is known of its values.
    Cold,
}

/// Columns that make a chunk.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) ids: Numbers,
    pub(crate) ends: Option<(Numbers, Numbers)>,
    pub(crate) identities: Option<ArrayRef>,
    pub(crate) properties: Vec<Option<ArrayRef>>,
}

/// Who wrote rows, and where in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) lsn: u64,
    pub(crate) run: Uuid,
}

impl Chunk {
    /// Rows of these columns, which are of equal length, ids ascending.
    pub(crate) fn new(parts: Parts) -> Self {
        let properties = parts.properties.into_iter();
        let properties = properties.map(|column| OnceLock::from(Held::from(column)));
        Self {
            ids: parts.ids,
            ends: parts.ends,
            identities: parts.identities.and_then(compact),
            properties: properties.collect(),
        }
    }

    /// The rows of a batch that has the layout's columns but for provenance, ids ascending. Properties
    /// that it does not have are on disk alone.
    pub(crate) fn of_batch(layout: &Layout, batch: &RecordBatch) -> Result<Self, ArrowError> {
        let column = |name: &str| {
            batch.column_by_name(name).cloned().ok_or_else(|| {
                ArrowError::SchemaError(format!(
                    "the table of {} has no column {name}",
                    layout.name
                ))
            })
        };
        let numbers =
            |name: &str| Ok::<_, ArrowError>(Numbers::pack(ids_of(&column(name)?)?.values()));
        let ends = match layout.ends {
            Some(_) => Some((numbers(columns::SOURCE)?, numbers(columns::TARGET)?)),
            None => None,
        };
        let names = (0..layout.width()).filter_map(|position| layout.column_at(position));
        let properties = names.map(|name| {
            let column = batch.column_by_name(&name);
            column.map_or_else(OnceLock::new, |it| Held::from(Some(it.clone())).into())
        });
        Ok(Self {
            ids: numbers(columns::ID)?,
            ends,
            identities: compact(column(columns::IDENTITY)?),
            properties: properties.collect(),
        })
    }

    /// The rows as a batch that has the layout's columns, but for provenance and for what is on disk
    /// alone.
    pub(crate) fn batch(&self, layout: &Layout) -> Result<RecordBatch, ArrowError> {
        let numbers = |numbers: &Numbers| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(numbers.iter()))
        };
        let column = |array: &Option<ArrayRef>, data_type: &DataType| match array {
            Some(array) => array.clone(),
            None => new_null_array(data_type, self.len()),
        };
        let mut arrays = vec![numbers(&self.ids)];
        if let Some((sources, targets)) = &self.ends {
            arrays.extend([numbers(sources), numbers(targets)]);
        }
        arrays.push(column(&self.identities, &DataType::LargeUtf8));
        let mut missing = vec![columns::LSN.to_owned(), columns::RUN.to_owned()];
        for position in 0..layout.width() {
            let Some((name, data_type)) = layout.stored_at(position) else {
                continue;
            };
            match self.column(position) {
                Column::Here(array) => arrays.push(array.clone()),
                Column::Null => arrays.push(new_null_array(data_type, self.len())),
                Column::Cold => missing.push(name.clone()),
            }
        }
        RecordBatch::try_new(columns::without(&layout.stored, &missing), arrays)
    }

    /// The same rows with their maps taken apart, as the table gets them.
    pub(crate) fn divided(&self, layout: &Layout) -> Result<Self, ArrowError> {
        let mut properties = self.properties.clone();
        if let Some(place) = layout.map.and_then(|map| properties.get_mut(map)) {
            let held = place.get().and_then(|held| held.column.clone());
            let columns = match held {
                Some(maps) => {
                    let maps = (0..self.len()).map(|row| columns::map_at(&maps, row));
                    let (rest, columns) = layout.typed.split(maps)?;
                    *place = OnceLock::from(Held::from(Some(rest)));
                    columns.into_iter().map(Some).collect()
                }
                None => vec![None; layout.typed.columns.len()],
            };
            let columns = columns.into_iter();
            properties.extend(columns.map(|column| OnceLock::from(Held::from(column))));
        }
        Ok(Self {
            ids: self.ids.clone(),
            ends: self.ends.clone(),
            identities: self.identities.clone(),
            properties,
        })
    }

    /// The rows as a batch of the stored shape, without those that `leave_out` says.
    pub(crate) fn stored(
        &self,
        layout: &Layout,
        written: Written,
        leave_out: impl Fn(u64) -> bool,
    ) -> Result<RecordBatch, ArrowError> {
        let mut batch = self.batch(layout)?;
        let keep: BooleanArray = self.ids.iter().map(|id| Some(!leave_out(id))).collect();
        if keep.true_count() < self.len() {
            batch = arrow_select::filter::filter_record_batch(&batch, &keep)?;
        }
        columns::with_provenance(layout, &batch, written)
    }

    /// The rows of all of these, whose ranges of ids follow one another.
    pub(crate) fn concat(layout: &Layout, chunks: &[Arc<Self>]) -> Result<Self, ArrowError> {
        let numbers = |of: &dyn Fn(&Self) -> Option<&Numbers>| {
            let all: Vec<u64> = chunks
                .iter()
                .filter_map(|chunk| of(chunk))
                .flat_map(Numbers::iter)
                .collect();
            Numbers::pack(&all)
        };
        let ends = layout.ends.map(|_| {
            let sources = numbers(&|chunk| chunk.ends.as_ref().map(|ends| &ends.0));
            let targets = numbers(&|chunk| chunk.ends.as_ref().map(|ends| &ends.1));
            (sources, targets)
        });
        let column = |data_type: &DataType, of: &dyn Fn(&Self) -> Option<&ArrayRef>| {
            if chunks.iter().all(|chunk| of(chunk).is_none()) {
                return Ok::<_, ArrowError>(None);
            }
            let arrays: Vec<ArrayRef> = chunks
                .iter()
                .map(|chunk| match of(chunk) {
                    Some(array) => array.clone(),
                    None => new_null_array(data_type, chunk.len()),
                })
                .collect();
            let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
            arrow_select::concat::concat(&arrays).map(Some)
        };
        let mut properties = Vec::with_capacity(layout.width());
        for position in 0..layout.width() {
            let Some((_, data_type)) = layout.stored_at(position) else {
                continue;
            };
            if chunks.iter().any(|chunk| chunk.is_cold(position)) {
                // The table has it of all of these.
                properties.push(OnceLock::new());
                continue;
            }
            let joined = column(data_type, &|chunk| chunk.resident(position))?;
            properties.push(OnceLock::from(Held::from(joined)));
        }
        Ok(Self {
            ids: numbers(&|chunk| Some(&chunk.ids)),
            ends,
            identities: column(&DataType::LargeUtf8, &|chunk| chunk.identities.as_ref())?
                .and_then(compact),
            properties,
        })
    }

    /// The same columns under ids from `first` on.
    pub(crate) fn numbered(self, first: u64) -> Self {
        let len = self.len();
        Self {
            ids: Numbers::Run { first, len },
            ..self
        }
    }

    /// The same columns between other nodes.
    pub(crate) fn with_ends(self, sources: Numbers, targets: Numbers) -> Self {
        Self {
            ends: Some((sources, targets)),
            ..self
        }
    }

    /// The same columns with some ends set: row, side (the source is 0), node.
    pub(crate) fn with_nodes(&self, places: &[(usize, usize, u64)]) -> Self {
        let ends = self.ends.as_ref();
        let mut ends = ends.map(|(sources, targets)| {
            [sources, targets].map(|ends| ends.iter().collect::<Vec<u64>>())
        });
        for (row, side, node) in places {
            let side = ends.as_mut().and_then(|ends| ends.get_mut(*side));
            if let Some(place) = side.and_then(|side| side.get_mut(*row)) {
                *place = *node;
            }
        }
        Self {
            ids: self.ids.clone(),
            ends: ends.map(|[sources, targets]| (Numbers::pack(&sources), Numbers::pack(&targets))),
            identities: self.identities.clone(),
            properties: self.properties.clone(),
        }
    }

    /// The same columns under ids from `first` on, between the nodes that stand for those before.
    pub(crate) fn renumbered(
        &self,
        first: u64,
        source: impl Fn(u64) -> u64,
        target: impl Fn(u64) -> u64,
    ) -> Self {
        let moved = |numbers: &Numbers, to: &dyn Fn(u64) -> u64| {
            let ids: Vec<u64> = numbers.iter().map(to).collect();
            Numbers::pack(&ids)
        };
        let len = self.len();
        let ends = self.ends.as_ref();
        Self {
            ids: Numbers::Run { first, len },
            ends: ends.map(|ends| (moved(&ends.0, &source), moved(&ends.1, &target))),
            identities: self.identities.clone(),
            properties: self.properties.clone(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn first(&self) -> u64 {
        self.ids.get(0).unwrap_or_default()
    }

    pub(crate) fn last(&self) -> u64 {
        self.ids
            .get(self.len().saturating_sub(1))
            .unwrap_or_default()
    }

    /// The place of a row.
    pub(crate) fn find(&self, id: u64) -> Option<usize> {
        self.ids.find(id)
    }

    pub(crate) fn ids(&self) -> &Numbers {
        &self.ids
    }

    /// The columns of the ends, for edges.
    pub(crate) fn end_columns(&self) -> Option<&(Numbers, Numbers)> {
        self.ends.as_ref()
    }

    pub(crate) fn ends(&self, row: usize) -> Option<(u64, u64)> {
        let (sources, targets) = self.ends.as_ref()?;
        Some((sources.get(row)?, targets.get(row)?))
    }

    /// A property's column.
    pub(crate) fn column(&self, position: usize) -> Column<'_> {
        match self.properties.get(position).map(OnceLock::get) {
            Some(Some(Held {
                column: Some(array),
                ..
            })) => Column::Here(array),
            Some(None) => Column::Cold,
            Some(Some(_)) | None => Column::Null,
        }
    }

    /// A property's column where it is never on disk alone (a key, or a chunk that no table has yet);
    /// `None` when it is null in every row.
    pub(crate) fn resident(&self, position: usize) -> Option<&ArrayRef> {
        self.properties.get(position)?.get()?.column.as_ref()
    }

    /// Whether a property's column is on disk alone.
    pub(crate) fn is_cold(&self, position: usize) -> bool {
        matches!(self.column(position), Column::Cold)
    }

    fn held(&self, position: usize) -> Option<&Held> {
        self.properties.get(position)?.get()
    }

    /// Whether it is known where the values of a property stand, or there are none.
    pub(crate) fn has_places(&self, position: usize) -> bool {
        self.held(position)
            .is_none_or(|held| held.column.is_none() || held.places.get().is_some())
    }

    /// Where the values of a property stand; nothing where it is null in every row or on disk alone. Two who
    /// ask at once both find out, and neither waits for the other.
    pub(crate) fn places(&self, position: usize) -> Option<&Places> {
        let held = self.held(position)?;
        let column = held.column.as_ref()?;
        if held.places.get().is_none() {
            let _ = held.places.set(Arc::new(Places::of(column)));
        }
        held.places.get().map(|places| &**places)
    }

    /// How many columns of properties there are.
    pub(crate) fn width(&self) -> usize {
        self.properties.len()
    }

    /// Takes in a column that was read from the table, in the order of the rows, with its part of
    /// `reservation`.
    pub(crate) fn warm(&self, position: usize, column: ArrayRef, reservation: &mut Reservation) {
        let Some(place) = self.properties.get(position) else {
            return;
        };
        // Who was there before has put the same.
        place.get_or_init(|| {
            let column = compact(column);
            let bytes = column.as_ref().map_or(0, |it| it.get_array_memory_size());
            Held {
                column,
                reservation: Some(Arc::new(reservation.split(bytes as u64))),
                places: OnceLock::new(),
            }
        });
    }

    /// Takes over a column of the same rows where it is in memory.
    pub(crate) fn share(&self, position: usize, other: &Self) {
        let held = |chunk: &Self| {
            chunk
                .properties
                .get(position)
                .and_then(|it| it.get().cloned())
        };
        if let (Some(place), Some(held)) = (self.properties.get(position), held(other)) {
            place.get_or_init(|| held);
        }
    }

    /// The same rows with some properties on disk alone, where the table must have them.
    pub(crate) fn cooled(&self, positions: &[usize]) -> Self {
        let mut properties = self.properties.clone();
        for position in positions {
            if let Some(place) = properties.get_mut(*position) {
                *place = OnceLock::new();
            }
        }
        Self {
            ids: self.ids.clone(),
            ends: self.ends.clone(),
            identities: self.identities.clone(),
            properties,
        }
    }

    /// Bytes of memory that a property's column takes.
    pub(crate) fn column_bytes(&self, position: usize) -> usize {
        self.resident(position)
            .map_or(0, |array| array.get_array_memory_size())
    }

    /// How many of these bytes are reserved.
    pub(crate) fn reserved_bytes(&self, position: usize) -> u64 {
        let reservation = self
            .held(position)
            .and_then(|held| held.reservation.as_ref());
        reservation.map_or(0, |reservation| reservation.bytes())
    }

    /// The column of identities; `None` when no row has one.
    pub(crate) fn identities(&self) -> Option<&ArrayRef> {
        self.identities.as_ref()
    }

    /// The value of a property that is not on disk alone.
    pub(crate) fn value(&self, row: usize, position: usize) -> Value {
        self.resident(position)
            .map_or(Value::Null, |column| columns::value_at(column, row))
    }

    pub(crate) fn identity(&self, row: usize) -> Option<&str> {
        let identities = self.identities.as_ref()?.as_string::<i64>();
        identities.is_valid(row).then(|| identities.value(row))
    }

    /// Bytes of memory that the columns take, with what is known of where their values stand.
    pub(crate) fn bytes(&self) -> usize {
        let ends = self.ends.as_ref();
        let ends = ends.map_or(0, |(sources, targets)| sources.bytes() + targets.bytes());
        let identities = self.identities.iter();
        let identities = identities.map(|array| array.get_array_memory_size());
        let properties = (0..self.width()).map(|position| {
            let places = self.held(position).and_then(|held| held.places.get());
            self.column_bytes(position) + places.map_or(0, |places| places.bytes())
        });
        self.ids.bytes() + ends + identities.chain(properties).sum::<usize>()
    }
}

/// The numbers of a column of ids.
pub(crate) fn ids_of(array: &ArrayRef) -> Result<&UInt64Array, ArrowError> {
    array
        .as_primitive_opt::<UInt64Type>()
        .ok_or_else(|| ArrowError::SchemaError(format!("ids are {}", array.data_type())))
}

/// The column without room that it does not need; `None` when every value is null.
fn compact(mut array: ArrayRef) -> Option<ArrayRef> {
    if array.null_count() == array.len() {
        return None;
    }
    let needed = array
        .to_data()
        .get_slice_memory_size()
        .unwrap_or(usize::MAX);
    let spare =
        |array: &ArrayRef| array.get_buffer_memory_size() > needed.saturating_add(needed / 8 + 256);
    if spare(&array) {
        array.shrink_to_fit();
    }
    if spare(&array) {
        // A part of something larger, which would stay for its sake. Two arrays are always copied.
        let nothing = array.slice(0, 0);
        if let Ok(copied) = arrow_select::concat::concat(&[&*array, &*nothing]) {
            array = copied;
            array.shrink_to_fit();
        }
    }
    Some(array)
}
