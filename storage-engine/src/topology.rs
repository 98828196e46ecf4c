//! Who is joined with whom: adjacency of one edge type, one direction.
//!
//! The base is compressed adjacency (offsets and neighbours by node id), built once per fold or
//! open; edges added since stand in a persistent map. Deleted edges are not taken out: a reader
//! skips them by asking the rows.

use std::sync::Arc;

use rpds::{HashTrieMapSync, VectorSync};

/// An edge and the node at its far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) edge: u64,
    pub(crate) node: u64,
}

/// Adjacency of one edge type in one direction.
#[derive(Clone, Debug)]
pub(crate) struct Adjacency {
    base: Arc<Compressed>,
    added: HashTrieMapSync<u64, VectorSync<Link>>,
}

/// For each node the range of its links.
#[derive(Debug, Default)]
struct Compressed {
    nodes: Nodes,
    /// One more than there are nodes.
    offsets: Vec<usize>,
    links: Vec<Link>,
}

/// The nodes that have links, as places.
#[derive(Debug)]
enum Nodes {
    /// Ids from this one on, without holes.
    Dense(u64),
    /// These ids, ascending.
    Sparse(Vec<u64>),
}

impl Default for Nodes {
    fn default() -> Self {
        Self::Sparse(Vec::new())
    }
}

impl Adjacency {
    /// The adjacency of `(edge, from, to)` triples.
    pub(crate) fn build(edges: impl Iterator<Item = (u64, u64, u64)> + Clone) -> Self {
        Self {
            base: Arc::new(Compressed::build(edges)),
            added: HashTrieMapSync::new_sync(),
        }
    }

    /// The same base with nothing added.
    pub(crate) fn without_additions(&self) -> Self {
        Self {
            base: self.base.clone(),
            added: HashTrieMapSync::new_sync(),
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
    }

    /// Links of the base, then those added.
    pub(crate) fn links(&self, from: u64) -> (&[Link], impl Iterator<Item = Link> + '_) {
        let added = self
            .added
            .get(&from)
            .into_iter()
            .flat_map(|links| links.iter().copied());
        (self.base.links(from), added)
    }

    /// Bytes of memory of the base.
    pub(crate) fn bytes(&self) -> usize {
        let nodes = match &self.base.nodes {
            Nodes::Dense(_) => 0,
            Nodes::Sparse(ids) => ids.len() * size_of::<u64>(),
        };
        nodes
            + self.base.offsets.len() * size_of::<usize>()
            + self.base.links.len() * size_of::<Link>()
    }
}

impl Compressed {
    /// Counting sort by the node that edges start from. Dense places unless most would be holes.
    fn build(edges: impl Iterator<Item = (u64, u64, u64)> + Clone) -> Self {
        let mut count = 0_usize;
        let (mut low, mut high) = (u64::MAX, 0_u64);
        for (_, from, _) in edges.clone() {
            low = low.min(from);
            high = high.max(from);
            count += 1;
        }
        if count == 0 {
            return Self::default();
        }
        let span = usize::try_from(high - low)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let nodes = if span / 4 <= count {
            Nodes::Dense(low)
        } else {
            let mut ids: Vec<u64> = edges.clone().map(|(_, from, _)| from).collect();
            ids.sort_unstable();
            ids.dedup();
            Nodes::Sparse(ids)
        };
        let places = match &nodes {
            Nodes::Dense(_) => span,
            Nodes::Sparse(ids) => ids.len(),
        };
        let mut offsets = vec![0_usize; places + 1];
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
        let mut cursor = offsets.clone();
        let mut links = vec![Link { edge: 0, node: 0 }; count];
        for (edge, from, to) in edges {
            let Some(next) = nodes.place(from).and_then(|place| cursor.get_mut(place)) else {
                continue;
            };
            if let Some(link) = links.get_mut(*next) {
                *link = Link { edge, node: to };
            }
            *next += 1;
        }
        Self {
            nodes,
            offsets,
            links,
        }
    }

    fn links(&self, from: u64) -> &[Link] {
        let range = self
            .nodes
            .place(from)
            .and_then(|place| Some(*self.offsets.get(place)?..*self.offsets.get(place + 1)?));
        range
            .and_then(|range| self.links.get(range))
            .unwrap_or_default()
    }
}

impl Nodes {
    fn place(&self, id: u64) -> Option<usize> {
        match self {
            Self::Dense(first) => usize::try_from(id.checked_sub(*first)?).ok(),
            Self::Sparse(ids) => ids.binary_search(&id).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(adjacency: &Adjacency, from: u64) -> Vec<u64> {
        let (base, added) = adjacency.links(from);
        base.iter()
            .copied()
            .chain(added)
            .map(|link| link.node)
            .collect()
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
            assert_eq!(nodes(&adjacency, 2), [9]);
            assert_eq!(nodes(&adjacency, 1), [2, 3, 2, 8]);
            assert_eq!(nodes(&before, 2), [0_u64; 0]);
        }
    }
}
