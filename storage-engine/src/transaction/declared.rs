//! What the schema of an open graph declares of some labels and relationship types, and what writes are
//! held to.
//!
//! A node with a declared label has the properties of that declaration, each of its type, and any others
//! besides; with several such labels, those of all. An edge of a declared type has its properties and
//! joins nodes with the labels that it names. It is looked at when a statement ends, or a record of a load
//! has been put, so that it does not matter in which order things are set.

use std::collections::BTreeMap;
use std::sync::Arc;

use language::schema::{EdgeType, OpenTypes, Property, PropertyId, Schema, TypeId};
use language::value::{EdgeRef, NodeRef, Value};

use super::{Transaction, WriteError};

/// Values by name.
type Properties = BTreeMap<String, Value>;

impl Transaction {
    /// Holds a row of an open graph to what is declared of it. Values become what their types make of
    /// them. `relabelled`: it is a node that has got or lost labels.
    pub(super) fn hold_to_declarations(
        &mut self,
        type_id: TypeId,
        id: u64,
        relabelled: bool,
    ) -> Result<(), WriteError> {
        let schema = self.snapshot.schema().clone();
        let Some((declared, open)) = schema.declared().zip(schema.open()) else {
            return Ok(());
        };
        if type_id == open.node {
            self.hold_node(declared, open, NodeRef { type_id, id }, relabelled)
        } else {
            self.hold_edge(declared, open, EdgeRef { type_id, id })
        }
    }

    fn hold_node(
        &mut self,
        declared: &Schema,
        open: OpenTypes,
        node: NodeRef,
        relabelled: bool,
    ) -> Result<(), WriteError> {
        let given = self.snapshot.node_properties(node);
        let mut held = given.clone();
        for label in self.snapshot.node_labels(node) {
            if let Some(node_type) = declared.node_type_named(&label) {
                hold(&node_type.name, &node_type.properties, &mut held)?;
            }
        }
        if held != given {
            self.put_held(node.type_id, node.id, open.node_properties, held)?;
        }
        if !relabelled {
            return Ok(());
        }
        // One that has gone may be what an edge asks for.
        let edges: Vec<EdgeRef> = self.relationships(node).collect();
        edges
            .into_iter()
            .try_for_each(|edge| match self.declaration(declared, edge) {
                Some(edge_type) => self.check_ends(declared, edge_type, edge),
                None => Ok(()),
            })
    }

    fn hold_edge(
        &mut self,
        declared: &Schema,
        open: OpenTypes,
        edge: EdgeRef,
    ) -> Result<(), WriteError> {
        let Some(edge_type) = self.declaration(declared, edge) else {
            return Ok(());
        };
        let given = self.snapshot.edge_properties(edge);
        let mut held = given.clone();
        hold(&edge_type.name, &edge_type.properties, &mut held)?;
        if held != given {
            self.put_held(edge.type_id, edge.id, open.edge_properties, held)?;
        }
        self.check_ends(declared, edge_type, edge)
    }

    fn declaration<'d>(&self, declared: &'d Schema, edge: EdgeRef) -> Option<&'d EdgeType> {
        declared.edge_type_named(&self.snapshot.edge_type_name(edge)?)
    }

    fn check_ends(
        &self,
        declared: &Schema,
        edge_type: &EdgeType,
        edge: EdgeRef,
    ) -> Result<(), WriteError> {
        let Some((source, target)) = self.snapshot.edge_ends(edge) else {
            return Ok(());
        };
        let has = |node: NodeRef, wanted: TypeId| {
            let labels = self.snapshot.node_labels(node);
            let wanted = declared.type_name(wanted);
            labels.iter().any(|label| Some(label.as_ref()) == wanted)
        };
        if has(source, edge_type.source) && has(target, edge_type.target) {
            return Ok(());
        }
        Err(WriteError::WrongEnds {
            type_name: edge_type.name.clone(),
        })
    }

    fn put_held(
        &mut self,
        type_id: TypeId,
        id: u64,
        map: PropertyId,
        held: Properties,
    ) -> Result<(), WriteError> {
        // What was set has been counted.
        let counted = self.properties_set;
        let changed = self.update(type_id, id, vec![(map, Value::Map(Arc::new(held)))]);
        self.properties_set = counted;
        changed
    }
}

/// Refuses properties that are not as they are declared, and makes values those of their types.
fn hold(type_name: &str, properties: &[Property], held: &mut Properties) -> Result<(), WriteError> {
    for property in properties {
        let Some(value) = held.get_mut(&property.name) else {
            if property.nullable {
                continue;
            }
            return Err(WriteError::MissingProperty {
                type_name: type_name.to_owned(),
                property: property.name.clone(),
            });
        };
        let accepted = property.accept(value.clone());
        *value = accepted.map_err(|source| WriteError::InvalidValue {
            type_name: type_name.to_owned(),
            property: property.name.clone(),
            source,
        })?;
    }
    Ok(())
}
