//! Making a graph, which ends or undoes itself even when the caller goes away.

use std::sync::Arc;

use api_types::{CreateGraphRequest, GraphSummary, GraphType};
use language::diagnostic::Code;
use language::schema::Schema;
use policy::{Action, Principal};
use registry::config::GraphKind;
use registry::{GraphId, NewGraph};

use crate::app::{App, Error, blocking};

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    request: CreateGraphRequest,
) -> Result<GraphSummary, Error> {
    let permit = app.permit_server(principal, Action::GraphCreate)?;
    app.refuse_when_stopping()?;
    let graph_id = GraphId::parse(&request.graph_id).map_err(registry::Error::from)?;
    let open = request.graph_type == Some(GraphType::Open);
    let source = &request.schema.source;
    let schema = if open {
        Schema::parse_open(source)
    } else {
        Schema::parse(source)
    };
    let schema = schema.map_err(|findings| match findings.as_slice() {
        [only] if open && only.code == Code::Unsupported => {
            Error::Unsupported(only.message.clone())
        }
        _ => Error::InvalidSchema(findings),
    })?;
    let new = NewGraph {
        uri: request.uri,
        tenant: request.tenant,
        labels: request.labels,
        policy_file: request.policy.map(|policy| policy.file),
        graph_type: open.then_some(GraphKind::Open),
        ..NewGraph::new(graph_id, schema)
    };
    let registry = app.registry.clone();
    // On a thread of its own, which nobody's going away ends.
    blocking(move || {
        let registration = registry.create(&permit, new)?;
        tracing::info!(graph_id = registration.graph_id.as_str(), "created a graph");
        Ok(super::summary(&registry, &registration))
    })
    .await
}
