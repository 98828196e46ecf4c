//! Open graphs, and the only two ways to reach one: [`Reader`] and [`Writer`], each for a permit.
//!
//! A graph is opened on first use and stays open while it is used (`idle.rs`). One that is damaged is set aside with its reason
//! and touches no other; one that another process holds is read along with that process, and the first
//! write after it has gone takes the graph over. What is
//! in a graph comes out, and what goes in goes in, only by something whose types were decided:
//! [`policy::Authorized`], by a permit for that very graph.

mod read;

pub use read::Operators;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use language::schema::Schema;
use policy::{Action, Authorized, GraphRef, Permit, TypeKind, TypeTouch};
use storage_engine::load::{self, Batch, Input, LineError, LoadError, Loaded};
use storage_engine::{
    Answer, At, CommitError, CommitInfo, Follower, Graph, IdempotencyKey, OpenError, PastError,
    PastLimits, Snapshot, Status, StatusError, Store, Work, WriteRequest, Written,
};
use uuid::Uuid;

use crate::Registration;
use crate::deleted::is_deleted;
use crate::durable::DiskError;
use crate::hold::Hold;
use crate::idle::{self, Budget};
use crate::refusal::{AccessError, HandleError, WrongPermit, with_causes};
use crate::set_aside::SetAside;
use crate::uri;

/// Every graph that was asked for, by its folder.
#[derive(Debug)]
pub(crate) struct Handles {
    /// `None` once closed for good.
    slots: Mutex<Option<HashMap<PathBuf, Arc<Slot>>>>,
    /// Where processes tell each other which graphs they want, and which are deleted.
    state_folder: PathBuf,
    /// Of these handles among those of other processes.
    name: Uuid,
    /// How graphs are kept.
    pub(crate) options: storage_engine::Options,
    /// What those that are open may take together.
    pub(crate) budget: Mutex<Budget>,
    /// When these handles were made.
    pub(crate) begun: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) state: Mutex<State>,
    /// When the graph was asked for, or seen in use, last: milliseconds since the handles were made.
    pub(crate) used: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) enum State {
    #[default]
    Closed,
    Open(Graph),
    /// Another process writes it.
    Following(Follower),
    Broken(SetAside),
    /// Not to be opened for now: it is being deleted, here or (`true`) by another process.
    Withheld(bool),
}

/// An open graph, however it was opened.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Written(Graph),
    Followed(Follower),
}

/// What is known of a graph without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// On disk only.
    Closed,
    /// In memory.
    Open,
    /// Set aside, and why.
    Broken(String),
}

impl Handles {
    /// No graph is open; those that will be are kept as `options` says. Processes tell each other in the
    /// state folder which graphs they want.
    pub(crate) fn new(
        state_folder: PathBuf,
        options: storage_engine::Options,
        budget: Budget,
    ) -> Arc<Self> {
        Arc::new_cyclic(|handles| Self {
            slots: Mutex::new(Some(HashMap::new())),
            state_folder,
            name: Uuid::new_v4(),
            options: storage_engine::Options {
                memory: Some(idle::account(budget, handles)),
                ..options
            },
            budget: Mutex::new(budget),
            begun: Instant::now(),
        })
    }

    /// The registry's own folder.
    pub(crate) fn state_folder(&self) -> &Path {
        &self.state_folder
    }

    /// Of these handles among those of other processes.
    pub(crate) fn name(&self) -> Uuid {
        self.name
    }

    pub(crate) fn slot_of(&self, folder: &Path) -> Option<Arc<Slot>> {
        let mut slots = self.slots();
        let slots = slots.as_mut()?;
        Some(slots.entry(folder.to_owned()).or_default().clone())
    }

    /// One snapshot of the graph that the permit is for. Blocks while it is opened.
    pub(crate) fn reader(
        &self,
        permit: &Permit,
        registration: &Registration,
    ) -> Result<Reader, HandleError> {
        let source = self.source(permit, registration)?;
        let snapshot = match &source {
            Source::Written(graph) => graph.snapshot(),
            // The next request may find it well again, or its writer gone.
            Source::Followed(follower) => follower.snapshot().map_err(HandleError::passing)?,
        };
        Ok(Reader {
            reference: registration.reference().clone(),
            snapshot,
            source,
        })
    }

    /// The same without blocking: `None` unless the graph is open already.
    pub(crate) fn reader_at_once(
        &self,
        permit: &Permit,
        registration: &Registration,
    ) -> Result<Option<Reader>, HandleError> {
        let graph = self.open_graph(permit, registration)?;
        let graph = graph.filter(Graph::is_current);
        Ok(graph.map(|graph| Reader::on(registration, graph)))
    }

    /// The way to write to the graph that the permit is for. Blocks while it is opened.
    pub(crate) fn writer(
        &self,
        permit: &Permit,
        registration: &Registration,
    ) -> Result<Writer, HandleError> {
        WrongPermit::unless(permit.allows_writing(), permit)?;
        Ok(Writer {
            reference: registration.reference().clone(),
            graph: self.graph(permit, registration)?,
        })
    }

    /// The same without blocking: `None` unless the graph is open already.
    pub(crate) fn writer_at_once(
        &self,
        permit: &Permit,
        registration: &Registration,
    ) -> Result<Option<Writer>, HandleError> {
        WrongPermit::unless(permit.allows_writing(), permit)?;
        let graph = self.open_graph(permit, registration)?;
        Ok(graph.map(|graph| Writer {
            reference: registration.reference().clone(),
            graph,
        }))
    }

    /// How the graph stands.
    pub(crate) fn standing(&self, registration: &Registration) -> Standing {
        let slot = self
            .slots()
            .as_ref()
            .and_then(|slots| slots.get(registration.uri.canonical()).cloned());
        // A slot that is busy is being opened.
        let Some(state) = slot.as_ref().and_then(|slot| slot.state.try_lock().ok()) else {
            return Standing::Closed;
        };
        match &*state {
            State::Closed | State::Withheld(_) => Standing::Closed,
            State::Open(_) | State::Following(_) => Standing::Open,
            State::Broken(broken) if broken.passes() => Standing::Closed,
            State::Broken(broken) => {
                let causes = with_causes(broken.error.as_ref());
                Standing::Broken(registration.uri.told(causes))
            }
        }
    }

    /// Closes every graph for good; what was acknowledged is durable whether or not this succeeds.
    /// Blocks.
    pub(crate) fn close(&self) {
        let slots = self.slots().take().unwrap_or_default();
        for (folder, slot) in slots {
            let state = std::mem::take(&mut *slot.state());
            shut(&folder, state);
        }
    }

    /// The graph for writing, opened if need be, or taken over from a process that has gone.
    fn graph(&self, permit: &Permit, registration: &Registration) -> Result<Graph, HandleError> {
        let slot = self.slot(permit, registration)?;
        let state = slot.state();
        if let State::Following(follower) = &*state
            && let Some(holder) = follower.holder()
        {
            return Err(HandleError::passing(OpenError::Locked { holder }));
        }
        match self.open_in(state, registration)? {
            Source::Written(graph) => Ok(graph),
            Source::Followed(follower) => {
                let holder = follower.holder().unwrap_or_default();
                Err(HandleError::passing(OpenError::Locked { holder }))
            }
        }
    }

    /// The graph for reading, opened if need be.
    pub(crate) fn source(
        &self,
        permit: &Permit,
        registration: &Registration,
    ) -> Result<Source, HandleError> {
        let slot = self.slot(permit, registration)?;
        let state = slot.state();
        if let State::Following(follower) = &*state {
            return Ok(Source::Followed(follower.clone()));
        }
        let source = self.open_in(state, registration)?;
        let Source::Written(graph) = &source else {
            return Ok(source);
        };
        match graph.hold_on() {
            Ok(()) => Ok(source),
            // Another process has come.
            Err(_) if graph.is_lost() => self.open_in(slot.state(), registration),
            Err(error) => Err(HandleError::passing(error)),
        }
    }

    fn slot(&self, permit: &Permit, registration: &Registration) -> Result<Arc<Slot>, HandleError> {
        check(permit, registration)?;
        let folder = registration.uri.canonical();
        let slot = self.slot_of(folder).ok_or(HandleError::Closed)?;
        slot.used.store(self.now(), Ordering::Relaxed);
        Ok(slot)
    }

    /// The graph, opened if need be, and then others closed if need be.
    pub(crate) fn open_in(
        &self,
        mut state: MutexGuard<'_, State>,
        registration: &Registration,
    ) -> Result<Source, HandleError> {
        let was_open = matches!(*state, State::Open(_) | State::Following(_));
        let opened = self.open(&mut state, registration)?;
        drop(state);
        if !was_open {
            self.make_room(0);
        }
        Ok(opened)
    }

    /// Opens the graph for writing, or, where another process does that, for reading.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that opens a graph, and its callers ask for a permit first"
    )]
    pub(crate) fn open(
        &self,
        state: &mut State,
        registration: &Registration,
    ) -> Result<Source, HandleError> {
        match state {
            State::Open(graph) if !graph.is_lost() => return Ok(Source::Written(graph.clone())),
            // Another process has taken over, or the store was out of reach: only opening it again
            // tells what the graph has.
            State::Open(_) => {}
            State::Broken(broken) if !broken.is_due() => {
                return Err(broken.refusal(registration));
            }
            State::Withheld(_) => return Err(HandleError::Changed),
            // Closing may have come between the two locks, and has passed this slot by now.
            _ if self.slots().is_none() => return Err(HandleError::Closed),
            State::Closed | State::Following(_) | State::Broken(_) => {}
        }
        let folder = registration.uri.canonical();
        let opened = match place(folder).and_then(|store| Graph::open(store, self.options.clone()))
        {
            // Asked with the writer lock in hand, which a delete has had until it was done.
            Ok(graph) => match is_deleted(&self.state_folder, folder) {
                Ok(false) => {
                    *state = State::Open(graph.clone());
                    Ok(Source::Written(graph))
                }
                deleted => {
                    shut(folder, State::Open(graph));
                    return Err(deleted.map_or_else(unseen, |_| HandleError::Absent));
                }
            },
            Err(OpenError::Locked { .. }) => match state {
                State::Following(follower) => Ok(Source::Followed(follower.clone())),
                _ => place(folder)
                    .and_then(|store| Follower::open(store, self.options.clone()))
                    .map(|follower| {
                        *state = State::Following(follower.clone());
                        Source::Followed(follower)
                    }),
            },
            Err(error) => Err(error),
        };
        opened.map_err(|error| {
            let graph_id = registration.graph_id.as_str();
            let causes = with_causes(&error);
            tracing::error!(graph_id, error = causes, "cannot open a graph");
            // What a reader finds beside a writer at work says nothing of the files, and who has the lock
            // may give it back at any moment.
            let is_busy = matches!(error, OpenError::Locked { .. });
            if is_busy || matches!(state, State::Following(_)) {
                return HandleError::passing(error);
            }
            // Each attempt takes its time: those who waited for this one do not make another.
            let aside = SetAside::after(state, Arc::new(error));
            let refusal = aside.refusal(registration);
            *state = State::Broken(aside);
            refusal
        })
    }

    /// The graph when it is open. One whose slot is busy is being opened or closed.
    fn open_graph(
        &self,
        permit: &Permit,
        registration: &Registration,
    ) -> Result<Option<Graph>, HandleError> {
        check(permit, registration)?;
        let slot = {
            let slots = self.slots();
            let slots = slots.as_ref().ok_or(HandleError::Closed)?;
            slots.get(registration.uri.canonical()).cloned()
        };
        let state = slot.as_ref().and_then(|slot| {
            slot.used.store(self.now(), Ordering::Relaxed);
            slot.state.try_lock().ok()
        });
        Ok(match state.as_deref() {
            Some(State::Open(graph)) if !graph.is_lost() => Some(graph.clone()),
            Some(
                State::Open(_)
                | State::Closed
                | State::Following(_)
                | State::Broken(_)
                | State::Withheld(_),
            )
            | None => None,
        })
    }

    pub(crate) fn slots(&self) -> MutexGuard<'_, Option<HashMap<PathBuf, Arc<Slot>>>> {
        // An insertion or removal cannot be half done.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a graph that is open. Blocks until what it has begun is answered.
pub(crate) fn shut(folder: &Path, state: State) {
    if let State::Open(graph) = state
        && let Err(error) = graph.close()
    {
        tracing::warn!(folder = %folder.display(), %error, "a graph was not closed cleanly");
    }
}

/// Holds the graph at a canonical place.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing is read or written through it: its life cycle is changed, which asks for a permit first"
)]
pub(crate) fn hold(folder: &Path) -> Result<Hold, OpenError> {
    if !uri::is_remote(folder) {
        let lock = storage_engine::hold(folder)?;
        return Ok(Hold::Local { _lock: lock });
    }
    let nothing_is_folded = storage_engine::Options {
        fold_rows: usize::MAX,
        fold_bytes: u64::MAX,
        fold_entries: u64::MAX,
        ..storage_engine::Options::default()
    };
    let graph = Graph::open(place(folder)?, nothing_is_folded)?;
    Ok(Hold::Remote { graph })
}

/// Whether the permit is for this graph as it is registered now.
fn check(permit: &Permit, registration: &Registration) -> Result<(), HandleError> {
    let graph_id = registration.graph_id.as_str();
    WrongPermit::unless(permit.graph_id() == Some(graph_id), permit)?;
    if !permit.is_for(registration.reference()) {
        return Err(HandleError::Changed);
    }
    Ok(())
}

/// Whether the graph was deleted cannot be seen, so that it is not served: the next request asks again.
fn unseen(error: DiskError) -> HandleError {
    let error = with_causes(&error);
    tracing::error!(error, "cannot see whether a graph was deleted");
    HandleError::Changed
}

/// The store at a canonical place.
fn place(folder: &Path) -> Result<Store, OpenError> {
    match uri::is_remote(folder) {
        true => Ok(Store::at(&folder.to_string_lossy())?),
        false => Ok(folder.into()),
    }
}

/// How many records there are, by name of the type.
pub type Counts = BTreeMap<String, u64>;

/// One snapshot of one graph, held from start to end of a request.
#[derive(Debug)]
pub struct Reader {
    reference: GraphRef,
    snapshot: Arc<Snapshot>,
    source: Source,
}

impl Reader {
    fn on(registration: &Registration, graph: Graph) -> Self {
        Self {
            reference: registration.reference().clone(),
            snapshot: graph.snapshot(),
            source: Source::Written(graph),
        }
    }

    /// What the graph may contain.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        self.snapshot.schema()
    }

    /// The newest commit in it.
    #[must_use]
    pub fn head(&self) -> &CommitInfo {
        self.snapshot.head()
    }

    /// The state of the storage now. Walks all tables.
    ///
    /// # Errors
    /// When the log, the files beside it or leases cannot be listed.
    pub fn status(&self) -> Result<Status, StatusError> {
        match &self.source {
            Source::Written(graph) => graph.status(),
            Source::Followed(follower) => follower.status(),
        }
    }

    /// The same graph as it was. Blocks.
    pub fn at(self, at: At, limits: &PastLimits) -> Result<Self, PastError> {
        let snapshot = match &self.source {
            Source::Written(graph) => graph.snapshot_at(at, limits)?,
            Source::Followed(follower) => follower.snapshot_at(at, limits)?,
        };
        Ok(Self { snapshot, ..self })
    }

    /// How many nodes and how many relationships there are, of the types that may be read.
    pub fn counts(
        &self,
        readable: &Authorized<Vec<TypeTouch<'_>>>,
    ) -> Result<(Counts, Counts), WrongPermit> {
        self.check(readable.permit(), Action::GraphShow)?;
        let readable = |kind, name| {
            let touches = readable.plan().iter();
            touches
                .filter(|touch| !touch.write)
                .any(|touch| (touch.kind, touch.name) == (kind, name))
        };
        let schema = self.snapshot.schema();
        let nodes = schema.node_types.iter();
        let nodes = nodes
            .filter(|node| readable(TypeKind::Node, &node.name))
            .map(|node| (node.name.clone(), self.snapshot.node_count(node.id)));
        let edges = schema.edge_types.iter();
        let edges = edges
            .filter(|edge| readable(TypeKind::Edge, &edge.name))
            .map(|edge| (edge.name.clone(), self.snapshot.edge_count(edge.id)));
        Ok((nodes.collect(), edges.collect()))
    }

    fn check(&self, permit: &Permit, action: Action) -> Result<(), WrongPermit> {
        let here = permit.is_for(&self.reference);
        WrongPermit::unless(here && permit.action() == action, permit)
    }
}

/// The way to write to one graph.
#[derive(Debug)]
pub struct Writer {
    reference: GraphRef,
    graph: Graph,
}

impl Writer {
    /// What a statement is compiled against, and a file read against.
    #[must_use]
    pub fn schema(&self) -> Arc<Schema> {
        self.graph.snapshot().schema().clone()
    }

    /// Reads what is to be loaded against the newest state, of which nothing comes out.
    pub fn parse(&self, input: Input, source: &load::Source) -> Result<Batch, Vec<LineError>> {
        load::parse(input, source, &self.graph.snapshot())
    }

    /// Loads what was read and decided, in one commit, which names who was permitted to and by which
    /// decision; with a key, once for each of that principal.
    pub async fn load(
        &self,
        authorized: &Authorized<Batch>,
        request: WriteRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<Written<Loaded>, AccessError<CommitError<LoadError>>> {
        let request = self.named(authorized, request)?;
        let loaded = self.graph.load(request, key, authorized.plan()).await;
        loaded.map_err(AccessError::Engine)
    }

    /// Carries out work that `make` makes of what was decided, in one commit, which names who was
    /// permitted to and by which decision; with a key, once for each of that principal.
    pub async fn submit<P, R, E>(
        &self,
        authorized: Authorized<P>,
        request: WriteRequest,
        key: Option<IdempotencyKey>,
        make: impl FnOnce(Authorized<P>) -> Work<R, E>,
    ) -> Result<Written<R>, AccessError<CommitError<E>>>
    where
        R: Answer + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let request = self.named(&authorized, request)?;
        let written = self.graph.submit_once(request, key, make(authorized)).await;
        written.map_err(AccessError::Engine)
    }

    /// The request in the name of who was permitted to.
    fn named<P>(
        &self,
        authorized: &Authorized<P>,
        request: WriteRequest,
    ) -> Result<WriteRequest, WrongPermit> {
        let permit = authorized.permit();
        let here = permit.is_for(&self.reference);
        WrongPermit::unless(here && permit.allows_writing(), permit)?;
        Ok(WriteRequest {
            principal: permit.principal().id.clone(),
            decision: Some(permit.decision_id()),
            ..request
        })
    }
}
