//! `MERGE`: find by key or by ends, else make; the next row finds what this one made.

use language::plan::{Merge, MergePattern, MergeTarget, NewEdge, NewNode, SetItem, Slot};
use language::schema::PropertyId;
use language::value::{EdgeRef, NodeRef, Value};

use super::Writer;
use super::create::{self, Properties};
use super::set;
use crate::executor::Row;
use crate::executor::context::size_of_row;
use crate::executor::error::ExecuteError;
use crate::executor::matching::{MatchStage, stored_form};
use crate::executor::pipeline::{MORE, Stage};
use crate::executor::walk::SlotSet;

pub(super) fn run(
    writer: &mut Writer<'_, '_>,
    merge: &Merge,
    rows: Vec<Row>,
) -> Result<Vec<Row>, ExecuteError> {
    let mut result = Vec::with_capacity(rows.len());
    for mut row in rows {
        writer.statement.step()?;
        match &merge.target {
            MergeTarget::Node(node) => {
                let merged = merge_node(writer, node, &row);
                let (found, made) = merged.map_err(|error| error.at(node.span))?;
                row[node.slot.0] = Value::Node(found);
                apply(writer, merge, made, &row)?;
                result.push(row);
            }
            MergeTarget::Pattern(pattern) => {
                merge_pattern(writer, merge, pattern, &mut row, &mut result)?;
            }
            MergeTarget::Edge(edge) => {
                let merged = merge_edge(writer, edge, &row);
                let (found, made) = merged.map_err(|error| error.at(edge.span))?;
                for (place, found) in found.into_iter().enumerate() {
                    let mut row = row.clone();
                    row[edge.slot.0] = Value::Relationship(found);
                    apply(writer, merge, made, &row)?;
                    if place > 0 {
                        writer.statement.charge(size_of_row(&row))?;
                    }
                    result.push(row);
                }
            }
        }
    }
    Ok(result)
}

fn apply(
    writer: &mut Writer<'_, '_>,
    merge: &Merge,
    made: bool,
    row: &Row,
) -> Result<(), ExecuteError> {
    let items: &[SetItem] = if made {
        &merge.on_create
    } else {
        &merge.on_match
    };
    set::run(writer, items, row)
}

/// Every way to find a pattern, else the one that is made.
fn merge_pattern(
    writer: &mut Writer<'_, '_>,
    merge: &Merge,
    pattern: &MergePattern,
    row: &mut Row,
    result: &mut Vec<Row>,
) -> Result<(), ExecuteError> {
    let context = writer.context();
    for required in &pattern.required {
        if context.evaluate(&required.value, row)?.is_null() {
            return Err(ExecuteError::MergeNull {
                of: required.of.clone(),
                property: required.name.clone(),
                span: required.value.span,
            });
        }
    }
    let mut wanted = SlotSet::new(row.len());
    (0..row.len()).for_each(|slot| wanted.insert(Slot(slot)));
    let mut found: Vec<Row> = Vec::new();
    let mut stage = MatchStage::new(context, &pattern.matching, &wanted);
    // It never breaks: every way is wanted.
    let _more = stage.push(row, &mut |row| {
        context.statement.charge(size_of_row(row))?;
        found.push(row.clone());
        MORE
    })?;
    drop(stage);
    let made = found.is_empty();
    if made {
        found = create::run(writer, &pattern.create, vec![std::mem::take(row)])?;
    }
    for row in found {
        apply(writer, merge, made, &row)?;
        result.push(row);
    }
    Ok(())
}

/// The node that is there or was made, and whether it was made.
fn merge_node(
    writer: &mut Writer<'_, '_>,
    node: &NewNode,
    row: &Row,
) -> Result<(NodeRef, bool), ExecuteError> {
    let properties = wanted(
        writer,
        node.type_id,
        &node.properties,
        node.map.as_ref(),
        row,
    )?;
    let snapshot = writer.transaction.snapshot();
    let schema = snapshot.schema();
    let type_properties = schema.properties(node.type_id).unwrap_or_default();
    let key_ids = schema
        .node_type(node.type_id)
        .map(|t| t.key.as_slice())
        .unwrap_or_default();
    let mut key = Some(Vec::with_capacity(key_ids.len()));
    for property in type_properties
        .iter()
        .filter(|property| key_ids.contains(&property.id))
    {
        if !properties.iter().any(|(id, _)| *id == property.id) {
            return Err(ExecuteError::MergeKey {
                type_name: create::type_name(schema, node.type_id),
                property: property.name.clone(),
            });
        }
    }
    for id in key_ids {
        let value = properties
            .iter()
            .find(|(given, _)| given == id)
            .map(|(_, value)| value.clone());
        let property = type_properties.iter().find(|property| property.id == *id);
        let part = value
            .zip(property)
            .and_then(|(value, property)| stored_form(value, &property.value_type));
        key = key.zip(part).map(|(mut key, part)| {
            key.push(part);
            key
        });
    }
    let found = key
        .filter(|key| !key.is_empty())
        .and_then(|key| snapshot.node_by_key(node.type_id, &key));
    let equal = |found: NodeRef| {
        let mut parts = properties.iter();
        parts.all(|(id, value)| snapshot.node_property(found, *id).equals(value) == Some(true))
    };
    match found.filter(|found| equal(*found)) {
        Some(found) => Ok((found, false)),
        // With the key taken by a node that differs elsewhere, the transaction says which key.
        None => Ok((
            writer.transaction.create_node(node.type_id, properties)?,
            true,
        )),
    }
}

/// The relationships that are there, or the one that was made, and whether it was made.
fn merge_edge(
    writer: &mut Writer<'_, '_>,
    edge: &NewEdge,
    row: &Row,
) -> Result<(Vec<EdgeRef>, bool), ExecuteError> {
    let properties = wanted(
        writer,
        edge.type_id,
        &edge.properties,
        edge.map.as_ref(),
        row,
    )?;
    let (source, target) = create::ends(writer, edge, row)?;
    let snapshot = writer.transaction.snapshot();
    let equal = |found: EdgeRef| {
        let mut parts = properties.iter();
        parts.all(|(id, value)| snapshot.edge_property(found, *id).equals(value) == Some(true))
    };
    let mut found = Vec::new();
    let from_target =
        snapshot.in_degree(edge.type_id, target) < snapshot.out_degree(edge.type_id, source);
    let (outgoing, incoming) = if from_target {
        (None, Some(snapshot.incoming(edge.type_id, target)))
    } else {
        (Some(snapshot.outgoing(edge.type_id, source)), None)
    };
    let far = if from_target { source } else { target };
    for neighbour in outgoing
        .into_iter()
        .flatten()
        .chain(incoming.into_iter().flatten())
    {
        writer.statement.step()?;
        if neighbour.node == far && equal(neighbour.edge) {
            found.push(neighbour.edge);
        }
    }
    if !found.is_empty() {
        return Ok((found, false));
    }
    let made = writer
        .transaction
        .create_edge(edge.type_id, source, target, properties)?;
    Ok((vec![made], true))
}

/// The properties to find or make; none may be null.
fn wanted(
    writer: &Writer<'_, '_>,
    type_id: language::schema::TypeId,
    given: &[(PropertyId, language::plan::Expr)],
    map: Option<&language::plan::Expr>,
    row: &Row,
) -> Result<Properties, ExecuteError> {
    let properties = create::given(writer, type_id, given, map, row)?;
    if let Some((id, _)) = properties.iter().find(|(_, value)| value.is_null()) {
        let expr = given.iter().find(|(given, _)| given == id);
        let span = expr.map(|(_, expr)| expr.span).or(map.map(|map| map.span));
        let schema = writer.transaction.snapshot().schema();
        let named = schema.properties(type_id).unwrap_or_default().iter();
        let name = named
            .filter(|property| property.id == *id)
            .map(|property| property.name.clone())
            .next();
        return Err(ExecuteError::MergeNull {
            of: format!("`{}`", create::type_name(schema, type_id)),
            property: name.unwrap_or_default(),
            span: span.unwrap_or_default(),
        });
    }
    Ok(properties)
}
