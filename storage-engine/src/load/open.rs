//! Records of an open graph.
//!
//! `{"type": "Person", "data": {...}}` or `{"labels": ["Person", "Admin"], "data": {...}}`, and
//! `{"edge": "KNOWS", "from": ..., "to": ..., "data": {...}}`. The identity is `id` beside `data`,
//! else `data.id`, which stays a property too, else a new one. Times and floats that JSON has no
//! form for are objects of one member: `{"date": "2024-02-29"}`.

use std::sync::Arc;

use language::schema::{OpenTypes, Property, PropertyType, Schema};
use language::value::{EdgeRef, Value};
use serde_json::{Map, Value as Json};

use super::record::{Line, Record, identity};
use super::{EdgeRecord, End, NodeRecord};
use crate::identity::ID;
use crate::snapshot::Snapshot;

/// Reads a line, or says what is wrong with it.
pub(super) fn read(
    record: Line,
    line: u64,
    open: OpenTypes,
    declared: Option<&Schema>,
) -> Result<Record, String> {
    let given = given(&record)?;
    let declared = declarations(&record, declared);
    let properties = properties(record.data, &declared)?;
    match (record.edge, record.from, record.to) {
        (None, None, None) => {
            let labels = match (record.node, record.labels) {
                (Some(label), None) => vec![label],
                (None, labels) => labels.unwrap_or_default(),
                (Some(_), Some(_)) => {
                    return Err("a node has either `type` or `labels`".to_owned());
                }
            };
            let labels = distinct(Value::list(labels.into_iter().map(Value::string)));
            Ok(node(open, line, given, labels, properties))
        }
        (Some(name), Some(from), Some(to)) if record.node.is_none() && record.labels.is_none() => {
            let ends = (identity("from", &from)?, identity("to", &to)?);
            Ok(edge(open, line, given, &name, ends, properties))
        }
        (Some(_), ..) => Err("an edge needs `from` and `to`, and has no labels".to_owned()),
        (None, ..) => {
            Err("`from` and `to` belong to edges: use `edge` instead of `type`".to_owned())
        }
    }
}

/// A list's values, each once.
pub(super) fn distinct(list: Value) -> Vec<Value> {
    let Value::List(values) = list else {
        return Vec::new();
    };
    let mut distinct: Vec<Value> = Vec::new();
    for value in values.iter() {
        if !distinct.contains(value) {
            distinct.push(value.clone());
        }
    }
    distinct
}

pub(super) fn node(
    open: OpenTypes,
    line: u64,
    identity: Option<Arc<str>>,
    labels: Vec<Value>,
    properties: Value,
) -> Record {
    Record::Node(NodeRecord {
        line,
        type_id: open.node,
        identity,
        properties: vec![
            (open.labels, Value::list(labels)),
            (open.node_properties, properties),
        ],
    })
}

pub(super) fn edge(
    open: OpenTypes,
    line: u64,
    identity: Option<Arc<str>>,
    name: &str,
    (source, target): (Arc<str>, Arc<str>),
    properties: Value,
) -> Record {
    let end = |identity| End {
        type_id: open.node,
        key: vec![Value::String(identity)],
    };
    Record::Edge(EdgeRecord {
        line,
        type_id: open.edge,
        identity,
        source: end(source),
        target: end(target),
        properties: vec![
            (open.name, Value::string(name)),
            (open.edge_properties, properties),
        ],
    })
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

/// What is declared of an element, by its labels or its type.
fn declarations<'d>(record: &Line, declared: Option<&'d Schema>) -> Vec<&'d Property> {
    let Some(declared) = declared else {
        return Vec::new();
    };
    let labels = record.node.iter().chain(record.labels.iter().flatten());
    let nodes = labels.filter_map(|label| Some(&declared.node_type_named(label)?.properties));
    let edge = record.edge.iter();
    let edge = edge.filter_map(|name| Some(&declared.edge_type_named(name)?.properties));
    nodes.chain(edge).flatten().collect()
}

/// The properties as a map. A declared one is read as in a closed graph, unless it is an object: then it
/// says itself what it is.
fn properties(data: Map<String, Json>, declared: &[&Property]) -> Result<Value, String> {
    let mut typed = Vec::new();
    let mut rest = Map::new();
    for (name, json) in data {
        let known = declared.iter().find(|property| property.name == name);
        match known.filter(|_| !json.is_null() && !json.is_object()) {
            Some(property) => {
                let value = property.accept_json(&json);
                typed.push((
                    name,
                    value.map_err(|error| format!("{}: {error}", property.name))?,
                ));
            }
            None => drop(rest.insert(name, json)),
        }
    }
    let rest = PropertyType::Map
        .parse_json(&Json::Object(rest))
        .map_err(|error| error.to_string())?;
    match rest {
        Value::Map(map) if !typed.is_empty() => {
            let mut map = Arc::unwrap_or_clone(map);
            map.extend(typed);
            Ok(Value::Map(Arc::new(map)))
        }
        rest => Ok(rest),
    }
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
