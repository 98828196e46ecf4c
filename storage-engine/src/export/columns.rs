//! The rows of one type as columns: its properties by name, `id` where neither a key nor a property
//! is the identity, and for edges `from` and `to`, or, where the key has several properties,
//! `from.<property>` and `to.<property>` for each. What is null is null.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema as ArrowSchema, SchemaRef};
use language::schema::{EdgeType, NodeType, Property, PropertyId, PropertyType, Schema};
use language::value::{EdgeRef, NodeRef, Value};

use super::ExportError;
use crate::batches::{self, BatchError, BatchWriter};
use crate::columns::{column, data_type};
use crate::executor::size_of_row;
use crate::identity::{self, ID};
use crate::snapshot::Snapshot;

/// Begins a file of columns.
pub(super) type Begin = fn(&SchemaRef) -> Result<BatchWriter, BatchError>;

/// The columns of the ends.
pub(super) const ENDS: [(End, &str); 2] = [(End::Source, "from"), (End::Target, "to")];

/// Of an edge.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Source,
    Target,
}

/// Where the values of a column come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Identity,
    Property(PropertyId),
    /// Of an open graph.
    Named(String),
    /// Of a node of an open graph.
    Labels,
    /// A property of the key of an end, or the identity of the end.
    End(End, Option<PropertyId>),
}

/// A column of an export.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) value_type: PropertyType,
    pub(super) source: Source,
}

impl Column {
    pub(super) fn text(name: &str, source: Source) -> Self {
        Self {
            name: name.to_owned(),
            value_type: PropertyType::String,
            source,
        }
    }

    fn property(property: &Property) -> Self {
        Self {
            name: property.name.clone(),
            value_type: property.value_type.clone(),
            source: Source::Property(property.id),
        }
    }
}

/// Refuses what has no columns that a load could tell apart.
pub(super) fn check(schema: &Schema, name: &str) -> Result<(), ExportError> {
    let Some(edge_type) = schema.edge_type_named(name) else {
        return Ok(());
    };
    let is_end = |property: &&Property| ENDS.iter().any(|(_, end)| property.name == *end);
    match edge_type.properties.iter().find(is_end) {
        None => Ok(()),
        Some(property) => Err(ExportError::Ambiguous {
            type_name: name.to_owned(),
            property: property.name.clone(),
        }),
    }
}

/// Gives the rows of the type. Stops early when `sink` breaks.
pub(super) fn write(
    snapshot: &Snapshot,
    name: &str,
    begin: Begin,
    sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), ExportError> {
    let schema = snapshot.schema();
    if let Some(node_type) = schema.node_type_named(name) {
        let rows = snapshot.nodes(node_type.id).map(Row::Node);
        return pour(snapshot, &of_nodes(node_type), rows, begin, sink);
    }
    if let Some(edge_type) = schema.edge_type_named(name) {
        let rows = snapshot.edges(edge_type.id).filter_map(|edge| {
            let (source, target) = snapshot.edge_ends(edge)?;
            Some(Row::Edge(edge, source, target))
        });
        return pour(snapshot, &of_edges(schema, edge_type), rows, begin, sink);
    }
    Ok(())
}

fn of_nodes(node_type: &NodeType) -> Vec<Column> {
    let is_known = !node_type.key.is_empty() || node_type.property(ID).is_some();
    let identity = (!is_known).then(|| Column::text(ID, Source::Identity));
    let properties = node_type.properties.iter().map(Column::property);
    identity.into_iter().chain(properties).collect()
}

fn of_edges(schema: &Schema, edge_type: &EdgeType) -> Vec<Column> {
    let is_known = edge_type.property(ID).is_some();
    let mut columns = Vec::new();
    columns.extend((!is_known).then(|| Column::text(ID, Source::Identity)));
    let types = [edge_type.source, edge_type.target];
    for ((end, name), type_id) in ENDS.into_iter().zip(types) {
        let node_type = schema.node_type(type_id);
        let parts: Vec<&Property> = node_type
            .into_iter()
            .flat_map(|it| it.properties.iter().filter(|at| it.key.contains(&at.id)))
            .collect();
        match parts.as_slice() {
            [] => columns.push(Column::text(name, Source::End(end, None))),
            parts => columns.extend(parts.iter().map(|part| Column {
                name: match parts {
                    [_] => name.to_owned(),
                    _ => format!("{name}.{}", part.name),
                },
                value_type: part.value_type.clone(),
                source: Source::End(end, Some(part.id)),
            })),
        }
    }
    columns.extend(edge_type.properties.iter().map(Column::property));
    columns
}

#[derive(Clone, Copy)]
pub(super) enum Row {
    Node(NodeRef),
    Edge(EdgeRef, NodeRef, NodeRef),
}

impl Row {
    fn element(self) -> Value {
        match self {
            Self::Node(node) => Value::Node(node),
            Self::Edge(edge, ..) => Value::Relationship(edge),
        }
    }

    fn value(self, snapshot: &Snapshot, source: &Source) -> Value {
        let text = |value: &Value| identity::of_value(value).map_or(Value::Null, Value::String);
        match (self, source) {
            (Self::Node(node), Source::Property(id)) => snapshot.node_property(node, *id),
            (Self::Node(node), Source::Identity) => text(&snapshot.node_identity(node)),
            (Self::Edge(edge, ..), Source::Property(id)) => snapshot.edge_property(edge, *id),
            (row, Source::Named(name)) => snapshot.property_named(&row.element(), name),
            (Self::Node(node), Source::Labels) => {
                Value::list(snapshot.node_labels(node).into_iter().map(Value::String))
            }
            (Self::Edge(edge, ..), Source::Identity) => snapshot.edge_identity(edge),
            (Self::Edge(_, source, target), Source::End(end, part)) => {
                let node = match end {
                    End::Source => source,
                    End::Target => target,
                };
                match part {
                    Some(id) => snapshot.node_property(node, *id),
                    None => text(&snapshot.node_identity(node)),
                }
            }
            // Columns of nodes have no ends, and those of edges no labels.
            (Self::Node(_), Source::End(..)) | (Self::Edge(..), Source::Labels) => Value::Null,
        }
    }
}

pub(super) fn pour(
    snapshot: &Snapshot,
    columns: &[Column],
    rows: impl Iterator<Item = Row>,
    begin: Begin,
    sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), ExportError> {
    let fields = columns
        .iter()
        .map(|column| Field::new(&column.name, data_type(&column.value_type), true));
    let schema: SchemaRef = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
    let mut writer = begin(&schema)?;
    let (mut held, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let values: Vec<Value> = columns
            .iter()
            .map(|column| row.value(snapshot, &column.source))
            .collect();
        bytes += size_of_row(&values);
        held.push(values);
        if held.len() >= batches::ROWS || bytes >= batches::BYTES {
            writer.write(&batch(columns, &schema, &held)?)?;
            (held, bytes) = (Vec::new(), 0);
            let made = writer.take();
            if !made.is_empty() && sink(&made).is_break() {
                return Ok(());
            }
        }
    }
    if !held.is_empty() {
        writer.write(&batch(columns, &schema, &held)?)?;
    }
    // Nothing comes after it.
    let _ = sink(&writer.finish()?);
    Ok(())
}

fn batch(
    columns: &[Column],
    schema: &SchemaRef,
    rows: &[Vec<Value>],
) -> Result<RecordBatch, BatchError> {
    let arrays = columns.iter().enumerate().map(|(position, wanted)| {
        let values = rows.iter().filter_map(|row| row.get(position));
        column(&wanted.value_type, values)
    });
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(schema.clone(), arrays)?)
}
