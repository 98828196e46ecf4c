//! Recognises patterns that can be counted, and makes a tree of them.
//!
//! What counts: `MATCH` clauses whose relationships make trees, conditions that each look at one node or
//! one relationship, and a grouping that looks at one node at most: that is the root. Relationships of
//! one clause that could be the same one must stand next to each other, in pairs. Everything else is
//! enumerated.

use std::collections::{BTreeMap, BTreeSet};

use language::plan::{Direction, Length, Match, Slot};
use language::schema::TypeId;

use super::tree::{Branch, Found, Hop, Pair, Vertex, loops};
use super::triangle::Triangle;
use crate::executor::context::Context;
use crate::executor::matching::condition::Condition;
use crate::executor::matching::planning::{Link, Planner};
use crate::executor::matching::selectivity::selectivity;
use crate::executor::walk::SlotSet;

/// Of so many nodes of a pattern, each is tried as its root.
const MOST_ROOTS: usize = 8;

/// Patterns to be counted.
pub(super) struct Pattern<'a> {
    /// The first has the root that is asked for; what the others count for multiplies all.
    pub(super) trees: Vec<Vertex<'a>>,
    /// What must hold of the row that comes in.
    pub(super) guards: Vec<Condition<'a>>,
}

/// Relationships of one clause that could be the same.
struct Twins {
    first: usize,
    second: usize,
    /// The node between them.
    at: Slot,
    through: bool,
}

/// What is known of the clauses.
pub(super) struct Patterns<'a> {
    context: Context<'a>,
    planner: Planner<'a>,
    guards: Vec<Condition<'a>>,
    conditions: BTreeMap<Slot, Vec<Condition<'a>>>,
    twins: Vec<Twins>,
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
            twins: Vec::new(),
            planner,
        };
        patterns.sort_conditions()?;
        Some(patterns)
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

    /// Finds the relationships that could be the same one.
    pub(super) fn pair(&mut self) -> Option<()> {
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
                if through && !self.has_loops(one) {
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
        self.twins = twins;
        Some(())
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

    fn has_loops(&self, link: &Link<'_>) -> bool {
        let snapshot = self.context.snapshot;
        let tables = link
            .edge
            .types
            .iter()
            .filter_map(|id| snapshot.edge_table(*id));
        tables.into_iter().any(|table| !loops(table).is_empty())
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
        slots.sort_by_key(|slot| match self.found(*slot) {
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
                && !self.has_loops(link)
        };
        if !links.iter().all(plain) {
            return None;
        }
        let side = |near: Slot, far: Slot| {
            let joins = |link: &&Link<'_>| {
                (link.left, link.right) == (near, far) || (link.left, link.right) == (far, near)
            };
            links.iter().find(joins).map(|link| self.hops(link, near))
        };
        let corner = |slot: Slot| {
            let corner = self.vertex(slot, Vec::new(), Vec::new())?;
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

    /// The trees, the first with the given root, or else with the cheapest.
    pub(super) fn trees(&self, root: Option<Slot>) -> Option<Pattern<'a>> {
        let mut trees = Vec::new();
        let mut left: BTreeSet<Slot> = self.planner.nodes.keys().copied().collect();
        let mut wanted = root;
        while let Some(any) = wanted.or_else(|| left.first().copied()) {
            let tree = match wanted.take() {
                Some(root) => self.tree(root, None, &mut BTreeSet::new())?,
                None => self.cheapest(any)?,
            };
            let before = left.len();
            tree.walk(None, &mut |vertex, _| {
                left.remove(&vertex.slot);
            });
            if left.len() == before {
                return None;
            }
            trees.push(tree);
        }
        Some(Pattern {
            trees,
            guards: self.guards.clone(),
        })
    }

    /// The tree of all that hangs together with a node, from the root that costs least.
    fn cheapest(&self, any: Slot) -> Option<Vertex<'a>> {
        let mut seen = BTreeSet::new();
        let _ = self.tree(any, None, &mut seen);
        let trees = seen.into_iter().take(MOST_ROOTS);
        let trees = trees.filter_map(|root| self.tree(root, None, &mut BTreeSet::new()));
        let costed = trees.map(|tree| (self.estimate(&tree).cost, tree));
        let cheapest = costed.min_by(|one, other| one.0.total_cmp(&other.0));
        cheapest.map(|(_, tree)| tree)
    }

    /// The tree below a node, reached over a relationship. `None` for what is no tree, or has pairs
    /// that this root parts.
    fn tree(
        &self,
        slot: Slot,
        from: Option<usize>,
        seen: &mut BTreeSet<Slot>,
    ) -> Option<Vertex<'a>> {
        if !seen.insert(slot) {
            return None;
        }
        let mut branches = Vec::new();
        let mut places = BTreeMap::new();
        let mut is_tree = true;
        for (at, link) in self.planner.links.iter().enumerate() {
            if Some(at) == from || (link.left != slot && link.right != slot) {
                continue;
            }
            // All is looked at, so that `seen` is complete.
            match self.branch(slot, at, seen) {
                Some(branch) => {
                    places.insert(at, branches.len());
                    branches.push(branch);
                }
                None => is_tree = false,
            }
        }
        let here = self.twins.iter().filter(|twins| twins.at == slot);
        let pairs = here.filter_map(|twins| {
            let (first, second) = (places.get(&twins.first)?, places.get(&twins.second)?);
            Some(Pair {
                first: *first,
                second: *second,
                through: twins.through,
            })
        });
        let pairs = pairs.collect();
        self.vertex(slot, branches, pairs).filter(|_| is_tree)
    }

    fn vertex(
        &self,
        slot: Slot,
        branches: Vec<Branch<'a>>,
        pairs: Vec<Pair>,
    ) -> Option<Vertex<'a>> {
        Some(Vertex {
            slot,
            types: self.types(slot).into_iter().collect(),
            found: self.found(slot)?,
            conditions: self.conditions.get(&slot).cloned().unwrap_or_default(),
            measure: None,
            branches,
            pairs,
            known: Vec::new(),
        })
    }

    fn found(&self, slot: Slot) -> Option<Found<'a>> {
        if self.planner.bound.contains(slot) {
            return Some(Found::Bound);
        }
        let lookups = self.planner.lookups(slot, self.planner.nodes.get(&slot)?);
        let some = lookups.filter(|lookups| !lookups.is_empty());
        Some(some.map_or(Found::Anywhere, Found::ByKey))
    }

    fn branch(&self, near: Slot, at: usize, seen: &mut BTreeSet<Slot>) -> Option<Branch<'a>> {
        let link = &self.planner.links[at];
        let far = if link.left == near {
            link.right
        } else {
            link.left
        };
        let child = self.tree(far, Some(at), seen)?;
        let mut here = self.twins.iter().filter(|twins| twins.at == far);
        let turns_back = here.any(|twins| twins.first == at || twins.second == at);
        // With more branches, what is taken away would have to be multiplied too.
        if turns_back && child.branches.len() != 1 {
            return None;
        }
        let reach = link.edge.length;
        if reach.is_some()
            && (!child.is_anchored() || self.conditions.contains_key(&link.edge.slot))
        {
            return None;
        }
        let hops = self.hops(link, near);
        let average = |types: &BTreeSet<TypeId>| {
            let edges: f64 = link.edge.types.iter().map(|id| self.edges(*id)).sum();
            edges / self.planner.node_count(types).max(1.0)
        };
        Some(Branch {
            edge: link.edge.slot,
            hops,
            names: &link.edge.names,
            conditions: self
                .conditions
                .get(&link.edge.slot)
                .cloned()
                .unwrap_or_default(),
            turns_back,
            reach,
            degrees: (average(&self.types(near)), average(&self.types(far))),
            child,
            sums: None,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn edges(&self, type_id: TypeId) -> f64 {
        self.context.snapshot.edge_count(type_id) as f64
    }

    fn hops(&self, link: &Link<'a>, near: Slot) -> Vec<Hop<'a>> {
        let far = if link.left == near {
            link.right
        } else {
            link.left
        };
        let (near_types, far_types) = (self.types(near), self.types(far));
        let forward = match link.edge.direction {
            Direction::Either => None,
            direction => Some((direction == Direction::Outgoing) == (link.left == near)),
        };
        let snapshot = self.context.snapshot;
        let mut hops = Vec::new();
        for edge_type in &link.edge.types {
            let Some(table) = snapshot.edge_table(*edge_type) else {
                continue;
            };
            let Some((source, target)) = table.rows.layout.ends else {
                continue;
            };
            for outgoing in [true, false] {
                let (near, far) = match outgoing {
                    true => (source, target),
                    false => (target, source),
                };
                let walked = forward.is_none_or(|forward| forward == outgoing);
                if !walked || !near_types.contains(&near) || !far_types.contains(&far) {
                    continue;
                }
                let twice = forward.is_none() && !outgoing && source == target;
                hops.push(Hop {
                    edge_type: *edge_type,
                    near,
                    far,
                    outgoing,
                    table,
                    loops: twice.then(|| loops(table)),
                });
            }
        }
        hops
    }

    /// What counting a tree is expected to cost.
    fn estimate(&self, vertex: &Vertex<'_>) -> Estimate {
        let all = self.planner.node_count(&vertex.types);
        let conditions = vertex.conditions.iter();
        let conditions = conditions.map(|condition| selectivity(self.context, condition));
        let part: f64 = conditions.product();
        let mut estimate = match vertex.found {
            Found::Anywhere => Estimate {
                nodes: all * part,
                cost: if vertex.conditions.is_empty() {
                    0.0
                } else {
                    all
                },
            },
            Found::ByKey(_) | Found::Bound => Estimate {
                nodes: 1.0,
                cost: 1.0,
            },
        };
        for branch in &vertex.branches {
            let child = self.estimate(&branch.child);
            let (out, back) = branch.degrees;
            if branch.reach.is_some() {
                estimate.cost += child.cost + all * out;
            } else if branch.child.is_anchored() {
                estimate.cost += child.cost + child.nodes * back;
                estimate.nodes = estimate.nodes.min(child.nodes * back * part);
            } else if branch.child.is_free() {
                // A degree is one subtraction.
                estimate.cost += estimate.nodes / 8.0;
            } else {
                let children = self.planner.node_count(&branch.child.types).max(1.0);
                let asked = estimate.nodes * out;
                estimate.cost += asked + child.cost * (asked / children).min(1.0);
            }
        }
        estimate.cost += estimate.nodes / 8.0;
        estimate
    }
}

struct Estimate {
    /// Nodes that count for anything.
    nodes: f64,
    cost: f64,
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
