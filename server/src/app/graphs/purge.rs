//! Removing the data of a deleted graph before its time.

use std::sync::Arc;

use api_types::{DeletionParameters, PurgedGraph};
use policy::{Action, Principal};
use registry::Stage;

use crate::app::{App, Error, blocking, outcome};

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    parameters: DeletionParameters,
) -> Result<PurgedGraph, Error> {
    app.refuse_when_stopping()?;
    let (worker, principal) = (app.clone(), principal.clone());
    blocking(move || {
        let (permit, deleted) =
            worker.permit_deleted(&principal, Action::GraphDelete, &graph_id, &parameters)?;
        let purged = worker.registry.purge(&permit, &deleted)?;
        tracing::info!(graph_id = purged.graph_id.as_str(), "purged a graph");
        let at = match purged.stage {
            Stage::Purged(at) => at,
            Stage::Kept | Stage::Purging => purged.purge_after_micros,
        };
        Ok(PurgedGraph {
            graph_id: purged.graph_id.to_string(),
            deletion: purged.deletion.to_string(),
            uri: purged.entry.uri.clone(),
            deleted_at: outcome::time(purged.deleted_micros),
            purged_at: outcome::time(at),
        })
    })
    .await
}
