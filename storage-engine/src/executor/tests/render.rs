//! Values and tables as text.

use language::value::{NodeRef, Value};

use super::graph::{Answer, Failure};
use crate::snapshot::Snapshot;

/// A table, or what went wrong; rows in any order are sorted.
pub(super) fn outcome(snapshot: &Snapshot, outcome: &Result<Answer, Failure>) -> String {
    let answer = match outcome {
        Err(failure) => return format!("{failure}\n"),
        Ok(answer) if answer.columns.is_empty() => return "done\n".to_owned(),
        Ok(answer) => answer,
    };
    let mut rows: Vec<String> = answer
        .rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|value| render(snapshot, value))
                .collect::<Vec<_>>()
                .join(" | ")
        })
        .collect();
    if !answer.ordered {
        rows.sort();
    }
    let mut text = format!("[{}]\n", answer.columns.join(" | "));
    for row in &rows {
        text.push_str(row);
        text.push('\n');
    }
    text
}

fn render(snapshot: &Snapshot, value: &Value) -> String {
    let list = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(", ");
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Float(float) => format!("{float:?}"),
        Value::String(text) => format!("'{text}'"),
        Value::Date(days) => format!("date({days})"),
        Value::DateTime(micros) => format!("datetime({micros})"),
        Value::Temporal(temporal) => format!("{}({temporal})", temporal.kind()),
        Value::List(values) => format!(
            "[{}]",
            list(&mut values.iter().map(|value| render(snapshot, value)))
        ),
        Value::Map(map) => {
            format!(
                "{{{}}}",
                list(
                    &mut map
                        .iter()
                        .map(|(name, value)| format!("{name}: {}", render(snapshot, value)))
                )
            )
        }
        Value::Node(node) => format!("({})", node_name(snapshot, *node)),
        Value::Relationship(edge) => {
            let name = snapshot.schema().type_name(edge.type_id).unwrap_or("?");
            match snapshot.edge_ends(*edge) {
                Some((source, target)) => {
                    format!(
                        "[{}-{name}->{}]",
                        node_name(snapshot, source),
                        node_name(snapshot, target)
                    )
                }
                None => format!("[deleted {name}]"),
            }
        }
        Value::Path(path) => {
            let mut text = format!("({})", node_name(snapshot, path.nodes[0]));
            for (edge, node) in path.edges.iter().zip(&path.nodes[1..]) {
                let name = snapshot.schema().type_name(edge.type_id).unwrap_or("?");
                let forward = snapshot
                    .edge_ends(*edge)
                    .is_some_and(|(_, target)| target == *node);
                let (left, right) = if forward { ("-", "->") } else { ("<-", "-") };
                text.push_str(&format!(
                    "{left}[{name}]{right}({})",
                    node_name(snapshot, *node)
                ));
            }
            text
        }
    }
}

fn node_name(snapshot: &Snapshot, node: NodeRef) -> String {
    if !snapshot.contains_node(node) {
        return "deleted".to_owned();
    }
    match snapshot.node_identity(node) {
        Value::String(text) => text.to_string(),
        other => render(snapshot, &other),
    }
}
