//! Reading an adjacency without a look-up for each link: degrees of whole ranges of nodes, far ends as
//! runs of memory, loops.
//!
//! What stands in levels is contiguous. Nodes with links that were added or lost since are few: they are
//! named by [`Adjacency::irregular`], and asked one by one.

use std::ops::ControlFlow;
use std::sync::OnceLock;

use super::{Adjacency, Level, Link, Nodes};
use crate::packed::Numbers;

/// What a node counts for.
pub(crate) trait Weight: Copy {
    /// As a number.
    fn number(self) -> u64;
}

impl Weight for u8 {
    fn number(self) -> u64 {
        u64::from(self)
    }
}

impl Weight for u32 {
    fn number(self) -> u64 {
        u64::from(self)
    }
}

impl Weight for u64 {
    fn number(self) -> u64 {
        self
    }
}

/// Weights of the nodes from an id on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights<'w, T> {
    /// The id of the first.
    pub(crate) first: u64,
    pub(crate) values: &'w [T],
}

impl<T: Weight> Weights<'_, T> {
    /// That of a node; 0 of one that is not among them.
    pub(crate) fn of(&self, id: u64) -> u64 {
        let place = usize::try_from(id.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        self.values.get(place).map_or(0, |weight| weight.number())
    }
}

impl Adjacency {
    /// Adds to each of `degrees`, which stand for the nodes from `first` on, how many links the levels
    /// have of it. Right for all but [`Self::irregular`] nodes.
    pub(crate) fn add_degrees(&self, first: u64, degrees: &mut [u32]) {
        for held in self.levels.iter() {
            held.level.add_degrees(first, degrees);
        }
    }

    /// The nodes whose links are not just those of the levels.
    pub(crate) fn irregular(&self) -> impl Iterator<Item = u64> + '_ {
        self.added.keys().chain(self.gone.keys()).copied()
    }

    /// Whether the links of a node are just those of the levels.
    pub(crate) fn is_regular(&self, from: u64) -> bool {
        (self.added.is_empty() || !self.added.contains_key(&from)) && !self.has_gone(from)
    }

    /// The sum of the weights of the far ends of a regular node's links.
    pub(crate) fn sum<T: Weight>(&self, from: u64, weights: Weights<'_, T>) -> u64 {
        let levels = self.levels.iter();
        levels.fold(0, |sum, held| {
            sum.saturating_add(held.level.sum(from, weights))
        })
    }

    /// Calls `visit` with the far ends of a regular node's links.
    pub(crate) fn each_far(&self, from: u64, mut visit: impl FnMut(u64)) {
        for held in self.levels.iter() {
            let level = &*held.level;
            let range = level.range(from);
            match &level.far {
                Numbers::Narrow { base, offsets } => {
                    let far = offsets.get(range).unwrap_or_default();
                    far.iter()
                        .for_each(|offset| visit(base + u64::from(*offset)));
                }
                far => range
                    .filter_map(|index| far.get(index))
                    .for_each(&mut visit),
            }
        }
    }

    /// Calls `visit` with a regular node's links, with those that lead to `to` alone when it is said, until
    /// it breaks.
    pub(crate) fn each_link<B>(
        &self,
        from: u64,
        to: Option<u64>,
        mut visit: impl FnMut(Link) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for held in self.levels.iter() {
            let level = &*held.level;
            let range = level.range(from);
            let Some(to) = to else {
                for link in range.filter_map(|place| level.link(place)) {
                    visit(link)?;
                }
                continue;
            };
            match &level.far {
                Numbers::Narrow { base, offsets } => {
                    let wanted = to.checked_sub(*base).map(u32::try_from);
                    let Some(Ok(wanted)) = wanted else {
                        continue;
                    };
                    let far = offsets.get(range.clone()).unwrap_or_default();
                    let places = range.zip(far).filter(|(_, offset)| **offset == wanted);
                    for link in places.filter_map(|(place, _)| level.link(place)) {
                        visit(link)?;
                    }
                }
                _ => {
                    let links = range.filter_map(|place| level.link(place));
                    for link in links.filter(|link| link.node == to) {
                        visit(link)?;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The sum, over all nodes, of the product of how many links each has here and in `other`, when both
    /// are one level that can be read as it lies. Right but for irregular nodes of either.
    pub(crate) fn product(&self, other: &Self) -> Option<u64> {
        let ([one], [other]) = (&*self.levels, &*other.levels) else {
            return None;
        };
        if let (Some(one), Some(other)) = (one.level.degrees(), other.level.degrees()) {
            return Some(one.product(other));
        }
        let (first, offsets) = one.level.dense()?;
        let (other_first, others) = other.level.dense()?;
        let begin = first.max(other_first);
        let offsets = offsets.get(usize::try_from(begin - first).ok()?..)?;
        let others = others.get(usize::try_from(begin - other_first).ok()?..)?;
        let count = offsets.len().min(others.len());
        let (offsets, others) = (offsets.get(..count)?, others.get(..count)?);
        let starts = offsets.iter().zip(others);
        let ends = offsets.iter().skip(1).zip(others.iter().skip(1));
        // At most 2^32 links here, each times at most 2^32 there.
        Some(
            starts
                .zip(ends)
                .fold(0, |sum, ((start, other_start), (end, other_end))| {
                    sum + u64::from(end - start) * u64::from(other_end - other_start)
                }),
        )
    }

    /// How many links of a node stand in the levels.
    pub(crate) fn degree_in_levels(&self, from: u64) -> u64 {
        let levels = self.levels.iter();
        levels.map(|held| held.level.range(from).len() as u64).sum()
    }

    /// Links from a node to itself, those of edges that are gone included. Only of a type whose ends
    /// are of one type: else a node and itself are two. Asked of what has [looked for
    /// them](Self::look_for_loops), it costs what there are.
    pub(crate) fn loops(&self) -> impl Iterator<Item = Link> + '_ {
        let levels = self.levels.iter();
        let levels = levels.flat_map(|held| held.level.loops().iter());
        levels.chain(self.added_loops.iter()).copied()
    }
}

impl Adjacency {
    /// Finds the links from nodes to themselves, for whoever asks for them later.
    pub(crate) fn look_for_loops(&self) {
        self.levels
            .iter()
            .for_each(|held| held.level.look_for_loops());
    }

    /// Those of one node, as [`Self::loops`].
    pub(crate) fn loops_of(&self, node: u64) -> impl Iterator<Item = Link> + '_ {
        let levels = self.levels.iter().flat_map(move |held| {
            let loops = held.level.loops();
            let first = loops.partition_point(|link| link.node < node);
            let loops = loops.iter().skip(first);
            loops.take_while(move |link| link.node == node).copied()
        });
        let added = (!self.added_loops.is_empty()).then(|| self.added(node));
        levels.chain(
            added
                .into_iter()
                .flatten()
                .filter(move |link| link.node == node),
        )
    }
}

impl Level {
    /// As [`Adjacency::look_for_loops`].
    pub(crate) fn look_for_loops(&self) {
        self.loops();
    }

    /// The first node and the offsets, when nodes are without holes and offsets of four bytes.
    fn dense(&self) -> Option<(u64, &[u32])> {
        match (&self.nodes, &self.offsets) {
            (Nodes::Dense(first), Numbers::Narrow { offsets, .. }) => Some((*first, offsets)),
            _ => None,
        }
    }

    /// Counted once, when they are first asked for. `None` where a node has more than fit, or where
    /// most nodes have none.
    fn degrees(&self) -> Option<&Degrees> {
        let counted = self.degrees.get_or_init(|| {
            let (first, offsets) = self.dense()?;
            let both = offsets.iter().zip(offsets.iter().skip(1));
            let counts = both.map(|(start, end)| i16::try_from(end - start).ok());
            let counts: Box<[i16]> = counts.collect::<Option<_>>()?;
            let most = counts.iter().copied().max()?.max(1);
            Some(Degrees {
                first,
                counts,
                most,
            })
        });
        counted.as_ref()
    }

    fn add_degrees(&self, first: u64, degrees: &mut [u32]) {
        match &self.nodes {
            Nodes::Dense(base) => {
                let places = (self.offsets.len() as u64).saturating_sub(1);
                let end = (first + degrees.len() as u64).min(base + places);
                let begin = first.max(*base);
                if begin >= end {
                    return;
                }
                let index = |id: u64, from: u64| usize::try_from(id - from).unwrap_or(usize::MAX);
                let degrees = &mut degrees[index(begin, first)..index(end, first)];
                self.add_ranges(index(begin, *base), degrees);
            }
            Nodes::Sparse(ids) => {
                let end = first + degrees.len() as u64;
                let mut place = ids.lower_bound(first);
                while let Some(id) = ids.get(place).filter(|id| *id < end) {
                    let at = usize::try_from(id - first).unwrap_or(usize::MAX);
                    let count = self.place_range(place).unwrap_or_default().len();
                    degrees[at] += u32::try_from(count).unwrap_or(u32::MAX);
                    place += 1;
                }
            }
        }
    }

    /// Adds the lengths of the ranges from a place on.
    fn add_ranges(&self, place: usize, degrees: &mut [u32]) {
        if let Numbers::Narrow { offsets, .. } = &self.offsets
            && let Some(offsets) = offsets.get(place..=place + degrees.len())
        {
            let ends = offsets.iter().skip(1);
            for ((degree, start), end) in degrees.iter_mut().zip(offsets).zip(ends) {
                *degree += end - start;
            }
            return;
        }
        for (at, degree) in degrees.iter_mut().enumerate() {
            let count = self.place_range(place + at).unwrap_or_default().len();
            *degree += u32::try_from(count).unwrap_or(u32::MAX);
        }
    }

    fn sum<T: Weight>(&self, from: u64, weights: Weights<'_, T>) -> u64 {
        let range = self.range(from);
        if range.is_empty() {
            return 0;
        }
        match &self.far {
            Numbers::Narrow { base, offsets } => {
                let shift = base.wrapping_sub(weights.first);
                let far = offsets.get(range).unwrap_or_default();
                far.iter().fold(0, |sum, offset| {
                    let place = u64::from(*offset).wrapping_add(shift);
                    let place = usize::try_from(place).unwrap_or(usize::MAX);
                    let weight = weights.values.get(place);
                    sum.saturating_add(weight.map_or(0, |weight| weight.number()))
                })
            }
            far => range.fold(0, |sum, index| {
                let id = far.get(index).unwrap_or(u64::MAX);
                sum.saturating_add(weights.of(id))
            }),
        }
    }

    /// In order of their nodes. Looked for once, when they are first asked for.
    fn loops(&self) -> &[Link] {
        self.loops.get_or_init(|| {
            let edges = self.edges().filter(|(_, from, to)| from == to);
            edges.map(|(edge, _, node)| Link { edge, node }).collect()
        })
    }
}

/// How many links each node has, from one on: small numbers, which are multiplied several at once.
#[derive(Debug)]
pub(super) struct Degrees {
    first: u64,
    counts: Box<[i16]>,
    most: i16,
}

impl Degrees {
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.counts)
    }

    /// The sum, over all nodes, of the product of both.
    fn product(&self, other: &Self) -> u64 {
        let begin = self.first.max(other.first);
        let from = |degrees: &Self| usize::try_from(begin - degrees.first).unwrap_or(usize::MAX);
        let one = self.counts.get(from(self)..).unwrap_or_default();
        let others = other.counts.get(from(other)..).unwrap_or_default();
        // So many products fit into a sum of 32 bits.
        let largest = i32::from(self.most) * i32::from(other.most);
        let run = usize::try_from(i32::MAX / largest)
            .unwrap_or(1)
            .clamp(1, 4_096);
        let runs = one.chunks(run).zip(others.chunks(run));
        let sums = runs.map(|(one, others)| {
            let products = one.iter().zip(others);
            let sum: i32 = products
                .map(|(one, other)| i32::from(*one) * i32::from(*other))
                .sum();
            u64::from(sum.cast_unsigned())
        });
        sums.sum()
    }
}

/// Where a level keeps its degrees.
pub(super) type Counted = OnceLock<Option<Degrees>>;

/// Where a level keeps its loops.
pub(super) type Loops = OnceLock<Box<[Link]>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_sums_and_loops_are_those_of_the_links() {
        for far in [40, 1_000_000] {
            let edges = [(1, 5, 7), (2, 5, 5), (3, 6, 5), (4, far, 9), (5, far, far)];
            let mut adjacency = Adjacency::build(edges.into_iter());
            let more = [(6, 5, 6), (7, 9, 9)];
            adjacency.add_level(&Level::build(more.into_iter()).into(), 2);
            for first in [0, 3, 6, far - 1, far] {
                let mut degrees = [0; 10];
                adjacency.add_degrees(first, &mut degrees);
                let expected: Vec<u32> = (first..first + 10)
                    .map(|id| u32::try_from(adjacency.links(id).count()).expect("few"))
                    .collect();
                assert_eq!(degrees.as_slice(), expected);
            }
            let values: Vec<u64> = (4..10).map(|id| id * id).collect();
            let weights = Weights {
                first: 4,
                values: &values,
            };
            assert_eq!(adjacency.sum(5, weights), 49 + 25 + 36);
            assert_eq!(adjacency.sum(far, weights), 81);
            assert_eq!(adjacency.sum(far + 1, weights), 0);
            let (marks, first) = ([1_u8, 0, 1], 5);
            let weights = Weights {
                first,
                values: &marks,
            };
            assert_eq!(adjacency.sum(5, weights), 2);

            let mut ends = Vec::new();
            adjacency.each_far(5, |node| ends.push(node));
            assert_eq!(ends, [7, 5, 6]);
            assert_eq!(adjacency.degree_in_levels(5), 3);

            assert!(adjacency.is_regular(6) && adjacency.irregular().next().is_none());
            adjacency.add(6, Link { edge: 8, node: 6 });
            adjacency.lose(5);
            let mut irregular: Vec<u64> = adjacency.irregular().collect();
            irregular.sort_unstable();
            assert_eq!(irregular, [5, 6]);
            assert!(!adjacency.is_regular(5) && !adjacency.is_regular(6));
            let mut loops: Vec<u64> = adjacency.loops().map(|link| link.edge).collect();
            loops.sort_unstable();
            assert_eq!(loops, [2, 5, 7, 8]);
            let of = |node| {
                adjacency
                    .loops_of(node)
                    .map(|link| link.edge)
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                (of(5), of(6), of(far), of(7)),
                (vec![2], vec![8], vec![5], vec![])
            );
            let folded = adjacency.folded(|edge| edge != 2);
            let mut loops: Vec<u64> = folded.loops().map(|link| link.edge).collect();
            loops.sort_unstable();
            loops.retain(|edge| *edge != 2);
            assert_eq!(loops, [5, 7, 8]);
        }
    }

    #[test]
    fn the_product_of_degrees_is_that_of_all_nodes() {
        let edges = [
            (1, 5, 7),
            (2, 5, 5),
            (3, 6, 5),
            (4, 8, 9),
            (5, 9, 4),
            (6, 5, 8),
        ];
        let outgoing = Adjacency::build(edges.into_iter());
        let incoming = Adjacency::build(edges.into_iter().map(|(edge, from, to)| (edge, to, from)));
        let expected: u64 = (0..20)
            .map(|id| outgoing.degree(id) * incoming.degree(id))
            .sum();
        assert_eq!(outgoing.product(&incoming), Some(expected));
        assert_eq!(incoming.product(&outgoing), Some(expected));
        assert!(expected > 0);
        let far = [(1, 5, 7), (2, 1_000_000, 7)];
        assert_eq!(Adjacency::build(far.into_iter()).product(&incoming), None);
        // Products that are larger than a small sum holds, and degrees that are no small numbers.
        for many in [30_000, 40_000] {
            let star = (0..many).map(|edge| (edge, 1 + edge % 2, 1 + edge % 3));
            let outgoing = Adjacency::build(star.clone());
            let incoming = Adjacency::build(star.map(|(edge, from, to)| (edge, to, from)));
            let expected: u64 = (0..5)
                .map(|id| outgoing.degree(id) * incoming.degree(id))
                .sum();
            assert_eq!(outgoing.product(&incoming), Some(expected));
        }
        let hub = Adjacency::build((0..40_000).map(|edge| (edge, 1, 2)));
        assert_eq!(hub.product(&hub), Some(40_000 * 40_000));
    }
}
