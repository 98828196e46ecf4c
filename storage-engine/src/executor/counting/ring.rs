//! Closed walks: how many there are from a node back to itself.
//!
//! What leads back to the node is marked; then the walks from it are followed, and the marks of where they
//! end are added up. A relationship from a node to itself is looked up by itself.

use language::schema::TypeId;
use language::value::NodeRef;
use rustc_hash::FxHashMap;

use super::tree::{Branch, Known, Ring, Sums};
use super::weigh::{Few, Weigher};
use crate::executor::Row;
use crate::executor::error::ExecuteError;

/// How many relationships lead back from each node.
pub(super) type Marks = FxHashMap<NodeRef, u64>;

/// What one of them takes.
const MARK_BYTES: usize = size_of::<(NodeRef, u64)>() + 1;

impl<'a> Weigher<'a> {
    /// Makes those nodes of a walk ready of which a few are known (`visits` is nothing), or the others:
    /// to be asked about walks from so many nodes.
    pub(super) fn prepare_ring(
        &self,
        ring: &mut Ring<'a>,
        row: &mut Row,
        visits: Option<f64>,
    ) -> Result<(), ExecuteError> {
        let mut walks = visits.unwrap_or(0.0);
        for branch in &mut ring.branches {
            walks *= branch.degrees.0;
            if branch.child.is_anchored() == visits.is_none() {
                self.prepare(&mut branch.child, row, walks)?;
            }
        }
        Ok(())
    }

    /// The nodes that a walk can begin with, when they are found from a few that are known.
    pub(super) fn beginnings(
        &self,
        types: &[TypeId],
        ring: &Ring<'a>,
    ) -> Result<Option<Few>, ExecuteError> {
        let (Some(first), Some(last)) = (ring.branches.first(), ring.branches.last()) else {
            return Ok(None);
        };
        if first.child.is_anchored() {
            return self.ends_of(types, first, first, true).map(Some);
        }
        if last.child.is_anchored() {
            return self.ends_of(types, last, &ring.back, false).map(Some);
        }
        Ok(None)
    }

    /// The nodes next to what is known of a branch's child, over a relationship: that which leads there
    /// (`back`), or one that leads on.
    fn ends_of(
        &self,
        types: &[TypeId],
        known: &Branch<'a>,
        over: &Branch<'a>,
        back: bool,
    ) -> Result<Few, ExecuteError> {
        let mut found = vec![Sums::default(); types.len()];
        for (type_id, known) in known.child.types.iter().zip(&known.child.known) {
            let Known::Some(known) = known else {
                continue;
            };
            for hop in &over.hops {
                let (here, there) = if back {
                    (hop.far, hop.near)
                } else {
                    (hop.near, hop.far)
                };
                let place = types.iter().position(|own| *own == there);
                let Some(place) = place.filter(|_| here == *type_id) else {
                    continue;
                };
                for node in known.keys() {
                    let before = found[place].len();
                    let mut take = |id: u64| -> Result<(), ExecuteError> {
                        self.context.step()?;
                        found[place].insert(id, 1);
                        Ok(())
                    };
                    if back {
                        hop.links_back(*node).try_for_each(|link| take(link.node))?;
                    } else {
                        hop.links(*node).try_for_each(|link| take(link.node))?;
                    }
                    self.charge((found[place].len() - before) * super::weigh::ENTRY_BYTES)?;
                }
            }
        }
        let found = found.iter().map(|sums| sums.keys().copied().collect());
        Ok(found.collect())
    }

    /// How many closed walks there are from a node.
    pub(super) fn around(
        &self,
        ring: &Ring<'a>,
        node: NodeRef,
        row: &mut Row,
    ) -> Result<u64, ExecuteError> {
        if ring.branches.is_empty() {
            return self.loops(&ring.back, node, row);
        }
        let mut marks = self.marks.take();
        let before = marks.capacity();
        marks.clear();
        for hop in ring.back.hops.iter().filter(|hop| hop.far == node.type_id) {
            for link in hop.links_back(node.id) {
                self.context.step()?;
                if self.allows(&ring.back, hop.edge(link), row)? {
                    let near = NodeRef {
                        type_id: hop.near,
                        id: link.node,
                    };
                    *marks.entry(near).or_default() += 1;
                }
            }
        }
        self.charge((marks.capacity() - before) * MARK_BYTES)?;
        let count = match marks.is_empty() {
            true => 0,
            false => self.walks(&ring.branches, node, &marks, row)?,
        };
        self.marks.replace(marks);
        Ok(count)
    }

    /// The marks of the ends of walks along branches, each as often as what it passes counts for.
    fn walks(
        &self,
        branches: &[Branch<'a>],
        node: NodeRef,
        marks: &Marks,
        row: &mut Row,
    ) -> Result<u64, ExecuteError> {
        let Some((branch, rest)) = branches.split_first() else {
            return Ok(marks.get(&node).copied().unwrap_or(0));
        };
        let mut sum = 0_u64;
        for hop in branch.hops.iter().filter(|hop| hop.near == node.type_id) {
            for link in hop.links(node.id) {
                self.context.step()?;
                let far = hop.far_node(link);
                if rest.is_empty() && !marks.contains_key(&far) {
                    continue;
                }
                let weight = self.known(&branch.child, far, row)?;
                if weight == 0 || !self.allows(branch, hop.edge(link), row)? {
                    continue;
                }
                let walks = self.walks(rest, far, marks, row)?;
                sum = sum.saturating_add(weight.saturating_mul(walks));
            }
        }
        Ok(sum)
    }

    /// How many relationships lead from a node to itself.
    fn loops(&self, back: &Branch<'a>, node: NodeRef, row: &mut Row) -> Result<u64, ExecuteError> {
        let mut count = 0;
        let hops = back.hops.iter();
        for hop in hops.filter(|hop| hop.near == node.type_id && !hop.without_loops) {
            for link in hop.table.loops_of(node.id) {
                self.context.step()?;
                count += u64::from(self.allows(back, hop.edge(link), row)?);
            }
        }
        Ok(count)
    }
}
