//! Finds the group of a row by the nodes that its keys look at, before any property of theirs is read:
//! rows are many, nodes are fewer, and comparing ids costs little.
//!
//! Keys that look at the same node belong together: what they are for a node is worked out once and given
//! a number, and the numbers of a row's nodes name its group.

use language::plan::{Aggregation, Expr, Slot};
use language::value::{GroupKey, NodeRef, Value};
use rustc_hash::FxHashMap;

use super::Row;
use super::context::Context;
use super::error::ExecuteError;
use super::walk::{self, SlotSet};

/// The most nodes that keys look at.
const MOST_NODES: usize = 4;

/// The numbers of a row's nodes.
pub(crate) type Numbers = [u32; MOST_NODES];

/// What one entry of a map takes, with the room that it keeps free.
pub(crate) const ENTRY_BYTES: usize = 2 * size_of::<(Numbers, usize)>();

/// Places of groups by nodes.
pub(crate) struct ByNodes<'a> {
    nodes: Vec<Node<'a>>,
    places: FxHashMap<Numbers, usize>,
}

/// The keys that look at one of a row's nodes.
struct Node<'a> {
    slot: Slot,
    keys: Vec<&'a Expr>,
    by_node: FxHashMap<NodeRef, u32>,
    by_value: FxHashMap<GroupKey, u32>,
}

impl<'a> ByNodes<'a> {
    /// `None` when a key looks at nothing or at more than one variable, or differs for equal ones.
    pub(crate) fn new(aggregation: &'a Aggregation) -> Option<Self> {
        let mut nodes: Vec<Node<'a>> = Vec::new();
        for key in &aggregation.keys {
            if walk::varies(&key.expr) {
                return None;
            }
            let mut looked_at = SlotSet::new(0);
            walk::variables(&key.expr, &mut looked_at);
            let mut slots = looked_at.iter();
            let (Some(slot), None) = (slots.next(), slots.next()) else {
                return None;
            };
            match nodes.iter_mut().find(|node| node.slot == slot) {
                Some(node) => node.keys.push(&key.expr),
                None => nodes.push(Node {
                    slot,
                    keys: vec![&key.expr],
                    by_node: FxHashMap::default(),
                    by_value: FxHashMap::default(),
                }),
            }
        }
        let some = (1..=MOST_NODES).contains(&nodes.len());
        some.then(|| Self {
            nodes,
            places: FxHashMap::default(),
        })
    }

    /// The numbers of a row's nodes; `None` when one is something else than a node. Adds the entries that
    /// it makes to `made`.
    pub(crate) fn numbers(
        &mut self,
        context: Context<'_>,
        row: &Row,
        made: &mut usize,
    ) -> Result<Option<Numbers>, ExecuteError> {
        let mut numbers = Numbers::default();
        for (node, number) in self.nodes.iter_mut().zip(&mut numbers) {
            let Some(Value::Node(found)) = row.get(node.slot.0) else {
                return Ok(None);
            };
            if let Some(known) = node.by_node.get(found) {
                *number = *known;
                continue;
            }
            let values = node.keys.iter();
            let values: Result<Vec<Value>, _> =
                values.map(|key| context.evaluate(key, row)).collect();
            let Ok(next) = u32::try_from(node.by_value.len()) else {
                return Ok(None);
            };
            let key = Value::group_key_of(&values?);
            *number = *node.by_value.entry(key).or_insert(next);
            *made += 1 + usize::from(*number == next);
            node.by_node.insert(*found, *number);
        }
        Ok(Some(numbers))
    }

    pub(crate) fn place(&self, numbers: &Numbers) -> Option<usize> {
        self.places.get(numbers).copied()
    }

    /// Begins anew; gives how many entries there were.
    pub(crate) fn forget(&mut self) -> usize {
        let nodes = self.nodes.iter_mut().map(|node| {
            let values = std::mem::take(&mut node.by_value).len();
            std::mem::take(&mut node.by_node).len() + values
        });
        nodes.sum::<usize>() + std::mem::take(&mut self.places).len()
    }

    pub(crate) fn remember(&mut self, numbers: Numbers, place: usize) {
        self.places.insert(numbers, place);
    }
}
