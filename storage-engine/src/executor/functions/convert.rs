//! Conversions between numbers, text and booleans.

use language::plan::Function;
use language::value::Value;

use super::{Answer, Call, Perhaps};

pub(super) fn call(call: Call<'_>, function: Function, value: &Value) -> Perhaps {
    Some(match function {
        Function::ToInteger => to_integer(call, value),
        Function::ToFloat => to_float(call, value),
        Function::ToString => to_string(call, value),
        Function::ToBoolean => to_boolean(call, value),
        Function::ToIntegerOrNull => to_integer(call, value).or(Ok(Value::Null)),
        Function::ToFloatOrNull => to_float(call, value).or(Ok(Value::Null)),
        Function::ToStringOrNull => to_string(call, value).or(Ok(Value::Null)),
        Function::ToBooleanOrNull => to_boolean(call, value).or(Ok(Value::Null)),
        _ => return None,
    })
}

fn to_string(call: Call<'_>, value: &Value) -> Answer {
    Ok(match value {
        Value::String(_) => value.clone(),
        Value::Bool(truth) => Value::string(truth.to_string()),
        Value::Int(int) => Value::string(int.to_string()),
        Value::Float(float) => Value::string(format!("{float:?}")),
        other => match language::temporal::text(other) {
            Some(text) => Value::string(text),
            None => return Err(call.mismatch("a boolean, number, string or time", other)),
        },
    })
}

fn to_boolean(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::Int(int) => Ok(Value::Bool(*int != 0)),
        Value::String(text) => Ok(match text.trim().to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::Null,
        }),
        other => Err(call.mismatch("a boolean, integer or string", other)),
    }
}

fn to_integer(call: Call<'_>, value: &Value) -> Answer {
    Ok(match value {
        Value::Int(int) => Value::Int(*int),
        Value::Float(float) => truncated(*float),
        Value::Bool(truth) => Value::Int(i64::from(*truth)),
        Value::String(text) => {
            let text = text.trim();
            match text.parse::<i64>() {
                Ok(int) => Value::Int(int),
                Err(_) => decimal(text).map_or(Value::Null, truncated),
            }
        }
        other => return Err(call.mismatch("a number or string", other)),
    })
}

fn to_float(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::String(text) => Ok(decimal(text.trim()).map_or(Value::Null, Value::Float)),
        Value::Int(_) | Value::Float(_) => call.number(value).map(Value::Float),
        other => Err(call.mismatch("a number or string", other)),
    }
}

/// A number as Cypher writes it; Rust would also read `inf` and `NaN`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    plain.then(|| text.parse().ok()).flatten()
}

/// The integer part; null when it is beyond 64 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked before"
)]
fn truncated(float: f64) -> Value {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&float) {
        Value::Int(float as i64)
    } else {
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_stays_within_64_bits() {
        assert_eq!(truncated(-1.9), Value::Int(-1));
        assert_eq!(truncated(1e300), Value::Null);
        assert_eq!(truncated(f64::NAN), Value::Null);
        assert_eq!(
            truncated(-9_223_372_036_854_775_808.0),
            Value::Int(i64::MIN)
        );
    }
}
