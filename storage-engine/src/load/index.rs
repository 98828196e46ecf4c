//! The nodes that a load brings, by key.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::context::Context;
use crate::chunk::Chunk;
use crate::columns::Layout;
use crate::keys;

/// The new nodes of each type.
#[derive(Debug)]
pub(super) struct NodeIndexes(Vec<Option<NodeIndex>>);

/// The new nodes of one type. It holds hashes and ids; a hit is verified against the columns.
#[derive(Debug)]
pub(super) struct NodeIndex {
    layout: Arc<Layout>,
    chunks: Vec<Arc<Chunk>>,
    /// Hashes that nobody outside can foresee, so they are not hashed again with care.
    nodes: FxHashMap<u64, u64>,
    /// Further nodes with the hash of another.
    colliding: FxHashMap<u64, Vec<u64>>,
}

impl NodeIndexes {
    pub(super) fn new(context: &Context) -> Self {
        let index = |shape: &super::context::Shape| {
            shape.is_node().then(|| NodeIndex {
                layout: shape.layout.clone(),
                chunks: Vec::new(),
                nodes: FxHashMap::default(),
                colliding: FxHashMap::default(),
            })
        };
        Self(context.shapes.iter().map(index).collect())
    }

    pub(super) fn of(&self, slot: usize) -> Option<&NodeIndex> {
        self.0.get(slot)?.as_ref()
    }

    pub(super) fn of_mut(&mut self, slot: usize) -> Option<&mut NodeIndex> {
        self.0.get_mut(slot)?.as_mut()
    }
}

impl NodeIndex {
    /// The node with a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<u64> {
        if self.nodes.is_empty() {
            return None;
        }
        self.find_hashed(keys::hash(key), key)
    }

    fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<u64> {
        let first = *self.nodes.get(&hash)?;
        let more = self.colliding.get(&hash).into_iter().flatten().copied();
        let mut nodes = std::iter::once(first).chain(more);
        nodes.find(|id| {
            let after = self.chunks.partition_point(|chunk| chunk.first() <= *id);
            let chunk = after.checked_sub(1).and_then(|at| self.chunks.get(at));
            chunk.is_some_and(|chunk| keys::chunk_has_key(&self.layout, chunk, *id, key))
        })
    }

    /// So many of its chunks, the last, have become one.
    pub(super) fn join(&mut self, count: usize, whole: Arc<Chunk>) {
        let left = self.chunks.len().saturating_sub(count);
        self.chunks.truncate(left);
        self.chunks.push(whole);
    }

    /// Adds the nodes of a chunk whose ids follow. Gives the rows whose key another has already.
    pub(super) fn add(
        &mut self,
        chunk: &Arc<Chunk>,
        hashes: &[u64],
        keyless: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        self.chunks.push(chunk.clone());
        self.nodes.reserve(hashes.len());
        let mut repeated = Vec::new();
        let mut key = Vec::new();
        for (row, (hash, id)) in hashes.iter().zip(chunk.ids().iter()).enumerate() {
            if keyless(row) {
                continue;
            }
            if !self.nodes.contains_key(hash) {
                self.nodes.insert(*hash, id);
                continue;
            }
            key.clear();
            keys::write_row_key(&self.layout, chunk, row, &mut key);
            if self.find_hashed(*hash, &key).is_some() {
                repeated.push(row);
            } else {
                self.colliding.entry(*hash).or_default().push(id);
            }
        }
        repeated
    }
}
