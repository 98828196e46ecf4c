//! Identities that people see.
//!
//! A node of a type with a key is known by its key. Everything else has an `id`: the property of that
//! name, where the type declares it, else what was given for it, else one that is made.

use std::sync::Arc;

use language::schema::{Property, scalar_to_json};
use language::value::{EdgeRef, Value};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::columns::Layout;
use crate::rows::Row;

/// The property that is an identity where it is declared, and the name in a load where it is not.
pub(crate) const ID: &str = "id";

/// Where the declared `id` stands among the properties of a type.
pub(crate) fn position(properties: &[Property]) -> Option<usize> {
    properties.iter().position(|property| property.name == ID)
}

/// The identity that a row has in its declared `id`.
pub(crate) fn declared(layout: &Layout, row: &Row) -> Option<Arc<str>> {
    of_value(row.values.get(layout.declared_id?)?)
}

/// The identity that a property's value is: text as it stands, all else as JSON writes it.
pub(crate) fn of_value(value: &Value) -> Option<Arc<str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(match scalar_to_json(other) {
            Json::String(text) => Arc::from(text),
            json => Arc::from(json.to_string()),
        }),
    }
}

/// The identity of an edge that was given none: the same each time it is asked for, and different
/// from that of every other edge of every graph. A UUID of version 8 (RFC 9562).
pub(crate) fn of_edge(graph: Uuid, edge: EdgeRef) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(graph.as_bytes());
    hash.update(edge.type_id.0.to_be_bytes());
    hash.update(edge.id.to_be_bytes());
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes
        .iter_mut()
        .zip(digest.iter())
        .for_each(|(to, from)| *to = *from);
    Builder::from_custom_bytes(bytes).into_uuid()
}
