//! The graphs as the use cases see them: what is registered, with what policies need to decide.
//!
//! A graph whose own policy cannot be read is closed to everybody, for that policy might forbid what
//! the server's permits.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use api_types::{GraphState, GraphSummary};
use policy::{GraphPolicy, GraphRef, Permit, PolicyDocument, PolicyError, PolicySource};
use registry::{GraphId, Registration, Registry};

use super::Error;
use super::handle::{Handles, Reader, Standing, Writer};

/// Closes a graph: a forbid wins over every permit.
const CLOSED: &str = "@id(\"unreadable-policy\") forbid (principal, action, resource);";

/// What is registered.
pub(crate) struct Directory {
    registry: Arc<Registry>,
    references: RwLock<HashMap<String, Known>>,
    handles: Arc<Handles>,
}

/// A registered graph. It opens nothing; only a permit does.
#[derive(Clone)]
pub(crate) struct Known {
    registration: Arc<Registration>,
    reference: GraphRef,
    broken_policy: Option<Arc<str>>,
}

impl Known {
    /// As policies see it.
    pub(crate) fn reference(&self) -> &GraphRef {
        &self.reference
    }

    /// What the file says of it.
    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }
}

impl Directory {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            references: RwLock::default(),
            handles: Arc::default(),
        }
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The graph of that name in any case; a name that no graph can have finds none.
    pub(crate) fn find(&self, name: &str) -> Option<Known> {
        let graph_id = GraphId::parse(name).ok()?;
        self.registry
            .get(&graph_id)
            .map(|registration| self.know(registration))
    }

    /// Every graph in order of id, those after `cursor` when it is given.
    pub(crate) fn list(&self, cursor: Option<&str>) -> Result<Vec<Known>, Error> {
        let after = cursor.map(GraphId::parse).transpose().map_err(|_| {
            Error::InvalidRequest("cursor must be the next_cursor of the page before".to_owned())
        })?;
        let snapshot = self.registry.snapshot();
        Ok(snapshot
            .list(after.as_ref())
            .map(|graph| self.know(graph.clone()))
            .collect())
    }

    /// How many graphs are registered.
    pub(crate) fn count(&self) -> usize {
        self.registry.snapshot().graphs.len()
    }

    /// What is told of a graph in a list.
    pub(crate) fn summary(&self, known: &Known) -> GraphSummary {
        let registration = known.registration();
        GraphSummary {
            graph_id: registration.graph_id.to_string(),
            uri: registration.entry.uri.clone(),
            tenant: registration.entry.tenant.clone(),
            labels: registration.entry.labels.clone(),
            state: self.state(known),
        }
    }

    /// One snapshot of a graph. Blocks while the graph is opened.
    pub(crate) fn reader(&self, permit: &Permit, known: &Known) -> Result<Reader, Error> {
        Ok(self.handles.reader(permit, &known.registration)?)
    }

    /// The way to write to a graph. Blocks while the graph is opened.
    pub(crate) fn writer(&self, permit: &Permit, known: &Known) -> Result<Writer, Error> {
        Ok(self.handles.writer(permit, &known.registration)?)
    }

    /// How many graphs are in memory.
    pub(crate) fn open_count(&self) -> usize {
        let snapshot = self.registry.snapshot();
        let standings = snapshot
            .graphs
            .values()
            .map(|graph| self.handles.standing(graph));
        standings
            .filter(|standing| matches!(standing, Standing::Open))
            .count()
    }

    /// The graphs that are set aside, and why.
    pub(crate) fn quarantined(&self) -> Vec<(Known, String)> {
        let snapshot = self.registry.snapshot();
        let graphs = snapshot
            .graphs
            .values()
            .map(|graph| self.know(graph.clone()));
        graphs
            .filter_map(|known| {
                match (
                    &known.broken_policy,
                    self.handles.standing(&known.registration),
                ) {
                    (Some(reason), _) => Some((known.clone(), reason.to_string())),
                    (None, Standing::Broken(reason)) => Some((known, reason)),
                    (None, Standing::Open | Standing::Closed) => None,
                }
            })
            .collect()
    }

    /// Closes every graph.
    pub(crate) async fn close(&self) {
        let handles = self.handles.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || handles.close()).await {
            tracing::error!(%error, "closing the graphs failed");
        }
    }

    fn state(&self, known: &Known) -> GraphState {
        match (
            &known.broken_policy,
            self.handles.standing(&known.registration),
        ) {
            (Some(_), _) | (None, Standing::Broken(_)) => GraphState::Quarantined,
            (None, Standing::Open) => GraphState::Open,
            (None, Standing::Closed) => GraphState::Closed,
        }
    }

    /// A registration with what policies need.
    pub(crate) fn know(&self, registration: Arc<Registration>) -> Known {
        let key = registration.graph_id.folded();
        {
            let references = self
                .references
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = references.get(&key)
                && Arc::ptr_eq(&known.registration, &registration)
            {
                return known.clone();
            }
        }
        let known = Known::read(registration);
        let mut references = self
            .references
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        references.insert(key, known.clone());
        known
    }
}

impl Known {
    fn read(registration: Arc<Registration>) -> Self {
        let (policy, broken_policy) = match own_policy(&registration) {
            Ok(policy) => (policy, None),
            Err(error) => {
                let graph_id = registration.graph_id.as_str();
                tracing::error!(graph_id, %error, "the graph is closed: its policy cannot be used");
                let source = PolicySource {
                    name: "closed".into(),
                    text: CLOSED.into(),
                };
                let closed = PolicyDocument::parse(source)
                    .expect("the closing policy is a constant, and a test reads it");
                let reason = format!("its policy cannot be used: {}", error.summary());
                (Some(GraphPolicy::new(closed)), Some(reason.into()))
            }
        };
        let entry = &registration.entry;
        let labels: BTreeMap<String, String> = entry.labels.clone();
        let graph_id = registration.graph_id.as_str();
        let reference = GraphRef::new(graph_id, entry.tenant.clone(), labels, policy);
        Self {
            registration,
            reference,
            broken_policy,
        }
    }
}

/// Why a policy file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyFileError {
    /// It cannot be read.
    #[error("cannot read the policy file {}", path.display())]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is no sound policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl PolicyFileError {
    /// Without a word of what is in the file.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Read { .. } => "the file cannot be read".to_owned(),
            Self::Policy(error) => error.summary(),
        }
    }
}

/// Reads a policy file.
pub(crate) fn read_policy(path: &std::path::Path) -> Result<PolicyDocument, PolicyFileError> {
    let text = std::fs::read_to_string(path).map_err(|source| PolicyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let name = path.display().to_string();
    Ok(PolicyDocument::parse(PolicySource { name, text })?)
}

fn own_policy(registration: &Registration) -> Result<Option<Arc<GraphPolicy>>, PolicyFileError> {
    let document = registration
        .policy_file
        .as_deref()
        .map(read_policy)
        .transpose()?;
    Ok(document.map(GraphPolicy::new))
}
