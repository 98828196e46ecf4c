//! `CALL { ... }` that only reads: for each row, the query within is run by itself.
//!
//! It is planned once. What comes out of it is put into the row around, which goes on for each.

use language::plan::{Column, Nested};
use language::value::{GroupKey, Value};
use rustc_hash::FxHashSet;

use super::Row;
use super::context::{Context, Statement, size_of_value};
use super::error::ExecuteError;
use super::operator::{Operator, variable};
use super::parallel::Role;
use super::pipeline::{self, ENOUGH, Flow, MORE, Next, Running, Stage};
use super::subquery;

/// What the clause is called as an operator, and what it works on.
pub(crate) fn name(nested: &Nested) -> (&'static str, String) {
    match &nested.each {
        Some(each) => ("Foreach", variable(each.slot)),
        None => {
            let outputs: Vec<String> = nested.outputs.iter().map(|slot| variable(*slot)).collect();
            ("CallSubquery", outputs.join(", "))
        }
    }
}

/// The rows that come out of what is run for one row.
pub(crate) struct Results<'n> {
    nested: &'n Nested,
    seen: FxHashSet<GroupKey>,
    any: bool,
    /// Charged for what was seen.
    bytes: usize,
}

impl<'n> Results<'n> {
    pub(crate) fn new(nested: &'n Nested) -> Self {
        Self {
            nested,
            seen: FxHashSet::default(),
            any: false,
            bytes: 0,
        }
    }

    /// Puts what came out into the row around; whether it is one to go on with.
    pub(crate) fn take(
        &mut self,
        statement: &Statement<'_>,
        columns: &[Column],
        found: &[Value],
        row: &mut Row,
    ) -> Result<bool, ExecuteError> {
        let values = columns.iter().map(|column| &found[column.slot.0]);
        if self.nested.distinct {
            if !self.seen.insert(Value::group_key_of(values.clone())) {
                return Ok(false);
            }
            let bytes = columns
                .iter()
                .map(|column| size_of_value(&found[column.slot.0]));
            let bytes = bytes.sum();
            statement.charge(bytes)?;
            self.bytes += bytes;
        }
        self.any = true;
        for (value, slot) in values.zip(&self.nested.outputs) {
            row[slot.0] = value.clone();
        }
        Ok(true)
    }

    /// Nothing more comes: whether the row goes on all the same, with nulls.
    pub(crate) fn end(self, statement: &Statement<'_>, row: &mut Row) -> bool {
        statement.release(self.bytes);
        let alone = self.nested.optional && !self.any;
        if alone {
            for slot in &self.nested.outputs {
                row[slot.0] = Value::Null;
            }
        }
        alone
    }
}

/// A clause that is run for each row, and reads.
pub(super) struct NestedStage<'a> {
    context: Context<'a>,
    nested: &'a Nested,
    branches: Vec<Vec<Running<'a>>>,
}

impl<'a> NestedStage<'a> {
    pub(super) fn new(context: Context<'a>, nested: &'a Nested) -> Result<Self, ExecuteError> {
        let branches = nested.branches.iter();
        let branches = branches.map(|branch| subquery::stages(context, branch));
        Ok(Self {
            context,
            nested,
            branches: branches.collect::<Result<_, _>>()?,
        })
    }
}

impl Stage for NestedStage<'_> {
    fn role(&self) -> Role {
        Role::Streams
    }

    fn push(&mut self, row: &mut Row, next: &mut Next<'_>) -> Flow {
        let Self {
            context,
            nested,
            branches,
        } = self;
        context.step()?;
        if nested.outputs.is_empty() {
            // Nothing is changed and nothing given.
            return next(row);
        }
        let mut results = Results::new(nested);
        for (branch, stages) in nested.branches.iter().zip(branches) {
            let mut own = row.clone();
            let mut enough = false;
            pipeline::begin(stages, &own);
            pipeline::run_row(stages, &mut own, &mut |found| {
                if !results.take(context.statement, &branch.columns, found, row)? {
                    return MORE;
                }
                let flow = next(row)?;
                enough = flow.is_break();
                Ok(flow)
            })?;
            if enough {
                results.end(context.statement, row);
                return ENOUGH;
            }
        }
        if results.end(context.statement, row) {
            return next(row);
        }
        MORE
    }

    fn describe(&self, rows: f64, operators: &mut Vec<Operator>) -> f64 {
        let (name, details) = name(self.nested);
        let mut given = 0.0;
        let inputs = self.branches.iter().map(|stages| {
            let mut operators = Vec::new();
            given += pipeline::describe(stages, 1.0, &mut operators);
            operators
        });
        let inputs = inputs.collect();
        let rows = match self.nested.outputs.is_empty() {
            true => rows,
            false => rows * given,
        };
        operators.push(Operator {
            estimated_rows: rows,
            inputs,
            ..Operator::new(name, details)
        });
        rows
    }
}
