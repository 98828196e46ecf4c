//! Gathers what a `MATCH` asks for: nodes, links between them, conditions and what each needs.

use std::collections::BTreeSet;

use language::plan::{Direction, Expr, ExprKind, NodePattern, Slot};

use super::condition::{self, Condition};
use super::planning::{Link, NodeFacts, Planner};
use crate::executor::walk::{self, SlotSet};

impl<'a> Planner<'a> {
    /// Gathers nodes and links; finds which slots came bound from outside.
    pub(super) fn collect(&mut self, wanted: &SlotSet) {
        let mut mentioned = wanted.clone();
        let matchings = self.matchings.clone();
        let filters = matchings.iter().filter_map(|it| it.filter.as_ref());
        filters.for_each(|filter| walk::variables(filter, &mut mentioned));
        let paths = matchings.iter().enumerate();
        let paths = paths.flat_map(|(clause, it)| it.paths.iter().map(move |path| (clause, path)));
        for (clause, path) in paths {
            self.collect_node(&path.start);
            let mut left = path.start.slot;
            for step in &path.steps {
                let edge = &step.edge;
                if edge.bound && !self.own.contains(edge.slot) {
                    self.bound.insert(edge.slot);
                } else {
                    self.own.insert(edge.slot);
                }
                self.collect_node(&step.node);
                let list_wanted = path.binding.is_some()
                    || mentioned.contains(edge.slot)
                    || edge
                        .properties
                        .iter()
                        .any(|test| !matches!(test.value.kind, ExprKind::Literal(_)));
                let right = step.node.slot;
                self.links.push(Link {
                    clause,
                    left,
                    edge,
                    right,
                    shortest: path.shortest,
                    shared: false,
                    list_wanted,
                });
                left = right;
            }
            path.binding.iter().for_each(|slot| self.own.insert(*slot));
        }
    }

    fn collect_node(&mut self, node: &'a NodePattern) {
        if node.bound && !self.own.contains(node.slot) {
            self.bound.insert(node.slot);
        } else {
            self.own.insert(node.slot);
        }
        let facts = self.nodes.entry(node.slot).or_insert_with(|| NodeFacts {
            types: node.types.clone(),
            occurrences: Vec::new(),
        });
        facts.types.retain(|type_id| node.types.contains(type_id));
        facts.occurrences.push(node);
    }

    /// Notes which links may be the same relationship as another of their clause.
    pub(super) fn share(&mut self) {
        let shared = |place: usize| {
            let link = &self.links[place];
            let mut others = self.links.iter().enumerate();
            others.any(|(other, it)| {
                other != place
                    && it.clause == link.clause
                    && !it.edge.types.is_disjoint(&link.edge.types)
            })
        };
        let shared: Vec<bool> = (0..self.links.len()).map(shared).collect();
        for (link, shared) in self.links.iter_mut().zip(shared) {
            link.shared = shared;
        }
    }

    /// Whether nothing can match, whatever the graph holds.
    pub(crate) fn is_impossible(&self) -> bool {
        let mut lengths = self.links.iter().filter_map(|link| link.edge.length);
        lengths.any(|length| length.max.is_some_and(|max| max < length.min))
    }

    /// Leaves each node only the types that its relationships can join.
    pub(super) fn narrow(&mut self) {
        let schema = self.context.snapshot.schema();
        for link in self
            .links
            .iter()
            .filter(|link| link.edge.length.is_none_or(|length| length.min > 0))
        {
            let (mut left, mut right) = (BTreeSet::new(), BTreeSet::new());
            for edge_type in link
                .edge
                .types
                .iter()
                .filter_map(|id| schema.edge_type(*id))
            {
                if link.edge.direction != Direction::Incoming {
                    left.insert(edge_type.source);
                    right.insert(edge_type.target);
                }
                if link.edge.direction != Direction::Outgoing {
                    left.insert(edge_type.target);
                    right.insert(edge_type.source);
                }
            }
            for (slot, types) in [(link.left, left), (link.right, right)] {
                if let Some(facts) = self.nodes.get_mut(&slot) {
                    facts.types.retain(|type_id| types.contains(type_id));
                }
            }
        }
    }

    /// Notes every condition with the slots of this clause that it needs.
    pub(super) fn collect_conditions(&mut self) {
        for (slot, facts) in &self.nodes {
            let mut slots = SlotSet::new(0);
            slots.insert(*slot);
            if self.bound.contains(*slot) {
                self.pending
                    .push((slots.clone(), Condition::Present(*slot)));
            }
            for node in &facts.occurrences {
                self.pending
                    .push((slots.clone(), Condition::NodeType(*slot, &node.types)));
                for test in &node.properties {
                    let slots = self.needs(&test.value, Some(*slot));
                    self.pending.push((slots, Condition::Property(*slot, test)));
                }
            }
        }
        for link in self.links.iter().filter(|link| link.edge.length.is_none()) {
            for test in &link.edge.properties {
                let slots = self.needs(&test.value, Some(link.edge.slot));
                self.pending
                    .push((slots, Condition::Property(link.edge.slot, test)));
            }
        }
        let matchings = self.matchings.clone();
        let filters = matchings.iter().filter_map(|it| it.filter.as_ref());
        for part in filters.flat_map(condition::conjuncts) {
            if condition::is_infallible(part) {
                let slots = self.needs(part, None);
                self.pending.push((slots, Condition::Filter(part)));
            } else {
                self.last.push(Condition::Filter(part));
            }
        }
    }

    /// The slots of this clause that an expression about `slot` needs. All others are bound.
    pub(super) fn needs(&self, expr: &Expr, slot: Option<Slot>) -> SlotSet {
        let mut mentioned = SlotSet::new(0);
        walk::variables(expr, &mut mentioned);
        let mut needed = SlotSet::new(0);
        mentioned
            .iter()
            .filter(|slot| self.own.contains(*slot))
            .for_each(|slot| needed.insert(slot));
        slot.iter().for_each(|slot| needed.insert(*slot));
        needed
    }

    pub(super) fn is_known(&self, slots: &SlotSet) -> bool {
        slots.iter().all(|slot| self.bound.contains(slot))
    }
}
