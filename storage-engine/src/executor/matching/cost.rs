//! What a step is expected to cost, and which nodes are found by their key.
//!
//! Costs are rows, roughly; they order steps and never decide what is found.

use language::plan::{BinaryOperator, Expr, ExprKind, Length, Slot};
use language::schema::{PropertyId, TypeId};

use super::condition;
use super::planning::{KeyLookup, Link, NodeFacts, Planner};
use super::selectivity::of_names;

/// A walk without a limit is expected to be about as long as this.
const MANY_STEPS: u32 = 12;

impl<'a> Planner<'a> {
    /// The key of each possible type of a node, when all are fixed by what is known.
    pub(crate) fn lookups(&self, slot: Slot, facts: &NodeFacts<'a>) -> Option<Vec<KeyLookup<'a>>> {
        let schema = self.context.snapshot.schema();
        facts
            .types
            .iter()
            .map(|type_id| {
                let node_type = schema
                    .node_type(*type_id)
                    .filter(|node_type| !node_type.key.is_empty())?;
                let parts: Option<Vec<_>> = node_type
                    .key
                    .iter()
                    .map(|id| {
                        let property = node_type
                            .properties
                            .iter()
                            .find(|property| property.id == *id)?;
                        let value = self.fixed_value(slot, facts, *type_id, *id)?;
                        Some((value, property.value_type.clone()))
                    })
                    .collect();
                parts.map(|parts| KeyLookup {
                    type_id: *type_id,
                    parts,
                })
            })
            .collect()
    }

    /// An expression over what is bound that a property must equal.
    fn fixed_value(
        &self,
        slot: Slot,
        facts: &NodeFacts<'a>,
        type_id: TypeId,
        property: PropertyId,
    ) -> Option<&'a Expr> {
        let known = |expr: &&'a Expr| self.is_known(&self.needs(expr, None));
        let tests = facts.occurrences.iter().flat_map(|node| &node.properties);
        let inline = tests
            .filter(|test| test.ids.get(&type_id) == Some(&property))
            .map(|test| &test.value)
            .find(known);
        let is_property = |expr: &Expr| match &expr.kind {
            ExprKind::Property { object, ids, .. } => {
                matches!(object.kind, ExprKind::Variable(of) if of == slot)
                    && ids.get(&type_id) == Some(&property)
            }
            _ => false,
        };
        let equality = |part: &'a Expr| match &part.kind {
            ExprKind::Binary {
                operator: BinaryOperator::Equal,
                left,
                right,
            } => {
                let other = if is_property(left) {
                    Some(&**right)
                } else if is_property(right) {
                    Some(&**left)
                } else {
                    None
                };
                // Evaluated before the rest of the pattern matched: it must not be able to fail.
                other
                    .filter(|expr| condition::is_infallible(expr))
                    .filter(known)
            }
            _ => None,
        };
        inline.or_else(|| {
            self.matchings
                .iter()
                .filter_map(|matching| matching.filter.as_ref())
                .flat_map(condition::conjuncts)
                .find_map(equality)
        })
    }

    /// How many nodes of some types there are.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(crate) fn node_count<'t>(&self, types: impl IntoIterator<Item = &'t TypeId>) -> f64 {
        let snapshot = self.context.snapshot;
        let types = types.into_iter();
        types.map(|id| snapshot.node_count(*id) as f64).sum()
    }

    /// How many rows walking a link from one end makes of one.
    pub(super) fn growth(&self, link: &Link<'a>, from: Slot, to_bound: bool) -> f64 {
        let degree = self.degree(link, from);
        let walks = match link.edge.length {
            None => degree,
            Some(length) => walks(degree, length),
        };
        let to = if from == link.left {
            link.right
        } else {
            link.left
        };
        let targets = self
            .nodes
            .get(&to)
            .map(|facts| self.node_count(&facts.types));
        match link.shortest {
            Some(_) => 1.0,
            None if to_bound => walks / targets.unwrap_or(1.0).max(1.0),
            None => walks,
        }
    }

    /// The average number of the link's relationships at a node.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn degree(&self, link: &Link<'a>, from: Slot) -> f64 {
        let snapshot = self.context.snapshot;
        let edges: u64 = link
            .edge
            .types
            .iter()
            .map(|type_id| snapshot.edge_count(*type_id))
            .sum();
        let types = self
            .nodes
            .get(&from)
            .into_iter()
            .flat_map(|facts| &facts.types);
        let nodes: u64 = types.map(|type_id| snapshot.node_count(*type_id)).sum();
        let named = of_names(self.context, &link.edge.names);
        named * edges as f64 / nodes.max(1) as f64
    }
}

/// How many walks of a length there are from a node, when each has so many relationships.
pub(super) fn walks(degree: f64, length: Length) -> f64 {
    let longest = length.max.unwrap_or(MANY_STEPS).min(MANY_STEPS);
    let steps = length.min.min(longest)..=longest;
    steps
        .map(|steps| degree.max(1.0).powf(f64::from(steps)))
        .sum()
}
