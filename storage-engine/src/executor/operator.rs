//! What the physical operators of a statement are: for `EXPLAIN`, and with the rows that came out of
//! each for `PROFILE`.

use language::Span;
use language::plan::Slot;
use language::schema::{Schema, TypeId};

/// One physical operator, as people read it. Those of a statement stand in the order in which rows
/// flow through them.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// What kind it is: `NodeScan`, `Expand`, ...
    pub name: &'static str,
    /// What it works on. `#3` is the variable in slot 3.
    pub details: String,
    /// Where in the text of the statement those conditions stand that it tests.
    pub conditions: Vec<Span>,
    /// How many rows are expected to come out of it.
    pub estimated_rows: f64,
    /// How many rows have come out of it.
    pub rows: u64,
}

impl Operator {
    pub(crate) fn new(name: &'static str, details: impl Into<String>) -> Self {
        Self {
            name,
            details: details.into(),
            conditions: Vec::new(),
            estimated_rows: 1.0,
            rows: 0,
        }
    }
}

/// A variable, as operators name it.
pub(crate) fn variable(slot: Slot) -> String {
    format!("#{}", slot.0)
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
