//! Expressions that go through a list: each has variables of its own in a copy of the row around it.

use language::plan::{Expr, ExprKind, Quantifier, Slot};
use language::value::Value;

use super::context::{Context, size_of_value};
use super::error::ExecuteError;
use super::{Row, operators};

/// A copy of a row with a place for a variable.
fn local(row: &[Value], slot: Slot) -> Row {
    let mut row = row.to_vec();
    if row.len() <= slot.0 {
        row.resize(slot.0 + 1, Value::Null);
    }
    row
}

impl Context<'_> {
    /// An expression with variables of its own, or a query.
    pub(super) fn nested(self, expr: &Expr, row: &[Value]) -> Result<Value, ExecuteError> {
        match &expr.kind {
            ExprKind::Comprehension {
                variable,
                list,
                filter,
                result,
            } => self.comprehension(*variable, list, filter.as_deref(), result.as_deref(), row),
            ExprKind::Quantified {
                quantifier,
                variable,
                list,
                predicate,
            } => self.quantified(*quantifier, *variable, list, predicate, row),
            ExprKind::Reduce {
                accumulator,
                initial,
                variable,
                list,
                step,
            } => {
                let initial = self.evaluate(initial, row)?;
                self.reduce((*accumulator, initial), (*variable, list), step, row)
            }
            ExprKind::Subquery(subquery) => self.subquery(subquery, row),
            _ => self.evaluate(expr, row),
        }
    }

    /// `[x IN list WHERE filter | result]`; null for null.
    fn comprehension(
        self,
        variable: Slot,
        list: &Expr,
        filter: Option<&Expr>,
        result: Option<&Expr>,
        row: &[Value],
    ) -> Result<Value, ExecuteError> {
        let Some(elements) = self.elements(list, row)? else {
            return Ok(Value::Null);
        };
        let mut local = local(row, variable);
        let mut values = Vec::new();
        let mut bytes = 0;
        for element in elements.iter() {
            self.step()?;
            local[variable.0] = element.clone();
            if let Some(filter) = filter
                && !self.is_true(filter, &local)?
            {
                continue;
            }
            let value =
                result.map_or(Ok(element.clone()), |result| self.evaluate(result, &local))?;
            bytes += size_of_value(&value);
            self.statement.require(bytes)?;
            values.push(value);
        }
        Ok(Value::list(values))
    }

    /// The elements of a list; `None` for null.
    fn elements(
        self,
        list: &Expr,
        row: &[Value],
    ) -> Result<Option<std::sync::Arc<[Value]>>, ExecuteError> {
        match self.evaluate(list, row)? {
            Value::Null => Ok(None),
            Value::List(elements) => Ok(Some(elements)),
            other => Err(ExecuteError::Type {
                place: "an expression over a list",
                expected: "a list",
                found: other.kind(),
                span: list.span,
            }),
        }
    }

    /// `all(x IN list WHERE predicate)` and its kin, in three-valued logic.
    fn quantified(
        self,
        quantifier: Quantifier,
        variable: Slot,
        list: &Expr,
        predicate: &Expr,
        row: &[Value],
    ) -> Result<Value, ExecuteError> {
        let Some(elements) = self.elements(list, row)? else {
            return Ok(Value::Null);
        };
        let mut local = local(row, variable);
        let (mut fulfilled, mut unknown) = (0_usize, false);
        let mut refused = false;
        for element in elements.iter() {
            self.step()?;
            local[variable.0] = element.clone();
            let value = self.evaluate(predicate, &local)?;
            match operators::truth(&value, "a quantifier", predicate.span)? {
                Some(true) => fulfilled += 1,
                Some(false) => refused = true,
                None => unknown = true,
            }
        }
        let truth = match quantifier {
            Quantifier::All if refused => Some(false),
            Quantifier::Any if fulfilled > 0 => Some(true),
            Quantifier::None if fulfilled > 0 => Some(false),
            Quantifier::Single if fulfilled > 1 => Some(false),
            _ if unknown => None,
            Quantifier::All | Quantifier::None => Some(true),
            Quantifier::Any => Some(false),
            Quantifier::Single => Some(fulfilled == 1),
        };
        Ok(operators::from_truth(truth))
    }

    /// `reduce(...)`; null for null.
    fn reduce(
        self,
        (accumulator, initial): (Slot, Value),
        (variable, list): (Slot, &Expr),
        step: &Expr,
        row: &[Value],
    ) -> Result<Value, ExecuteError> {
        let Some(elements) = self.elements(list, row)? else {
            return Ok(Value::Null);
        };
        let mut local = local(&local(row, accumulator), variable);
        local[accumulator.0] = initial;
        for element in elements.iter() {
            self.step()?;
            local[variable.0] = element.clone();
            local[accumulator.0] = self.evaluate(step, &local)?;
        }
        Ok(std::mem::replace(&mut local[accumulator.0], Value::Null))
    }
}
