//! Why a change is refused.

use std::sync::Arc;

use language::schema::{InvalidValue, OPEN_EDGE, OPEN_NODE, TypeId};

use crate::cold::ColumnError;

/// A change that the schema or the graph does not allow.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another node has the key.
    #[error("a {type_name} with {key} exists already")]
    DuplicateKey {
        /// The node type.
        type_name: String,
        /// `name = value` pairs.
        key: String,
    },
    /// A property that may not be null has no value.
    #[error("{type_name}.{property} is required")]
    MissingProperty {
        /// The type.
        type_name: String,
        /// The property.
        property: String,
    },
    /// A value that the property does not take.
    #[error("{}: {source}", owner(.type_name, .property))]
    InvalidValue {
        /// The type.
        type_name: String,
        /// The property.
        property: String,
        /// What is wrong with it.
        source: InvalidValue,
    },
    /// The key identifies the node for its life.
    #[error(
        "{type_name}.{property} is part of the key and cannot be changed; create a new node instead"
    )]
    KeyChange {
        /// The type.
        type_name: String,
        /// The property.
        property: String,
    },
    /// Neither node types nor edge types have it.
    #[error("the type {0:?} does not exist")]
    UnknownType(TypeId),
    /// A property that its type does not have.
    #[error("{type_name} has no property `{property}`")]
    UnknownProperty {
        /// The type.
        type_name: String,
        /// The property as it was named.
        property: String,
    },
    /// An edge between nodes of types that it does not join.
    #[error("{type_name} does not join nodes of these types")]
    WrongEnds {
        /// The edge type.
        type_name: String,
    },
    /// An end of an edge, or the target of a change, is gone.
    #[error("the {} has been deleted", called(.type_name))]
    Deleted {
        /// The type of what is gone.
        type_name: String,
    },
    /// Edges would lose an end.
    #[error("the {} with {key} still has relationships; DETACH DELETE removes them too", called(.type_name))]
    HasRelationships {
        /// The node type.
        type_name: String,
        /// `name = value` pairs.
        key: String,
    },
    /// A column that is on disk alone, which is needed, cannot be read.
    #[error(transparent)]
    Column(Arc<ColumnError>),
    /// The changes do not go into one commit, or not into what the statement may hold.
    #[error("the changes take more than {limit} bytes; make them in several commits")]
    TooLarge {
        /// How many bytes of rows and values, each counted wherever it stands.
        limit: usize,
    },
}

/// A type as people know it: those of an open graph are one for all.
fn called(type_name: &str) -> &str {
    match type_name {
        OPEN_NODE => "node",
        OPEN_EDGE => "relationship",
        declared => declared,
    }
}

/// A property as people know it: in an open graph all are in one.
fn owner(type_name: &str, property: &str) -> String {
    match type_name {
        OPEN_NODE => "a property of a node".to_owned(),
        OPEN_EDGE => "a property of a relationship".to_owned(),
        declared => format!("{declared}.{property}"),
    }
}
