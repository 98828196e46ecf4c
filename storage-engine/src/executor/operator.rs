//! What the physical operators of a statement are: for `EXPLAIN`, and with the rows that came out of
//! each for `PROFILE`.

use std::collections::BTreeMap;
use std::time::Duration;

use language::Span;
use language::plan::Slot;
use language::schema::{Schema, TypeId};

/// One physical operator, as people read it. Those of a statement stand in the order in which rows
/// flow through them.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// What kind it is: `NodeScan`, `Expand`, ...
    pub name: &'static str,
    /// What it works on. `#3` is something without a name: slot 3.
    pub details: String,
    /// Where in the text of the statement those conditions stand that it tests.
    pub conditions: Vec<Span>,
    /// How many rows are expected to come out of it.
    pub estimated_rows: f64,
    /// How many rows have come out of it, where they are counted.
    pub rows: Option<u64>,
    /// How long it took by itself, when the statement was profiled.
    pub time: Option<Duration>,
    /// What it takes rows from besides the operator before it: the queries within its expressions, and
    /// the parts of each.
    pub inputs: Vec<Vec<Operator>>,
}

impl Operator {
    pub(crate) fn new(name: &'static str, details: impl Into<String>) -> Self {
        Self {
            name,
            details: details.into(),
            conditions: Vec::new(),
            estimated_rows: 1.0,
            rows: None,
            time: None,
            inputs: Vec::new(),
        }
    }
}

/// A variable, as operators name it.
pub(crate) fn variable(slot: Slot) -> String {
    format!("#{}", slot.0)
}

/// The text with the names of variables, for those that have one.
pub(crate) fn with_names(details: &str, names: &BTreeMap<Slot, Box<str>>) -> String {
    let mut parts = details.split('#');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|at: char| !at.is_ascii_digit());
        let (number, rest) = part.split_at(end.unwrap_or(part.len()));
        let name = number.parse().ok().and_then(|slot| names.get(&Slot(slot)));
        match name {
            Some(name) => text.push_str(name),
            None => {
                text.push('#');
                text.push_str(number);
            }
        }
        text.push_str(rest);
    }
    text
}

/// A node of a pattern: `(#3:Person|Company)`.
pub(crate) fn node<'t>(
    schema: &Schema,
    slot: Slot,
    types: impl IntoIterator<Item = &'t TypeId>,
) -> String {
    format!("({}{})", variable(slot), type_names(schema, types))
}

/// The names of some types as in a pattern: `:Person|Company`.
pub(crate) fn type_names<'t>(
    schema: &Schema,
    types: impl IntoIterator<Item = &'t TypeId>,
) -> String {
    let names = types.into_iter().filter_map(|id| schema.type_name(*id));
    match names.collect::<Vec<_>>().join("|") {
        none if none.is_empty() => none,
        names => format!(":{names}"),
    }
}
