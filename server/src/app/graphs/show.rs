//! A graph in full, as far as its types may be read.

use std::sync::Arc;

use api_types::{GraphDetails, GraphType};
use policy::{Action, Principal};
use registry::config::GraphKind;

use super::Versioned;
use crate::app::{App, Error, Target, blocking, outcome, statement};

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
) -> Result<Versioned<GraphDetails>, Error> {
    let permit = app.permit_graph(principal, Action::GraphShow, Target::graph(&graph_id))?;
    let (reader, permit) = app.reader(permit).await?;
    let worker = app.clone();
    blocking(move || {
        let registration = worker
            .find(&graph_id)
            .ok_or(Error::NoSuchGraph { graph_id })?;
        let schema = reader.schema();
        let access = worker.access.load();
        let readable = access
            .authorizer
            .allowed_types(&permit, statement::all_types(schema, false));
        let (nodes, edges) = reader.counts(&readable).map_err(Error::WrongPermit)?;
        let status = reader.status().map_err(Error::Storage)?;
        let storage = super::storage::details(status, &|name| {
            nodes.contains_key(name) || edges.contains_key(name)
        });
        let summary = super::summary(&worker.registry, &registration);
        let body = GraphDetails {
            graph_id: summary.graph_id,
            uri: summary.uri,
            tenant: summary.tenant,
            labels: summary.labels,
            graph_type: match registration.entry.graph_type.unwrap_or_default() {
                GraphKind::Closed => GraphType::Closed,
                GraphKind::Open => GraphType::Open,
            },
            schema_version: schema.version,
            head: outcome::commit(reader.head()),
            nodes,
            edges,
            storage,
        };
        Ok(Versioned {
            body,
            version: registration.version(),
        })
    })
    .await
}
