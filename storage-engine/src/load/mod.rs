//! Loading records: newline-delimited JSON in, one commit out, or nothing.
//!
//! A line is `{"type": "Person", "data": {...}}` or `{"edge": "Knows", "from": ..., "to": ...,
//! "data": {...}}`; blank lines are skipped. [`parse`] reads the lines against the schema, outside
//! of any transaction; [`apply`] makes the changes. Nodes come before edges whatever the order of
//! the lines. Both say what is wrong with which line, for the first [`MAX_ERRORS`] of them.
//!
//! In an open graph `type` is a label, and `labels` may stand in its place: see [`open`].
//!
//! Identity: in a type with a key it is the key. `"id"` inside `data` that is not a declared
//! property must equal the key, or, in a type without one, is the identity. `from` and `to` are
//! identities, arrays where a key has several properties.

mod answer;
mod apply;
mod open;
mod record;

use std::collections::BTreeSet;
use std::io::{BufRead, Read};
use std::sync::Arc;

use language::schema::{PropertyId, Schema, TypeId};
use language::value::Value;

pub use apply::{Loaded, apply};

/// How many wrong lines are reported.
pub const MAX_ERRORS: usize = 100;

/// The longest line, in bytes.
pub const MAX_LINE: u64 = 64 << 20;

/// What to do with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every record is new; a key that is taken is an error.
    Append,
    /// A node with the same key, or an edge of the same type between the same nodes (with the same
    /// `id`, where the record has one), gets the properties of the record; others are new.
    Merge,
    /// Everything that is there is deleted first.
    Overwrite,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// From 1.
    pub line: u64,
    /// One sentence.
    pub message: String,
}

/// Records that fit the schema.
#[derive(Debug, Default)]
pub struct Batch {
    nodes: Vec<NodeRecord>,
    edges: Vec<EdgeRecord>,
}

#[derive(Debug)]
struct NodeRecord {
    line: u64,
    type_id: TypeId,
    identity: Option<Arc<str>>,
    properties: Vec<(PropertyId, Value)>,
}

#[derive(Debug)]
struct EdgeRecord {
    line: u64,
    type_id: TypeId,
    identity: Option<Arc<str>>,
    source: End,
    target: End,
    properties: Vec<(PropertyId, Value)>,
}

/// One end of an edge: the key of a node.
#[derive(Debug)]
struct End {
    type_id: TypeId,
    key: Vec<Value>,
}

impl Batch {
    /// The types that the records are of: what is written.
    #[must_use]
    pub fn types(&self) -> BTreeSet<TypeId> {
        let nodes = self.nodes.iter().map(|node| node.type_id);
        nodes
            .chain(self.edges.iter().map(|edge| edge.type_id))
            .collect()
    }

    /// The node types that edges end at: what is looked up.
    #[must_use]
    pub fn end_types(&self) -> BTreeSet<TypeId> {
        let ends = self.edges.iter();
        ends.flat_map(|edge| [edge.source.type_id, edge.target.type_id])
            .collect()
    }
}

/// Errors as they are found, up to the limit.
#[derive(Debug, Default)]
struct Errors(Vec<LineError>);

impl Errors {
    fn add(&mut self, line: u64, message: impl Into<String>) {
        if !self.full() {
            self.0.push(LineError {
                line,
                message: message.into(),
            });
        }
    }

    fn full(&self) -> bool {
        self.0.len() >= MAX_ERRORS
    }

    fn or<T>(self, value: T) -> Result<T, Vec<LineError>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.0)
        }
    }
}

/// Reads records and checks them against the schema.
///
/// # Errors
/// Everything that is wrong, by line; also when reading fails.
pub fn parse(mut reader: impl BufRead, schema: &Schema) -> Result<Batch, Vec<LineError>> {
    let mut batch = Batch::default();
    let mut errors = Errors::default();
    let mut bytes = Vec::new();
    for line in 1_u64.. {
        bytes.clear();
        match reader
            .by_ref()
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut bytes)
        {
            Ok(0) => break,
            Ok(read) if read as u64 > MAX_LINE => {
                errors.add(line, format!("the line is longer than {MAX_LINE} bytes"));
                break;
            }
            Ok(_) => {}
            Err(error) => {
                errors.add(line, format!("the rest cannot be read: {error}"));
                break;
            }
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        if let Err(message) = record::read(&bytes, line, schema, &mut batch) {
            errors.add(line, message);
        }
        if errors.full() {
            break;
        }
    }
    errors.or(batch)
}
