//! Everybody who is connected, and who makes room for others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A connection that did something within this time is not asked to make room.
const FRESH: Duration = Duration::from_secs(1);

/// Everybody who is connected.
#[derive(Default)]
pub(super) struct Crowd {
    next: AtomicU64,
    present: Mutex<HashMap<u64, Arc<Presence>>>,
}

/// One connection, as the others see it.
pub(super) struct Presence {
    begun: Instant,
    /// When something was last read or written, in milliseconds since then.
    last: AtomicU64,
    pub(super) leave: Notify,
}

/// A place in the crowd, given up when dropped.
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    pub(super) number: u64,
    pub(super) presence: Arc<Presence>,
}

impl Crowd {
    pub(super) fn enter(self: &Arc<Self>) -> Seat {
        let presence = Arc::new(Presence {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            leave: Notify::new(),
        });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.present().insert(number, presence.clone());
        Seat {
            crowd: self.clone(),
            number,
            presence,
        }
    }

    /// Asks as many to end, those that did nothing for the longest time, if that is long enough.
    pub(super) fn make_room(&self, places: usize) {
        let mut present = self.present();
        let idle = present
            .iter()
            .map(|(number, presence)| (presence.idle(), *number));
        let mut idle: Vec<_> = idle.filter(|(idle, _)| *idle >= FRESH).collect();
        if places < idle.len() {
            idle.select_nth_unstable_by(places, |one, other| other.cmp(one));
            idle.truncate(places);
        }
        for (_, number) in idle {
            if let Some(presence) = present.remove(&number) {
                presence.leave.notify_one();
            }
        }
    }

    fn present(&self) -> MutexGuard<'_, HashMap<u64, Arc<Presence>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    pub(super) fn touch(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn idle(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.present().remove(&self.number);
    }
}
