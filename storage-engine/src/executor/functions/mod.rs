//! The functions: one match from [`Function`] to one small function each.
//!
//! All but `coalesce` give null for a null argument.

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

/// What a function knows of its call.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    context: Context<'a>,
    name: &'static str,
    span: Span,
}

type Answer = Result<Value, ExecuteError>;

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
    let mut values = [Value::Null, Value::Null, Value::Null];
    for (argument, place) in arguments.iter().zip(&mut values) {
        *place = context.evaluate(argument, row)?;
        if place.is_null() {
            return Ok(Value::Null);
        }
    }
    let call = Call {
        context,
        name: name(function),
        span,
    };
    let [a, b, c] = &values;
    match function {
        // All arguments are there; with a null among them it was answered before.
        Function::Coalesce => Ok(a.clone()),
        Function::Id => element::id(call, a),
        Function::Labels => element::labels(call, a),
        Function::Type => element::type_name(call, a),
        Function::Keys => element::keys(call, a),
        Function::Properties => element::properties(call, a),
        Function::StartNode => element::start_node(call, a),
        Function::EndNode => element::end_node(call, a),
        Function::Nodes => element::nodes(call, a),
        Function::Relationships => element::relationships(call, a),
        Function::Length => element::length(call, a),
        Function::Size => list::size(call, a),
        Function::Head => list::head(call, a),
        Function::Last => list::last(call, a),
        Function::Tail => list::tail(call, a),
        Function::Reverse => list::reverse(call, a),
        Function::Range => list::range(call, a, b, (arguments.len() == 3).then_some(c)),
        Function::ToInteger => number::to_integer(call, a),
        Function::ToFloat => number::to_float(call, a),
        Function::ToString => text::to_string(call, a),
        Function::ToBoolean => text::to_boolean(call, a),
        Function::ToLower => Ok(Value::string(call.text(a)?.to_lowercase())),
        Function::ToUpper => Ok(Value::string(call.text(a)?.to_uppercase())),
        Function::Trim => Ok(Value::string(call.text(a)?.trim())),
        Function::LTrim => Ok(Value::string(call.text(a)?.trim_start())),
        Function::RTrim => Ok(Value::string(call.text(a)?.trim_end())),
        Function::Substring => text::substring(call, a, b, (arguments.len() == 3).then_some(c)),
        Function::Left => text::left(call, a, b),
        Function::Right => text::right(call, a, b),
        Function::Split => text::split(call, a, b),
        Function::Replace => text::replace(call, a, b, c),
        Function::Abs => number::abs(call, a),
        Function::Ceil => Ok(Value::Float(call.number(a)?.ceil())),
        Function::Floor => Ok(Value::Float(call.number(a)?.floor())),
        Function::Round => Ok(Value::Float(number::round(call.number(a)?))),
        Function::Sqrt => Ok(Value::Float(call.number(a)?.sqrt())),
        Function::Sign => number::sign(call, a),
        Function::Date => temporal::date(call, a),
        Function::DateTime => temporal::datetime(call, a),
    }
}

fn name(function: Function) -> &'static str {
    language::cypher::functions::FUNCTIONS
        .iter()
        .find(|signature| signature.function == function)
        .map_or("a function", |signature| signature.name)
}
