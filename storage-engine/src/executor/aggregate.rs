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
use super::pipeline::{Flow, MORE, Next, Stage};

/// A grouping while it runs.
pub(crate) struct AggregateStage<'a> {
    context: Context<'a>,
    aggregation: &'a Aggregation,
    by_key: FxHashMap<GroupKey, usize>,
    groups: Vec<Group>,
    bytes: usize,
}

struct Group {
    keys: Vec<Value>,
    accumulators: Vec<Accumulator>,
}

impl<'a> AggregateStage<'a> {
    pub(crate) fn new(context: Context<'a>, aggregation: &'a Aggregation) -> Self {
        let mut stage = Self {
            context,
            aggregation,
            by_key: FxHashMap::default(),
            groups: Vec::new(),
            bytes: 0,
        };
        if aggregation.keys.is_empty() {
            stage.groups.push(stage.new_group(Vec::new()));
        }
        stage
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

    /// The place of the group that the row belongs to.
    fn group_of(&mut self, row: &Row) -> Result<usize, ExecuteError> {
        if self.aggregation.keys.is_empty() {
            return Ok(0);
        }
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
    fn push(&mut self, row: &mut Row, _next: &mut Next<'_>) -> Flow {
        self.context.step()?;
        let place = self.group_of(row)?;
        for (index, aggregate) in self.aggregation.aggregates.iter().enumerate() {
            let value = match &aggregate.argument {
                None => Value::Bool(true),
                Some(argument) => self.context.evaluate(argument, row)?,
            };
            if value.is_null() {
                continue;
            }
            let bytes = self.groups[place].accumulators[index].add(aggregate, value)?;
            if bytes > 0 {
                self.charge(bytes)?;
            }
        }
        MORE
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Result<(), ExecuteError> {
        self.by_key = FxHashMap::default();
        let mut row = self.context.statement.empty_row();
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
}

/// One aggregate of one group.
struct Accumulator {
    seen: Option<FxHashSet<GroupKey>>,
    state: State,
}

enum State {
    Count(i64),
    /// Integers are summed exactly, whatever their order, and checked at the end.
    Sum {
        integers: i128,
        floats: Option<f64>,
        count: u64,
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
                count: 0,
            },
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

    /// Takes a value that is not null; gives the bytes that it holds on to.
    fn add(&mut self, aggregate: &Aggregate, value: Value) -> Result<usize, ExecuteError> {
        let mut bytes = 0;
        if let Some(seen) = &mut self.seen {
            if !seen.insert(value.group_key()) {
                return Ok(0);
            }
            bytes += size_of::<GroupKey>() + size_of_value(&value);
        }
        match &mut self.state {
            State::Count(count) => *count += 1,
            State::Sum {
                integers,
                floats,
                count,
            } => {
                match value {
                    Value::Int(int) => *integers += i128::from(int),
                    Value::Float(float) => *floats = Some(floats.unwrap_or(0.0) + float),
                    other => return Err(not_a_number(aggregate, &other)),
                }
                *count += 1;
            }
            State::Extreme { wanted, found } => {
                if found
                    .as_ref()
                    .is_none_or(|found| value.order(found) == *wanted)
                {
                    *found = Some(value);
                }
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
            State::Count(count) => Value::Int(count),
            State::Sum {
                integers,
                floats,
                count,
            } => match (aggregate.function, floats) {
                (AggregateFunction::Avg, _) if count == 0 => Value::Null,
                (AggregateFunction::Avg, floats) => {
                    Value::Float((integers as f64 + floats.unwrap_or(0.0)) / count as f64)
                }
                (_, Some(floats)) => Value::Float(integers as f64 + floats),
                (_, None) => i64::try_from(integers).map(Value::Int).map_err(|_| {
                    ExecuteError::Arithmetic {
                        operation: "the sum",
                        problem: ArithmeticProblem::Overflow,
                        span: span(aggregate),
                    }
                })?,
            },
            State::Extreme { found, .. } => found.unwrap_or(Value::Null),
            State::Collect(values) => Value::list(values),
        })
    }
}

fn not_a_number(aggregate: &Aggregate, found: &Value) -> ExecuteError {
    let place = if aggregate.function == AggregateFunction::Avg {
        "avg"
    } else {
        "sum"
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
