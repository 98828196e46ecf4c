//! Why a graph is not reached, or nothing is done with it.

use std::sync::Arc;
use std::time::Duration;

use policy::{Action, Permit};
use storage_engine::OpenError;
use uuid::Uuid;

/// Why a graph cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The permit is not for this: a defect of the caller.
    #[error(transparent)]
    WrongPermit(#[from] WrongPermit),
    /// It is not registered any more.
    #[error("the graph is not registered any more")]
    Absent,
    /// Its tenant, its labels or its policy have changed since the decision.
    #[error("the graph's registration has changed since the decision")]
    Changed,
    /// The server is stopping.
    #[error("the graphs are closed")]
    Closed,
    /// Another process has it, or a file operation failed.
    #[error("the graph cannot be opened now")]
    NotNow {
        /// When it is tried again; `None` when the next request does.
        after: Option<Duration>,
        /// Why.
        #[source]
        source: Arc<OpenError>,
    },
    /// It is damaged.
    #[error("the graph is set aside")]
    Broken {
        /// Why, as callers may read it: with the uri as it is written in place of the folder.
        told: String,
        /// When it is tried again.
        after: Duration,
        /// Why.
        #[source]
        source: Arc<OpenError>,
    },
}

impl HandleError {
    /// What says nothing of the graph itself, and is asked again with the next request.
    pub(crate) fn passing(error: OpenError) -> Self {
        Self::NotNow {
            after: None,
            source: Arc::new(error),
        }
    }
}

/// A permit that is for the server, for another graph, or for another action: a defect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the permit {permit}, for `{action}`, does not allow this")]
pub struct WrongPermit {
    /// The decision.
    pub permit: Uuid,
    /// What it is for.
    pub action: Action,
}

impl WrongPermit {
    pub(crate) fn unless(holds: bool, permit: &Permit) -> Result<(), Self> {
        if holds {
            Ok(())
        } else {
            Err(Self {
                permit: permit.decision_id(),
                action: permit.action(),
            })
        }
    }
}

/// Why something was not done with a graph that was reached.
#[derive(Debug, thiserror::Error)]
pub enum AccessError<E: std::error::Error + 'static> {
    /// A defect of the caller.
    #[error(transparent)]
    WrongPermit(#[from] WrongPermit),
    /// The engine.
    #[error(transparent)]
    Engine(E),
}

/// An error and its causes in one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
