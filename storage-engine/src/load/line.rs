//! One line of a load -> one row of columns, without values in between.
//!
//! This reads what nearly all lines are: the type first, scalars that fit as they stand. Whatever
//! else comes, a mistake included, is left to [`super::record`], which says what is wrong.

use std::borrow::Cow;
use std::fmt;

use language::schema::calendar::{parse_date, parse_date_time};
use language::schema::{Property, PropertyType};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::builder::Cell;
use super::context::{Context, Shape, write_key};
use super::part::Given;
use crate::identity::ID;
use crate::keys;

/// A scalar as JSON has it.
#[derive(Clone, Debug, PartialEq)]
enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

/// What a line says.
#[derive(Debug)]
pub(super) struct Line<'a> {
    slot: usize,
    /// By position; `None` where nothing is given.
    values: Vec<Option<Scalar<'a>>>,
    /// An `id` that is no property.
    id: Option<Scalar<'a>>,
    /// The keys of the source and of the target, one after the other, and where the first ends.
    ends: Option<(Vec<u8>, usize)>,
}

impl<'a> Line<'a> {
    /// Reads a line; `None` when it is one for [`super::record`].
    pub(super) fn read(bytes: &'a [u8], context: &Context) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let raw = json.deserialize_map(LineVisitor(context)).ok()?;
        json.end().ok()?;
        let shape = context.shape(raw.slot)?;
        let ends = match (shape.ends, raw.from, raw.to) {
            (None, None, None) => None,
            (Some((source, target)), Some(from), Some(to)) => {
                let mut keys = Vec::with_capacity(64);
                write_end(context.shape(source)?, from, &mut keys)?;
                let source_ends = keys.len();
                write_end(context.shape(target)?, to, &mut keys)?;
                Some((keys, source_ends))
            }
            _ => return None,
        };
        let mut values = raw.values;
        for (property, value) in shape.layout.properties.iter().zip(&mut values) {
            if let Some(value) = value {
                fit(property, value)?;
            }
        }
        let line = Self {
            slot: raw.slot,
            values,
            id: raw.id,
            ends,
        };
        line.is_identified(shape).then_some(line)
    }

    pub(super) fn slot(&self) -> usize {
        self.slot
    }

    /// Whether an `id` that is no property is one that can be taken as it stands.
    fn is_identified(&self, shape: &Shape) -> bool {
        match (&self.id, shape.layout.key.as_slice()) {
            (None, _) => true,
            (Some(Scalar::Text(id)), []) => !id.is_empty(),
            (Some(id), [position]) => {
                let key = self.values.get(*position);
                matches!(id, Scalar::Text(_)) && key == Some(&Some(id.clone()))
            }
            _ => false,
        }
    }

    /// Hands the row over.
    pub(super) fn give(&self, line: u64, take: impl FnOnce(Given<'_, '_>)) {
        let cells = self.values.iter().map(|value| value.as_ref().map(cell));
        let mut cells: Vec<Option<Cell<'_>>> = cells.collect();
        let identity = match &self.id {
            Some(Scalar::Text(text)) => Some(&**text),
            _ => None,
        };
        let ends = self.ends.as_ref();
        take(Given {
            line,
            cells: &mut cells,
            identity,
            ends: ends.and_then(|(keys, source_ends)| keys.split_at_checked(*source_ends)),
        });
    }
}

fn cell<'a>(scalar: &'a Scalar<'_>) -> Cell<'a> {
    match scalar {
        Scalar::Null => Cell::Null,
        Scalar::Bool(value) => Cell::Bool(*value),
        Scalar::Int(value) => Cell::Int(*value),
        Scalar::Float(value) => Cell::Float(*value),
        Scalar::Text(text) => Cell::Text(text),
    }
}

/// Makes of a scalar what its property stores; `None` when that takes more than a glance.
fn fit(property: &Property, scalar: &mut Scalar<'_>) -> Option<()> {
    if property.range.is_some() || property.check.is_some() {
        return matches!(scalar, Scalar::Null).then_some(());
    }
    fit_type(&property.value_type, scalar)
}

fn fit_type(value_type: &PropertyType, scalar: &mut Scalar<'_>) -> Option<()> {
    match (value_type, &*scalar) {
        (_, Scalar::Null)
        | (PropertyType::String, Scalar::Text(_))
        | (PropertyType::Bool, Scalar::Bool(_))
        | (PropertyType::I64, Scalar::Int(_))
        | (PropertyType::F64, Scalar::Float(_)) => Some(()),
        (PropertyType::I32, Scalar::Int(value)) => i32::try_from(*value).ok().map(drop),
        (PropertyType::U32, Scalar::Int(value)) => u32::try_from(*value).ok().map(drop),
        (PropertyType::U64, Scalar::Int(value)) => u64::try_from(*value).ok().map(drop),
        #[expect(clippy::cast_possible_truncation, reason = "F32 asks for rounding")]
        (PropertyType::F32, Scalar::Float(value)) => (*value as f32).is_finite().then_some(()),
        #[expect(clippy::cast_precision_loss, reason = "what a load does with integers")]
        (PropertyType::F32 | PropertyType::F64, Scalar::Int(value)) => {
            *scalar = Scalar::Float(*value as f64);
            Some(())
        }
        (PropertyType::Enum(values), Scalar::Text(text)) => {
            values.iter().any(|value| value == text).then_some(())
        }
        (PropertyType::Date, Scalar::Text(text)) => {
            *scalar = Scalar::Int(parse_date(text)?.into());
            Some(())
        }
        (PropertyType::DateTime, Scalar::Text(text)) => {
            *scalar = Scalar::Int(parse_date_time(text)?);
            Some(())
        }
        _ => None,
    }
}

/// Appends the key that an end of an edge names.
fn write_end(shape: &Shape, mut end: Scalar<'_>, keys: &mut Vec<u8>) -> Option<()> {
    match (shape.layout.key.as_slice(), &end) {
        ([], Scalar::Text(text)) if shape.layout.declared_id.is_none() && !text.is_empty() => {
            keys::write_text(text, keys);
            Some(())
        }
        ([position], given) if *given != Scalar::Null => {
            let property = shape.property(*position)?;
            // Whether the key may be so, is for the node to say.
            let plain = matches!(
                property.value_type,
                PropertyType::String | PropertyType::I32 | PropertyType::I64 | PropertyType::U32
            );
            if !plain {
                return None;
            }
            fit_type(&property.value_type, &mut end)?;
            write_key(property, &cell(&end), keys);
            Some(())
        }
        _ => None,
    }
}

/// What a line says, before it is held against its type.
struct Raw<'a> {
    slot: usize,
    values: Vec<Option<Scalar<'a>>>,
    id: Option<Scalar<'a>>,
    from: Option<Scalar<'a>>,
    to: Option<Scalar<'a>>,
}

struct LineVisitor<'c>(&'c Context);

/// The names in a line.
enum Name {
    Type,
    Edge,
    From,
    To,
    Data,
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name of a record")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
        match name {
            "type" => Ok(Name::Type),
            "edge" => Ok(Name::Edge),
            "from" => Ok(Name::From),
            "to" => Ok(Name::To),
            "data" => Ok(Name::Data),
            _ => Err(unusual()),
        }
    }
}

/// Something for [`super::record`].
fn unusual<E: Error>() -> E {
    E::custom("unusual")
}

impl<'de> Visitor<'de> for LineVisitor<'_> {
    type Value = Raw<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut slot = None;
        let mut data: Option<Data<'de>> = None;
        let (mut from, mut to) = (None, None);
        while let Some(name) = map.next_key_seed(NameSeed)? {
            match name {
                Name::Type | Name::Edge if slot.is_some() => return Err(unusual()),
                Name::Type | Name::Edge => {
                    let edge = matches!(name, Name::Edge);
                    let Scalar::Text(name) = map.next_value_seed(ScalarSeed)? else {
                        return Err(unusual());
                    };
                    slot = Some(self.0.named(&name, edge).ok_or_else(unusual)?);
                }
                Name::From if from.is_none() => from = Some(map.next_value_seed(ScalarSeed)?),
                Name::To if to.is_none() => to = Some(map.next_value_seed(ScalarSeed)?),
                Name::Data if data.is_none() => {
                    let shape = slot.and_then(|slot| self.0.shape(slot));
                    let shape = shape.ok_or_else(unusual)?;
                    data = Some(map.next_value_seed(DataSeed(shape))?);
                }
                _ => return Err(unusual()),
            }
        }
        let slot = slot.ok_or_else(unusual)?;
        let properties = self
            .0
            .shape(slot)
            .map_or(0, |it| it.layout.properties.len());
        let data = data.unwrap_or_else(|| Data {
            values: vec![None; properties],
            id: None,
        });
        Ok(Raw {
            slot,
            values: data.values,
            id: data.id,
            from,
            to,
        })
    }
}

/// What stands in `data`.
struct Data<'a> {
    values: Vec<Option<Scalar<'a>>>,
    id: Option<Scalar<'a>>,
}

struct DataSeed<'c>(&'c Shape);

/// The position of a property; `None` for an `id` that is none.
struct PropertySeed<'c> {
    shape: &'c Shape,
    /// Where it probably stands.
    next: usize,
}

impl<'de> DeserializeSeed<'de> for PropertySeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for PropertySeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a property")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        let named = |property: &Property| property.name == name;
        if self.shape.property(self.next).is_some_and(named) {
            return Ok(Some(self.next));
        }
        let position = self.shape.layout.properties.iter().position(named);
        if position.is_none() && name != ID {
            return Err(unusual());
        }
        Ok(position)
    }
}

impl<'de> DeserializeSeed<'de> for DataSeed<'_> {
    type Value = Data<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for DataSeed<'_> {
    type Value = Data<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("properties")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data<'de>, A::Error> {
        let shape = self.0;
        let mut data = Data {
            values: vec![None; shape.layout.properties.len()],
            id: None,
        };
        let mut next = 0;
        while let Some(position) = map.next_key_seed(PropertySeed { shape, next })? {
            let place = match position {
                Some(position) => data.values.get_mut(position).ok_or_else(unusual)?,
                None => &mut data.id,
            };
            // A name that stands there twice.
            if place.is_some() {
                return Err(unusual());
            }
            *place = Some(map.next_value_seed(ScalarSeed)?);
            next = position.map_or(next, |position| position + 1);
        }
        Ok(data)
    }
}

struct ScalarSeed;

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarSeed {
    type Value = Scalar<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a scalar")
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar<'de>, E> {
        i64::try_from(value).map(Scalar::Int).map_err(|_| unusual())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }
}
