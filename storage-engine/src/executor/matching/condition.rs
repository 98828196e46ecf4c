//! What must hold of the slots bound so far.

use std::collections::BTreeSet;

use language::Span;
use language::plan::{BinaryOperator, Expr, ExprKind, Function, PropertyTest, Slot, Type};
use language::schema::TypeId;
use language::value::Value;

use crate::executor::Row;
use crate::executor::context::Context;
use crate::executor::error::ExecuteError;

/// A test that a step makes once its slots are bound.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Condition<'a> {
    /// A node that exists.
    Present(Slot),
    /// A node of one of these types.
    NodeType(Slot, &'a BTreeSet<TypeId>),
    /// A node or relationship whose property equals a value.
    Property(Slot, &'a PropertyTest),
    /// A list of relationships, each of whose property equals a value.
    EachProperty(Slot, &'a PropertyTest),
    /// A part of `WHERE`.
    Filter(&'a Expr),
}

impl Condition<'_> {
    /// Whether both are the same part of the text.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Property(_, one), Self::Property(_, other)) => std::ptr::eq(*one, *other),
            (Self::Filter(one), Self::Filter(other)) => std::ptr::eq(*one, *other),
            _ => false,
        }
    }

    /// Where it stands in the text, when it is a part of it that says something about values.
    pub(crate) const fn span(&self) -> Option<Span> {
        match self {
            Self::Present(_) | Self::NodeType(..) => None,
            Self::Property(_, test) | Self::EachProperty(_, test) => Some(test.value.span),
            Self::Filter(expr) => Some(expr.span),
        }
    }

    /// Whether it is true of the row.
    pub(crate) fn holds(&self, context: Context<'_>, row: &Row) -> Result<bool, ExecuteError> {
        match self {
            Self::Present(slot) => Ok(match &row[slot.0] {
                Value::Node(node) => {
                    !context.statement.writes() || context.snapshot.contains_node(*node)
                }
                _ => false,
            }),
            Self::NodeType(slot, types) => Ok(match &row[slot.0] {
                Value::Node(node) => types.contains(&node.type_id),
                _ => false,
            }),
            Self::Property(slot, test) => property_equals(context, &row[slot.0], test, row),
            Self::EachProperty(slot, test) => {
                let Value::List(list) = &row[slot.0] else {
                    return Ok(false);
                };
                for element in list.iter() {
                    if !property_equals(context, element, test, row)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Filter(expr) => context.is_true(expr, row),
        }
    }
}

/// Whether a property of a node or relationship equals the test's value; null never does.
pub(crate) fn property_equals(
    context: Context<'_>,
    element: &Value,
    test: &PropertyTest,
    row: &Row,
) -> Result<bool, ExecuteError> {
    let snapshot = context.snapshot;
    let type_id = match element {
        Value::Node(node) => node.type_id,
        Value::Relationship(edge) => edge.type_id,
        _ => return Ok(false),
    };
    let open = snapshot
        .open()
        .is_some_and(|open| open.properties_of(type_id).is_some());
    let stored = if open {
        Some(snapshot.property_named(element, &test.name))
    } else {
        test.ids
            .get(&type_id)
            .map(|id| snapshot.property_of(element, *id))
    };
    let Some(stored) = stored else {
        return Ok(false);
    };
    let wanted = context.evaluate(&test.value, row)?;
    Ok(stored.equals(&wanted) == Some(true))
}

/// The parts of a condition that must all be true.
pub(crate) fn conjuncts(filter: &Expr) -> Vec<&Expr> {
    let mut result = Vec::new();
    let mut open = vec![filter];
    while let Some(expr) = open.pop() {
        match &expr.kind {
            ExprKind::Binary {
                operator: BinaryOperator::And,
                left,
                right,
            } => {
                open.push(right);
                open.push(left);
            }
            _ => result.push(expr),
        }
    }
    result
}

/// Whether evaluating cannot fail, so that it may be done earlier, and on more rows, than the text
/// says.
pub(crate) fn is_infallible(expr: &Expr) -> bool {
    expr.children().into_iter().all(is_infallible) && cannot_fail_itself(expr)
}

fn cannot_fail_itself(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Literal(_)
        | ExprKind::Parameter(_)
        | ExprKind::Variable(_)
        | ExprKind::IsNull { .. }
        | ExprKind::List(_)
        | ExprKind::Map(_) => true,
        ExprKind::Property { object, .. } => matches!(
            object.value_type,
            Type::Node(_) | Type::Relationship(_) | Type::Map | Type::Null
        ),
        ExprKind::HasType { operand, .. } => {
            matches!(
                operand.value_type,
                Type::Node(_) | Type::Relationship(_) | Type::Null
            )
        }
        ExprKind::Binary {
            operator,
            left,
            right,
        } => match operator {
            BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor => {
                is_boolean(left) && is_boolean(right)
            }
            BinaryOperator::In => {
                let list = matches!(right.value_type, Type::List(_) | Type::Null);
                list || matches!(right.kind, ExprKind::Literal(Value::List(_) | Value::Null))
            }
            BinaryOperator::Equal
            | BinaryOperator::NotEqual
            | BinaryOperator::Less
            | BinaryOperator::LessEqual
            | BinaryOperator::Greater
            | BinaryOperator::GreaterEqual
            | BinaryOperator::StartsWith
            | BinaryOperator::EndsWith
            | BinaryOperator::Contains => true,
            _ => false,
        },
        ExprKind::Unary {
            operator: language::plan::UnaryOperator::Not,
            operand,
        } => is_boolean(operand),
        ExprKind::Case { branches, .. } => {
            branches.iter().all(|(condition, _)| is_boolean(condition))
        }
        ExprKind::Call {
            function,
            arguments,
        } => total_on(*function)
            .is_some_and(|takes| arguments.iter().all(|argument| takes(&argument.value_type))),
        // The test itself fails on what is no element; the labels of one that is gone are empty.
        ExprKind::HasLabel { operand, .. } => {
            matches!(
                operand.value_type,
                Type::Node(_) | Type::Relationship(_) | Type::Null
            )
        }
        ExprKind::Comprehension { .. }
        | ExprKind::Quantified { .. }
        | ExprKind::Reduce { .. }
        | ExprKind::Subquery(_) => false,
        ExprKind::Unary { .. } | ExprKind::Index { .. } | ExprKind::Slice { .. } => false,
    }
}

const fn is_boolean(expr: &Expr) -> bool {
    matches!(expr.value_type, Type::Boolean | Type::Null)
}

/// The types of arguments for which a function always has a result.
fn total_on(function: Function) -> Option<fn(&Type) -> bool> {
    match function {
        Function::Coalesce => Some(|_| true),
        Function::Id | Function::ElementId | Function::Properties | Function::Keys => {
            Some(|value_type| matches!(value_type, Type::Node(_) | Type::Relationship(_)))
        }
        Function::Labels => Some(|value_type| matches!(value_type, Type::Node(_))),
        Function::Type | Function::StartNode | Function::EndNode => {
            Some(|value_type| matches!(value_type, Type::Relationship(_)))
        }
        Function::Nodes | Function::Relationships | Function::Length => {
            Some(|value_type| matches!(value_type, Type::Path))
        }
        Function::Size | Function::Reverse => {
            Some(|value_type| matches!(value_type, Type::List(_) | Type::String))
        }
        Function::Head | Function::Last | Function::Tail => {
            Some(|value_type| matches!(value_type, Type::List(_)))
        }
        Function::ToLower
        | Function::ToUpper
        | Function::Lower
        | Function::Upper
        | Function::Trim
        | Function::LTrim
        | Function::RTrim => Some(|value_type| matches!(value_type, Type::String)),
        _ => None,
    }
}
