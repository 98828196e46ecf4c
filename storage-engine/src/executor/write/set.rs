//! `SET` and `REMOVE`: assignments in the order of the text, each seeing those before it.

use std::collections::BTreeMap;

use language::plan::{Expr, SetItem};
use language::schema::{PropertyId, TypeId};
use language::value::{EdgeRef, NodeRef, Value};

use super::Writer;
use super::create::{self, Properties};
use crate::executor::Row;
use crate::executor::error::ExecuteError;

/// What is assigned to.
#[derive(Clone, Copy)]
enum Element {
    Node(NodeRef),
    Edge(EdgeRef),
}

impl Element {
    const fn type_id(self) -> TypeId {
        match self {
            Self::Node(node) => node.type_id,
            Self::Edge(edge) => edge.type_id,
        }
    }
}

pub(super) fn run(
    writer: &mut Writer<'_, '_>,
    items: &[SetItem],
    row: &Row,
) -> Result<(), ExecuteError> {
    for item in items {
        let (target, value) = match item {
            SetItem::Property { target, value, .. } | SetItem::Properties { target, value, .. } => {
                (target, value)
            }
        };
        let element = match &row[target.0] {
            Value::Null => continue,
            Value::Node(node) => Element::Node(*node),
            Value::Relationship(edge) => Element::Edge(*edge),
            other => {
                return Err(ExecuteError::Type {
                    place: "SET",
                    expected: "a node or relationship",
                    found: other.kind(),
                    span: value.span,
                });
            }
        };
        let changes = match item {
            SetItem::Property { ids, value, .. } => one(writer, element, ids, value, row),
            SetItem::Properties { replace, value, .. } => {
                all(writer, element, *replace, value, row)
            }
        };
        let changes = changes.map_err(|error| error.at(value.span))?;
        let changed = match element {
            Element::Node(node) => writer.transaction.set_node(node, changes),
            Element::Edge(edge) => writer.transaction.set_edge(edge, changes),
        };
        changed.map_err(|error| ExecuteError::from(error).at(value.span))?;
    }
    Ok(())
}

fn one(
    writer: &Writer<'_, '_>,
    element: Element,
    ids: &BTreeMap<TypeId, PropertyId>,
    value: &Expr,
    row: &Row,
) -> Result<Properties, ExecuteError> {
    let context = writer.context();
    let Some(id) = ids.get(&element.type_id()) else {
        let schema = context.snapshot.schema();
        let name = ids.iter().find_map(|(type_id, id)| {
            let mut properties = schema.properties(*type_id)?.iter();
            properties
                .find(|property| property.id == *id)
                .map(|property| property.name.clone())
        });
        return Err(ExecuteError::UnknownProperty {
            type_name: create::type_name(schema, element.type_id()),
            property: name.unwrap_or_default(),
            suggestion: None,
        });
    };
    Ok(vec![(*id, context.evaluate(value, row)?)])
}

fn all(
    writer: &Writer<'_, '_>,
    element: Element,
    replace: bool,
    value: &Expr,
    row: &Row,
) -> Result<Properties, ExecuteError> {
    let context = writer.context();
    let schema = context.snapshot.schema();
    let map = match context.evaluate(value, row)? {
        Value::Map(map) => map.as_ref().clone(),
        from @ (Value::Node(_) | Value::Relationship(_)) => context.properties_of(&from),
        other => {
            return Err(ExecuteError::Type {
                place: "SET of all properties",
                expected: "a map, node or relationship",
                found: other.kind(),
                span: value.span,
            });
        }
    };
    let mut changes = create::by_name(schema, element.type_id(), &map)?;
    if replace {
        // A node keeps its key.
        let node_type = schema.node_type(element.type_id());
        let key = node_type.map_or(&[][..], |node_type| &node_type.key);
        let others = schema.properties(element.type_id()).unwrap_or_default();
        for property in others.iter().filter(|property| !key.contains(&property.id)) {
            if !changes.iter().any(|(id, _)| *id == property.id) {
                changes.push((property.id, Value::Null));
            }
        }
    }
    Ok(changes)
}
