//! Functions of lists; some take text too.

use std::sync::Arc;

use language::value::Value;

use super::{Answer, Call};
use crate::executor::error::ExecuteError;

fn elements<'v>(call: Call<'_>, value: &'v Value) -> Result<&'v Arc<[Value]>, ExecuteError> {
    match value {
        Value::List(list) => Ok(list),
        other => Err(call.mismatch("a list", other)),
    }
}

pub(super) fn size(call: Call<'_>, value: &Value) -> Answer {
    let size = match value {
        Value::List(list) => list.len(),
        Value::String(text) => text.chars().count(),
        other => return Err(call.mismatch("a list or string", other)),
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

pub(super) fn head(call: Call<'_>, value: &Value) -> Answer {
    Ok(elements(call, value)?
        .first()
        .cloned()
        .unwrap_or(Value::Null))
}

pub(super) fn last(call: Call<'_>, value: &Value) -> Answer {
    Ok(elements(call, value)?
        .last()
        .cloned()
        .unwrap_or(Value::Null))
}

pub(super) fn tail(call: Call<'_>, value: &Value) -> Answer {
    Ok(Value::list(elements(call, value)?.iter().skip(1).cloned()))
}

pub(super) fn reverse(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::String(text) => Ok(Value::string(text.chars().rev().collect::<String>())),
        Value::List(list) => Ok(Value::list(list.iter().rev().cloned())),
        other => Err(call.mismatch("a list or string", other)),
    }
}

pub(super) fn range(call: Call<'_>, first: &Value, last: &Value, step: Option<&Value>) -> Answer {
    let (first, last) = (call.integer(first)?, call.integer(last)?);
    let step = step.map_or(Ok(1), |step| call.integer(step))?;
    if step == 0 {
        return Err(call.refuse("the step is 0"));
    }
    let span = if step > 0 {
        i128::from(last) - i128::from(first)
    } else {
        i128::from(first) - i128::from(last)
    };
    if span < 0 {
        return Ok(Value::list([]));
    }
    let count = span / i128::from(step).abs() + 1;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    call.context
        .statement
        .require(count.saturating_mul(size_of::<Value>()))?;
    let mut values = Vec::with_capacity(count);
    let mut next = Some(first);
    while let Some(value) = next.filter(|_| values.len() < count) {
        values.push(Value::Int(value));
        next = value.checked_add(step);
    }
    Ok(Value::list(values))
}
