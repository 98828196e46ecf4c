//! `DELETE` and `DETACH DELETE`.
//!
//! Everything to delete is gathered over all rows first: relationships go before nodes, so that a
//! node may be deleted together with its relationships in any order of the text.

use language::plan::Delete;
use language::value::{EdgeRef, NodeRef, Value};
use rustc_hash::FxHashSet;

use super::Writer;
use crate::executor::Row;
use crate::executor::error::ExecuteError;

#[derive(Default)]
struct Doomed {
    nodes: Vec<NodeRef>,
    edges: Vec<EdgeRef>,
    seen_nodes: FxHashSet<NodeRef>,
    seen_edges: FxHashSet<EdgeRef>,
}

impl Doomed {
    fn node(&mut self, node: NodeRef) {
        if self.seen_nodes.insert(node) {
            self.nodes.push(node);
        }
    }

    fn edge(&mut self, edge: EdgeRef) {
        if self.seen_edges.insert(edge) {
            self.edges.push(edge);
        }
    }
}

pub(super) fn run(
    writer: &mut Writer<'_, '_>,
    delete: &Delete,
    rows: &[Row],
) -> Result<(), ExecuteError> {
    let place = delete.expressions.first().map(|expr| expr.span);
    let place = place.unwrap_or_default();
    let mut doomed = Doomed::default();
    gather(writer, delete, rows, &mut doomed)?;
    if delete.detach {
        gather_relationships(writer, &mut doomed)?;
    }
    for edge in doomed.edges {
        writer.statement.step()?;
        let snapshot = writer.transaction.snapshot();
        if snapshot.open().is_some()
            && let Some(name) = snapshot.edge_type_name(edge)
        {
            writer.statement.remember_type(edge, name)?;
        }
        writer.transaction.delete_edge(edge)?;
    }
    for node in doomed.nodes {
        writer.statement.step()?;
        let deleted = writer.transaction.delete_node(node);
        deleted.map_err(|error| ExecuteError::from(error).at(place))?;
    }
    Ok(())
}

fn gather(
    writer: &Writer<'_, '_>,
    delete: &Delete,
    rows: &[Row],
    doomed: &mut Doomed,
) -> Result<(), ExecuteError> {
    let context = writer.context();
    for row in rows {
        for expr in &delete.expressions {
            context.step()?;
            match context.evaluate(expr, row)? {
                Value::Null => {}
                Value::Node(node) => doomed.node(node),
                Value::Relationship(edge) => doomed.edge(edge),
                Value::Path(path) => {
                    path.edges.iter().for_each(|edge| doomed.edge(*edge));
                    path.nodes.iter().for_each(|node| doomed.node(*node));
                }
                other => {
                    return Err(ExecuteError::Type {
                        place: "DELETE",
                        expected: "a node, relationship or path",
                        found: other.kind(),
                        span: expr.span,
                    });
                }
            }
        }
    }
    Ok(())
}

/// Adds every relationship of the nodes to delete.
fn gather_relationships(writer: &Writer<'_, '_>, doomed: &mut Doomed) -> Result<(), ExecuteError> {
    let snapshot = writer.transaction.snapshot();
    for place in 0..doomed.nodes.len() {
        let node = doomed.nodes[place];
        for edge_type in &snapshot.schema().edge_types {
            if edge_type.source == node.type_id {
                for neighbour in snapshot.outgoing(edge_type.id, node) {
                    writer.statement.step()?;
                    doomed.edge(neighbour.edge);
                }
            }
            if edge_type.target == node.type_id {
                for neighbour in snapshot.incoming(edge_type.id, node) {
                    writer.statement.step()?;
                    doomed.edge(neighbour.edge);
                }
            }
        }
    }
    Ok(())
}
