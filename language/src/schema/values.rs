//! Whether a value may stand in a property.
//!
//! Both ways in end in [`Property::accept`]: Cypher's values directly, those of a load after
//! [`PropertyType::parse_json`]. What they give is what is stored, so a value read from memory and
//! one read from disk are the same. Null is accepted everywhere: whether a row must have the
//! property is asked where the whole row is known.
//!
//! ```
//! use language::schema::PropertyType;
//!
//! let stored = PropertyType::F64.parse_json(&serde_json::json!(3)).expect("a number");
//! assert_eq!(stored, language::Value::Float(3.0));
//! let error = PropertyType::I32.parse_json(&serde_json::json!("x")).unwrap_err();
//! assert_eq!(error.to_string(), "expected I32, got string \"x\"");
//! ```

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::calendar;
use super::json::scalar_to_json;
use super::model::{Property, PropertyType};
use super::pattern::Pattern;
use crate::diagnostic::closest;
use crate::value::Value;

/// Most characters of a value or a type that a message shows.
const SHOWN: usize = 64;
/// Why a value may not stand in a property.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// It is of another kind.
    #[error("expected {expected}, got {found}")]
    WrongType {
        /// The type of the property, as a schema writes it.
        expected: String,
        /// The kind and the value.
        found: String,
    },
    /// It is of the right kind, but the type cannot hold it.
    #[error("{expected} holds {smallest} to {largest}, got {found}")]
    DoesNotFit {
        /// The type of the property.
        expected: String,
        /// The smallest value that it holds.
        smallest: String,
        /// The largest value that it holds.
        largest: String,
        /// The value.
        found: String,
    },
    /// It is none of the values of the enum.
    #[error("expected one of {expected}, got {found}{}", suggested(suggestion.as_deref()))]
    NotInEnum {
        /// The values of the enum.
        expected: String,
        /// The value.
        found: String,
        /// The value that was probably meant.
        suggestion: Option<String>,
    },
    /// It does not read as a date.
    #[error("expected a date such as 2024-02-29, got {found}")]
    NotADate {
        /// The text.
        found: String,
    },
    /// It does not read as a time.
    #[error("expected a time such as 2024-02-29T12:00:00Z, got {found}")]
    NotADateTime {
        /// The text.
        found: String,
    },
    /// `@range` excludes it.
    #[error("expected {range}, got {found}")]
    OutOfRange {
        /// The range, in words.
        range: String,
        /// The value.
        found: String,
    },
    /// `@check` excludes it.
    #[error("expected a text that matches {pattern}, got {found}")]
    NoMatch {
        /// The regular expression.
        pattern: String,
        /// The text.
        found: String,
    },
    /// An element of a list is null.
    #[error("element {index} of the list is null")]
    NullElement {
        /// Counted from 0.
        index: usize,
    },
    /// An element of a list may not stand there.
    #[error("element {index} of the list: {reason}")]
    Element {
        /// Counted from 0.
        index: usize,
        /// What is wrong with it.
        reason: Box<InvalidValue>,
    },
}

impl Property {
    /// The value as it is stored: of the property's type, within its `@range`, matching its
    /// `@check`. Integers become floats where floats are held; nothing else is converted.
    ///
    /// # Errors
    /// [`InvalidValue`] says what was expected and what came.
    pub fn accept(&self, value: Value) -> Result<Value, InvalidValue> {
        let value = self.value_type.accept(value)?;
        if self.range.is_some() || self.check.is_some() {
            each_element(&value, |element| {
                self.check_range(element)?;
                self.check_pattern(element)
            })?;
        }
        Ok(value)
    }

    fn check_range(&self, value: &Value) -> Result<(), InvalidValue> {
        let Some((min, max)) = &self.range else {
            return Ok(());
        };
        // NaN compares with nothing, so no range has it.
        let above = |min: &Value| value.compare(min).is_some_and(Ordering::is_ge);
        let below = |max: &Value| value.compare(max).is_some_and(Ordering::is_le);
        if min.as_ref().is_none_or(above) && max.as_ref().is_none_or(below) {
            return Ok(());
        }
        Err(InvalidValue::OutOfRange {
            range: range_in_words(min.as_ref(), max.as_ref()),
            found: show(value),
        })
    }

    fn check_pattern(&self, value: &Value) -> Result<(), InvalidValue> {
        match (&self.check, value) {
            (Some(pattern), Value::String(text)) if !pattern.matches(text) => {
                Err(no_match(pattern, value))
            }
            _ => Ok(()),
        }
    }
}

impl PropertyType {
    /// The value as it is stored in this type.
    ///
    /// # Errors
    /// [`InvalidValue`] says what was expected and what came.
    pub fn accept(&self, value: Value) -> Result<Value, InvalidValue> {
        match (self, value) {
            (_, Value::Null) => Ok(Value::Null),
            (Self::String, value @ Value::String(_)) | (Self::Bool, value @ Value::Bool(_)) => {
                Ok(value)
            }
            (Self::I32 | Self::I64 | Self::U32 | Self::U64, Value::Int(int)) => {
                self.accept_int(int)
            }
            (Self::F32 | Self::F64, Value::Float(float)) => self.accept_float(float),
            #[expect(clippy::cast_precision_loss, reason = "what Cypher's toFloat does")]
            (Self::F32 | Self::F64, Value::Int(int)) => self.accept_float(int as f64),
            (Self::Date, Value::Date(days)) => self.accept_date(days),
            (Self::DateTime, Value::DateTime(micros)) => self.accept_date_time(micros),
            (Self::Enum(values), Value::String(text)) => {
                accept_enum(values, &text).map(|()| Value::String(text))
            }
            (Self::List(element), Value::List(values)) => accept_list(element, &values),
            (Self::Map, Value::Map(map)) => accept_map(&map),
            (_, value) => Err(self.wrong_type(show(&value))),
        }
    }

    pub(super) fn accept_int(&self, int: i64) -> Result<Value, InvalidValue> {
        let (smallest, largest) = self.int_limits();
        if (smallest..=largest).contains(&int) {
            Ok(Value::Int(int))
        } else {
            Err(self.does_not_fit(int.to_string()))
        }
    }

    fn int_limits(&self) -> (i64, i64) {
        match self {
            Self::I32 => (i32::MIN.into(), i32::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::U64 => (0, i64::MAX),
            _ => (i64::MIN, i64::MAX),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to 32 bits is what F32 asks for"
    )]
    fn accept_float(&self, float: f64) -> Result<Value, InvalidValue> {
        if *self == Self::F64 {
            return Ok(Value::Float(float));
        }
        let rounded = float as f32;
        if float.is_finite() && !rounded.is_finite() {
            return Err(self.does_not_fit(float.to_string()));
        }
        Ok(Value::Float(f64::from(rounded)))
    }

    fn accept_date(&self, days: i32) -> Result<Value, InvalidValue> {
        if (calendar::MIN_DATE..=calendar::MAX_DATE).contains(&days) {
            Ok(Value::Date(days))
        } else {
            Err(self.does_not_fit(calendar::format_date(days)))
        }
    }

    fn accept_date_time(&self, micros: i64) -> Result<Value, InvalidValue> {
        if (calendar::MIN_DATE_TIME..=calendar::MAX_DATE_TIME).contains(&micros) {
            Ok(Value::DateTime(micros))
        } else {
            Err(self.does_not_fit(calendar::format_date_time(micros)))
        }
    }

    pub(super) fn wrong_type(&self, found: String) -> InvalidValue {
        InvalidValue::WrongType {
            expected: shorten(&self.to_string()),
            found,
        }
    }

    pub(super) fn does_not_fit(&self, found: String) -> InvalidValue {
        let (smallest, largest) = match self {
            Self::F32 => (f32::MIN.to_string(), f32::MAX.to_string()),
            Self::Date => (
                calendar::format_date(calendar::MIN_DATE),
                calendar::format_date(calendar::MAX_DATE),
            ),
            Self::DateTime => (
                calendar::format_date_time(calendar::MIN_DATE_TIME),
                calendar::format_date_time(calendar::MAX_DATE_TIME),
            ),
            _ => {
                let (smallest, largest) = self.int_limits();
                (smallest.to_string(), largest.to_string())
            }
        };
        InvalidValue::DoesNotFit {
            expected: self.to_string(),
            smallest,
            largest,
            found: shorten(&found),
        }
    }
}

fn accept_enum(values: &[String], text: &str) -> Result<(), InvalidValue> {
    if values.iter().any(|value| value == text) {
        return Ok(());
    }
    let suggestion = closest(&shorten(text), values.iter().map(String::as_str)).map(str::to_owned);
    Err(InvalidValue::NotInEnum {
        expected: shorten(&values.join(", ")),
        found: show(&Value::from(text)),
        suggestion,
    })
}

fn accept_list(element: &PropertyType, values: &[Value]) -> Result<Value, InvalidValue> {
    let accepted: Result<Vec<_>, _> = values
        .iter()
        .enumerate()
        .map(|(index, value)| in_list(index, element.accept(value.clone())))
        .collect();
    Ok(Value::list(accepted?))
}

/// Properties of an open graph: nulls are left out, and what cannot be stored is refused.
fn accept_map(map: &BTreeMap<String, Value>) -> Result<Value, InvalidValue> {
    let mut kept = BTreeMap::new();
    for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
        if !storable(value) {
            return Err(InvalidValue::WrongType {
                expected: format!("a value that `{}` can hold", shorten(name)),
                found: show(value),
            });
        }
        kept.insert(name.clone(), value.clone());
    }
    Ok(Value::Map(Arc::new(kept)))
}

/// Scalars, times and lists of them; no maps, no elements of the graph.
fn storable(value: &Value) -> bool {
    match value {
        Value::List(values) => values.iter().all(storable),
        Value::Null | Value::Map(_) | Value::Node(_) | Value::Relationship(_) | Value::Path(_) => {
            false
        }
        _ => true,
    }
}

/// What holds of an element of a list: it is not null, and its error says where it is.
pub(super) fn in_list(
    index: usize,
    element: Result<Value, InvalidValue>,
) -> Result<Value, InvalidValue> {
    match element {
        Ok(Value::Null) => Err(InvalidValue::NullElement { index }),
        Ok(value) => Ok(value),
        Err(reason) => Err(InvalidValue::Element {
            index,
            reason: Box::new(reason),
        }),
    }
}

/// Checks a value, or each element of a list; null passes.
fn each_element(
    value: &Value,
    check: impl Fn(&Value) -> Result<(), InvalidValue>,
) -> Result<(), InvalidValue> {
    match value {
        Value::Null => Ok(()),
        Value::List(values) => values.iter().enumerate().try_for_each(|(index, value)| {
            check(value).map_err(|reason| InvalidValue::Element {
                index,
                reason: Box::new(reason),
            })
        }),
        value => check(value),
    }
}

fn no_match(pattern: &Pattern, value: &Value) -> InvalidValue {
    InvalidValue::NoMatch {
        pattern: format!("/{}/", shorten(pattern.as_str())),
        found: show(value),
    }
}

fn range_in_words(min: Option<&Value>, max: Option<&Value>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{} to {}", plain(min), plain(max)),
        (Some(min), None) => format!("at least {}", plain(min)),
        (None, Some(max)) => format!("at most {}", plain(max)),
        (None, None) => "a number".to_owned(),
    }
}

/// A value without its kind or quotes, shortened.
fn plain(value: &Value) -> String {
    match scalar_to_json(value) {
        Json::String(text) => shorten(&text),
        json => shorten(&json.to_string()),
    }
}

/// A value with its kind, shortened: `integer 70`, `string "abc"`.
fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => format!("string {:?}", shorten(text)),
        Value::Node(_) | Value::Relationship(_) | Value::Path(_) | Value::Map(_) => {
            format!("a {}", value.kind())
        }
        value => format!("{} {}", value.kind(), plain(value)),
    }
}

pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn suggested(suggestion: Option<&str>) -> String {
    suggestion
        .map(|name| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default()
}
