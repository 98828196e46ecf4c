//! The use cases: one file each, authorize, then act. No axum here; a test looks.
//!
//! Each takes the [`App`], who asks, and a request of [`api_types`], and gives a response of
//! [`api_types`] or an [`Error`]. A graph is reached only with a permit of `policy`.

mod admission;
mod cancel;
pub(crate) mod config;
mod drifting;
mod error;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod graphs;
mod idempotency;
mod listing;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod metrics;
pub(crate) mod mutate;
mod opening;
pub(crate) mod outcome;
mod plans;
pub(crate) mod query;
pub(crate) mod readiness;
mod returned;
pub(crate) mod rows;
pub(crate) mod schema;
mod statement;
pub(crate) mod stream;
mod values;
pub(crate) mod whoami;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use policy::{
    Action, Authorizer, BranchRef, Context, Denial, GraphRef, Permit, Principal, Resource, Tokens,
};
use registry::{GraphId, Registration, Registry};
use storage_engine::At;
use tokio::sync::watch;

use crate::metrics::Metrics;

pub(crate) use admission::Shares;
pub(crate) use cancel::{CancelOnDrop, Cancellations};
pub(crate) use error::{Error, UploadError};
pub(crate) use idempotency::{Answered, Key};
pub(crate) use mutate::StepError;

/// The one branch until branches come.
pub(crate) const MAIN: &str = "main";

/// Everything that the use cases reach.
pub(crate) struct App {
    /// Replaced whole by a reload.
    pub(crate) access: ArcSwap<Access>,
    pub(crate) registry: Arc<Registry>,
    limits: ArcSwap<Limits>,
    /// What of them the socket watches.
    connections: watch::Sender<usize>,
    /// Held while access, limits and graphs are replaced together, and while a decision reads two of
    /// them.
    generation: RwLock<()>,
    /// How the last reload ended; `None` before there was any.
    last_reload: Mutex<Option<LastReload>>,
    plans: plans::Plans,
    listings: listing::Listings,
    drifting: drifting::Drifting,
    pub(crate) admission: Arc<admission::Admission>,
    openings: Arc<opening::Openings>,
    /// Who compiles long statements that write.
    compiling: Arc<admission::Admission>,
    pub(crate) memory: Arc<memory::Memory>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) running: Cancellations,
    stopping: AtomicBool,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastReload {
    /// The file was applied.
    pub(crate) applied: bool,
    pub(crate) at: SystemTime,
}

/// Who may come in, and what they may do.
pub(crate) struct Access {
    pub(crate) tokens: Tokens,
    pub(crate) authorizer: Authorizer,
    /// Who everybody without a credential is; `None` when a credential is needed.
    pub(crate) anonymous: Option<Arc<Principal>>,
}

/// What one request may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Of a JSON body, in bytes.
    pub(crate) json_body_bytes: u64,
    /// Of a body of `load`, in bytes.
    pub(crate) load_body_bytes: u64,
    /// Of a statement, in milliseconds.
    pub(crate) query_timeout_ms: u64,
    /// Of an answer.
    pub(crate) max_rows: u64,
    /// Of what a statement may hold, in bytes.
    pub(crate) query_memory_bytes: u64,
    /// How many queries run at once.
    pub(crate) shares: Shares,
    /// How many connections may be open, all together.
    pub(crate) connections: usize,
}

/// What the caller presented.
#[derive(Clone, Copy)]
pub(crate) enum Credential<'a> {
    /// Nothing.
    Missing,
    /// A token.
    Bearer(&'a str),
    /// Something that is no token.
    Unreadable,
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "Missing",
            Self::Bearer(_) => "Bearer(..)",
            Self::Unreadable => "Unreadable",
        })
    }
}

/// Who asked for a write, and in which request: what its commit remembers.
pub(crate) struct Origin {
    pub(crate) principal: Arc<Principal>,
    pub(crate) request_id: String,
    /// Under which it is carried out once, however often it is sent.
    pub(crate) key: Option<Key>,
}

impl App {
    pub(crate) fn new(registry: Registry, access: Access, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            access: ArcSwap::from_pointee(access),
            registry: Arc::new(registry),
            limits: ArcSwap::from_pointee(limits),
            connections: watch::Sender::new(limits.connections),
            generation: RwLock::new(()),
            last_reload: Mutex::new(None),
            plans: plans::Plans::default(),
            listings: listing::Listings::default(),
            drifting: drifting::Drifting::default(),
            admission: Arc::default(),
            openings: Arc::default(),
            compiling: Arc::default(),
            memory: Arc::default(),
            metrics: Arc::default(),
            running: Cancellations::default(),
            stopping: AtomicBool::new(false),
        })
    }

    pub(crate) fn limits(&self) -> Limits {
        **self.limits.load()
    }

    /// Replaces who may come in and what a request may take in one moment with what `publish`
    /// replaces.
    pub(crate) fn install(&self, access: Access, limits: Limits, publish: &mut dyn FnMut()) {
        let _whole = self
            .generation
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.access.store(Arc::new(access));
        self.limits.store(Arc::new(limits));
        self.connections.send_replace(limits.connections);
        publish();
    }

    /// How many connections may be open, now and later.
    pub(crate) fn connections(&self) -> watch::Receiver<usize> {
        self.connections.subscribe()
    }

    /// How the last reload ended.
    pub(crate) fn last_reload(&self) -> Option<LastReload> {
        *self
            .last_reload
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Who this is; `None` when nobody. A wrong credential is never anonymous.
    pub(crate) fn authenticate(&self, credential: Credential<'_>) -> Option<Arc<Principal>> {
        let access = self.access.load();
        match credential {
            Credential::Missing => access.anonymous.clone(),
            Credential::Bearer(token) => access.tokens.authenticate(token),
            Credential::Unreadable => None,
        }
    }

    /// Whether the server was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Refuses what would only be cut short.
    pub(crate) fn refuse_when_stopping(&self) -> Result<(), Error> {
        if self.is_stopping() {
            Err(Error::ShuttingDown)
        } else {
            Ok(())
        }
    }

    /// From now on the server is not ready.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// May `principal` do `action` to the server?
    pub(crate) fn permit_server(
        &self,
        principal: &Arc<Principal>,
        action: Action,
    ) -> Result<Permit, Error> {
        let access = self.access.load();
        Ok(access
            .authorizer
            .decide(principal, action, &Resource::Server, &Context::now())?)
    }

    /// May `principal` do `action` to the graph of that name, on this branch? One that may not be
    /// seen and one that does not exist give the same error, after the same work: the policies are
    /// asked in either case.
    pub(crate) fn permit_graph(
        &self,
        principal: &Arc<Principal>,
        action: Action,
        target: Target<'_>,
    ) -> Result<Permit, Error> {
        let _whole = self
            .generation
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let registration = self.find(target.graph_id);
        let graph = match &registration {
            Some(registration) => registration.reference().clone(),
            // Refusals are kept, and a name that no graph can have may be as long as a path.
            None => {
                let graph_id = GraphId::parse(target.graph_id);
                let graph_id = graph_id.as_ref().map_or("-", GraphId::as_str);
                GraphRef::new(graph_id, None, BTreeMap::new(), None)
            }
        };
        let branch = target.branch.map(|name| BranchRef {
            name: name.to_owned(),
            protected: false,
        });
        let context = Context {
            branch,
            ..Context::now()
        };
        let access = self.access.load();
        let resource = Resource::Graph(graph);
        let decided = access
            .authorizer
            .decide(principal, action, &resource, &context);
        match (registration, decided) {
            (Some(_), Ok(permit)) => Ok(permit),
            (Some(_), Err(denial @ Denial::Forbidden(_))) => Err(denial.into()),
            (Some(_), Err(Denial::Hidden(_))) | (None, _) => Err(Error::NoSuchGraph {
                graph_id: target.graph_id.to_owned(),
            }),
        }
    }

    /// A place among what runs for the principal and on the graph of the permit.
    pub(crate) async fn turn(
        &self,
        permit: &Permit,
        deadline: Instant,
    ) -> Result<admission::Slot, Error> {
        let principal = permit.principal().id.as_str();
        let graph = permit.graph_id().unwrap_or_default();
        let shares = self.limits().shares;
        self.admission
            .enter(principal, graph, shares, deadline)
            .await
    }

    /// The same when nobody else's runs.
    pub(crate) fn turn_alone(&self, permit: &Permit) -> Option<admission::Slot> {
        let principal = permit.principal().id.as_str();
        self.admission
            .enter_alone(principal, permit.graph_id().unwrap_or_default())
    }

    /// What answers to a principal may hold while they wait to be taken.
    pub(crate) fn purse(&self, principal: &Principal) -> memory::Purse {
        let statement = self.limits().query_memory_bytes;
        self.memory.purse(&principal.id, statement)
    }

    /// The principal's turn to compile statements that may take long: one at once, so that no more than one
    /// thread works on anybody's texts.
    pub(crate) async fn turn_to_compile(
        &self,
        permit: &Permit,
        deadline: Option<Instant>,
    ) -> Result<admission::Slot, Error> {
        let principal = permit.principal().id.as_str();
        let graph = permit.graph_id().unwrap_or_default();
        let shares = Shares {
            per_principal: 1,
            per_graph: usize::MAX,
        };
        let deadline = deadline.unwrap_or_else(|| statement::deadline(&self.limits(), None));
        let entered = self.compiling.enter(principal, graph, shares, deadline);
        entered.await.map_err(|error| match error {
            Error::TooManyQueries { retry_after } => Error::TooManyTexts { retry_after },
            error => error,
        })
    }

    /// The graph of that name in any case; a name that no graph can have finds none.
    fn find(&self, name: &str) -> Option<Arc<Registration>> {
        self.registry.get(&GraphId::parse(name).ok()?)
    }
}

/// What a request names, as it was written.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) graph_id: &'a str,
    /// `None` where the operation knows no branches.
    pub(crate) branch: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// A graph as a whole.
    pub(crate) fn graph(graph_id: &'a str) -> Self {
        Self {
            graph_id,
            branch: None,
        }
    }

    /// A branch of a graph, `main` when none is named.
    pub(crate) fn branch(graph_id: &'a str, branch: Option<&'a str>) -> Self {
        Self {
            graph_id,
            branch: Some(branch.unwrap_or(MAIN)),
        }
    }

    /// Refuses a branch that does not exist; asked only once the graph is known to be visible.
    pub(crate) fn check_branch(&self) -> Result<(), Error> {
        match self.branch {
            None | Some(MAIN) => Ok(()),
            Some(branch) => Err(Error::NoSuchBranch {
                branch: branch.to_owned(),
            }),
        }
    }
}

/// Which commit of the past is meant, when one is.
pub(crate) fn past(at: Option<&str>) -> Result<Option<At>, Error> {
    let Some(text) = at else { return Ok(None) };
    At::parse(text).map(Some).ok_or_else(|| {
        Error::InvalidRequest(format!(
            "at: {text:?} is no commit's id, no sequence number and no RFC 3339 time"
        ))
    })
}

/// Runs `work`, which takes long, on a thread that gives way to those that answer, within the request's
/// log span.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let span = tracing::Span::current();
    storage_engine::aside::run(move || span.in_scope(work))
        .await
        .map_err(Error::Panicked)?
}

/// Runs `work`, which waits rather than works, on a thread made for that, within the request's log span.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
        .await
        .map_err(Error::Panicked)?
}
