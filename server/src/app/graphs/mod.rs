//! Graphs as wholes.

pub(crate) mod create;
pub(crate) mod delete;
mod deleted;
pub(crate) mod list;
pub(crate) mod purge;
pub(crate) mod restore;
pub(crate) mod retry;
pub(crate) mod show;
mod storage;
pub(crate) mod update;

use api_types::{GraphState, GraphSummary};
use registry::{Registration, Registry, Standing};

/// What is told of a graph, and the version of its registration.
#[derive(Debug)]
pub(crate) struct Versioned<T> {
    pub(crate) body: T,
    pub(crate) version: String,
}

/// What is told of a graph that was made or changed.
fn versioned(registry: &Registry, registration: &Registration) -> Versioned<GraphSummary> {
    Versioned {
        body: summary(registry, registration),
        version: registration.version(),
    }
}

/// What is told of a graph in a list.
fn summary(registry: &Registry, registration: &Registration) -> GraphSummary {
    let standing = registry.standing(registration);
    GraphSummary {
        graph_id: registration.graph_id.to_string(),
        uri: registration.entry.uri.clone(),
        tenant: registration.entry.tenant.clone(),
        labels: registration.entry.labels.clone(),
        state: match standing {
            _ if registration.broken_policy().is_some() => GraphState::Quarantined,
            Standing::Broken(_) => GraphState::Quarantined,
            Standing::Open => GraphState::Open,
            Standing::Closed => GraphState::Closed,
        },
        deletion: None,
        deleted_at: None,
        purge_after: None,
    }
}
