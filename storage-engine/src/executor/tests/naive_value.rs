//! Expressions as the naive evaluator understands them: those that random queries use.

use language::plan::{
    BinaryOperator, Expr, ExprKind, Function, Subquery, SubqueryKind, UnaryOperator,
};
use language::value::Value;

use super::naive::{MOST_TRIES, Naive, Row, int};

impl Naive<'_> {
    pub(super) fn is_true(&self, expr: &Expr, row: &Row) -> bool {
        self.value(expr, row) == Value::Bool(true)
    }

    pub(super) fn value(&self, expr: &Expr, row: &Row) -> Value {
        match &expr.kind {
            ExprKind::Literal(value) => value.clone(),
            ExprKind::Variable(slot) => row[slot.0].clone(),
            ExprKind::Property { object, ids, .. } => {
                let object = self.value(object, row);
                let id = match &object {
                    Value::Node(node) => ids.get(&node.type_id),
                    Value::Relationship(edge) => ids.get(&edge.type_id),
                    _ => None,
                };
                id.map_or(Value::Null, |id| self.property(&object, *id))
            }
            ExprKind::Unary {
                operator: UnaryOperator::Not,
                operand,
            } => match self.value(operand, row) {
                Value::Bool(truth) => Value::Bool(!truth),
                _ => Value::Null,
            },
            ExprKind::IsNull { operand, negated } => {
                Value::Bool(self.value(operand, row).is_null() != *negated)
            }
            ExprKind::HasType { operand, types } => match self.value(operand, row) {
                Value::Node(node) => Value::Bool(types.contains(&node.type_id)),
                Value::Relationship(edge) => Value::Bool(types.contains(&edge.type_id)),
                _ => Value::Null,
            },
            ExprKind::List(elements) => {
                Value::list(elements.iter().map(|element| self.value(element, row)))
            }
            ExprKind::Binary {
                operator,
                left,
                right,
            } => binary(*operator, &self.value(left, row), &self.value(right, row)),
            ExprKind::Call {
                function,
                arguments,
            } => {
                let argument = self.value(&arguments[0], row);
                match (function, argument) {
                    (_, Value::Null) => Value::Null,
                    (Function::Length, Value::Path(path)) => int(path.edges.len()),
                    // The key is declared first.
                    (Function::Id, node @ Value::Node(_)) => self.first_property(&node),
                    (Function::Size, Value::List(list)) => int(list.len()),
                    other => panic!("the naive evaluator does not know {other:?}"),
                }
            }
            ExprKind::Subquery(subquery) => self.subquery(subquery, row),
            other => panic!("the naive evaluator does not know {other:?}"),
        }
    }

    fn first_property(&self, node: &Value) -> Value {
        let nodes = self.graph.nodes.iter();
        let mut own = nodes.filter(|(it, _)| Value::Node(*it) == *node);
        let first = own
            .next()
            .and_then(|(_, properties)| properties.first_key_value());
        first.map_or(Value::Null, |(_, value)| value.clone())
    }

    fn subquery(&self, subquery: &Subquery, row: &Row) -> Value {
        let mut inner = Naive {
            graph: self.graph,
            tries: self.tries,
            around: row.clone(),
            too_much: self.too_much,
        };
        // However little it looks at, it is begun for each row.
        self.tries.set(self.tries.get() + 32);
        if self.too_much.get() || self.tries.get() > MOST_TRIES {
            self.too_much.set(true);
            return Value::Null;
        }
        let [branch] = subquery.branches.as_slice() else {
            panic!("the naive evaluator does not know UNION");
        };
        let Ok(rows) = inner.clauses(&branch.clauses, vec![row.clone()]) else {
            self.too_much.set(true);
            return Value::Null;
        };
        match subquery.kind {
            SubqueryKind::Exists => Value::Bool(!rows.is_empty()),
            SubqueryKind::Count => int(rows.len()),
            SubqueryKind::Collect => {
                let slot = branch.columns[0].slot.0;
                Value::list(rows.iter().map(|row| row[slot].clone()))
            }
        }
    }
}

fn binary(operator: BinaryOperator, a: &Value, b: &Value) -> Value {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let truth = |value: &Value| {
        if let Value::Bool(truth) = value {
            Some(*truth)
        } else {
            None
        }
    };
    let from = |truth: Option<bool>| truth.map_or(Value::Null, Value::Bool);
    let compare =
        |wanted: &[std::cmp::Ordering]| from(a.compare(b).map(|found| wanted.contains(&found)));
    match operator {
        BinaryOperator::And => match (truth(a), truth(b)) {
            (Some(false), _) | (_, Some(false)) => Value::Bool(false),
            (Some(true), Some(true)) => Value::Bool(true),
            _ => Value::Null,
        },
        BinaryOperator::Or => match (truth(a), truth(b)) {
            (Some(true), _) | (_, Some(true)) => Value::Bool(true),
            (Some(false), Some(false)) => Value::Bool(false),
            _ => Value::Null,
        },
        BinaryOperator::Xor => from(truth(a).zip(truth(b)).map(|(a, b)| a != b)),
        BinaryOperator::Equal => from(a.equals(b)),
        BinaryOperator::NotEqual => from(a.equals(b).map(|equal| !equal)),
        BinaryOperator::Less => compare(&[Less]),
        BinaryOperator::LessEqual => compare(&[Less, Equal]),
        BinaryOperator::Greater => compare(&[Greater]),
        BinaryOperator::GreaterEqual => compare(&[Greater, Equal]),
        BinaryOperator::In => {
            let Value::List(list) = b else {
                return Value::Null;
            };
            let found: Vec<Option<bool>> = list.iter().map(|element| a.equals(element)).collect();
            if found.contains(&Some(true)) {
                Value::Bool(true)
            } else {
                from((!found.contains(&None)).then_some(false))
            }
        }
        BinaryOperator::Add => match (a, b) {
            (Value::Int(a), Value::Int(b)) => Value::Int(a + b),
            _ => Value::Null,
        },
        other => panic!("the naive evaluator does not know {other:?}"),
    }
}
