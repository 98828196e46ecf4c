//! From a key to the node that has it.
//!
//! The key of a type with a declared key is its properties; else it is the identity that was given
//! or made. The index of a base holds hashes and places, no keys: a hit is verified against the
//! columns.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use language::value::{GroupKey, Value};
use rpds::HashTrieMapSync;
use rustc_hash::FxHasher;

use crate::columns::Layout;
use crate::rows::{Base, Row, Rows};

/// Keys of the nodes of one type.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    base: Arc<[(u64, u32)]>,
    /// Keys set (the id) or freed (`None`) since the base.
    changes: HashTrieMapSync<GroupKey, Option<u64>>,
}

impl Keys {
    pub(crate) fn of_base(layout: &Layout, base: &Base) -> Self {
        let mut entries: Vec<(u64, u32)> = (0..base.len())
            .map(|slot| {
                let place = u32::try_from(slot).unwrap_or(u32::MAX);
                (hash(&base_key(layout, base, slot)), place)
            })
            .collect();
        entries.sort_unstable();
        Self {
            base: entries.into(),
            changes: HashTrieMapSync::new_sync(),
        }
    }

    /// The node with this key.
    pub(crate) fn get(&self, rows: &Rows, key: &[Value]) -> Option<u64> {
        let key = Value::group_key_of(key);
        if let Some(changed) = self.changes.get(&key) {
            return *changed;
        }
        let hash = hash(&key);
        let start = self.base.partition_point(|(other, _)| *other < hash);
        self.base
            .get(start..)?
            .iter()
            .take_while(|(other, _)| *other == hash)
            .map(|(_, slot)| *slot as usize)
            .find(|slot| base_key(&rows.layout, &rows.base, *slot) == key)
            .map(|slot| rows.base.id(slot))
    }

    /// Notes that `row` is there, or gone.
    pub(crate) fn put(&mut self, layout: &Layout, row: &Row, id: Option<u64>) {
        self.changes
            .insert_mut(Value::group_key_of(&key_of(layout, row)), id);
    }
}

/// The key of a row: its key properties, or its identity.
pub(crate) fn key_of(layout: &Layout, row: &Row) -> Vec<Value> {
    if layout.key.is_empty() {
        return vec![row.identity.clone().map_or(Value::Null, Value::String)];
    }
    let value = |position: &usize| row.values.get(*position).cloned().unwrap_or(Value::Null);
    layout.key.iter().map(value).collect()
}

fn base_key(layout: &Layout, base: &Base, slot: usize) -> GroupKey {
    if layout.key.is_empty() {
        return base
            .identity(slot)
            .map_or(Value::Null, Value::string)
            .group_key();
    }
    let values: Vec<Value> = layout
        .key
        .iter()
        .map(|position| base.value(slot, *position))
        .collect();
    Value::group_key_of(&values)
}

fn hash(key: &GroupKey) -> u64 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}
