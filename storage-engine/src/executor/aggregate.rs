//! Grouping: one row per distinct combination of keys, with aggregates over the group's rows.
//!
//! Groups come out in the order in which they were first seen. Without keys there is always
//! exactly one group, also over no rows. Groups of parts of the rows, worked out by several threads, are
//! added to each other in the order of the rows, so that the outcome is the same.

use language::plan::{Aggregate, Aggregation};
use language::value::{GroupKey, Value};
use rustc_hash::FxHashMap;

use super::Row;
use super::accumulator::Accumulator;
use super::context::{Context, size_of_value};
use super::error::ExecuteError;
use super::grouping::{self, ByNodes};
use super::matching::tail::Many;
use super::operator::{Operator, variable};
use super::parallel::{Part, Role};
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
pub(crate) struct ForMany<'m> {
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
    by_nodes: Option<ByNodes<'a>>,
    by_key: FxHashMap<GroupKey, usize>,
    groups: Vec<Group>,
    bytes: usize,
    /// What a group's row holds besides.
    around: Row,
    /// Its groups are added to those of another.
    partial: bool,
    /// For how many each row stands, when it is not one, and what aggregates take of it.
    many: Option<(Many, Vec<Tally>)>,
}

pub(crate) struct Group {
    keys: Vec<Value>,
    accumulators: Vec<Accumulator>,
    /// What it takes by itself, without what its accumulators hold on to.
    bytes: usize,
}

/// The groups of a part of the rows, in the order in which they were first seen, and what they take.
pub(crate) struct Groups {
    groups: Vec<(Option<GroupKey>, Group)>,
    bytes: usize,
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
            partial: false,
            many: None,
        }
    }

    /// The same for rows each of which stands for many, by the pattern before it.
    pub(crate) fn of_many(self, many: Option<(Many, Vec<Tally>)>) -> Self {
        Self { many, ..self }
    }

    fn new_group(&self, keys: Vec<Value>, bytes: usize) -> Group {
        let aggregates = self.aggregation.aggregates.iter();
        let accumulators = aggregates.map(|it| Accumulator::new(it, self.partial));
        Group {
            keys,
            accumulators: accumulators.collect(),
            bytes,
        }
    }

    fn charge(&mut self, bytes: usize) -> Result<(), ExecuteError> {
        self.bytes += bytes;
        self.context.statement.charge(bytes)
    }

    /// Takes a row that stands for many.
    pub(crate) fn take(&mut self, row: &Row, many: ForMany<'_>) -> Result<(), ExecuteError> {
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
    pub(crate) fn alone(&self, row: &mut Row, many: ForMany<'_>) -> Result<(), ExecuteError> {
        for (aggregate, tally) in self.aggregation.aggregates.iter().zip(many.tallies) {
            let mut accumulator = Accumulator::new(aggregate, false);
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
        let mut numbers = None;
        if let Some(by_nodes) = &mut self.by_nodes {
            let mut made = 0;
            numbers = by_nodes.numbers(self.context, row, &mut made)?;
            let known = numbers.and_then(|numbers| by_nodes.place(&numbers));
            if made > 0 {
                self.charge(made * grouping::ENTRY_BYTES)?;
            }
            if let Some(place) = known {
                return Ok(place);
            }
        }
        let place = self.group_by_key(row)?;
        if let (Some(by_nodes), Some(numbers)) = (&mut self.by_nodes, numbers) {
            by_nodes.remember(numbers, place);
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
        let bytes = 2 * values + accumulators + size_of::<(GroupKey, usize, Group)>();
        self.charge(bytes)?;
        self.by_key.insert(key, place);
        self.groups.push(self.new_group(keys, bytes));
        Ok(place)
    }
}

impl AggregateStage<'_> {
    /// Adds groups of rows that come after all those before.
    fn add_groups(&mut self, part: Groups) -> Result<(), ExecuteError> {
        self.context.statement.take_over(part.bytes);
        self.bytes += part.bytes;
        for (key, group) in part.groups {
            self.context.step()?;
            let place = match key {
                None => Some(0),
                Some(key) => {
                    let next = self.groups.len();
                    let place = *self.by_key.entry(key).or_insert(next);
                    (place < next).then_some(place)
                }
            };
            let Some(known) = place.and_then(|place| self.groups.get_mut(place)) else {
                self.groups.push(group);
                continue;
            };
            let accumulators = known.accumulators.iter_mut().zip(group.accumulators);
            for (aggregate, (known, more)) in self.aggregation.aggregates.iter().zip(accumulators) {
                known.merge(aggregate, more)?;
            }
            self.bytes -= group.bytes;
            self.context.statement.release(group.bytes);
        }
        Ok(())
    }
}

impl Stage for AggregateStage<'_> {
    fn role(&self) -> Role {
        Role::Groups
    }

    fn become_part(&mut self) {
        self.partial = true;
    }

    fn take_part(&mut self) -> Option<Part> {
        if let Some(by_nodes) = &mut self.by_nodes {
            let bytes = by_nodes.forget() * grouping::ENTRY_BYTES;
            self.bytes -= bytes;
            self.context.statement.release(bytes);
        }
        let mut keys: Vec<Option<GroupKey>> = Vec::new();
        keys.resize_with(self.groups.len(), || None);
        for (key, place) in self.by_key.drain() {
            if let Some(of) = keys.get_mut(place) {
                *of = Some(key);
            }
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.context.statement.hand_over(bytes);
        let groups = keys.into_iter().zip(self.groups.drain(..)).collect();
        Some(Part::Groups(Groups { groups, bytes }))
    }

    fn add_part(&mut self, part: Part) -> Result<(), ExecuteError> {
        match part {
            Part::Groups(groups) => self.add_groups(groups),
            Part::Sorted(_) => Ok(()),
        }
    }

    fn begin(&mut self, around: &Row) {
        self.around.clone_from(around);
        self.by_key.clear();
        self.groups.clear();
        if let Some(by_nodes) = &mut self.by_nodes {
            by_nodes.forget();
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.context.statement.release(bytes);
        if self.aggregation.keys.is_empty() {
            self.groups.push(self.new_group(Vec::new(), 0));
        }
    }

    fn push(&mut self, row: &mut Row, _next: &mut Next<'_>) -> Flow {
        self.context.step()?;
        let many = self.many.take();
        let (rows, tallies) = match &many {
            Some((rows, tallies)) => (rows.get(), tallies.as_slice()),
            None => (1, [].as_slice()),
        };
        let added = &[];
        let taken = self.take(
            row,
            ForMany {
                rows,
                tallies,
                added,
            },
        );
        self.many = many;
        taken?;
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
