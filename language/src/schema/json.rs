//! Values as JSON, both ways: what loads bring, what answers and exports carry.
//!
//! A value that is exported and loaded again is the same. What a node looks like is not known here:
//! [`to_json`] is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::calendar;
use super::model::{Property, PropertyType};
use super::values::{InvalidValue, in_list, shorten};
use crate::temporal::{self, Temporal, parse};
use crate::value::{EdgeRef, NodeRef, Path, Value};

/// 2^53: up to here every integer is exact in a double, which is what JSON's writers use.
const EXACT_IN_DOUBLE: f64 = 9_007_199_254_740_992.0;

impl Property {
    /// [`PropertyType::parse_json`], then [`Property::accept`].
    ///
    /// # Errors
    /// [`InvalidValue`] says what was expected and what came.
    pub fn accept_json(&self, json: &Json) -> Result<Value, InvalidValue> {
        self.accept(self.value_type.parse_json(json)?)
    }
}

impl PropertyType {
    /// The value that a load's JSON stands for. Dates and times are ISO 8601 text; integers may
    /// also be text or whole floats, because not every writer of JSON has 64-bit integers; NaN and
    /// the infinities, which JSON does not have, are `"NaN"`, `"Infinity"`, `"-Infinity"`.
    ///
    /// # Errors
    /// [`InvalidValue`] says what was expected and what came.
    pub fn parse_json(&self, json: &Json) -> Result<Value, InvalidValue> {
        let value = match (self, json) {
            (_, Json::Null) => Some(Value::Null),
            (Self::String | Self::Enum(_), Json::String(text)) => Some(Value::string(text)),
            (Self::Bool, Json::Bool(value)) => Some(Value::Bool(*value)),
            (Self::I32 | Self::I64 | Self::U32 | Self::U64, _) => return self.parse_int(json),
            (Self::F32 | Self::F64, _) => parse_float(json).map(Value::Float),
            (Self::Date, Json::String(text)) => {
                let days = calendar::parse_date(text);
                Some(Value::Date(days.ok_or_else(|| InvalidValue::NotADate {
                    found: show_json(json),
                })?))
            }
            (Self::DateTime, Json::String(text)) => {
                let micros = calendar::parse_date_time(text);
                let invalid = || InvalidValue::NotADateTime {
                    found: show_json(json),
                };
                Some(Value::DateTime(micros.ok_or_else(invalid)?))
            }
            (Self::List(element), Json::Array(values)) => {
                let values: Result<Vec<_>, _> = values
                    .iter()
                    .enumerate()
                    .map(|(index, value)| in_list(index, element.parse_json(value)))
                    .collect();
                return Ok(Value::list(values?));
            }
            (Self::Map, Json::Object(members)) => {
                let members: Option<BTreeMap<String, Value>> = members
                    .iter()
                    .map(|(name, json)| Some((name.clone(), untagged(json)?)))
                    .collect();
                members.map(|members| Value::Map(Arc::new(members)))
            }
            _ => None,
        };
        self.accept(value.ok_or_else(|| self.wrong_type(show_json(json)))?)
    }

    fn parse_int(&self, json: &Json) -> Result<Value, InvalidValue> {
        let int = match json {
            Json::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            Json::String(text) if !text.starts_with('+') => text.parse().ok(),
            _ => None,
        };
        match int {
            Some(int) => self.accept_int(int),
            None if is_whole_number(json) => Err(self.does_not_fit(show_json(json))),
            None => Err(self.wrong_type(show_json(json))),
        }
    }
}

/// What JSON has no form for by itself: what these look like depends on the graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entity<'a> {
    /// A node.
    Node(NodeRef),
    /// A relationship.
    Relationship(EdgeRef),
    /// A path.
    Path(&'a Path),
}

/// The value as JSON: dates and times as ISO 8601 text, NaN and the infinities as text too, and
/// whatever `entity` gives for nodes, relationships and paths, wherever they stand.
pub fn to_json(value: &Value, entity: &impl Fn(Entity<'_>) -> Json) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(int) => Json::from(*int),
        Value::Float(float) => match serde_json::Number::from_f64(*float) {
            Some(number) => Json::Number(number),
            None if float.is_nan() => Json::from("NaN"),
            None if *float > 0.0 => Json::from("Infinity"),
            None => Json::from("-Infinity"),
        },
        Value::String(text) => Json::from(&**text),
        Value::Date(days) => Json::from(calendar::format_date(*days)),
        Value::DateTime(micros) => Json::from(calendar::format_date_time(*micros)),
        Value::List(values) => values.iter().map(|value| to_json(value, entity)).collect(),
        Value::Temporal(temporal) => Json::from(temporal.to_string()),
        Value::Map(map) => {
            let members = map
                .iter()
                .map(|(name, value)| (name.clone(), to_json(value, entity)));
            Json::Object(members.collect())
        }
        Value::Node(node) => entity(Entity::Node(*node)),
        Value::Relationship(edge) => entity(Entity::Relationship(*edge)),
        Value::Path(path) => entity(Entity::Path(path)),
    }
}

/// The JSON of a value that a property can hold, and of maps of such values. Nodes, relationships
/// and paths are in no property; where a message meets one it is `"(node)"` and the like, and an
/// answer takes [`to_json`].
#[must_use]
pub fn scalar_to_json(value: &Value) -> Json {
    to_json(value, &|entity| {
        Json::from(match entity {
            Entity::Node(_) => "(node)",
            Entity::Relationship(_) => "(relationship)",
            Entity::Path(_) => "(path)",
        })
    })
}

/// The JSON of a property of an open graph, where nothing declares what it is: what JSON has no form
/// for is an object of one member, `{"date": "2024-02-29"}`. A load reads it back unchanged.
#[must_use]
pub fn to_tagged_json(value: &Value) -> Json {
    match value {
        Value::List(values) => values.iter().map(to_tagged_json).collect(),
        Value::Float(float) if !float.is_finite() => json!({"float": scalar_to_json(value)}),
        value => match temporal::of(value) {
            Some(temporal) => json!({(temporal.kind()): temporal.to_string()}),
            None => scalar_to_json(value),
        },
    }
}

/// What [`to_tagged_json`] made; `None` for anything else.
fn untagged(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::string(text),
        Json::Number(number) => match number.as_i64() {
            Some(int) => Value::Int(int),
            None => Value::Float(number.as_f64()?),
        },
        Json::Array(values) => {
            Value::list(values.iter().map(untagged).collect::<Option<Vec<_>>>()?)
        }
        Json::Object(members) => {
            let mut members = members.iter();
            let (Some((kind, json)), None) = (members.next(), members.next()) else {
                return None;
            };
            if kind == "float" {
                return parse_float(json).map(Value::Float);
            }
            of_kind(kind, json.as_str()?)?
        }
    })
}

fn of_kind(kind: &str, text: &str) -> Option<Value> {
    // A zone is written with its offset, which is what counts here.
    let any_zone: &parse::Zones<'_> = &|_, _, _| Some(0);
    Some(match kind {
        "date" => temporal::date(parse::date(text)?),
        "localtime" => temporal::wrap(Temporal::LocalTime(parse::local_time(text)?)),
        "time" => temporal::wrap(parse::time(text)?),
        "localdatetime" => {
            let (days, nanos) = parse::local_date_time(text)?;
            temporal::wrap(Temporal::LocalDateTime { days, nanos })
        }
        "datetime" => match parse::date_time(text, any_zone)? {
            Temporal::DateTime {
                days,
                nanos,
                offset,
                zone,
            } => temporal::date_time(days, nanos, offset, zone),
            _ => return None,
        },
        "duration" => temporal::wrap(Temporal::Duration(parse::duration(text)?)),
        _ => return None,
    })
}

/// The integer that a double stands for without doubt.
#[expect(
    clippy::cast_possible_truncation,
    reason = "whole and small enough to be exact"
)]
fn whole(float: f64) -> Option<i64> {
    (float.fract() == 0.0 && float.abs() <= EXACT_IN_DOUBLE).then_some(float as i64)
}

/// Whether it is an integer, however large.
fn is_whole_number(json: &Json) -> bool {
    match json {
        Json::Number(number) => number.as_f64().is_some_and(|float| float.fract() == 0.0),
        Json::String(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

fn parse_float(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn show_json(json: &Json) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => format!("boolean {value}"),
        Json::Number(number) => format!("number {}", shorten(&number.to_string())),
        Json::String(text) => format!("string {:?}", shorten(text)),
        Json::Array(values) => format!("a list of {}", values.len()),
        Json::Object(_) => "an object".to_owned(),
    }
}
