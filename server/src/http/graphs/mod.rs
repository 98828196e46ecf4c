//! `/graphs`.

pub(super) mod create;
pub(super) mod list;
pub(super) mod show;

use std::hash::{DefaultHasher, Hash, Hasher};

use api_types::GraphSummary;

/// The version of a registration: another one when anything in it that can be changed is changed.
fn etag(graph: &GraphSummary) -> String {
    let mut hasher = DefaultHasher::new();
    (&graph.graph_id, &graph.uri, &graph.tenant, &graph.labels).hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}
