//! Functions of text. Positions and lengths count characters (Unicode scalar values).

use language::value::Value;

use super::{Answer, Call, temporal};

pub(super) fn to_string(call: Call<'_>, value: &Value) -> Answer {
    Ok(match value {
        Value::String(_) => value.clone(),
        Value::Bool(truth) => Value::string(truth.to_string()),
        Value::Int(int) => Value::string(int.to_string()),
        Value::Float(float) => Value::string(format!("{float:?}")),
        Value::Date(days) => Value::string(temporal::date_text(*days)),
        Value::DateTime(micros) => Value::string(temporal::datetime_text(*micros)),
        other => return Err(call.mismatch("a boolean, number, string, date or datetime", other)),
    })
}

pub(super) fn to_boolean(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) => Ok(match text.trim().to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::Null,
        }),
        other => Err(call.mismatch("a boolean or string", other)),
    }
}

pub(super) fn substring(
    call: Call<'_>,
    text: &Value,
    start: &Value,
    length: Option<&Value>,
) -> Answer {
    let text = call.text(text)?;
    let start = call.count(start)?;
    let length = length.map_or(Ok(usize::MAX), |length| call.count(length))?;
    Ok(Value::string(
        text.chars().skip(start).take(length).collect::<String>(),
    ))
}

pub(super) fn left(call: Call<'_>, text: &Value, count: &Value) -> Answer {
    let (text, count) = (call.text(text)?, call.count(count)?);
    Ok(Value::string(text.chars().take(count).collect::<String>()))
}

pub(super) fn right(call: Call<'_>, text: &Value, count: &Value) -> Answer {
    let (text, count) = (call.text(text)?, call.count(count)?);
    let skipped = text.chars().count().saturating_sub(count);
    Ok(Value::string(
        text.chars().skip(skipped).collect::<String>(),
    ))
}

pub(super) fn split(call: Call<'_>, text: &Value, separator: &Value) -> Answer {
    let (text, separator) = (call.text(text)?, call.text(separator)?);
    call.context
        .statement
        .require(text.len().saturating_mul(size_of::<Value>()) / separator.len().max(1))?;
    if separator.is_empty() {
        return Ok(Value::list(
            text.chars()
                .map(|character| Value::string(character.to_string())),
        ));
    }
    Ok(Value::list(text.split(separator).map(Value::from)))
}

pub(super) fn replace(call: Call<'_>, text: &Value, search: &Value, replacement: &Value) -> Answer {
    let (text, search) = (call.text(text)?, call.text(search)?);
    let replacement = call.text(replacement)?;
    if search.is_empty() {
        return Ok(Value::from(text));
    }
    let growth = text
        .matches(search)
        .count()
        .saturating_mul(replacement.len());
    call.context
        .statement
        .require(text.len().saturating_add(growth))?;
    Ok(Value::string(text.replace(search, replacement)))
}
