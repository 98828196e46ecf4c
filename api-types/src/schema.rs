//! `GET schema`: what a graph may contain.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The schema of a graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SchemaResponse {
    /// The text, as it was given.
    pub source: String,
    /// SHA-256 of the text, in hexadecimal.
    pub digest: String,
    /// Counts up with each change, from 1.
    pub version: u64,
    /// The node types, in order of declaration.
    pub node_types: Vec<NodeType>,
    /// The edge types, in order of declaration.
    pub edge_types: Vec<EdgeType>,
}

/// A node type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeType {
    /// Its name, and the label of its nodes.
    pub name: String,
    /// The interfaces it implements: further labels of its nodes.
    pub interfaces: Vec<String>,
    /// The names of the properties that identify a node; empty when there is no key.
    pub key: Vec<String>,
    /// Own and inherited, in order of declaration.
    pub properties: Vec<Property>,
}

/// An edge type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EdgeType {
    /// What stands in `[:Name]`.
    pub name: String,
    /// The node type it leaves.
    pub source: String,
    /// The node type it enters.
    pub target: String,
    /// In order of declaration.
    pub properties: Vec<Property>,
}

/// A property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Property {
    /// What stands after the dot.
    pub name: String,
    /// Its type as the schema language writes it, without the `?`.
    #[serde(rename = "type")]
    pub value_type: String,
    /// Whether it may be missing.
    pub nullable: bool,
    /// Whether an index was asked for.
    pub indexed: bool,
}
