//! Records of an open graph.
//!
//! `{"type": "Person", "data": {...}}` or `{"labels": ["Person", "Admin"], "data": {...}}`, and
//! `{"edge": "KNOWS", "from": ..., "to": ..., "data": {...}}`. The identity is `id` beside `data`,
//! else `data.id`, which stays a property too, else a new one. Times and floats that JSON has no
//! form for are objects of one member: `{"date": "2024-02-29"}`.

use std::sync::Arc;

use language::schema::{OpenTypes, PropertyType};
use language::value::{EdgeRef, Value};
use serde_json::{Map, Value as Json};

use super::record::{Line, Record, identity};
use super::{EdgeRecord, End, NodeRecord};
use crate::identity::ID;
use crate::snapshot::Snapshot;

/// Reads a line, or says what is wrong with it.
pub(super) fn read(record: Line, line: u64, open: OpenTypes) -> Result<Record, String> {
    let given = given(&record)?;
    let properties = properties(record.data)?;
    match (record.edge, record.from, record.to) {
        (None, None, None) => {
            let labels = match (record.node, record.labels) {
                (Some(label), None) => vec![label],
                (None, labels) => labels.unwrap_or_default(),
                (Some(_), Some(_)) => {
                    return Err("a node has either `type` or `labels`".to_owned());
                }
            };
            let mut distinct: Vec<Value> = Vec::new();
            for label in labels.into_iter().map(Value::string) {
                if !distinct.contains(&label) {
                    distinct.push(label);
                }
            }
            Ok(Record::Node(NodeRecord {
                line,
                type_id: open.node,
                identity: given,
                properties: vec![
                    (open.labels, Value::list(distinct)),
                    (open.node_properties, properties),
                ],
            }))
        }
        (Some(name), Some(from), Some(to)) if record.node.is_none() && record.labels.is_none() => {
            let end = |side: &str, json: &Json| {
                let key = identity(side, json)?;
                Ok::<End, String>(End {
                    type_id: open.node,
                    key: vec![Value::String(key)],
                })
            };
            Ok(Record::Edge(EdgeRecord {
                line,
                type_id: open.edge,
                identity: given,
                source: end("from", &from)?,
                target: end("to", &to)?,
                properties: vec![
                    (open.name, Value::string(name)),
                    (open.edge_properties, properties),
                ],
            }))
        }
        (Some(_), ..) => Err("an edge needs `from` and `to`, and has no labels".to_owned()),
        (None, ..) => {
            Err("`from` and `to` belong to edges: use `edge` instead of `type`".to_owned())
        }
    }
}

fn given(record: &Line) -> Result<Option<Arc<str>>, String> {
    let own = record.data.get(ID).filter(|json| !json.is_null());
    record
        .id
        .as_ref()
        .or(own)
        .map(|json| identity("`id`", json))
        .transpose()
}

fn properties(data: Map<String, Json>) -> Result<Value, String> {
    PropertyType::Map
        .parse_json(&Json::Object(data))
        .map_err(|error| error.to_string())
}

/// Whether an edge has the type that a record names; edges of a closed graph always do.
pub(super) fn same_type(record: &EdgeRecord, edge: EdgeRef, snapshot: &Snapshot) -> bool {
    let Some(open) = snapshot.open() else {
        return true;
    };
    let wanted = record.properties.iter().find(|(id, _)| *id == open.name);
    let name = snapshot.edge_type_name(edge).map(Value::String);
    wanted.is_none_or(|(_, wanted)| Some(wanted) == name.as_ref())
}
