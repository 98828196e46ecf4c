//! What a load is read against.

use std::sync::Arc;

use language::schema::{Property, PropertyType, Schema, TypeId};
use language::value::Value;

use super::builder::Cell;
use crate::columns::Layout;
use crate::keys;
use crate::snapshot::Snapshot;

/// Ids between those that the graph has given and those of a load: what others make while it runs
/// has room there, so that the load need not be numbered anew.
pub(super) const GAP: u64 = 4096;

/// What a load is read against.
#[derive(Debug)]
pub(crate) struct Context {
    pub(super) snapshot: Arc<Snapshot>,
    /// Everything that is there is deleted first, so it is not looked at.
    pub(super) fresh: bool,
    /// Node types, then edge types.
    pub(super) shapes: Vec<Shape>,
}

/// One type.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(super) layout: Arc<Layout>,
    /// Positions of properties that every row must have.
    pub(super) required: Vec<usize>,
    /// The slots of the source and the target type, for edges.
    pub(super) ends: Option<(usize, usize)>,
    /// The first id that the load gives, unless others have come so far by then.
    pub(super) first_id: u64,
}

impl Context {
    pub(super) fn new(snapshot: Arc<Snapshot>, fresh: bool) -> Self {
        let layouts: Vec<Arc<Layout>> = snapshot.tables().map(|rows| rows.layout.clone()).collect();
        let slot = |type_id| layouts.iter().position(|layout| layout.type_id == type_id);
        let shape = |layout: &Arc<Layout>| {
            let properties = layout.properties.iter().enumerate();
            let required = properties.filter(|(_, property)| !property.nullable);
            let ends = layout
                .ends
                .and_then(|(source, target)| Some((slot(source)?, slot(target)?)));
            let rows = snapshot.rows(layout.type_id);
            Shape {
                layout: layout.clone(),
                required: required.map(|(position, _)| position).collect(),
                ends,
                first_id: rows.map_or(1, |rows| rows.next_id) + GAP,
            }
        };
        let shapes = layouts.iter().map(shape).collect();
        Self {
            snapshot,
            fresh,
            shapes,
        }
    }

    pub(super) fn schema(&self) -> &Schema {
        self.snapshot.schema()
    }

    pub(super) fn shape(&self, slot: usize) -> Option<&Shape> {
        self.shapes.get(slot)
    }

    /// Where a type stands among the shapes.
    pub(super) fn slot(&self, type_id: TypeId) -> Option<usize> {
        let mut shapes = self.shapes.iter();
        shapes.position(|shape| shape.layout.type_id == type_id)
    }

    /// Where a node type (`edge` false) or an edge type of this name stands.
    pub(super) fn named(&self, name: &str, edge: bool) -> Option<usize> {
        let fits = |shape: &Shape| shape.ends.is_some() == edge && shape.layout.name == name;
        self.shapes.iter().position(fits)
    }

    /// The node that is there with this key, as [`keys::bytes_of`] writes it.
    pub(super) fn existing(&self, slot: usize, key: &[u8]) -> Option<u64> {
        if self.fresh {
            return None;
        }
        let type_id = self.shape(slot)?.layout.type_id;
        self.snapshot.node_with_key(type_id, key)
    }
}

impl Shape {
    pub(super) fn is_node(&self) -> bool {
        self.ends.is_none()
    }

    pub(super) fn property(&self, position: usize) -> Option<&Property> {
        self.layout.properties.get(position)
    }
}

/// Appends the part of a key that a property's value is.
pub(super) fn write_key(property: &Property, cell: &Cell<'_>, out: &mut Vec<u8>) {
    match (cell, &property.value_type) {
        (Cell::Text(text), _) => keys::write_text(text, out),
        (Cell::Value(value), _) => value.write_group_key(out),
        (cell, value_type) => value_of(cell, value_type).write_group_key(out),
    }
}

/// A cell as a value of the type.
pub(super) fn value_of(cell: &Cell<'_>, value_type: &PropertyType) -> Value {
    match (cell, value_type) {
        (Cell::Null, _) => Value::Null,
        (Cell::Bool(value), _) => Value::Bool(*value),
        (Cell::Int(days), PropertyType::Date) => {
            i32::try_from(*days).map_or(Value::Null, Value::Date)
        }
        (Cell::Int(micros), PropertyType::DateTime) => Value::DateTime(*micros),
        (Cell::Int(value), _) => Value::Int(*value),
        (Cell::Float(value), _) => Value::Float(*value),
        (Cell::Text(text), _) => Value::string(text),
        (Cell::Value(value), _) => (*value).clone(),
    }
}
