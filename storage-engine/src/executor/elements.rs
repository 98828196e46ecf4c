//! What stands in a list, for clauses that go through it: a range is counted through and never made.

use language::plan::{Expr, ExprKind, Function};
use language::value::Value;

use super::context::Context;
use super::error::ExecuteError;
use super::functions;

/// The elements of a list; null has none, and what is no list is its own only element.
pub(crate) enum Elements {
    /// As they are.
    Listed(std::sync::Arc<[Value]>),
    /// Integers from the first on, so many, so far apart.
    Range(functions::Range),
    /// A single one, or none.
    Single(Option<Value>),
}

impl Elements {
    pub(crate) fn of(
        context: Context<'_>,
        list: &Expr,
        row: &[Value],
    ) -> Result<Self, ExecuteError> {
        if let ExprKind::Call {
            function: Function::Range,
            arguments,
        } = &list.kind
        {
            let range = functions::range(context, arguments, list.span, row)?;
            return Ok(range.map_or(Self::Single(None), Self::Range));
        }
        Ok(match context.evaluate(list, row)? {
            Value::Null => Self::Single(None),
            Value::List(list) => Self::Listed(list),
            single => Self::Single(Some(single)),
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Value> + '_ {
        let (listed, range, single) = match self {
            Self::Listed(list) => (Some(list), None, None),
            Self::Range(range) => (None, Some(range), None),
            Self::Single(single) => (None, None, single.as_ref()),
        };
        let listed = listed.into_iter().flat_map(|list| list.iter()).cloned();
        let range = range.into_iter().flat_map(|range| range.iter());
        listed.chain(range).chain(single.cloned())
    }
}
