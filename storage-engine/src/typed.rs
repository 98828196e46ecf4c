//! Typed columns of what the nodes and edges of an open graph have in their maps.
//!
//! A commit, the log and changed rows have whole maps. When rows go into a table, the values of names
//! that many of them have go into columns of their own, one type each, and the map keeps the rest:
//! names that few have, and values that are not of their column's type. So nothing is changed by it, and
//! `n.age` is found in one column instead of in every map. Which columns a table has, only ever becomes
//! more, and its [version](crate::tables::TableVersion) says it, together with the names that are found
//! in what is left of the maps.
//!
//! Example: of the maps `{age: 36, id: 'a'}` and `{age: 'old', id: 'b'}` a table with the columns
//! `v0_age` (I64) and `v1_id` (String) keeps `36, null`, `'a', 'b'` and the rest `null, {age: 'old'}`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::ArrowError;
use language::schema::{PropertyId, PropertyType};
use language::value::Value;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::columns;
use crate::rows::Rows;

/// A name gets a column when so many new rows have it with values of one type,
const LEAST_ROWS: u64 = 16;
/// and one of so many of all rows.
const LEAST_PART: u64 = 32;
/// The most columns of a table.
const MOST_COLUMNS: usize = 100;
/// The longest name that gets a column, in bytes.
const LONGEST_NAME: usize = 256;
/// So many names are counted; when there are more, what is left of maps may have any.
const MOST_COUNTED: usize = 4_096;
/// So many names of what is left of maps are known, of so many bytes; when there are more, it may be any.
const MOST_NAMES: usize = 256;
const MOST_NAME_BYTES: usize = 16 << 10;
/// Maps that are taken apart at a time.
const MAPS: usize = 2_048;

/// The values of one name that are of one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TypedColumn {
    /// As the maps have it.
    pub(crate) name: String,
    pub(crate) value_type: PropertyType,
    /// The name of the column in the table.
    pub(crate) column: String,
}

/// Which typed columns a table has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Typed {
    /// In the order in which they came.
    pub(crate) columns: Vec<TypedColumn>,
    /// Names that what is left of the maps may have; `None` when that may be any.
    pub(crate) rest: Option<BTreeSet<String>>,
}

impl Typed {
    /// Of a table without rows.
    pub(crate) const fn of_nothing() -> Self {
        Self {
            columns: Vec::new(),
            rest: Some(BTreeSet::new()),
        }
    }

    /// Whether what is left of a map may have a value of that name.
    pub(crate) fn may_be_left(&self, name: &str) -> bool {
        self.rest.as_ref().is_none_or(|rest| rest.contains(name))
    }

    /// Takes maps apart: what is left of them, and a column of values for each of the typed columns.
    pub(crate) fn split(
        &self,
        maps: impl Iterator<Item = Option<BTreeMap<String, Value>>>,
    ) -> Result<(ArrayRef, Vec<ArrayRef>), ArrowError> {
        let (mut rests, mut values) = (Vec::new(), vec![Vec::new(); self.columns.len()]);
        let mut maps = maps;
        loop {
            let mut some: Vec<(Option<BTreeMap<String, Value>>, bool)> =
                maps.by_ref().take(MAPS).map(|map| (map, false)).collect();
            let is_last = some.len() < MAPS;
            for (parts, column) in values.iter_mut().zip(&self.columns) {
                let taken = some.iter_mut().map(|(map, taken)| {
                    let value = map.as_mut().and_then(|map| column.take(map));
                    *taken |= value.is_some();
                    value.unwrap_or(Value::Null)
                });
                let taken: Vec<Value> = taken.collect();
                parts.push(columns::column(&column.value_type, taken.iter())?);
            }
            // An empty map is told from none.
            let left = some.into_iter().map(|(map, taken)| match map {
                Some(map) if !(taken && map.is_empty()) => Value::Map(Arc::new(map)),
                _ => Value::Null,
            });
            let left: Vec<Value> = left.collect();
            rests.push(columns::column(&PropertyType::Map, left.iter())?);
            if is_last {
                break;
            }
        }
        let values = values.iter().map(|parts| joined(parts));
        Ok((joined(&rests)?, values.collect::<Result<_, _>>()?))
    }

    /// The map of a row: what is left of it, and the values of the columns, in their order.
    pub(crate) fn join(&self, rest: Value, values: impl Iterator<Item = Value>) -> Value {
        let named = self.columns.iter().map(|column| &column.name).zip(values);
        let mut named = named.filter(|(_, value)| !value.is_null()).peekable();
        if named.peek().is_none() {
            return rest;
        }
        let mut map = match rest {
            Value::Map(map) => Arc::unwrap_or_clone(map),
            _ => BTreeMap::new(),
        };
        map.extend(named.map(|(name, value)| (name.clone(), value)));
        Value::Map(Arc::new(map))
    }
}

fn joined(parts: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    arrow_select::concat::concat(&parts)
}

impl Rows {
    /// One entry of a property that is a map; null when the row does not exist or has none of that name.
    pub(crate) fn entry(&self, id: u64, position: usize, name: &str) -> Value {
        let changed = self.changes.get(&id);
        match changed.map(|entry| entry.row.as_ref()) {
            Some(Some(row)) if !row.is_left(position) => match row.values.get(position) {
                Some(Value::Map(map)) => map.get(name).cloned().unwrap_or(Value::Null),
                _ => Value::Null,
            },
            Some(None) => Value::Null,
            _ => {
                let entry = (position, name);
                self.base.entry(&self.layout, id, entry, &self.failures)
            }
        }
    }

    /// Whether a property of a row, a text or a list of texts, has one that is asked for.
    pub(crate) fn any_text(&self, id: u64, position: usize, is: impl Fn(&str) -> bool) -> bool {
        let changed = self.changes.get(&id);
        match changed.map(|entry| entry.row.as_ref()) {
            Some(Some(row)) if !row.is_left(position) => match row.values.get(position) {
                Some(Value::String(text)) => is(text),
                Some(Value::List(list)) => list
                    .iter()
                    .any(|value| matches!(value, Value::String(text) if is(text))),
                _ => false,
            },
            Some(None) => false,
            _ => self.base.any_text(id, position, is, &self.failures),
        }
    }

    /// The column in which the base has all values of a property: of a declared one, or in an open graph of
    /// a name.
    pub(crate) fn column_of(&self, property: Option<&PropertyId>, name: &str) -> Option<usize> {
        match property {
            Some(property) => self.layout.position(*property),
            None if self.layout.map.is_some() => {
                // What a load has brought since the fold stands in its maps.
                let is_whole =
                    !self.layout.typed.may_be_left(name) && self.base.unwritten_rows() == 0;
                self.layout.place_of(name).filter(|_| is_whole)
            }
            None => None,
        }
    }

    /// What a row has of the property that such a column is of.
    pub(crate) fn value_in(&self, id: u64, column: usize) -> Value {
        let entry = self.layout.map.zip(self.layout.name_at(column));
        match entry.filter(|_| column >= self.layout.properties.len()) {
            Some((map, name)) => self.entry(id, map, name),
            None => self.value(id, column),
        }
    }

    /// Decides which typed columns the table has once all of these rows are folded, and takes the maps
    /// apart of those that it does not have.
    pub(crate) fn divide(&mut self) -> Result<(), ArrowError> {
        let Some(map) = self.layout.map.filter(|_| self.unfolded() > 0) else {
            return Ok(());
        };
        let mut survey = Survey::default();
        for row in self.changes.values().filter_map(|it| it.row.as_ref()) {
            if let Some(Value::Map(map)) = row.values.get(map) {
                survey.count(map);
            }
        }
        let parts = self.base.parts().iter();
        for part in parts.filter(|part| part.unwritten.is_some()) {
            if let Some(maps) = part.chunk.resident(map) {
                let maps = (0..part.chunk.len()).filter_map(|row| columns::map_at(maps, row));
                maps.for_each(|map| survey.count(&map));
            }
        }
        let is_new = self.emptied.is_some()
            || self.layout.typed.columns.is_empty() && self.base.written().next().is_none();
        let before = match is_new {
            true => Typed::of_nothing(),
            false => self.layout.typed.clone(),
        };
        let typed = survey.typed(before, self.count);
        if typed != self.layout.typed {
            self.layout = Arc::new(self.layout.with_typed(typed));
        }
        if self.base.unwritten_rows() > 0 && !self.layout.typed.columns.is_empty() {
            self.base = Arc::new(self.base.divided(&self.layout)?);
        }
        Ok(())
    }
}

impl TypedColumn {
    /// The next one of a table that has so many.
    fn new(name: &str, value_type: PropertyType, before: usize) -> Self {
        let plain = |letter: char| match letter.is_ascii_alphanumeric() {
            true => letter,
            false => '_',
        };
        let shown: String = name.chars().take(32).map(plain).collect();
        Self {
            name: name.to_owned(),
            value_type,
            column: format!("v{before}_{shown}"),
        }
    }

    /// Takes its value out of a map, if that is of its type.
    fn take(&self, map: &mut BTreeMap<String, Value>) -> Option<Value> {
        let value = map.get(&self.name)?;
        if !fits(&self.value_type, value) {
            return None;
        }
        map.remove(&self.name)
    }
}

/// Whether a column of this type gives the value back as it is.
fn fits(value_type: &PropertyType, value: &Value) -> bool {
    match (value_type, value) {
        (PropertyType::Bool, Value::Bool(_))
        | (PropertyType::I64, Value::Int(_))
        | (PropertyType::F64, Value::Float(_))
        | (PropertyType::String, Value::String(_))
        | (PropertyType::Date, Value::Date(_))
        | (PropertyType::DateTime, Value::DateTime(_)) => true,
        (PropertyType::List(element), Value::List(values)) => {
            values.iter().all(|value| fits(element, value))
        }
        _ => false,
    }
}

/// The type of the column that a value fits; `None` for what goes into no column, and for an empty list,
/// which fits every one of lists.
pub(crate) fn type_of(value: &Value) -> Option<PropertyType> {
    Some(match value {
        Value::Bool(_) => PropertyType::Bool,
        Value::Int(_) => PropertyType::I64,
        Value::Float(_) => PropertyType::F64,
        Value::String(_) => PropertyType::String,
        Value::Date(_) => PropertyType::Date,
        Value::DateTime(_) => PropertyType::DateTime,
        Value::List(values) => {
            let element = type_of(values.first()?)?;
            if matches!(element, PropertyType::List(_)) {
                return None;
            }
            PropertyType::List(Box::new(element))
        }
        _ => return None,
    })
}

/// What the maps of new rows have.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    names: FxHashMap<String, Counted>,
    /// There are names that were not counted.
    cut: bool,
}

/// The values of one name.
#[derive(Debug, Default)]
struct Counted {
    all: u64,
    /// Those of them that are of a type.
    types: Vec<(PropertyType, u64)>,
    empty_lists: u64,
}

impl Survey {
    /// Counts what a map has.
    pub(crate) fn count(&mut self, map: &BTreeMap<String, Value>) {
        for (name, value) in map {
            if let Some(counted) = self.names.get_mut(name) {
                counted.add(value);
            } else if self.names.len() < MOST_COUNTED && name.len() <= LONGEST_NAME {
                let mut counted = Counted::default();
                counted.add(value);
                self.names.insert(name.clone(), counted);
            } else {
                self.cut = true;
            }
        }
    }

    /// The columns of a table that had those of `before`, once the new rows are in it and it has `rows`.
    pub(crate) fn typed(&self, before: Typed, rows: u64) -> Typed {
        let mut typed = before;
        let known: BTreeSet<&String> = typed.columns.iter().map(|column| &column.name).collect();
        let new = self.names.iter().filter(|(name, _)| !known.contains(name));
        let new = new.filter_map(|(name, counted)| {
            let (value_type, count) = counted.types.iter().max_by_key(|(_, count)| *count)?;
            let common = *count >= LEAST_ROWS && count.saturating_mul(LEAST_PART) >= rows;
            let alike = count.saturating_mul(2) >= counted.all;
            (common && alike).then_some((*count, name, value_type))
        });
        let mut new: Vec<(u64, &String, &PropertyType)> = new.collect();
        new.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        let room = MOST_COLUMNS.saturating_sub(typed.columns.len());
        for (_, name, value_type) in new.into_iter().take(room) {
            let column = TypedColumn::new(name, value_type.clone(), typed.columns.len());
            typed.columns.push(column);
        }
        typed.rest = typed.rest.take().filter(|_| !self.cut);
        let Some(rest) = &mut typed.rest else {
            return typed;
        };
        let columns = typed.columns.iter();
        let columns: BTreeMap<&str, &PropertyType> = columns
            .map(|column| (column.name.as_str(), &column.value_type))
            .collect();
        for (name, counted) in &self.names {
            let column = columns.get(name.as_str());
            if column.is_none_or(|value_type| counted.has_others(value_type)) {
                rest.insert(name.clone());
            }
        }
        if rest.len() > MOST_NAMES || rest.iter().map(String::len).sum::<usize>() > MOST_NAME_BYTES
        {
            typed.rest = None;
        }
        typed
    }
}

impl Counted {
    fn add(&mut self, value: &Value) {
        self.all += 1;
        if matches!(value, Value::List(values) if values.is_empty()) {
            self.empty_lists += 1;
            return;
        }
        let known = self.types.iter_mut();
        let mut known = known.filter(|(value_type, _)| fits(value_type, value));
        if let Some((_, count)) = known.next() {
            *count += 1;
        } else if let Some(value_type) = type_of(value).filter(|own| fits(own, value)) {
            self.types.push((value_type, 1));
        }
    }

    /// Whether some are not of this type.
    fn has_others(&self, value_type: &PropertyType) -> bool {
        let of_type = self.types.iter().find(|(own, _)| own == value_type);
        let lists = match value_type {
            PropertyType::List(_) => self.empty_lists,
            _ => 0,
        };
        self.all > of_type.map_or(0, |(_, count)| *count) + lists
    }
}
