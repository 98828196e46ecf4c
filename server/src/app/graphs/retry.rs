//! Opening a graph again that was set aside, without waiting for its turn.

use std::sync::Arc;

use api_types::GraphSummary;
use policy::{Action, Principal};

use super::Versioned;
use crate::app::{App, Error, Target, blocking};

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
) -> Result<Versioned<GraphSummary>, Error> {
    let permit = app.permit_graph(principal, Action::GraphUpdate, Target::graph(&graph_id))?;
    app.refuse_when_stopping()?;
    let (wait, registry) = (app.openings.enter(&permit)?, app.registry.clone());
    blocking(move || {
        let _wait = wait;
        let graph = registry.retry(&permit)?;
        Ok(super::versioned(&registry, &graph))
    })
    .await
}
