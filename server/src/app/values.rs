//! Values as answers show them: nodes, relationships and paths with what one snapshot knows of them.
//!
//! A node is `{id, labels, properties}`, a relationship `{id, type, start, end, properties}`, a path
//! `{nodes, relationships}`; everything else is as `language` writes it.
//!
//! The executor holds a text or a node once, however often it stands in a result; JSON repeats it. So
//! what is made here is counted again, while it is made.

use std::cell::Cell;
use std::collections::BTreeMap;

use language::Value;
use language::schema::scalar_to_json;
use language::value::{EdgeRef, NodeRef, Path};
use serde_json::{Map, Value as Json};
use storage_engine::Snapshot;

/// What a value costs besides its text.
const EACH: usize = size_of::<Json>();

/// More than the budget.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Bytes that may still be made.
pub(crate) struct Budget(Cell<usize>);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Cell::new(bytes))
    }

    fn take(&self, bytes: usize) -> Result<(), TooLarge> {
        let left = self.0.get().checked_sub(bytes).ok_or(TooLarge)?;
        self.0.set(left);
        Ok(())
    }
}

/// Makes JSON of values of one snapshot, within a budget.
pub(crate) struct Values<'a> {
    snapshot: &'a Snapshot,
    budget: &'a Budget,
}

impl<'a> Values<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, budget: &'a Budget) -> Self {
        Self { snapshot, budget }
    }

    /// The value as it stands in a row.
    pub(crate) fn json(&self, value: &Value) -> Result<Json, TooLarge> {
        self.budget.take(EACH)?;
        Ok(match value {
            Value::List(values) => self.list(values.iter(), |value| self.json(value))?,
            Value::Map(map) => {
                self.object(map.iter().map(|(name, value)| (name.as_str(), value)))?
            }
            Value::Node(node) => self.node(*node)?,
            Value::Relationship(edge) => self.edge(*edge)?,
            Value::Path(path) => self.path(path)?,
            Value::String(text) => {
                self.budget.take(text.len())?;
                scalar_to_json(value)
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Date(_)
            | Value::DateTime(_)
            | Value::Temporal(_) => scalar_to_json(value),
        })
    }

    fn node(&self, node: NodeRef) -> Result<Json, TooLarge> {
        let labels = self.snapshot.node_labels(node);
        let properties = self.snapshot.node_properties(node);
        Ok(object([
            ("id", self.json(&self.snapshot.node_identity(node))?),
            (
                "labels",
                self.list(labels.iter(), |label| self.text(label))?,
            ),
            ("properties", self.properties(&properties)?),
        ]))
    }

    fn edge(&self, edge: EdgeRef) -> Result<Json, TooLarge> {
        let identity = |node| self.json(&self.snapshot.node_identity(node));
        let (start, end) = match self.snapshot.edge_ends(edge) {
            Some((start, end)) => (identity(start)?, identity(end)?),
            // A relationship that the statement itself deleted.
            None => (Json::Null, Json::Null),
        };
        let properties = self.snapshot.edge_properties(edge);
        let name = self.snapshot.edge_type_name(edge);
        Ok(object([
            ("id", self.json(&self.snapshot.edge_identity(edge))?),
            (
                "type",
                name.map_or(Ok(Json::Null), |name| self.text(&name))?,
            ),
            ("start", start),
            ("end", end),
            ("properties", self.properties(&properties)?),
        ]))
    }

    fn path(&self, path: &Path) -> Result<Json, TooLarge> {
        Ok(object([
            (
                "nodes",
                self.list(path.nodes.iter(), |node| self.json(&Value::Node(*node)))?,
            ),
            (
                "relationships",
                self.list(path.edges.iter(), |edge| {
                    self.json(&Value::Relationship(*edge))
                })?,
            ),
        ]))
    }

    fn properties(&self, properties: &BTreeMap<String, Value>) -> Result<Json, TooLarge> {
        self.object(
            properties
                .iter()
                .map(|(name, value)| (name.as_str(), value)),
        )
    }

    fn object<'v>(
        &self,
        members: impl Iterator<Item = (&'v str, &'v Value)>,
    ) -> Result<Json, TooLarge> {
        let members = members.map(|(name, value)| {
            self.budget.take(name.len())?;
            Ok((name.to_owned(), self.json(value)?))
        });
        Ok(Json::Object(members.collect::<Result<Map<_, _>, _>>()?))
    }

    fn list<T>(
        &self,
        items: impl Iterator<Item = T>,
        json: impl Fn(T) -> Result<Json, TooLarge>,
    ) -> Result<Json, TooLarge> {
        items.map(json).collect()
    }

    fn text(&self, text: &str) -> Result<Json, TooLarge> {
        self.budget.take(EACH + text.len())?;
        Ok(Json::from(text))
    }
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    let members = members.map(|(name, json)| (name.to_owned(), json));
    Json::Object(members.into_iter().collect())
}
