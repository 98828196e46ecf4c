//! Finds the group of a row by the nodes that its keys look at, before any property of theirs is read:
//! rows are many, nodes are fewer, and comparing ids costs little.

use language::plan::{Aggregation, Slot};
use language::value::{NodeRef, Value};
use rustc_hash::FxHashMap;

use super::Row;
use super::walk::{self, SlotSet};

/// What the keys of a row look at.
pub(crate) type Nodes = [NodeRef; 2];

/// What one entry takes, with the room that a map keeps free.
pub(crate) const ENTRY_BYTES: usize = 2 * size_of::<(Nodes, usize)>();

/// Places of groups by nodes.
pub(crate) struct ByNodes {
    slots: [Slot; 2],
    places: FxHashMap<Nodes, usize>,
}

impl ByNodes {
    /// `None` when the keys look at nothing, or at more than two variables, or differ for equal ones.
    pub(crate) fn new(aggregation: &Aggregation) -> Option<Self> {
        let mut looked_at = SlotSet::new(0);
        for key in &aggregation.keys {
            if walk::varies(&key.expr) {
                return None;
            }
            walk::variables(&key.expr, &mut looked_at);
        }
        let mut slots = looked_at.iter();
        let first = slots.next()?;
        let second = slots.next().unwrap_or(first);
        slots.next().is_none().then(|| Self {
            slots: [first, second],
            places: FxHashMap::default(),
        })
    }

    /// What the keys of a row look at; `None` when it is something else than nodes.
    pub(crate) fn nodes(&self, row: &Row) -> Option<Nodes> {
        match self.slots.map(|slot| row.get(slot.0)) {
            [Some(Value::Node(first)), Some(Value::Node(second))] => Some([*first, *second]),
            _ => None,
        }
    }

    pub(crate) fn place(&self, nodes: &Nodes) -> Option<usize> {
        self.places.get(nodes).copied()
    }

    /// Begins anew; gives how many there were.
    pub(crate) fn forget(&mut self) -> usize {
        std::mem::take(&mut self.places).len()
    }

    pub(crate) fn remember(&mut self, nodes: Nodes, place: usize) {
        self.places.insert(nodes, place);
    }
}
