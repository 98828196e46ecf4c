//! Writing clauses as operators.

use std::iter::once;

use language::plan::{
    Clause, Create, ExprKind, MergeTarget, NewEdge, NewElement, NewNode, SetItem,
};
use language::schema::Schema;

use crate::executor::each_row;
use crate::executor::operator::{self, Operator};

/// What a clause does that writes; nothing of one that reads.
pub(crate) fn describe(clause: &Clause, schema: &Schema, rows: f64) -> Option<Operator> {
    let (name, details) = match clause {
        Clause::Create(create) => ("Create", created(create, schema)),
        Clause::Merge(merge) => {
            let details = match &merge.target {
                MergeTarget::Node(node) => new_node(node, schema),
                MergeTarget::Edge(edge) => new_edge(edge, schema),
                MergeTarget::Pattern(pattern) => created(&pattern.create, schema),
            };
            ("Merge", details)
        }
        Clause::Set(items) => {
            let mut targets: Vec<String> = items
                .iter()
                .map(|item| match item {
                    SetItem::Property { target, .. } | SetItem::Properties { target, .. } => {
                        operator::variable(*target)
                    }
                })
                .collect();
            targets.dedup();
            ("Set", targets.join(", "))
        }
        Clause::Delete(delete) => {
            let name = if delete.detach {
                "DetachDelete"
            } else {
                "Delete"
            };
            let variables = delete.expressions.iter().map(|expr| match expr.kind {
                ExprKind::Variable(slot) => operator::variable(slot),
                _ => "...".to_owned(),
            });
            (name, variables.collect::<Vec<_>>().join(", "))
        }
        Clause::Nested(nested) => each_row::name(nested),
        Clause::Match(_) | Clause::Unwind(_) | Clause::Project(_) | Clause::Call(_) => return None,
    };
    Some(Operator {
        estimated_rows: rows,
        ..Operator::new(name, details)
    })
}

fn created(create: &Create, schema: &Schema) -> String {
    let elements = create.elements.iter().map(|element| match element {
        NewElement::Node(node) => new_node(node, schema),
        NewElement::Edge(edge) => new_edge(edge, schema),
    });
    elements.collect::<Vec<_>>().join(", ")
}

fn new_node(node: &NewNode, schema: &Schema) -> String {
    operator::node(schema, node.slot, once(&node.type_id))
}

fn new_edge(edge: &NewEdge, schema: &Schema) -> String {
    let variable = operator::variable;
    format!(
        "({})-[{}{}]->({})",
        variable(edge.source),
        variable(edge.slot),
        operator::type_names(schema, once(&edge.type_id)),
        variable(edge.target)
    )
}
