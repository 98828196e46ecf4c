//! What nodes count for: how many ways there are to find all that hangs on a node of the pattern.
//!
//! A node counts for nothing when it fails its conditions, else for the product over its branches of
//! the sums over its relationships of what the far ends count for. Where a few nodes are known, by key
//! or from outside, sums are pushed from there; where few nodes are asked for, each is worked out by
//! itself; else those of a whole type are worked out at once ([`super::blocks`]).
//!
//! Numbers saturate: what would not fit is [`u64::MAX`], and the statement fails if it is asked for.

use std::cell::{Cell, RefCell};

use language::value::{EdgeRef, NodeRef, Value};

use super::ring::Marks;
use super::tree::{Branch, Found, Hop, Known, Pair, Sums, Vertex};
use crate::executor::Row;
use crate::executor::context::Context;
use crate::executor::error::ExecuteError;
use crate::executor::matching::search::key_of;
use crate::topology::{Link, Weights};

/// What an entry of [`Sums`] takes, with the room that a map keeps free.
pub(super) const ENTRY_BYTES: usize = 32;

/// Room for so many sums may be made before they are known to differ.
const MOST_RESERVED: usize = 1_024;

/// Ids of nodes, by the place of their type.
pub(super) type Few = Vec<Vec<u64>>;

/// Works out what nodes count for.
pub(super) struct Weigher<'a> {
    pub(super) context: Context<'a>,
    /// Bytes that are charged to the statement.
    pub(super) held: Cell<usize>,
    /// What leads back to the node whose closed walks are counted; kept for its room.
    pub(super) marks: RefCell<Marks>,
}

impl<'a> Weigher<'a> {
    pub(super) fn new(context: Context<'a>) -> Self {
        Self {
            context,
            held: Cell::new(0),
            marks: RefCell::default(),
        }
    }

    pub(super) fn charge(&self, bytes: usize) -> Result<(), ExecuteError> {
        self.held.set(self.held.get() + bytes);
        self.context.statement.charge(bytes)
    }

    /// Gives back what is charged: nothing that was worked out is kept.
    pub(super) fn release(&self) {
        self.context.statement.release(self.held.take());
    }

    /// Makes a vertex and all below it ready to be asked about `visits` nodes.
    pub(super) fn prepare(
        &self,
        vertex: &mut Vertex<'a>,
        row: &mut Row,
        visits: f64,
    ) -> Result<(), ExecuteError> {
        let few = self.prepare_branches(vertex, row, visits)?;
        vertex.known = match few {
            Some(few) => self.known_few(vertex, &few, row)?,
            None if vertex.is_free() => vertex.types.iter().map(|_| Known::All).collect(),
            None if visits * 2.0 < self.nodes(vertex) => {
                vertex.types.iter().map(|_| Known::Asked).collect()
            }
            None => {
                let places = 0..vertex.types.len();
                let known = places.map(|place| self.known_all(vertex, place, row));
                known.collect::<Result<_, _>>()?
            }
        };
        Ok(())
    }

    /// How many nodes there are that may stand for a vertex.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn nodes(&self, vertex: &Vertex<'_>) -> f64 {
        let snapshot = self.context.snapshot;
        let types = vertex.types.iter();
        types.map(|id| snapshot.node_count(*id) as f64).sum()
    }

    /// Makes all below a vertex ready; gives the nodes of the vertex that alone can count for anything,
    /// when they are known to be few.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn prepare_branches(
        &self,
        vertex: &mut Vertex<'a>,
        row: &mut Row,
        visits: f64,
    ) -> Result<Option<Few>, ExecuteError> {
        let count = |few: &Few| few.iter().map(Vec::len).sum::<usize>();
        let mut few = self.found(vertex, row)?;
        for branch in &mut vertex.branches {
            branch.sums = None;
            if !branch.child.is_anchored() {
                continue;
            }
            self.prepare(&mut branch.child, row, 0.0)?;
            let sums = match branch.reach {
                Some(length) => self.reach(&vertex.types, branch, length)?,
                None => self.push(&vertex.types, branch, row)?,
            };
            let fewer: usize = sums.iter().map(Sums::len).sum();
            if few.as_ref().is_none_or(|few| fewer < count(few)) {
                let keys = sums.iter().map(|sums| sums.keys().copied().collect());
                few = Some(keys.collect());
            }
            branch.sums = Some(vertex.types.iter().copied().zip(sums).collect());
        }
        for ring in &mut vertex.rings {
            self.prepare_ring(ring, row, None)?;
            let known = self.beginnings(&vertex.types, ring)?;
            let fewer = |known: &Few| few.as_ref().is_none_or(|few| count(known) < count(few));
            if let Some(known) = known.filter(fewer) {
                few = Some(known);
            }
        }
        let visits = few.as_ref().map_or(visits, |few| count(few) as f64);
        let visits = visits.min(self.nodes(vertex));
        for branch in &mut vertex.branches {
            if branch.sums.is_none() {
                let visits = visits * branch.degrees.0;
                self.prepare(&mut branch.child, row, visits)?;
            }
        }
        for ring in &mut vertex.rings {
            self.prepare_ring(ring, row, Some(visits))?;
        }
        Ok(few)
    }

    /// The nodes that are known to stand for a vertex.
    fn found(&self, vertex: &Vertex<'a>, row: &mut Row) -> Result<Option<Few>, ExecuteError> {
        let mut few: Few = vec![Vec::new(); vertex.types.len()];
        let mut put = |node: NodeRef| {
            let place = vertex.types.iter().position(|own| *own == node.type_id);
            if let Some(place) = place {
                few[place].push(node.id);
            }
        };
        match &vertex.found {
            Found::Anywhere => return Ok(None),
            Found::Bound(slot) => {
                if let Value::Node(node) = row[slot.0] {
                    put(node);
                }
            }
            Found::Sought(seek) => seek.nodes(self.context, row)?.into_iter().for_each(put),
            Found::ByKey(lookups) => {
                for lookup in lookups {
                    let Some(key) = key_of(self.context, lookup, row)? else {
                        continue;
                    };
                    let found = self.context.snapshot.node_by_key(lookup.type_id, &key);
                    found.into_iter().for_each(&mut put);
                }
            }
        }
        Ok(Some(few))
    }

    pub(super) fn known_few(
        &self,
        vertex: &Vertex<'a>,
        few: &Few,
        row: &mut Row,
    ) -> Result<Vec<Known>, ExecuteError> {
        if let Some(sums) = vertex.lone_sums() {
            let known = sums.iter().map(|(_, sums)| Known::Some(sums.clone()));
            return Ok(known.collect());
        }
        let mut known = Vec::with_capacity(few.len());
        for (type_id, ids) in vertex.types.iter().zip(few) {
            let mut sums = Sums::default();
            for id in ids {
                let node = NodeRef {
                    type_id: *type_id,
                    id: *id,
                };
                let weight = self.weigh(vertex, node, row)?;
                if weight > 0 {
                    sums.insert(*id, weight);
                }
            }
            self.charge(sums.len() * ENTRY_BYTES)?;
            known.push(Known::Some(sums));
        }
        Ok(known)
    }

    /// What a branch adds up to at the near nodes, worked out from the far ones, of which a few are
    /// known. In the order of the types.
    fn push(
        &self,
        types: &[language::schema::TypeId],
        branch: &Branch<'a>,
        row: &mut Row,
    ) -> Result<Vec<Sums>, ExecuteError> {
        let mut sums = vec![Sums::default(); types.len()];
        let child = &branch.child;
        for (far_type, known) in child.types.iter().zip(&child.known) {
            let Known::Some(weights) = known else {
                continue;
            };
            for hop in branch.hops.iter().filter(|hop| hop.far == *far_type) {
                let Some(place) = types.iter().position(|near| *near == hop.near) else {
                    continue;
                };
                for (far, weight) in weights {
                    let before = sums[place].len();
                    let back = hop.table.adjacency(!hop.outgoing);
                    if branch.is_plain() && !hop.without_loops && back.is_regular(*far) {
                        let count = back.degree_in_levels(*far);
                        let count = usize::try_from(count).unwrap_or(usize::MAX);
                        self.context.statement.steps(count)?;
                        let sums = &mut sums[place];
                        sums.reserve(count.min(MOST_RESERVED));
                        back.each_far(*far, |near| {
                            let sum = sums.entry(near).or_default();
                            *sum = sum.saturating_add(*weight);
                        });
                        self.charge((sums.len() - before) * ENTRY_BYTES)?;
                        continue;
                    }
                    for back in hop.links_back(*far) {
                        self.context.step()?;
                        let link = Link {
                            edge: back.edge,
                            node: *far,
                        };
                        let near = NodeRef {
                            type_id: hop.near,
                            id: back.node,
                        };
                        let weight = match branch.is_plain() {
                            true => *weight,
                            false => self.through(branch, hop, near, link, *weight, row)?,
                        };
                        if weight > 0 {
                            let sum = sums[place].entry(back.node).or_default();
                            *sum = sum.saturating_add(weight);
                        }
                    }
                    self.charge((sums[place].len() - before) * ENTRY_BYTES)?;
                }
            }
        }
        Ok(sums)
    }

    /// What a node counts for that may stand for the vertex.
    pub(super) fn weigh(
        &self,
        vertex: &Vertex<'a>,
        node: NodeRef,
        row: &mut Row,
    ) -> Result<u64, ExecuteError> {
        self.context.step()?;
        if !self.passes(vertex, node, row)? {
            return Ok(0);
        }
        let mut weight = self.measure(vertex, node, row)?;
        for (at, branch) in vertex.branches.iter().enumerate() {
            let pair = vertex.pairs.iter().find(|pair| pair.second == at);
            if vertex.pairs.iter().any(|pair| pair.first == at) {
                continue;
            }
            let mut sum = self.sum(branch, node, row)?;
            if let Some(pair) = pair {
                let other = self.sum(&vertex.branches[pair.first], node, row)?;
                let both = self.same(vertex, *pair, node, row)?;
                sum = less(sum.saturating_mul(other), both);
            }
            weight = weight.saturating_mul(sum);
            if weight == 0 {
                return Ok(0);
            }
        }
        for ring in &vertex.rings {
            weight = weight.saturating_mul(self.around(ring, node, row)?);
        }
        Ok(weight)
    }

    fn passes(
        &self,
        vertex: &Vertex<'a>,
        node: NodeRef,
        row: &mut Row,
    ) -> Result<bool, ExecuteError> {
        if vertex.conditions.is_empty() {
            return Ok(true);
        }
        vertex.put(node, row);
        for condition in &vertex.conditions {
            if !condition.holds(self.context, row)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What a node of a prepared vertex counts for.
    pub(super) fn known(
        &self,
        vertex: &Vertex<'a>,
        node: NodeRef,
        row: &mut Row,
    ) -> Result<u64, ExecuteError> {
        Ok(match vertex.known_of(node.type_id) {
            None => 0,
            Some(Known::All) => 1,
            Some(Known::Marks(first, values)) => Weights {
                first: *first,
                values,
            }
            .of(node.id),
            Some(Known::Counts(first, values)) => Weights {
                first: *first,
                values,
            }
            .of(node.id),
            Some(Known::Some(sums)) => sums.get(&node.id).copied().unwrap_or(0),
            Some(Known::Asked) => self.weigh(vertex, node, row)?,
        })
    }

    /// The sum of what the far ends of a node's relationships count for.
    pub(super) fn sum(
        &self,
        branch: &Branch<'a>,
        node: NodeRef,
        row: &mut Row,
    ) -> Result<u64, ExecuteError> {
        if let Some(sums) = &branch.sums {
            let sums = sums.iter().find(|(type_id, _)| *type_id == node.type_id);
            let sum = sums.and_then(|(_, sums)| sums.get(&node.id));
            return Ok(sum.copied().unwrap_or(0));
        }
        let mut sum = 0_u64;
        for hop in branch.hops.iter().filter(|hop| hop.near == node.type_id) {
            let part = match branch.is_plain() {
                true => self.plain_sum(branch, hop, node, row)?,
                false => {
                    let mut part = 0_u64;
                    for link in hop.links(node.id) {
                        self.context.step()?;
                        let weight = self.known(&branch.child, hop.far_node(link), row)?;
                        let weight = self.through(branch, hop, node, link, weight, row)?;
                        part = part.saturating_add(weight);
                    }
                    part
                }
            };
            sum = sum.saturating_add(part);
        }
        Ok(sum)
    }

    /// As [`Self::sum`] for one hop, when every relationship will do.
    fn plain_sum(
        &self,
        branch: &Branch<'a>,
        hop: &Hop<'a>,
        node: NodeRef,
        row: &mut Row,
    ) -> Result<u64, ExecuteError> {
        let adjacency = hop.adjacency();
        let in_levels = !hop.without_loops && adjacency.is_regular(node.id);
        match branch.child.known_of(hop.far) {
            None => Ok(0),
            Some(Known::All) => Ok(hop.degree(node.id)),
            Some(Known::Marks(first, values)) if in_levels => {
                let first = *first;
                Ok(adjacency.sum(node.id, Weights { first, values }))
            }
            Some(Known::Counts(first, values)) if in_levels => {
                let first = *first;
                Ok(adjacency.sum(node.id, Weights { first, values }))
            }
            Some(_) => {
                let mut sum = 0_u64;
                for link in hop.links(node.id) {
                    self.context.step()?;
                    let weight = self.known(&branch.child, hop.far_node(link), row)?;
                    sum = sum.saturating_add(weight);
                }
                Ok(sum)
            }
        }
    }

    /// What a relationship adds to a branch's sum at the near node, when its far end counts for
    /// `weight`.
    fn through(
        &self,
        branch: &Branch<'a>,
        hop: &Hop<'a>,
        near: NodeRef,
        link: Link,
        weight: u64,
        row: &mut Row,
    ) -> Result<u64, ExecuteError> {
        if weight == 0 || !self.allows(branch, hop.edge(link), row)? {
            return Ok(0);
        }
        let inner = branch.child.branches.first().filter(|_| branch.turns_back);
        let Some(inner) = inner else {
            return Ok(weight);
        };
        let far = hop.far_node(link);
        if !self.accepts(inner, hop, !hop.outgoing, near == far, link, row)? {
            return Ok(weight);
        }
        // The far node passes its conditions, or it would count for nothing.
        let back = self.known(&inner.child, near, row)?;
        let own = self.measure(&branch.child, far, row)?;
        Ok(less(weight, back.saturating_mul(own)))
    }

    /// What two branches of a vertex count for when both take the same relationship.
    fn same(
        &self,
        vertex: &Vertex<'a>,
        pair: Pair,
        node: NodeRef,
        row: &mut Row,
    ) -> Result<u64, ExecuteError> {
        let (first, second) = (&vertex.branches[pair.first], &vertex.branches[pair.second]);
        let mut both = 0_u64;
        for hop in first.hops.iter().filter(|hop| hop.near == node.type_id) {
            for link in hop.links(node.id) {
                self.context.step()?;
                let far = hop.far_node(link);
                let weight = self.known(&first.child, far, row)?;
                if weight == 0
                    || !self.allows(first, hop.edge(link), row)?
                    || !self.accepts(second, hop, hop.outgoing, node == far, link, row)?
                {
                    continue;
                }
                let other = self.known(&second.child, far, row)?;
                both = both.saturating_add(weight.saturating_mul(other));
            }
        }
        Ok(both)
    }

    /// Whether a branch may take a relationship that another branch takes, seen from its own near end:
    /// whether that way it is `outgoing`.
    fn accepts(
        &self,
        branch: &Branch<'a>,
        taken: &Hop<'a>,
        outgoing: bool,
        is_loop: bool,
        link: Link,
        row: &mut Row,
    ) -> Result<bool, ExecuteError> {
        let mut hops = branch.hops.iter();
        let is_way = hops
            .any(|hop| hop.edge_type == taken.edge_type && (hop.outgoing == outgoing || is_loop));
        Ok(is_way && self.allows(branch, taken.edge(link), row)?)
    }

    /// Whether a relationship passes the conditions of a branch.
    pub(super) fn allows(
        &self,
        branch: &Branch<'a>,
        edge: EdgeRef,
        row: &mut Row,
    ) -> Result<bool, ExecuteError> {
        if !branch.names.is_empty() && !self.context.snapshot.is_named(edge, branch.names) {
            return Ok(false);
        }
        if branch.conditions.is_empty() {
            return Ok(true);
        }
        branch.put(edge, row);
        for condition in &branch.conditions {
            if !condition.holds(self.context, row)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// `number - part`, when the number is known.
const fn less(number: u64, part: u64) -> u64 {
    match number {
        u64::MAX => u64::MAX,
        number => number.saturating_sub(part),
    }
}
