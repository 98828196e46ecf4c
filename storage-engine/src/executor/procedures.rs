//! `CALL` of procedures: what the catalogue says, and tables of rows.

use std::collections::BTreeSet;

use language::plan::{Call, ProcedureBody};
use language::value::Value;

use super::Row;
use super::context::Context;
use super::error::ExecuteError;
use super::operator::Operator;
use super::parallel::Role;
use super::pipeline::{ENOUGH, Flow, MORE, Next, Stage};
use crate::snapshot::Snapshot;

/// A `CALL` while it runs.
pub(crate) struct CallStage<'a> {
    context: Context<'a>,
    call: &'a Call,
}

impl<'a> CallStage<'a> {
    pub(crate) fn new(context: Context<'a>, call: &'a Call) -> Self {
        Self { context, call }
    }

    /// The rows of outputs for some arguments.
    fn rows(&self, arguments: &[Value]) -> Vec<Vec<Value>> {
        let snapshot = self.context.snapshot;
        match &self.call.body {
            ProcedureBody::Labels => column(labels(snapshot)),
            ProcedureBody::RelationshipTypes => column(relationship_types(snapshot)),
            ProcedureBody::PropertyKeys => column(property_keys(snapshot)),
            ProcedureBody::Table(rows) => {
                let alike = |given: &Value, stored: &Value| match given.equals(stored) {
                    Some(equal) => equal,
                    None => given.is_null() && stored.is_null(),
                };
                let count = arguments.len();
                let matching = rows.iter().filter(|row| {
                    let stored = row.get(..count).unwrap_or_default();
                    arguments
                        .iter()
                        .zip(stored)
                        .all(|(given, stored)| alike(given, stored))
                });
                matching
                    .map(|row| row.get(count..).unwrap_or_default().to_vec())
                    .collect()
            }
        }
    }
}

impl Stage for CallStage<'_> {
    fn role(&self) -> Role {
        Role::Streams
    }

    fn push(&mut self, row: &mut Row, next: &mut Next<'_>) -> Flow {
        let arguments: Result<Vec<Value>, ExecuteError> = self
            .call
            .arguments
            .iter()
            .map(|argument| self.context.evaluate(argument, row))
            .collect();
        let rows = self.rows(&arguments?);
        if self.call.passes {
            return next(row);
        }
        for values in rows {
            self.context.step()?;
            for (output, slot) in &self.call.outputs {
                row[slot.0] = values.get(*output).cloned().unwrap_or(Value::Null);
            }
            if let Some(filter) = &self.call.filter
                && !self.context.is_true(filter, row)?
            {
                continue;
            }
            if next(row)?.is_break() {
                return ENOUGH;
            }
        }
        MORE
    }

    fn describe(&self, rows: f64, operators: &mut Vec<Operator>) -> f64 {
        operators.push(Operator {
            estimated_rows: rows,
            ..Operator::new("Procedure", &self.call.name)
        });
        rows
    }
}

fn column(names: BTreeSet<String>) -> Vec<Vec<Value>> {
    names
        .into_iter()
        .map(|name| vec![Value::string(name)])
        .collect()
}

/// In an open graph those that nodes have; in a closed one those that the schema declares.
fn labels(snapshot: &Snapshot) -> BTreeSet<String> {
    let schema = snapshot.schema();
    match snapshot.open() {
        Some(open) => snapshot
            .nodes(open.node)
            .flat_map(|node| snapshot.node_labels(node))
            .map(|label| label.to_string())
            .collect(),
        None => {
            let types = schema.node_types.iter();
            types
                .flat_map(|node_type| node_type.labels())
                .map(str::to_owned)
                .collect()
        }
    }
}

fn relationship_types(snapshot: &Snapshot) -> BTreeSet<String> {
    match snapshot.open() {
        Some(open) => snapshot
            .edges(open.edge)
            .filter_map(|edge| snapshot.edge_type_name(edge))
            .map(|name| name.to_string())
            .collect(),
        None => {
            let types = snapshot.schema().edge_types.iter();
            types.map(|edge_type| edge_type.name.clone()).collect()
        }
    }
}

fn property_keys(snapshot: &Snapshot) -> BTreeSet<String> {
    let schema = snapshot.schema();
    match snapshot.open() {
        Some(open) => {
            let nodes = snapshot
                .nodes(open.node)
                .map(|node| snapshot.node_properties(node));
            let edges = snapshot
                .edges(open.edge)
                .map(|edge| snapshot.edge_properties(edge));
            nodes
                .chain(edges)
                .flat_map(|properties| properties.into_keys())
                .collect()
        }
        None => {
            let nodes = schema
                .node_types
                .iter()
                .flat_map(|node_type| &node_type.properties);
            let edges = schema
                .edge_types
                .iter()
                .flat_map(|edge_type| &edge_type.properties);
            nodes
                .chain(edges)
                .map(|property| property.name.clone())
                .collect()
        }
    }
}
