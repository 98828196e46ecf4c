//! Grouping: one row per distinct combination of keys, with aggregates over the group's rows.
//!
//! Groups come out in the order in which they were first seen. Without keys there is always
//! exactly one group, also over no rows.

use std::cmp::Ordering;

use language::plan::{Aggregate, AggregateFunction, Aggregation, Expr};
use language::value::{GroupKey, Value};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Row;
use super::context::{Context, size_of_value};
use super::error::{ArithmeticProblem, ExecuteError};
use super::functions::temporal;
use super::grouping::{self, ByNodes};
use super::operator::{Operator, variable};
use super::operators;
use super::pipeline::{Flow, MORE, Next, Stage};

/// What is added to an aggregate for a row that stands for many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    /// Its argument's value, as often as there are rows.
    Value,
    /// The number of rows.
    Rows,
    /// One.
    Once,
    /// What was added up for it, by place.
    Sum(usize),
}

/// A sum of integers and how many they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Added {
    pub(crate) sum: i128,
    pub(crate) count: u64,
}

/// What a row stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Many<'m> {
    /// So many equal rows.
    pub(crate) rows: u64,
    /// What each aggregate takes of it: its argument's value when it is not said.
    pub(crate) tallies: &'m [Tally],
    /// What was added up.
    pub(crate) added: &'m [Added],
}

/// A grouping while it runs.
pub(crate) struct AggregateStage<'a> {
    context: Context<'a>,
    aggregation: &'a Aggregation,
    by_nodes: Option<ByNodes>,
    by_key: FxHashMap<GroupKey, usize>,
    groups: Vec<Group>,
    bytes: usize,
    /// What a group's row holds besides.
    around: Row,
}

struct Group {
    keys: Vec<Value>,
    accumulators: Vec<Accumulator>,
}

impl<'a> AggregateStage<'a> {
    pub(crate) fn new(context: Context<'a>, aggregation: &'a Aggregation) -> Self {
        Self {
            context,
            aggregation,
            by_nodes: ByNodes::new(aggregation),
            by_key: FxHashMap::default(),
            groups: Vec::new(),
            bytes: 0,
            around: Row::new(),
        }
    }

    fn new_group(&self, keys: Vec<Value>) -> Group {
        let accumulators = self
            .aggregation
            .aggregates
            .iter()
            .map(Accumulator::new)
            .collect();
        Group { keys, accumulators }
    }

    fn charge(&mut self, bytes: usize) -> Result<(), ExecuteError> {
        self.bytes += bytes;
        self.context.statement.charge(bytes)
    }

    /// Takes a row that stands for many.
    pub(crate) fn take(&mut self, row: &Row, many: Many<'_>) -> Result<(), ExecuteError> {
        let place = self.group_of(row)?;
        for (index, aggregate) in self.aggregation.aggregates.iter().enumerate() {
            let accumulator = &mut self.groups[place].accumulators[index];
            match many.tallies.get(index) {
                Some(Tally::Rows) => accumulator.count(many.rows),
                Some(Tally::Sum(place)) => accumulator.add_sum(many.added.get(*place)),
                Some(Tally::Once) => accumulator.count(1),
                Some(Tally::Value) | None => {
                    let value = argument_of(self.context, aggregate, row)?;
                    if value.is_null() {
                        continue;
                    }
                    if let Some(parameter) = &aggregate.parameter {
                        let parameter = self.context.evaluate(parameter, row)?;
                        accumulator.ask(aggregate, &parameter)?;
                    }
                    let bytes = accumulator.add(aggregate, value, many.rows)?;
                    if bytes > 0 {
                        self.charge(bytes)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Without keys: adds to each count how many rows there are, or how many nodes.
    pub(crate) fn add_counts(&mut self, rows: u64, nodes: u64, tallies: &[Tally]) {
        let Some(group) = self.groups.first_mut() else {
            return;
        };
        for (accumulator, tally) in group.accumulators.iter_mut().zip(tallies) {
            match tally {
                Tally::Rows => accumulator.count(rows),
                Tally::Once => accumulator.count(nodes),
                Tally::Value | Tally::Sum(_) => {}
            }
        }
    }

    /// Puts the aggregates of a group into the row that is all of it, as [`Self::take`] would.
    pub(crate) fn alone(&self, row: &mut Row, many: Many<'_>) -> Result<(), ExecuteError> {
        for (aggregate, tally) in self.aggregation.aggregates.iter().zip(many.tallies) {
            let mut accumulator = Accumulator::new(aggregate);
            match tally {
                Tally::Rows => accumulator.count(many.rows),
                Tally::Once => accumulator.count(1),
                Tally::Sum(place) => accumulator.add_sum(many.added.get(*place)),
                Tally::Value => {
                    let value = argument_of(self.context, aggregate, row)?;
                    if !value.is_null() {
                        accumulator.add(aggregate, value, many.rows)?;
                    }
                }
            }
            row[aggregate.slot.0] = accumulator.result(aggregate)?;
        }
        Ok(())
    }

    /// The place of the group that the row belongs to.
    fn group_of(&mut self, row: &Row) -> Result<usize, ExecuteError> {
        if self.aggregation.keys.is_empty() {
            return Ok(0);
        }
        let by_nodes = self.by_nodes.as_ref();
        let nodes = by_nodes.and_then(|by_nodes| by_nodes.nodes(row));
        if let (Some(by_nodes), Some(nodes)) = (by_nodes, &nodes)
            && let Some(place) = by_nodes.place(nodes)
        {
            return Ok(place);
        }
        let place = self.group_by_key(row)?;
        if let (Some(by_nodes), Some(nodes)) = (&mut self.by_nodes, nodes) {
            by_nodes.remember(nodes, place);
            self.charge(grouping::ENTRY_BYTES)?;
        }
        Ok(place)
    }

    fn group_by_key(&mut self, row: &Row) -> Result<usize, ExecuteError> {
        let mut keys = Vec::with_capacity(self.aggregation.keys.len());
        for key in &self.aggregation.keys {
            keys.push(self.context.evaluate(&key.expr, row)?);
        }
        let key = Value::group_key_of(&keys);
        if let Some(place) = self.by_key.get(&key) {
            return Ok(*place);
        }
        let place = self.groups.len();
        let values: usize = keys.iter().map(size_of_value).sum();
        let accumulators = self.aggregation.aggregates.len() * size_of::<Accumulator>();
        self.charge(2 * values + accumulators + size_of::<(GroupKey, usize, Group)>())?;
        self.by_key.insert(key, place);
        self.groups.push(self.new_group(keys));
        Ok(place)
    }
}

impl Stage for AggregateStage<'_> {
    fn begin(&mut self, around: &Row) {
        self.around.clone_from(around);
        self.by_key.clear();
        self.groups.clear();
        if let Some(by_nodes) = &mut self.by_nodes {
            by_nodes.forget();
        }
        if self.aggregation.keys.is_empty() {
            self.groups.push(self.new_group(Vec::new()));
        }
    }

    fn push(&mut self, row: &mut Row, _next: &mut Next<'_>) -> Flow {
        self.context.step()?;
        let alone = Many {
            rows: 1,
            tallies: &[],
            added: &[],
        };
        self.take(row, alone)?;
        MORE
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Result<(), ExecuteError> {
        if let Some(by_nodes) = &mut self.by_nodes {
            by_nodes.forget();
        }
        self.by_key = FxHashMap::default();
        let mut row = self.around.clone();
        for group in std::mem::take(&mut self.groups) {
            self.context.step()?;
            for (key, value) in self.aggregation.keys.iter().zip(group.keys) {
                row[key.slot.0] = value;
            }
            for (aggregate, accumulator) in
                self.aggregation.aggregates.iter().zip(group.accumulators)
            {
                row[aggregate.slot.0] = accumulator.result(aggregate)?;
            }
            if next(&mut row)?.is_break() {
                break;
            }
        }
        self.context
            .statement
            .release(std::mem::take(&mut self.bytes));
        Ok(())
    }

    fn describe(&self, rows: f64, operators: &mut Vec<Operator>) -> f64 {
        let aggregates = self.aggregation.aggregates.iter();
        let aggregates = aggregates.map(|aggregate| variable(aggregate.slot));
        let keys = self.aggregation.keys.iter().map(|key| variable(key.slot));
        let (keys, aggregates): (Vec<_>, Vec<_>) = (keys.collect(), aggregates.collect());
        let (details, groups) = match keys.is_empty() {
            true => (aggregates.join(", "), 1.0),
            // As if every group had as many rows as there are groups.
            false => (
                format!("{} by {}", aggregates.join(", "), keys.join(", ")),
                rows.max(1.0).sqrt(),
            ),
        };
        operators.push(Operator {
            estimated_rows: groups,
            ..Operator::new("Aggregate", details)
        });
        groups
    }
}

/// The value that an aggregate is about; anything for `count(*)`.
fn argument_of(
    context: Context<'_>,
    aggregate: &Aggregate,
    row: &Row,
) -> Result<Value, ExecuteError> {
    match &aggregate.argument {
        None => Ok(Value::Bool(true)),
        Some(argument) => context.evaluate(argument, row),
    }
}

/// One aggregate of one group.
struct Accumulator {
    seen: Option<FxHashSet<GroupKey>>,
    state: State,
}

enum State {
    Count(i128),
    /// Integers are summed exactly, whatever their order, and checked at the end.
    Sum {
        integers: i128,
        floats: Option<f64>,
        times: Option<Value>,
        count: u64,
    },
    Deviation {
        values: Vec<f64>,
    },
    Percentile {
        wanted: Option<f64>,
        values: Vec<Value>,
    },
    Extreme {
        wanted: Ordering,
        found: Option<Value>,
    },
    Collect(Vec<Value>),
}

impl Accumulator {
    fn new(aggregate: &Aggregate) -> Self {
        let state = match aggregate.function {
            AggregateFunction::Count => State::Count(0),
            AggregateFunction::Sum | AggregateFunction::Avg => State::Sum {
                integers: 0,
                floats: None,
                times: None,
                count: 0,
            },
            AggregateFunction::StDev | AggregateFunction::StDevP => {
                State::Deviation { values: Vec::new() }
            }
            AggregateFunction::PercentileCont | AggregateFunction::PercentileDisc => {
                State::Percentile {
                    wanted: None,
                    values: Vec::new(),
                }
            }
            AggregateFunction::Min => State::Extreme {
                wanted: Ordering::Less,
                found: None,
            },
            AggregateFunction::Max => State::Extreme {
                wanted: Ordering::Greater,
                found: None,
            },
            AggregateFunction::Collect => State::Collect(Vec::new()),
        };
        Self {
            seen: aggregate.distinct.then(FxHashSet::default),
            state,
        }
    }

    /// Notes which percentile is wanted.
    fn ask(&mut self, aggregate: &Aggregate, parameter: &Value) -> Result<(), ExecuteError> {
        let State::Percentile { wanted, .. } = &mut self.state else {
            return Ok(());
        };
        let number = operators::number(parameter);
        match number.filter(|number| (0.0..=1.0).contains(number)) {
            Some(number) => *wanted = Some(number),
            None => {
                return Err(ExecuteError::Argument {
                    function: "a percentile",
                    problem: "it is a number from 0 to 1".to_owned(),
                    span: span(aggregate),
                });
            }
        }
        Ok(())
    }

    /// Counts rows.
    fn count(&mut self, rows: u64) {
        if let State::Count(count) = &mut self.state {
            *count += i128::from(rows);
        }
    }

    /// Adds what was added up elsewhere.
    fn add_sum(&mut self, added: Option<&Added>) {
        if let (
            State::Sum {
                integers, count, ..
            },
            Some(added),
        ) = (&mut self.state, added)
        {
            *integers = integers.saturating_add(added.sum);
            *count = count.saturating_add(added.count);
        }
    }

    /// Takes a value that is not null as often as it stands in `rows` rows; gives the bytes that it
    /// holds on to.
    fn add(
        &mut self,
        aggregate: &Aggregate,
        value: Value,
        mut rows: u64,
    ) -> Result<usize, ExecuteError> {
        let mut bytes = 0;
        if aggregate.distinct {
            rows = 1;
        }
        if let Some(seen) = &mut self.seen {
            if !seen.insert(value.group_key()) {
                return Ok(0);
            }
            bytes += size_of::<GroupKey>() + size_of_value(&value);
        }
        match &mut self.state {
            State::Count(count) => *count += i128::from(rows),
            State::Sum {
                integers,
                floats,
                times,
                count,
            } => {
                match value {
                    time @ Value::Temporal(_) => {
                        let sum = match times.take() {
                            None => Some(time.clone()),
                            Some(sum) => temporal::add(&sum, &time),
                        };
                        *times = Some(sum.ok_or_else(|| not_a_number(aggregate, &time))?);
                    }
                    Value::Int(int) => {
                        let sum = i128::from(int).saturating_mul(i128::from(rows));
                        *integers = integers.saturating_add(sum);
                    }
                    Value::Float(float) => {
                        *floats = Some(floats.unwrap_or(0.0) + float * rows as f64);
                    }
                    other => return Err(not_a_number(aggregate, &other)),
                }
                *count += rows;
            }
            State::Extreme { wanted, found } => {
                if found
                    .as_ref()
                    .is_none_or(|found| value.order(found) == *wanted)
                {
                    *found = Some(value);
                }
            }
            State::Deviation { values } => {
                let number = operators::number(&value);
                values.push(number.ok_or_else(|| not_a_number(aggregate, &value))?);
                bytes += size_of::<f64>();
            }
            State::Percentile { values, .. } => {
                if operators::number(&value).is_none() {
                    return Err(not_a_number(aggregate, &value));
                }
                bytes += size_of::<Value>();
                values.push(value);
            }
            State::Collect(values) => {
                bytes += size_of_value(&value);
                values.push(value);
            }
        }
        Ok(bytes)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "averages and mixed sums are floats"
    )]
    fn result(self, aggregate: &Aggregate) -> Result<Value, ExecuteError> {
        Ok(match self.state {
            State::Count(count) => {
                let count = i64::try_from(count);
                Value::Int(count.map_err(|_| overflow(aggregate, "the count"))?)
            }
            State::Sum {
                times: Some(sum),
                count,
                ..
            } => {
                let average = aggregate.function == AggregateFunction::Avg;
                let count = Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
                let found = if average {
                    temporal::divide(&sum, &count)
                } else {
                    Some(sum.clone())
                };
                found.ok_or_else(|| not_a_number(aggregate, &sum))?
            }
            State::Deviation { values } => Value::Float(deviation(
                &values,
                aggregate.function == AggregateFunction::StDev,
            )),
            State::Percentile { wanted, values } => {
                let between = aggregate.function == AggregateFunction::PercentileCont;
                percentile(values, wanted.unwrap_or_default(), between)
            }
            State::Sum {
                integers,
                floats,
                count,
                ..
            } => match (aggregate.function, floats) {
                (AggregateFunction::Avg, _) if count == 0 => Value::Null,
                (AggregateFunction::Avg, floats) => {
                    Value::Float((integers as f64 + floats.unwrap_or(0.0)) / count as f64)
                }
                (_, Some(floats)) => Value::Float(integers as f64 + floats),
                (_, None) => {
                    Value::Int(i64::try_from(integers).map_err(|_| overflow(aggregate, "the sum"))?)
                }
            },
            State::Extreme { found, .. } => found.unwrap_or(Value::Null),
            State::Collect(values) => Value::list(values),
        })
    }
}

/// The standard deviation; 0 of less than two values.
#[expect(clippy::cast_precision_loss, reason = "counts of values in memory")]
fn deviation(values: &[f64], sample: bool) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / if sample { count - 1.0 } else { count }).sqrt()
}

/// A percentile: between two values, or the first that at least so many are not above.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places in a list, between 0 and its length"
)]
fn percentile(mut values: Vec<Value>, wanted: f64, between: bool) -> Value {
    values.sort_by(Value::order);
    let Some(last) = values.len().checked_sub(1) else {
        return Value::Null;
    };
    if !between {
        let place = (wanted * values.len() as f64).ceil() as usize;
        return values.swap_remove(place.saturating_sub(1).min(last));
    }
    let place = wanted * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    let at = |place: usize| {
        values
            .get(place)
            .and_then(operators::number)
            .unwrap_or_default()
    };
    Value::Float(at(low) + (at(high) - at(low)) * (place - place.floor()))
}

fn overflow(aggregate: &Aggregate, operation: &'static str) -> ExecuteError {
    ExecuteError::Arithmetic {
        operation,
        problem: ArithmeticProblem::Overflow,
        span: span(aggregate),
    }
}

fn not_a_number(aggregate: &Aggregate, found: &Value) -> ExecuteError {
    let place = match aggregate.function {
        AggregateFunction::Avg => "avg",
        AggregateFunction::Sum => "sum",
        AggregateFunction::StDev | AggregateFunction::StDevP => "a standard deviation",
        _ => "a percentile",
    };
    ExecuteError::Type {
        place,
        expected: "numbers",
        found: found.kind(),
        span: span(aggregate),
    }
}

fn span(aggregate: &Aggregate) -> language::Span {
    aggregate
        .argument
        .as_ref()
        .map_or_else(language::Span::default, |argument: &Expr| argument.span)
}
