//! The functions. Each family answers for its own: a match from [`Function`] to one small function
//! each, `None` for those of others.
//!
//! All but `coalesce`, and some that only assignments call, give null for a null argument.

mod convert;
mod element;
mod list;
mod number;
pub(crate) mod temporal;
mod text;

use language::diagnostic::Span;
use language::plan::{Expr, Function};
use language::value::Value;

use super::context::Context;
use super::error::ExecuteError;
pub(crate) use element::element_id;
pub(crate) use list::Range;

/// What a function knows of its call.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    context: Context<'a>,
    name: &'static str,
    span: Span,
}

type Answer = Result<Value, ExecuteError>;

/// The answer of a family; `None` for functions of others.
type Perhaps = Option<Answer>;

impl Call<'_> {
    /// The error of an argument of a kind that the function does not take.
    fn mismatch(&self, expected: &'static str, found: &Value) -> ExecuteError {
        ExecuteError::Type {
            place: self.name,
            expected,
            found: found.kind(),
            span: self.span,
        }
    }

    /// The error of an argument that has the right kind only.
    fn refuse(&self, problem: impl Into<String>) -> ExecuteError {
        ExecuteError::Argument {
            function: self.name,
            problem: problem.into(),
            span: self.span,
        }
    }

    fn text<'v>(&self, value: &'v Value) -> Result<&'v str, ExecuteError> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(self.mismatch("a string", other)),
        }
    }

    fn integer(&self, value: &Value) -> Result<i64, ExecuteError> {
        match value {
            Value::Int(int) => Ok(*int),
            other => Err(self.mismatch("an integer", other)),
        }
    }

    /// A number of characters or elements.
    fn count(&self, value: &Value) -> Result<usize, ExecuteError> {
        let int = self.integer(value)?;
        usize::try_from(int).map_err(|_| self.refuse(format!("{int} is negative")))
    }

    fn number(&self, value: &Value) -> Result<f64, ExecuteError> {
        super::operators::number(value).ok_or_else(|| self.mismatch("a number", value))
    }
}

/// Calls a function.
pub(crate) fn call(
    context: Context<'_>,
    function: Function,
    arguments: &[Expr],
    span: Span,
    row: &[Value],
) -> Answer {
    if function == Function::Coalesce {
        for argument in arguments {
            let value = context.evaluate(argument, row)?;
            if !value.is_null() {
                return Ok(value);
            }
        }
        return Ok(Value::Null);
    }
    if let Some(answer) = of_no_argument(context, function) {
        return Ok(answer);
    }
    if let Some(answer) = element::of_null_too(context, function, arguments, row) {
        return answer;
    }
    let mut values = [Value::Null, Value::Null, Value::Null];
    for (argument, place) in arguments.iter().zip(&mut values) {
        *place = context.evaluate(argument, row)?;
        if place.is_null() {
            return Ok(Value::Null);
        }
    }
    let call = Call {
        context,
        name: function.signature().name,
        span,
    };
    let values = values.get(..arguments.len()).unwrap_or_default();
    let first = values.first().unwrap_or(&Value::Null);
    element::call(call, function, first)
        .or_else(|| list::call(call, function, values))
        .or_else(|| convert::call(call, function, first))
        .or_else(|| text::call(call, function, values))
        .or_else(|| number::call(call, function, values))
        .or_else(|| temporal::call(call, function, values))
        .unwrap_or(Ok(Value::Null))
}

/// What `range` would list; `None` for null.
pub(crate) fn range(
    context: Context<'_>,
    arguments: &[Expr],
    span: Span,
    row: &[Value],
) -> Result<Option<Range>, ExecuteError> {
    let values = arguments.iter().map(|it| context.evaluate(it, row));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    if values.iter().any(Value::is_null) {
        return Ok(None);
    }
    let call = Call {
        context,
        name: Function::Range.signature().name,
        span,
    };
    Range::of(call, &values).map(Some)
}

/// Numbers that are always the same, and those that never are.
fn of_no_argument(context: Context<'_>, function: Function) -> Option<Value> {
    Some(match function {
        Function::Pi => Value::Float(std::f64::consts::PI),
        Function::E => Value::Float(std::f64::consts::E),
        Function::Rand => Value::Float(random()),
        Function::RandomUuid => Value::string(uuid::Uuid::new_v4().to_string()),
        Function::Timestamp => {
            let since = context
                .statement
                .began()
                .duration_since(std::time::UNIX_EPOCH);
            let millis = since.map_or(0, |since| since.as_millis());
            Value::Int(i64::try_from(millis).unwrap_or(i64::MAX))
        }
        _ => return None,
    })
}

/// From 0 up to, not including, 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
fn random() -> f64 {
    // The random bits of a UUID of version 4; the rest of it is fixed.
    let bits = uuid::Uuid::new_v4().as_u128() & ((1 << 53) - 1);
    bits as f64 / (1_u64 << 53) as f64
}
