//! Which nodes a walk of variable length leads to, when nothing else of it is asked for.
//!
//! A shortest walk takes no relationship twice, so where one step is enough for the pattern, each node
//! within reach is found once, in rounds outwards from the nodes that are known.

use language::plan::Length;
use language::schema::TypeId;
use rustc_hash::FxHashMap;

use super::blocks::Range;
use super::tree::{Branch, Known, Sums};
use super::weigh::Weigher;
use crate::executor::error::ExecuteError;

/// The node has been an end.
const FOUND: u8 = 1;
/// Its relationships have been followed.
const FOLLOWED: u8 = 2;

/// What is known of the nodes of a type.
struct Flags {
    range: Option<Range>,
    dense: Vec<u8>,
    sparse: FxHashMap<u64, u8>,
}

impl Flags {
    /// Sets a flag; says whether it was not set.
    fn set(&mut self, id: u64, flag: u8) -> bool {
        let place = self.range.as_ref().and_then(|range| range.place(id));
        let flags = match place.and_then(|place| self.dense.get_mut(place)) {
            Some(flags) => flags,
            None => self.sparse.entry(id).or_default(),
        };
        let new = *flags & flag == 0;
        *flags |= flag;
        new
    }
}

impl Weigher<'_> {
    /// The near nodes of a branch from which one of those known at its far end is within reach, each
    /// counting once. In the order of the types.
    pub(super) fn reach(
        &self,
        types: &[TypeId],
        branch: &Branch<'_>,
        length: Length,
    ) -> Result<Vec<Sums>, ExecuteError> {
        let mut sums = vec![Sums::default(); types.len()];
        let known = branch.child.types.iter().zip(&branch.child.known);
        for (type_id, known) in known {
            let Known::Some(weights) = known else {
                continue;
            };
            let own = types.iter().position(|near| near == type_id);
            if let Some(place) = own.filter(|_| length.min == 0) {
                sums[place].extend(weights.keys().map(|id| (*id, 1)));
            }
            let hop = branch.hops.iter().find(|hop| hop.far == *type_id);
            if let (Some(hop), Some(place)) = (hop, own) {
                debug_assert_eq!(hop.near, hop.far, "walks stay within a type");
                let sources = weights.keys().copied().collect();
                self.rounds(branch, hop, sources, length, &mut sums[place])?;
            }
        }
        Ok(sums)
    }

    fn rounds(
        &self,
        branch: &Branch<'_>,
        hop: &super::tree::Hop<'_>,
        sources: Vec<u64>,
        length: Length,
        found: &mut Sums,
    ) -> Result<(), ExecuteError> {
        let snapshot = self.context.snapshot;
        let range = snapshot
            .node_table(hop.near)
            .and_then(|table| Range::of(&table.rows));
        let mut flags = Flags {
            dense: vec![0; range.as_ref().map_or(0, |range| range.len)],
            sparse: FxHashMap::default(),
            range,
        };
        self.charge(flags.dense.len())?;
        sources.iter().for_each(|source| {
            flags.set(*source, FOLLOWED);
        });
        let mut frontier = sources;
        let mut rounds = 0;
        while !frontier.is_empty() && length.max.is_none_or(|max| rounds < max) {
            rounds += 1;
            let mut next = Vec::new();
            let before = found.len();
            for node in frontier {
                for link in hop.links_back(node) {
                    self.context.step()?;
                    if !branch.names.is_empty() && !snapshot.is_named(hop.edge(link), branch.names)
                    {
                        continue;
                    }
                    if flags.set(link.node, FOUND) {
                        found.insert(link.node, 1);
                    }
                    if flags.set(link.node, FOLLOWED) {
                        next.push(link.node);
                    }
                }
            }
            self.charge((found.len() - before) * super::weigh::ENTRY_BYTES * 2)?;
            frontier = next;
        }
        Ok(())
    }
}
