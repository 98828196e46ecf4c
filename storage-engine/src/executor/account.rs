//! What the threads of a statement hold, in bytes, against its limit.
//!
//! Each thread takes bytes from what all have in common, a little more than it needs at once, so that it
//! rarely has to; near the limit it takes what it needs and no more, so that for one thread the limit is exact.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are taken at once, and kept free at most twice over.
const ADVANCE: usize = 8 << 10;

/// What one thread holds.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) used: Cell<usize>,
    /// Taken from the common ones: at least as many as are used.
    taken: Cell<usize>,
    common: Arc<AtomicUsize>,
}

impl Account {
    /// That of another thread of the same statement.
    pub(super) fn beside(&self) -> Self {
        Self {
            common: self.common.clone(),
            used: Cell::default(),
            taken: Cell::default(),
        }
    }

    /// Takes bytes; says whether there were enough. They are taken all the same.
    pub(super) fn charge(&self, bytes: usize, limit: usize) -> bool {
        let used = self.used.get().saturating_add(bytes);
        self.used.set(used);
        let short = used.saturating_sub(self.taken.get());
        if short == 0 {
            return true;
        }
        let wanted = short.saturating_add(ADVANCE);
        let before = self.common.fetch_add(wanted, Ordering::Relaxed);
        if before.saturating_add(wanted) <= limit {
            self.taken.set(self.taken.get().saturating_add(wanted));
            return true;
        }
        self.common.fetch_sub(ADVANCE, Ordering::Relaxed);
        self.taken.set(used);
        before.saturating_add(short) <= limit
    }

    pub(super) fn release(&self, bytes: usize) {
        let used = self.used.get().saturating_sub(bytes);
        self.used.set(used);
        let free = self.taken.get().saturating_sub(used);
        if free > 2 * ADVANCE {
            self.taken.set(used + ADVANCE);
            self.common.fetch_sub(free - ADVANCE, Ordering::Relaxed);
        }
    }

    /// What all threads have taken.
    pub(super) fn total(&self) -> usize {
        let free = self.taken.get().saturating_sub(self.used.get());
        self.common.load(Ordering::Relaxed).saturating_sub(free)
    }

    /// No other thread is left: what none has taken over is free.
    pub(super) fn settle(&self) {
        self.common.store(self.taken.get(), Ordering::Relaxed);
    }

    /// Leaves bytes to another thread, which takes them over.
    pub(super) fn hand_over(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_sub(bytes));
        self.taken.set(self.taken.get().saturating_sub(bytes));
    }

    pub(super) fn take_over(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_add(bytes));
        self.taken.set(self.taken.get().saturating_add(bytes));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.common.fetch_sub(self.taken.get(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_exact_for_one_and_shared_by_several() {
        let limit = 100_000;
        let one = Account::default();
        assert!(one.charge(60_000, limit) && one.charge(39_999, limit) && one.charge(1, limit));
        assert_eq!(one.total(), limit);
        let other = one.beside();
        assert!(!other.charge(1, limit) && !one.charge(1, limit));
    }

    #[test]
    fn what_is_given_back_can_be_had_by_others() {
        let limit = 100_000;
        let one = Account::default();
        let other = one.beside();
        assert!(one.charge(90_000, limit));
        assert!(!other.charge(20_000, limit));
        other.release(20_000);
        one.release(80_000);
        assert!(other.charge(50_000, limit));
        other.hand_over(50_000);
        drop(other);
        one.take_over(50_000);
        assert!(one.total() >= 60_000);
        one.release(60_000);
        assert!(one.total() <= 2 * ADVANCE);
    }
}
