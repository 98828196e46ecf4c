//! What the statement reads and writes. Policy decides on this, so it may say too much and must
//! never say too little.
//!
//! Where a node's type is forgotten (it goes into a map or a list of mixed things), all its
//! properties count as read there and then: what happens to it later can no longer be followed.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Touch, Type};
use crate::schema::{PropertyId, TypeId};

use super::compiler::Compiler;

impl Compiler<'_> {
    fn touch(&mut self, type_id: TypeId) -> &mut Touch {
        self.touches.types.entry(type_id).or_default()
    }

    /// Rows of these types are matched.
    pub(super) fn read_types(&mut self, types: &BTreeSet<TypeId>) {
        types
            .iter()
            .for_each(|type_id| self.touch(*type_id).read = true);
    }

    /// Values of these properties are read.
    pub(super) fn read_properties(&mut self, ids: &BTreeMap<TypeId, PropertyId>) {
        for (type_id, property) in ids {
            let touch = self.touch(*type_id);
            touch.read = true;
            touch.properties_read.insert(*property);
        }
    }

    /// All properties of these types are read.
    pub(super) fn read_whole(&mut self, types: &BTreeSet<TypeId>) {
        for type_id in types {
            let ids = self.all_properties(*type_id);
            let touch = self.touch(*type_id);
            touch.read = true;
            touch.whole_read = true;
            touch.properties_read.extend(ids);
        }
    }

    /// One name is looked up in the maps of properties of an open graph, which are read for it.
    pub(super) fn read_name(&mut self, value_type: &Type, name: &str) {
        for type_id in self.graph_types(value_type) {
            let ids = self.all_properties(type_id);
            let touch = self.touch(type_id);
            touch.read = true;
            touch.properties_read.extend(ids);
            touch.names_read.insert(name.to_owned());
        }
    }

    /// A value of this type leaves the statement, or is looked at as a whole.
    pub(super) fn read_value(&mut self, value_type: &Type) {
        let types = self.graph_types(value_type);
        self.read_whole(&types);
    }

    /// The type of the value is forgotten.
    pub(super) fn hide(&mut self, value_type: &Type) {
        let types = self.graph_types(value_type);
        self.read_whole(&types);
        self.hidden.extend(types);
    }

    /// The keys of these types are read, as `id(n)` does.
    pub(super) fn read_keys(&mut self, types: &BTreeSet<TypeId>) {
        for type_id in types {
            let key = self
                .schema
                .node_type(*type_id)
                .map(|node_type| node_type.key.clone());
            let touch = self.touch(*type_id);
            touch.read = true;
            touch.properties_read.extend(key.unwrap_or_default());
        }
    }

    /// Rows of these types are created, changed or deleted.
    pub(super) fn write_types(&mut self, types: &BTreeSet<TypeId>) {
        types
            .iter()
            .for_each(|type_id| self.touch(*type_id).write = true);
    }

    /// These properties are set.
    pub(super) fn write_properties(&mut self, ids: &BTreeMap<TypeId, PropertyId>) {
        for (type_id, property) in ids {
            let touch = self.touch(*type_id);
            touch.write = true;
            touch.properties_written.insert(*property);
        }
    }

    /// Any property of these types may be set.
    pub(super) fn write_whole(&mut self, types: &BTreeSet<TypeId>) {
        for type_id in types {
            let ids = self.all_properties(*type_id);
            let touch = self.touch(*type_id);
            touch.write = true;
            touch.properties_written.extend(ids);
        }
    }

    /// A row is created: what is not given may come from a default.
    pub(super) fn write_new(&mut self, type_id: TypeId) {
        let defaults: Vec<PropertyId> = self
            .schema
            .properties(type_id)
            .unwrap_or_default()
            .iter()
            .filter(|property| property.default.is_some())
            .map(|property| property.id)
            .collect();
        let touch = self.touch(type_id);
        touch.write = true;
        touch.properties_written.extend(defaults);
    }

    /// Nodes of these types are deleted with every relationship that they may have.
    pub(super) fn write_detached(&mut self, types: &BTreeSet<TypeId>) {
        let edges: BTreeSet<TypeId> = self
            .schema
            .edge_types
            .iter()
            .filter(|edge| types.contains(&edge.source) || types.contains(&edge.target))
            .map(|edge| edge.id)
            .collect();
        self.write_types(&edges);
    }

    fn all_properties(&self, type_id: TypeId) -> Vec<PropertyId> {
        let properties = self.schema.properties(type_id).unwrap_or_default();
        properties.iter().map(|property| property.id).collect()
    }
}
