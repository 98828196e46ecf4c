//! Runs checked plans against a snapshot, or inside a transaction.
//!
//! Reading clauses form a push pipeline (see [`pipeline`]): rows flow one at a time, a `LIMIT`
//! stops the work before it. Writing clauses take all their rows first, then change the graph, so
//! that a clause never sees its own changes half done. Graph patterns are found by [`matching`],
//! properties are read as late as possible.
//!
//! It must never know of tables, the log or the network: [`Snapshot`] and [`Transaction`] are the
//! graph to it.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use storage_engine::executor::{self, Limits, Parameters};
//! # fn example(plan: &language::plan::Plan, snapshot: &storage_engine::snapshot::Snapshot)
//! # -> Result<(), executor::ExecuteError> {
//! let limits = Limits { max_rows: Some(10_000), ..Limits::default() };
//! executor::read(plan, &Parameters::new(), snapshot, &limits, &mut |row| {
//!     println!("{row:?}");
//!     ControlFlow::Continue(())
//! })
//! # }
//! ```

mod account;
mod accumulator;
mod aggregate;
mod context;
pub(crate) mod cores;
mod counting;
mod each_row;
mod elements;
mod error;
mod evaluate;
mod exact;
mod explain;
mod fold;
mod functions;
mod grouping;
mod lookups;
mod matching;
mod nested;
mod operator;
mod operators;
mod parallel;
mod parameters;
mod pipeline;
mod procedures;
mod project;
mod subquery;
mod walk;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use language::plan::{Clause, Column, Plan};
use language::value::{GroupKey, Value};
use rustc_hash::FxHashSet;

pub use error::{ArithmeticProblem, ExecuteError};
pub use explain::{explain, profile};
pub use operator::Operator;

use crate::cold::Mark;
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;
pub(crate) use context::size_of_row;
use context::{Context, Statement};
use parallel::Split;
use pipeline::Next;
use walk::SlotSet;

/// The values of a statement's parameters, by name without the `$`. Others than the statement
/// names are ignored.
pub type Parameters = BTreeMap<String, Value>;

/// The values of a plan's slots.
pub(crate) type Row = Vec<Value>;

/// Reading clauses and parts of patterns that one statement may chain: each costs stack.
const MAX_CHAIN: usize = 400;

/// What a statement may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Looked at every few thousand steps.
    pub deadline: Option<Instant>,
    /// More rows than this are an error, never a silent cut.
    pub max_rows: Option<usize>,
    /// Bytes of rows held at once: for sorting, grouping, `DISTINCT`, writing, searching. As many the
    /// changes of the whole transaction may take in the log, and so many what a write returns.
    pub max_bytes: usize,
    /// What threads it may have beside its own, as far as cores are free.
    pub threads: Threads,
    /// Set it to stop the statement within a few thousand steps.
    pub cancelled: Arc<AtomicBool>,
}

/// How many threads a statement that only reads may have.
#[derive(Clone, Copy, Debug)]
pub struct Threads {
    /// At most so many, its own included. All statements of the process together have no more threads
    /// beside their own than there are further cores.
    pub most: usize,
    /// From so many rows on that are expected to be looked at.
    pub rows: f64,
}

impl Default for Threads {
    /// Every core, where about two milliseconds are expected.
    fn default() -> Self {
        Self {
            most: usize::MAX,
            rows: 16_384.0,
        }
    }
}

impl Default for Limits {
    /// No deadline, any number of rows, 256 MiB, every core.
    fn default() -> Self {
        Self {
            deadline: None,
            max_rows: None,
            max_bytes: 256 << 20,
            threads: Threads::default(),
            cancelled: Arc::new(AtomicBool::new(false)),
        }
    }
}

/// Takes the values of a plan's columns, in order; says whether it wants more.
pub type Sink<'s> = dyn FnMut(&[Value]) -> ControlFlow<()> + 's;

/// Runs a plan that only reads.
///
/// # Errors
/// See [`ExecuteError`]. Rows given to the sink before an error are not taken back.
pub fn read(
    plan: &Plan,
    parameters: &Parameters,
    snapshot: &Snapshot,
    limits: &Limits,
    sink: &mut Sink<'_>,
) -> Result<(), ExecuteError> {
    let statement = Statement::new(plan, parameters, limits)?;
    let mut output = Output::new(&statement, plan, limits, sink);
    let context = Context {
        snapshot,
        statement: &statement,
        subqueries: None,
    };
    let mark = begin(context, plan)?;
    for (clauses, columns) in plan.branches() {
        let clauses = fold::constants(context, clauses);
        let wanted = walk::wanted_after(&clauses, columns, plan.slots);
        run_reading(
            context,
            &clauses,
            &wanted,
            vec![statement.empty_row()],
            &mut |row| output.take(columns, row),
        )?;
    }
    Ok(snapshot.whole_since(mark)?)
}

/// What is done before a plan that only reads is run: what it needs is read into memory. What fails to
/// be read from then on, is told by [`Snapshot::whole_since`].
fn begin(context: Context<'_>, plan: &Plan) -> Result<Mark, ExecuteError> {
    let mark = context.snapshot.mark();
    context.snapshot.warm(plan)?;
    context.statement.check()?;
    check_size(plan)?;
    Ok(mark)
}

/// Runs a plan inside a transaction; its own changes are visible to its later clauses.
///
/// The caller commits. After an error the transaction must be dropped: changes made before the
/// error are in it.
///
/// # Errors
/// See [`ExecuteError`].
pub fn write(
    plan: &Plan,
    parameters: &Parameters,
    transaction: &mut Transaction,
    limits: &Limits,
    sink: &mut Sink<'_>,
) -> Result<(), ExecuteError> {
    let written = write_within_budget(plan, parameters, transaction, limits, sink);
    if matches!(written, Err(ExecuteError::OverBudget)) {
        transaction.end_over_budget();
    }
    written
}

fn write_within_budget(
    plan: &Plan,
    parameters: &Parameters,
    transaction: &mut Transaction,
    limits: &Limits,
    sink: &mut Sink<'_>,
) -> Result<(), ExecuteError> {
    let statement = Statement::new(plan, parameters, limits)?.within(transaction.budget());
    if transaction.budget().is_some() && !transaction.snapshot().is_warm(plan) {
        // Nobody is to wait for a disk behind it.
        return Err(ExecuteError::OverBudget);
    }
    transaction.prepare(plan)?;
    transaction.limit_bytes(limits.max_bytes);
    statement.check()?;
    check_size(plan)?;
    let mut output = Output {
        keeps: true,
        ..Output::new(&statement, plan, limits, sink)
    };
    transaction.keep_journal(true);
    for (clauses, columns) in plan.branches() {
        write_branch(&statement, transaction, clauses, columns, &mut output)?;
    }
    transaction.keep_journal(false);
    Ok(())
}

/// Runs the clauses of one part of a `UNION`, mostly of the only one.
fn write_branch(
    statement: &Statement<'_>,
    transaction: &mut Transaction,
    clauses: &[Clause],
    columns: &[Column],
    output: &mut Output<'_, '_>,
) -> Result<(), ExecuteError> {
    let clauses = fold::constants(
        Context {
            snapshot: transaction.snapshot(),
            statement,
            subqueries: None,
        },
        clauses,
    );
    let wanted = walk::wanted_after(&clauses, columns, statement.slots());
    let rows = vec![statement.empty_row()];
    write_clauses(
        statement,
        transaction,
        (&clauses, &wanted),
        rows,
        &mut |row| output.take(columns, row),
    )
}

/// Runs clauses some of which write, for rows; what a last clause that writes leaves is given to nobody.
fn write_clauses(
    statement: &Statement<'_>,
    transaction: &mut Transaction,
    (clauses, wanted): (&[Clause], &[SlotSet]),
    mut rows: Vec<Row>,
    out: &mut Next<'_>,
) -> Result<(), ExecuteError> {
    let mut start = 0;
    while let Some(found) = clauses[start..].iter().position(Clause::writes) {
        let place = start + found;
        if found > 0 {
            let context = Context {
                snapshot: transaction.snapshot(),
                statement,
                subqueries: None,
            };
            let range = start..place;
            rows = write::materialise(
                context,
                &clauses[range.clone()],
                &wanted[range],
                &clauses[place],
                rows,
            )?;
        }
        rows = write::apply(statement, transaction, &clauses[place], rows)?;
        start = place + 1;
    }
    if start == clauses.len() {
        return Ok(());
    }
    let context = Context {
        snapshot: transaction.snapshot(),
        statement,
        subqueries: None,
    };
    run_reading(context, &clauses[start..], &wanted[start..], rows, out)
}

fn run_reading(
    context: Context<'_>,
    clauses: &[Clause],
    wanted: &[SlotSet],
    rows: Vec<Row>,
    out: &mut Next<'_>,
) -> Result<(), ExecuteError> {
    let mut rows = Some(rows);
    subquery::within(context, clauses, &mut |context| {
        let rows = rows.take().unwrap_or_default();
        let mut stages = pipeline::stages(context, clauses, wanted, rows.len() < 2)?;
        pipeline::begin(&mut stages, &context.statement.empty_row());
        if let Some(split) = Split::of(context, &stages) {
            return parallel::run(context, &split, (clauses, wanted), &mut stages, out);
        }
        pipeline::run(&mut stages, rows, out)
    })
}

/// Hands rows to the sink and counts them.
struct Output<'a, 's> {
    plan: &'a Plan,
    limits: &'a Limits,
    sink: &'a mut Sink<'s>,
    /// What rows that are kept are charged to.
    statement: &'a Statement<'a>,
    /// They are all kept, until the commit.
    keeps: bool,
    rows: usize,
    stopped: bool,
    values: Vec<Value>,
    /// What was given, when equal rows are given once.
    seen: FxHashSet<GroupKey>,
}

impl<'a, 's> Output<'a, 's> {
    fn new(
        statement: &'a Statement<'a>,
        plan: &'a Plan,
        limits: &'a Limits,
        sink: &'a mut Sink<'s>,
    ) -> Self {
        Self {
            statement,
            keeps: false,
            plan,
            limits,
            sink,
            rows: 0,
            stopped: false,
            values: Vec::new(),
            seen: FxHashSet::default(),
        }
    }

    fn take(&mut self, columns: &[Column], row: &mut Row) -> pipeline::Flow {
        if self.stopped {
            return pipeline::ENOUGH;
        }
        self.values.clear();
        self.values
            .extend(columns.iter().map(|column| row[column.slot.0].clone()));
        if self.plan.distinct {
            if !self.seen.insert(Value::group_key_of(&self.values)) {
                return pipeline::MORE;
            }
            self.statement.charge(size_of_row(&self.values))?;
        }
        if let Some(limit) = self.limits.max_rows
            && self.rows >= limit
        {
            return Err(ExecuteError::RowLimit { limit });
        }
        self.rows += 1;
        if self.keeps {
            self.statement.charge(size_of_row(&self.values))?;
        }
        let flow = (self.sink)(&self.values);
        self.stopped = flow.is_break();
        Ok(flow)
    }
}

/// Reading clauses and pattern steps are followed by recursion, so their number is bounded.
fn check_size(plan: &Plan) -> Result<(), ExecuteError> {
    let branches = plan.branches().map(|(clauses, _)| longest_chain(clauses));
    let found = branches.max().unwrap_or(0);
    if found > MAX_CHAIN {
        return Err(ExecuteError::TooComplex {
            what: "reading clauses and pattern steps in a row",
            found,
            limit: MAX_CHAIN,
        });
    }
    Ok(())
}

/// How many reading clauses and steps follow one another at most, with those that are run within one.
fn longest_chain(clauses: &[Clause]) -> usize {
    let (mut chain, mut longest) = (0, 0);
    for clause in clauses {
        let within = match clause {
            Clause::Nested(nested) => {
                let branches = nested.branches.iter();
                let chains = branches.map(|branch| longest_chain(&branch.clauses));
                chains.max().unwrap_or(0)
            }
            _ => 0,
        };
        chain = match clause {
            Clause::Match(matching) => {
                let steps = matching.paths.iter().map(|path| 1 + path.steps.len());
                chain + 1 + steps.sum::<usize>()
            }
            Clause::Nested(_) if !clause.writes() => chain + 1 + within,
            Clause::Unwind(_) | Clause::Project(_) | Clause::Call(_) => chain + 1,
            // A writing clause takes all rows: the chain ends there.
            _ => 0,
        };
        longest = longest.max(chain).max(within);
    }
    longest
}
