//! Which graphs stay open: those in use, and of the others the ones that were used last, as far as
//! memory and files go.
//!
//! A graph is in use while anybody but its slot has a handle on it: a reader, a writer, a fold. It is
//! closed under its slot's lock, so that whoever comes meanwhile waits and opens it again. Where graphs
//! in use take too much, columns go from memory that the disk has too.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use storage_engine::MemoryBudget;

use crate::config::OpenGraphs;
use crate::handle::{Handles, Slot, State, shut};
use crate::machine;

/// Memory that an open graph takes beside what it says itself: its log, its locks, its buffers.
const GRAPH_BYTES: u64 = 128 << 10;

/// Files that an open graph has open: its lock and its log, and some while it is folded.
const GRAPH_FILES: u64 = 4;

/// What open graphs may take together when neither the file nor the machine says.
const MEMORY_BYTES: u64 = 1 << 30;
const GRAPHS: u64 = 128;

/// What open graphs may take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// How many there may be.
    pub(crate) graphs: u64,
    /// How long one stays open that nobody uses.
    pub(crate) idle: Duration,
}

impl Budget {
    /// As the file says; else half of the machine's memory and half of the files that may be open.
    pub(crate) fn of(config: &OpenGraphs) -> Self {
        let of_machine = || machine::memory_bytes().map_or(MEMORY_BYTES, |bytes| bytes / 2);
        let of_files = || {
            let files = machine::open_files();
            files.map_or(GRAPHS, |files| (files / 2 / GRAPH_FILES).max(1))
        };
        Self {
            memory: config.memory_bytes.map_or_else(of_machine, u64::from),
            graphs: config.count.map_or_else(of_files, u64::from),
            idle: Duration::from_secs(config.idle.seconds()),
        }
    }
}

/// Open graphs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many are open.
    pub open: u64,
    /// How many were set aside.
    pub broken: u64,
    /// About how many bytes of memory those that are open take.
    pub memory_bytes: u64,
    /// How many they may take.
    pub memory_limit_bytes: u64,
}

/// The same for the engine, which has these handles see to it.
pub(crate) fn memory(budget: Budget, handles: &Weak<Handles>) -> Arc<MemoryBudget> {
    let handles = handles.clone();
    let relieve = move || {
        if let Some(handles) = handles.upgrade() {
            handles.make_room();
        }
    };
    Arc::new(MemoryBudget::new(budget.memory, relieve))
}

/// A graph that was open when it was looked at.
struct Open {
    folder: PathBuf,
    slot: Arc<Slot>,
    bytes: u64,
    idle: bool,
}

impl Open {
    fn used(&self) -> u64 {
        self.slot.used.load(Ordering::Relaxed)
    }
}

impl State {
    /// Whether nobody uses the graph, which is open; `None` when it is not.
    fn is_idle(&self) -> Option<bool> {
        match self {
            Self::Open(graph) => Some(graph.is_idle()),
            Self::Following(follower) => Some(follower.is_idle()),
            Self::Closed | Self::Broken(_) | Self::Withheld(_) => None,
        }
    }

    fn bytes(&self) -> u64 {
        let memory = match self {
            Self::Open(graph) => graph.memory(),
            Self::Following(follower) => follower.memory(),
            Self::Closed | Self::Broken(_) | Self::Withheld(_) => return 0,
        };
        GRAPH_BYTES + memory.total() as u64
    }
}

impl Handles {
    /// What open graphs may take together.
    pub(crate) fn budget(&self) -> Budget {
        *self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What they may take from now on.
    pub(crate) fn set_budget(&self, budget: Budget) {
        *self.budget.lock().unwrap_or_else(PoisonError::into_inner) = budget;
        if let Some(memory) = &self.options.memory {
            memory.set(budget.memory);
        }
    }

    /// Milliseconds since the handles were made.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Closes graphs that were not used for long, and those that were not used for longest while open
    /// graphs take too much. To be called every now and then. Blocks.
    pub(crate) fn tend(&self) {
        let budget = self.budget();
        let now = self.now();
        let idle = u64::try_from(budget.idle.as_millis()).unwrap_or(u64::MAX);
        let (forgotten, open): (Vec<Open>, Vec<Open>) = self
            .open_graphs()
            .into_iter()
            .partition(|it| it.idle && now.saturating_sub(it.used()) >= idle);
        for graph in forgotten {
            self.close_idle(&graph.folder, &graph.slot);
        }
        self.relieve(open, budget);
        self.forget_closed();
    }

    /// Closes what is too much now that one more was opened, or has come to take more.
    pub(crate) fn make_room(&self) {
        self.relieve(self.open_graphs(), self.budget());
    }

    /// Closes graphs, the one that was not used for longest first, until the others fit; and where that
    /// is not enough, gets rid of columns of those that are left, in the same order.
    fn relieve(&self, mut open: Vec<Open>, budget: Budget) {
        let mut count = open.len() as u64;
        let mut bytes: u64 = open.iter().map(|graph| graph.bytes).sum();
        open.sort_by_key(Open::used);
        for graph in open.iter().filter(|graph| graph.idle) {
            if count <= budget.graphs && bytes <= budget.memory {
                return;
            }
            if self.close_idle(&graph.folder, &graph.slot) {
                count -= 1;
                bytes = bytes.saturating_sub(graph.bytes);
            }
        }
        for graph in &open {
            let over = bytes.saturating_sub(budget.memory);
            if over == 0 {
                return;
            }
            let state = graph.slot.state.try_lock();
            let Ok(State::Open(open)) = state.as_deref() else {
                continue;
            };
            let open = open.clone();
            drop(state);
            bytes = bytes.saturating_sub(open.evict(over));
        }
    }

    /// Closes a graph that is open, unless it is used by now; says whether it did.
    fn close_idle(&self, folder: &Path, slot: &Slot) -> bool {
        // Somebody who has the lock is about to use it.
        let Ok(mut state) = slot.state.try_lock() else {
            return false;
        };
        if state.is_idle() != Some(true) {
            return false;
        }
        tracing::debug!(folder = %folder.display(), "an idle graph is closed");
        shut(folder, std::mem::take(&mut *state));
        true
    }

    /// All that are open. One whose slot is busy is being opened or closed.
    fn open_graphs(&self) -> Vec<Open> {
        let now = self.now();
        let look = |(folder, slot): (PathBuf, Arc<Slot>)| {
            let state = slot.state.try_lock().ok()?;
            let idle = state.is_idle()?;
            if !idle {
                // It is used until now, however long ago that began.
                slot.used.store(now, Ordering::Relaxed);
            }
            let bytes = state.bytes();
            drop(state);
            Some(Open {
                folder,
                slot,
                bytes,
                idle,
            })
        };
        self.all_slots().into_iter().filter_map(look).collect()
    }

    fn all_slots(&self) -> Vec<(PathBuf, Arc<Slot>)> {
        let slots = self.slots();
        let slots = slots.iter().flatten();
        slots
            .map(|(folder, slot)| (folder.clone(), slot.clone()))
            .collect()
    }

    /// Leaves nothing behind of graphs that are closed.
    fn forget_closed(&self) {
        if let Some(slots) = self.slots().as_mut() {
            slots.retain(|_, slot| {
                // Nobody gets another one while the slots are locked.
                let alone = Arc::strong_count(slot) == 1;
                !alone || !matches!(slot.state.try_lock().as_deref(), Ok(State::Closed))
            });
        }
    }

    /// What is open, and what it takes.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally {
            memory_limit_bytes: self.budget().memory,
            ..Tally::default()
        };
        for (_, slot) in self.all_slots() {
            // One that is busy is being opened.
            let Ok(state) = slot.state.try_lock() else {
                continue;
            };
            tally.open += u64::from(state.is_idle().is_some());
            let broken = matches!(&*state, State::Broken(aside) if !aside.passes());
            tally.broken += u64::from(broken);
            tally.memory_bytes += state.bytes();
        }
        tally
    }
}
