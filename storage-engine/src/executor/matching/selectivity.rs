//! Which part of rows a condition is expected to leave: by what is known of the values, and by rules of
//! thumb where nothing is.

use std::collections::BTreeMap;

use language::plan::{BinaryOperator, Expr, ExprKind, UnaryOperator};
use language::schema::{PropertyId, TypeId};
use language::value::Value;

use super::condition::Condition;
use crate::executor::context::Context;
use crate::statistics::{OfType, Spread};

/// What a property equals of which nothing is known.
pub(super) const USUAL_EQUAL: f64 = 0.1;
/// Any other part of `WHERE` of which nothing is known.
const USUAL: f64 = 0.3;
/// Of alternatives, more than these are not looked at one by one.
const MOST_ALTERNATIVES: usize = 64;
/// Nesting to which conditions are looked into.
const DEPTH: usize = 16;

/// A property: which it is in each type, and its name.
type Property<'e> = (&'e BTreeMap<TypeId, PropertyId>, &'e str);

/// The part of rows for which a condition is expected to be true.
pub(crate) fn selectivity(context: Context<'_>, condition: &Condition<'_>) -> f64 {
    known(context, condition).unwrap_or(match condition {
        Condition::Filter(_) => USUAL,
        _ => USUAL_EQUAL,
    })
}

/// The same; `None` when nothing is known of the values.
pub(super) fn known(context: Context<'_>, condition: &Condition<'_>) -> Option<f64> {
    let known = Known { context };
    let part = match condition {
        Condition::Present(_) | Condition::NodeType(..) => Some(1.0),
        Condition::EachProperty(..) => None,
        Condition::Property(_, test) => known.equal((&test.ids, &test.name), &test.value),
        Condition::Filter(expr) => known.part(expr, DEPTH),
    };
    part.map(|part| part.clamp(0.0, 1.0))
}

/// What the snapshot knows.
struct Known<'c> {
    context: Context<'c>,
}

impl Known<'_> {
    /// `None` when nothing is known.
    fn part(&self, expr: &Expr, depth: usize) -> Option<f64> {
        let depth = depth.checked_sub(1)?;
        match &expr.kind {
            ExprKind::Literal(value) => Some(f64::from(u8::from(*value == Value::Bool(true)))),
            ExprKind::Unary {
                operator: UnaryOperator::Not,
                operand,
            } => Some(1.0 - self.part(operand, depth)?),
            ExprKind::IsNull { operand, negated } => {
                let known = self.average(property(operand)?, |spread, _| Some(spread.known()))?;
                Some(if *negated { known } else { 1.0 - known })
            }
            ExprKind::HasLabel {
                label: Some(label), ..
            } => self.labelled(label),
            ExprKind::Binary {
                operator,
                left,
                right,
            } => self.binary(*operator, (left, right), depth),
            _ => None,
        }
    }

    fn binary(
        &self,
        operator: BinaryOperator,
        (left, right): (&Expr, &Expr),
        depth: usize,
    ) -> Option<f64> {
        if matches!(operator, BinaryOperator::And | BinaryOperator::Or) {
            let (left, right) = (self.part(left, depth), self.part(right, depth));
            if left.is_none() && right.is_none() {
                return None;
            }
            let (left, right) = (left.unwrap_or(USUAL), right.unwrap_or(USUAL));
            return Some(match operator {
                BinaryOperator::And => left * right,
                _ => left + right - left * right,
            });
        }
        let (property, operator, other) = match (property(left), property(right)) {
            (Some(one), Some(other)) if operator == BinaryOperator::Equal => {
                return self.joined(one, other);
            }
            (Some(property), None) => (property, operator, right),
            (None, Some(property)) => (property, mirrored(operator)?, left),
            _ => return None,
        };
        match operator {
            BinaryOperator::Equal => self.equal(property, other),
            BinaryOperator::NotEqual => {
                let known = self.average(property, |spread, _| Some(spread.known()))?;
                Some(known - self.equal(property, other)?)
            }
            BinaryOperator::In => self.any_of(property, other),
            BinaryOperator::StartsWith => {
                let Some(Value::String(text)) = self.constant(other) else {
                    return None;
                };
                self.average(property, |spread, _| spread.beginning(text))
            }
            _ => self.range(property, operator, self.constant(other)?),
        }
    }

    fn range(
        &self,
        property: Property<'_>,
        operator: BinaryOperator,
        value: &Value,
    ) -> Option<f64> {
        self.average(property, |spread, _| match operator {
            BinaryOperator::Less => spread.below(value, false),
            BinaryOperator::LessEqual => spread.below(value, true),
            BinaryOperator::Greater => Some(spread.known() - spread.below(value, true)?),
            BinaryOperator::GreaterEqual => Some(spread.known() - spread.below(value, false)?),
            _ => None,
        })
    }

    fn equal(&self, property: Property<'_>, other: &Expr) -> Option<f64> {
        let value = self.constant(other);
        self.average(property, |spread, growth| Some(spread.equal(value, growth)))
    }

    fn any_of(&self, property: Property<'_>, list: &Expr) -> Option<f64> {
        let Some(Value::List(values)) = self.constant(list) else {
            return None;
        };
        self.average(property, |spread, growth| {
            let values = values.iter();
            let looked = values.clone().take(MOST_ALTERNATIVES);
            let parts: f64 = looked.map(|value| spread.equal(Some(value), growth)).sum();
            let more = values.len().saturating_sub(MOST_ALTERNATIVES);
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            Some((parts + more as f64 * spread.equal(None, growth)).min(spread.known()))
        })
    }

    /// Two properties that are to be equal: as if each value of the one with fewer were in the other.
    fn joined(&self, one: Property<'_>, other: Property<'_>) -> Option<f64> {
        let distinct =
            |property| self.average(property, |spread, growth| Some(spread.distinct(growth)));
        let (one, other) = (distinct(one)?, distinct(other)?);
        Some(1.0 / one.max(other).max(1.0))
    }

    fn constant<'e>(&'e self, expr: &'e Expr) -> Option<&'e Value> {
        match &expr.kind {
            ExprKind::Literal(value) => Some(value),
            ExprKind::Parameter(name) => self.context.statement.parameter(name),
            _ => None,
        }
    }

    /// What `of` says of a property, over the types that have it, each by the number of its rows. `of`
    /// is given how many times the rows are now that there were.
    fn average(
        &self,
        (ids, name): Property<'_>,
        of: impl Fn(&Spread, f64) -> Option<f64>,
    ) -> Option<f64> {
        let snapshot = self.context.snapshot;
        if let Some(open) = snapshot.open() {
            let elements = [open.node, open.edge].into_iter();
            let found = elements.filter_map(|id| {
                let (known, growth) = self.of_type(id)?;
                Some(match known.named(name)? {
                    Ok(spread) => (true, of(spread, growth)?),
                    Err(unseen) => (false, unseen),
                })
            });
            // Of nodes, unless it is seen with relationships alone.
            let best = found.reduce(|node, edge| if node.0 || !edge.0 { node } else { edge });
            return best.map(|(_, part)| part);
        }
        let (mut rows, mut sum) = (0.0, 0.0);
        for (type_id, property) in ids {
            let (known, growth) = self.of_type(*type_id)?;
            let weight = self.rows(*type_id);
            sum += weight * of(known.property(*property)?, growth)?;
            rows += weight;
        }
        (rows > 0.0).then(|| sum / rows)
    }

    fn of_type(&self, type_id: TypeId) -> Option<(&OfType, f64)> {
        let snapshot = self.context.snapshot;
        let known = snapshot.statistics().of(type_id)?;
        let rows = snapshot.rows(type_id)?.count;
        Some((known, known.growth(rows)))
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn rows(&self, type_id: TypeId) -> f64 {
        let rows = self.context.snapshot.rows(type_id);
        rows.map_or(0.0, |rows| rows.count as f64)
    }

    /// In an open graph: the part of nodes with a label.
    fn labelled(&self, label: &str) -> Option<f64> {
        let open = self.context.snapshot.open()?;
        self.of_type(open.node)?.0.labelled(label)
    }
}

/// In an open graph: the part of relationships that are of one of these types; all for no name.
pub(crate) fn of_names(context: Context<'_>, names: &[String]) -> f64 {
    let known = || {
        let open = context.snapshot.open()?;
        let known = context.snapshot.statistics().of(open.edge)?;
        let parts: Option<Vec<f64>> = names.iter().map(|name| known.labelled(name)).collect();
        Some(parts?.iter().sum::<f64>().min(1.0))
    };
    match names {
        [] => 1.0,
        _ => known().unwrap_or(1.0),
    }
}

/// The property of an element that an expression is.
fn property(expr: &Expr) -> Option<Property<'_>> {
    match &expr.kind {
        ExprKind::Property { object, name, ids } => {
            matches!(object.kind, ExprKind::Variable(_)).then_some((ids, name.as_str()))
        }
        _ => None,
    }
}

/// The comparison with its sides exchanged.
pub(crate) const fn mirrored(operator: BinaryOperator) -> Option<BinaryOperator> {
    Some(match operator {
        BinaryOperator::Equal => BinaryOperator::Equal,
        BinaryOperator::NotEqual => BinaryOperator::NotEqual,
        BinaryOperator::Less => BinaryOperator::Greater,
        BinaryOperator::LessEqual => BinaryOperator::GreaterEqual,
        BinaryOperator::Greater => BinaryOperator::Less,
        BinaryOperator::GreaterEqual => BinaryOperator::LessEqual,
        _ => return None,
    })
}
