//! Open graphs, and the only two ways to reach one: [`Reader`] and [`Writer`], each for a permit.
//!
//! A graph is opened on first use and stays open. One that is damaged is set aside with its reason
//! and touches no other; one that another process holds is tried again by the next request.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use language::Value;
use language::plan::Plan;
use policy::{Authorized, Permit};
use registry::Registration;
use storage_engine::executor::{self, ExecuteError, Limits, Parameters};
use storage_engine::export::{self, ExportError};
use storage_engine::{
    CommitError, CommitInfo, Graph, OpenError, Options, Snapshot, Status, Transaction,
    WriteRequest, Written,
};

/// Every graph that was asked for.
#[derive(Default)]
pub(crate) struct Handles {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Closed,
    Open(Graph),
    Broken(Arc<OpenError>),
}

/// What is known of a graph without opening it.
pub(crate) enum Standing {
    /// On disk only.
    Closed,
    /// In memory.
    Open,
    /// Set aside, and why.
    Broken(String),
}

/// Why a graph cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandleError {
    /// The permit is for the server, for another graph, or does not allow writing: a defect.
    #[error("the permit {permit} does not reach this graph")]
    WrongPermit {
        /// The decision.
        permit: uuid::Uuid,
    },
    /// Another process has it, or a file operation failed.
    #[error("the graph cannot be opened now")]
    NotNow(#[source] Arc<OpenError>),
    /// It is damaged.
    #[error("the graph is set aside")]
    Broken(#[source] Arc<OpenError>),
}

impl Handles {
    /// One snapshot of the graph that the permit is for. Blocks while it is opened.
    pub(crate) fn reader(
        &self,
        permit: &Permit,
        registration: &Registration,
    ) -> Result<Reader, HandleError> {
        let graph = self.graph(permit, registration)?;
        Ok(Reader {
            snapshot: graph.snapshot(),
            status: graph.status(),
        })
    }

    /// The way to write to the graph that the permit is for. Blocks while it is opened.
    pub(crate) fn writer(
        &self,
        permit: &Permit,
        registration: &Registration,
    ) -> Result<Writer, HandleError> {
        if !permit.allows_writing() {
            return Err(HandleError::WrongPermit {
                permit: permit.decision_id(),
            });
        }
        Ok(Writer(self.graph(permit, registration)?))
    }

    /// How the graph stands.
    pub(crate) fn standing(&self, registration: &Registration) -> Standing {
        let slot = self.slots().get(&registration.graph_id.folded()).cloned();
        // A slot that is busy is being opened.
        let Some(state) = slot.as_ref().and_then(|slot| slot.0.try_lock().ok()) else {
            return Standing::Closed;
        };
        match &*state {
            State::Closed => Standing::Closed,
            State::Open(_) => Standing::Open,
            State::Broken(error) => Standing::Broken(with_causes(error.as_ref())),
        }
    }

    /// Closes every graph; what was acknowledged is durable whether or not this succeeds. Blocks.
    pub(crate) fn close(&self) {
        let slots: Vec<_> = self.slots().drain().collect();
        for (graph_id, slot) in slots {
            let mut state = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let State::Open(graph) = std::mem::take(&mut *state)
                && let Err(error) = graph.close()
            {
                tracing::warn!(graph_id, %error, "a graph was not closed cleanly");
            }
        }
    }

    fn graph(&self, permit: &Permit, registration: &Registration) -> Result<Graph, HandleError> {
        if permit.graph_id() != Some(registration.graph_id.as_str()) {
            return Err(HandleError::WrongPermit {
                permit: permit.decision_id(),
            });
        }
        let slot = self
            .slots()
            .entry(registration.graph_id.folded())
            .or_default()
            .clone();
        let mut state = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Open(graph) => return Ok(graph.clone()),
            State::Broken(error) => return Err(HandleError::Broken(error.clone())),
            State::Closed => {}
        }
        match Graph::open(registration.uri.canonical(), Options::default()) {
            Ok(graph) => {
                *state = State::Open(graph.clone());
                Ok(graph)
            }
            Err(error) => {
                let error = Arc::new(error);
                let graph_id = registration.graph_id.as_str();
                tracing::error!(
                    graph_id,
                    error = with_causes(error.as_ref()),
                    "cannot open a graph"
                );
                if passes(&error) {
                    return Err(HandleError::NotNow(error));
                }
                *state = State::Broken(error.clone());
                Err(HandleError::Broken(error))
            }
        }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        // An insertion or removal cannot be half done.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the next request may find the graph well.
fn passes(error: &OpenError) -> bool {
    matches!(error, OpenError::Locked { .. } | OpenError::File(_))
}

/// An error and its causes in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// One snapshot of one graph, held from start to end of a request.
pub(crate) struct Reader {
    snapshot: Arc<Snapshot>,
    status: Status,
}

impl Reader {
    /// What it holds.
    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The newest commit in it.
    pub(crate) fn head(&self) -> &CommitInfo {
        self.snapshot.head()
    }

    /// The state of the storage when the snapshot was taken.
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    /// Runs a plan whose types were decided.
    pub(crate) fn query(
        &self,
        plan: &Authorized<Plan>,
        parameters: &Parameters,
        limits: &Limits,
        sink: &mut dyn FnMut(&[Value]) -> ControlFlow<()>,
    ) -> Result<(), ExecuteError> {
        executor::read(plan.plan(), parameters, &self.snapshot, limits, sink)
    }

    /// Gives every record as lines, or those of one type, its types decided.
    pub(crate) fn export(
        &self,
        only: &Authorized<Option<String>>,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ExportError> {
        export::ndjson(&self.snapshot, only.plan().as_deref(), sink)
    }
}

/// The way to write to one graph.
pub(crate) struct Writer(Graph);

impl Writer {
    /// What a statement is compiled against.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot()
    }

    /// Runs `work`, made of what was decided, in one commit.
    pub(crate) async fn write<P, R, E>(
        &self,
        authorized: Authorized<P>,
        request: WriteRequest,
        work: impl FnOnce(&P, &mut Transaction) -> Result<R, E> + Send + 'static,
    ) -> Result<Written<R>, CommitError<E>>
    where
        P: Send + 'static,
        R: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let request = WriteRequest {
            decision: Some(authorized.permit().decision_id()),
            ..request
        };
        self.0
            .write(request, move |transaction| {
                work(authorized.plan(), transaction)
            })
            .await
    }
}
