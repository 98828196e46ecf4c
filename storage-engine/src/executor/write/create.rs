//! `CREATE`.

use std::collections::BTreeMap;
use std::sync::Arc;

use language::diagnostic::closest;
use language::plan::{Create, Expr, ExprKind, NewEdge, NewElement, NewNode, NewPath, Slot};
use language::schema::{PropertyId, Schema, TypeId};
use language::value::{EdgeRef, NodeRef, Path, Value};

use super::Writer;
use crate::executor::Row;
use crate::executor::error::ExecuteError;

/// The properties of an element to make, null ones left out.
pub(super) type Properties = Vec<(PropertyId, Value)>;

pub(super) fn run(
    writer: &mut Writer<'_, '_>,
    create: &Create,
    mut rows: Vec<Row>,
) -> Result<Vec<Row>, ExecuteError> {
    for row in &mut rows {
        writer.statement.step()?;
        for element in &create.elements {
            match element {
                NewElement::Node(node) => make_node(writer, node, row)?,
                NewElement::Edge(edge) => make_edge(writer, edge, row)?,
            }
        }
        for path in &create.paths {
            row[path.slot.0] = path_value(path, row);
        }
    }
    Ok(rows)
}

fn make_node(
    writer: &mut Writer<'_, '_>,
    node: &NewNode,
    row: &mut Row,
) -> Result<(), ExecuteError> {
    let mut properties = given(
        writer,
        node.type_id,
        &node.properties,
        node.map.as_ref(),
        row,
    )
    .map_err(|error| error.at(node.span))?;
    properties.retain(|(_, value)| !value.is_null());
    let made = writer.transaction.create_node(node.type_id, properties);
    let made = made.map_err(|error| ExecuteError::from(error).at(node.span))?;
    row[node.slot.0] = Value::Node(made);
    Ok(())
}

fn make_edge(
    writer: &mut Writer<'_, '_>,
    edge: &NewEdge,
    row: &mut Row,
) -> Result<(), ExecuteError> {
    let mut properties = given(
        writer,
        edge.type_id,
        &edge.properties,
        edge.map.as_ref(),
        row,
    )
    .map_err(|error| error.at(edge.span))?;
    properties.retain(|(_, value)| !value.is_null());
    let (source, target) = ends(writer, edge, row)?;
    let made = writer
        .transaction
        .create_edge(edge.type_id, source, target, properties);
    let made = made.map_err(|error| ExecuteError::from(error).at(edge.span))?;
    row[edge.slot.0] = Value::Relationship(made);
    Ok(())
}

/// The ends of a relationship to make.
pub(super) fn ends(
    writer: &Writer<'_, '_>,
    edge: &NewEdge,
    row: &Row,
) -> Result<(NodeRef, NodeRef), ExecuteError> {
    let node = |slot: Slot, end| match row[slot.0] {
        Value::Node(node) => Ok(node),
        _ => {
            let type_name = edge_name(writer.transaction.snapshot().schema(), edge);
            Err(ExecuteError::MissingEnd { type_name, end }.at(edge.span))
        }
    };
    Ok((node(edge.source, "source")?, node(edge.target, "target")?))
}

/// The properties given in the text, or by a map; null values are kept.
pub(super) fn given(
    writer: &Writer<'_, '_>,
    type_id: TypeId,
    properties: &[(PropertyId, Expr)],
    map: Option<&Expr>,
    row: &Row,
) -> Result<Properties, ExecuteError> {
    let context = writer.context();
    let mut result = Vec::with_capacity(properties.len());
    for (id, expr) in properties {
        result.push((*id, context.evaluate(expr, row)?));
    }
    if let Some(expr) = map {
        match context.evaluate(expr, row)? {
            Value::Map(map) => result.extend(by_name(context.snapshot.schema(), type_id, &map)?),
            other => {
                return Err(ExecuteError::Type {
                    place: "the properties of a new element",
                    expected: "a map",
                    found: other.kind(),
                    span: expr.span,
                });
            }
        }
    }
    Ok(result)
}

/// The entries of a map as properties of a type.
pub(super) fn by_name(
    schema: &Schema,
    type_id: TypeId,
    map: &BTreeMap<String, Value>,
) -> Result<Properties, ExecuteError> {
    let properties = schema.properties(type_id).unwrap_or_default();
    map.iter()
        .map(|(name, value)| {
            let property = properties.iter().find(|property| property.name == *name);
            let property = property.ok_or_else(|| {
                let names = properties.iter().map(|property| property.name.as_str());
                ExecuteError::UnknownProperty {
                    type_name: type_name(schema, type_id),
                    property: name.clone(),
                    suggestion: closest(name, names).map(str::to_owned),
                }
            })?;
            Ok((property.id, value.clone()))
        })
        .collect()
}

/// The type of a relationship to make, for messages: in an open graph it is a value.
fn edge_name(schema: &Schema, edge: &NewEdge) -> String {
    let name = schema.open().map(|open| open.name);
    let mut given = edge.properties.iter();
    match given
        .find(|(id, _)| Some(*id) == name)
        .map(|(_, value)| &value.kind)
    {
        Some(ExprKind::Literal(Value::String(name))) => name.to_string(),
        _ => type_name(schema, edge.type_id),
    }
}

/// The name of a type, for messages.
pub(super) fn type_name(schema: &Schema, type_id: TypeId) -> String {
    schema
        .type_name(type_id)
        .unwrap_or("a dropped type")
        .to_owned()
}

fn path_value(path: &NewPath, row: &Row) -> Value {
    let mut nodes: Vec<NodeRef> = Vec::new();
    let mut edges: Vec<EdgeRef> = Vec::new();
    for slot in &path.elements {
        match &row[slot.0] {
            Value::Node(node) => nodes.push(*node),
            Value::Relationship(edge) => edges.push(*edge),
            _ => return Value::Null,
        }
    }
    Value::Path(Arc::new(Path { nodes, edges }))
}
