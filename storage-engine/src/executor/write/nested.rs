//! `CALL { ... }` and `FOREACH` that write: what is within is run for one row after the other, and each
//! sees what those before it changed.

use language::plan::{Branch, Clause, Nested};
use language::value::Value;

use super::{Writer, release};
use crate::executor::context::size_of_row;
use crate::executor::each_row::Results;
use crate::executor::elements::Elements;
use crate::executor::error::ExecuteError;
use crate::executor::pipeline::{MORE, Next};
use crate::executor::walk::{self, SlotSet};
use crate::executor::{Row, write_clauses};

pub(super) fn run(
    writer: &mut Writer<'_, '_>,
    nested: &Nested,
    rows: Vec<Row>,
) -> Result<Vec<Row>, ExecuteError> {
    let slots = writer.statement.slots();
    let parts = nested.branches.iter().map(|branch| Part {
        branch,
        wanted: walk::wanted_within(&branch.clauses, &branch.columns, slots),
    });
    let parts: Vec<Part<'_>> = parts.collect();
    let mut given = Vec::new();
    for mut row in rows {
        writer.statement.step()?;
        if let Some(each) = &nested.each {
            let elements = Elements::of(writer.context(), &each.list, &row)?;
            for element in elements.iter() {
                writer.statement.step()?;
                row[each.slot.0] = element;
                parts
                    .iter()
                    .try_for_each(|part| part.run(writer, &row, &mut |_| MORE))?;
            }
            row[each.slot.0] = Value::Null;
            given.push(row);
        } else if nested.outputs.is_empty() {
            parts
                .iter()
                .try_for_each(|part| part.run(writer, &row, &mut |_| MORE))?;
            given.push(row);
        } else {
            results(writer, nested, &parts, row, &mut given)?;
        }
    }
    Ok(given)
}

/// One part of a `UNION`, mostly the only one.
struct Part<'n> {
    branch: &'n Branch,
    wanted: Vec<SlotSet>,
}

impl Part<'_> {
    /// Runs it for a row; nothing is held afterwards.
    fn run(
        &self,
        writer: &mut Writer<'_, '_>,
        row: &Row,
        out: &mut Next<'_>,
    ) -> Result<(), ExecuteError> {
        let statement = writer.statement;
        let before = statement.held();
        let own = row.clone();
        statement.charge(size_of_row(&own))?;
        let clauses: &[Clause] = &self.branch.clauses;
        write_clauses(
            statement,
            writer.transaction,
            (clauses, &self.wanted),
            vec![own],
            out,
        )?;
        let after = statement.held();
        statement.release(after.saturating_sub(before));
        statement.charge(before.saturating_sub(after))
    }
}

/// Adds a row for each that comes out of the parts.
fn results(
    writer: &mut Writer<'_, '_>,
    nested: &Nested,
    parts: &[Part<'_>],
    mut row: Row,
    given: &mut Vec<Row>,
) -> Result<(), ExecuteError> {
    release(writer.statement, std::slice::from_ref(&row));
    let statement = writer.statement;
    let mut results = Results::new(nested);
    let first = given.len();
    for part in parts {
        let columns = &part.branch.columns;
        part.run(writer, &row.clone(), &mut |found| {
            if results.take(statement, columns, found, &mut row)? {
                statement.require(size_of_row(&row) * (given.len() - first + 1))?;
                given.push(row.clone());
            }
            MORE
        })?;
    }
    if results.end(statement, &mut row) {
        given.push(row);
    }
    let new = given.get(first..).unwrap_or_default();
    statement.charge(new.iter().map(|row| size_of_row(row)).sum())
}
