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

use std::sync::Arc;

use api_types::{GraphState, GraphSummary};
use policy::{Action, Context, Denial, GraphRef, Principal, Resource};
use registry::{Registration, Registry, Standing};

use super::{App, Error};

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

/// Nobody puts a graph to where they could not change it: into another tenant, say.
fn stays_in_reach(
    app: &App,
    principal: &Arc<Principal>,
    as_it_will_be: GraphRef,
) -> Result<(), Error> {
    let resource = Resource::Graph(as_it_will_be);
    let access = app.access.load();
    let context = Context::now();
    match access
        .authorizer
        .decide(principal, Action::GraphUpdate, &resource, &context)
    {
        Ok(_) => Ok(()),
        Err(Denial::Forbidden(refusal) | Denial::Hidden(refusal)) => {
            Err(Denial::Forbidden(refusal).into())
        }
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
