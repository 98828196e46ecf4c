//! What an aggregate keeps of one group, and how that of one part of the rows is added to that of another.
//!
//! Numbers are summed exactly and rounded at the end, so that a sum does not depend on how rows were shared
//! out among threads.

use std::cmp::Ordering;

use language::plan::{Aggregate, AggregateFunction, Expr};
use language::value::{GroupKey, Value};
use rustc_hash::FxHashSet;

use super::aggregate::Added;
use super::context::size_of_value;
use super::error::{ArithmeticProblem, ExecuteError};
use super::exact::ExactSum;
use super::functions::temporal;
use super::operators;

/// One aggregate of one group.
pub(super) struct Accumulator {
    seen: Option<Seen>,
    state: State,
}

/// What an aggregate over distinct values has had.
struct Seen {
    keys: FxHashSet<GroupKey>,
    /// In order, when they are to be added to others.
    values: Option<Vec<Value>>,
}

enum State {
    Count(i128),
    /// Integers are summed exactly, whatever their order, and checked at the end.
    Sum {
        integers: i128,
        /// Floats too, rounded at the end.
        floats: Option<ExactSum>,
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
    /// `partial`: it is added to another later on.
    pub(super) fn new(aggregate: &Aggregate, partial: bool) -> Self {
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
            seen: aggregate.distinct.then(|| Seen {
                keys: FxHashSet::default(),
                values: partial.then(Vec::new),
            }),
            state,
        }
    }

    /// Notes which percentile is wanted.
    pub(super) fn ask(
        &mut self,
        aggregate: &Aggregate,
        parameter: &Value,
    ) -> Result<(), ExecuteError> {
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
    pub(super) fn count(&mut self, rows: u64) {
        if let State::Count(count) = &mut self.state {
            *count += i128::from(rows);
        }
    }

    /// Adds what was added up elsewhere.
    pub(super) fn add_sum(&mut self, added: Option<&Added>) {
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
    pub(super) fn add(
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
            if !seen.keys.insert(value.group_key()) {
                return Ok(0);
            }
            bytes += size_of::<GroupKey>() + size_of_value(&value);
            if let Some(values) = &mut seen.values {
                bytes += size_of_value(&value);
                values.push(value.clone());
            }
        }
        match &mut self.state {
            State::Count(count) => *count += i128::from(rows),
            State::Sum {
                integers,
                floats,
                times,
                count,
            } => {
                add_number(aggregate, value, rows, (integers, floats, times))?;
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

    /// Takes in what another has of rows that come after those of this one.
    pub(super) fn merge(&mut self, aggregate: &Aggregate, other: Self) -> Result<(), ExecuteError> {
        if let (
            State::Percentile { wanted, .. },
            State::Percentile {
                wanted: more_wanted,
                ..
            },
        ) = (&mut self.state, &other.state)
        {
            *wanted = more_wanted.or(*wanted);
        }
        if let Some(seen) = other.seen {
            for value in seen.values.into_iter().flatten() {
                self.add(aggregate, value, 1)?;
            }
            return Ok(());
        }
        match (&mut self.state, other.state) {
            (State::Count(count), State::Count(more)) => *count += more,
            (
                State::Sum {
                    integers,
                    floats,
                    times,
                    count,
                },
                State::Sum {
                    integers: more_integers,
                    floats: more_floats,
                    times: more_times,
                    count: more,
                },
            ) => {
                *integers = integers.saturating_add(more_integers);
                if let Some(more) = more_floats {
                    floats.get_or_insert_default().merge(&more);
                }
                *times = match (times.take(), more_times) {
                    (Some(sum), Some(time)) => Some(
                        temporal::add(&sum, &time).ok_or_else(|| not_a_number(aggregate, &time))?,
                    ),
                    (sum, time) => sum.or(time),
                };
                *count += more;
            }
            (State::Deviation { values }, State::Deviation { values: more }) => values.extend(more),
            (State::Percentile { values, .. }, State::Percentile { values: more, .. }) => {
                values.extend(more);
            }
            (State::Extreme { wanted, found }, State::Extreme { found: more, .. }) => {
                if let Some(more) = more
                    && found
                        .as_ref()
                        .is_none_or(|found| more.order(found) == *wanted)
                {
                    *found = Some(more);
                }
            }
            (State::Collect(values), State::Collect(more)) => values.extend(more),
            // Both are of the same aggregate.
            _ => {}
        }
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "averages and mixed sums are floats"
    )]
    pub(super) fn result(self, aggregate: &Aggregate) -> Result<Value, ExecuteError> {
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
            } => match (aggregate.function, floats.map(|sum| sum.rounded())) {
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

/// Adds a number, or an amount of time, as often as there are rows.
#[expect(clippy::cast_precision_loss, reason = "floats are added to floats")]
fn add_number(
    aggregate: &Aggregate,
    value: Value,
    rows: u64,
    (integers, floats, times): (&mut i128, &mut Option<ExactSum>, &mut Option<Value>),
) -> Result<(), ExecuteError> {
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
            let (floats, rows) = (floats.get_or_insert_default(), rows as f64);
            let product = float * rows;
            floats.add(product);
            if product.is_finite() {
                floats.add(float.mul_add(rows, -product));
            }
        }
        other => return Err(not_a_number(aggregate, &other)),
    }
    Ok(())
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
