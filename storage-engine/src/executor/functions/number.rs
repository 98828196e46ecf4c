//! Functions of numbers.

use language::plan::Function;
use language::value::Value;

use super::{Answer, Call, Perhaps};
use crate::executor::error::{ArithmeticProblem, ExecuteError};

pub(super) fn call(call: Call<'_>, function: Function, values: &[Value]) -> Perhaps {
    let value = values.first()?;
    let float = |of: fn(f64) -> f64| call.number(value).map(|number| Value::Float(of(number)));
    Some(match function {
        Function::Abs => abs(call, value),
        Function::Sign => sign(call, value),
        Function::Round => rounded(call, values),
        Function::Ceil => float(f64::ceil),
        Function::Floor => float(f64::floor),
        Function::Sqrt => float(f64::sqrt),
        Function::Exp => float(f64::exp),
        Function::Log => float(f64::ln),
        Function::Log10 => float(f64::log10),
        Function::Sin => float(f64::sin),
        Function::Cos => float(f64::cos),
        Function::Tan => float(f64::tan),
        Function::Cot => float(|number| number.tan().recip()),
        Function::Asin => float(f64::asin),
        Function::Acos => float(f64::acos),
        Function::Atan => float(f64::atan),
        Function::Haversin => float(|number| (1.0 - number.cos()) / 2.0),
        Function::Degrees => float(f64::to_degrees),
        Function::Radians => float(f64::to_radians),
        Function::Atan2 => values.get(1).map_or(Ok(Value::Null), |x| {
            Ok(Value::Float(call.number(value)?.atan2(call.number(x)?)))
        }),
        Function::IsNaN => call
            .number(value)
            .map(|number| Value::Bool(number.is_nan())),
        _ => return None,
    })
}

/// `round(number)` and `round(number, decimals)`.
fn rounded(call: Call<'_>, values: &[Value]) -> Answer {
    let (Some(number), decimals) = (values.first(), values.get(1)) else {
        return Ok(Value::Null);
    };
    let number = call.number(number)?;
    let Some(decimals) = decimals else {
        return Ok(Value::Float(round(number)));
    };
    let decimals = call.integer(decimals)?;
    let Some(decimals) = i32::try_from(decimals)
        .ok()
        .filter(|count| (0..=300).contains(count))
    else {
        return Err(call.refuse("the number of decimals is 0 to 300"));
    };
    let scale = 10_f64.powi(decimals);
    let scaled = number * scale;
    Ok(Value::Float(if scaled.is_finite() {
        round(scaled) / scale
    } else {
        number
    }))
}

fn abs(call: Call<'_>, value: &Value) -> Answer {
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
fn round(number: f64) -> f64 {
    let floor = number.floor();
    if number - floor >= 0.5 {
        floor + 1.0
    } else {
        floor
    }
}

fn sign(call: Call<'_>, value: &Value) -> Answer {
    Ok(Value::Int(match value {
        Value::Int(int) => int.signum(),
        other => {
            let number = call.number(other)?;
            i64::from(number > 0.0) - i64::from(number < 0.0)
        }
    }))
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
}
