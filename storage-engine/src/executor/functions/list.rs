//! Functions of lists; some take text too.

use std::sync::Arc;

use language::plan::Function;
use language::value::Value;

use super::{Answer, Call, Perhaps};
use crate::executor::error::ExecuteError;

pub(super) fn call(call: Call<'_>, function: Function, values: &[Value]) -> Perhaps {
    let value = values.first()?;
    Some(match (function, values) {
        (Function::Size | Function::CharLength, _) => size(call, value),
        (Function::Head, _) => head(call, value),
        (Function::Last, _) => last(call, value),
        (Function::Tail, _) => tail(call, value),
        (Function::Reverse, _) => reverse(call, value),
        (Function::Range, [_, _, ..]) => range(call, values),
        (Function::IsEmpty, _) => is_empty(call, value),
        (Function::Overlay, [below, above]) => overlay(call, below, above),
        (Function::WithLabels, [labels, more]) => with_labels(call, labels, more),
        (Function::WithoutLabels, [labels, less]) => without_labels(call, labels, less),
        _ => return None,
    })
}

fn is_empty(call: Call<'_>, value: &Value) -> Answer {
    Ok(Value::Bool(match value {
        Value::List(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Map(map) => map.is_empty(),
        other => return Err(call.mismatch("a list, map or string", other)),
    }))
}

/// A map with another laid over it; nulls stay, so that they can take entries away.
fn overlay(call: Call<'_>, below: &Value, above: &Value) -> Answer {
    match (below, above) {
        (Value::Map(below), Value::Map(above)) => {
            let mut map = below.as_ref().clone();
            map.extend(
                above
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
            Ok(Value::Map(Arc::new(map)))
        }
        (Value::Map(_), other) | (other, _) => Err(call.mismatch("a map", other)),
    }
}

fn with_labels(call: Call<'_>, labels: &Value, more: &Value) -> Answer {
    let (labels, more) = (elements(call, labels)?, elements(call, more)?);
    let new = more.iter().filter(|label| !labels.contains(label));
    Ok(Value::list(labels.iter().chain(new).cloned()))
}

fn without_labels(call: Call<'_>, labels: &Value, less: &Value) -> Answer {
    let (labels, less) = (elements(call, labels)?, elements(call, less)?);
    Ok(Value::list(
        labels.iter().filter(|label| !less.contains(label)).cloned(),
    ))
}

fn elements<'v>(call: Call<'_>, value: &'v Value) -> Result<&'v Arc<[Value]>, ExecuteError> {
    match value {
        Value::List(list) => Ok(list),
        other => Err(call.mismatch("a list", other)),
    }
}

fn size(call: Call<'_>, value: &Value) -> Answer {
    let size = match value {
        Value::List(list) => list.len(),
        Value::String(text) => text.chars().count(),
        other => return Err(call.mismatch("a list or string", other)),
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn head(call: Call<'_>, value: &Value) -> Answer {
    Ok(elements(call, value)?
        .first()
        .cloned()
        .unwrap_or(Value::Null))
}

fn last(call: Call<'_>, value: &Value) -> Answer {
    Ok(elements(call, value)?
        .last()
        .cloned()
        .unwrap_or(Value::Null))
}

fn tail(call: Call<'_>, value: &Value) -> Answer {
    Ok(Value::list(elements(call, value)?.iter().skip(1).cloned()))
}

fn reverse(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::String(text) => Ok(Value::string(text.chars().rev().collect::<String>())),
        Value::List(list) => Ok(Value::list(list.iter().rev().cloned())),
        other => Err(call.mismatch("a list or string", other)),
    }
}

/// Integers from `first` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    first: i64,
    step: i64,
    /// How many they are.
    pub(crate) count: usize,
}

impl Range {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Value> + use<> {
        let step = self.step;
        let values = std::iter::successors(Some(self.first), move |value| value.checked_add(step));
        values.take(self.count).map(Value::Int)
    }

    pub(super) fn of(call: Call<'_>, values: &[Value]) -> Result<Self, ExecuteError> {
        let integer = |value: Option<&Value>| match value {
            Some(Value::Int(int)) => Ok(*int),
            Some(other) => Err(call.refuse(format!("it takes integers, not a {}", other.kind()))),
            None => Ok(1),
        };
        let (first, last) = (integer(values.first())?, integer(values.get(1))?);
        let step = integer(values.get(2))?;
        if step == 0 {
            return Err(call.refuse("the step is 0"));
        }
        let span = if step > 0 {
            i128::from(last) - i128::from(first)
        } else {
            i128::from(first) - i128::from(last)
        };
        let count = match span {
            ..0 => 0,
            _ => span / i128::from(step).abs() + 1,
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(Self { first, step, count })
    }
}

fn range(call: Call<'_>, values: &[Value]) -> Answer {
    let range = Range::of(call, values)?;
    let statement = call.context.statement;
    statement.require(range.count.saturating_mul(size_of::<Value>()))?;
    let mut values = Vec::with_capacity(range.count);
    for value in range.iter() {
        statement.step()?;
        values.push(value);
    }
    Ok(Value::list(values))
}
