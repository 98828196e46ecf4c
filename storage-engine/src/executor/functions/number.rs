//! Functions of numbers.

use language::value::Value;

use super::{Answer, Call};
use crate::executor::error::{ArithmeticProblem, ExecuteError};

pub(super) fn abs(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Int(int) => int
            .checked_abs()
            .map(Value::Int)
            .ok_or(ExecuteError::Arithmetic {
                operation: "the absolute value",
                problem: ArithmeticProblem::Overflow,
                span: call.span,
            }),
        other => call.number(other).map(|number| Value::Float(number.abs())),
    }
}

/// To the nearest integer, halves up.
pub(super) fn round(number: f64) -> f64 {
    let floor = number.floor();
    if number - floor >= 0.5 {
        floor + 1.0
    } else {
        floor
    }
}

pub(super) fn sign(call: Call<'_>, value: &Value) -> Answer {
    Ok(Value::Int(match value {
        Value::Int(int) => int.signum(),
        other => {
            let number = call.number(other)?;
            i64::from(number > 0.0) - i64::from(number < 0.0)
        }
    }))
}

pub(super) fn to_integer(call: Call<'_>, value: &Value) -> Answer {
    Ok(match value {
        Value::Int(int) => Value::Int(*int),
        Value::Float(float) => truncated(*float),
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

pub(super) fn to_float(call: Call<'_>, value: &Value) -> Answer {
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
    fn halves_round_up() {
        let cases = [
            (2.5, 3.0),
            (-2.5, -2.0),
            (0.499_999_999_999_999_94, 0.0),
            (-0.4, 0.0),
            (1.5, 2.0),
        ];
        for (number, expected) in cases {
            assert_eq!(round(number), expected, "{number}");
        }
    }

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
