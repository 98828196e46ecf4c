//! Walks over one relationship.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use language::plan::{Direction, EdgePattern, Slot};
use language::schema::{Schema, TypeId};
use language::value::{EdgeRef, NodeRef, Value};
use rustc_hash::FxHashMap;

use super::search::{Search, arrive};
use crate::executor::Row;
use crate::executor::operator::{self, Operator};
use crate::executor::pipeline::{ENOUGH, Flow, MORE};
use crate::snapshot::{Neighbour, Snapshot};
use crate::topology::Link;

/// Which edge types leave a node of a type, and which way: what is worth looking at.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    by_node_type: FxHashMap<TypeId, Vec<Way>>,
    /// In an open graph: the types by name; empty for any.
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) edge_type: TypeId,
    pub(super) outgoing: bool,
    pub(super) incoming: bool,
}

impl Ways {
    /// The ways of a pattern, from its right end when `reversed`; only those that lead to a `far`
    /// type.
    pub(crate) fn new(
        snapshot: &Snapshot,
        edge: &EdgePattern,
        reversed: bool,
        far: Option<&BTreeSet<TypeId>>,
    ) -> Self {
        let leads = |type_id: &TypeId| far.is_none_or(|far| far.contains(type_id));
        let (outgoing, incoming) = match (edge.direction, reversed) {
            (Direction::Either, _) => (true, true),
            (Direction::Outgoing, false) | (Direction::Incoming, true) => (true, false),
            (Direction::Outgoing, true) | (Direction::Incoming, false) => (false, true),
        };
        let mut ways = Self {
            names: edge.names.clone(),
            ..Self::default()
        };
        for edge_type in edge
            .types
            .iter()
            .filter_map(|id| snapshot.schema().edge_type(*id))
        {
            if outgoing && leads(&edge_type.target) {
                ways.way(edge_type.source, edge_type.id).outgoing = true;
            }
            if incoming && leads(&edge_type.source) {
                ways.way(edge_type.target, edge_type.id).incoming = true;
            }
        }
        ways
    }

    /// The relationships as in a pattern: `-[#4:Knows]->`.
    pub(crate) fn details(&self, schema: &Schema, edge: Slot) -> String {
        let ways = || self.by_node_type.values().flatten();
        let types: BTreeSet<TypeId> = ways().map(|way| way.edge_type).collect();
        let types = match self.names.is_empty() {
            true => operator::type_names(schema, &types),
            false => format!(":{}", self.names.join("|")),
        };
        let left = if ways().any(|way| way.incoming) {
            "<-"
        } else {
            "-"
        };
        let right = if ways().any(|way| way.outgoing) {
            "->"
        } else {
            "-"
        };
        format!("{left}[{}{types}]{right}", operator::variable(edge))
    }

    fn way(&mut self, node_type: TypeId, edge_type: TypeId) -> &mut Way {
        let ways = self.by_node_type.entry(node_type).or_default();
        let place = ways
            .iter()
            .position(|way| way.edge_type == edge_type)
            .unwrap_or_else(|| {
                ways.push(Way {
                    edge_type,
                    outgoing: false,
                    incoming: false,
                });
                ways.len() - 1
            });
        &mut ways[place]
    }

    /// Those of a type of nodes.
    pub(super) fn of(&self, type_id: TypeId) -> &[Way] {
        let ways = self.by_node_type.get(&type_id);
        ways.map(Vec::as_slice).unwrap_or_default()
    }

    /// The type of all nodes that they lead to, one way each; `None` when it is not so simple.
    pub(super) fn only_far_type(&self, snapshot: &Snapshot) -> Option<TypeId> {
        let mut found = None;
        for way in self.by_node_type.values().flatten() {
            let edge_type = snapshot.schema().edge_type(way.edge_type)?;
            let far = match (way.outgoing, way.incoming) {
                (true, false) => edge_type.target,
                (false, true) => edge_type.source,
                _ => return None,
            };
            if *found.get_or_insert(far) != far {
                return None;
            }
        }
        found.filter(|_| self.names.is_empty())
    }

    /// How many relationships there are for each node that may have some.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn mean_degree(&self, snapshot: &Snapshot) -> f64 {
        let types = self.by_node_type.iter();
        let nodes: u64 = types.clone().map(|(id, _)| snapshot.node_count(*id)).sum();
        let ways = types.flat_map(|(_, ways)| ways);
        let edges: u64 = ways.map(|way| snapshot.edge_count(way.edge_type)).sum();
        edges as f64 / nodes.max(1) as f64
    }

    /// The relationships of a node; a loop comes once.
    pub(crate) fn neighbours<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        node: NodeRef,
    ) -> impl Iterator<Item = Neighbour> + 'a {
        let ways = self
            .by_node_type
            .get(&node.type_id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        ways.iter().flat_map(move |way| {
            let outgoing = way.outgoing.then(|| snapshot.outgoing(way.edge_type, node));
            let incoming = way.incoming.then(|| snapshot.incoming(way.edge_type, node));
            let both = way.outgoing;
            let incoming = incoming.into_iter().flatten();
            let incoming = incoming.filter(move |neighbour| !(both && neighbour.node == node));
            let both = outgoing.into_iter().flatten().chain(incoming);
            both.filter(move |neighbour| {
                self.names.is_empty() || snapshot.is_named(neighbour.edge, &self.names)
            })
        })
    }

    /// Calls `visit` with the relationships of a node, a loop once, or with those that lead to `to` alone,
    /// until it breaks: as [`Self::neighbours`], with less between one and the next.
    fn each(
        &self,
        snapshot: &Snapshot,
        node: NodeRef,
        to: Option<NodeRef>,
        visit: &mut impl FnMut(Neighbour) -> Flow,
    ) -> Flow {
        let mut outcome = MORE;
        for way in self.of(node.type_id) {
            let Some(table) = snapshot.edge_table(way.edge_type) else {
                continue;
            };
            for outgoing in [true, false] {
                let taken = if outgoing { way.outgoing } else { way.incoming };
                let (near, far) = match (table.rows.layout.ends, outgoing) {
                    (Some((source, target)), true) => (source, target),
                    (Some((source, target)), false) => (target, source),
                    (None, _) => continue,
                };
                let misses = to.is_some_and(|to| to.type_id != far);
                if !taken || near != node.type_id || misses {
                    continue;
                }
                // Loops came with the relationships that leave.
                let without_loops = way.outgoing && !outgoing && near == far;
                let mut each = |link: Link| {
                    if (without_loops && link.node == node.id)
                        || to.is_some_and(|to| to.id != link.node)
                    {
                        return ControlFlow::Continue(());
                    }
                    let neighbour = Neighbour {
                        edge: EdgeRef {
                            type_id: way.edge_type,
                            id: link.edge,
                        },
                        node: NodeRef {
                            type_id: far,
                            id: link.node,
                        },
                    };
                    if !self.names.is_empty() && !snapshot.is_named(neighbour.edge, &self.names) {
                        return ControlFlow::Continue(());
                    }
                    match visit(neighbour) {
                        Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
                        ended => {
                            outcome = ended;
                            ControlFlow::Break(())
                        }
                    }
                };
                let adjacency = table.adjacency(outgoing);
                let flow = match adjacency.is_regular(node.id) {
                    true => adjacency.each_link(node.id, to.map(|to| to.id), each),
                    false => table.live(adjacency, node.id).try_for_each(&mut each),
                };
                if flow.is_break() {
                    return outcome;
                }
            }
        }
        outcome
    }

    /// How many relationships a node has, loops perhaps twice.
    pub(crate) fn degree(&self, snapshot: &Snapshot, node: NodeRef) -> u64 {
        let ways = self
            .by_node_type
            .get(&node.type_id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        ways.iter()
            .map(|way| {
                let outgoing = if way.outgoing {
                    snapshot.out_degree(way.edge_type, node)
                } else {
                    0
                };
                let incoming = if way.incoming {
                    snapshot.in_degree(way.edge_type, node)
                } else {
                    0
                };
                outgoing + incoming
            })
            .sum()
    }
}

/// From a bound node over its relationships.
#[derive(Debug)]
pub(crate) struct Expand {
    pub(crate) edge: Slot,
    pub(crate) from: Slot,
    pub(crate) to: Slot,
    pub(crate) to_bound: bool,
    /// Another relationship of the clause may be the same one.
    pub(crate) shared: bool,
    pub(crate) ways: Ways,
    /// The same relationships seen from the far end.
    pub(crate) back: Ways,
}

impl Expand {
    /// What it is: `(#1)-[#2:Knows]->(#3)`.
    pub(crate) fn describe(&self, schema: &Schema) -> Option<Operator> {
        let name = if self.to_bound {
            "ExpandInto"
        } else {
            "Expand"
        };
        let (from, to) = (operator::variable(self.from), operator::variable(self.to));
        let edge = self.ways.details(schema, self.edge);
        Some(Operator::new(name, format!("({from}){edge}({to})")))
    }

    pub(crate) fn run(&self, search: &mut Search<'_, '_, '_>, at: usize, row: &mut Row) -> Flow {
        let Value::Node(from) = row[self.from.0] else {
            return MORE;
        };
        let snapshot = search.context.snapshot;
        if let (true, Value::Node(to)) = (self.to_bound, &row[self.to.0]) {
            // Between two known nodes: from the one with fewer relationships.
            let to = *to;
            return if self.back.degree(snapshot, to) < self.ways.degree(snapshot, from) {
                self.walk(search, at, row, (&self.back, to), Some(from))
            } else {
                self.walk(search, at, row, (&self.ways, from), Some(to))
            };
        }
        if self.to_bound {
            return MORE;
        }
        self.walk(search, at, row, (&self.ways, from), None)
    }

    fn walk(
        &self,
        search: &mut Search<'_, '_, '_>,
        at: usize,
        row: &mut Row,
        (ways, from): (&Ways, NodeRef),
        to: Option<NodeRef>,
    ) -> Flow {
        let mark = search.used.len();
        let context = search.context;
        if to.is_some() {
            // Those that lead elsewhere are passed over together.
            let degree = ways.degree(context.snapshot, from);
            let steps = usize::try_from(degree).unwrap_or(usize::MAX);
            context.statement.steps(steps)?;
        }
        ways.each(context.snapshot, from, to, &mut |neighbour| {
            context.step()?;
            if self.shared && !search.used.insert(neighbour.edge) {
                return MORE;
            }
            row[self.edge.0] = Value::Relationship(neighbour.edge);
            if to.is_none() {
                row[self.to.0] = Value::Node(neighbour.node);
            }
            let flow = search.proceed(at, row)?;
            if self.shared {
                search.used.truncate(mark);
            }
            Ok(flow)
        })
    }
}

/// From a relationship that came bound to its ends.
#[derive(Debug)]
pub(crate) struct BoundEdge<'a> {
    pub(crate) edge: &'a EdgePattern,
    pub(crate) left: Slot,
    pub(crate) right: Slot,
    pub(crate) left_bound: bool,
    pub(crate) right_bound: bool,
}

impl BoundEdge<'_> {
    pub(crate) fn run(&self, search: &mut Search<'_, '_, '_>, at: usize, row: &mut Row) -> Flow {
        let Value::Relationship(edge) = row[self.edge.slot.0] else {
            return MORE;
        };
        if !self.edge.types.contains(&edge.type_id) {
            return MORE;
        }
        let snapshot = search.context.snapshot;
        let names = &self.edge.names;
        if !names.is_empty() && !snapshot.is_named(edge, names) {
            return MORE;
        }
        let Some((source, target)) = snapshot.edge_ends(edge) else {
            return MORE;
        };
        let mark = search.used.len();
        if !search.used.insert(edge) {
            return MORE;
        }
        let forward = (self.edge.direction != Direction::Incoming).then_some((source, target));
        let backward = (self.edge.direction != Direction::Outgoing).then_some((target, source));
        let backward = backward.filter(|_| source != target || forward.is_none());
        for (left, right) in forward.into_iter().chain(backward) {
            let same = self.left == self.right;
            let fits = arrive(row, self.left, self.left_bound, left)
                && arrive(row, self.right, self.right_bound || same, right);
            if fits && search.proceed(at, row)?.is_break() {
                search.used.truncate(mark);
                return ENOUGH;
            }
        }
        search.used.truncate(mark);
        MORE
    }
}
