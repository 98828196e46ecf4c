//! The value of an expression for a row.
//!
//! Null is "unknown" and passes through; logic is three-valued. Properties are read here, as late
//! as possible, through the snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use language::diagnostic::Span;
use language::plan::{BinaryOperator, Expr, ExprKind, UnaryOperator};
use language::schema::{PropertyId, TypeId};
use language::value::Value;

use super::context::Context;
use super::error::ExecuteError;
use super::{functions, operators};

impl Context<'_> {
    /// The value of `expr` for `row`.
    pub(crate) fn evaluate(self, expr: &Expr, row: &[Value]) -> Result<Value, ExecuteError> {
        match &expr.kind {
            ExprKind::Literal(value) => Ok(value.clone()),
            ExprKind::Parameter(name) => self
                .statement
                .parameter(name)
                .cloned()
                .ok_or_else(|| ExecuteError::MissingParameter { name: name.clone() }),
            ExprKind::Variable(slot) => Ok(row.get(slot.0).cloned().unwrap_or(Value::Null)),
            ExprKind::Property { object, name, ids } => self.member(expr, object, name, ids, row),
            ExprKind::Unary { operator, operand } => {
                let value = self.evaluate(operand, row)?;
                match operator {
                    UnaryOperator::Not => {
                        let truth = operators::truth(&value, "NOT", operand.span)?;
                        Ok(operators::from_truth(truth.map(|truth| !truth)))
                    }
                    UnaryOperator::Negate => operators::negate(&value, expr.span),
                }
            }
            ExprKind::Binary {
                operator,
                left,
                right,
            } => self.binary(expr, *operator, left, right, row),
            ExprKind::IsNull { operand, negated } => Ok(Value::Bool(
                self.evaluate(operand, row)?.is_null() != *negated,
            )),
            ExprKind::HasType { operand, types } => {
                let element = self.evaluate(operand, row)?;
                has_type(expr, &element, types)
            }
            ExprKind::HasLabel { operand, label } => {
                let element = self.evaluate(operand, row)?;
                self.has_label(expr, &element, label.as_deref())
            }
            ExprKind::List(elements) => {
                let values: Result<Vec<Value>, _> = elements
                    .iter()
                    .map(|element| self.evaluate(element, row))
                    .collect();
                Ok(Value::list(values?))
            }
            ExprKind::Map(entries) => {
                let entries: Result<BTreeMap<String, Value>, _> = entries
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), self.evaluate(value, row)?)))
                    .collect();
                entries.map(|entries| Value::Map(Arc::new(entries)))
            }
            ExprKind::Index { object, index } => self.index(expr, object, index, row),
            ExprKind::Slice { object, from, to } => {
                self.slice(expr, object, from.as_deref(), to.as_deref(), row)
            }
            ExprKind::Case {
                branches,
                otherwise,
            } => self.case(branches, otherwise.as_deref(), row),
            ExprKind::Call {
                function,
                arguments,
            } => functions::call(self, *function, arguments, expr.span, row),
            ExprKind::Comprehension { .. }
            | ExprKind::Quantified { .. }
            | ExprKind::Reduce { .. }
            | ExprKind::Subquery(_) => self.nested(expr, row),
        }
    }

    fn case(
        self,
        branches: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
        row: &[Value],
    ) -> Result<Value, ExecuteError> {
        for (condition, value) in branches {
            if self.is_true(condition, row)? {
                return self.evaluate(value, row);
            }
        }
        otherwise.map_or(Ok(Value::Null), |value| self.evaluate(value, row))
    }

    /// Whether a condition is true, neither false nor unknown.
    pub(crate) fn is_true(self, condition: &Expr, row: &[Value]) -> Result<bool, ExecuteError> {
        let value = self.evaluate(condition, row)?;
        Ok(operators::truth(&value, "a condition", condition.span)? == Some(true))
    }

    /// The property called `name` of a node or relationship; null when it has none.
    pub(crate) fn property_named(self, element: &Value, name: &str) -> Value {
        self.snapshot.property_named(element, name)
    }

    /// The properties of a node or relationship that are not null, by name.
    pub(crate) fn properties_of(self, element: &Value) -> BTreeMap<String, Value> {
        match element {
            Value::Node(node) => self.snapshot.node_properties(*node),
            Value::Relationship(edge) => self.snapshot.edge_properties(*edge),
            _ => BTreeMap::new(),
        }
    }

    /// Fails when the statement has deleted the element.
    pub(crate) fn require_there(
        self,
        element: &Value,
        what: &'static str,
        span: Span,
    ) -> Result<(), ExecuteError> {
        if !self.statement.writes() || self.snapshot.is_there(element) {
            return Ok(());
        }
        let kind = match element {
            Value::Node(_) => "a node",
            _ => "a relationship",
        };
        Err(ExecuteError::DeletedElement { what, kind, span })
    }

    fn has_label(
        self,
        expr: &Expr,
        element: &Value,
        label: Option<&str>,
    ) -> Result<Value, ExecuteError> {
        let has = match element {
            Value::Null => return Ok(Value::Null),
            Value::Node(node) => {
                self.require_there(element, "the labels", expr.span)?;
                self.snapshot.has_label(*node, label)
            }
            Value::Relationship(edge) => {
                let name = self.snapshot.edge_type_name(*edge);
                label.is_none_or(|label| name.as_deref() == Some(label))
            }
            other => {
                return Err(mismatch(
                    "a label test",
                    "a node or relationship",
                    other,
                    expr,
                ));
            }
        };
        Ok(Value::Bool(has))
    }

    fn member(
        self,
        expr: &Expr,
        object: &Expr,
        name: &str,
        ids: &BTreeMap<TypeId, PropertyId>,
        row: &[Value],
    ) -> Result<Value, ExecuteError> {
        let computed;
        let object = match &object.kind {
            ExprKind::Variable(slot) => row.get(slot.0).unwrap_or(&Value::Null),
            _ => {
                computed = self.evaluate(object, row)?;
                &computed
            }
        };
        match object {
            Value::Null => Ok(Value::Null),
            Value::Node(node) => {
                self.require_there(object, "a property", expr.span)?;
                Ok(match ids.get(&node.type_id) {
                    Some(id) => self.snapshot.node_property(*node, *id),
                    None => self.property_named(object, name),
                })
            }
            Value::Relationship(edge) => {
                self.require_there(object, "a property", expr.span)?;
                Ok(match ids.get(&edge.type_id) {
                    Some(id) => self.snapshot.edge_property(*edge, *id),
                    None => self.property_named(object, name),
                })
            }
            Value::Map(map) => Ok(map.get(name).cloned().unwrap_or(Value::Null)),
            time @ (Value::Date(_) | Value::DateTime(_) | Value::Temporal(_)) => {
                functions::temporal::component(time, name).ok_or_else(|| ExecuteError::Argument {
                    function: "a component",
                    problem: format!("a {} has no `{name}`", time.kind()),
                    span: expr.span,
                })
            }
            other => Err(mismatch(
                "property access",
                "a node, relationship, map or time",
                other,
                expr,
            )),
        }
    }

    fn binary(
        self,
        expr: &Expr,
        operator: BinaryOperator,
        left: &Expr,
        right: &Expr,
        row: &[Value],
    ) -> Result<Value, ExecuteError> {
        let a = self.evaluate(left, row)?;
        // The right side is not looked at when the left decides.
        match (operator, &a) {
            (BinaryOperator::And, Value::Bool(false)) | (BinaryOperator::Or, Value::Bool(true)) => {
                Ok(a)
            }
            _ => {
                let b = self.evaluate(right, row)?;
                operators::binary(self.statement, operator, &a, &b, expr.span)
            }
        }
    }

    fn index(
        self,
        expr: &Expr,
        object: &Expr,
        index: &Expr,
        row: &[Value],
    ) -> Result<Value, ExecuteError> {
        let object = self.evaluate(object, row)?;
        let index = self.evaluate(index, row)?;
        match (&object, &index) {
            (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
            (Value::List(list), Value::Int(position)) => {
                let place = place_from(*position, list.len());
                let found = usize::try_from(place)
                    .ok()
                    .and_then(|place| list.get(place));
                Ok(found.cloned().unwrap_or(Value::Null))
            }
            (Value::Map(map), Value::String(name)) => {
                Ok(map.get(name.as_ref()).cloned().unwrap_or(Value::Null))
            }
            (Value::Node(_) | Value::Relationship(_), Value::String(name)) => {
                self.require_there(&object, "a property", expr.span)?;
                Ok(self.property_named(&object, name))
            }
            (Value::List(_), other) => Err(mismatch("a list index", "an integer", other, expr)),
            (Value::Map(_) | Value::Node(_) | Value::Relationship(_), other) => {
                Err(mismatch("access by name", "a string", other, expr))
            }
            (other, _) => Err(mismatch(
                "an index",
                "a list, map, node or relationship",
                other,
                expr,
            )),
        }
    }

    fn slice(
        self,
        expr: &Expr,
        object: &Expr,
        from: Option<&Expr>,
        to: Option<&Expr>,
        row: &[Value],
    ) -> Result<Value, ExecuteError> {
        let object = self.evaluate(object, row)?;
        let bound = |bound: Option<&Expr>, open: i64| match bound {
            None => Ok(Some(open)),
            Some(bound) => match self.evaluate(bound, row)? {
                Value::Int(position) => Ok(Some(position)),
                Value::Null => Ok(None),
                other => Err(mismatch("a slice bound", "an integer", &other, expr)),
            },
        };
        let (from, to) = (bound(from, 0)?, bound(to, i64::MAX)?);
        match (&object, from, to) {
            (Value::Null, _, _) | (Value::List(_), None, _) | (Value::List(_), _, None) => {
                Ok(Value::Null)
            }
            (Value::List(list), Some(from), Some(to)) => {
                let clamp = |position| {
                    let place = place_from(position, list.len()).max(0);
                    usize::try_from(place).unwrap_or(usize::MAX).min(list.len())
                };
                let (from, to) = (clamp(from), clamp(to));
                Ok(Value::list(
                    list.get(from..to.max(from))
                        .unwrap_or_default()
                        .iter()
                        .cloned(),
                ))
            }
            (other, _, _) => Err(mismatch("a slice", "a list", other, expr)),
        }
    }
}

fn has_type(expr: &Expr, element: &Value, types: &BTreeSet<TypeId>) -> Result<Value, ExecuteError> {
    match element {
        Value::Null => Ok(Value::Null),
        Value::Node(node) => Ok(Value::Bool(types.contains(&node.type_id))),
        Value::Relationship(edge) => Ok(Value::Bool(types.contains(&edge.type_id))),
        other => Err(mismatch(
            "a label test",
            "a node or relationship",
            other,
            expr,
        )),
    }
}

/// A position as an offset from the start; negative positions count from the end.
fn place_from(position: i64, len: usize) -> i64 {
    if position >= 0 {
        return position;
    }
    position.saturating_add(i64::try_from(len).unwrap_or(i64::MAX))
}

fn mismatch(
    place: &'static str,
    expected: &'static str,
    found: &Value,
    expr: &Expr,
) -> ExecuteError {
    ExecuteError::Type {
        place,
        expected,
        found: found.kind(),
        span: expr.span,
    }
}
