//! Whether a new document is the old one with exactly the intended change, order included.

use serde_yaml::{Mapping, Value};

use super::super::model::GraphEntry;
use super::super::{parse, yaml_text};
use super::EditError;
use crate::GraphId;

const GRAPHS: &str = "graphs";

/// Whether the document names the graph, in any case.
pub(super) fn names(document: &Value, graph_id: &GraphId) -> Result<bool, EditError> {
    let Value::Mapping(root) = document else {
        return Err(EditError::NoMapping);
    };
    match root.get(GRAPHS) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Mapping(graphs)) => Ok(graphs.keys().any(|key| is(key, graph_id))),
        Some(_) => Err(EditError::Unsupported {
            reason: "graphs: holds something other than graph ids with an entry each".to_owned(),
        }),
    }
}

/// `new` is `old` with `graph_id: entry` added to its graphs.
pub(super) fn is_addition(old: &Value, new: &Value, graph_id: &GraphId, entry: &Value) -> bool {
    let Some((old_graphs, new_graphs)) = graphs_of_same_rest(old, new) else {
        return false;
    };
    new_graphs.get(graph_id.as_str()) == Some(entry)
        && same_order(entries(old_graphs), entries_without(new_graphs, graph_id))
}

/// `new` is `old` without `graph_id`.
pub(super) fn is_removal(old: &Value, new: &Value, graph_id: &GraphId) -> bool {
    let Some((old_graphs, new_graphs)) = graphs_of_same_rest(old, new) else {
        return false;
    };
    same_order(entries_without(old_graphs, graph_id), entries(new_graphs))
}

/// The entry alone, written and read by the server's own reader, is the entry.
pub(super) fn reads_back(graph_id: &GraphId, entry: &GraphEntry) -> bool {
    let lines = yaml_text::block(graph_id, entry, 2, 2, "\n");
    parse(&format!("version: 1\ngraphs:\n{lines}\n")).is_ok_and(|parsed| {
        matches!(parsed.config.graphs.as_slice(), [(read_id, read)]
            if read_id.as_str() == graph_id.as_str() && read == entry)
    })
}

type Graphs<'a> = Option<&'a Mapping>;

trait Lookup {
    fn get(&self, key: &str) -> Option<&Value>;
}

impl Lookup for Graphs<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.and_then(|mapping| mapping.get(key))
    }
}

/// The graphs of both documents, provided that everything else is the same and in the same order.
fn graphs_of_same_rest<'a>(old: &'a Value, new: &'a Value) -> Option<(Graphs<'a>, Graphs<'a>)> {
    let (Value::Mapping(old), Value::Mapping(new)) = (old, new) else {
        return None;
    };
    let rest = |root: &'a Mapping| root.iter().filter(|(key, _)| key.as_str() != Some(GRAPHS));
    if !same_order(rest(old), rest(new)) {
        return None;
    }
    Some((graphs(old)?, graphs(new)?))
}

/// `None` when graphs are something other than a mapping, null or absent.
fn graphs(root: &Mapping) -> Option<Graphs<'_>> {
    match root.get(GRAPHS) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Mapping(graphs)) => Some(Some(graphs)),
        Some(_) => None,
    }
}

fn entries<'a>(graphs: Graphs<'a>) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    graphs.into_iter().flatten()
}

fn entries_without<'a>(
    graphs: Graphs<'a>,
    graph_id: &'a GraphId,
) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    entries(graphs).filter(move |(key, _)| !is(key, graph_id))
}

fn is(key: &Value, graph_id: &GraphId) -> bool {
    key.as_str()
        .is_some_and(|key| key.eq_ignore_ascii_case(graph_id.as_str()))
}

fn same_order<'a>(
    one: impl Iterator<Item = (&'a Value, &'a Value)>,
    other: impl Iterator<Item = (&'a Value, &'a Value)>,
) -> bool {
    one.eq(other)
}

/// The same values in the same order, at every depth.
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Mapping(one), Value::Mapping(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|((key, value), (other_key, other))| {
                        key == other_key && equal(value, other)
                    })
        }
        (Value::Sequence(one), Value::Sequence(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        _ => one == other,
    }
}
