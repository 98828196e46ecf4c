//! What graphs take in memory together: one account for all graphs and statements of a process.
//!
//! What an open graph cannot do without (ids, ends, keys, links, changes) is measured now and then by who
//! opens and closes graphs. A column that is read from its table stands in memory by a [`Reservation`],
//! which is made before it is read and ends when nobody holds the column any more: neither the graph's
//! newest snapshot nor a statement on an older one. So it is counted once however many hold it, and
//! counted as long as it is there.
//!
//! Who finds no room asks for relief, which is the work of a thread beside: one at a time for the whole
//! account, and not in one go with the next.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::aside;

/// Between two reliefs there is so much time at least.
const PAUSE: Duration = Duration::from_millis(20);

/// The same after one that has found nothing to be rid of.
const LONG_PAUSE: Duration = Duration::from_millis(200);

/// A part of the room, one in so many, is made beyond what is asked for, so that the next does not ask again
/// at once.
const SPARE: u64 = 8;

/// Columns may always take one in so many bytes of the limit, however much there is that cannot leave:
/// graphs go on answering.
const LEAST: u64 = 4;

/// What graphs may hold in memory together, and what they hold.
pub struct Account {
    limit: AtomicU64,
    /// What cannot leave while its graph is open, when it was last measured.
    fixed: AtomicU64,
    /// Columns that have no reservation and can leave, when they were last measured: graphs were opened
    /// with them, or folds have made them.
    loose: AtomicU64,
    /// All reservations.
    reserved: AtomicU64,
    /// That too much cannot leave has been said.
    warned: AtomicBool,
    relief: Mutex<Relief>,
    /// A relief has ended, or a reservation.
    changed: Condvar,
    relieve: Box<dyn Fn(u64) -> u64 + Send + Sync>,
}

/// The work of the thread beside.
#[derive(Debug, Default)]
struct Relief {
    /// There is a thread.
    working: bool,
    /// What was asked for since it looked last.
    wanted: Option<u64>,
}

impl Account {
    /// So many bytes. `relieve` is called, on a thread of its own and never twice at once, when there is
    /// no room for so many bytes more: it may [evict](crate::Graph::evict) columns of any graph, at
    /// least [as many bytes](Account::excess) as are too many, [measures](Account::measured) what is
    /// left, and says how many bytes it was rid of.
    pub fn new(limit: u64, relieve: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Self {
        Self {
            limit: AtomicU64::new(limit),
            fixed: AtomicU64::new(0),
            loose: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            warned: AtomicBool::new(false),
            relief: Mutex::default(),
            changed: Condvar::new(),
            relieve: Box::new(relieve),
        }
    }

    /// How many bytes graphs may hold.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// So many bytes from now on.
    pub fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of columns that were read because somebody needed them and that somebody holds: the newest
    /// snapshot of their graph or a statement on an older one.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }

    /// Takes in what was measured: bytes that cannot leave while the graphs are open, and bytes of
    /// columns that can and that have no reservation. Says once when the former are too many.
    pub fn measured(&self, fixed: u64, loose: u64) {
        self.fixed.store(fixed, Ordering::Relaxed);
        self.loose.store(loose, Ordering::Relaxed);
        let limit = self.limit();
        let over = fixed > limit;
        if over && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                bytes = fixed,
                limit,
                "what graphs in use cannot do without is more than open graphs may take"
            );
        }
        if !over {
            self.warned.store(false, Ordering::Relaxed);
        }
    }

    /// Whether what cannot leave was too much when it was last measured.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.fixed.load(Ordering::Relaxed) > self.limit()
    }

    /// What all columns that can leave may take together.
    pub(crate) fn room(&self) -> u64 {
        let limit = self.limit();
        let left = limit.saturating_sub(self.fixed.load(Ordering::Relaxed));
        left.max(limit / LEAST)
    }

    /// What they take.
    fn taken(&self) -> u64 {
        let loose = self.loose.load(Ordering::Relaxed);
        self.reserved().saturating_add(loose)
    }

    /// How many bytes of columns are too many, if so many more were wanted; and then some more, so that it
    /// is not asked again at once.
    #[must_use]
    pub fn excess(&self, wanted: u64) -> u64 {
        let room = self.room();
        match self.taken().saturating_add(wanted).saturating_sub(room) {
            0 => 0,
            over => over.saturating_add(room / SPARE),
        }
    }

    /// Whether columns take more than half of their room: who begins now should not hold what he does not
    /// need.
    pub(crate) fn is_tight(&self) -> bool {
        self.taken() > self.room() / 2
    }

    /// Reserves so many bytes, if there is room.
    fn add(&self, bytes: u64) -> bool {
        let (room, loose) = (self.room(), self.loose.load(Ordering::Relaxed));
        let more = |reserved: u64| {
            let reserved = reserved.checked_add(bytes)?;
            (reserved.saturating_add(loose) <= room).then_some(reserved)
        };
        let order = (Ordering::AcqRel, Ordering::Acquire);
        self.reserved.fetch_update(order.0, order.1, more).is_ok()
    }

    /// Asks for room for so many bytes, which a thread beside makes if it can.
    pub(crate) fn ask(self: &Arc<Self>, bytes: u64) {
        let mut relief = self.relief();
        relief.wanted = Some(relief.wanted.unwrap_or(0).max(bytes));
        if relief.working {
            return;
        }
        relief.working = true;
        drop(relief);
        let worker = Working {
            account: self.clone(),
            done: false,
        };
        // It closes graphs, for which others wait: not nicer than they, whoever has asked.
        aside::usually(move || {
            let started = thread::Builder::new()
                .name("trellis-memory".to_owned())
                .spawn(move || worker.run());
            if let Err(error) = started {
                tracing::error!(%error, "no thread can be started that makes room in memory");
            }
        });
    }

    /// Waits until there may be more room, or it is that time.
    pub(crate) fn wait(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        // A release that comes a moment too early is not missed for long.
        let waited = self.changed.wait_timeout(self.relief(), left.min(PAUSE));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn relief(&self) -> MutexGuard<'_, Relief> {
        // It is never half changed.
        self.relief.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("limit", &self.limit)
            .field("fixed", &self.fixed)
            .field("loose", &self.loose)
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}

/// The thread beside; the next may be started when this is gone, however it ends.
struct Working {
    account: Arc<Account>,
    /// Another may have been started since.
    done: bool,
}

impl Working {
    #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
    fn run(mut self) {
        while let Some(wanted) = self.next() {
            let freed = (self.account.relieve)(wanted);
            self.account.changed.notify_all();
            thread::sleep(if freed > 0 { PAUSE } else { LONG_PAUSE });
        }
    }

    /// What was asked for; when nothing was, it is done.
    fn next(&mut self) -> Option<u64> {
        let mut relief = self.account.relief();
        let wanted = relief.wanted.take();
        if wanted.is_none() {
            // Under the lock: who asks from now on starts another.
            relief.working = false;
            self.done = true;
        }
        wanted
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!("a defect: making room in memory panicked");
        }
        if !self.done {
            self.account.relief().working = false;
        }
    }
}

/// Room in memory that is taken until this is dropped; without an account of no meaning.
#[derive(Debug)]
pub(crate) struct Reservation {
    account: Option<Arc<Account>>,
    bytes: u64,
}

impl Reservation {
    /// One of no account.
    pub(crate) fn free() -> Self {
        Self {
            account: None,
            bytes: 0,
        }
    }

    /// Nothing yet, which may grow.
    pub(crate) fn of(account: Option<&Arc<Account>>) -> Self {
        Self {
            account: account.cloned(),
            bytes: 0,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Has so many bytes at least, if there is room.
    pub(crate) fn at_least(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let added = match &self.account {
            Some(account) => more == 0 || account.add(more),
            None => true,
        };
        if added {
            self.bytes += more;
        }
        added
    }

    /// Has so many bytes at least, whether there is room or not.
    pub(crate) fn at_least_anyway(&mut self, bytes: u64) {
        let more = bytes.saturating_sub(self.bytes);
        if let Some(account) = &self.account {
            account.reserved.fetch_add(more, Ordering::AcqRel);
        }
        self.bytes += more;
    }

    /// A part of it by itself, of so many bytes.
    pub(crate) fn split(&mut self, bytes: u64) -> Self {
        self.at_least_anyway(bytes);
        self.bytes -= bytes;
        Self {
            account: self.account.clone(),
            bytes,
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(account) = &self.account
            && self.bytes > 0
        {
            account.reserved.fetch_sub(self.bytes, Ordering::AcqRel);
            account.changed.notify_all();
        }
    }
}
