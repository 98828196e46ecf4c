//! One line of a load -> one record.

use std::sync::Arc;

use language::diagnostic::closest;
use language::schema::{NodeType, Property, PropertyId, Schema, TypeId};
use language::value::Value;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::{EdgeRecord, End, NodeRecord};
use crate::identity::{self, ID};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    #[serde(rename = "type")]
    pub(super) node: Option<String>,
    /// In an open graph, in place of `type`.
    pub(super) labels: Option<Vec<String>>,
    /// In an open graph: the identity, where `data` has none or another `id`.
    pub(super) id: Option<Json>,
    pub(super) edge: Option<String>,
    pub(super) from: Option<Json>,
    pub(super) to: Option<Json>,
    #[serde(default)]
    pub(super) data: Map<String, Json>,
}

/// One record, as values.
#[derive(Debug)]
pub(super) enum Record {
    Node(NodeRecord),
    Edge(EdgeRecord),
}

impl Record {
    /// The type that it is of.
    pub(super) fn type_id(&self) -> TypeId {
        match self {
            Self::Node(node) => node.type_id,
            Self::Edge(edge) => edge.type_id,
        }
    }
}

/// Reads a line, or says what is wrong with it.
pub(super) fn read(bytes: &[u8], line: u64, schema: &Schema) -> Result<Record, String> {
    let record: Line = serde_json::from_slice(bytes).map_err(|error| describe(&error))?;
    if let Some(open) = schema.open() {
        return super::open::read(record, line, open, schema.declared());
    }
    if record.labels.is_some() || record.id.is_some() {
        return Err("`labels` and `id` beside `data` belong to open graphs".to_owned());
    }
    match record {
        Line {
            node: Some(name),
            edge: None,
            from: None,
            to: None,
            data,
            ..
        } => node(line, &name, &data, schema).map(Record::Node),
        Line {
            node: None,
            edge: Some(name),
            from: Some(from),
            to: Some(to),
            data,
            ..
        } => edge(line, &name, (&from, &to), &data, schema).map(Record::Edge),
        Line {
            node: None,
            edge: Some(_),
            ..
        } => Err("an edge needs `from` and `to`".to_owned()),
        Line {
            node: Some(_),
            edge: None,
            ..
        } => Err("`from` and `to` belong to edges: use `edge` instead of `type`".to_owned()),
        Line { .. } => Err("a record has either `type` (a node) or `edge`".to_owned()),
    }
}

/// A JSON error without its line, which is always 1 here.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(message, _)| message);
    match error.classify() {
        serde_json::error::Category::Data => message.to_owned(),
        _ => format!("not JSON at column {}: {message}", error.column()),
    }
}

fn node(
    line: u64,
    name: &str,
    data: &Map<String, Json>,
    schema: &Schema,
) -> Result<NodeRecord, String> {
    let Some(node_type) = schema.node_type_named(name) else {
        let known = schema
            .node_types
            .iter()
            .map(|node_type| node_type.name.as_str());
        return Err(unknown("node type", name, known));
    };
    let (properties, id) = properties(name, &node_type.properties, data)?;
    let identity = match node_type.key.as_slice() {
        [] => given_identity(name, id, &node_type.properties, &properties)?,
        key => {
            if let Some(id) = id {
                require_equal(node_type, key, id, &properties)?;
            }
            None
        }
    };
    Ok(NodeRecord {
        line,
        type_id: node_type.id,
        identity,
        properties,
    })
}

fn edge(
    line: u64,
    name: &str,
    (from, to): (&Json, &Json),
    data: &Map<String, Json>,
    schema: &Schema,
) -> Result<EdgeRecord, String> {
    let Some(edge_type) = schema.edge_type_named(name) else {
        let known = schema
            .edge_types
            .iter()
            .map(|edge_type| edge_type.name.as_str());
        return Err(unknown("edge type", name, known));
    };
    let (properties, id) = properties(name, &edge_type.properties, data)?;
    Ok(EdgeRecord {
        line,
        type_id: edge_type.id,
        identity: given_identity(name, id, &edge_type.properties, &properties)?,
        source: end(schema, edge_type.source, from).map_err(|error| format!("from: {error}"))?,
        target: end(schema, edge_type.target, to).map_err(|error| format!("to: {error}"))?,
        properties,
    })
}

type Properties = Vec<(PropertyId, Value)>;

/// The properties of `data`, and the `id` in it that is none.
fn properties<'a>(
    type_name: &str,
    declared: &[Property],
    data: &'a Map<String, Json>,
) -> Result<(Properties, Option<&'a Json>), String> {
    let mut values = Vec::with_capacity(data.len());
    let mut id = None;
    for (name, json) in data {
        match declared.iter().find(|property| property.name == *name) {
            Some(property) => {
                let value = property
                    .accept_json(json)
                    .map_err(|error| format!("{type_name}.{name}: {error}"))?;
                values.push((property.id, value));
            }
            None if name == ID => id = Some(json),
            None => {
                let known = declared.iter().map(|property| property.name.as_str());
                return Err(unknown(&format!("property of {type_name}"), name, known));
            }
        }
    }
    Ok((values, id))
}

pub(super) fn identity(type_name: &str, json: &Json) -> Result<Arc<str>, String> {
    match json {
        Json::String(text) if !text.is_empty() => Ok(Arc::from(text.as_str())),
        Json::Number(number) => Ok(Arc::from(number.to_string())),
        // An array can only be a composite key, which is compared as it stands.
        Json::Array(_) => Ok(Arc::from(json.to_string())),
        other => Err(format!(
            "{type_name}: an `id` is text or a number, not {other}"
        )),
    }
}

/// The identity that a record gives: the declared property `id`, or the `id` that is none.
fn given_identity(
    type_name: &str,
    id: Option<&Json>,
    declared: &[Property],
    properties: &Properties,
) -> Result<Option<Arc<str>>, String> {
    let Some(position) = identity::position(declared) else {
        return id.map(|id| identity(type_name, id)).transpose();
    };
    let wanted = declared.get(position).map(|property| property.id);
    let mut values = properties.iter();
    let value = values.find(|(property, _)| Some(*property) == wanted);
    Ok(value.and_then(|(_, value)| identity::of_value(value)))
}

fn require_equal(
    node_type: &NodeType,
    key: &[PropertyId],
    id: &Json,
    properties: &Properties,
) -> Result<(), String> {
    let given = key_values(node_type, key, id).map_err(|error| format!("id: {error}"))?;
    let value = |id: &PropertyId| {
        properties
            .iter()
            .find(|(other, _)| other == id)
            .map(|(_, value)| value)
    };
    if key.iter().map(value).eq(given.iter().map(Some)) {
        return Ok(());
    }
    Err(format!(
        "`id` is {id}, which is not the key of this {}",
        node_type.name
    ))
}

fn end(schema: &Schema, type_id: TypeId, json: &Json) -> Result<End, String> {
    let Some(node_type) = schema.node_type(type_id) else {
        return Err("the type of this end does not exist".to_owned());
    };
    let key = match node_type.key.as_slice() {
        [] => vec![Value::String(end_identity(node_type, json)?)],
        key => key_values(node_type, key, json)?,
    };
    Ok(End { type_id, key })
}

/// The identity of a node of a type without a key.
fn end_identity(node_type: &NodeType, json: &Json) -> Result<Arc<str>, String> {
    let Some(id) = node_type.property(ID) else {
        return identity(&node_type.name, json);
    };
    let value = id.value_type.parse_json(json).map_err(|e| e.to_string())?;
    identity::of_value(&value).ok_or_else(|| format!("{}: an `id` is never null", node_type.name))
}

/// The values of a key: one, or an array of as many as the key has properties.
fn key_values(node_type: &NodeType, key: &[PropertyId], json: &Json) -> Result<Vec<Value>, String> {
    let name = &node_type.name;
    let given: Vec<&Json> = match (json, key.len()) {
        (Json::Array(values), count) if values.len() == count => values.iter().collect(),
        (single, 1) if !single.is_array() => vec![single],
        (_, 1) => return Err(format!("the key of {name} is one value")),
        (_, count) => return Err(format!("the key of {name} is an array of {count} values")),
    };
    let convert = |(id, json): (&PropertyId, &Json)| {
        let property = node_type
            .properties
            .iter()
            .find(|property| property.id == *id);
        let value = property.map(|property| property.value_type.parse_json(json));
        match value {
            Some(Ok(value)) if !value.is_null() => Ok(value),
            Some(Err(error)) => Err(error.to_string()),
            _ => Err(format!("the key of {name} is never null")),
        }
    };
    key.iter().zip(given).map(convert).collect()
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match closest(name, known) {
        Some(close) => format!("`{name}` is no {what}; did you mean `{close}`?"),
        None => format!("`{name}` is no {what}"),
    }
}
