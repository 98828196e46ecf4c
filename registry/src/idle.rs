//! Which graphs stay open: those in use, and of the others the ones that were used last, as far as
//! memory and files go.
//!
//! A graph is in use while anybody but its slot has a handle on it: a reader, a writer, a fold. It is
//! closed under its slot's lock, so that whoever comes meanwhile waits and opens it again. Where graphs
//! in use take too much, columns go from memory that the disk has too, and those are folded whose log
//! holds most in memory.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use storage_engine::{Account, Graph};

use crate::config::OpenGraphs;
use crate::deleted::is_deleted;
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
    /// About how many bytes of memory those that are open take, with what statements hold of them.
    pub memory_bytes: u64,
    /// How many of those cannot leave while their graphs are open.
    pub memory_fixed_bytes: u64,
    /// How many they may take.
    pub memory_limit_bytes: u64,
}

/// The account of their memory, for which these handles make room.
pub(crate) fn account(budget: Budget, handles: &Weak<Handles>) -> Arc<Account> {
    let handles = handles.clone();
    let relieve = move |wanted| {
        let handles = handles.upgrade();
        handles.map_or(0, |handles| handles.make_room(wanted))
    };
    Arc::new(Account::new(budget.memory, relieve))
}

/// Bytes of memory that one open graph takes, or several.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    /// What cannot leave while it is open.
    fixed: u64,
    /// Columns that can leave and are not reserved.
    loose: u64,
    /// Those that are.
    reserved: u64,
    /// Of what is fixed, what could leave after a fold.
    unfolded: u64,
}

impl Taken {
    fn total(self) -> u64 {
        self.fixed + self.loose + self.reserved
    }

    fn sum(graphs: impl Iterator<Item = Self>) -> Self {
        graphs.fold(Self::default(), |sum, it| Self {
            fixed: sum.fixed + it.fixed,
            loose: sum.loose + it.loose,
            reserved: sum.reserved + it.reserved,
            unfolded: sum.unfolded + it.unfolded,
        })
    }
}

/// A graph that was open when it was looked at.
struct Open {
    folder: PathBuf,
    slot: Arc<Slot>,
    taken: Taken,
    idle: bool,
}

impl Open {
    fn used(&self) -> u64 {
        self.slot.used.load(Ordering::Relaxed)
    }

    /// The graph, if it is open for writing and nobody has its slot.
    fn written(&self) -> Option<Graph> {
        match self.slot.state.try_lock().as_deref() {
            Ok(State::Open(graph)) => Some(graph.clone()),
            _ => None,
        }
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

    fn taken(&self) -> Taken {
        let memory = match self {
            Self::Open(graph) => graph.memory(),
            Self::Following(follower) => follower.memory(),
            Self::Closed | Self::Broken(_) | Self::Withheld(_) => return Taken::default(),
        };
        Taken {
            fixed: GRAPH_BYTES + memory.total().saturating_sub(memory.loose) as u64,
            loose: memory.loose.saturating_sub(memory.reserved) as u64,
            reserved: memory.reserved as u64,
            unfolded: memory.unfolded as u64,
        }
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
            memory.set_limit(budget.memory);
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
        for graph in &open {
            // One whose fold failed may have nobody left who writes.
            if let Some(graph) = graph.written() {
                graph.fold_if_due();
            }
        }
        self.relieve(open, budget, 0);
        self.leave_deleted();
        self.forget_closed();
    }

    /// Lets go of graphs that are only read along here and were deleted meanwhile: whoever deleted them had
    /// nobody to ask for the writer lock.
    fn leave_deleted(&self) {
        for (folder, slot) in self.all_slots() {
            let Ok(mut state) = slot.state.try_lock() else {
                continue;
            };
            if !matches!(*state, State::Following(_)) {
                continue;
            }
            match is_deleted(self.state_folder(), &folder) {
                Ok(false) => {}
                // The next reader asks again, and is told what is so.
                Ok(true) => *state = State::Closed,
                Err(error) => {
                    tracing::warn!(%error, "it cannot be seen whether a graph was deleted");
                }
            }
        }
    }

    /// Closes what is too much now that one more was opened, or that so many bytes more are wanted, and
    /// gets rid of columns; says of how many bytes.
    pub(crate) fn make_room(&self, wanted: u64) -> u64 {
        self.relieve(self.open_graphs(), self.budget(), wanted)
    }

    /// Closes graphs, the one that was not used for longest first, until the others fit; and where that
    /// is not enough, gets rid of columns of those that are left, in the same order. Says of how many
    /// bytes it was rid.
    fn relieve(&self, mut open: Vec<Open>, budget: Budget, wanted: u64) -> u64 {
        let mut count = open.len() as u64;
        let mut bytes = Taken::sum(open.iter().map(|graph| graph.taken)).total();
        let mut freed = 0;
        open.sort_by_key(Open::used);
        open.retain(|graph| {
            let fits = count <= budget.graphs && bytes.saturating_add(wanted) <= budget.memory;
            if fits || !graph.idle || !self.close_idle(&graph.folder, &graph.slot) {
                return true;
            }
            count -= 1;
            bytes = bytes.saturating_sub(graph.taken.total());
            freed += graph.taken.total();
            false
        });
        let Some(account) = &self.options.memory else {
            return freed;
        };
        measure(account, &open);
        fold_heaviest(&open, budget.memory);
        let excess = account.excess(wanted);
        let mut evicted = 0;
        for graph in &mut open {
            if evicted >= excess {
                break;
            }
            let Ok(state) = graph.slot.state.try_lock() else {
                continue;
            };
            // Nobody who answers finds the slot busy for it.
            let open = match &*state {
                State::Open(graph) => State::Open(graph.clone()),
                State::Following(follower) => State::Following(follower.clone()),
                State::Closed | State::Broken(_) | State::Withheld(_) => continue,
            };
            drop(state);
            evicted += match &open {
                State::Open(graph) => graph.evict(excess - evicted),
                State::Following(follower) => follower.evict(excess - evicted),
                State::Closed | State::Broken(_) | State::Withheld(_) => 0,
            };
            graph.taken = open.taken();
        }
        if evicted > 0 {
            measure(account, &open);
        }
        freed + evicted
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
            let taken = state.taken();
            drop(state);
            Some(Open {
                folder,
                slot,
                taken,
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
        let mut taken = Taken::default();
        for (_, slot) in self.all_slots() {
            // One that is busy is being opened.
            let Ok(state) = slot.state.try_lock() else {
                continue;
            };
            tally.open += u64::from(state.is_idle().is_some());
            let broken = matches!(&*state, State::Broken(aside) if !aside.passes());
            tally.broken += u64::from(broken);
            taken = Taken::sum([taken, state.taken()].into_iter());
        }
        // Statements hold columns that graphs are rid of.
        let account = self.options.memory.as_ref();
        taken.reserved = account.map_or(taken.reserved, |account| account.reserved());
        tally.memory_bytes = taken.total();
        tally.memory_fixed_bytes = taken.fixed;
        tally
    }
}

/// Begins folds, of the graphs first that have most to fold, until what cannot leave memory will fit. What
/// they put into tables leaves it when room is made next.
fn fold_heaviest(open: &[Open], limit: u64) {
    let fixed = Taken::sum(open.iter().map(|graph| graph.taken)).fixed;
    let mut over = fixed.saturating_sub(limit);
    let mut heaviest: Vec<&Open> = open.iter().collect();
    heaviest.sort_by_key(|graph| Reverse(graph.taken.unfolded));
    for graph in heaviest {
        if over == 0 || graph.taken.unfolded == 0 {
            break;
        }
        if graph.written().is_some_and(|graph| graph.fold_early()) {
            over = over.saturating_sub(graph.taken.unfolded);
        }
    }
}

fn measure(account: &Account, open: &[Open]) {
    let taken = Taken::sum(open.iter().map(|graph| graph.taken));
    account.measured(taken.fixed, taken.loose);
}
