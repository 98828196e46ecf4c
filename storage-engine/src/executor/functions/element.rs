//! Functions of nodes, relationships and paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use language::plan::{Expr, Function};
use language::value::{EdgeRef, NodeRef, Value};

use super::{Answer, Call, Perhaps};
use crate::executor::context::Context;
use crate::executor::error::ExecuteError;

pub(super) fn call(call: Call<'_>, function: Function, value: &Value) -> Perhaps {
    Some(match function {
        Function::Id => id(call, value),
        Function::ElementId => id(call, value).map(element_id),
        Function::Labels => labels(call, value),
        Function::Type => type_name(call, value),
        Function::Keys => keys(call, value),
        Function::Properties => properties(call, value),
        Function::StartNode => start_node(call, value),
        Function::EndNode => end_node(call, value),
        Function::Nodes => nodes(call, value),
        Function::Relationships => relationships(call, value),
        Function::Length => length(call, value),
        _ => return None,
    })
}

/// What `elementId` makes of an identity: text.
pub(crate) fn element_id(identity: Value) -> Value {
    match identity {
        Value::String(_) => identity,
        other => Value::string(language::schema::scalar_to_json(&other).to_string()),
    }
}

/// What assignments are made of, where null is a value like any other or an error.
pub(super) fn of_null_too(
    context: Context<'_>,
    function: Function,
    arguments: &[Expr],
    row: &[Value],
) -> Perhaps {
    let [first, rest @ ..] = arguments else {
        return None;
    };
    match function {
        Function::Assigned => Some(assigned(context, first, row)),
        Function::Entry => Some(entry(context, first, rest.first()?, row)),
        _ => None,
    }
}

/// Null would stand for no properties at all, and take away all that there are.
fn assigned(context: Context<'_>, argument: &Expr, row: &[Value]) -> Answer {
    let value = context.evaluate(argument, row)?;
    let call = Call {
        context,
        name: "SET of all properties",
        span: argument.span,
    };
    match &value {
        Value::Map(_) | Value::Node(_) | Value::Relationship(_) => properties(call, &value),
        other => Err(call.mismatch("a map, node or relationship", other)),
    }
}

fn entry(context: Context<'_>, name: &Expr, value: &Expr, row: &[Value]) -> Answer {
    match context.evaluate(name, row)? {
        Value::String(name) => {
            let value = context.evaluate(value, row)?;
            Ok(Value::Map(Arc::new(BTreeMap::from([(
                name.to_string(),
                value,
            )]))))
        }
        other => Err(ExecuteError::Type {
            place: "the name of a property",
            expected: "a string",
            found: other.kind(),
            span: name.span,
        }),
    }
}

fn id(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Node(node) => Ok(call.context.snapshot.node_identity(*node)),
        Value::Relationship(edge) => Ok(call.context.snapshot.edge_identity(*edge)),
        other => Err(call.mismatch("a node or relationship", other)),
    }
}

fn labels(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Node(node) => {
            call.context.require_there(value, "the labels", call.span)?;
            let labels = call.context.snapshot.node_labels(*node);
            Ok(Value::list(labels.into_iter().map(Value::String)))
        }
        other => Err(call.mismatch("a node", other)),
    }
}

fn type_name(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Relationship(edge) => {
            let context = call.context;
            let name = context.snapshot.edge_type_name(*edge);
            let name = name.or_else(|| context.statement.type_of_deleted(*edge));
            Ok(name.map_or(Value::Null, Value::String))
        }
        other => Err(call.mismatch("a relationship", other)),
    }
}

fn keys(call: Call<'_>, value: &Value) -> Answer {
    let map = property_map(call, value)?;
    Ok(Value::list(
        map.keys().map(|name| Value::from(name.as_str())),
    ))
}

fn properties(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Map(map) => Ok(Value::Map(Arc::clone(map))),
        other => Ok(Value::Map(Arc::new(property_map(call, other)?))),
    }
}

fn property_map(call: Call<'_>, value: &Value) -> Result<BTreeMap<String, Value>, ExecuteError> {
    match value {
        Value::Map(map) => Ok(map.as_ref().clone()),
        Value::Node(_) | Value::Relationship(_) => {
            call.context
                .require_there(value, "the properties", call.span)?;
            Ok(call.context.properties_of(value))
        }
        other => Err(call.mismatch("a node, relationship or map", other)),
    }
}

fn start_node(call: Call<'_>, value: &Value) -> Answer {
    ends(call, value).map(|ends| ends.map_or(Value::Null, |(source, _)| Value::Node(source)))
}

fn end_node(call: Call<'_>, value: &Value) -> Answer {
    ends(call, value).map(|ends| ends.map_or(Value::Null, |(_, target)| Value::Node(target)))
}

fn ends(call: Call<'_>, value: &Value) -> Result<Option<(NodeRef, NodeRef)>, ExecuteError> {
    match value {
        Value::Relationship(edge) => Ok(call.context.snapshot.edge_ends(*edge)),
        other => Err(call.mismatch("a relationship", other)),
    }
}

fn nodes(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Path(path) => Ok(Value::list(path.nodes.iter().copied().map(Value::Node))),
        other => Err(call.mismatch("a path", other)),
    }
}

fn relationships(call: Call<'_>, value: &Value) -> Answer {
    let list = |edges: &[EdgeRef]| Value::list(edges.iter().copied().map(Value::Relationship));
    match value {
        Value::Path(path) => Ok(list(&path.edges)),
        other => Err(call.mismatch("a path", other)),
    }
}

fn length(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Path(path) => Ok(Value::Int(
            i64::try_from(path.edges.len()).unwrap_or(i64::MAX),
        )),
        other => Err(call.mismatch("a path", other)),
    }
}
