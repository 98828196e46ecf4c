//! Patterns as nodes and the relationships between them, and the trees that these make.
//!
//! A node or relationship of a shape may be several of the text ([`super::merge`]). What hangs together
//! may have one cycle: a closed walk that hangs on the node at which the tree reaches it.

use std::collections::{BTreeMap, BTreeSet};

use language::plan::{Direction, Length, Slot};
use language::schema::TypeId;

use super::plan::{Patterns, Twins};
use super::tree::{Branch, Found, Hop, Pair, Ring, Vertex};
use crate::executor::matching::condition::Condition;
use crate::executor::matching::selectivity::selectivity;

/// Of so many nodes of a pattern, each is tried as its root.
const MOST_ROOTS: usize = 8;
/// Longer cycles are enumerated.
const LONGEST_RING: usize = 4;

/// Nodes and relationships.
#[derive(Clone)]
pub(super) struct Shape<'a> {
    /// By one of its slots.
    pub(super) nodes: BTreeMap<Slot, Corner>,
    pub(super) lines: Vec<Line<'a>>,
    /// Relationships that must not be the same.
    pub(super) twins: Vec<Twins>,
}

/// A node of a shape.
#[derive(Clone)]
pub(super) struct Corner {
    pub(super) slots: Vec<Slot>,
    pub(super) types: BTreeSet<TypeId>,
}

/// A relationship of a shape.
#[derive(Clone)]
pub(super) struct Line<'a> {
    pub(super) left: Slot,
    pub(super) right: Slot,
    pub(super) direction: Direction,
    pub(super) types: BTreeSet<TypeId>,
    pub(super) names: &'a [String],
    pub(super) length: Option<Length>,
    /// Its slots.
    pub(super) edges: Vec<Slot>,
}

impl Line<'_> {
    fn other(&self, end: Slot) -> Slot {
        if self.left == end {
            self.right
        } else {
            self.left
        }
    }

    fn touches(&self, slot: Slot) -> bool {
        self.left == slot || self.right == slot
    }
}

/// What [`Shape::trees`] works on.
struct Builder<'s, 'a> {
    patterns: &'s Patterns<'a>,
    shape: &'s Shape<'a>,
    /// Relationships that lie on a cycle.
    cycle: BTreeSet<usize>,
}

impl<'a> Shape<'a> {
    /// The trees, the first with the given root, or else with the cheapest. `None` when it has more than
    /// trees with a cycle each.
    pub(super) fn trees(
        &self,
        patterns: &Patterns<'a>,
        root: Option<Slot>,
    ) -> Option<Vec<Vertex<'a>>> {
        let builder = Builder {
            patterns,
            shape: self,
            cycle: match self.is_forest() {
                true => BTreeSet::new(),
                false => self.cycle()?,
            },
        };
        let mut trees = Vec::new();
        let mut left: BTreeSet<Slot> = self.nodes.keys().copied().collect();
        let mut wanted = root.and_then(|root| self.node_of(root));
        while let Some(any) = wanted.or_else(|| left.first().copied()) {
            let tree = match wanted.take() {
                Some(root) => builder.tree(root, None, &mut BTreeSet::new())?,
                None => builder.cheapest(any)?,
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
        Some(trees)
    }

    fn types(&self, slot: Slot) -> impl Iterator<Item = TypeId> + '_ {
        let corner = self.nodes.get(&slot);
        corner
            .into_iter()
            .flat_map(|corner| corner.types.iter().copied())
    }

    /// The types and directions in which a relationship is walked from one of its ends.
    pub(super) fn hops(
        &self,
        patterns: &Patterns<'a>,
        line: &Line<'a>,
        near: Slot,
    ) -> Vec<Hop<'a>> {
        let far = line.other(near);
        let has = |slot: Slot, wanted: TypeId| self.types(slot).any(|own| own == wanted);
        let forward = match line.direction {
            Direction::Either => None,
            direction => Some((direction == Direction::Outgoing) == (line.left == near)),
        };
        let mut hops = Vec::new();
        for edge_type in &line.types {
            let Some(table) = patterns.table(*edge_type) else {
                continue;
            };
            let Some((source, target)) = table.rows.layout.ends else {
                continue;
            };
            for outgoing in [true, false] {
                let (from, to) = match outgoing {
                    true => (source, target),
                    false => (target, source),
                };
                let walked = forward.is_none_or(|forward| forward == outgoing);
                if walked && has(near, from) && has(far, to) {
                    hops.push(Hop {
                        edge_type: *edge_type,
                        near: from,
                        far: to,
                        outgoing,
                        table,
                        without_loops: forward.is_none() && !outgoing && source == target,
                    });
                }
            }
        }
        hops
    }

    /// The node that has a slot.
    fn node_of(&self, slot: Slot) -> Option<Slot> {
        let mut nodes = self.nodes.iter();
        nodes
            .find(|(_, corner)| corner.slots.contains(&slot))
            .map(|(node, _)| *node)
    }

    /// Whether it is nothing but trees.
    pub(super) fn is_forest(&self) -> bool {
        let nodes: Vec<Slot> = self.nodes.keys().copied().collect();
        // For each node, the tree that it is in.
        let mut trees: Vec<usize> = (0..nodes.len()).collect();
        self.lines.iter().all(|line| {
            let tree = |slot: Slot| trees.get(nodes.binary_search(&slot).ok()?).copied();
            let (Some(left), Some(right)) = (tree(line.left), tree(line.right)) else {
                return false;
            };
            for tree in trees.iter_mut().filter(|tree| **tree == right) {
                *tree = left;
            }
            left != right
        })
    }

    /// The relationships that lie on cycles, those from a node to itself left out; `None` when cycles
    /// meet.
    fn cycle(&self) -> Option<BTreeSet<usize>> {
        let proper = self.lines.iter().enumerate();
        let proper = proper.filter(|(_, line)| line.left != line.right);
        let mut left: BTreeSet<usize> = proper.map(|(at, _)| at).collect();
        let touching = |left: &BTreeSet<usize>, slot: Slot| -> Vec<usize> {
            let here = left.iter().copied();
            here.filter(|at| self.lines[*at].touches(slot)).collect()
        };
        loop {
            let before = left.len();
            for slot in self.nodes.keys() {
                if let [leaf] = touching(&left, *slot).as_slice() {
                    left.remove(leaf);
                }
            }
            if left.len() == before {
                break;
            }
        }
        let simple = self
            .nodes
            .keys()
            .all(|slot| touching(&left, *slot).len() <= 2);
        let plain = left.iter().all(|at| self.lines[*at].length.is_none());
        (simple && plain).then_some(left)
    }
}

impl<'a> Builder<'_, 'a> {
    /// The tree of all that hangs together with a node, from the root that costs least.
    fn cheapest(&self, any: Slot) -> Option<Vertex<'a>> {
        let mut seen = BTreeSet::from([any]);
        loop {
            let before = seen.len();
            for line in &self.shape.lines {
                if seen.contains(&line.left) || seen.contains(&line.right) {
                    seen.extend([line.left, line.right]);
                }
            }
            if seen.len() == before {
                break;
            }
        }
        let mut roots: Vec<Slot> = seen.into_iter().collect();
        let lines = &self.shape.lines;
        let touching = |slot: &Slot| lines.iter().filter(|line| line.touches(*slot)).count();
        roots.sort_by_key(|slot| std::cmp::Reverse(touching(slot)));
        let mut cheapest: Option<(f64, Vertex<'a>)> = None;
        for root in roots.into_iter().take(MOST_ROOTS) {
            let Some(tree) = self.tree(root, None, &mut BTreeSet::new()) else {
                continue;
            };
            // Nothing is less than reading off degrees.
            let free = |branch: &Branch<'_>| branch.child.is_free();
            if tree.is_bare() && tree.branches.iter().all(free) {
                return Some(tree);
            }
            let cost = self.estimate(&tree).cost;
            if cheapest.as_ref().is_none_or(|(least, _)| cost < *least) {
                cheapest = Some((cost, tree));
            }
        }
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
        let lines = &self.shape.lines;
        let mut branches = Vec::new();
        let mut places = BTreeMap::new();
        let mut rings = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            if Some(at) == from || !line.touches(slot) || self.cycle.contains(&at) {
                continue;
            }
            if line.left == line.right {
                let back = self.back(slot, at)?;
                rings.push(Ring {
                    branches: Vec::new(),
                    back,
                });
                continue;
            }
            let child = self.tree(line.other(slot), Some(at), seen)?;
            places.insert(at, branches.len());
            branches.push(self.branch(slot, at, child)?);
        }
        if !from.is_some_and(|from| self.cycle.contains(&from)) {
            rings.extend(self.ring(slot, seen)?);
        }
        let here = self.shape.twins.iter().filter(|twins| twins.at == slot);
        let pairs = here.filter_map(|twins| {
            let (first, second) = (places.get(&twins.first)?, places.get(&twins.second)?);
            Some(Pair {
                first: *first,
                second: *second,
                through: twins.through,
            })
        });
        let pairs = pairs.collect();
        Some(Vertex {
            branches,
            pairs,
            rings,
            ..self.patterns.vertex(slot, self.shape.nodes.get(&slot)?)?
        })
    }

    /// The closed walk that hangs on a node, if one does; `None` for one that cannot be walked from there.
    fn ring(&self, slot: Slot, seen: &mut BTreeSet<Slot>) -> Option<Option<Ring<'a>>> {
        let lines = &self.shape.lines;
        let on = |slot: Slot, but: Option<usize>| {
            let mut here = self.cycle.iter().copied();
            here.find(|at| Some(*at) != but && lines[*at].touches(slot))
        };
        let Some(first) = on(slot, None) else {
            return Some(None);
        };
        let mut way = vec![(slot, first)];
        let mut at = lines[first].other(slot);
        let mut last = first;
        while at != slot {
            last = on(at, Some(last))?;
            way.push((at, last));
            at = lines[last].other(at);
            if way.len() > LONGEST_RING {
                return None;
            }
        }
        let mut branches = Vec::new();
        for ((near, line), (far, _)) in way.iter().zip(way.iter().skip(1)) {
            let child = self.tree(*far, Some(*line), seen)?;
            branches.push(self.branch(*near, *line, child)?);
        }
        let inner = branches.len().saturating_sub(1);
        let middle = branches.iter().take(inner).skip(1);
        // From what is known in the middle, nothing leads to where it begins.
        if middle.into_iter().any(|branch| branch.child.is_anchored()) {
            return None;
        }
        let (near, line) = *way.last()?;
        Some(Some(Ring {
            branches,
            back: self.back(near, line)?,
        }))
    }

    /// The relationship that ends a closed walk.
    fn back(&self, near: Slot, at: usize) -> Option<Branch<'a>> {
        let far = self.shape.lines.get(at)?.other(near);
        let end = Vertex {
            conditions: Vec::new(),
            found: Found::Anywhere,
            ..self.patterns.vertex(far, self.shape.nodes.get(&far)?)?
        };
        self.branch(near, at, end)
    }

    fn branch(&self, near: Slot, at: usize, child: Vertex<'a>) -> Option<Branch<'a>> {
        let line = self.shape.lines.get(at)?;
        let far = line.other(near);
        let mut here = self.shape.twins.iter().filter(|twins| twins.at == far);
        let turns_back = here.any(|twins| twins.first == at || twins.second == at);
        // With more branches, what is taken away would have to be multiplied too.
        if turns_back && child.branches.len() != 1 {
            return None;
        }
        let conditions = self.patterns.conditions_of(&line.edges);
        if line.length.is_some() && (!child.is_anchored() || !conditions.is_empty()) {
            return None;
        }
        let edges: f64 = line.types.iter().map(|id| self.patterns.edges(*id)).sum();
        let average = |slot: Slot| edges / self.patterns.count(self.shape.types(slot)).max(1.0);
        let (edge, also) = line.edges.split_first()?;
        Some(Branch {
            edge: *edge,
            also: also.to_vec(),
            hops: self.shape.hops(self.patterns, line, near),
            names: line.names,
            conditions,
            turns_back,
            reach: line.length,
            degrees: (average(near), average(far)),
            child,
            sums: None,
        })
    }

    /// What counting a tree is expected to cost.
    fn estimate(&self, vertex: &Vertex<'_>) -> Estimate {
        let context = self.patterns.context;
        let all = self.patterns.count(vertex.types.iter().copied());
        let conditions = vertex.conditions.iter();
        let conditions =
            conditions.map(|condition: &Condition<'_>| selectivity(context, condition));
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
            Found::Sought(ref seek) => Estimate {
                nodes: seek.expected,
                cost: seek.expected,
            },
            Found::ByKey(_) | Found::Bound(_) => Estimate {
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
                let children = self.patterns.count(branch.child.types.iter().copied());
                let asked = estimate.nodes * out;
                estimate.cost += asked + child.cost * (asked / children.max(1.0)).min(1.0);
            }
        }
        for ring in &vertex.rings {
            let mut walks = estimate.nodes;
            for branch in &ring.branches {
                walks *= branch.degrees.0.max(1.0);
                estimate.cost += walks + self.estimate(&branch.child).cost;
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
