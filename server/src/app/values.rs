//! Values as answers show them: nodes, relationships and paths with what one snapshot knows of them.
//!
//! A node is `{id, labels, properties}`, a relationship `{id, type, start, end, properties}`, a path
//! `{nodes, relationships}`; everything else is as `language` writes it.

use std::collections::BTreeMap;

use language::Value;
use language::schema::{Entity, scalar_to_json, to_json};
use language::value::{EdgeRef, NodeRef};
use serde_json::{Value as Json, json};
use storage_engine::Snapshot;

/// The value as it stands in a row.
pub(crate) fn value_to_json(snapshot: &Snapshot, value: &Value) -> Json {
    to_json(value, &|entity| match entity {
        Entity::Node(node) => node_to_json(snapshot, node),
        Entity::Relationship(edge) => edge_to_json(snapshot, edge),
        Entity::Path(path) => {
            let nodes = path.nodes.iter().map(|node| node_to_json(snapshot, *node));
            let edges = path.edges.iter().map(|edge| edge_to_json(snapshot, *edge));
            json!({"nodes": nodes.collect::<Json>(), "relationships": edges.collect::<Json>()})
        }
    })
}

fn node_to_json(snapshot: &Snapshot, node: NodeRef) -> Json {
    let node_type = snapshot.schema().node_type(node.type_id);
    let labels = node_type.map(|node_type| node_type.labels().map(Json::from).collect::<Json>());
    json!({
        "id": scalar_to_json(&snapshot.node_identity(node)),
        "labels": labels.unwrap_or_else(|| json!([])),
        "properties": properties(snapshot.node_properties(node)),
    })
}

fn edge_to_json(snapshot: &Snapshot, edge: EdgeRef) -> Json {
    let identity = |node| scalar_to_json(&snapshot.node_identity(node));
    let (start, end) = match snapshot.edge_ends(edge) {
        Some((start, end)) => (identity(start), identity(end)),
        // A relationship that the statement itself deleted.
        None => (Json::Null, Json::Null),
    };
    json!({
        "id": scalar_to_json(&snapshot.edge_identity(edge)),
        "type": snapshot.schema().type_name(edge.type_id),
        "start": start,
        "end": end,
        "properties": properties(snapshot.edge_properties(edge)),
    })
}

fn properties(properties: BTreeMap<String, Value>) -> Json {
    let members = properties
        .into_iter()
        .map(|(name, value)| (name, scalar_to_json(&value)));
    Json::Object(members.collect())
}
