//! The tables of an open graph: one node type and one edge type, which hold whatever comes.
//!
//! A node is a list of labels and a map of properties, an edge the name of its type and a map.
//! What they are called can be declared by nobody: names with `_` are the system's.

use std::collections::BTreeMap;

use super::index::Index;
use super::model::{EdgeType, NodeType, Property, PropertyId, PropertyType, Schema, TypeId};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Span};

/// The name of the node type that holds the nodes of an open graph.
pub const OPEN_NODE: &str = "_Node";
/// The name of the edge type that holds the edges of an open graph.
pub const OPEN_EDGE: &str = "_Edge";
const LABELS: &str = "_labels";
const TYPE: &str = "_type";
const PROPERTIES: &str = "_properties";

/// Where an open graph keeps what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTypes {
    /// Of every node.
    pub node: TypeId,
    /// Of every edge.
    pub edge: TypeId,
    /// The labels of a node, a list of text.
    pub labels: PropertyId,
    /// The properties of a node, a map.
    pub node_properties: PropertyId,
    /// The name of an edge's type.
    pub name: PropertyId,
    /// The properties of an edge, a map.
    pub edge_properties: PropertyId,
}

impl OpenTypes {
    /// The map of properties of nodes or edges of this type, if it is one of the two.
    #[must_use]
    pub fn properties_of(&self, type_id: TypeId) -> Option<PropertyId> {
        if type_id == self.node {
            Some(self.node_properties)
        } else if type_id == self.edge {
            Some(self.edge_properties)
        } else {
            None
        }
    }
}

impl Schema {
    /// Where the graph keeps what nobody declared; `None` for a closed graph.
    #[must_use]
    pub fn open(&self) -> Option<OpenTypes> {
        let node = self.node_type_named(OPEN_NODE)?;
        let edge = self.edge_type_named(OPEN_EDGE)?;
        Some(OpenTypes {
            node: node.id,
            edge: edge.id,
            labels: node.property(LABELS)?.id,
            node_properties: node.property(PROPERTIES)?.id,
            name: edge.property(TYPE)?.id,
            edge_properties: edge.property(PROPERTIES)?.id,
        })
    }

    /// What the text of an open graph declares of labels and relationship types, as the schema that it
    /// would be of a closed graph; `None` where it declares nothing, and for a closed graph.
    #[must_use]
    pub fn declared(&self) -> Option<&Self> {
        self.index.declared(self)
    }

    /// This schema for an open graph.
    pub(super) fn opened(mut self) -> Self {
        let mut property = |name: &str, value_type, nullable| {
            let id = PropertyId(self.next_property_id);
            self.next_property_id += 1;
            Property {
                id,
                name: name.to_owned(),
                value_type,
                nullable,
                indexed: false,
                default: None,
                range: None,
                check: None,
                annotations: BTreeMap::new(),
            }
        };
        let labels = PropertyType::List(Box::new(PropertyType::String));
        let of_nodes = vec![
            property(LABELS, labels, true),
            property(PROPERTIES, PropertyType::Map, true),
        ];
        let of_edges = vec![
            property(TYPE, PropertyType::String, false),
            property(PROPERTIES, PropertyType::Map, true),
        ];
        let (node, edge) = (TypeId(self.next_type_id), TypeId(self.next_type_id + 1));
        self.next_type_id += 2;
        self.node_types.push(NodeType {
            id: node,
            name: OPEN_NODE.to_owned(),
            interfaces: Vec::new(),
            properties: of_nodes,
            key: Vec::new(),
            annotations: BTreeMap::new(),
        });
        self.edge_types.push(EdgeType {
            id: edge,
            name: OPEN_EDGE.to_owned(),
            source: node,
            target: node,
            properties: of_edges,
            annotations: BTreeMap::new(),
        });
        self.index = Index::default();
        self
    }
}

/// See [`Schema::declared`]; parsed from the text.
pub(super) fn declared(schema: &Schema) -> Option<Schema> {
    let is_open = |node_type: &NodeType| node_type.name == OPEN_NODE;
    if schema.source.is_empty() || !schema.node_types.iter().any(is_open) {
        return None;
    }
    let declared = Schema::parse_any(&schema.source).ok()?;
    (!declared.node_types.is_empty()).then_some(declared)
}

/// What no open graph can keep to, of what is declared.
pub(super) fn refused(text: &str, declared: &Schema) -> Diagnostics {
    let finding =
        |message: String| Diagnostic::new(Code::Unsupported, text, Span::new(0, 0), message);
    let keys = declared.node_types.iter().filter(|it| !it.key.is_empty());
    let keys = keys.map(|node_type| {
        let name = &node_type.name;
        finding(format!(
            "{name}: keys in an open graph are not supported yet: leave @key out"
        ))
    });
    let nodes = declared.node_types.iter();
    let nodes = nodes.map(|it| (&it.name, &it.properties));
    let edges = declared.edge_types.iter();
    let types = nodes.chain(edges.map(|it| (&it.name, &it.properties)));
    let defaults = types.flat_map(|(name, properties)| {
        let properties = properties.iter().filter(|it| it.default.is_some());
        properties.map(move |property| (name, &property.name))
    });
    let defaults = defaults.map(|(name, property)| {
        finding(format!(
            "{name}.{property}: defaults in an open graph are not supported yet: leave @default out"
        ))
    });
    keys.chain(defaults).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_schema_has_its_two_tables_and_a_closed_one_has_none() {
        let open = Schema::parse_open("").expect("the empty schema");
        let types = open.open().expect("an open schema");
        assert_eq!(types.properties_of(types.edge), Some(types.edge_properties));
        let closed = Schema::parse("node A { k: String @key }").expect("a valid schema");
        assert_eq!(closed.open(), None);
        assert!(Schema::parse("node _Node { k: String @key }").is_err());
        assert_eq!(open.declared(), None);
    }

    #[test]
    fn an_open_schema_keeps_what_it_declares_beside_its_tables() {
        let text =
            "node Person { name: String, age: I32? } edge KNOWS: Person -> Person { since: Date }";
        let schema = Schema::parse_open(text).expect("declarations");
        let names: Vec<_> = schema
            .node_types
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        assert_eq!(names, [OPEN_NODE]);
        assert_eq!(
            (schema.source.as_str(), schema.open().is_some()),
            (text, true)
        );
        let declared = schema.declared().expect("some");
        assert!(declared.node_type_named("Person").is_some());
        assert!(declared.edge_type_named("KNOWS").is_some());
        assert_eq!(declared.declared(), None);
        // As it comes back from a log: from the text alone.
        let stored = postcard_like(&schema);
        assert_eq!(stored.declared(), schema.declared());
        let empty = Schema::parse_open("// nothing").expect("a comment");
        assert_eq!(empty.declared(), None);
        let refused = |text: &str| {
            let findings = Schema::parse_open(text).expect_err("refused");
            findings[0].to_string()
        };
        assert_eq!(
            refused("node A { k: String @key }"),
            "1:1: unsupported: A: keys in an open graph are not supported yet: leave @key out"
        );
        assert_eq!(
            refused("node A { k: String } edge E: A -> A { x: I64 @default(1) }"),
            "1:1: unsupported: E.x: defaults in an open graph are not supported yet: leave @default out"
        );
    }

    fn postcard_like(schema: &Schema) -> Schema {
        let json = serde_json::to_string(schema).expect("stored");
        serde_json::from_str(&json).expect("read")
    }
}
