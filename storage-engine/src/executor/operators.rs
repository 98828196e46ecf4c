//! The infix operators on values.
//!
//! Integers are 64-bit and never wrap; a result that does not fit is an error, as is division of
//! an integer by zero. Floats follow IEEE 754.

use std::cmp::Ordering;

use language::diagnostic::Span;
use language::plan::BinaryOperator;
use language::temporal::Temporal;
use language::value::Value;

use super::context::Statement;
use super::error::{ArithmeticProblem, ExecuteError};
use super::functions::temporal;

/// `a operator b`.
pub(crate) fn binary(
    statement: &Statement<'_>,
    operator: BinaryOperator,
    a: &Value,
    b: &Value,
    span: Span,
) -> Result<Value, ExecuteError> {
    use BinaryOperator as Op;
    match operator {
        Op::Equal => Ok(from_truth(a.equals(b))),
        Op::NotEqual => Ok(from_truth(a.equals(b).map(|equal| !equal))),
        Op::Less => Ok(compare(a, b, Ordering::is_lt)),
        Op::LessEqual => Ok(compare(a, b, Ordering::is_le)),
        Op::Greater => Ok(compare(a, b, Ordering::is_gt)),
        Op::GreaterEqual => Ok(compare(a, b, Ordering::is_ge)),
        Op::In => contains(a, b, span),
        Op::StartsWith => Ok(text(a, b, |a, b| a.starts_with(b))),
        Op::EndsWith => Ok(text(a, b, |a, b| a.ends_with(b))),
        Op::Contains => Ok(text(a, b, |a, b| a.contains(b))),
        Op::Matches => matches(a, b, span),
        Op::Add => add(statement, a, b, span),
        Op::Subtract | Op::Multiply | Op::Divide | Op::Remainder | Op::Power => {
            arithmetic(operator, a, b, span)
        }
        Op::And | Op::Or | Op::Xor => logic(operator, a, b, span),
    }
}

/// `-value`.
pub(crate) fn negate(value: &Value, span: Span) -> Result<Value, ExecuteError> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Int(int) => int
            .checked_neg()
            .map(Value::Int)
            .ok_or(ExecuteError::Arithmetic {
                operation: "the negation",
                problem: ArithmeticProblem::Overflow,
                span,
            }),
        Value::Float(float) => Ok(Value::Float(-float)),
        Value::Temporal(_) => temporal::negated(value)
            .ok_or_else(|| mismatch("`-`", "a number or duration", value, span)),
        other => Err(mismatch("`-`", "a number", other, span)),
    }
}

pub(crate) fn from_truth(truth: Option<bool>) -> Value {
    truth.map_or(Value::Null, Value::Bool)
}

/// A value as a truth value; `None` is unknown.
pub(crate) fn truth(
    value: &Value,
    place: &'static str,
    span: Span,
) -> Result<Option<bool>, ExecuteError> {
    match value {
        Value::Bool(truth) => Ok(Some(*truth)),
        Value::Null => Ok(None),
        other => Err(mismatch(place, "a boolean", other, span)),
    }
}

fn logic(
    operator: BinaryOperator,
    a: &Value,
    b: &Value,
    span: Span,
) -> Result<Value, ExecuteError> {
    let place = match operator {
        BinaryOperator::And => "AND",
        BinaryOperator::Or => "OR",
        _ => "XOR",
    };
    let (a, b) = (truth(a, place, span)?, truth(b, place, span)?);
    Ok(from_truth(match operator {
        BinaryOperator::And if a == Some(false) || b == Some(false) => Some(false),
        BinaryOperator::Or if a == Some(true) || b == Some(true) => Some(true),
        BinaryOperator::And | BinaryOperator::Or => a.and(b),
        _ => a.zip(b).map(|(a, b)| a != b),
    }))
}

fn compare(a: &Value, b: &Value, holds: fn(Ordering) -> bool) -> Value {
    let number = |value: &Value| matches!(value, Value::Int(_) | Value::Float(_));
    match a.compare(b) {
        Some(ordering) => Value::Bool(holds(ordering)),
        // Only NaN makes numbers incomparable; comparing with it is false, not unknown.
        None if number(a) && number(b) => Value::Bool(false),
        None => Value::Null,
    }
}

fn contains(element: &Value, list: &Value, span: Span) -> Result<Value, ExecuteError> {
    let list = match list {
        Value::Null => return Ok(Value::Null),
        Value::List(list) => list,
        other => return Err(mismatch("IN", "a list on its right", other, span)),
    };
    let mut unknown = false;
    for candidate in list.iter() {
        match element.equals(candidate) {
            Some(true) => return Ok(Value::Bool(true)),
            Some(false) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown {
        Value::Null
    } else {
        Value::Bool(false)
    })
}

fn text(a: &Value, b: &Value, holds: fn(&str, &str) -> bool) -> Value {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Value::Bool(holds(a, b)),
        _ => Value::Null,
    }
}

/// `=~`: the whole text matches.
fn matches(a: &Value, b: &Value, span: Span) -> Result<Value, ExecuteError> {
    let (Value::String(text), Value::String(pattern)) = (a, b) else {
        return Ok(Value::Null);
    };
    let regex = regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(1 << 20)
        .build()
        .map_err(|error| ExecuteError::Argument {
            function: "=~",
            problem: format!("`{pattern}` is no regular expression: {error}"),
            span,
        })?;
    Ok(Value::Bool(regex.is_match(text)))
}

fn add(statement: &Statement<'_>, a: &Value, b: &Value, span: Span) -> Result<Value, ExecuteError> {
    let join = |a: &str, b: &str| {
        statement.require(a.len() + b.len())?;
        Ok(Value::string([a, b].concat()))
    };
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
        (Value::List(x), Value::List(y)) => {
            statement.require((x.len() + y.len()) * size_of::<Value>())?;
            Ok(Value::list(x.iter().chain(y.iter()).cloned()))
        }
        (Value::List(x), element) => {
            statement.require(x.len() * size_of::<Value>())?;
            Ok(Value::list(x.iter().chain([element]).cloned()))
        }
        (element, Value::List(y)) => {
            statement.require(y.len() * size_of::<Value>())?;
            Ok(Value::list([element].into_iter().chain(y.iter()).cloned()))
        }
        (Value::String(x), Value::String(y)) => join(x, y),
        (Value::String(x), Value::Int(y)) => join(x, &y.to_string()),
        (Value::String(x), Value::Float(y)) => join(x, &format!("{y:?}")),
        (Value::Int(x), Value::String(y)) => join(&x.to_string(), y),
        (Value::Float(x), Value::String(y)) => join(&format!("{x:?}"), y),
        (Value::String(x), y) if is_scalar(y) => join(x, &plain(y)),
        (x, Value::String(y)) if is_scalar(x) => join(&plain(x), y),
        _ => arithmetic(BinaryOperator::Add, a, b, span),
    }
}

/// Whether text can be joined with it.
fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::Bool(_)) || is_time(value)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Bool(truth) => truth.to_string(),
        other => language::temporal::text(other).unwrap_or_default(),
    }
}

fn is_time(value: &Value) -> bool {
    matches!(
        value,
        Value::Date(_) | Value::DateTime(_) | Value::Temporal(_)
    )
}

/// What is wrong with arithmetic on time whose operands suit the operator; `None` where they do not.
fn fits(operator: BinaryOperator, a: &Value, b: &Value) -> Option<ArithmeticProblem> {
    let is_duration = |value: &Value| matches!(value, Value::Temporal(found) if matches!(found.as_ref(), Temporal::Duration(_)));
    let suits = match operator {
        BinaryOperator::Add => is_time(a) && is_time(b) && (is_duration(a) || is_duration(b)),
        BinaryOperator::Subtract => is_time(a) && is_duration(b),
        BinaryOperator::Multiply => {
            is_duration(a) && number(b).is_some() || number(a).is_some() && is_duration(b)
        }
        BinaryOperator::Divide => match (is_duration(a), number(b)) {
            (true, Some(0.0)) => return Some(ArithmeticProblem::DivisionByZero),
            (true, divisor) => divisor.is_some(),
            _ => false,
        },
        _ => false,
    };
    suits.then_some(ArithmeticProblem::OutOfTime)
}

/// Arithmetic that has to do with time.
fn times(operator: BinaryOperator, a: &Value, b: &Value) -> Option<Value> {
    match operator {
        BinaryOperator::Add => temporal::add(a, b),
        BinaryOperator::Subtract => temporal::add(a, &temporal::negated(b)?),
        BinaryOperator::Multiply => temporal::multiply(a, b),
        BinaryOperator::Divide => temporal::divide(a, b),
        _ => None,
    }
}

fn arithmetic(
    operator: BinaryOperator,
    a: &Value,
    b: &Value,
    span: Span,
) -> Result<Value, ExecuteError> {
    let (symbol, operation) = match operator {
        BinaryOperator::Add => ("`+`", "the sum"),
        BinaryOperator::Subtract => ("`-`", "the difference"),
        BinaryOperator::Multiply => ("`*`", "the product"),
        BinaryOperator::Divide => ("`/`", "the quotient"),
        BinaryOperator::Remainder => ("`%`", "the remainder"),
        _ => ("`^`", "the power"),
    };
    if is_time(a) || is_time(b) {
        if a.is_null() || b.is_null() {
            return Ok(Value::Null);
        }
        let found = times(operator, a, b);
        let wrong = if is_time(a) { b } else { a };
        let expected = "a time and a duration, or a duration and a number";
        return found.ok_or_else(|| match fits(operator, a, b) {
            Some(problem) => ExecuteError::Arithmetic {
                operation,
                problem,
                span,
            },
            None => mismatch(symbol, expected, wrong, span),
        });
    }
    match (a, b) {
        (Value::Null, Value::Null | Value::Int(_) | Value::Float(_))
        | (Value::Int(_) | Value::Float(_), Value::Null) => Ok(Value::Null),
        (Value::Int(x), Value::Int(y)) if operator != BinaryOperator::Power => {
            integers(operator, *x, *y)
                .map(Value::Int)
                .map_err(|problem| ExecuteError::Arithmetic {
                    operation,
                    problem,
                    span,
                })
        }
        _ => match (number(a), number(b)) {
            (Some(x), Some(y)) => Ok(Value::Float(floats(operator, x, y))),
            (None, _) if !a.is_null() => Err(mismatch(symbol, "numbers", a, span)),
            _ => Err(mismatch(symbol, "numbers", b, span)),
        },
    }
}

fn integers(operator: BinaryOperator, x: i64, y: i64) -> Result<i64, ArithmeticProblem> {
    let result = match operator {
        BinaryOperator::Add => x.checked_add(y),
        BinaryOperator::Subtract => x.checked_sub(y),
        BinaryOperator::Multiply => x.checked_mul(y),
        _ if y == 0 => return Err(ArithmeticProblem::DivisionByZero),
        BinaryOperator::Divide => x.checked_div(y),
        // The only overflow, i64::MIN % -1, has a result: 0.
        _ => Some(x.wrapping_rem(y)),
    };
    result.ok_or(ArithmeticProblem::Overflow)
}

fn floats(operator: BinaryOperator, x: f64, y: f64) -> f64 {
    match operator {
        BinaryOperator::Add => x + y,
        BinaryOperator::Subtract => x - y,
        BinaryOperator::Multiply => x * y,
        BinaryOperator::Divide => x / y,
        BinaryOperator::Remainder => x % y,
        _ => x.powf(y),
    }
}

/// A number as a float; large integers lose bits, as openCypher's do when they meet a float.
#[expect(
    clippy::cast_precision_loss,
    reason = "mixed arithmetic is done in floats"
)]
pub(crate) const fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}

fn mismatch(
    place: &'static str,
    expected: &'static str,
    found: &Value,
    span: Span,
) -> ExecuteError {
    ExecuteError::Type {
        place,
        expected,
        found: found.kind(),
        span,
    }
}
