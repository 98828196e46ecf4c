//! `EXPLAIN` and `PROFILE`: the physical operators of a statement, without running it, and after
//! running it with what came out of each and how long it took.

use std::ops::ControlFlow;

use language::plan::{Clause, Plan};

use super::context::{Context, Statement};
use super::operator::{self, Operator};
use super::parallel::Split;
use super::pipeline::Running;
use super::walk::SlotSet;
use super::{
    ExecuteError, Limits, Output, Parameters, begin, check_size, fold, pipeline, subquery, walk,
    write,
};
use crate::snapshot::Snapshot;

/// The physical operators of a plan, as they would be chosen now: for each part that `UNION` joins, in
/// the order in which rows flow through them. Nothing is carried out.
///
/// # Errors
/// As for [`super::read`], but for what only running the statement can show.
pub fn explain(
    plan: &Plan,
    parameters: &Parameters,
    snapshot: &Snapshot,
    limits: &Limits,
) -> Result<Vec<Vec<Operator>>, ExecuteError> {
    let statement = Statement::new(plan, parameters, limits)?;
    let context = Context {
        snapshot,
        statement: &statement,
        subqueries: None,
    };
    check_size(plan)?;
    let branches = plan.branches().map(|(clauses, columns)| {
        let clauses = fold::constants(context, clauses);
        let wanted = walk::wanted_after(&clauses, columns, plan.slots);
        let operators = of_clauses(context, (&clauses, &wanted))?;
        Ok(named(operators, plan))
    });
    branches.collect()
}

/// The operators of clauses some of which may write.
fn of_clauses(
    context: Context<'_>,
    (clauses, wanted): (&[Clause], &[SlotSet]),
) -> Result<Vec<Operator>, ExecuteError> {
    let (mut operators, mut rows) = (Vec::new(), 1.0);
    let mut rest = (clauses, wanted);
    loop {
        let writing = rest.0.iter().position(Clause::writes);
        let reading = writing.unwrap_or(rest.0.len());
        let (before, after) = (rest.0.split_at(reading), rest.1.split_at(reading));
        // How many rows a writing clause gives is known only when it is run.
        let one_row = rest.0.len() == clauses.len();
        subquery::within(context, before.0, &mut |context| {
            let stages = pipeline::stages(context, before.0, after.0, one_row)?;
            rows = describe(context, &stages, rows, &mut operators);
            Ok(())
        })?;
        let (Some((clause, later)), Some((_, wanted))) =
            (before.1.split_first(), after.1.split_first())
        else {
            return Ok(operators);
        };
        if let Some(mut operator) = write::describe(clause, context.snapshot.schema(), rows) {
            if let Clause::Nested(nested) = clause {
                let inputs = nested.branches.iter().map(|branch| {
                    let slots = context.statement.slots();
                    let wanted = walk::wanted_within(&branch.clauses, &branch.columns, slots);
                    of_clauses(context, (&branch.clauses, &wanted))
                });
                operator.inputs = inputs.collect::<Result<_, _>>()?;
            }
            operators.push(operator);
        }
        rest = (later, wanted);
    }
}

/// Runs a plan that only reads, and gives its operators with what came out of each, and the number of
/// rows. These are held to the limits and given to nobody.
///
/// # Errors
/// As for [`super::read`].
pub fn profile(
    plan: &Plan,
    parameters: &Parameters,
    snapshot: &Snapshot,
    limits: &Limits,
) -> Result<(Vec<Vec<Operator>>, u64), ExecuteError> {
    let statement = Statement::new(plan, parameters, limits)?.timed();
    let context = Context {
        snapshot,
        statement: &statement,
        subqueries: None,
    };
    let mark = begin(context, plan)?;
    let mut nobody = |_: &[_]| ControlFlow::Continue(());
    let mut output = Output::new(&statement, plan, limits, &mut nobody);
    let mut branches = Vec::new();
    for (clauses, columns) in plan.branches() {
        let clauses = fold::constants(context, clauses);
        let wanted = walk::wanted_after(&clauses, columns, plan.slots);
        let mut operators = Vec::new();
        subquery::within(context, &clauses, &mut |context| {
            let mut stages = pipeline::stages(context, &clauses, &wanted, true)?;
            let row = statement.empty_row();
            pipeline::begin(&mut stages, &row);
            pipeline::run_timed(&mut stages, [row], &mut |row| output.take(columns, row))?;
            pipeline::describe(&stages, 1.0, &mut operators);
            Ok(())
        })?;
        branches.push(named(operators, plan));
    }
    snapshot.whole_since(mark)?;
    Ok((branches, output.rows as u64))
}

/// The operators of stages, with where the rows of several threads meet.
fn describe(
    context: Context<'_>,
    stages: &[Running<'_>],
    rows: f64,
    operators: &mut Vec<Operator>,
) -> f64 {
    let Some(split) = Split::of(context, stages) else {
        return pipeline::describe(stages, rows, operators);
    };
    let (shared, rest) = stages.split_at(split.cut.min(stages.len()));
    let rows = pipeline::describe(shared, rows, operators);
    operators.push(Operator {
        estimated_rows: rows,
        ..Operator::new("Gather", format!("from {} threads", split.threads()))
    });
    pipeline::describe(rest, rows, operators)
}

fn named(mut operators: Vec<Operator>, plan: &Plan) -> Vec<Operator> {
    for operator in &mut operators {
        operator.details = operator::with_names(&operator.details, &plan.names);
        let inputs = std::mem::take(&mut operator.inputs).into_iter();
        operator.inputs = inputs.map(|operators| named(operators, plan)).collect();
    }
    operators
}
