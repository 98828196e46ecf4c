//! Some rows of one type as columns, in ascending order of id; never changed.
//!
//! What is the same in all rows takes no room: ids without holes, a property or an identity that no
//! row has. Ends of edges take four bytes each while nodes lie within 2^32 of each other.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array, new_null_array};
use arrow_schema::{ArrowError, DataType};
use language::value::Value;
use uuid::Uuid;

use crate::columns::{self, Layout};
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
    /// In the order of the layout; `None` for one that is null in every row.
    properties: Vec<Option<ArrayRef>>,
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
        Self {
            ids: parts.ids,
            ends: parts.ends,
            identities: parts.identities.and_then(compact),
            properties: parts
                .properties
                .into_iter()
                .map(|column| column.and_then(compact))
                .collect(),
        }
    }

    /// The rows of a batch that has the layout's columns but for provenance, ids ascending.
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
        let properties = layout.properties.iter();
        let properties = properties
            .map(|property| column(&columns::property_column(property.id)).map(Some))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(Parts {
            ids: numbers(columns::ID)?,
            ends,
            identities: Some(column(columns::IDENTITY)?),
            properties,
        }))
    }

    /// The rows as a batch that has the layout's columns but for provenance.
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
        for (property, array) in layout.properties.iter().zip(&self.properties) {
            arrays.push(column(array, &columns::data_type(&property.value_type)));
        }
        RecordBatch::try_new(layout.resident.clone(), arrays)
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
        let mut properties = Vec::with_capacity(layout.properties.len());
        for (position, property) in layout.properties.iter().enumerate() {
            let data_type = columns::data_type(&property.value_type);
            properties.push(column(&data_type, &|chunk| {
                chunk.properties.get(position)?.as_ref()
            })?);
        }
        Ok(Self::new(Parts {
            ids: numbers(&|chunk| Some(&chunk.ids)),
            ends,
            identities: column(&DataType::LargeUtf8, &|chunk| chunk.identities.as_ref())?,
            properties,
        }))
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

    /// A property's column; `None` when it is null in every row.
    pub(crate) fn property(&self, position: usize) -> Option<&ArrayRef> {
        self.properties.get(position)?.as_ref()
    }

    /// The column of identities; `None` when no row has one.
    pub(crate) fn identities(&self) -> Option<&ArrayRef> {
        self.identities.as_ref()
    }

    pub(crate) fn value(&self, row: usize, position: usize) -> Value {
        self.property(position)
            .map_or(Value::Null, |column| columns::value_at(column, row))
    }

    pub(crate) fn identity(&self, row: usize) -> Option<&str> {
        let identities = self.identities.as_ref()?.as_string::<i64>();
        identities.is_valid(row).then(|| identities.value(row))
    }

    /// Bytes of memory that the columns take.
    pub(crate) fn bytes(&self) -> usize {
        let ends = self.ends.as_ref();
        let ends = ends.map_or(0, |(sources, targets)| sources.bytes() + targets.bytes());
        let arrays = self.properties.iter().chain([&self.identities]).flatten();
        let arrays = arrays.map(|array| array.get_array_memory_size());
        self.ids.bytes() + ends + arrays.sum::<usize>()
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
