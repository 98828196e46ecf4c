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
pub(crate) mod expand;
mod gathering;
mod order;
pub(crate) mod planning;
pub(crate) mod search;
pub(crate) mod selectivity;
mod shortest;
mod stopwatch;
mod variable_length;

use language::plan::{Match, Slot};
use language::value::Value;

use self::condition::Condition;
use self::planning::Planned;
pub(crate) use self::search::stored_form;
use self::search::{Search, Used};
use self::stopwatch::Stopwatch;
use super::Row;
use super::context::Context;
use super::operator::Operator;
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
        }
    }
}

impl Stage for MatchStage<'_> {
    fn push(&mut self, row: &mut Row, next: &mut Next<'_>) -> Flow {
        self.used.clear();
        let mut search = Search {
            context: self.context,
            steps: &self.steps,
            used: &mut self.used,
            next: &mut *next,
            found: false,
            stopwatch: self.stopwatch.as_ref(),
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
            operators.push(Operator {
                conditions: conditions.collect(),
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
