//! The turn to change the config file: one thread of this process, then one process.
//!
//! Threads queue here for their process's turn, so that only one at a time polls for the file lock. One
//! deadline bounds both waits together, whoever waits before.
//!
//! The order in which waiting threads are served is the system's.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Error;
use crate::config::lock::ConfigLock;
use crate::registry::Registry;

/// Whose turn it is within this process.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    taken: Mutex<bool>,
    free: Condvar,
}

/// The turn of this process, until dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Queue);

/// The turn and the lock, until dropped: the lock goes first.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    _lock: ConfigLock,
    _turn: Turn<'a>,
}

impl Queue {
    /// The turn, when nobody has it.
    pub(crate) fn try_take(&self) -> Option<Turn<'_>> {
        self.take(Duration::ZERO)
    }

    /// The turn, when it comes within this time.
    fn take(&self, patience: Duration) -> Option<Turn<'_>> {
        let waited = self
            .free
            .wait_timeout_while(self.taken(), patience, |taken| *taken);
        let (mut taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *taken {
            return None;
        }
        *taken = true;
        Some(Turn(self))
    }

    fn taken(&self) -> MutexGuard<'_, bool> {
        // A word cannot be half written.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.taken() = false;
        self.0.free.notify_one();
    }
}

impl Registry {
    /// This process's turn and the file's lock, both within [`crate::Options::lock_patience`].
    pub(crate) fn lock(&self) -> Result<Locked<'_>, Error> {
        if !self.file().is_on_disk() {
            return Err(Error::NoFile);
        }
        let begun = Instant::now();
        let patience = self.options().lock_patience;
        let turn = self
            .queue
            .take(patience)
            .ok_or_else(|| Error::LockTimeout {
                waited: begun.elapsed(),
                source: None,
            })?;
        let left = patience.saturating_sub(begun.elapsed());
        let lock = ConfigLock::acquire(&self.file().state_folder(), left)?;
        Ok(Locked {
            _lock: lock,
            _turn: turn,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turn_goes_round_and_waiting_for_it_ends() {
        let queue = Queue::default();
        let first = queue.try_take().expect("free");
        assert!(queue.try_take().is_none());
        let begun = Instant::now();
        assert!(queue.take(Duration::from_millis(50)).is_none());
        assert!((50..5_000).contains(&begun.elapsed().as_millis()));
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| queue.take(Duration::from_secs(10)).is_some()))
                .collect();
            std::thread::sleep(Duration::from_millis(20));
            drop(first);
            for waiting in waiting {
                assert!(waiting.join().expect("no panic"));
            }
        });
        assert!(queue.try_take().is_some(), "given back");
    }
}
