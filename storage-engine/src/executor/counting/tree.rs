//! A pattern as a tree: a node and, below it, what hangs on its relationships.

use language::plan::{Length, Slot};
use language::schema::TypeId;
use language::value::{EdgeRef, NodeRef, Value};
use rustc_hash::FxHashMap;

use super::value::Measure;
use crate::executor::Row;
use crate::executor::matching::condition::Condition;
use crate::executor::matching::planning::KeyLookup;
use crate::executor::matching::seek::Seek;
use crate::snapshot::EdgeTable;
use crate::topology::{Adjacency, Link};

/// What nodes of one type count for, by id.
pub(super) type Sums = FxHashMap<u64, u64>;

/// A node of the pattern.
pub(super) struct Vertex<'a> {
    pub(super) slot: Slot,
    /// Other variables that are the same node.
    pub(super) also: Vec<Slot>,
    pub(super) types: Vec<TypeId>,
    pub(super) found: Found<'a>,
    pub(super) conditions: Vec<Condition<'a>>,
    pub(super) branches: Vec<Branch<'a>>,
    /// What a node counts for by itself; 1 without.
    pub(super) measure: Option<Measure<'a>>,
    /// Branches that must not take the same relationship.
    pub(super) pairs: Vec<Pair>,
    /// Closed walks from the node back to it.
    pub(super) rings: Vec<Ring<'a>>,
    /// What its nodes count for, in the order of `types`, once that is prepared.
    pub(super) known: Vec<Known>,
}

/// How the nodes that may stand for a vertex are found.
pub(super) enum Found<'a> {
    /// All of its types may.
    Anywhere,
    /// Those with a key.
    ByKey(Vec<KeyLookup<'a>>),
    /// Those of which something equals a value, and maybe others: conditions tell.
    Sought(Box<Seek<'a>>),
    /// The one that the row holds.
    Bound(Slot),
}

/// A relationship of the pattern and what hangs on its far end.
pub(super) struct Branch<'a> {
    pub(super) edge: Slot,
    /// Other variables that are the same relationship.
    pub(super) also: Vec<Slot>,
    pub(super) hops: Vec<Hop<'a>>,
    /// In an open graph: the types that the relationship may have, by name; empty for any.
    pub(super) names: &'a [String],
    pub(super) conditions: Vec<Condition<'a>>,
    pub(super) child: Vertex<'a>,
    /// The only branch of the child must not take the relationship that led there.
    pub(super) turns_back: bool,
    /// It is a walk of this length, of which only the ends are asked for.
    pub(super) reach: Option<Length>,
    /// How many relationships a node is expected to have at the near end and at the far one.
    pub(super) degrees: (f64, f64),
    /// For near nodes, by type: what is at the far ends, when it was worked out from there.
    pub(super) sums: Option<Vec<(TypeId, Sums)>>,
}

/// A closed walk: from a node over others back to it.
pub(super) struct Ring<'a> {
    /// From the node on, each from the far end of the one before it; none when it is one relationship from
    /// the node to itself. What hangs on a far end counts too.
    pub(super) branches: Vec<Branch<'a>>,
    /// From there to the node, whose own far end says nothing.
    pub(super) back: Branch<'a>,
}

/// Two branches of a vertex, by place.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub(super) first: usize,
    pub(super) second: usize,
    /// One arrives and the other leaves: only a loop can be both.
    pub(super) through: bool,
}

/// One type of relationship in one direction.
pub(super) struct Hop<'a> {
    pub(super) edge_type: TypeId,
    pub(super) near: TypeId,
    pub(super) far: TypeId,
    pub(super) outgoing: bool,
    pub(super) table: &'a EdgeTable,
    /// The hop in the other direction is there too, and loops come with that one.
    pub(super) without_loops: bool,
}

/// What the nodes of one type count for: how many ways there are to find all that hangs on one.
pub(super) enum Known {
    /// One each.
    All,
    /// One or nothing, from an id on.
    Marks(u64, Vec<u8>),
    /// Numbers, from an id on.
    Counts(u64, Vec<u64>),
    /// Nothing but these.
    Some(Sums),
    /// It is worked out for each node that is asked for.
    Asked,
}

impl<'a> Vertex<'a> {
    /// Whether every node of its types counts once.
    pub(super) fn is_free(&self) -> bool {
        self.is_bare() && self.branches.is_empty()
    }

    /// Whether every node of its types counts for what its branches add up to.
    pub(super) fn is_bare(&self) -> bool {
        matches!(self.found, Found::Anywhere)
            && self.conditions.is_empty()
            && self.rings.is_empty()
            && self.measure.is_none()
    }

    /// Puts a node that may stand for it into the row.
    pub(super) fn put(&self, node: NodeRef, row: &mut Row) {
        row[self.slot.0] = Value::Node(node);
        for slot in &self.also {
            row[slot.0] = Value::Node(node);
        }
    }

    /// Whether a few nodes in it are known, so that it is worked out from there.
    pub(super) fn is_anchored(&self) -> bool {
        !matches!(self.found, Found::Anywhere)
            || self
                .branches
                .iter()
                .any(|branch| branch.child.is_anchored())
            || self.rings.iter().any(Ring::is_anchored)
    }

    /// The sums of its only branch, when they are all that its nodes count for.
    pub(super) fn lone_sums(&self) -> Option<&[(TypeId, Sums)]> {
        let [branch] = self.branches.as_slice() else {
            return None;
        };
        branch.sums.as_deref().filter(|_| self.is_bare())
    }

    /// Measures the nodes of a vertex at or below this one; says whether it is there.
    pub(super) fn set_measure(&mut self, slot: Slot, measure: Measure<'a>) -> bool {
        if self.slot == slot {
            self.measure = Some(measure);
            return true;
        }
        let mut branches = self.branches.iter_mut();
        branches.any(|branch| branch.child.set_measure(slot, measure))
    }

    /// What is known of the nodes of a type.
    pub(super) fn known_of(&self, type_id: TypeId) -> Option<&Known> {
        let place = self.types.iter().position(|own| *own == type_id)?;
        self.known.get(place)
    }

    /// Calls `visit` with the vertex and all below it, what hangs lowest first; each with the branch
    /// that it hangs on.
    pub(super) fn walk(&self, above: Option<(Slot, &Branch<'a>)>, visit: &mut Visit<'_, 'a>) {
        for branch in &self.branches {
            branch.child.walk(Some((self.slot, branch)), visit);
        }
        for ring in &self.rings {
            let mut near = self.slot;
            for branch in &ring.branches {
                branch.child.walk(Some((near, branch)), visit);
                near = branch.child.slot;
            }
        }
        visit(self, above);
    }
}

/// What [`Vertex::walk`] calls.
pub(super) type Visit<'v, 'a> = dyn FnMut(&Vertex<'a>, Option<(Slot, &Branch<'a>)>) + 'v;

impl Ring<'_> {
    /// Whether the nodes that it can begin with are found from a few that are known.
    pub(super) fn is_anchored(&self) -> bool {
        let ends = self
            .branches
            .first()
            .into_iter()
            .chain(self.branches.last());
        ends.into_iter().any(|branch| branch.child.is_anchored())
    }
}

impl Branch<'_> {
    /// Puts a relationship that may stand for it into the row.
    pub(super) fn put(&self, edge: EdgeRef, row: &mut Row) {
        row[self.edge.0] = Value::Relationship(edge);
        for slot in &self.also {
            row[slot.0] = Value::Relationship(edge);
        }
    }

    /// Whether every relationship of its hops will do, whatever else is taken.
    pub(super) const fn is_plain(&self) -> bool {
        self.names.is_empty() && self.conditions.is_empty() && !self.turns_back
    }

    /// Whether it is the number of relationships that a near node has.
    pub(super) fn is_degree(&self) -> bool {
        let free = |known: &Known| matches!(known, Known::All);
        self.is_plain() && self.sums.is_none() && self.child.known.iter().all(free)
    }
}

impl<'a> Hop<'a> {
    pub(super) fn adjacency(&self) -> &'a Adjacency {
        self.table.adjacency(self.outgoing)
    }

    /// The links of a near node.
    pub(super) fn links(&self, near: u64) -> impl Iterator<Item = Link> + 'a {
        self.live(self.adjacency(), near)
    }

    /// The links of a far node, back to near ones.
    pub(super) fn links_back(&self, far: u64) -> impl Iterator<Item = Link> + 'a {
        self.live(self.table.adjacency(!self.outgoing), far)
    }

    fn live(&self, adjacency: &'a Adjacency, node: u64) -> impl Iterator<Item = Link> + 'a {
        let without_loops = self.without_loops;
        let links = self.table.live(adjacency, node);
        links.filter(move |link| !(without_loops && link.node == node))
    }

    /// How many links a near node has.
    pub(super) fn degree(&self, near: u64) -> u64 {
        let degree = self.adjacency().degree(near);
        match self.without_loops {
            true => degree.saturating_sub(self.table.loops_of(near).count() as u64),
            false => degree,
        }
    }

    pub(super) fn edge(&self, link: Link) -> EdgeRef {
        EdgeRef {
            type_id: self.edge_type,
            id: link.edge,
        }
    }

    pub(super) fn far_node(&self, link: Link) -> NodeRef {
        NodeRef {
            type_id: self.far,
            id: link.node,
        }
    }
}
