//! The writing clauses, over a transaction.
//!
//! A writing clause takes all its rows before it changes anything; within the clause each row sees
//! what the rows before it did. The transaction checks every value and constraint.

mod create;
mod delete;
mod describe;
mod merge;
mod nested;
mod set;

use language::plan::Clause;
use language::value::Value;

pub(crate) use describe::describe;

use super::context::{Context, Statement, size_of_row};
use super::error::ExecuteError;
use super::pipeline::MORE;
use super::walk::{self, SlotSet};
use super::{Row, run_reading};
use crate::transaction::Transaction;

/// Runs reading clauses to their end and holds the rows for the writing clause after them.
pub(crate) fn materialise(
    context: Context<'_>,
    clauses: &[Clause],
    wanted: &[SlotSet],
    writer: &Clause,
    rows: Vec<Row>,
) -> Result<Vec<Row>, ExecuteError> {
    release(context.statement, &rows);
    let mut kept = wanted.last().cloned().unwrap_or_else(|| SlotSet::new(0));
    walk::mentioned(writer, &mut kept);
    let mut held = Vec::new();
    run_reading(context, clauses, wanted, rows, &mut |row| {
        let values = row.iter().enumerate().map(|(place, value)| {
            if kept.contains(language::plan::Slot(place)) {
                value.clone()
            } else {
                Value::Null
            }
        });
        let row: Row = values.collect();
        context.statement.charge(size_of_row(&row))?;
        held.push(row);
        MORE
    })?;
    Ok(held)
}

/// Runs a writing clause; gives the rows that come out of it.
pub(crate) fn apply(
    statement: &Statement<'_>,
    transaction: &mut Transaction,
    clause: &Clause,
    rows: Vec<Row>,
) -> Result<Vec<Row>, ExecuteError> {
    let mut writer = Writer {
        statement,
        transaction,
    };
    match clause {
        Clause::Create(create) => create::run(&mut writer, create, rows),
        Clause::Merge(merge) => merge::run(&mut writer, merge, rows),
        Clause::Set(items) => {
            for row in &rows {
                statement.step()?;
                set::run(&mut writer, items, row)?;
            }
            Ok(rows)
        }
        Clause::Delete(delete) => {
            delete::run(&mut writer, delete, &rows)?;
            Ok(rows)
        }
        Clause::Nested(nested) => nested::run(&mut writer, nested, rows),
        Clause::Match(_) | Clause::Unwind(_) | Clause::Project(_) | Clause::Call(_) => Ok(rows),
    }
}

fn release(statement: &Statement<'_>, rows: &[Row]) {
    statement.release(rows.iter().map(|row| size_of_row(row)).sum());
}

/// A transaction and the statement that changes it.
pub(crate) struct Writer<'a, 't> {
    pub(crate) statement: &'a Statement<'a>,
    pub(crate) transaction: &'t mut Transaction,
}

impl Writer<'_, '_> {
    /// The graph with all changes so far.
    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            snapshot: self.transaction.snapshot(),
            statement: self.statement,
            subqueries: None,
        }
    }
}
