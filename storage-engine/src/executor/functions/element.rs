//! Functions of nodes, relationships and paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use language::value::{EdgeRef, NodeRef, Value};

use super::{Answer, Call};
use crate::executor::error::ExecuteError;

pub(super) fn id(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Node(node) => Ok(call.context.snapshot.node_identity(*node)),
        Value::Relationship(edge) => Ok(call.context.snapshot.edge_identity(*edge)),
        other => Err(call.mismatch("a node or relationship", other)),
    }
}

pub(super) fn labels(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Node(node) => {
            let schema = call.context.snapshot.schema();
            let labels = schema
                .node_type(node.type_id)
                .into_iter()
                .flat_map(|t| t.labels());
            Ok(Value::list(labels.map(Value::from)))
        }
        other => Err(call.mismatch("a node", other)),
    }
}

pub(super) fn type_name(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Relationship(edge) => {
            let name = call.context.snapshot.schema().type_name(edge.type_id);
            Ok(name.map_or(Value::Null, Value::from))
        }
        other => Err(call.mismatch("a relationship", other)),
    }
}

pub(super) fn keys(call: Call<'_>, value: &Value) -> Answer {
    let map = property_map(call, value)?;
    Ok(Value::list(
        map.keys().map(|name| Value::from(name.as_str())),
    ))
}

pub(super) fn properties(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Map(map) => Ok(Value::Map(Arc::clone(map))),
        other => Ok(Value::Map(Arc::new(property_map(call, other)?))),
    }
}

fn property_map(call: Call<'_>, value: &Value) -> Result<BTreeMap<String, Value>, ExecuteError> {
    match value {
        Value::Map(map) => Ok(map.as_ref().clone()),
        Value::Node(_) | Value::Relationship(_) => Ok(call.context.properties_of(value)),
        other => Err(call.mismatch("a node, relationship or map", other)),
    }
}

pub(super) fn start_node(call: Call<'_>, value: &Value) -> Answer {
    ends(call, value).map(|ends| ends.map_or(Value::Null, |(source, _)| Value::Node(source)))
}

pub(super) fn end_node(call: Call<'_>, value: &Value) -> Answer {
    ends(call, value).map(|ends| ends.map_or(Value::Null, |(_, target)| Value::Node(target)))
}

fn ends(call: Call<'_>, value: &Value) -> Result<Option<(NodeRef, NodeRef)>, ExecuteError> {
    match value {
        Value::Relationship(edge) => Ok(call.context.snapshot.edge_ends(*edge)),
        other => Err(call.mismatch("a relationship", other)),
    }
}

pub(super) fn nodes(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Path(path) => Ok(Value::list(path.nodes.iter().copied().map(Value::Node))),
        other => Err(call.mismatch("a path", other)),
    }
}

pub(super) fn relationships(call: Call<'_>, value: &Value) -> Answer {
    let list = |edges: &[EdgeRef]| Value::list(edges.iter().copied().map(Value::Relationship));
    match value {
        Value::Path(path) => Ok(list(&path.edges)),
        other => Err(call.mismatch("a path", other)),
    }
}

pub(super) fn length(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Path(path) => Ok(Value::Int(
            i64::try_from(path.edges.len()).unwrap_or(i64::MAX),
        )),
        other => Err(call.mismatch("a path", other)),
    }
}
