//! Clauses as stages: each is given rows and gives rows to the next, at once where it can.
//!
//! A row travels by `&mut`: a stage writes the slots that it binds and calls the next. Slots are
//! never reused within a statement, so what a later stage wrote does not disturb an earlier one.
//! `Break` means that nothing further is wanted: it runs back up to the source and stops the work
//! there. Afterwards every stage is still asked to finish, from first to last.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use language::plan::{Clause, Subquery, Unwind};
use language::schema::TypeId;

use super::Row;
use super::aggregate::AggregateStage;
use super::context::Context;
use super::counting;
use super::each_row::NestedStage;
use super::elements::Elements;
use super::error::ExecuteError;
use super::matching::MatchStage;
use super::operator::{Operator, variable};
use super::parallel::{Morsel, Part, Role};
use super::procedures::CallStage;
use super::project::ProjectStage;
use super::subquery;
use super::walk::SlotSet;

/// Whether more rows are wanted.
pub(crate) type Flow = Result<ControlFlow<()>, ExecuteError>;

/// Takes rows.
pub(crate) type Next<'n> = dyn FnMut(&mut Row) -> Flow + 'n;

/// A list is expected to be about as long as this.
const USUAL_LIST: f64 = 10.0;

/// Go on.
pub(crate) const MORE: Flow = Ok(ControlFlow::Continue(()));

/// Nothing further is wanted.
pub(crate) const ENOUGH: Flow = Ok(ControlFlow::Break(()));

/// One clause that reads, while it runs.
pub(crate) trait Stage {
    /// Becomes as new. `around` is what a row holds before anything is bound: what stands around a
    /// query within an expression stays visible throughout.
    fn begin(&mut self, _around: &Row) {}

    /// Takes a row and gives any number to `next`.
    fn push(&mut self, row: &mut Row, next: &mut Next<'_>) -> Flow;

    /// All rows were given: gives what was held back to `next`.
    fn finish(&mut self, _next: &mut Next<'_>) -> Result<(), ExecuteError> {
        Ok(())
    }

    /// What it does with its rows.
    fn role(&self) -> Role {
        Role::Holds
    }

    /// How many rows that come in are enough, when that is known.
    fn enough(&self) -> Option<usize> {
        None
    }

    /// The types of the nodes that it begins with, all of them, when it does.
    fn source(&self) -> Option<&[TypeId]> {
        None
    }

    /// From now on it begins with these alone.
    fn restrict(&mut self, _morsel: Morsel) {}

    /// What it makes will be added to what others make of other rows.
    fn become_part(&mut self) {}

    /// What it has made of the rows so far, for [`Self::add_part`] of another that runs the same.
    fn take_part(&mut self) -> Option<Part> {
        None
    }

    /// Takes in what was made of rows that come after all those before.
    fn add_part(&mut self, _part: Part) -> Result<(), ExecuteError> {
        Ok(())
    }

    /// Whether no row can come out of it, whatever comes in.
    fn closed(&self) -> bool {
        false
    }

    /// Adds what it consists of, given how many rows are expected to come in; says how many are
    /// expected to come out. Rows that came out of the stage are filled in by whoever runs it.
    fn describe(&self, rows: f64, operators: &mut Vec<Operator>) -> f64;
}

/// A stage of some kind, living as long as the plan and the snapshot.
pub(crate) struct Running<'a> {
    pub(super) stage: Box<dyn Stage + 'a>,
    /// The place of its clause, of the last of them.
    pub(super) clause: usize,
    /// How many rows have come out of it.
    rows: u64,
    /// How long it took by itself, when that is measured.
    time: Duration,
    /// The queries within the expressions of its clauses.
    subqueries: Vec<&'a Subquery>,
    context: Context<'a>,
}

impl<'a> Running<'a> {
    fn new(
        context: Context<'a>,
        (place, clause): (usize, &'a Clause),
        stage: Box<dyn Stage + 'a>,
    ) -> Self {
        Self {
            stage,
            clause: place,
            rows: 0,
            time: Duration::ZERO,
            subqueries: match (context.subqueries, clause) {
                // The clauses within have their own.
                (None, _) | (_, Clause::Nested(_)) => Vec::new(),
                (Some(_), clause) => subquery::of_clause(clause),
            },
            context,
        }
    }

    /// What the queries within its expressions consist of.
    fn describe_subqueries(&self) -> Vec<Vec<Operator>> {
        let subqueries = self.subqueries.iter();
        let described = subqueries.filter_map(|it| self.context.subqueries?.describe(it));
        described.map(|operator| vec![operator]).collect()
    }
}

/// Adds the operators of stages, with the rows that came out of each so far. Takes how many rows are
/// expected to come in, gives how many are expected to come out.
pub(crate) fn describe(
    stages: &[Running<'_>],
    mut rows: f64,
    operators: &mut Vec<Operator>,
) -> f64 {
    for running in stages {
        let before = operators.len();
        rows = running.stage.describe(rows, operators);
        let own = operators.get_mut(before..).unwrap_or_default();
        // What the stage did besides its operators' own work is the last one's.
        let known: Duration = own.iter().filter_map(|operator| operator.time).sum();
        if let Some(last) = own.last_mut() {
            last.rows = Some(running.rows);
            last.inputs.extend(running.describe_subqueries());
            if let Some(rest) = running.time.checked_sub(known).filter(|it| !it.is_zero()) {
                *last.time.get_or_insert_default() += rest;
            }
        }
    }
    rows
}

/// The stages of clauses that read, for one row or for more that come in; `wanted` holds for each
/// clause what is mentioned after it.
pub(crate) fn stages<'a>(
    context: Context<'a>,
    clauses: &'a [Clause],
    wanted: &[SlotSet],
    one_row: bool,
) -> Result<Vec<Running<'a>>, ExecuteError> {
    let mut stages: Vec<Running<'a>> = Vec::with_capacity(clauses.len());
    let mut grouped = 0;
    let mut many = None;
    for (place, (clause, wanted)) in clauses.iter().zip(wanted).enumerate() {
        let mut add =
            |stage: Box<dyn Stage + 'a>| stages.push(Running::new(context, (place, clause), stage));
        match clause {
            // Counted with a `MATCH` before it.
            Clause::Match(_) if place < grouped => {}
            Clause::Match(matching) => {
                if let Some((stage, matchings)) =
                    counting::stage(context, &clauses[place..], one_row && place == 0)?
                {
                    add(stage);
                    grouped = place + matchings;
                    continue;
                }
                let mut stage = MatchStage::new(context, matching, wanted);
                many = match clauses.get(place + 1) {
                    Some(Clause::Project(next)) => next.aggregation.as_ref(),
                    _ => None,
                }
                .and_then(|aggregation| stage.count_tail(aggregation));
                add(Box::new(stage));
            }
            Clause::Unwind(unwind) => add(Box::new(UnwindStage { context, unwind })),
            Clause::Project(projection) => {
                if let Some(aggregation) = &projection.aggregation
                    && (place != grouped || grouped == 0)
                {
                    let stage = AggregateStage::new(context, aggregation);
                    add(Box::new(stage.of_many(many.take())));
                }
                add(Box::new(ProjectStage::new(context, projection, wanted)?));
            }
            Clause::Call(call) => add(Box::new(CallStage::new(context, call))),
            // One that writes is none of a pipeline.
            Clause::Nested(nested) => add(Box::new(NestedStage::new(context, nested)?)),
            Clause::Create(_) | Clause::Merge(_) | Clause::Set(_) | Clause::Delete(_) => {}
        }
    }
    Ok(stages)
}

/// Makes stages as new, for rows that hold what `around` does.
pub(crate) fn begin(stages: &mut [Running<'_>], around: &Row) {
    for running in stages {
        running.stage.begin(around);
    }
}

/// Runs rows through stages into `out`.
pub(crate) fn run<'a>(
    stages: &mut [Running<'a>],
    rows: impl IntoIterator<Item = Row>,
    out: &mut Next<'_>,
) -> Result<(), ExecuteError> {
    run_all::<false>(stages, rows, out)
}

/// Runs one of several rows through stages into `out`.
pub(crate) fn push_row(stages: &mut [Running<'_>], row: &mut Row, out: &mut Next<'_>) -> Flow {
    push::<false>(stages, row, out)
}

/// All rows were given: asks each stage for what it has held back.
pub(crate) fn finish_all(
    stages: &mut [Running<'_>],
    out: &mut Next<'_>,
) -> Result<(), ExecuteError> {
    finish::<false>(stages, out)
}

/// Runs one row through stages into `out`.
pub(crate) fn run_row(
    stages: &mut [Running<'_>],
    row: &mut Row,
    out: &mut Next<'_>,
) -> Result<(), ExecuteError> {
    if !stages.iter().any(|running| running.stage.closed()) {
        let _ = push::<false>(stages, row, out)?;
    }
    finish::<false>(stages, out)
}

/// As [`run`], and measures what time each stage takes by itself.
pub(crate) fn run_timed<'a>(
    stages: &mut [Running<'a>],
    rows: impl IntoIterator<Item = Row>,
    out: &mut Next<'_>,
) -> Result<(), ExecuteError> {
    run_all::<true>(stages, rows, out)
}

fn run_all<'a, const TIMED: bool>(
    stages: &mut [Running<'a>],
    rows: impl IntoIterator<Item = Row>,
    out: &mut Next<'_>,
) -> Result<(), ExecuteError> {
    if !stages.iter().any(|running| running.stage.closed()) {
        for mut row in rows {
            if push::<TIMED>(stages, &mut row, out)?.is_break() {
                break;
            }
        }
    }
    finish::<TIMED>(stages, out)
}

fn finish<const TIMED: bool>(
    stages: &mut [Running<'_>],
    out: &mut Next<'_>,
) -> Result<(), ExecuteError> {
    let mut rest = stages;
    while let Some((first, later)) = rest.split_first_mut() {
        let Running {
            stage, rows, time, ..
        } = first;
        let mut clock = Clock::<TIMED>::start(time);
        stage.finish(&mut |row| {
            *rows += 1;
            clock.pause(|| push::<TIMED>(later, row, out))
        })?;
        clock.stop();
        rest = later;
    }
    Ok(())
}

fn push<'a, const TIMED: bool>(
    stages: &mut [Running<'a>],
    row: &mut Row,
    out: &mut Next<'_>,
) -> Flow {
    match stages.split_first_mut() {
        None => out(row),
        Some((first, later)) => {
            let Running {
                stage, rows, time, ..
            } = first;
            let mut clock = Clock::<TIMED>::start(time);
            let flow = stage.push(row, &mut |row| {
                *rows += 1;
                clock.pause(|| push::<TIMED>(later, row, out))
            });
            clock.stop();
            flow
        }
    }
}

/// Measures one stage, but for what runs inside of it and is another's. Nothing at all unless `TIMED`.
struct Clock<'t, const TIMED: bool> {
    time: &'t mut Duration,
    running_since: Option<Instant>,
}

impl<'t, const TIMED: bool> Clock<'t, TIMED> {
    fn start(time: &'t mut Duration) -> Self {
        Self {
            time,
            running_since: TIMED.then(Instant::now),
        }
    }

    fn stop(&mut self) {
        if let Some(since) = self.running_since.take() {
            *self.time += since.elapsed();
        }
    }

    fn pause<T>(&mut self, other: impl FnOnce() -> T) -> T {
        self.stop();
        let given = other();
        if TIMED {
            self.running_since = Some(Instant::now());
        }
        given
    }
}

struct UnwindStage<'a> {
    context: Context<'a>,
    unwind: &'a Unwind,
}

impl Stage for UnwindStage<'_> {
    fn role(&self) -> Role {
        Role::Streams
    }

    fn push(&mut self, row: &mut Row, next: &mut Next<'_>) -> Flow {
        let slot = self.unwind.slot.0;
        for element in Elements::of(self.context, &self.unwind.list, row)?.iter() {
            self.context.step()?;
            row[slot] = element;
            if next(row)?.is_break() {
                return ENOUGH;
            }
        }
        MORE
    }

    fn describe(&self, rows: f64, operators: &mut Vec<Operator>) -> f64 {
        let rows = rows * USUAL_LIST;
        operators.push(Operator {
            estimated_rows: rows,
            ..Operator::new("Unwind", variable(self.unwind.slot))
        });
        rows
    }
}
