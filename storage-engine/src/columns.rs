//! Rows as Arrow columns: the shape of a table on disk and of a base in memory.
//!
//! A table has `_id`, for edges `_src` and `_dst`, `_identity` where rows may carry one of their
//! own, `_lsn` and `_run` (provenance), and one column `p<property id>` per property; in an open graph
//! also the columns of values that its maps have in common ([`crate::typed`]). Text and lists use 64-bit
//! offsets, so that no column has a size at which it stops.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, FixedSizeBinaryBuilder, Float32Builder, Float64Builder,
    Int32Builder, Int64Builder, LargeBinaryBuilder, LargeStringBuilder,
    TimestampMicrosecondBuilder, UInt32Builder, UInt64Builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, LargeListArray, RecordBatch, UInt64Array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use language::schema::{Property, PropertyId, PropertyType, Schema, TypeId};
use language::value::Value;
use rustc_hash::FxHashMap;
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};

use crate::chunk::Written;
use crate::identity;
use crate::rows::Row;
use crate::typed::{Typed, TypedColumn};

/// Column of internal ids.
pub(crate) const ID: &str = "_id";
/// Column of the nodes that edges leave.
pub(crate) const SOURCE: &str = "_src";
/// Column of the nodes that edges enter.
pub(crate) const TARGET: &str = "_dst";
/// Column of identities that were given and are not the key.
pub(crate) const IDENTITY: &str = "_identity";
/// Column of the log position that wrote the row.
pub(crate) const LSN: &str = "_lsn";
/// Column of the run that wrote the row.
pub(crate) const RUN: &str = "_run";

/// What the table of one type looks like.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The type.
    pub(crate) type_id: TypeId,
    /// Its name, for messages.
    pub(crate) name: String,
    /// Its properties; rows hold their values in this order.
    pub(crate) properties: Vec<Property>,
    /// Positions of the key's properties; empty for edges and for types without a key.
    pub(crate) key: Vec<usize>,
    /// Positions of the properties of nodes that are declared with `@index`.
    pub(crate) indexed: Vec<usize>,
    /// The property that is the identity of the rows: a declared `id`, where there is no key.
    pub(crate) declared_id: Option<usize>,
    /// Source and target type, for edges.
    pub(crate) ends: Option<(TypeId, TypeId)>,
    /// The position of the map of whatever properties, in an open graph.
    pub(crate) map: Option<usize>,
    /// The columns that the table has of values from the maps. They stand behind the properties.
    pub(crate) typed: Typed,
    /// Their positions, by name.
    places: FxHashMap<String, usize>,
    /// The columns on disk.
    pub(crate) stored: SchemaRef,
    /// The columns of rows that no table has yet: without provenance, and with whole maps.
    pub(crate) resident: SchemaRef,
}

impl Layout {
    /// The layouts of all node types, then of all edge types.
    pub(crate) fn of_schema(schema: &Schema) -> (Vec<Arc<Self>>, Vec<Arc<Self>>) {
        let nodes = schema.node_types.iter().map(|node_type| {
            let position = |id| {
                node_type
                    .properties
                    .iter()
                    .position(|property| property.id == id)
            };
            Self {
                type_id: node_type.id,
                name: node_type.name.clone(),
                properties: node_type.properties.clone(),
                key: node_type
                    .key
                    .iter()
                    .filter_map(|id| position(*id))
                    .collect(),
                indexed: positions(&node_type.properties, |property| property.indexed),
                declared_id: node_type
                    .key
                    .is_empty()
                    .then(|| identity::position(&node_type.properties))
                    .flatten(),
                ends: None,
                map: map_position(&node_type.properties),
                typed: Typed::default(),
                places: FxHashMap::default(),
                stored: stored_schema(&node_type.properties, &[], false),
                resident: resident_schema(&node_type.properties, false),
            }
        });
        let edges = schema.edge_types.iter().map(|edge_type| Self {
            type_id: edge_type.id,
            name: edge_type.name.clone(),
            properties: edge_type.properties.clone(),
            key: Vec::new(),
            indexed: Vec::new(),
            declared_id: identity::position(&edge_type.properties),
            ends: Some((edge_type.source, edge_type.target)),
            map: map_position(&edge_type.properties),
            typed: Typed::default(),
            places: FxHashMap::default(),
            stored: stored_schema(&edge_type.properties, &[], true),
            resident: resident_schema(&edge_type.properties, true),
        });
        (nodes.map(Arc::new).collect(), edges.map(Arc::new).collect())
    }

    /// Whether an edge may lead from a node to itself: both ends are of one type.
    pub(crate) fn may_loop(&self) -> bool {
        self.ends.is_some_and(|(source, target)| source == target)
    }

    /// The position of a property in the rows of this type.
    pub(crate) fn position(&self, id: PropertyId) -> Option<usize> {
        self.properties
            .iter()
            .position(|property| property.id == id)
    }

    /// The layout of a table that has these typed columns.
    pub(crate) fn with_typed(&self, typed: Typed) -> Self {
        let names = typed.columns.iter().map(|column| column.name.clone());
        let places = names.zip(self.properties.len()..);
        Self {
            places: places.collect(),
            stored: stored_schema(&self.properties, &typed.columns, self.ends.is_some()),
            typed,
            ..self.clone()
        }
    }

    /// How many columns hold values: properties and typed columns.
    pub(crate) fn width(&self) -> usize {
        self.properties.len() + self.typed.columns.len()
    }

    /// The positions of the columns that hold a property: its own, and of a map also the typed ones.
    pub(crate) fn parts(&self, position: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let typed = match self.map == Some(position) {
            true => self.properties.len()..self.width(),
            false => 0..0,
        };
        std::iter::once(position).chain(typed)
    }

    /// The position of the typed column of a name.
    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    fn typed_at(&self, position: usize) -> Option<&TypedColumn> {
        let at = position.checked_sub(self.properties.len())?;
        self.typed.columns.get(at)
    }

    /// The name of the property that a column is of, for messages.
    pub(crate) fn name_at(&self, position: usize) -> Option<&str> {
        let property = self.properties.get(position).map(|it| it.name.as_str());
        property.or_else(|| self.typed_at(position).map(|it| it.name.as_str()))
    }

    /// The name of a column in the table.
    pub(crate) fn column_at(&self, position: usize) -> Option<String> {
        self.stored_at(position).map(|(name, _)| name.clone())
    }

    /// The name and the type of a column of values in the table.
    pub(crate) fn stored_at(&self, position: usize) -> Option<(&String, &DataType)> {
        let fields = self.stored.fields();
        let before = fields.len().checked_sub(self.width())?;
        let field = fields.get(before + position)?;
        Some((field.name(), field.data_type()))
    }

    /// The names of the columns that are read into memory: of all properties, or of those alone without
    /// which nothing can be found.
    pub(crate) fn columns(&self, properties: Properties) -> Vec<String> {
        let fields = self.stored.fields().iter();
        let mut names: Vec<String> = fields.map(|field| field.name().clone()).collect();
        names.retain(|name| name != LSN && name != RUN);
        if properties == Properties::Fixed {
            let cold = (0..self.width()).filter(|position| !self.is_fixed(*position));
            let cold: Vec<String> = cold.filter_map(|at| self.column_at(at)).collect();
            names.retain(|name| !cold.contains(name));
        }
        names
    }

    /// Whether a property is always in memory: it is a part of the key, or the identity.
    pub(crate) fn is_fixed(&self, position: usize) -> bool {
        self.key.contains(&position) || self.declared_id == Some(position)
    }

    /// Rows, with their ids, as one batch of the stored shape.
    pub(crate) fn batch<'a>(
        &self,
        rows: impl Iterator<Item = (u64, &'a Row)>,
    ) -> Result<RecordBatch, ArrowError> {
        let rows: Vec<(u64, &Row)> = rows.collect();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.stored.fields().len());
        let mut ids = UInt64Builder::new();
        rows.iter().for_each(|(id, _)| ids.append_value(*id));
        columns.push(Arc::new(ids.finish()));
        if self.ends.is_some() {
            let (mut sources, mut targets) = (UInt64Builder::new(), UInt64Builder::new());
            for (_, row) in &rows {
                let (source, target) = row.ends.unwrap_or_default();
                sources.append_value(source);
                targets.append_value(target);
            }
            columns.push(Arc::new(sources.finish()));
            columns.push(Arc::new(targets.finish()));
        }
        let mut identities = LargeStringBuilder::new();
        let mut lsns = UInt64Builder::new();
        let mut runs = FixedSizeBinaryBuilder::new(16);
        for (_, row) in &rows {
            identities.append_option(row.identity.as_deref());
            lsns.append_value(row.lsn);
            runs.append_value(row.run.as_bytes())?;
        }
        columns.push(Arc::new(identities.finish()));
        columns.push(Arc::new(lsns.finish()));
        columns.push(Arc::new(runs.finish()));
        let mut typed = Vec::new();
        for (position, property) in self.properties.iter().enumerate() {
            let mut values = rows
                .iter()
                .map(|(_, row)| row.values.get(position).unwrap_or(&Value::Null));
            if self.map == Some(position) {
                let (rest, taken) = self.typed.split(values.map(map_of))?;
                columns.push(rest);
                typed = taken;
            } else {
                columns.push(column(&property.value_type, &mut values)?);
            }
        }
        columns.extend(typed);
        RecordBatch::try_new(self.stored.clone(), columns)
    }
}

fn positions(properties: &[Property], is: impl Fn(&Property) -> bool) -> Vec<usize> {
    let places = properties.iter().enumerate();
    let places = places.filter(|(_, property)| is(property));
    places.map(|(place, _)| place).collect()
}

/// Which properties are read from a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Properties {
    /// All.
    All,
    /// Those that are always in memory.
    Fixed,
}

/// A schema without some of its columns.
pub(crate) fn without(schema: &SchemaRef, names: &[String]) -> SchemaRef {
    if names.is_empty() {
        return schema.clone();
    }
    let fields = schema.fields().iter();
    let kept = fields.filter(|field| !names.contains(field.name()));
    Arc::new(ArrowSchema::new(kept.cloned().collect::<Vec<_>>()))
}

/// A batch of the resident shape as one of the stored shape, every row written by the same commit.
pub(crate) fn with_provenance(
    layout: &Layout,
    batch: &RecordBatch,
    written: Written,
) -> Result<RecordBatch, ArrowError> {
    let lsns: ArrayRef = Arc::new(UInt64Array::from_value(written.lsn, batch.num_rows()));
    let mut runs = FixedSizeBinaryBuilder::with_capacity(batch.num_rows(), 16);
    for _ in 0..batch.num_rows() {
        runs.append_value(written.run.as_bytes())?;
    }
    let runs: ArrayRef = Arc::new(runs.finish());
    take_columns(&layout.stored, |name| match name {
        LSN => Some(lsns.clone()),
        RUN => Some(runs.clone()),
        name => batch.column_by_name(name).cloned(),
    })
}

/// Those columns of a batch that a schema has.
pub(crate) fn select(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    take_columns(schema, |name| batch.column_by_name(name).cloned())
}

fn take_columns(
    schema: &SchemaRef,
    column: impl Fn(&str) -> Option<ArrayRef>,
) -> Result<RecordBatch, ArrowError> {
    let fields = schema.fields().iter();
    let columns = fields.map(|field| {
        let name = field.name();
        column(name).ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<Vec<_>, _>>()?)
}

/// The name of a property's column.
pub(crate) fn property_column(id: PropertyId) -> String {
    format!("p{}", id.0)
}

fn map_position(properties: &[Property]) -> Option<usize> {
    let mut properties = properties.iter();
    properties.position(|property| property.value_type == PropertyType::Map)
}

fn map_of(value: &Value) -> Option<BTreeMap<String, Value>> {
    match value {
        Value::Map(map) => Some(map.as_ref().clone()),
        _ => None,
    }
}

fn resident_schema(properties: &[Property], edge: bool) -> SchemaRef {
    let stored = stored_schema(properties, &[], edge);
    let fields = stored.fields().iter();
    let resident = fields.filter(|field| field.name() != LSN && field.name() != RUN);
    Arc::new(ArrowSchema::new(resident.cloned().collect::<Vec<_>>()))
}

fn stored_schema(properties: &[Property], typed: &[TypedColumn], edge: bool) -> SchemaRef {
    let mut fields = vec![Field::new(ID, DataType::UInt64, false)];
    if edge {
        fields.push(Field::new(SOURCE, DataType::UInt64, false));
        fields.push(Field::new(TARGET, DataType::UInt64, false));
    }
    fields.push(Field::new(IDENTITY, DataType::LargeUtf8, true));
    fields.push(Field::new(LSN, DataType::UInt64, false));
    fields.push(Field::new(RUN, DataType::FixedSizeBinary(16), false));
    for property in properties {
        let name = property_column(property.id);
        fields.push(Field::new(name, data_type(&property.value_type), true));
    }
    for column in typed {
        let data_type = data_type(&column.value_type);
        fields.push(Field::new(&column.column, data_type, true));
    }
    Arc::new(ArrowSchema::new(fields))
}

/// The Arrow type that holds a property.
pub(crate) fn data_type(property_type: &PropertyType) -> DataType {
    match property_type {
        PropertyType::String | PropertyType::Enum(_) => DataType::LargeUtf8,
        PropertyType::Bool => DataType::Boolean,
        PropertyType::I32 => DataType::Int32,
        PropertyType::I64 => DataType::Int64,
        PropertyType::U32 => DataType::UInt32,
        PropertyType::U64 => DataType::UInt64,
        PropertyType::F32 => DataType::Float32,
        PropertyType::F64 => DataType::Float64,
        PropertyType::Date => DataType::Date32,
        PropertyType::DateTime => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        PropertyType::List(element) => {
            DataType::LargeList(Arc::new(Field::new("item", data_type(element), true)))
        }
        PropertyType::Map => DataType::LargeBinary,
    }
}

/// A value that its column cannot hold. The transaction checks values before they get here.
fn misfit(expected: &PropertyType, value: &Value) -> ArrowError {
    ArrowError::CastError(format!(
        "a {} does not fit a column of {expected:?}",
        value.kind()
    ))
}

pub(crate) fn column<'a>(
    property_type: &PropertyType,
    values: impl Iterator<Item = &'a Value>,
) -> Result<ArrayRef, ArrowError> {
    macro_rules! build {
        ($builder:expr, $($pattern:pat => $value:expr),+) => {{
            let mut builder = $builder;
            for value in values {
                match value {
                    Value::Null => builder.append_null(),
                    $($pattern => builder.append_value($value),)+
                    other => return Err(misfit(property_type, other)),
                }
            }
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }};
    }
    let overflow = |value: &i64| misfit(property_type, &Value::Int(*value));
    match property_type {
        PropertyType::String | PropertyType::Enum(_) => {
            build!(LargeStringBuilder::new(), Value::String(text) => text)
        }
        PropertyType::Bool => build!(BooleanBuilder::new(), Value::Bool(value) => *value),
        PropertyType::I32 => build!(Int32Builder::new(),
            Value::Int(value) => i32::try_from(*value).map_err(|_| overflow(value))?),
        PropertyType::I64 => build!(Int64Builder::new(), Value::Int(value) => *value),
        PropertyType::U32 => build!(UInt32Builder::new(),
            Value::Int(value) => u32::try_from(*value).map_err(|_| overflow(value))?),
        PropertyType::U64 => build!(UInt64Builder::new(),
            Value::Int(value) => u64::try_from(*value).map_err(|_| overflow(value))?),
        #[expect(clippy::cast_possible_truncation, reason = "declared as 32 bits")]
        PropertyType::F32 => build!(Float32Builder::new(), Value::Float(value) => *value as f32),
        PropertyType::F64 => build!(Float64Builder::new(), Value::Float(value) => *value),
        PropertyType::Date => build!(Date32Builder::new(), Value::Date(days) => *days),
        PropertyType::DateTime => build!(
            TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            Value::DateTime(micros) => *micros),
        PropertyType::List(element) => list_column(property_type, element, values),
        PropertyType::Map => map_column(values),
    }
}

/// Lists: all their elements as one column, then cut by offsets.
fn list_column<'a>(
    list_type: &PropertyType,
    element: &PropertyType,
    values: impl Iterator<Item = &'a Value>,
) -> Result<ArrayRef, ArrowError> {
    let mut elements = Vec::new();
    let (mut lengths, mut valid) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            Value::Null => lengths.push(0),
            Value::List(list) => {
                elements.extend(list.iter());
                lengths.push(list.len());
            }
            other => return Err(misfit(list_type, other)),
        }
        valid.push(!value.is_null());
    }
    let field = Arc::new(Field::new("item", data_type(element), true));
    let array = LargeListArray::try_new(
        field,
        OffsetBuffer::from_lengths(lengths),
        column(element, elements.into_iter())?,
        Some(valid.into()),
    )?;
    Ok(Arc::new(array))
}

/// Maps of whatever values, each as the log would hold it.
fn map_column<'a>(values: impl Iterator<Item = &'a Value>) -> Result<ArrayRef, ArrowError> {
    let mut builder = LargeBinaryBuilder::new();
    for value in values {
        match value {
            Value::Null => builder.append_null(),
            Value::Map(map) => {
                let bytes = postcard::to_stdvec(map.as_ref())
                    .map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
                builder.append_value(bytes);
            }
            other => return Err(misfit(&PropertyType::Map, other)),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// The value of one row of a column.
pub(crate) fn value_at(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::LargeUtf8 => Value::string(column.as_string::<i64>().value(row)),
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int32 => Value::Int(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt32 => Value::Int(column.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => {
            // Stored from an `i64` that was not negative.
            Value::Int(
                i64::try_from(column.as_primitive::<UInt64Type>().value(row)).unwrap_or(i64::MAX),
            )
        }
        DataType::Float32 => Value::Float(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => Value::Date(column.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Value::DateTime(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::LargeList(_) => {
            let elements = column.as_list::<i64>().value(row);
            Value::list((0..elements.len()).map(|index| value_at(&elements, index)))
        }
        DataType::LargeBinary => {
            map_at(column, row).map_or(Value::Null, |map| Value::Map(Arc::new(map)))
        }
        // `data_type` makes no others, and tables are checked against their layout when opened.
        _ => Value::Null,
    }
}

/// Whether the text of one row, or one of its list of texts, is one that is asked for.
pub(crate) fn any_text(column: &dyn Array, row: usize, is: impl Fn(&str) -> bool) -> bool {
    if column.is_null(row) {
        return false;
    }
    if let Some(texts) = column.as_string_opt::<i64>() {
        return is(texts.value(row));
    }
    let Some(lists) = column.as_list_opt::<i64>() else {
        return false;
    };
    let Some(texts) = lists.values().as_string_opt::<i64>() else {
        return false;
    };
    let bounds = lists
        .value_offsets()
        .get(row)
        .zip(lists.value_offsets().get(row + 1));
    let bounds = bounds.map(|(first, end)| (usize::try_from(*first), usize::try_from(*end)));
    let Some((Ok(first), Ok(end))) = bounds else {
        return false;
    };
    (first..end).any(|at| texts.is_valid(at) && is(texts.value(at)))
}

/// The map of one row of a column of maps.
pub(crate) fn map_at(column: &dyn Array, row: usize) -> Option<BTreeMap<String, Value>> {
    let bytes = column
        .as_binary_opt::<i64>()
        .filter(|it| it.is_valid(row))?;
    // Tables are checksummed; bytes that are none of ours are no properties.
    postcard::from_bytes(bytes.value(row)).ok()
}

/// One entry of the map of one row of a column of maps; null when there is none.
pub(crate) fn entry_at(column: &dyn Array, row: usize, name: &str) -> Value {
    let bytes = column.as_binary_opt::<i64>().filter(|it| it.is_valid(row));
    let Some(bytes) = bytes else {
        return Value::Null;
    };
    let mut deserializer = postcard::Deserializer::from_bytes(bytes.value(row));
    deserializer
        .deserialize_map(Entry(name))
        .unwrap_or(Value::Null)
}

/// Looks for one name among entries in the order of their names, and makes none of the others.
struct Entry<'a>(&'a str);

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map of properties")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while let Some(name) = map.next_key::<&str>()? {
            match name.cmp(self.0) {
                Ordering::Less => drop(map.next_value::<Value>()?),
                Ordering::Equal => return map.next_value(),
                Ordering::Greater => break,
            }
        }
        Ok(Value::Null)
    }
}
