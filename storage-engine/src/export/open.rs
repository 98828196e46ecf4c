//! The rows of one label or relationship type of an open graph, as columns that a load takes back
//! ([`crate::load`]): `_id` where the identity is not the property `id`, `_labels` where a node has
//! others, and each property that a row has, if its values are of one type.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use language::diagnostic::closest;
use language::schema::{OpenTypes, PropertyType};
use language::value::Value;

use super::ExportError;
use super::columns::{self, Begin, Column, ENDS, Row, Source};
use crate::identity::{self, ID};
use crate::load::open_columns::{IDENTITY, LABELS};
use crate::snapshot::Snapshot;
use crate::typed::type_of;

/// What is called so.
pub(super) struct Rows<'n> {
    /// With the table in memory.
    snapshot: Snapshot,
    name: &'n str,
    rows: Vec<Row>,
    edges: bool,
}

impl<'n> Rows<'n> {
    /// # Errors
    /// Nothing is called so, or nodes and relationships are.
    pub(super) fn of(
        snapshot: &Snapshot,
        open: OpenTypes,
        name: &'n str,
    ) -> Result<Self, ExportError> {
        let of_nodes = snapshot.with_whole(open.node)?;
        let mut known = BTreeSet::new();
        let mut nodes = Vec::new();
        for node in of_nodes.nodes(open.node) {
            let labels = of_nodes.node_labels(node);
            if labels.iter().any(|label| **label == *name) {
                nodes.push(Row::Node(node));
            }
            known.extend(labels);
        }
        let of_edges = snapshot.with_whole(open.edge)?;
        let mut edges = Vec::new();
        for edge in of_edges.edges(open.edge) {
            let called = of_edges.edge_type_name(edge);
            let ends = of_edges.edge_ends(edge);
            if let Some((source, target)) = ends.filter(|_| called.as_deref() == Some(name)) {
                edges.push(Row::Edge(edge, source, target));
            }
            known.extend(called);
        }
        let (snapshot, rows, edges) = match (nodes.is_empty(), edges.is_empty()) {
            (false, true) => (of_nodes, nodes, false),
            (true, false) => (of_edges, edges, true),
            (false, false) => return Err(ExportError::Both(name.to_owned())),
            (true, true) => {
                let suggestion = closest(name, known.iter().map(AsRef::as_ref)).map(str::to_owned);
                let name = name.to_owned();
                return Err(ExportError::UnknownType { name, suggestion });
            }
        };
        Ok(Self {
            snapshot,
            name,
            rows,
            edges,
        })
    }

    /// What they are as columns.
    ///
    /// # Errors
    /// A property that is no column.
    pub(super) fn columns(&self) -> Result<Vec<Column>, ExportError> {
        let (mut identity, mut labels) = (false, false);
        let mut types = BTreeMap::<String, Found>::new();
        for row in &self.rows {
            let (given, properties) = match *row {
                Row::Node(node) => {
                    let own = self.snapshot.node_labels(node);
                    labels |= own.iter().map(AsRef::as_ref).ne([self.name]);
                    let properties = self.snapshot.node_properties(node);
                    (self.snapshot.node_identity(node), properties)
                }
                Row::Edge(edge, ..) => {
                    let properties = self.snapshot.edge_properties(edge);
                    (self.snapshot.edge_identity(edge), properties)
                }
            };
            let own = properties.get(ID).and_then(identity::of_value);
            identity |= own.map(Value::String) != Some(given);
            for (name, value) in properties {
                let found = types.entry(name.clone()).or_default();
                found
                    .add(&value)
                    .map_err(|found| self.mixed(&name, found))?;
            }
        }
        let mut columns = Vec::new();
        columns.extend(identity.then(|| Column::text(IDENTITY, Source::Identity)));
        columns.extend(labels.then(|| Column {
            name: LABELS.to_owned(),
            value_type: PropertyType::List(Box::new(PropertyType::String)),
            source: Source::Labels,
        }));
        if self.edges {
            columns.extend(ENDS.map(|(end, name)| Column::text(name, Source::End(end, None))));
        }
        let both_ends = ENDS.iter().all(|(_, end)| types.contains_key(*end));
        for (name, found) in types {
            let is_end = ENDS.iter().any(|(_, end)| name == *end);
            if is_end && (self.edges || both_ends) || [IDENTITY, LABELS].contains(&name.as_str()) {
                return Err(ExportError::Ambiguous {
                    type_name: self.name.to_owned(),
                    property: name,
                });
            }
            columns.push(Column {
                value_type: found.column(),
                source: Source::Named(name.clone()),
                name,
            });
        }
        Ok(columns)
    }

    fn mixed(&self, property: &str, found: String) -> ExportError {
        ExportError::Mixed {
            name: self.name.to_owned(),
            property: property.to_owned(),
            found,
        }
    }

    /// Gives them. Stops early when `sink` breaks.
    pub(super) fn write(
        &self,
        begin: Begin,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ExportError> {
        let rows = self.rows.iter().copied();
        columns::pour(&self.snapshot, &self.columns()?, rows, begin, sink)
    }
}

/// Of which type the values of a property are.
#[derive(Clone, Debug, Default, PartialEq)]
enum Found {
    #[default]
    Nothing,
    /// Lists, so far without anything in them.
    Lists,
    Type(PropertyType),
}

impl Found {
    /// One value more; what was found when they do not go together.
    fn add(&mut self, value: &Value) -> Result<(), String> {
        let other = Self::of(value).ok_or_else(|| format!("like a {}", value.kind()))?;
        *self = match (&*self, other) {
            (Self::Nothing, other) => other,
            (found, Self::Nothing) => found.clone(),
            (Self::Lists, Self::Type(PropertyType::List(element))) => {
                Self::Type(PropertyType::List(element))
            }
            (found @ Self::Type(PropertyType::List(_)), Self::Lists) => found.clone(),
            (found, other) if *found == other => other,
            (found, other) => return Err(format!("of the types {found} and {other}")),
        };
        Ok(())
    }

    fn of(value: &Value) -> Option<Self> {
        Some(Self::Type(match value {
            Value::Null => return Some(Self::Nothing),
            Value::List(values) => {
                let mut of_elements = Self::Nothing;
                for value in values.iter() {
                    of_elements.add(value).ok()?;
                }
                match of_elements {
                    Self::Nothing => return Some(Self::Lists),
                    Self::Type(element) if !matches!(element, PropertyType::List(_)) => {
                        PropertyType::List(Box::new(element))
                    }
                    Self::Lists | Self::Type(_) => return None,
                }
            }
            scalar => type_of(scalar)?,
        }))
    }

    fn column(self) -> PropertyType {
        match self {
            Self::Nothing => PropertyType::String,
            Self::Lists => PropertyType::List(Box::new(PropertyType::String)),
            Self::Type(value_type) => value_type,
        }
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.clone().column().fmt(f)
    }
}
