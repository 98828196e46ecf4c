//! Rows of one type from Parquet, CSV or an Arrow stream.
//!
//! Columns are found by name: the properties of the type; `id`, as in NDJSON; for edges `from` and
//! `to`, or, where the key has several properties, `from.<property>` and `to.<property>` for each. A
//! value may be of any type that holds it without doubt: numbers are never cut, text is read as a
//! load's JSON would be. In CSV an empty cell gives nothing. Rows are counted from 1, and that is the
//! line of a mistake.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, new_empty_array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use language::diagnostic::closest;
use language::schema::{Property, PropertyType};
use language::value::Value;
use serde_json::Value as Json;

use super::builder::Cell;
use super::context::{Context, Shape, write_key};
use super::part::Given;
use crate::columns;
use crate::identity::{self, ID};
use crate::keys;

/// What each column of an input is for.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) slot: usize,
    columns: Vec<Role>,
    /// A cell without anything in it gives nothing, not even null.
    sparse: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The property at this position.
    Property(usize),
    /// An `id` that is no property.
    Identity,
    /// A part of the key of the source (0) or the target (1): its place in the key.
    End(usize, usize),
}

impl Plan {
    /// # Errors
    /// A column that is for nothing, or that is missing.
    pub(super) fn new(
        context: &Context,
        slot: usize,
        schema: &Schema,
        sparse: bool,
    ) -> Result<Self, String> {
        let shape = context.shape(slot).ok_or("the type is gone")?;
        let mut columns: Vec<Role> = Vec::new();
        for field in schema.fields() {
            let role = role(context, shape, field.name())?;
            if columns.contains(&role) {
                return Err(format!("there are two columns `{}`", field.name()));
            }
            // Whether its type says something, is told before any row is read.
            Source::new(context, shape, role, &new_empty_array(field.data_type()))?;
            columns.push(role);
        }
        for (side, name, end) in sides(shape) {
            let parts = context
                .shape(end)
                .map_or(1, |end| end.layout.key.len().max(1));
            let all = (0..parts).all(|part| columns.contains(&Role::End(side, part)));
            if !all {
                let parts = if parts == 1 {
                    ""
                } else {
                    ".<property>, one for each of the key"
                };
                return Err(format!("an edge needs a column `{name}`{parts}"));
            }
        }
        Ok(Self {
            slot,
            columns,
            sparse,
        })
    }

    /// Gives each row, or says what is wrong with it.
    pub(super) fn read(
        &self,
        context: &Context,
        batch: &RecordBatch,
        take: &mut dyn FnMut(Result<Given<'_, '_>, String>),
    ) -> Result<(), String> {
        let shape = context.shape(self.slot).ok_or("the type is gone")?;
        let mut sources = Vec::with_capacity(self.columns.len());
        for (role, array) in self.columns.iter().zip(batch.columns()) {
            sources.push((*role, Source::new(context, shape, *role, array)?));
        }
        let mut cells: Vec<Option<Value>> = vec![None; shape.layout.properties.len()];
        let mut row_reader = RowReader {
            context,
            shape,
            sparse: self.sparse,
            identity: None,
            keys: [Vec::new(), Vec::new()],
        };
        for row in 0..batch.num_rows() {
            cells.iter_mut().for_each(|cell| *cell = None);
            let read = row_reader.read(&sources, row, &mut cells);
            let mut given: Vec<Option<Cell<'_>>> = cells
                .iter()
                .map(|cell| cell.as_ref().map(Cell::from))
                .collect();
            let [source, target] = &row_reader.keys;
            take(read.map(|()| Given {
                line: row as u64 + 1,
                cells: &mut given,
                identity: row_reader.identity.as_deref(),
                ends: shape.ends.map(|_| (&source[..], &target[..])),
            }));
        }
        Ok(())
    }
}

/// Side, name and slot of the ends of edges.
fn sides(shape: &Shape) -> impl Iterator<Item = (usize, &'static str, usize)> {
    let ends = shape.ends.into_iter();
    ends.flat_map(|(source, target)| [(0, "from", source), (1, "to", target)])
}

fn role(context: &Context, shape: &Shape, name: &str) -> Result<Role, String> {
    let properties = &shape.layout.properties;
    for (side, end_name, end) in sides(shape) {
        let Some(end) = context.shape(end) else {
            continue;
        };
        // The names that such files have elsewhere.
        let alias = ["src", "dst"].get(side) == Some(&name);
        let free = !properties.iter().any(|property| property.name == name);
        if (name == end_name || alias && free) && end.layout.key.len() <= 1 {
            return Ok(Role::End(side, 0));
        }
        let part = name
            .strip_prefix(end_name)
            .and_then(|rest| rest.strip_prefix('.'));
        let named = |position: &usize| end.property(*position).map(|it| &*it.name) == part;
        if part.is_some()
            && let Some(part) = end.layout.key.iter().position(named)
        {
            return Ok(Role::End(side, part));
        }
    }
    if let Some(position) = properties.iter().position(|property| property.name == name) {
        return Ok(Role::Property(position));
    }
    if name == ID {
        return Ok(Role::Identity);
    }
    let known = properties.iter().map(|property| property.name.as_str());
    let hint = closest(name, known.chain(["from", "to"]));
    let hint = hint
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default();
    let type_name = &shape.layout.name;
    Err(format!(
        "the column `{name}` is no property of {type_name}{hint}"
    ))
}

/// A column, in a form from which values are taken.
pub(super) struct Source {
    given: ArrayRef,
    /// As the widest type of its kind; null also where it does not fit that.
    wide: ArrayRef,
    /// What messages call it.
    name: String,
    property: Option<Property>,
}

impl Source {
    fn new(context: &Context, shape: &Shape, role: Role, given: &ArrayRef) -> Result<Self, String> {
        let (name, property) = match role {
            Role::Property(position) => {
                let property = shape.property(position);
                let name = property.map(|it| it.name.clone()).unwrap_or_default();
                (format!("{}.{name}", shape.layout.name), property.cloned())
            }
            Role::Identity => (ID.to_owned(), None),
            Role::End(side, part) => {
                let mut sides = sides(shape);
                let found = sides.find(|(other, ..)| *other == side);
                let (name, end) = found.map_or(("", 0), |(_, name, end)| (name, end));
                let layout = context.shape(end).map(|end| &end.layout);
                let position = layout.and_then(|layout| match layout.key.as_slice() {
                    [] => layout.declared_id,
                    key => key.get(part).copied(),
                });
                let property = position.and_then(|at| layout?.properties.get(at));
                // Whether the key may be so, is for the node to say.
                let property = property.map(|property| Property {
                    range: None,
                    check: None,
                    ..property.clone()
                });
                (name.to_owned(), property)
            }
        };
        Self::of(name, property, given)
    }

    /// Of a column that holds what the property holds; without one, what is good for an identity.
    pub(super) fn of(
        name: String,
        property: Option<Property>,
        given: &ArrayRef,
    ) -> Result<Self, String> {
        // What has no declared type is text, and whole numbers are as good.
        let text = is_text(given.data_type());
        let target = match &property {
            Some(property) => wide_type(&property.value_type, given.data_type()),
            None if text || given.data_type().is_integer() => Some(DataType::LargeUtf8),
            None => None,
        };
        let expected = property.as_ref().map_or_else(
            || "String".to_owned(),
            |property| property.value_type.to_string(),
        );
        let wide = match target {
            _ if *given.data_type() == DataType::Null => given.clone(),
            Some(target) => {
                let options = CastOptions {
                    safe: true,
                    ..CastOptions::default()
                };
                cast_with_options(given, &target, &options).map_err(|error| {
                    format!("the column `{name}` cannot be read as {expected}: {error}")
                })?
            }
            None => {
                let found = given.data_type();
                return Err(format!(
                    "the column `{name}` is {found}; expected {expected}"
                ));
            }
        };
        Ok(Self {
            given: given.clone(),
            wide,
            name,
            property,
        })
    }

    /// Whether a row has a text with nothing in it.
    pub(super) fn is_empty(&self, row: usize) -> bool {
        let text = self.wide.as_string_opt::<i64>();
        text.is_some_and(|text| text.is_valid(row) && text.value(row).is_empty())
    }

    /// The value of a row as its property stores it; `None` where there is nothing.
    pub(super) fn value(&self, row: usize) -> Result<Option<Value>, String> {
        if self.given.is_null(row) {
            return Ok(None);
        }
        let wrong = |message: String| format!("{}: {message}", self.name);
        let value = match self.wide.is_null(row) {
            true => None,
            false => Some(self.wide_value(row)),
        };
        let whole = |value: &Value| match (value, self.given.data_type()) {
            // A number with a fraction is not cut.
            (Value::Int(value), kind) if kind.is_floating() => self.is_exactly(row, *value),
            _ => true,
        };
        let Some(value) = value.filter(whole) else {
            let expected = self.property.as_ref().map(|it| it.value_type.to_string());
            let expected = expected.unwrap_or_else(|| "String".to_owned());
            return Err(wrong(format!(
                "expected {expected}, got {}",
                self.shown(row)
            )));
        };
        match (&self.property, &value) {
            (Some(property), Value::String(text)) if !is_textual(&property.value_type) => {
                let json = serde_json::from_str::<Json>(text)
                    .ok()
                    .filter(|json| !json.is_string() && !json.is_null())
                    .unwrap_or_else(|| Json::String(text.to_string()));
                let value = property.accept_json(&json);
                value.map(Some).map_err(|error| wrong(error.to_string()))
            }
            (Some(property), _) => property
                .accept(value)
                .map(Some)
                .map_err(|error| wrong(error.to_string())),
            (None, _) => Ok(Some(value)),
        }
    }

    fn wide_value(&self, row: usize) -> Value {
        let wide = &self.wide;
        match wide.data_type() {
            DataType::Int64 => Value::Int(wide.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Value::Float(wide.as_primitive::<Float64Type>().value(row)),
            DataType::Date32 => Value::Date(wide.as_primitive::<Date32Type>().value(row)),
            DataType::Timestamp(..) => {
                Value::DateTime(wide.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            _ => columns::value_at(wide, row),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a float that is whole is exact here"
    )]
    fn is_exactly(&self, row: usize, value: i64) -> bool {
        let float = cast_with_options(
            &self.given.slice(row, 1),
            &DataType::Float64,
            &CastOptions::default(),
        );
        let float = float
            .ok()
            .map(|array| array.as_primitive::<Float64Type>().value(0));
        // 2^53: beyond, a float does not say which integer it means.
        float.is_some_and(|float| float == value as f64 && float.abs() <= 9_007_199_254_740_992.0)
    }

    fn shown(&self, row: usize) -> String {
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(&self.given, &options);
        let shown = formatter.and_then(|formatter| formatter.value(row).try_to_string());
        let shown: String = shown.unwrap_or_default().chars().take(64).collect();
        format!("{} {shown}", self.given.data_type())
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn is_textual(property_type: &PropertyType) -> bool {
    matches!(property_type, PropertyType::String | PropertyType::Enum(_))
}

/// The type from which values of a property are taken, for a column of that type; `None` when such a
/// column says nothing that the property could be.
fn wide_type(property_type: &PropertyType, given: &DataType) -> Option<DataType> {
    if is_text(given) {
        return Some(DataType::LargeUtf8);
    }
    let number = given.is_integer() || given.is_floating();
    match property_type {
        PropertyType::String | PropertyType::Enum(_) | PropertyType::Map => None,
        PropertyType::Bool => (*given == DataType::Boolean).then_some(DataType::Boolean),
        PropertyType::I32 | PropertyType::I64 | PropertyType::U32 | PropertyType::U64 => {
            number.then_some(DataType::Int64)
        }
        PropertyType::F32 | PropertyType::F64 => {
            let decimal = matches!(given, DataType::Decimal128(..) | DataType::Decimal256(..));
            (number || decimal).then_some(DataType::Float64)
        }
        PropertyType::Date => {
            let date = matches!(given, DataType::Date32 | DataType::Date64);
            date.then_some(DataType::Date32)
        }
        PropertyType::DateTime => {
            let time = matches!(given, DataType::Timestamp(..));
            time.then(|| DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
        }
        PropertyType::List(element) => match given {
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::FixedSizeList(field, _) => {
                let wide = wide_type(element, field.data_type())?;
                let same = !is_text(field.data_type()) || is_textual(element);
                // A list of floats for whole numbers would be cut unseen.
                let cut = field.data_type().is_floating() && wide == DataType::Int64;
                let field = Arc::new(Field::new("item", wide, true));
                (same && !cut).then_some(DataType::LargeList(field))
            }
            _ => None,
        },
    }
}

/// Takes the values of a row.
struct RowReader<'c> {
    context: &'c Context,
    shape: &'c Shape,
    sparse: bool,
    identity: Option<Arc<str>>,
    keys: [Vec<u8>; 2],
}

impl RowReader<'_> {
    fn read(
        &mut self,
        sources: &[(Role, Source)],
        row: usize,
        cells: &mut [Option<Value>],
    ) -> Result<(), String> {
        self.identity = None;
        self.keys.iter_mut().for_each(Vec::clear);
        let mut ends: [Vec<(usize, Value)>; 2] = Default::default();
        for (role, source) in sources {
            let value = match self.sparse && source.is_empty(row) {
                true => None,
                false => Some(source.value(row)?.unwrap_or(Value::Null)),
            };
            let nothing = value.as_ref().is_none_or(Value::is_null);
            match role {
                Role::Property(position) => {
                    if let Some(cell) = cells.get_mut(*position) {
                        *cell = value;
                    }
                }
                Role::Identity if nothing => {}
                Role::Identity => self.identity = value.as_ref().and_then(identity::of_value),
                Role::End(..) if nothing => {
                    return Err(format!("an edge needs `{}`", source.name));
                }
                Role::End(side, part) => {
                    if let Some(parts) = ends.get_mut(*side) {
                        parts.extend(value.map(|value| (*part, value)));
                    }
                }
            }
        }
        for (side, _, end) in sides(self.shape) {
            let (Some(parts), Some(end)) = (ends.get_mut(side), self.context.shape(end)) else {
                continue;
            };
            parts.sort_by_key(|(part, _)| *part);
            if let Some(key) = self.keys.get_mut(side) {
                write_end(end, parts, key);
            }
        }
        self.check_identity(cells)
    }

    /// An `id` beside a key must be the key.
    fn check_identity(&mut self, cells: &[Option<Value>]) -> Result<(), String> {
        let key = self.shape.layout.key.as_slice();
        if key.is_empty() {
            return Ok(());
        }
        let Some(given) = self.identity.take() else {
            return Ok(());
        };
        let value = match key {
            [position] => cells.get(*position).and_then(Option::as_ref),
            _ => None,
        };
        if value.and_then(identity::of_value).as_ref() == Some(&given) {
            return Ok(());
        }
        let name = &self.shape.layout.name;
        Err(format!(
            "`id` is {given:?}, which is not the key of this {name}"
        ))
    }
}

/// Appends the key that the parts of an end name.
fn write_end(end: &Shape, parts: &[(usize, Value)], key: &mut Vec<u8>) {
    if end.layout.key.is_empty() {
        let identity = parts
            .first()
            .and_then(|(_, value)| identity::of_value(value));
        if let Some(identity) = identity {
            keys::write_text(&identity, key);
        }
        return;
    }
    for ((_, value), position) in parts.iter().zip(&end.layout.key) {
        if let Some(property) = end.property(*position) {
            write_key(property, &Cell::from(value), key);
        }
    }
}
