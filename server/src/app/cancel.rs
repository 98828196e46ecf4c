//! Stopping what nobody waits for any more.
//!
//! Each running statement has a flag that the executor looks at. [`CancelOnDrop`] sets it when the
//! caller goes away; [`Cancellations`] sets all of them when the server must end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// So many flags are kept without looking whether they are still needed.
const FEW: usize = 16;

/// Sets its flag when it is dropped, which is harmless after the statement has ended.
pub(crate) struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The flags of everything that runs.
#[derive(Default)]
pub(crate) struct Cancellations(Mutex<Flags>);

#[derive(Default)]
struct Flags {
    flags: Vec<Weak<AtomicBool>>,
    /// How many there may be before those of what has ended are left out.
    room: usize,
}

impl Cancellations {
    /// A new flag, and what sets it when the caller goes away.
    pub(crate) fn begin(&self) -> (Arc<AtomicBool>, CancelOnDrop) {
        let flag = Arc::new(AtomicBool::new(false));
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked through once in as many times as there are flags: what runs costs a beginner nothing.
        if running.flags.len() >= running.room {
            running.flags.retain(|known| known.strong_count() > 0);
            running.room = 2 * running.flags.len() + FEW;
        }
        running.flags.push(Arc::downgrade(&flag));
        drop(running);
        (flag.clone(), CancelOnDrop(flag))
    }

    /// Sets every flag; returns how many statements were still running.
    pub(crate) fn cancel_all(&self) -> usize {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let flags = running.flags.iter().filter_map(Weak::upgrade);
        flags
            .map(|flag| flag.store(true, Ordering::Release))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_set_when_the_caller_or_the_server_goes() {
        let running = Cancellations::default();
        let (first, guard) = running.begin();
        assert!(!first.load(Ordering::Acquire));
        drop(guard);
        assert!(first.load(Ordering::Acquire));
        drop(first);
        let (second, _guard) = running.begin();
        assert_eq!(running.cancel_all(), 1);
        assert!(second.load(Ordering::Acquire));
    }

    #[test]
    fn what_has_ended_is_left_out() {
        let running = Cancellations::default();
        let kept: Vec<_> = (0..100).map(|_| running.begin()).collect();
        for _ in 0..10_000 {
            drop(running.begin());
        }
        assert!(running.0.lock().expect("sound").flags.len() <= 2 * 101 + FEW);
        assert_eq!(running.cancel_all(), 100);
        assert!(kept.iter().all(|(flag, _)| flag.load(Ordering::Acquire)));
    }
}
