//! Recognises patterns that can be counted, and makes a tree of them.
//!
//! What counts: `MATCH` clauses whose relationships make trees, or trees with a cycle each, conditions that
//! each look at one node or one relationship, and a grouping that looks at one node at most: that is the
//! root. Where relationships of one clause could be the same one, pairs of neighbours in a tree are told
//! apart where they meet; otherwise what is found with some of them being the same is counted too, and
//! taken away ([`super::merge`]). Everything else is enumerated.

use std::collections::{BTreeMap, BTreeSet};

use language::plan::{Direction, Length, Match, Slot};
use language::schema::TypeId;

use super::merge;
use super::shape::{Corner, Line, Shape};
use super::tree::{Found, Vertex};
use super::triangle::Triangle;
use crate::executor::context::Context;
use crate::executor::matching::condition::Condition;
use crate::executor::matching::planning::{Link, Planner};
use crate::executor::matching::seek::Seek;
use crate::executor::walk::SlotSet;
use crate::snapshot::EdgeTable;

/// So many nodes, or one in so many of a type, are few: it is counted from them.
const FEW: f64 = 64.0;
const FEW_OF: f64 = 16.0;

/// Patterns to be counted.
pub(super) struct Pattern<'a> {
    /// The first has the root that is asked for; what the others count for multiplies all.
    pub(super) trees: Vec<Vertex<'a>>,
    /// What else is counted in the same way and added so many times: ways to take a relationship twice.
    pub(super) others: Vec<(i64, Vec<Vertex<'a>>)>,
    /// What must hold of the row that comes in.
    pub(super) guards: Vec<Condition<'a>>,
}

/// Relationships of one clause that could be the same.
#[derive(Clone)]
pub(super) struct Twins {
    pub(super) first: usize,
    pub(super) second: usize,
    /// The node between them.
    pub(super) at: Slot,
    pub(super) through: bool,
}

/// What is known of the clauses.
pub(super) struct Patterns<'a> {
    pub(super) context: Context<'a>,
    planner: Planner<'a>,
    guards: Vec<Condition<'a>>,
    conditions: BTreeMap<Slot, Vec<Condition<'a>>>,
}

impl<'a> Patterns<'a> {
    /// Gathers some clauses; `None` when they cannot be counted.
    pub(super) fn gather(context: Context<'a>, matchings: Vec<&'a Match>) -> Option<Self> {
        let plain = |matching: &&Match| {
            let mut paths = matching.paths.iter();
            !matching.optional
                && paths.all(|path| path.binding.is_none() && path.shortest.is_none())
        };
        if !matchings.iter().all(plain) {
            return None;
        }
        let planner = Planner::new(context, matchings, &SlotSet::new(0));
        let plain = |link: &Link<'_>| {
            let length = link.edge.length;
            !link.edge.bound && length.is_none_or(|length| may_reach(context, link, length))
        };
        if planner.is_impossible() || !planner.last.is_empty() || !planner.links.iter().all(plain) {
            return None;
        }
        let mut patterns = Self {
            context,
            guards: Vec::new(),
            conditions: BTreeMap::new(),
            planner,
        };
        patterns.sort_conditions()?;
        (!patterns.is_joined()).then_some(patterns)
    }

    /// Whether a node is looked up by what the rows before fix of it alone: all that hangs together with it
    /// would be gone through for each of them.
    fn is_joined(&self) -> bool {
        let slots = self.planner.nodes.keys().copied();
        let mut joined = slots.filter(|slot| {
            let seek = self.planner.seek(*slot);
            seek.is_some_and(|seek| seek.repeated && !seek.is_straight())
        });
        joined.any(|slot| {
            let mut together = vec![slot];
            let mut at = 0;
            while let Some(slot) = together.get(at).copied() {
                at += 1;
                let links = self.planner.links.iter();
                let ends =
                    links.flat_map(|link| [(link.left, link.right), (link.right, link.left)]);
                let next = ends.filter(|(near, _)| *near == slot).map(|(_, far)| far);
                let new: Vec<Slot> = next.filter(|far| !together.contains(far)).collect();
                together.extend(new);
            }
            let anywhere = |slot: &Slot| matches!(self.found(&[*slot]), Some(Found::Anywhere));
            together.iter().all(anywhere)
        })
    }

    /// Gives each condition to the one node or relationship that it looks at.
    fn sort_conditions(&mut self) -> Option<()> {
        let bound = self.planner.bound.clone();
        for (needed, condition) in std::mem::take(&mut self.planner.pending) {
            // The types of what is found here are the vertex's own.
            if let Condition::NodeType(slot, _) = condition
                && !bound.contains(slot)
            {
                continue;
            }
            let mut needed = needed.iter();
            match (needed.next(), needed.next()) {
                (None, _) => self.guards.push(condition),
                (Some(slot), None) => {
                    self.conditions.entry(slot).or_default().push(condition);
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// The relationships that could be the same one, when these are pairs of neighbours.
    fn pairs(&self) -> Option<Vec<Twins>> {
        let links = &self.planner.links;
        let mut twins: Vec<Twins> = Vec::new();
        for (first, one) in links.iter().enumerate() {
            for (second, other) in links.iter().enumerate().skip(first + 1) {
                if !self.may_coincide(one, other) {
                    continue;
                }
                if one.edge.length.is_some() || other.edge.length.is_some() {
                    return None;
                }
                let at = [one.left, one.right]
                    .into_iter()
                    .find(|slot| [other.left, other.right].contains(slot))?;
                let (arrives, leaves) = (way(one, at), way(other, at));
                let through = arrives.is_some() && leaves.is_some() && arrives != leaves;
                if through && !self.have_loops(&one.edge.types) {
                    continue;
                }
                let taken = twins.iter().flat_map(|it| [it.first, it.second]);
                if taken.into_iter().any(|it| it == first || it == second) {
                    return None;
                }
                twins.push(Twins {
                    first,
                    second,
                    at,
                    through,
                });
            }
        }
        Some(twins)
    }

    fn may_coincide(&self, one: &Link<'_>, other: &Link<'_>) -> bool {
        let (names, others) = (&one.edge.names, &other.edge.names);
        let named =
            names.is_empty() || others.is_empty() || names.iter().any(|name| others.contains(name));
        let types = |slot: Slot| self.planner.nodes.get(&slot).map(|facts| &facts.types);
        let meet = |a: Slot, b: Slot| match (types(a), types(b)) {
            (Some(a), Some(b)) => !a.is_disjoint(b),
            _ => false,
        };
        let straight = meet(one.left, other.left) && meet(one.right, other.right);
        let crossed = meet(one.left, other.right) && meet(one.right, other.left);
        one.clause == other.clause
            && !one.edge.types.is_disjoint(&other.edge.types)
            && named
            && (straight || crossed)
    }

    fn types(&self, slot: Slot) -> BTreeSet<TypeId> {
        let facts = self.planner.nodes.get(&slot);
        facts.map(|facts| facts.types.clone()).unwrap_or_default()
    }

    fn have_loops(&self, types: &BTreeSet<TypeId>) -> bool {
        let tables = types.iter().filter_map(|id| self.table(*id));
        tables
            .into_iter()
            .any(|table| table.loops().next().is_some())
    }

    /// Whether there are walks of which only the ends can be told.
    pub(super) fn has_reach(&self) -> bool {
        self.planner
            .links
            .iter()
            .any(|link| link.edge.length.is_some())
    }

    /// The patterns as three nodes that are joined with one another, when they are.
    pub(super) fn triangle(&self) -> Option<(Triangle<'a>, Vec<Condition<'a>>)> {
        let links = self.planner.links.as_slice();
        let mut slots: Vec<Slot> = self.planner.nodes.keys().copied().collect();
        // Who is found by key comes first.
        slots.sort_by_key(|slot| match self.found(&[*slot]) {
            Some(Found::Anywhere) | None => 1,
            Some(_) => 0,
        });
        let (&[first, second, third], [_, _, _]) = (slots.as_slice(), links) else {
            return None;
        };
        let plain = |link: &Link<'_>| {
            link.edge.length.is_none()
                && link.edge.names.is_empty()
                && !self.conditions.contains_key(&link.edge.slot)
                && !self.have_loops(&link.edge.types)
        };
        if !links.iter().all(plain) {
            return None;
        }
        let shape = self.shape();
        let side = |near: Slot, far: Slot| {
            let joins = |line: &&Line<'_>| {
                (line.left, line.right) == (near, far) || (line.left, line.right) == (far, near)
            };
            let line = shape.lines.iter().find(joins);
            line.map(|line| shape.hops(self, line, near))
        };
        let corner = |slot: Slot| {
            let corner = self.vertex(slot, shape.nodes.get(&slot)?)?;
            (corner.types.len() == 1).then_some(corner)
        };
        let corners = [corner(first)?, corner(second)?, corner(third)?];
        let sides = [
            side(first, second)?,
            side(second, third)?,
            side(first, third)?,
        ];
        Some((Triangle { corners, sides }, self.guards.clone()))
    }

    /// Whether a slot is a node of the patterns.
    pub(super) fn is_node(&self, slot: Slot) -> bool {
        self.planner.nodes.contains_key(&slot)
    }

    /// Whether a slot is bound by the patterns, or is one of their nodes.
    pub(super) fn holds(&self, slot: Slot) -> bool {
        self.planner.own.contains(slot) || self.is_node(slot)
    }

    /// The types that a node may have.
    pub(super) fn node_types(&self, slot: Slot) -> BTreeSet<TypeId> {
        self.types(slot)
    }

    /// The patterns as trees, and what is to be added to what the first ones count for and taken away.
    pub(super) fn pattern(&self, root: Option<Slot>) -> Option<Pattern<'a>> {
        let mut shape = self.shape();
        if shape.is_forest()
            && let Some(twins) = self.pairs()
        {
            shape.twins = twins;
            if let Some(trees) = shape.trees(self, root) {
                return Some(Pattern {
                    trees,
                    others: Vec::new(),
                    guards: self.guards.clone(),
                });
            }
            shape.twins.clear();
        }
        if self.has_reach() {
            return None;
        }
        let links = &self.planner.links;
        let coincide = |one: usize, other: usize| match (links.get(one), links.get(other)) {
            (Some(one), Some(other)) => self.may_coincide(one, other),
            _ => false,
        };
        let loops = |line: &Line<'_>| self.have_loops(&line.types);
        let terms = merge::terms(&shape, &coincide, &loops)?.into_iter();
        let trees = terms.map(|term| Some((term.times, term.shape.trees(self, root)?)));
        let mut trees = trees.collect::<Option<Vec<_>>>()?.into_iter();
        let (_, first) = trees.next().filter(|(times, _)| *times == 1)?;
        Some(Pattern {
            trees: first,
            others: trees.collect(),
            guards: self.guards.clone(),
        })
    }

    /// The tree with a root, when there is but one and nothing is to be taken away.
    pub(super) fn only_trees(&self, root: Option<Slot>) -> Option<Vec<Vertex<'a>>> {
        let pattern = self.pattern(root)?;
        pattern.others.is_empty().then_some(pattern.trees)
    }

    /// What the text has, each for itself.
    fn shape(&self) -> Shape<'a> {
        let nodes = self.planner.nodes.iter();
        let lines = self.planner.links.iter().map(|link| Line {
            left: link.left,
            right: link.right,
            direction: link.edge.direction,
            types: link.edge.types.clone(),
            names: &link.edge.names,
            length: link.edge.length,
            edges: vec![link.edge.slot],
        });
        Shape {
            nodes: nodes
                .map(|(slot, facts)| (*slot, Corner::new(*slot, &facts.types)))
                .collect(),
            lines: lines.collect(),
            twins: Vec::new(),
        }
    }

    /// A node of a shape, without what hangs on it; `None` for one that two variables of the row fix.
    pub(super) fn vertex(&self, slot: Slot, corner: &Corner) -> Option<Vertex<'a>> {
        let also = corner.slots.iter().copied();
        Some(Vertex {
            slot,
            also: also.filter(|own| *own != slot).collect(),
            types: corner.types.iter().copied().collect(),
            found: self.found(&corner.slots)?,
            conditions: self.conditions_of(&corner.slots),
            measure: None,
            branches: Vec::new(),
            pairs: Vec::new(),
            rings: Vec::new(),
            known: Vec::new(),
        })
    }

    /// What is asked of something that has these slots.
    pub(super) fn conditions_of(&self, slots: &[Slot]) -> Vec<Condition<'a>> {
        let conditions = slots.iter().filter_map(|slot| self.conditions.get(slot));
        conditions.flatten().copied().collect()
    }

    fn found(&self, slots: &[Slot]) -> Option<Found<'a>> {
        let mut bound = slots
            .iter()
            .filter(|slot| self.planner.bound.contains(**slot));
        match (bound.next(), bound.next()) {
            (Some(slot), None) => return Some(Found::Bound(*slot)),
            (Some(_), Some(_)) => return None,
            (None, _) => {}
        }
        for slot in slots {
            let lookups = self.planner.lookups(*slot, self.planner.nodes.get(slot)?);
            if let Some(lookups) = lookups.filter(|lookups| !lookups.is_empty()) {
                return Some(Found::ByKey(lookups));
            }
        }
        // What is within reach is worked out from single nodes.
        if !self.has_reach()
            && let Some(seek) = slots.iter().find_map(|slot| self.sought(*slot))
        {
            return Some(Found::Sought(Box::new(seek)));
        }
        Some(Found::Anywhere)
    }

    /// How a few nodes are found by what they must equal, when they are few.
    fn sought(&self, slot: Slot) -> Option<Seek<'a>> {
        let seek = self.planner.seek(slot)?;
        let all = self.count(self.types(slot).into_iter());
        let few = seek.expected <= FEW || seek.expected * FEW_OF <= all;
        (few && seek.is_straight()).then_some(seek)
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn edges(&self, type_id: TypeId) -> f64 {
        self.context.snapshot.edge_count(type_id) as f64
    }

    /// How many nodes of some types there are.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn count(&self, types: impl Iterator<Item = TypeId>) -> f64 {
        let snapshot = self.context.snapshot;
        types.map(|id| snapshot.node_count(id) as f64).sum()
    }

    pub(super) fn table(&self, type_id: TypeId) -> Option<&'a EdgeTable> {
        self.context.snapshot.edge_table(type_id)
    }
}

/// Whether the ends of a walk of variable length are the nodes within reach: one step is enough, and a
/// shortest walk leads along one type of relationship, one way, within one type of nodes.
fn may_reach(context: Context<'_>, link: &Link<'_>, length: Length) -> bool {
    let mut types = link.edge.types.iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };
    let edge_type = context.snapshot.schema().edge_type(*only);
    length.min <= 1
        && link.edge.direction != Direction::Either
        && link.edge.properties.is_empty()
        && edge_type.is_some_and(|edge_type| edge_type.source == edge_type.target)
}

/// Whether a relationship leaves a node at its end (`true`) or arrives there; `None` for either.
fn way(link: &Link<'_>, at: Slot) -> Option<bool> {
    match link.edge.direction {
        Direction::Either => None,
        Direction::Outgoing => Some(link.left == at),
        Direction::Incoming => Some(link.right == at),
    }
}
