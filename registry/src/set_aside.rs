//! Graphs that could not be opened: why, and when they are tried again. Each failure doubles the wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::Permit;
use storage_engine::OpenError;

use crate::handle::{Handles, State};
use crate::refusal::{HandleError, WrongPermit, with_causes};
use crate::{GraphId, Registration, Registry};

/// How long a graph is left alone after it could not be opened for the first time.
const FIRST: Duration = Duration::from_secs(5);
/// How long one is left alone that could not be reached.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that it is left alone.
const LONGEST: Duration = Duration::from_secs(600);

/// A graph that could not be opened.
#[derive(Debug)]
pub(crate) struct SetAside {
    pub(crate) error: Arc<OpenError>,
    since: Instant,
    wait: Duration,
    /// It could not be reached, which says nothing of what is in it.
    passes: bool,
}

impl SetAside {
    /// It failed, after it stood like this.
    pub(crate) fn after(state: &State, error: Arc<OpenError>) -> Self {
        let wait = match state {
            State::Broken(before) if !before.passes => (before.wait * 2).clamp(FIRST, LONGEST),
            _ => FIRST,
        };
        Self {
            error,
            since: Instant::now(),
            wait,
            passes: false,
        }
    }

    /// It could not be reached.
    pub(crate) fn for_now(error: Arc<OpenError>) -> Self {
        Self {
            error,
            since: Instant::now(),
            wait: PAUSE,
            passes: true,
        }
    }

    /// Whether nothing is known to be wrong with it.
    pub(crate) fn passes(&self) -> bool {
        self.passes
    }

    /// What those are told who come before it is due.
    pub(crate) fn refusal(&self, registration: &Registration) -> HandleError {
        match self.passes {
            true => HandleError::NotNow(self.error.clone()),
            false => HandleError::Broken {
                told: registration.uri.told(with_causes(self.error.as_ref())),
                source: self.error.clone(),
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
        let error = || Arc::new(OpenError::Unfinished);
        let mut state = State::Broken(SetAside::after(&State::Closed, error()));
        let mut waits = Vec::new();
        for _ in 0..9 {
            let State::Broken(broken) = &state else {
                panic!("it is set aside");
            };
            assert!(!broken.is_due());
            waits.push(broken.wait.as_secs());
            state = State::Broken(SetAside::after(&state, error()));
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
    }
}
