//! The threads that statements may have beside the one that each is run on: as many as there are further
//! cores, for all statements of the process together. Who comes first has them; a statement that finds
//! none runs on its own thread alone, so that nobody waits for another, and however many long statements
//! there are, they add no more threads than the machine has cores.

use std::num::NonZero;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many cores there are beside the first.
static FURTHER: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, NonZero::get) - 1);

/// How many of them are lent.
static LENT: AtomicUsize = AtomicUsize::new(0);

/// Threads for one statement, its own included; given back when dropped.
#[derive(Debug)]
pub(crate) struct Cores(usize);

impl Cores {
    /// At most `most` threads.
    pub(crate) fn lend(most: usize) -> Self {
        let wanted = most.saturating_sub(1).min(*FURTHER);
        let mut got = 0;
        // An error says that none are left.
        let _ = LENT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lent| {
            got = wanted.min(FURTHER.saturating_sub(lent));
            (got > 0).then_some(lent + got)
        });
        Self(got)
    }

    /// How many threads may work.
    pub(crate) const fn threads(&self) -> usize {
        self.0 + 1
    }
}

/// How many threads statements have beside their own.
pub(crate) fn lent() -> usize {
    LENT.load(Ordering::Relaxed)
}

impl Drop for Cores {
    fn drop(&mut self) {
        LENT.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_lent_than_there_are() {
        let all = Cores::lend(usize::MAX);
        assert_eq!(all.threads(), *FURTHER + 1);
        assert_eq!(Cores::lend(8).threads(), 1);
        drop(all);
        assert_eq!(Cores::lend(2).threads(), 2.min(*FURTHER + 1));
        assert_eq!(Cores::lend(0).threads(), 1);
    }
}
