//! Changing a graph's tenant, labels and policy.

use std::sync::Arc;

use api_types::{GraphSummary, UpdateGraphRequest};
use policy::{Action, Principal};
use registry::{Condition, GraphUpdate};

use super::Versioned;
use crate::app::{App, Error, Target, blocking};

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    condition: Condition,
    request: UpdateGraphRequest,
) -> Result<Versioned<GraphSummary>, Error> {
    let target = Target::graph(&graph_id);
    let permit = app.permit_graph(principal, Action::GraphUpdate, target)?;
    // Whoever replaces the policy decides who may do the rest: more than a description.
    let of_policy = request.policy.as_ref();
    let of_policy = of_policy
        .map(|_| app.permit_graph(principal, Action::PolicyUpdate, target))
        .transpose()?;
    app.refuse_when_stopping()?;
    let update = GraphUpdate {
        tenant: request.tenant,
        labels: request.labels,
        policy_file: request
            .policy
            .map(|policy| policy.map(|policy| policy.file)),
    };
    if let Some(graph) = app.find(&graph_id) {
        super::stays_in_reach(app, principal, app.registry.as_updated(&graph, &update))?;
    }
    let registry = app.registry.clone();
    blocking(move || {
        let graph = registry.update(&permit, of_policy.as_ref(), &update, &condition)?;
        tracing::info!(
            graph_id = graph.graph_id.as_str(),
            "changed a graph's registration"
        );
        Ok(super::versioned(&registry, &graph))
    })
    .await
}
