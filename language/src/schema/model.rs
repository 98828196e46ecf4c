//! The typed schema: what a graph may contain.
//!
//! Type and property ids are unique within a graph and never reused, so that stored rows outlive
//! renames. Names are what people see; ids are what is stored.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::index::Index;
use super::pattern::Pattern;
use crate::value::Value;

/// Identifies a node type or an edge type for the life of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TypeId(pub u32);

/// Identifies a property for the life of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PropertyId(pub u32);

/// Whether only what is declared may be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GraphType {
    /// Only what is declared.
    #[default]
    Closed,
    /// Labels and properties appear as data arrives.
    Open,
}

/// A checked schema with its ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The text it was made from.
    pub source: String,
    /// Counts up with each change, from 1.
    pub version: u64,
    /// In order of declaration.
    pub interfaces: Vec<Interface>,
    /// In order of declaration.
    pub node_types: Vec<NodeType>,
    /// In order of declaration.
    pub edge_types: Vec<EdgeType>,
    /// The first id that no type has had.
    pub next_type_id: u32,
    /// The first id that no property has had.
    pub next_property_id: u32,
    /// Finds types and properties; follows from the rest.
    #[serde(skip)]
    pub(super) index: Index,
}

/// An interface: a label that several node types share, with the properties that each of them has.
///
/// It has no id because no row is stored under it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Also a label.
    pub name: String,
    /// The names of its properties, in order of declaration.
    pub properties: Vec<String>,
    /// As for node types.
    pub annotations: BTreeMap<String, String>,
}

/// A node type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeType {
    /// Stable.
    pub id: TypeId,
    /// Also its label.
    pub name: String,
    /// The interfaces that it implements: further labels of its nodes.
    pub interfaces: Vec<String>,
    /// Own and inherited, in order of declaration.
    pub properties: Vec<Property>,
    /// The properties that identify a node, in order; empty when the type has no key.
    pub key: Vec<PropertyId>,
    /// `@description`, `@instruction` and what is not known here, by name: of the two known ones
    /// the text itself, of others what stands between the parentheses, as written.
    pub annotations: BTreeMap<String, String>,
}

/// An edge type: joins nodes of exactly one type with nodes of exactly one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeType {
    /// Stable.
    pub id: TypeId,
    /// What stands in `[:Name]`.
    pub name: String,
    /// Node type it leaves.
    pub source: TypeId,
    /// Node type it enters.
    pub target: TypeId,
    /// In order of declaration.
    pub properties: Vec<Property>,
    /// As for node types.
    pub annotations: BTreeMap<String, String>,
}

/// A declared property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Property {
    /// Stable.
    pub id: PropertyId,
    /// What stands after the dot.
    pub name: String,
    /// What it holds.
    pub value_type: PropertyType,
    /// Declared with `?`.
    pub nullable: bool,
    /// `@index`: nodes are looked up by it.
    pub indexed: bool,
    /// `@default`: taken when a new row does not give the property.
    pub default: Option<Value>,
    /// `@range`: smallest and largest value, both allowed; of each element when it is a list.
    pub range: Option<(Option<Value>, Option<Value>)>,
    /// `@check`: a regular expression that the whole text must match; each element of a list.
    pub check: Option<Pattern>,
    /// As for node types.
    pub annotations: BTreeMap<String, String>,
}

/// What a property holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PropertyType {
    /// Text.
    String,
    /// `true` or `false`.
    Bool,
    /// 32-bit signed.
    I32,
    /// 64-bit signed.
    I64,
    /// 32-bit unsigned.
    U32,
    /// Unsigned, up to 2^63-1: Cypher's integers are 64-bit signed.
    U64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// A calendar date.
    Date,
    /// An instant in UTC, to the microsecond.
    DateTime,
    /// One of these names.
    Enum(Vec<String>),
    /// A list; its elements are never null.
    List(Box<PropertyType>),
    /// Values of any storable kind by name, nulls left out: the properties of an open graph. No
    /// schema text can say it.
    Map,
}

impl Schema {
    /// The node type with this id.
    #[must_use]
    pub fn node_type(&self, id: TypeId) -> Option<&NodeType> {
        self.node_types.get(self.index.node_type(self, id)?)
    }

    /// The edge type with this id.
    #[must_use]
    pub fn edge_type(&self, id: TypeId) -> Option<&EdgeType> {
        self.edge_types.get(self.index.edge_type(self, id)?)
    }

    /// The node type with this name.
    #[must_use]
    pub fn node_type_named(&self, name: &str) -> Option<&NodeType> {
        self.node_types.get(self.index.node_type_named(self, name)?)
    }

    /// The edge type with this name.
    #[must_use]
    pub fn edge_type_named(&self, name: &str) -> Option<&EdgeType> {
        self.edge_types.get(self.index.edge_type_named(self, name)?)
    }

    /// The interface with this name.
    #[must_use]
    pub fn interface_named(&self, name: &str) -> Option<&Interface> {
        self.interfaces
            .iter()
            .find(|interface| interface.name == name)
    }

    /// The property with this id, and the type that it belongs to.
    #[must_use]
    pub fn property(&self, id: PropertyId) -> Option<(TypeId, &Property)> {
        let (type_id, position) = self.index.property(self, id)?;
        Some((type_id, self.properties(type_id)?.get(position)?))
    }

    /// The property of a node or edge type with this name.
    #[must_use]
    pub fn property_named(&self, type_id: TypeId, name: &str) -> Option<&Property> {
        self.properties(type_id)?
            .get(self.index.property_named(self, type_id, name)?)
    }

    /// The properties of a node or edge type.
    #[must_use]
    pub fn properties(&self, id: TypeId) -> Option<&[Property]> {
        self.node_type(id)
            .map(|node_type| node_type.properties.as_slice())
            .or_else(|| {
                self.edge_type(id)
                    .map(|edge_type| edge_type.properties.as_slice())
            })
    }

    /// The name of a node or edge type.
    #[must_use]
    pub fn type_name(&self, id: TypeId) -> Option<&str> {
        self.node_type(id)
            .map(|node_type| node_type.name.as_str())
            .or_else(|| self.edge_type(id).map(|edge_type| edge_type.name.as_str()))
    }
}

impl NodeType {
    /// The property with this name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties
            .iter()
            .find(|property| property.name == name)
    }

    /// Its name and those of its interfaces.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.interfaces.iter().map(String::as_str))
    }
}

impl EdgeType {
    /// The property with this name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties
            .iter()
            .find(|property| property.name == name)
    }
}

impl fmt::Display for PropertyType {
    /// As a schema writes it: `I32`, `enum(a, b)`, `[String]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("String"),
            Self::Bool => f.write_str("Bool"),
            Self::I32 => f.write_str("I32"),
            Self::I64 => f.write_str("I64"),
            Self::U32 => f.write_str("U32"),
            Self::U64 => f.write_str("U64"),
            Self::F32 => f.write_str("F32"),
            Self::F64 => f.write_str("F64"),
            Self::Date => f.write_str("Date"),
            Self::DateTime => f.write_str("DateTime"),
            Self::Enum(values) => write!(f, "enum({})", values.join(", ")),
            Self::List(element) => write!(f, "[{element}]"),
            Self::Map => f.write_str("Map"),
        }
    }
}
