//! Finds graph patterns: `MATCH` and `OPTIONAL MATCH`.
//!
//! [`planning`] orders a clause's patterns into steps, each of which binds slots and then tests
//! what has become testable. [`search`] runs the steps depth first, writing into the one row; a
//! relationship is used once per clause.
//!
//! Example: `MATCH (a:Person)-[:KNOWS]->(b:Person {email: 'x'}) WHERE a.age > 30` becomes: look `b`
//! up by its key; walk incoming KNOWS to `a`, test `a.age > 30`.

pub(crate) mod condition;
mod cost;
mod dense;
pub(crate) mod expand;
mod gathering;
mod order;
pub(crate) mod planning;
pub(crate) mod search;
pub(crate) mod seek;
mod seeking;
pub(crate) mod selectivity;
mod shortest;
mod stopwatch;
pub(crate) mod tail;
mod variable_length;

use language::plan::{Aggregation, Match, Slot};
use language::schema::TypeId;
use language::value::Value;

use self::condition::Condition;
use self::planning::Planned;
pub(crate) use self::search::stored_form;
use self::search::{Operation, Search, Used};
use self::stopwatch::Stopwatch;
use self::tail::{Many, Tail};
use super::Row;
use super::aggregate::Tally;
use super::context::Context;
use super::operator::Operator;
use super::parallel::{Morsel, Role};
use super::pipeline::{Flow, Next, Stage};
use super::walk::SlotSet;

/// A `MATCH` while it runs.
pub(crate) struct MatchStage<'a> {
    context: Context<'a>,
    steps: Vec<Planned<'a>>,
    optional: bool,
    new_slots: Vec<Slot>,
    used: Used,
    /// When the time of each step is wanted.
    stopwatch: Option<Stopwatch>,
    /// The nodes that it begins with, when those are not all.
    morsel: Option<Morsel>,
    /// When only the number of rows is asked of the last step.
    tail: Option<Tail<'a>>,
}

impl<'a> MatchStage<'a> {
    pub(crate) fn new(context: Context<'a>, matching: &'a Match, wanted: &SlotSet) -> Self {
        let plan = planning::plan(context, matching, wanted);
        let timed = context.statement.is_timed();
        Self {
            stopwatch: timed.then(|| Stopwatch::new(plan.steps.len())),
            context,
            steps: plan.steps,
            optional: matching.optional,
            new_slots: plan.new_slots,
            used: Used::default(),
            morsel: None,
            tail: None,
        }
    }

    /// Its rows are grouped. When one of them can stand for many, gives for how many,
    /// and what each aggregate takes of it.
    pub(crate) fn count_tail(&mut self, aggregation: &Aggregation) -> Option<(Many, Vec<Tally>)> {
        if !self.optional {
            self.tail = Tail::of(self.context, &self.steps, aggregation);
        }
        let tail = self.tail.as_ref()?;
        Some((tail.many(), tail.tallies(&self.steps, aggregation)))
    }
}

impl Stage for MatchStage<'_> {
    fn role(&self) -> Role {
        Role::Streams
    }

    fn source(&self) -> Option<&[TypeId]> {
        let mut steps = self.steps.iter().map(|step| &step.operation);
        match (steps.next(), steps.nth(search::FIRST - 1)) {
            (Some(Operation::Begin), Some(Operation::Scan { types, .. })) if !self.optional => {
                Some(types)
            }
            _ => None,
        }
    }

    fn restrict(&mut self, morsel: Morsel) {
        self.morsel = Some(morsel);
    }

    fn push(&mut self, row: &mut Row, next: &mut Next<'_>) -> Flow {
        self.used.clear();
        let mut search = Search {
            context: self.context,
            steps: &self.steps,
            used: &mut self.used,
            next: &mut *next,
            found: false,
            stopwatch: self.stopwatch.as_ref(),
            morsel: self.morsel,
            tail: self.tail.as_ref(),
        };
        let flow = search.run(0, row)?;
        if !self.optional || search.found {
            return Ok(flow);
        }
        for slot in &self.new_slots {
            row[slot.0] = Value::Null;
        }
        next(row)
    }

    fn describe(&self, rows: f64, operators: &mut Vec<Operator>) -> f64 {
        let schema = self.context.snapshot.schema();
        let mut expected = rows;
        for (place, step) in self.steps.iter().enumerate() {
            expected *= step.growth;
            let conditions = step.conditions.iter().filter_map(Condition::span);
            let Some(operator) = step.operation.describe(schema) else {
                continue;
            };
            let counted = self.tail.as_ref().is_some_and(|tail| tail.at() == place);
            operators.push(Operator {
                name: if counted {
                    "ExpandCount"
                } else {
                    operator.name
                },
                conditions: operator.conditions.into_iter().chain(conditions).collect(),
                estimated_rows: expected,
                rows: Some(step.rows.get()),
                time: self.stopwatch.as_ref().map(|watch| watch.time(place)),
                ..operator
            });
        }
        if self.optional {
            expected = expected.max(rows);
            operators.push(Operator {
                estimated_rows: expected,
                ..Operator::new("Optional", String::new())
            });
        }
        expected
    }
}
