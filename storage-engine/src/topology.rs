//! Who is joined with whom: adjacency of one edge type, one direction.
//!
//! It holds ids, so that folding rows into tables changes nothing in it. Most links stand in a few
//! *levels* (compressed adjacency, never changed), those of edges added since in a persistent map,
//! which a fold turns into a level. A level is joined with the one before it when it has more than a
//! quarter of its links, so that there are few and each link is copied a few times in its life.
//!
//! Links of deleted edges stay where they are and are skipped by asking the rows, but only at nodes
//! that are known to have some; they go when they are more than a fifth.

mod reading;

use std::sync::Arc;

use rpds::{HashTrieMapSync, VectorSync};
use rustc_hash::FxHashSet;

use crate::packed::{Numbers, Packer, bounds};
pub(crate) use reading::Weights;
use reading::{Counted, Degrees, Loops};

/// An edge and the node at its far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) edge: u64,
    pub(crate) node: u64,
}

/// Adjacency of one edge type in one direction.
#[derive(Clone, Debug)]
pub(crate) struct Adjacency {
    levels: Arc<[Held]>,
    added: HashTrieMapSync<u64, VectorSync<Link>>,
    /// Those of them that lead from a node to itself.
    added_loops: VectorSync<Link>,
    /// Nodes that have links of edges that are gone, and how many.
    gone: HashTrieMapSync<u64, u64>,
    all_gone: u64,
}

/// A level of an adjacency.
#[derive(Clone, Debug)]
struct Held {
    level: Arc<Level>,
    /// The commit that brought it; 0 once that is folded.
    lsn: u64,
}

/// For each node the range of its links.
#[derive(Debug, Default)]
pub(crate) struct Level {
    nodes: Nodes,
    /// One more than there are nodes.
    offsets: Numbers,
    edges: Numbers,
    far: Numbers,
    loops: Loops,
    degrees: Counted,
}

/// The nodes that have links, as places.
#[derive(Debug)]
enum Nodes {
    /// Ids from this one on, without holes.
    Dense(u64),
    /// These ids, ascending.
    Sparse(Numbers),
}

impl Default for Nodes {
    fn default() -> Self {
        Self::Sparse(Numbers::default())
    }
}

impl Adjacency {
    /// No links.
    pub(crate) fn empty() -> Self {
        Self::of_levels([])
    }

    /// The adjacency of `(edge, from, to)` triples.
    pub(crate) fn build(edges: impl Iterator<Item = (u64, u64, u64)> + Clone) -> Self {
        let level = Level::build(edges);
        Self::of_levels((!level.is_empty()).then(|| Held {
            level: Arc::new(level),
            lsn: 0,
        }))
    }

    fn of_levels(levels: impl IntoIterator<Item = Held>) -> Self {
        Self {
            levels: levels.into_iter().collect(),
            added: HashTrieMapSync::new_sync(),
            added_loops: VectorSync::new_sync(),
            gone: HashTrieMapSync::new_sync(),
            all_gone: 0,
        }
    }

    pub(crate) fn add(&mut self, from: u64, link: Link) {
        let mut links = self
            .added
            .get(&from)
            .cloned()
            .unwrap_or_else(VectorSync::new_sync);
        links.push_back_mut(link);
        self.added.insert_mut(from, links);
        if from == link.node {
            self.added_loops.push_back_mut(link);
        }
    }

    /// Takes in what a commit brings.
    pub(crate) fn add_level(&mut self, level: &Arc<Level>, lsn: u64) {
        if level.is_empty() {
            return;
        }
        let new = Held {
            level: level.clone(),
            lsn,
        };
        self.levels = self.levels.iter().cloned().chain([new]).collect();
    }

    /// Notes that the edge of one of the node's links is gone.
    pub(crate) fn lose(&mut self, from: u64) {
        let gone = self.gone.get(&from).copied().unwrap_or_default();
        self.gone.insert_mut(from, gone + 1);
        self.all_gone += 1;
    }

    /// Notes that an edge is back which was gone. `false` when there is no link of it here.
    pub(crate) fn regain(&mut self, from: u64, edge: u64) -> bool {
        let gone = self.gone.get(&from).copied().unwrap_or_default();
        let here = gone > 0 && self.links(from).any(|link| link.edge == edge);
        if here {
            self.forget(from, 1);
        }
        here
    }

    /// Puts edges of a node back which were gone; the links of some may be here still.
    pub(crate) fn restore(&mut self, from: u64, links: &[Link]) {
        let known: FxHashSet<u64> = self.links(from).map(|link| link.edge).collect();
        for link in links {
            if known.contains(&link.edge) {
                self.forget(from, 1);
            } else {
                self.add(from, *link);
            }
        }
    }

    fn forget(&mut self, from: u64, count: u64) {
        let gone = self.gone.get(&from).copied().unwrap_or_default();
        self.all_gone -= count.min(gone);
        match gone.saturating_sub(count) {
            0 => self.gone.remove_mut(&from),
            left => {
                self.gone.insert_mut(from, left);
                true
            }
        };
    }

    /// Whether some of the node's links are of edges that are gone.
    pub(crate) fn has_gone(&self, from: u64) -> bool {
        self.all_gone > 0 && self.gone.contains_key(&from)
    }

    /// The links of a node, those of edges that are gone included.
    pub(crate) fn links(&self, from: u64) -> impl Iterator<Item = Link> + '_ {
        let levels = LevelLinks {
            levels: self.levels.iter(),
            from,
            current: None,
        };
        levels.chain(self.added(from))
    }

    fn added(&self, from: u64) -> impl Iterator<Item = Link> + '_ {
        let links = match self.added.is_empty() {
            true => None,
            false => self.added.get(&from),
        };
        links.into_iter().flat_map(|links| links.iter().copied())
    }

    /// How many links of a node are of edges that are there: as many steps as there are levels.
    pub(crate) fn degree(&self, from: u64) -> u64 {
        let levels = self.levels.iter().map(|held| held.level.range(from).len());
        let mut degree = levels.sum::<usize>() as u64;
        if !self.added.is_empty() {
            degree += self.added.get(&from).map_or(0, VectorSync::len) as u64;
        }
        if self.all_gone > 0 {
            degree -= self.gone.get(&from).copied().unwrap_or_default();
        }
        degree
    }

    /// The same links, with those added as a level. `there` says which edges are.
    pub(crate) fn folded(&self, there: impl Fn(u64) -> bool) -> Self {
        if self.added.is_empty() && !self.is_worn() {
            return Self {
                levels: without_lsns(&self.levels).collect(),
                ..self.clone()
            };
        }
        let mut folded = Self {
            added: HashTrieMapSync::new_sync(),
            added_loops: VectorSync::new_sync(),
            ..self.clone()
        };
        let mut added = Vec::new();
        for (from, links) in self.added.iter() {
            let before = added.len();
            let live = links.iter().filter(|link| there(link.edge));
            added.extend(live.map(|link| (link.edge, *from, link.node)));
            let lost = links.len() - (added.len() - before);
            if lost > 0 {
                folded.forget(*from, lost as u64);
            }
        }
        if folded.is_worn() {
            let old = self.levels.iter().flat_map(|held| held.level.edges());
            let old = old.filter(|(edge, ..)| there(*edge));
            return Self::build(old.chain(added.iter().copied()));
        }
        // The order of a map is nobody's; edges come as they were made.
        added.sort_unstable();
        let new = (!added.is_empty()).then(|| Held {
            level: Arc::new(Level::build(added.iter().copied())),
            lsn: 0,
        });
        folded.levels = merged(without_lsns(&self.levels).chain(new)).into();
        folded
    }

    /// Whether so many links are of edges that are gone that it is better built anew.
    fn is_worn(&self) -> bool {
        let links: usize = self.levels.iter().map(|held| held.level.len()).sum();
        self.all_gone > links as u64 / 5
    }

    /// What holds everything up to `folded`, and what `newer` was brought after that.
    pub(crate) fn with_newer(&self, newer: &Self, folded: u64) -> Self {
        let after = newer
            .levels
            .iter()
            .filter(|held| held.lsn > folded)
            .cloned();
        Self {
            levels: self.levels.iter().cloned().chain(after).collect(),
            ..self.clone()
        }
    }

    /// Bytes of memory of the levels.
    pub(crate) fn bytes(&self) -> usize {
        self.levels.iter().map(|held| held.level.bytes()).sum()
    }

    #[cfg(test)]
    pub(crate) fn levels(&self) -> usize {
        self.levels.len()
    }
}

fn without_lsns(levels: &[Held]) -> impl Iterator<Item = Held> + '_ {
    levels.iter().map(|held| Held {
        level: held.level.clone(),
        lsn: 0,
    })
}

/// Joins levels from the end on while the later has more than a quarter of the links of the earlier.
fn merged(levels: impl Iterator<Item = Held>) -> Vec<Held> {
    let mut merged: Vec<Held> = Vec::new();
    for mut held in levels {
        while let Some(before) = merged.last()
            && before.level.len() / 4 < held.level.len()
            && let Some(before) = merged.pop()
        {
            let both = before.level.edges().chain(held.level.edges());
            held.level = Arc::new(Level::build(both));
        }
        merged.push(held);
    }
    merged
}

/// The links of a node in all levels.
struct LevelLinks<'a> {
    levels: std::slice::Iter<'a, Held>,
    from: u64,
    current: Option<(&'a Level, std::ops::Range<usize>)>,
}

impl Iterator for LevelLinks<'_> {
    type Item = Link;

    fn next(&mut self) -> Option<Link> {
        loop {
            if let Some((level, range)) = &mut self.current
                && let Some(index) = range.next()
            {
                return level.link(index);
            }
            let level = &*self.levels.next()?.level;
            self.current = Some((level, level.range(self.from)));
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let current = self.current.as_ref().map_or(0, |(_, range)| range.len());
        (current, None)
    }
}

impl Level {
    /// Counting sort by the node that edges start from; those of one node keep their order. Dense
    /// places unless most would be holes.
    pub(crate) fn build(edges: impl Iterator<Item = (u64, u64, u64)> + Clone) -> Self {
        let count = edges.clone().count();
        if count == 0 {
            return Self::default();
        }
        let (low, high) = bounds(edges.clone().map(|(_, from, _)| from));
        let span = usize::try_from(high - low)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let nodes = if span / 4 <= count {
            Nodes::Dense(low)
        } else {
            let mut ids: Vec<u64> = edges.clone().map(|(_, from, _)| from).collect();
            ids.sort_unstable();
            ids.dedup();
            Nodes::Sparse(Numbers::pack(&ids))
        };
        let places = match &nodes {
            Nodes::Dense(_) => span,
            Nodes::Sparse(ids) => ids.len(),
        };
        let mut offsets = vec![0_u64; places + 1];
        for (_, from, _) in edges.clone() {
            if let Some(next) = nodes
                .place(from)
                .and_then(|place| offsets.get_mut(place + 1))
            {
                *next += 1;
            }
        }
        let mut total = 0;
        for offset in &mut offsets {
            total += *offset;
            *offset = total;
        }
        let packed = Numbers::pack(&offsets);
        // From here on where the next link of each node goes.
        let mut cursor = offsets;
        let (low, high) = bounds(edges.clone().map(|(edge, ..)| edge));
        let mut ids = Packer::new(low, high, count);
        let (low, high) = bounds(edges.clone().map(|(.., to)| to));
        let mut far = Packer::new(low, high, count);
        for (edge, from, to) in edges {
            let Some(next) = nodes.place(from).and_then(|place| cursor.get_mut(place)) else {
                continue;
            };
            let place = usize::try_from(*next).unwrap_or(usize::MAX);
            ids.set(place, edge);
            far.set(place, to);
            *next += 1;
        }
        Self {
            nodes,
            offsets: packed,
            edges: ids.finish(),
            far: far.finish(),
            loops: Loops::default(),
            degrees: Counted::default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.edges.len()
    }

    fn link(&self, index: usize) -> Option<Link> {
        Some(Link {
            edge: self.edges.get(index)?,
            node: self.far.get(index)?,
        })
    }

    fn range(&self, from: u64) -> std::ops::Range<usize> {
        self.nodes
            .place(from)
            .and_then(|place| self.place_range(place))
            .unwrap_or_default()
    }

    fn place_range(&self, place: usize) -> Option<std::ops::Range<usize>> {
        let offset = |at| usize::try_from(self.offsets.get(at)?).ok();
        Some(offset(place)?..offset(place + 1)?)
    }

    /// All of it as `(edge, from, to)`.
    fn edges(&self) -> impl Iterator<Item = (u64, u64, u64)> + Clone + '_ {
        let places = 0..self.offsets.len().saturating_sub(1);
        places.flat_map(move |place| {
            let from = self.nodes.id(place);
            let links = self.place_range(place).unwrap_or_default();
            let links = links.filter_map(|index| self.link(index));
            links.map(move |link| (link.edge, from, link.node))
        })
    }

    fn bytes(&self) -> usize {
        let nodes = match &self.nodes {
            Nodes::Dense(_) => 0,
            Nodes::Sparse(ids) => ids.bytes(),
        };
        let loops = self.loops.get().map_or(0, |loops| size_of_val(&**loops));
        let degrees = self.degrees.get().and_then(Option::as_ref);
        let degrees = degrees.map_or(0, Degrees::bytes);
        nodes + loops + degrees + self.offsets.bytes() + self.edges.bytes() + self.far.bytes()
    }
}

impl Nodes {
    fn place(&self, id: u64) -> Option<usize> {
        match self {
            Self::Dense(first) => usize::try_from(id.checked_sub(*first)?).ok(),
            Self::Sparse(ids) => ids.find(id),
        }
    }

    fn id(&self, place: usize) -> u64 {
        match self {
            Self::Dense(first) => first + place as u64,
            Self::Sparse(ids) => ids.get(place).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(adjacency: &Adjacency, from: u64) -> Vec<u64> {
        adjacency.links(from).map(|link| link.node).collect()
    }

    #[test]
    fn dense_and_sparse_nodes_find_the_same_links() {
        for far in [10, 1_000_000] {
            let edges = [(1, 1, 2), (2, far, 1), (3, 1, 3), (4, 1, 2)];
            let mut adjacency = Adjacency::build(edges.into_iter());
            assert_eq!(nodes(&adjacency, 1), [2, 3, 2]);
            assert_eq!(nodes(&adjacency, far), [1]);
            assert_eq!(nodes(&adjacency, 2), [0_u64; 0]);
            assert_eq!(nodes(&adjacency, far + 1), [0_u64; 0]);
            let before = adjacency.clone();
            adjacency.add(2, Link { edge: 5, node: 9 });
            adjacency.add(1, Link { edge: 6, node: 8 });
            for adjacency in [adjacency.clone(), adjacency.folded(|_| true)] {
                assert_eq!(nodes(&adjacency, 2), [9]);
                assert_eq!(nodes(&adjacency, 1), [2, 3, 2, 8]);
                assert_eq!((adjacency.degree(1), adjacency.degree(far)), (4, 1));
            }
            assert_eq!(nodes(&before, 2), [0_u64; 0]);
        }
    }

    /// Many small folds: few levels, and each link is copied a few times.
    #[test]
    fn folds_cost_what_was_added() {
        let mut adjacency = Adjacency::empty();
        let mut most = 0;
        for fold in 0..200_u64 {
            for edge in fold * 100..fold * 100 + 100 {
                let node = edge % 77;
                adjacency.add(edge % 31, Link { edge, node });
            }
            adjacency = adjacency.folded(|_| true);
            most = most.max(adjacency.levels());
        }
        assert!(most <= 8, "{most} levels");
        for from in 0..31 {
            let links: Vec<_> = adjacency.links(from).map(|link| link.edge).collect();
            let expected: Vec<_> = (0..20_000).filter(|edge| edge % 31 == from).collect();
            assert_eq!(links, expected);
            assert_eq!(adjacency.degree(from), expected.len() as u64);
        }
    }

    #[test]
    fn what_is_gone_is_counted_and_goes() {
        let mut adjacency = Adjacency::build((0..100).map(|edge| (edge, edge % 4, edge)));
        adjacency.add(1, Link { edge: 100, node: 7 });
        adjacency.add(1, Link { edge: 101, node: 8 });
        adjacency.lose(1);
        assert!(adjacency.has_gone(1) && !adjacency.has_gone(2));
        assert_eq!(adjacency.degree(1), 26);
        assert!(adjacency.regain(1, 100));
        assert!(!adjacency.regain(1, 100), "it is there");
        adjacency.lose(1);
        let folded = adjacency.folded(|edge| edge != 100);
        assert!(!folded.has_gone(1), "what was added and gone is left out");
        assert_eq!(folded.degree(1), 26);
        let mut worn = folded;
        for edge in (0..100).filter(|edge| edge % 4 == 2) {
            worn.lose(edge % 4);
        }
        assert_eq!(worn.degree(2), 0);
        let folded = worn.folded(|edge| edge % 4 != 2);
        assert_eq!((folded.degree(1), folded.degree(2)), (26, 0));
        assert!(!folded.has_gone(2));
        assert_eq!(folded.links(2).count(), 0);
    }
}
