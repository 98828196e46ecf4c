//! Making a graph, which ends or undoes itself even when the caller goes away.

use std::sync::Arc;

use api_types::{CreateGraphRequest, GraphState, GraphSummary, GraphType};
use language::diagnostic::Code;
use language::schema::Schema;
use policy::{Action, GraphRef, Principal};
use registry::config::GraphKind;
use registry::{GraphId, NewGraph};

use super::Versioned;
use crate::app::{Answered, App, Error, Key, blocking};

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    key: Option<Key>,
    request: CreateGraphRequest,
) -> Result<Answered<Versioned<GraphSummary>>, Error> {
    let permit = app.permit_server(principal, Action::GraphCreate)?;
    app.refuse_when_stopping()?;
    let graph_id = GraphId::parse(&request.graph_id).map_err(registry::Error::from)?;
    if let Some(tenant) = &request.tenant {
        let (tenant, labels) = (Some(tenant.clone()), request.labels.clone());
        let graph = GraphRef::new(graph_id.as_str(), tenant, labels, None);
        super::stays_in_reach(app, principal, graph)?;
    }
    let registry = app.registry.clone();
    // On a thread of its own, which nobody's going away ends. A schema may be long.
    blocking(move || {
        let created = registry.create(&permit, asked(graph_id, key, request)?)?;
        let graph_id = created.registration.graph_id.as_str();
        let replayed = created.replayed;
        tracing::info!(graph_id, replayed, "created a graph");
        let summary = GraphSummary {
            // As it was when it was made, whatever it is by now.
            state: GraphState::Closed,
            ..super::summary(&registry, &created.registration)
        };
        Ok(Answered {
            body: Versioned {
                body: summary,
                version: created.version,
            },
            repeated: created.replayed,
        })
    })
    .await
}

/// What is asked for, its schema read.
fn asked(
    graph_id: GraphId,
    key: Option<Key>,
    request: CreateGraphRequest,
) -> Result<NewGraph, Error> {
    let open = request.graph_type == Some(GraphType::Open);
    let source = &request.schema.source;
    let schema = if open {
        Schema::parse_open(source)
    } else {
        Schema::parse(source)
    };
    let schema = schema.map_err(|findings| match findings.as_slice() {
        [first, ..] if open && first.code == Code::Unsupported => {
            Error::Unsupported(first.message.clone())
        }
        _ => Error::InvalidSchema(findings),
    })?;
    let key = match key {
        Some(key) => {
            let body = serde_json::to_vec(&request).map_err(Error::Unreadable)?;
            let key = key.of("graphs_create", &(), &body)?;
            Some(registry::Key {
                key: key.key,
                request: registry::Digest::from(key.digest),
            })
        }
        None => None,
    };
    Ok(NewGraph {
        key,
        uri: request.uri,
        tenant: request.tenant,
        labels: request.labels,
        policy_file: request.policy.map(|policy| policy.file),
        graph_type: open.then_some(GraphKind::Open),
        ..NewGraph::new(graph_id, schema)
    })
}
