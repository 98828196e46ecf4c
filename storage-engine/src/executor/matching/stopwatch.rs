//! How long each step of a `MATCH` takes by itself, when a statement is profiled.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// One at a time of a number of steps is timed.
pub(crate) struct Stopwatch {
    /// Of each step, and at the end of whatever is none.
    times: Vec<Cell<Duration>>,
    current: Cell<usize>,
    since: Cell<Instant>,
}

impl Stopwatch {
    pub(crate) fn new(steps: usize) -> Self {
        Self {
            times: vec![Cell::default(); steps + 1],
            current: Cell::new(steps),
            since: Cell::new(Instant::now()),
        }
    }

    /// From now on it is this step's time; gives the step whose time it was.
    pub(crate) fn switch(&self, step: usize) -> usize {
        let now = Instant::now();
        let before = self.current.replace(step);
        let elapsed = now - self.since.replace(now);
        if let Some(time) = self.times.get(before) {
            time.update(|time| time + elapsed);
        }
        before
    }

    /// How long it was this step's.
    pub(crate) fn time(&self, step: usize) -> Duration {
        self.times.get(step).map_or(Duration::ZERO, Cell::get)
    }
}
