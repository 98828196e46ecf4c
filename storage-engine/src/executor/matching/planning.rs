//! Orders the patterns of one `MATCH` into steps.
//!
//! Greedy: whatever binds at most one row comes first (key lookups, relationships already bound),
//! then walks from what is bound, cheapest first; when nothing is connected, nodes by what they must
//! equal ([`super::seeking`]) or a scan ([`super::order`]).
//! A condition is attached to the first step after which all its slots are bound. Parts of `WHERE`
//! that can fail are kept for the end, in the order of the text, so that they see only rows that
//! match.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use language::plan::{
    Direction, EdgePattern, Expr, Match, NodePattern, PathPattern, Shortest, Slot,
};
use language::schema::{PropertyType, TypeId};

use super::condition::Condition;
use super::expand::{BoundEdge, Expand, Ways};
use super::search::Operation;
use super::selectivity::selectivity;
use super::shortest::ShortestPath;
use super::variable_length::{BoundList, VariableLength};
use crate::executor::context::Context;
use crate::executor::walk::SlotSet;

/// A step and what is tested after it.
pub(crate) struct Planned<'a> {
    pub(crate) operation: Operation<'a>,
    pub(crate) conditions: Vec<Condition<'a>>,
    /// How many rows are expected to come out for one that comes in.
    pub(crate) growth: f64,
    /// How many rows have come out.
    pub(crate) rows: Cell<u64>,
}

/// The steps of a clause.
pub(crate) struct MatchPlan<'a> {
    pub(crate) steps: Vec<Planned<'a>>,
    /// What the clause binds: null when an `OPTIONAL MATCH` finds nothing.
    pub(crate) new_slots: Vec<Slot>,
}

/// One relationship pattern and its ends.
pub(crate) struct Link<'a> {
    /// Which `MATCH` it stands in: there each relationship is used once.
    pub(crate) clause: usize,
    pub(crate) left: Slot,
    pub(crate) edge: &'a EdgePattern,
    pub(crate) right: Slot,
    pub(super) shortest: Option<Shortest>,
    /// Another relationship of its clause may be the same one.
    pub(super) shared: bool,
    pub(super) list_wanted: bool,
}

/// What is known of a node variable.
pub(crate) struct NodeFacts<'a> {
    pub(crate) types: BTreeSet<TypeId>,
    pub(super) occurrences: Vec<&'a NodePattern>,
}

pub(crate) struct Planner<'a> {
    pub(super) context: Context<'a>,
    pub(super) matchings: Vec<&'a Match>,
    pub(crate) nodes: BTreeMap<Slot, NodeFacts<'a>>,
    pub(crate) links: Vec<Link<'a>>,
    /// What is bound: from outside, at first.
    pub(crate) bound: SlotSet,
    /// What these clauses bind at some time.
    pub(crate) own: SlotSet,
    /// What must hold, with what it needs.
    pub(crate) pending: Vec<(SlotSet, Condition<'a>)>,
    /// What must hold and can fail: it is tested on rows that match otherwise.
    pub(crate) last: Vec<Condition<'a>>,
    pub(super) steps: Vec<Planned<'a>>,
}

/// Plans a clause; `wanted` are the slots that later clauses mention.
pub(crate) fn plan<'a>(
    context: Context<'a>,
    matching: &'a Match,
    wanted: &SlotSet,
) -> MatchPlan<'a> {
    let mut planner = Planner::new(context, vec![matching], wanted);
    if planner.is_impossible() {
        let nothing = Planned {
            operation: Operation::Nothing,
            conditions: Vec::new(),
            growth: 0.0,
            rows: Cell::new(0),
        };
        return MatchPlan {
            new_slots: planner.own.iter().collect(),
            steps: vec![nothing],
        };
    }
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
    /// Gathers what some clauses ask for, one after the other.
    pub(crate) fn new(context: Context<'a>, matchings: Vec<&'a Match>, wanted: &SlotSet) -> Self {
        let mut planner = Self {
            context,
            matchings,
            nodes: BTreeMap::new(),
            links: Vec::new(),
            bound: SlotSet::new(0),
            own: SlotSet::new(0),
            pending: Vec::new(),
            last: Vec::new(),
            steps: Vec::new(),
        };
        planner.collect(wanted);
        planner.share();
        planner.narrow();
        planner.collect_conditions();
        planner
    }

    fn begin(&mut self) {
        self.emit(Operation::Begin, &[], 1.0);
    }

    /// Adds a step that binds `slots` and gives `growth` rows for each before it is tested, with the
    /// conditions that have become testable.
    pub(super) fn emit(&mut self, operation: Operation<'a>, slots: &[Slot], growth: f64) {
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
        // What a key fixes, its conditions only say again.
        let selectivity: f64 = match operation {
            Operation::Lookup { .. } => 1.0,
            _ => conditions
                .iter()
                .map(|condition| selectivity(self.context, condition))
                .product(),
        };
        self.steps.push(Planned {
            operation,
            conditions,
            growth: growth * selectivity,
            rows: Cell::new(0),
        });
    }

    /// Looks up one node whose whole key is known; says whether there was one.
    pub(super) fn bind_by_key(&mut self) -> bool {
        let unbound = self
            .nodes
            .iter()
            .filter(|(slot, _)| !self.bound.contains(**slot));
        let found = unbound
            .filter_map(|(slot, facts)| Some((*slot, self.lookups(*slot, facts)?)))
            .next();
        match found {
            Some((slot, keys)) => {
                self.emit(Operation::Lookup { slot, keys }, &[slot], 1.0);
                true
            }
            None => false,
        }
    }

    pub(super) fn is_bound_from_outside(&self, link: &Link<'a>) -> bool {
        link.edge.bound && !self.own.contains(link.edge.slot)
    }

    fn expand(&self, link: &Link<'a>, reversed: bool, (from, to): (Slot, Slot)) -> Expand {
        let (edge, snapshot) = (link.edge, self.context.snapshot);
        let far = self.nodes.get(&to).map(|facts| &facts.types);
        let near = self.nodes.get(&from).map(|facts| &facts.types);
        Expand {
            edge: edge.slot,
            from,
            to,
            to_bound: self.bound.contains(to),
            shared: link.shared,
            ways: Ways::new(snapshot, edge, reversed, far),
            back: Ways::new(snapshot, edge, !reversed, near),
        }
    }

    pub(super) fn emit_link(&mut self, link: Link<'a>) {
        // Also when the same variable stands twice in the clause: a relationship is used once.
        let bound_edge = self.bound.contains(link.edge.slot);
        let reversed = !self.bound.contains(link.left);
        let (from, to) = if reversed {
            (link.right, link.left)
        } else {
            (link.left, link.right)
        };
        let to_bound = self.bound.contains(to);
        let growth = self.growth(&link, from, to_bound);
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
            return self.emit(Operation::BoundEdge(step), &binds, 1.0);
        }
        if edge.length.is_none() {
            let step = self.expand(&link, reversed, (from, to));
            return self.emit(Operation::Expand(step), &binds, growth);
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
        self.emit(operation, &binds, growth);
    }

    fn bind_paths(&mut self) {
        let paths: Vec<(Slot, &'a PathPattern)> = self
            .matchings
            .iter()
            .flat_map(|matching| &matching.paths)
            .filter_map(|path| Some((path.binding?, path)))
            .collect();
        for (slot, path) in paths {
            self.emit(Operation::Path { slot, path }, &[slot], 1.0);
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
