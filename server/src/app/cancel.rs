//! Stopping what nobody waits for any more.
//!
//! Each running statement has a flag that the executor looks at. [`CancelOnDrop`] sets it when the
//! caller goes away; [`Cancellations`] sets all of them when the server must end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Sets its flag when it is dropped, which is harmless after the statement has ended.
pub(crate) struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The flags of everything that runs.
#[derive(Default)]
pub(crate) struct Cancellations(Mutex<Vec<Weak<AtomicBool>>>);

impl Cancellations {
    /// A new flag, and what sets it when the caller goes away.
    pub(crate) fn begin(&self) -> (Arc<AtomicBool>, CancelOnDrop) {
        let flag = Arc::new(AtomicBool::new(false));
        let mut flags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flags.retain(|known| known.strong_count() > 0);
        flags.push(Arc::downgrade(&flag));
        (flag.clone(), CancelOnDrop(flag))
    }

    /// Sets every flag; returns how many statements were still running.
    pub(crate) fn cancel_all(&self) -> usize {
        let flags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = flags.iter().filter_map(Weak::upgrade);
        running
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
}
