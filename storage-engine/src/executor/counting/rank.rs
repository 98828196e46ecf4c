//! Leaves out groups that cannot be among the first when rows are sorted by a count and limited.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use language::plan::{Expr, ExprKind, Projection, Slot};

/// The best numbers so far, as many as rows are wanted.
pub(super) struct Rank {
    /// Which aggregate is sorted by.
    pub(super) aggregate: usize,
    descending: bool,
    wanted: usize,
    /// The largest, with the smallest of them on top.
    best: BinaryHeap<Reverse<u64>>,
}

impl Rank {
    /// For a projection that sorts by an aggregate first and keeps `wanted` rows.
    pub(super) fn new(projection: &Projection, wanted: usize) -> Option<Self> {
        let key = projection.order.first()?;
        let aggregates = &projection.aggregation.as_ref()?.aggregates;
        let slot = origin(&key.expr, projection)?;
        let aggregate = aggregates.iter().position(|it| it.slot == slot)?;
        (!projection.distinct && wanted > 0).then_some(Self {
            aggregate,
            descending: key.descending,
            wanted,
            best: BinaryHeap::new(),
        })
    }

    /// Begins anew.
    pub(super) fn forget(&mut self) {
        self.best.clear();
    }

    /// Whether a group with this number may be among the first; remembers it.
    pub(super) fn admits(&mut self, number: u64) -> bool {
        let number = if self.descending { number } else { !number };
        if self.best.len() < self.wanted {
            self.best.push(Reverse(number));
            return true;
        }
        match self.best.peek() {
            Some(Reverse(smallest)) if number < *smallest => false,
            Some(Reverse(smallest)) if number == *smallest => true,
            _ => {
                self.best.pop();
                self.best.push(Reverse(number));
                true
            }
        }
    }
}

/// The slot whose value an expression is, through items that only rename.
fn origin(expr: &Expr, projection: &Projection) -> Option<Slot> {
    let ExprKind::Variable(slot) = expr.kind else {
        return None;
    };
    let item = projection.items.iter().find(|item| item.slot == slot);
    match item.map(|item| &item.expr.kind) {
        None => Some(slot),
        Some(ExprKind::Variable(of)) if *of != slot => Some(*of),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_among_the_first_is_left_out() {
        let rank = |descending| Rank {
            aggregate: 0,
            descending,
            wanted: 2,
            best: BinaryHeap::new(),
        };
        let mut largest = rank(true);
        let admitted: Vec<bool> = [3, 1, 1, 5, 2, 4, 4, 3].map(|it| largest.admits(it)).into();
        assert_eq!(admitted, [true, true, true, true, false, true, true, false]);
        let mut smallest = rank(false);
        let admitted: Vec<bool> = [3, 5, 6, 1, 4, 3].map(|it| smallest.admits(it)).into();
        assert_eq!(admitted, [true, true, false, true, false, true]);
    }
}
