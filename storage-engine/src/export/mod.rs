//! Exporting a snapshot as what [`crate::load`] takes back unchanged: lines of any types, or columns
//! of one.

mod columns;
mod lines;
mod open;

use std::ops::ControlFlow;
use std::sync::Arc;

use language::diagnostic::closest;
use language::schema::Schema;

use crate::batches::{BatchError, BatchWriter};
use crate::cold::ColumnError;
use crate::snapshot::Snapshot;

/// What an export is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line; of any types.
    #[default]
    Ndjson,
    /// A file of columns; of one type.
    Parquet,
    /// An Arrow IPC stream; of one type.
    Arrow,
}

/// What to export of a graph, and how: something that can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection(Selected);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Selected {
    /// Of one type, or everything.
    Lines(Option<String>),
    Parquet(String),
    Arrow(String),
}

impl Default for Selected {
    fn default() -> Self {
        Self::Lines(None)
    }
}

/// Why nothing is exported, or no more.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Neither a node type nor an edge type.
    #[error("there is no type {name:?}{}", hint(suggestion.as_deref()))]
    UnknownType {
        /// As it was asked for.
        name: String,
        /// The type that was probably meant.
        suggestion: Option<String>,
    },
    /// Columns are of one type, and none is named.
    #[error("which type the rows are of must be said for this format")]
    NoType,
    /// Nodes and relationships of an open graph are called so.
    #[error("{0:?} is a label and a relationship type; they are exported together, without a type")]
    Both(String),
    /// The values of a property of an open graph are of several types, or of one that no column is of.
    #[error("{name}.{property} has values {found}; this is exported as NDJSON")]
    Mixed {
        /// The label or relationship type.
        name: String,
        /// The property.
        property: String,
        /// Of which types they are.
        found: String,
    },
    /// The property of an edge type is called as the column of its ends is.
    #[error(
        "{type_name}.{property} would stand in the column of an end; this type is exported as NDJSON"
    )]
    Ambiguous {
        /// The edge type.
        type_name: String,
        /// The property.
        property: String,
    },
    /// A column that is on disk alone cannot be read.
    #[error(transparent)]
    Column(#[from] Arc<ColumnError>),
    /// A defect.
    #[error("columns could not be written")]
    Batch(#[from] BatchError),
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion
        .map(|name| format!("; did you mean {name:?}?"))
        .unwrap_or_default()
}

impl Selection {
    /// Everything, or one type.
    ///
    /// # Errors
    /// A type that there is not, or that the format cannot hold.
    pub fn new(
        schema: &Schema,
        type_name: Option<String>,
        format: Format,
    ) -> Result<Self, ExportError> {
        let is_open = schema.open().is_some();
        if let Some(name) = type_name.as_ref().filter(|_| !is_open) {
            let nodes = schema.node_types.iter().map(|node| node.name.as_str());
            let mut known = nodes.chain(schema.edge_types.iter().map(|edge| edge.name.as_str()));
            if !known.clone().any(|known| known == name) {
                let suggestion = closest(name, known.by_ref()).map(str::to_owned);
                let name = name.clone();
                return Err(ExportError::UnknownType { name, suggestion });
            }
        }
        let selected = match format {
            Format::Ndjson => return Ok(Self(Selected::Lines(type_name))),
            Format::Parquet => Selected::Parquet,
            Format::Arrow => Selected::Arrow,
        };
        let name = type_name.ok_or(ExportError::NoType)?;
        if !is_open {
            columns::check(schema, &name)?;
        }
        Ok(Self(selected(name)))
    }

    /// The one type that is exported; in an open graph, the label or the relationship type.
    #[must_use]
    pub fn type_name(&self) -> Option<&str> {
        match &self.0 {
            Selected::Lines(name) => name.as_deref(),
            Selected::Parquet(name) | Selected::Arrow(name) => Some(name),
        }
    }
}

/// Whether this can be exported, which of an open graph only the rows tell.
///
/// # Errors
/// All but [`ExportError::Batch`].
pub fn check(snapshot: &Snapshot, selection: &Selection) -> Result<(), ExportError> {
    let Some(open) = snapshot.open() else {
        return Ok(());
    };
    match &selection.0 {
        Selected::Lines(None) => Ok(()),
        Selected::Lines(Some(name)) => open::Rows::of(snapshot, open, name).map(drop),
        Selected::Parquet(name) | Selected::Arrow(name) => {
            open::Rows::of(snapshot, open, name)?.columns().map(drop)
        }
    }
}

/// Gives what was selected, nodes before edges, in chunks. Stops early when `sink` breaks.
///
/// # Errors
/// [`ExportError::Column`], and [`ExportError::Batch`]; no others, when the selection was made with the
/// schema of the snapshot, and [`check`] had none.
pub fn write(
    snapshot: &Snapshot,
    selection: &Selection,
    sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), ExportError> {
    match &selection.0 {
        Selected::Lines(only) => lines::write(snapshot, only.as_deref(), sink)?,
        Selected::Parquet(name) => table(snapshot, name, BatchWriter::parquet, sink)?,
        Selected::Arrow(name) => table(snapshot, name, BatchWriter::arrow, sink)?,
    }
    Ok(())
}

fn table(
    snapshot: &Snapshot,
    name: &str,
    begin: columns::Begin,
    sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), ExportError> {
    match snapshot.open() {
        Some(open) => open::Rows::of(snapshot, open, name)?.write(begin, sink),
        None => columns::write(&whole(snapshot, name)?, name, begin, sink),
    }
}

/// The same with all of a type in memory.
fn whole(snapshot: &Snapshot, name: &str) -> Result<Snapshot, ExportError> {
    let schema = snapshot.schema();
    let node = schema.node_type_named(name).map(|node| node.id);
    let type_id = node.or_else(|| schema.edge_type_named(name).map(|edge| edge.id));
    Ok(match type_id {
        Some(type_id) => snapshot.with_whole(type_id)?,
        None => snapshot.clone(),
    })
}
