//! Making a graph, which ends or undoes itself even when the caller goes away.

use std::path::Path;
use std::sync::Arc;

use api_types::{CreateGraphRequest, GraphSummary, GraphType};
use language::schema::Schema;
use policy::{Action, Principal};
use registry::GraphId;
use storage_engine::{CreateError, Graph};
use uuid::Uuid;

use crate::app::{App, Error, PolicyFileError, blocking, read_policy};

/// Why the storage of a new graph was not made; kept inside the registry's error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitialiseError {
    /// The graph's own policy, which is read only once its place is known to be allowed.
    #[error("the policy file cannot be used: {}", .0.summary())]
    Policy(#[source] PolicyFileError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] CreateError),
}

pub(crate) async fn run(
    app: &Arc<App>,
    principal: Arc<Principal>,
    request: CreateGraphRequest,
) -> Result<GraphSummary, Error> {
    let _permit = app.permit_server(&principal, Action::GraphCreate)?;
    app.refuse_when_stopping()?;
    let graph_id = GraphId::parse(&request.graph_id).map_err(registry::Error::from)?;
    if request.graph_type == Some(GraphType::Open) {
        return Err(Error::Unsupported(
            "graph_type \"open\" is not supported yet; leave it out or write \"closed\"".to_owned(),
        ));
    }
    let schema = Schema::parse(&request.schema.source).map_err(Error::InvalidSchema)?;
    let new = registry::NewGraph {
        graph_id,
        uri: request.uri,
        tenant: request.tenant,
        labels: request.labels,
        policy_file: request.policy.map(|policy| policy.file),
        graph_type: None,
    };
    let worker = app.clone();
    // On a thread of its own, which nobody's going away ends.
    blocking(move || {
        let registry = worker.directory.registry();
        let policy = new
            .policy_file
            .as_deref()
            .map(|written| registry.file().resolve(written));
        let registration = registry.create(new, |folder, graph| {
            initialise(folder, graph, schema, &principal, policy.as_deref())
        })?;
        tracing::info!(graph_id = registration.graph_id.as_str(), "created a graph");
        let known = worker.directory.know(registration);
        Ok(worker.directory.summary(&known))
    })
    .await
}

fn initialise(
    folder: &Path,
    graph: Uuid,
    schema: Schema,
    principal: &Principal,
    policy: Option<&Path>,
) -> Result<(), InitialiseError> {
    if let Some(policy) = policy {
        read_policy(policy).map_err(InitialiseError::Policy)?;
    }
    let new = storage_engine::NewGraph {
        graph,
        ..storage_engine::NewGraph::new(schema, &*principal.id)
    };
    Ok(Graph::create(folder, new)?)
}
