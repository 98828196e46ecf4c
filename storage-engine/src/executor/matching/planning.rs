//! Orders the patterns of one `MATCH` into steps.
//!
//! Greedy: whatever binds at most one row comes first (key lookups, relationships already bound),
//! then walks from what is bound, cheapest first; when nothing is connected, the cheapest scan.
//! A condition is attached to the first step after which all its slots are bound. Parts of `WHERE`
//! that can fail are kept for the end, in the order of the text, so that they see only rows that
//! match.

use std::collections::{BTreeMap, BTreeSet};

use language::plan::{
    BinaryOperator, Direction, EdgePattern, Expr, ExprKind, Match, NodePattern, PathPattern,
    Shortest, Slot,
};
use language::schema::{PropertyType, TypeId};

use super::condition::{self, Condition};
use super::expand::{BoundEdge, Expand, Ways};
use super::search::Operation;
use super::shortest::ShortestPath;
use super::variable_length::{BoundList, VariableLength};
use crate::executor::context::Context;
use crate::executor::walk::{self, SlotSet};

/// A walk without a limit is expected to be about as long as this.
const MANY_STEPS: u32 = 12;

/// A step and what is tested after it.
pub(crate) struct Planned<'a> {
    pub(crate) operation: Operation<'a>,
    pub(crate) conditions: Vec<Condition<'a>>,
}

/// The steps of a clause.
pub(crate) struct MatchPlan<'a> {
    pub(crate) steps: Vec<Planned<'a>>,
    /// What the clause binds: null when an `OPTIONAL MATCH` finds nothing.
    pub(crate) new_slots: Vec<Slot>,
}

/// One relationship pattern and its ends.
struct Link<'a> {
    left: Slot,
    edge: &'a EdgePattern,
    right: Slot,
    shortest: Option<Shortest>,
    list_wanted: bool,
}

/// What is known of a node variable.
struct NodeFacts<'a> {
    types: BTreeSet<TypeId>,
    occurrences: Vec<&'a NodePattern>,
}

struct Planner<'a> {
    context: Context<'a>,
    matching: &'a Match,
    nodes: BTreeMap<Slot, NodeFacts<'a>>,
    links: Vec<Link<'a>>,
    bound: SlotSet,
    /// What this clause binds at some time.
    own: SlotSet,
    pending: Vec<(SlotSet, Condition<'a>)>,
    last: Vec<Condition<'a>>,
    steps: Vec<Planned<'a>>,
}

/// Plans a clause; `wanted` are the slots that later clauses mention.
pub(crate) fn plan<'a>(
    context: Context<'a>,
    matching: &'a Match,
    wanted: &SlotSet,
) -> MatchPlan<'a> {
    let mut planner = Planner {
        context,
        matching,
        nodes: BTreeMap::new(),
        links: Vec::new(),
        bound: SlotSet::new(0),
        own: SlotSet::new(0),
        pending: Vec::new(),
        last: Vec::new(),
        steps: Vec::new(),
    };
    planner.collect(wanted);
    if planner.is_impossible() {
        let nothing = Planned { operation: Operation::Nothing, conditions: Vec::new() };
        return MatchPlan { new_slots: planner.own.iter().collect(), steps: vec![nothing] };
    }
    planner.narrow();
    planner.collect_conditions();
    planner.begin();
    planner.order();
    planner.bind_paths();
    let left_over = planner.pending.drain(..).map(|(_, condition)| condition);
    let left_over: Vec<_> = left_over.chain(planner.last.drain(..)).collect();
    if let Some(step) = planner.steps.last_mut() {
        step.conditions.extend(left_over);
    }
    MatchPlan {
        new_slots: planner.own.iter().collect(),
        steps: planner.steps,
    }
}

impl<'a> Planner<'a> {
    /// Gathers nodes and links; finds which slots came bound from outside.
    fn collect(&mut self, wanted: &SlotSet) {
        let mut mentioned = wanted.clone();
        self.matching
            .filter
            .iter()
            .for_each(|filter| walk::variables(filter, &mut mentioned));
        for path in &self.matching.paths {
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
                    left,
                    edge,
                    right,
                    shortest: path.shortest,
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

    /// Whether nothing can match, whatever the graph holds.
    fn is_impossible(&self) -> bool {
        let mut lengths = self.links.iter().filter_map(|link| link.edge.length);
        lengths.any(|length| length.max.is_some_and(|max| max < length.min))
    }

    /// Leaves each node only the types that its relationships can join.
    fn narrow(&mut self) {
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
    fn collect_conditions(&mut self) {
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
        for part in self.matching.filter.iter().flat_map(condition::conjuncts) {
            if condition::is_infallible(part) {
                let slots = self.needs(part, None);
                self.pending.push((slots, Condition::Filter(part)));
            } else {
                self.last.push(Condition::Filter(part));
            }
        }
    }

    /// The slots of this clause that an expression about `slot` needs. All others are bound.
    fn needs(&self, expr: &Expr, slot: Option<Slot>) -> SlotSet {
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

    fn is_known(&self, slots: &SlotSet) -> bool {
        slots.iter().all(|slot| self.bound.contains(slot))
    }

    fn begin(&mut self) {
        self.emit(Operation::Begin, &[]);
    }

    /// Adds a step that binds `slots`, with the conditions that have become testable.
    fn emit(&mut self, operation: Operation<'a>, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.bound.insert(*slot));
        let mut conditions = Vec::new();
        let pending = std::mem::take(&mut self.pending);
        for (needed, condition) in pending {
            if self.is_known(&needed) {
                conditions.push(condition);
            } else {
                self.pending.push((needed, condition));
            }
        }
        // Cheap tests first.
        conditions.sort_by_key(|condition| match condition {
            Condition::Present(_) => 0,
            Condition::NodeType(..) => 1,
            Condition::Property(..) | Condition::EachProperty(..) => 2,
            Condition::Filter(_) => 3,
        });
        self.steps.push(Planned {
            operation,
            conditions,
        });
    }

    fn order(&mut self) {
        loop {
            if self.bind_by_key() {
                continue;
            }
            let next = (0..self.links.len())
                .filter_map(|place| Some((self.link_cost(&self.links[place])?, place)))
                .min_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((_, place)) = next {
                let link = self.links.remove(place);
                self.emit_link(link);
                continue;
            }
            let start = self
                .nodes
                .iter()
                .filter(|(slot, _)| !self.bound.contains(**slot))
                .min_by_key(|(slot, facts)| self.scan_cost(**slot, facts))
                .map(|(slot, facts)| (*slot, facts.types.iter().copied().collect()));
            match start {
                Some((slot, types)) => self.emit(Operation::Scan { slot, types }, &[slot]),
                None => return,
            }
        }
    }

    /// Looks up one node whose whole key is known; says whether there was one.
    fn bind_by_key(&mut self) -> bool {
        let unbound = self
            .nodes
            .iter()
            .filter(|(slot, _)| !self.bound.contains(**slot));
        let found = unbound
            .filter_map(|(slot, facts)| Some((*slot, self.lookups(*slot, facts)?)))
            .next();
        match found {
            Some((slot, keys)) => {
                self.emit(Operation::Lookup { slot, keys }, &[slot]);
                true
            }
            None => false,
        }
    }

    /// The key of each possible type of a node, when all are fixed by what is known.
    fn lookups(&self, slot: Slot, facts: &NodeFacts<'a>) -> Option<Vec<KeyLookup<'a>>> {
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
        property: language::schema::PropertyId,
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
            self.matching
                .filter
                .iter()
                .flat_map(condition::conjuncts)
                .find_map(equality)
        })
    }

    fn scan_cost(&self, slot: Slot, facts: &NodeFacts<'a>) -> u64 {
        let rows: u64 = facts
            .types
            .iter()
            .map(|type_id| self.context.snapshot.node_count(*type_id))
            .sum();
        let tested = facts
            .occurrences
            .iter()
            .any(|node| !node.properties.is_empty())
            || self.pending.iter().any(|(needed, condition)| {
                matches!(condition, Condition::Filter(_))
                    && needed.contains(slot)
                    && needed
                        .iter()
                        .all(|needed| needed == slot || self.bound.contains(needed))
            });
        if tested { rows / 10 } else { rows }
    }

    /// How many rows a link makes of one, roughly; `None` when it cannot be walked yet.
    fn link_cost(&self, link: &Link<'a>) -> Option<f64> {
        let (left, right) = (
            self.bound.contains(link.left),
            self.bound.contains(link.right),
        );
        let tests_known = link
            .edge
            .properties
            .iter()
            .all(|test| self.is_known(&self.needs(&test.value, None)));
        if link.shortest.is_some() {
            return (left && right).then_some(if tests_known { 1e9 } else { 1e12 });
        }
        if self.is_bound_from_outside(link) && link.edge.length.is_none() {
            return Some(0.0);
        }
        let both = if left && right { 0.0 } else { 1.0 };
        if !left && !right {
            return None;
        }
        let from = if left { link.left } else { link.right };
        let degree = self.degree(link, from);
        let Some(length) = link.edge.length else {
            return Some(if left && right { 0.5 } else { 1.0 + degree });
        };
        let longest = length.max.unwrap_or(MANY_STEPS).min(MANY_STEPS);
        let walks: f64 = (0..=longest).map(|steps| degree.max(1.0).powf(f64::from(steps))).sum();
        Some(walks + both + if tests_known { 0.0 } else { 1e10 })
    }

    /// The average number of the link's relationships at a node.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn degree(&self, link: &Link<'a>, from: Slot) -> f64 {
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
        edges as f64 / nodes.max(1) as f64
    }

    fn is_bound_from_outside(&self, link: &Link<'a>) -> bool {
        link.edge.bound && !self.own.contains(link.edge.slot)
    }

    fn emit_link(&mut self, link: Link<'a>) {
        let bound_edge = link.edge.bound && self.bound.contains(link.edge.slot);
        let reversed = !self.bound.contains(link.left);
        let (from, to) = if reversed {
            (link.right, link.left)
        } else {
            (link.left, link.right)
        };
        let to_bound = self.bound.contains(to);
        let edge = link.edge;
        let snapshot = self.context.snapshot;
        let binds = [link.left, link.right, edge.slot];
        if edge.length.is_none() && bound_edge {
            let left_bound = self.bound.contains(link.left);
            let right_bound = self.bound.contains(link.right);
            let step = BoundEdge {
                edge,
                left: link.left,
                right: link.right,
                left_bound,
                right_bound,
            };
            return self.emit(Operation::BoundEdge(step), &binds);
        }
        if edge.length.is_none() {
            let far = self.nodes.get(&to).map(|facts| &facts.types);
            let near = self.nodes.get(&from).map(|facts| &facts.types);
            let step = Expand {
                edge: edge.slot,
                from,
                to,
                to_bound,
                ways: Ways::new(snapshot, edge, reversed, far),
                back: Ways::new(snapshot, edge, !reversed, near),
            };
            return self.emit(Operation::Expand(step), &binds);
        }
        let mut tests = Vec::new();
        for test in &edge.properties {
            let needed = self.needs(&test.value, Some(edge.slot));
            if self.is_known(&self.needs(&test.value, None)) {
                tests.push(test);
            } else {
                self.pending
                    .push((needed, Condition::EachProperty(edge.slot, test)));
            }
        }
        let length = edge.length.unwrap_or(language::plan::Length {
            min: 1,
            max: Some(1),
        });
        let walk = VariableLength {
            edge: edge.slot,
            from,
            to,
            to_bound,
            reversed,
            length,
            ways: Ways::new(snapshot, edge, reversed, None),
            back: Ways::new(snapshot, edge, !reversed, None),
            tests,
            list_wanted: link.list_wanted,
        };
        let operation = match link.shortest {
            Some(which) => {
                let undirected = edge.direction == Direction::Either;
                Operation::Shortest(ShortestPath {
                    which,
                    undirected,
                    walk,
                })
            }
            None if bound_edge => Operation::BoundList(BoundList { edge, walk }),
            None => Operation::VariableLength(walk),
        };
        self.emit(operation, &binds);
    }

    fn bind_paths(&mut self) {
        let paths: Vec<(Slot, &'a PathPattern)> = self
            .matching
            .paths
            .iter()
            .filter_map(|path| Some((path.binding?, path)))
            .collect();
        for (slot, path) in paths {
            self.emit(Operation::Path { slot, path }, &[slot]);
        }
    }
}

/// How a node is found by its key.
#[derive(Debug)]
pub(crate) struct KeyLookup<'a> {
    pub(crate) type_id: TypeId,
    /// In the order of the key.
    pub(crate) parts: Vec<(&'a Expr, PropertyType)>,
}
