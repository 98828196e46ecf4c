//! The horizon, which does not move while somebody reads behind it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::graph::commit::unpoisoned;

/// Where history begins, and how many read in it.
#[derive(Debug)]
pub(in crate::graph) struct Pins(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// The first entry that is kept.
    horizon: u64,
    /// Readers, by the horizon that they found.
    readers: BTreeMap<u64, usize>,
}

/// While it is there, the horizon does not move.
pub(in crate::graph) struct Pin<'a> {
    pins: &'a Pins,
    pub(in crate::graph) horizon: u64,
}

impl Pins {
    pub(in crate::graph) fn from(horizon: u64) -> Self {
        Self(Mutex::new(Held {
            horizon,
            readers: BTreeMap::new(),
        }))
    }

    pub(in crate::graph) fn horizon(&self) -> u64 {
        unpoisoned(&self.0).horizon
    }

    /// How many read, and from where on they need the log.
    pub(in crate::graph) fn readers(&self) -> Option<(u64, usize)> {
        let held = unpoisoned(&self.0);
        let first = held.readers.keys().next().copied()?;
        Some((first, held.readers.values().sum()))
    }

    pub(super) fn hold(&self) -> Pin<'_> {
        let mut held = unpoisoned(&self.0);
        let horizon = held.horizon;
        *held.readers.entry(horizon).or_default() += 1;
        Pin {
            pins: self,
            horizon,
        }
    }

    /// Moves the horizon up to `first`, unless somebody reads before that. Returns where it is then.
    pub(in crate::graph) fn move_horizon(&self, first: u64) -> Option<u64> {
        let mut held = unpoisoned(&self.0);
        if held
            .readers
            .keys()
            .next()
            .is_some_and(|reader| *reader < first)
        {
            return None;
        }
        held.horizon = held.horizon.max(first);
        Some(held.horizon)
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut held = unpoisoned(&self.pins.0);
        if let Some(count) = held.readers.get_mut(&self.horizon) {
            *count -= 1;
        }
        held.readers.retain(|_, count| *count > 0);
    }
}
