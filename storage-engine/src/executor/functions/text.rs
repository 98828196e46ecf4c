//! Functions of text. Positions and lengths count characters (Unicode scalar values).

use language::plan::Function;
use language::value::Value;

use super::{Answer, Call, Perhaps};

pub(super) fn call(call: Call<'_>, function: Function, values: &[Value]) -> Perhaps {
    let value = values.first()?;
    let changed = |of: fn(&str) -> String| call.text(value).map(|text| Value::string(of(text)));
    Some(match (function, values) {
        (Function::ToLower | Function::Lower, _) => changed(str::to_lowercase),
        (Function::ToUpper | Function::Upper, _) => changed(str::to_uppercase),
        (Function::Trim, _) => changed(|text| text.trim().to_owned()),
        (Function::LTrim, _) => changed(|text| text.trim_start().to_owned()),
        (Function::RTrim, _) => changed(|text| text.trim_end().to_owned()),
        (Function::Substring, [text, start]) => substring(call, text, start, None),
        (Function::Substring, [text, start, length]) => substring(call, text, start, Some(length)),
        (Function::Left, [text, count]) => left(call, text, count),
        (Function::Right, [text, count]) => right(call, text, count),
        (Function::Split, [text, separator]) => split(call, text, separator),
        (Function::Replace, [text, search, replacement]) => {
            replace(call, text, search, replacement)
        }
        _ => return None,
    })
}

fn substring(call: Call<'_>, text: &Value, start: &Value, length: Option<&Value>) -> Answer {
    let text = call.text(text)?;
    let start = call.count(start)?;
    let length = length.map_or(Ok(usize::MAX), |length| call.count(length))?;
    Ok(Value::string(
        text.chars().skip(start).take(length).collect::<String>(),
    ))
}

fn left(call: Call<'_>, text: &Value, count: &Value) -> Answer {
    let (text, count) = (call.text(text)?, call.count(count)?);
    Ok(Value::string(text.chars().take(count).collect::<String>()))
}

fn right(call: Call<'_>, text: &Value, count: &Value) -> Answer {
    let (text, count) = (call.text(text)?, call.count(count)?);
    let skipped = text.chars().count().saturating_sub(count);
    Ok(Value::string(
        text.chars().skip(skipped).collect::<String>(),
    ))
}

fn split(call: Call<'_>, text: &Value, separator: &Value) -> Answer {
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

fn replace(call: Call<'_>, text: &Value, search: &Value, replacement: &Value) -> Answer {
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
