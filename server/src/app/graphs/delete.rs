//! Taking a graph out of the registry at once, its data kept for a while.

use std::sync::Arc;

use api_types::DeletedGraph;
use policy::{Action, Principal};
use registry::Condition;

use crate::app::{App, Error, Target, blocking, outcome};

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    condition: Condition,
) -> Result<DeletedGraph, Error> {
    let permit = app.permit_graph(principal, Action::GraphDelete, Target::graph(&graph_id))?;
    app.refuse_when_stopping()?;
    let registry = app.registry.clone();
    blocking(move || {
        let deleted = registry.delete(&permit, &condition)?;
        tracing::info!(graph_id = deleted.graph_id.as_str(), "deleted a graph");
        Ok(DeletedGraph {
            graph_id: deleted.graph_id.to_string(),
            deletion: deleted.deletion.to_string(),
            uri: deleted.entry.uri.clone(),
            deleted_at: outcome::time(deleted.deleted_micros),
            purge_after: outcome::time(deleted.purge_after_micros),
        })
    })
    .await
}
