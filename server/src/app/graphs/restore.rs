//! Bringing a deleted graph back.

use std::sync::Arc;

use api_types::{DeletionParameters, GraphSummary};
use policy::{Action, Principal};

use super::Versioned;
use crate::app::{App, Error, blocking};

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    parameters: DeletionParameters,
) -> Result<Versioned<GraphSummary>, Error> {
    app.refuse_when_stopping()?;
    let (worker, principal) = (app.clone(), principal.clone());
    blocking(move || {
        let (permit, deleted) =
            worker.permit_deleted(&principal, Action::GraphRestore, &graph_id, &parameters)?;
        let graph = worker.registry.restore(&permit, &deleted)?;
        tracing::info!(graph_id = graph.graph_id.as_str(), "restored a graph");
        Ok(super::versioned(&worker.registry, &graph))
    })
    .await
}
