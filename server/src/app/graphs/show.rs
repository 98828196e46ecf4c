//! A graph in full.

use std::sync::Arc;

use api_types::{GraphDetails, GraphType, StorageDetails};
use policy::{Action, Principal};
use registry::config::GraphKind;

use crate::app::{App, Error, Target, blocking, outcome};

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
) -> Result<GraphDetails, Error> {
    let (known, permit) =
        app.permit_graph(principal, Action::GraphShow, Target::graph(&graph_id))?;
    let worker = app.clone();
    blocking(move || {
        let reader = worker.directory.reader(&permit, &known)?;
        let snapshot = reader.snapshot();
        let status = reader.status();
        let summary = worker.directory.summary(&known);
        Ok(GraphDetails {
            graph_id: summary.graph_id,
            uri: summary.uri,
            tenant: summary.tenant,
            labels: summary.labels,
            graph_type: match known.registration().entry.graph_type.unwrap_or_default() {
                GraphKind::Closed => GraphType::Closed,
                GraphKind::Open => GraphType::Open,
            },
            schema_version: snapshot.schema().version,
            head: outcome::commit(reader.head()),
            nodes: outcome::node_counts(snapshot),
            edges: outcome::edge_counts(snapshot),
            storage: StorageDetails {
                log_bytes: status.log_bytes,
                log_bytes_since_checkpoint: status.tail_bytes,
                rows_since_checkpoint: status.tail_rows as u64,
                resident_bytes: status.resident_bytes as u64,
            },
        })
    })
    .await
}
