//! In which order the patterns of a clause are walked.
//!
//! What binds at most one row comes first. Where nothing is bound yet, each node is tried as the start, as
//! far as those are few, and the walk from it with the least expected cost is taken. Of the relationships
//! that can be walked next, that one comes first which leaves the fewest rows for the work that it makes.

use language::plan::{Length, Slot};

use super::cost::walks;
use super::planning::{Link, Planner};
use super::search::Operation;
use super::selectivity::selectivity;
use crate::executor::walk::SlotSet;

/// More nodes or relationships than this are not tried from each start.
const MOST_TRIED: usize = 8;

/// What must hold once some slots are bound, and the part of rows that it leaves.
type Parts = [(SlotSet, f64)];

/// What walking a relationship is expected to do for each row.
struct Leg {
    /// The lowest comes first.
    rank: f64,
    /// Relationships looked at.
    visits: f64,
    /// Rows that come out.
    rows: f64,
}

impl<'a> Planner<'a> {
    pub(super) fn order(&mut self) {
        let parts: Vec<(SlotSet, f64)> = self
            .pending
            .iter()
            .map(|(needed, condition)| (needed, selectivity(self.context, condition)))
            .filter(|(_, part)| *part < 1.0)
            .map(|(needed, part)| (needed.clone(), part))
            .collect();
        loop {
            if self.bind_by_key() || self.bind_by_seek() {
                continue;
            }
            let next = (0..self.links.len())
                .filter_map(|place| {
                    let leg = self.leg(&self.links[place], &self.bound, &parts)?;
                    Some((leg.rank, place))
                })
                .min_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((_, place)) = next {
                let link = self.links.remove(place);
                self.emit_link(link);
                continue;
            }
            let Some(slot) = self.start(&parts) else {
                return;
            };
            if let Some(seek) = self.seek(slot) {
                self.emit_seek(seek);
                continue;
            }
            let types = self.nodes.get(&slot).map(|facts| facts.types.clone());
            let types: Vec<_> = types.into_iter().flatten().collect();
            let rows = self.node_count(&types);
            self.emit(Operation::Scan { slot, types }, &[slot], rows);
        }
    }

    /// The node to begin with where nothing is bound.
    fn start(&self, parts: &Parts) -> Option<Slot> {
        let unbound = self
            .nodes
            .keys()
            .filter(|slot| !self.bound.contains(**slot));
        let tried = self.nodes.len().max(self.links.len()) <= MOST_TRIED;
        let cost = |slot: &Slot| match tried {
            true => self.tour(*slot, parts),
            false => self.begun(*slot, parts).1,
        };
        let costed = unbound.map(|slot| (cost(slot), *slot));
        let cheapest = costed.min_by(|a, b| a.0.total_cmp(&b.0));
        cheapest.map(|(_, slot)| slot)
    }

    /// How many nodes are looked at to begin with one, and how many of them are left.
    fn begun(&self, slot: Slot, parts: &Parts) -> (f64, f64) {
        if let Some(seek) = self.seek(slot) {
            return (seek.expected, seek.expected);
        }
        let all = self.nodes.get(&slot);
        let all = all.map_or(0.0, |facts| self.node_count(&facts.types));
        (all, all * self.left(parts, &self.bound, &[slot]))
    }

    /// What it is expected to cost to walk all that hangs together with a node, from there.
    fn tour(&self, start: Slot, parts: &Parts) -> f64 {
        let (all, mut rows) = self.begun(start, parts);
        let mut cost = all + rows;
        let mut bound = self.bound.clone();
        bound.insert(start);
        let mut links: Vec<&Link<'a>> = self.links.iter().collect();
        loop {
            let legs = links.iter().enumerate();
            let legs = legs.filter_map(|(at, link)| Some((at, self.leg(link, &bound, parts)?)));
            let next = legs.min_by(|a, b| a.1.rank.total_cmp(&b.1.rank));
            let Some((at, leg)) = next else {
                return cost;
            };
            cost += rows * (1.0 + leg.visits);
            rows *= leg.rows;
            let link = links.swap_remove(at);
            let slots = [link.left, link.right, link.edge.slot];
            slots.into_iter().for_each(|slot| bound.insert(slot));
        }
    }

    /// The part of rows that is left by what becomes testable once `slots` are bound too.
    fn left(&self, parts: &Parts, bound: &SlotSet, slots: &[Slot]) -> f64 {
        let known = |slot: Slot| bound.contains(slot) || slots.contains(&slot);
        let new = parts.iter().filter(|(needed, _)| {
            needed.iter().all(known) && !needed.iter().all(|slot| bound.contains(slot))
        });
        new.map(|(_, part)| part).product()
    }

    /// What walking a link does; `None` when it cannot be walked yet.
    fn leg(&self, link: &Link<'a>, bound: &SlotSet, parts: &Parts) -> Option<Leg> {
        let (left, right) = (bound.contains(link.left), bound.contains(link.right));
        let tests_known = link.edge.properties.iter().all(|test| {
            self.needs(&test.value, None)
                .iter()
                .all(|slot| bound.contains(slot))
        });
        if link.shortest.is_some() {
            return (left && right).then_some(Leg {
                rank: if tests_known { 1e9 } else { 1e12 },
                visits: self.degree(link, link.left),
                rows: 1.0,
            });
        }
        if self.is_bound_from_outside(link) && link.edge.length.is_none() {
            return Some(Leg {
                rank: -1.0,
                visits: 1.0,
                rows: 1.0,
            });
        }
        if !left && !right {
            return None;
        }
        let (from, to) = if left {
            (link.left, link.right)
        } else {
            (link.right, link.left)
        };
        let rows =
            self.growth(link, from, left && right) * self.left(parts, bound, &[to, link.edge.slot]);
        let visits = self.degree(link, from);
        Some(match link.edge.length {
            None => Leg {
                rank: (rows - 1.0) / (1.0 + visits),
                visits,
                rows,
            },
            Some(length) => self.long_leg(length, visits, rows, tests_known),
        })
    }

    /// Walks of many lengths come after all that take one step.
    fn long_leg(&self, length: Length, degree: f64, rows: f64, tests_known: bool) -> Leg {
        let visits = walks(degree, length);
        Leg {
            rank: 1.0 + visits + if tests_known { 0.0 } else { 1e10 },
            visits,
            rows,
        }
    }
}
