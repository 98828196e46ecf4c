//! Checks the given parameters against what the statement's uses ask for.
//!
//! Parameters arrive as JSON, which has no dates: text is read as a date or instant where one is
//! asked for.

use std::collections::BTreeMap;

use language::plan::Type;
use language::value::Value;

use super::Parameters;
use super::error::ExecuteError;
use super::functions::temporal::{parse_date, parse_datetime};

/// The values of the parameters that a statement names.
pub(crate) fn bind(
    declared: &BTreeMap<String, Type>,
    given: &Parameters,
) -> Result<BTreeMap<String, Value>, ExecuteError> {
    declared
        .iter()
        .map(|(name, expected)| {
            let value = given
                .get(name)
                .ok_or_else(|| ExecuteError::MissingParameter { name: name.clone() })?;
            let value = convert(value, expected).ok_or_else(|| ExecuteError::ParameterType {
                name: name.clone(),
                expected: describe(expected),
                found: value.kind(),
            })?;
            Ok((name.clone(), value))
        })
        .collect()
}

fn convert(value: &Value, expected: &Type) -> Option<Value> {
    let fits = match (value, expected) {
        (Value::Null, _)
        | (_, Type::Any)
        | (Value::Bool(_), Type::Boolean)
        | (Value::Int(_), Type::Integer | Type::Number | Type::Float)
        | (Value::Float(_), Type::Float | Type::Number)
        | (Value::String(_), Type::String)
        | (Value::Date(_), Type::Date)
        | (Value::DateTime(_), Type::DateTime)
        | (Value::Map(_), Type::Map)
        | (Value::Path(_), Type::Path) => true,
        (Value::Temporal(temporal), wanted) => {
            matches!(
                (temporal.kind(), wanted),
                ("date", Type::Date)
                    | ("datetime", Type::DateTime)
                    | ("localdatetime", Type::LocalDateTime)
                    | ("time", Type::Time)
                    | ("localtime", Type::LocalTime)
                    | ("duration", Type::Duration)
            )
        }
        (Value::Node(node), Type::Node(types)) => types.contains(&node.type_id),
        (Value::Relationship(edge), Type::Relationship(types)) => types.contains(&edge.type_id),
        (Value::String(text), Type::Date) => return parse_date(text),
        (Value::String(text), Type::DateTime) => return parse_datetime(text),
        (Value::List(elements), Type::List(element)) => {
            let converted: Option<Vec<Value>> = elements
                .iter()
                .map(|value| convert(value, element))
                .collect();
            return converted.map(Value::list);
        }
        _ => false,
    };
    fits.then(|| value.clone())
}

fn describe(expected: &Type) -> String {
    match expected {
        Type::Any => "any value".to_owned(),
        Type::Null => "null".to_owned(),
        Type::Boolean => "a boolean".to_owned(),
        Type::Integer => "an integer".to_owned(),
        Type::Float | Type::Number => "a number".to_owned(),
        Type::String => "a string".to_owned(),
        Type::Date => "a date (YYYY-MM-DD)".to_owned(),
        Type::DateTime => "a datetime with an offset (2024-05-01T12:00:00Z)".to_owned(),
        Type::LocalTime => "a localtime".to_owned(),
        Type::Time => "a time".to_owned(),
        Type::LocalDateTime => "a localdatetime".to_owned(),
        Type::Duration => "a duration".to_owned(),
        Type::Node(_) => "a node".to_owned(),
        Type::Relationship(_) => "a relationship".to_owned(),
        Type::Path => "a path".to_owned(),
        Type::List(element) => format!("a list; each element {}", describe(element)),
        Type::Map => "a map".to_owned(),
    }
}
