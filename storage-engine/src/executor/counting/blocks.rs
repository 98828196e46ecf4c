//! What all nodes of a type count for, a block of ids at a time.
//!
//! Where a branch is a number of relationships, it is read off the levels of the adjacency as one run of
//! memory; nodes that changed since the last fold, and those with loops where loops matter, are worked
//! out by themselves afterwards.

use language::schema::TypeId;
use language::value::NodeRef;

use super::marks::Marker;
use super::tree::{Known, Sums, Vertex};
use super::weigh::Weigher;
use crate::executor::Row;
use crate::executor::error::ExecuteError;
use crate::executor::pipeline::{ENOUGH, Flow, MORE};
use crate::rows::Rows;

/// Ids in a block.
const BLOCK: usize = 1_024;

/// Takes what the nodes from an id on count for.
pub(super) type Take<'t> = dyn FnMut(u64, &[u64], &mut Row) -> Flow + 't;

/// What nodes count for together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Total {
    /// All of them.
    pub(super) weight: u128,
    /// How many count for anything.
    pub(super) nodes: u64,
}

impl Total {
    pub(super) fn add(&mut self, weights: &[u64]) {
        let all = weights.iter().fold(0, |all, weight| all | weight);
        // So small that a block of them cannot overflow.
        self.weight += if all >> 48 == 0 {
            u128::from(weights.iter().sum::<u64>())
        } else {
            weights.iter().map(|weight| u128::from(*weight)).sum()
        };
        self.nodes += weights
            .iter()
            .map(|weight| u64::from(*weight > 0))
            .sum::<u64>();
    }
}

/// The ids of a type as one range.
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) len: usize,
}

impl Range {
    /// `None` when there are no rows, or far fewer than the range would have places.
    pub(super) fn of(rows: &Rows) -> Option<Self> {
        let (first, last) = rows.bounds()?;
        let len = usize::try_from(last - first).ok()?.checked_add(1)?;
        let count = usize::try_from(rows.count).unwrap_or(usize::MAX);
        (len / 4 <= count.saturating_add(BLOCK)).then_some(Self { first, len })
    }

    /// The place of an id.
    pub(super) fn place(&self, id: u64) -> Option<usize> {
        let place = usize::try_from(id.checked_sub(self.first)?).ok()?;
        (place < self.len).then_some(place)
    }
}

/// What nodes count for by themselves, before their branches.
enum Own {
    /// One each: the branches say which nodes there are.
    One,
    /// One or nothing.
    Marks(Vec<u8>),
    /// What was measured.
    Numbers(Vec<u64>),
}

impl Own {
    /// Those of a block from a place on.
    fn fill(&self, start: usize, weights: &mut [u64]) {
        match self {
            Self::One => weights.fill(1),
            Self::Marks(marks) => {
                let marks = marks.get(start..).unwrap_or_default();
                let both = weights.iter_mut().zip(marks);
                both.for_each(|(weight, mark)| *weight = u64::from(*mark));
            }
            Self::Numbers(numbers) => {
                let numbers = numbers.get(start..).unwrap_or_default();
                let both = weights.iter_mut().zip(numbers);
                both.for_each(|(weight, number)| *weight = *number);
            }
        }
    }
}

impl<'a> Weigher<'a> {
    /// What all nodes of one of the vertex's types count for.
    pub(super) fn known_all(
        &self,
        vertex: &Vertex<'a>,
        place: usize,
        row: &mut Row,
    ) -> Result<Known, ExecuteError> {
        let type_id = vertex.types[place];
        let Some(table) = self.context.snapshot.node_table(type_id) else {
            return Ok(Known::Some(Sums::default()));
        };
        let Some(range) = Range::of(&table.rows) else {
            return self.known_sparse(vertex, type_id, row);
        };
        if vertex.branches.is_empty() && vertex.rings.is_empty() && vertex.measure.is_none() {
            self.charge(range.len)?;
            let marks = self.marks(vertex, type_id, &table.rows, &range, row)?;
            return Ok(Known::Marks(range.first, marks));
        }
        self.charge(range.len * size_of::<u64>())?;
        let mut counts = Vec::with_capacity(range.len);
        let _ = self.blocks(vertex, place, row, &mut |_, weights, _| {
            counts.extend_from_slice(weights);
            MORE
        })?;
        Ok(Known::Counts(range.first, counts))
    }

    /// As [`Self::known_all`], for ids with many holes.
    fn known_sparse(
        &self,
        vertex: &Vertex<'a>,
        type_id: TypeId,
        row: &mut Row,
    ) -> Result<Known, ExecuteError> {
        let mut sums = Sums::default();
        for node in self.context.snapshot.nodes(type_id) {
            let weight = self.weigh(vertex, node, row)?;
            if weight > 0 {
                self.charge(size_of::<(u64, u64)>() * 2)?;
                sums.insert(node.id, weight);
            }
        }
        Ok(Known::Some(sums))
    }

    fn marks(
        &self,
        vertex: &Vertex<'a>,
        type_id: TypeId,
        rows: &Rows,
        range: &Range,
        row: &mut Row,
    ) -> Result<Vec<u8>, ExecuteError> {
        let marker = Marker {
            context: self.context,
            slots: (vertex.slot, &vertex.also),
            type_id,
            conditions: &vertex.conditions,
        };
        marker.marks(rows, (range.first, range.len), row)
    }

    /// Gives `take` what the nodes of one of the vertex's types count for, in order of their ids. The
    /// branches must be prepared.
    pub(super) fn blocks(
        &self,
        vertex: &Vertex<'a>,
        place: usize,
        row: &mut Row,
        take: &mut Take<'_>,
    ) -> Flow {
        let type_id = vertex.types[place];
        let Some(table) = self.context.snapshot.node_table(type_id) else {
            return MORE;
        };
        let Some(range) = Range::of(&table.rows) else {
            return self.one_by_one(vertex, type_id, row, take);
        };
        let own = self.own(vertex, (type_id, &table.rows), &range, row)?;
        let singly = vertex.pairs.iter().any(|pair| !pair.through) || !vertex.rings.is_empty();
        let irregular = self.irregular(vertex, type_id);
        let mut irregular = irregular.iter().copied().peekable();
        let mut weights = [0_u64; BLOCK];
        let mut start = 0;
        while start < range.len {
            let weights = &mut weights[..BLOCK.min(range.len - start)];
            let first = range.first + start as u64;
            self.context.statement.steps(weights.len() / 16)?;
            own.fill(start, weights);
            let node = |id| NodeRef { type_id, id };
            if singly {
                for (id, weight) in (first..).zip(weights.iter_mut()) {
                    if *weight > 0 {
                        *weight = self.weigh(vertex, node(id), row)?;
                    }
                }
            } else {
                self.multiply(vertex, type_id, first, weights, row)?;
            }
            let end = first + weights.len() as u64;
            while let Some(id) = irregular.next_if(|id| *id < end) {
                if let Some(weight) = usize::try_from(id.wrapping_sub(first))
                    .ok()
                    .and_then(|at| weights.get_mut(at))
                {
                    *weight = self.weigh(vertex, node(id), row)?;
                }
            }
            if take(first, weights, row)?.is_break() {
                return ENOUGH;
            }
            start += weights.len();
        }
        MORE
    }

    /// The sum over all nodes of a root of how many relationships it has on either branch, when that is
    /// all there is to it and it lies in memory so. How many nodes there are is not said.
    pub(super) fn product(
        &self,
        root: &Vertex<'a>,
        row: &mut Row,
    ) -> Result<Option<u128>, ExecuteError> {
        let ([one, other], [type_id]) = (root.branches.as_slice(), root.types.as_slice()) else {
            return Ok(None);
        };
        let ([one_hop], [other_hop]) = (one.hops.as_slice(), other.hops.as_slice()) else {
            return Ok(None);
        };
        let degrees = [one, other].iter().all(|branch| branch.is_degree());
        let through = root.pairs.iter().all(|pair| pair.through);
        let loops = one_hop.without_loops || other_hop.without_loops;
        if !root.is_bare() || !degrees || !through || loops {
            return Ok(None);
        }
        let (one, other) = (one_hop.adjacency(), other_hop.adjacency());
        let Some(product) = one.product(other) else {
            return Ok(None);
        };
        let mut sum = i128::from(product);
        for id in self.irregular(root, *type_id) {
            let type_id = *type_id;
            let counted = one
                .degree_in_levels(id)
                .saturating_mul(other.degree_in_levels(id));
            let weight = self.weigh(root, NodeRef { type_id, id }, row)?;
            sum += i128::from(weight) - i128::from(counted);
        }
        Ok(Some(u128::try_from(sum).unwrap_or(0)))
    }

    /// What the nodes of a range count for by themselves.
    fn own(
        &self,
        vertex: &Vertex<'a>,
        (type_id, rows): (TypeId, &Rows),
        range: &Range,
        row: &mut Row,
    ) -> Result<Own, ExecuteError> {
        let measured = vertex.measure.is_some();
        if vertex.conditions.is_empty() && !vertex.branches.is_empty() && !measured {
            return Ok(Own::One);
        }
        self.charge(range.len)?;
        let marks = self.marks(vertex, type_id, rows, range, row)?;
        if !measured {
            return Ok(Own::Marks(marks));
        }
        self.charge(range.len * size_of::<u64>())?;
        let numbers = self.measure_all(vertex, (type_id, rows), range, &marks, row)?;
        Ok(Own::Numbers(numbers))
    }

    fn one_by_one(
        &self,
        vertex: &Vertex<'a>,
        type_id: TypeId,
        row: &mut Row,
        take: &mut Take<'_>,
    ) -> Flow {
        for node in self.context.snapshot.nodes(type_id) {
            let weight = self.weigh(vertex, node, row)?;
            if take(node.id, &[weight], row)?.is_break() {
                return ENOUGH;
            }
        }
        MORE
    }

    /// Multiplies what nodes count for, 1 or nothing so far, with what their branches add up to.
    fn multiply(
        &self,
        vertex: &Vertex<'a>,
        type_id: TypeId,
        first: u64,
        weights: &mut [u64],
        row: &mut Row,
    ) -> Result<(), ExecuteError> {
        // Anything can be multiplied with what is measured.
        let factors = if vertex.measure.is_some() { 2 } else { 0 }..;
        let branches = vertex.branches.iter().filter(|branch| branch.is_degree());
        for (factors, branch) in factors.zip(branches) {
            let mut degrees = [0_u32; BLOCK];
            let degrees = &mut degrees[..weights.len()];
            for hop in branch.hops.iter().filter(|hop| hop.near == type_id) {
                hop.adjacency().add_degrees(first, degrees);
            }
            let both = weights.iter_mut().zip(degrees);
            match factors {
                0 => both.for_each(|(weight, degree)| {
                    *weight = weight.wrapping_neg() & u64::from(*degree);
                }),
                // Two numbers of 32 bits.
                1 => both.for_each(|(weight, degree)| {
                    *weight = (*weight & u64::from(u32::MAX)) * u64::from(*degree);
                }),
                _ => both.for_each(|(weight, degree)| {
                    *weight = weight.saturating_mul(u64::from(*degree));
                }),
            }
        }
        for branch in vertex.branches.iter().filter(|branch| !branch.is_degree()) {
            for (id, weight) in (first..).zip(weights.iter_mut()) {
                if *weight > 0 {
                    let sum = self.sum(branch, NodeRef { type_id, id }, row)?;
                    *weight = weight.saturating_mul(sum);
                }
            }
        }
        Ok(())
    }

    /// The nodes for which the product over the levels is not right, in order.
    fn irregular(&self, vertex: &Vertex<'a>, type_id: TypeId) -> Vec<u64> {
        let mut irregular = Vec::new();
        let of_type = |branch: usize| {
            let hops = vertex.branches.get(branch).into_iter();
            let hops = hops.flat_map(|branch| &branch.hops);
            hops.filter(|hop| hop.near == type_id)
        };
        for (at, branch) in vertex.branches.iter().enumerate() {
            if branch.is_degree() {
                for hop in of_type(at) {
                    irregular.extend(hop.adjacency().irregular());
                    if hop.without_loops {
                        irregular.extend(hop.table.loops().map(|link| link.node));
                    }
                }
            }
        }
        for pair in &vertex.pairs {
            for hop in of_type(pair.first) {
                irregular.extend(hop.table.loops().map(|link| link.node));
            }
        }
        irregular.sort_unstable();
        irregular.dedup();
        irregular
    }
}
