//! Records as lines of JSON.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use language::schema::{EdgeType, NodeType, Property, scalar_to_json, to_tagged_json};
use language::value::{NodeRef, Value};
use serde_json::{Map, Value as Json, json};

use crate::cold::ColumnError;
use crate::snapshot::Snapshot;

/// Lines are handed over in chunks of about this many bytes.
const CHUNK: usize = 64 << 10;

/// Gives every record, nodes before edges, or those of one type, in chunks of whole lines. Stops
/// early when `sink` breaks. The columns of one type at a time are read for it.
pub(super) fn write(
    snapshot: &Snapshot,
    only: Option<&str>,
    sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), Arc<ColumnError>> {
    let schema = snapshot.schema();
    // In an open graph it is the rows that are called so.
    let is_open = schema.open().is_some();
    let wanted = |name: &str| is_open || only.is_none_or(|only| only == name);
    let called = only.filter(|_| is_open);
    let mut chunk = Vec::with_capacity(CHUNK + 1024);
    let mut pour = |records: &mut dyn Iterator<Item = Json>| {
        for record in records {
            chunk.extend_from_slice(record.to_string().as_bytes());
            chunk.push(b'\n');
            if chunk.len() >= CHUNK {
                sink(&chunk)?;
                chunk.clear();
            }
        }
        ControlFlow::Continue(())
    };
    for node_type in schema.node_types.iter().filter(|it| wanted(&it.name)) {
        let own = snapshot.with_whole(node_type.id)?;
        let is_called = |node: &NodeRef| {
            called.is_none_or(|name| own.node_labels(*node).iter().any(|it| **it == *name))
        };
        let nodes = own.nodes(node_type.id).filter(is_called);
        let mut records = nodes.map(|node| node_record(&own, node_type, node));
        if pour(&mut records).is_break() {
            return Ok(());
        }
    }
    for edge_type in schema.edge_types.iter().filter(|it| wanted(&it.name)) {
        let own = snapshot.with_whole(edge_type.id)?;
        if pour(&mut edge_records(&own, edge_type, called)).is_break() {
            return Ok(());
        }
    }
    if !chunk.is_empty() {
        // Nothing comes after it.
        let _ = sink(&chunk);
    }
    Ok(())
}

fn node_record(snapshot: &Snapshot, node_type: &NodeType, node: NodeRef) -> Json {
    if snapshot
        .open()
        .is_some_and(|open| open.node == node.type_id)
    {
        let labels = snapshot.node_labels(node);
        let mut record = open_record(snapshot.node_identity(node), snapshot.node_properties(node));
        match labels.as_slice() {
            [only] => record.insert("type".to_owned(), json!(only)),
            labels => record.insert("labels".to_owned(), json!(labels)),
        };
        return Json::Object(record);
    }
    let mut data = Map::new();
    if node_type.key.is_empty() {
        data.insert(
            "id".to_owned(),
            scalar_to_json(&snapshot.node_identity(node)),
        );
    }
    // A declared `id` is the identity, and stands in its place.
    for property in &node_type.properties {
        put(
            &mut data,
            property,
            &snapshot.node_property(node, property.id),
        );
    }
    json!({"type": node_type.name, "data": data})
}

fn edge_records<'a>(
    snapshot: &'a Snapshot,
    edge_type: &'a EdgeType,
    called: Option<&'a str>,
) -> impl Iterator<Item = Json> + 'a {
    snapshot.edges(edge_type.id).filter_map(move |edge| {
        let (source, target) = snapshot.edge_ends(edge)?;
        if snapshot
            .open()
            .is_some_and(|open| open.edge == edge.type_id)
        {
            let properties = snapshot.edge_properties(edge);
            let mut record = open_record(snapshot.edge_identity(edge), properties);
            let ends = [("from", source), ("to", target)];
            let name = snapshot.edge_type_name(edge)?;
            if called.is_some_and(|called| *called != *name) {
                return None;
            }
            record.insert("edge".to_owned(), json!(name));
            record.extend(ends.map(|(side, node)| {
                (
                    side.to_owned(),
                    scalar_to_json(&snapshot.node_identity(node)),
                )
            }));
            return Some(Json::Object(record));
        }
        let mut data = Map::new();
        if edge_type.property("id").is_none() {
            data.insert(
                "id".to_owned(),
                scalar_to_json(&snapshot.edge_identity(edge)),
            );
        }
        for property in &edge_type.properties {
            put(
                &mut data,
                property,
                &snapshot.edge_property(edge, property.id),
            );
        }
        Some(json!({
            "edge": edge_type.name,
            "from": scalar_to_json(&snapshot.node_identity(source)),
            "to": scalar_to_json(&snapshot.node_identity(target)),
            "data": data,
        }))
    })
}

/// The identity and the properties of an element of an open graph. A property `id` that says the
/// same as the identity stands for both.
fn open_record(identity: Value, properties: BTreeMap<String, Value>) -> Map<String, Json> {
    let mut record = Map::new();
    let own = properties
        .get(crate::identity::ID)
        .and_then(crate::identity::of_value);
    if own.map(Value::String) != Some(identity.clone()) {
        record.insert("id".to_owned(), scalar_to_json(&identity));
    }
    let data = properties
        .iter()
        .map(|(name, value)| (name.clone(), to_tagged_json(value)));
    record.insert("data".to_owned(), Json::Object(data.collect()));
    record
}

/// Null is left out, unless a load would put a default in its place.
fn put(data: &mut Map<String, Json>, property: &Property, value: &Value) {
    if !value.is_null() || property.default.is_some() {
        data.insert(property.name.clone(), scalar_to_json(value));
    }
}
