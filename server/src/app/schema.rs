//! What a graph may contain.

use std::sync::Arc;

use api_types::SchemaResponse;
use policy::{Action, Principal};
use sha2::{Digest, Sha256};

use super::{App, Error, Target, blocking, outcome};

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
) -> Result<SchemaResponse, Error> {
    let permit = app.permit_graph(principal, Action::SchemaRead, Target::graph(&graph_id))?;
    let (reader, _) = app.reader(permit).await?;
    blocking(move || {
        let schema = reader.schema();
        let (mut node_types, mut edge_types) = outcome::types(schema);
        // Of an open graph: beside its two tables, what is declared of some labels and types.
        if let Some(declared) = schema.declared() {
            let (nodes, edges) = outcome::types(declared);
            node_types.extend(nodes);
            edge_types.extend(edges);
        }
        Ok(SchemaResponse {
            source: schema.source.clone(),
            digest: hex::encode(Sha256::digest(schema.source.as_bytes())),
            version: schema.version,
            node_types,
            edge_types,
        })
    })
    .await
}
