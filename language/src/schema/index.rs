//! Finds the types and properties of a schema in constant time.
//!
//! It holds positions, never values, is built on the first look-up and is not stored. A schema's
//! lists are public and may be changed: a position is believed only while what stands there has
//! the wanted id or name, else the list is searched. `schema.node_type`
//! and its kin are what others call.

use std::sync::OnceLock;

use rustc_hash::FxHashMap;

use super::model::{Property, PropertyId, Schema, TypeId};

/// The positions; equal to any other, because it follows from the schema around it.
#[derive(Default)]
pub(super) struct Index(OnceLock<Positions>);

#[derive(Default)]
struct Positions {
    node_types: FxHashMap<TypeId, usize>,
    edge_types: FxHashMap<TypeId, usize>,
    node_names: FxHashMap<String, usize>,
    edge_names: FxHashMap<String, usize>,
    properties: FxHashMap<PropertyId, (TypeId, usize)>,
    property_names: FxHashMap<TypeId, FxHashMap<String, usize>>,
    /// What the text of an open graph declares.
    declared: Option<Box<Schema>>,
}

impl Index {
    pub(super) fn declared<'s>(&'s self, schema: &'s Schema) -> Option<&'s Schema> {
        self.positions(schema).declared.as_deref()
    }

    pub(super) fn node_type(&self, schema: &Schema, id: TypeId) -> Option<usize> {
        let found = self.positions(schema).node_types.get(&id).copied();
        believe(&schema.node_types, found, |node_type| node_type.id == id)
    }

    pub(super) fn edge_type(&self, schema: &Schema, id: TypeId) -> Option<usize> {
        let found = self.positions(schema).edge_types.get(&id).copied();
        believe(&schema.edge_types, found, |edge_type| edge_type.id == id)
    }

    pub(super) fn node_type_named(&self, schema: &Schema, name: &str) -> Option<usize> {
        let found = self.positions(schema).node_names.get(name).copied();
        believe(&schema.node_types, found, |node_type| {
            node_type.name == name
        })
    }

    pub(super) fn edge_type_named(&self, schema: &Schema, name: &str) -> Option<usize> {
        let found = self.positions(schema).edge_names.get(name).copied();
        believe(&schema.edge_types, found, |edge_type| {
            edge_type.name == name
        })
    }

    pub(super) fn property(&self, schema: &Schema, id: PropertyId) -> Option<(TypeId, usize)> {
        let wanted = |property: &Property| property.id == id;
        if let Some((type_id, position)) = self.positions(schema).properties.get(&id).copied()
            && schema
                .properties(type_id)
                .and_then(|all| all.get(position))
                .is_some_and(wanted)
        {
            return Some((type_id, position));
        }
        types(schema)
            .find_map(|(type_id, properties)| Some((type_id, properties.iter().position(wanted)?)))
    }

    pub(super) fn property_named(&self, schema: &Schema, of: TypeId, name: &str) -> Option<usize> {
        let names = self.positions(schema).property_names.get(&of);
        let found = names.and_then(|names| names.get(name).copied());
        believe(schema.properties(of)?, found, |property| {
            property.name == name
        })
    }

    fn positions(&self, schema: &Schema) -> &Positions {
        self.0.get_or_init(|| Positions::of(schema))
    }
}

impl Positions {
    fn of(schema: &Schema) -> Self {
        let mut positions = Self::default();
        for (at, node_type) in schema.node_types.iter().enumerate() {
            positions.node_types.insert(node_type.id, at);
            positions.node_names.insert(node_type.name.clone(), at);
        }
        for (at, edge_type) in schema.edge_types.iter().enumerate() {
            positions.edge_types.insert(edge_type.id, at);
            positions.edge_names.insert(edge_type.name.clone(), at);
        }
        for (type_id, properties) in types(schema) {
            let mut names = FxHashMap::default();
            for (at, property) in properties.iter().enumerate() {
                positions.properties.insert(property.id, (type_id, at));
                names.insert(property.name.clone(), at);
            }
            positions.property_names.insert(type_id, names);
        }
        positions.declared = super::open::declared(schema).map(Box::new);
        positions
    }
}

fn types(schema: &Schema) -> impl Iterator<Item = (TypeId, &[Property])> {
    let nodes = schema
        .node_types
        .iter()
        .map(|node_type| (node_type.id, node_type.properties.as_slice()));
    let edges = schema
        .edge_types
        .iter()
        .map(|edge_type| (edge_type.id, edge_type.properties.as_slice()));
    nodes.chain(edges)
}

/// The found position when it still holds, else the result of a search.
fn believe<T>(all: &[T], found: Option<usize>, wanted: impl Fn(&T) -> bool) -> Option<usize> {
    match found {
        Some(at) if all.get(at).is_some_and(&wanted) => Some(at),
        _ => all.iter().position(wanted),
    }
}

impl Clone for Index {
    /// A new one: the copy may be changed before it is asked.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Index {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Index")
    }
}
