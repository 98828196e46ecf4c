//! Graphs that could not be opened: why, and when they are tried again. Each failure doubles the wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::Permit;
use storage_engine::OpenError;

use crate::handle::{Handles, State};
use crate::refusal::{HandleError, WrongPermit, with_causes};
use crate::{GraphId, Registration, Registry};

/// How long a graph is left alone after it could not be opened for the first time, and at most.
const DAMAGED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// The same of one that could not be reached.
const UNREACHED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// A graph that could not be opened.
#[derive(Debug)]
pub(crate) struct SetAside {
    pub(crate) error: Arc<OpenError>,
    since: Instant,
    wait: Duration,
}

impl SetAside {
    /// It failed, after it stood like this.
    pub(crate) fn after(state: &State, error: Arc<OpenError>) -> Self {
        let passes = error.is_passing();
        let (first, longest) = if passes { UNREACHED } else { DAMAGED };
        let wait = match state {
            State::Broken(before) if before.passes() == passes => {
                (before.wait * 2).clamp(first, longest)
            }
            _ => first,
        };
        Self {
            error,
            since: Instant::now(),
            wait,
        }
    }

    /// It could not be reached, which says nothing of what is in it.
    pub(crate) fn passes(&self) -> bool {
        self.error.is_passing()
    }

    /// What those are told who come before it is due.
    pub(crate) fn refusal(&self, registration: &Registration) -> HandleError {
        let after = self.wait.saturating_sub(self.since.elapsed());
        let source = self.error.clone();
        match self.passes() {
            true => HandleError::NotNow {
                after: Some(after),
                source,
            },
            false => HandleError::Broken {
                told: registration.uri.told(with_causes(self.error.as_ref())),
                after,
                source,
            },
        }
    }

    /// Whether it is to be tried again.
    pub(crate) fn is_due(&self) -> bool {
        self.since.elapsed() >= self.wait
    }
}

impl Registry {
    /// Opens every graph, and says which cannot be used and why, by id. Nothing comes out of any, so that it
    /// needs no permit. Blocks.
    #[must_use]
    pub fn open_all(&self) -> Vec<(GraphId, String)> {
        let snapshot = self.snapshot();
        let graphs = snapshot.graphs.values();
        let reason = |graph: &Registration| match graph.broken_policy() {
            Some(reason) => Some(reason.to_owned()),
            None => self
                .handles()
                .attempt(graph)
                .err()
                .map(|error| with_causes(&error)),
        };
        graphs
            .filter_map(|graph| Some((graph.graph_id.clone(), reason(graph)?)))
            .collect()
    }
}

impl Handles {
    fn attempt(&self, registration: &Registration) -> Result<(), HandleError> {
        let slot = self.slot_of(registration.uri.canonical());
        let slot = slot.ok_or(HandleError::Closed)?;
        self.open_in(slot.state(), registration).map(|_| ())
    }

    /// Opens the graph now if it was set aside.
    pub(crate) fn retry(
        &self,
        permit: &Permit,
        registration: &Registration,
    ) -> Result<(), HandleError> {
        WrongPermit::unless(permit.allows_writing(), permit)?;
        if let Some(slot) = self.slot_of(registration.uri.canonical()) {
            let mut state = slot.state();
            if let State::Broken(broken) = &mut *state {
                broken.wait = Duration::ZERO;
            }
        }
        self.source(permit, registration).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait() {
        let damaged = || OpenError::Unfinished;
        let unreached = || OpenError::OutOfReach {
            place: "s3://b/g".into(),
            source: "no route".into(),
        };
        check(
            &[damaged as fn() -> _; 9],
            &[5, 10, 20, 40, 80, 160, 320, 600, 600],
        );
        check(&[unreached as fn() -> _; 6], &[1, 2, 4, 8, 15, 15]);
        check(
            &[damaged as fn() -> _, damaged, unreached, damaged],
            &[5, 10, 1, 5],
        );
    }

    fn check(failures: &[impl Fn() -> OpenError], seconds: &[u64]) {
        let mut state = State::Closed;
        for (failure, seconds) in failures.iter().zip(seconds) {
            let aside = SetAside::after(&state, Arc::new(failure()));
            assert!(!aside.is_due());
            assert_eq!(aside.wait.as_secs(), *seconds);
            state = State::Broken(aside);
        }
    }
}
