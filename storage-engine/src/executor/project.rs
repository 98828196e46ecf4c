//! `WITH` and `RETURN` after grouping: items, `DISTINCT`, `ORDER BY`, `SKIP`, `LIMIT`, `WHERE`.
//!
//! Without `ORDER BY` rows stream through. With it they are held until the end; with a `LIMIT` too,
//! only as many as can still come out. Held rows keep only the slots that are mentioned later.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use language::plan::{Expr, Projection, Slot};
use language::value::{GroupKey, Value};
use rustc_hash::FxHashSet;

use super::Row;
use super::context::{Context, size_of_row, size_of_value};
use super::error::ExecuteError;
use super::operator::{Operator, variable};
use super::parallel::{Part, Role};
use super::pipeline::{ENOUGH, Flow, MORE, Next, Stage};
use super::walk::{self, SlotSet};

/// A projection while it runs.
pub(crate) struct ProjectStage<'a> {
    context: Context<'a>,
    projection: &'a Projection,
    seen: FxHashSet<GroupKey>,
    seen_bytes: usize,
    sorter: Option<Sorter<'a>>,
    gate: Gate<'a>,
}

impl<'a> ProjectStage<'a> {
    pub(crate) fn new(
        context: Context<'a>,
        projection: &'a Projection,
        wanted: &SlotSet,
    ) -> Result<Self, ExecuteError> {
        let skip = row_number(context, "SKIP", projection.skip.as_ref())?.unwrap_or(0);
        let limit = row_number(context, "LIMIT", projection.limit.as_ref())?;
        let sorter = (!projection.order.is_empty()).then(|| {
            let mut kept = wanted.clone();
            projection
                .filter
                .iter()
                .for_each(|filter| walk::variables(filter, &mut kept));
            Sorter {
                context,
                projection,
                kept: kept.iter().collect(),
                capacity: limit.map(|limit| skip.saturating_add(limit)),
                arrived: 0,
                bytes: 0,
                held: BinaryHeap::new(),
                around: Row::new(),
            }
        });
        let filter = projection.filter.as_ref();
        let gate = Gate {
            context,
            wanted: (skip, limit),
            skip,
            limit,
            filter,
        };
        Ok(Self {
            context,
            projection,
            seen: FxHashSet::default(),
            seen_bytes: 0,
            sorter,
            gate,
        })
    }

    /// Whether the row is the first of its kind.
    fn is_new(&mut self, row: &Row) -> Result<bool, ExecuteError> {
        let values = || self.projection.items.iter().map(|item| &row[item.slot.0]);
        let key = Value::group_key_of(values());
        // A key is about as long as the values that it stands for.
        let bytes = size_of::<GroupKey>() + values().map(size_of_value).sum::<usize>();
        if !self.seen.insert(key) {
            return Ok(false);
        }
        self.seen_bytes += bytes;
        self.context.statement.charge(bytes)?;
        Ok(true)
    }
}

impl Stage for ProjectStage<'_> {
    fn role(&self) -> Role {
        match (self.projection.distinct, self.sorter.is_some()) {
            (false, true) => Role::Sorts,
            (false, false) if self.gate.wanted == (0, None) => Role::Streams,
            _ => Role::Holds,
        }
    }

    fn enough(&self) -> Option<usize> {
        let (skip, limit) = self.gate.wanted;
        let limit = limit.filter(|_| self.sorter.is_none() && !self.projection.distinct)?;
        Some(skip.saturating_add(limit))
    }

    fn take_part(&mut self) -> Option<Part> {
        let sorter = self.sorter.as_mut()?;
        let mut entries = std::mem::take(&mut sorter.held).into_vec();
        entries.sort_unstable_by_key(|entry| entry.arrived);
        let bytes = std::mem::take(&mut sorter.bytes);
        self.context.statement.hand_over(bytes);
        Some(Part::Sorted(Sorted { entries, bytes }))
    }

    fn add_part(&mut self, part: Part) -> Result<(), ExecuteError> {
        if let (Some(sorter), Part::Sorted(sorted)) = (&mut self.sorter, part) {
            self.context.statement.take_over(sorted.bytes);
            sorter.bytes += sorted.bytes;
            for entry in sorted.entries {
                self.context.step()?;
                sorter.arrived += 1;
                let arrived = sorter.arrived;
                sorter.keep(Entry { arrived, ..entry });
            }
        }
        Ok(())
    }

    fn begin(&mut self, around: &Row) {
        (self.gate.skip, self.gate.limit) = self.gate.wanted;
        self.seen.clear();
        let mut bytes = std::mem::take(&mut self.seen_bytes);
        if let Some(sorter) = &mut self.sorter {
            bytes += std::mem::take(&mut sorter.bytes);
            sorter.around.clone_from(around);
            sorter.held.clear();
            sorter.arrived = 0;
        }
        self.context.statement.release(bytes);
    }

    fn push(&mut self, row: &mut Row, next: &mut Next<'_>) -> Flow {
        self.context.step()?;
        if self.gate.is_shut() {
            return ENOUGH;
        }
        for item in &self.projection.items {
            row[item.slot.0] = self.context.evaluate(&item.expr, row)?;
        }
        if self.projection.distinct && !self.is_new(row)? {
            return MORE;
        }
        match &mut self.sorter {
            None => self.gate.pass(row, next),
            Some(sorter) => {
                sorter.hold(row)?;
                MORE
            }
        }
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Result<(), ExecuteError> {
        self.seen = FxHashSet::default();
        self.context
            .statement
            .release(std::mem::take(&mut self.seen_bytes));
        let Some(sorter) = &mut self.sorter else {
            return Ok(());
        };
        let mut row = sorter.around.clone();
        for entry in std::mem::take(&mut sorter.held).into_sorted_vec() {
            for (slot, value) in sorter.kept.iter().zip(entry.values) {
                row[slot.0] = value;
            }
            if self.gate.pass(&mut row, next)?.is_break() {
                break;
            }
        }
        let bytes = std::mem::take(&mut sorter.bytes);
        self.context.statement.release(bytes);
        Ok(())
    }

    fn closed(&self) -> bool {
        self.gate.is_shut()
    }

    fn describe(&self, rows: f64, operators: &mut Vec<Operator>) -> f64 {
        let name = match (self.sorter.is_some(), self.projection.limit.is_some()) {
            (true, true) => "Top",
            (true, false) => "Sort",
            (false, true) => "Limit",
            (false, false) if self.projection.distinct => "Distinct",
            (false, false) => "Project",
        };
        let items = self.projection.items.iter();
        let items: Vec<_> = items.map(|item| variable(item.slot)).collect();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let rows = self
            .gate
            .wanted
            .1
            .map_or(rows, |limit| rows.min(limit as f64));
        let filter = self.projection.filter.iter();
        operators.push(Operator {
            conditions: filter.map(|filter| filter.span).collect(),
            estimated_rows: rows,
            ..Operator::new(name, items.join(", "))
        });
        rows
    }
}

/// `SKIP`, `LIMIT` and the `WHERE` of a `WITH`.
struct Gate<'a> {
    context: Context<'a>,
    /// How many rows to skip and how many to pass on, in all.
    wanted: (usize, Option<usize>),
    /// How many of these are left.
    skip: usize,
    limit: Option<usize>,
    filter: Option<&'a Expr>,
}

impl Gate<'_> {
    const fn is_shut(&self) -> bool {
        matches!(self.limit, Some(0))
    }

    fn pass(&mut self, row: &mut Row, next: &mut Next<'_>) -> Flow {
        if self.is_shut() {
            return ENOUGH;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return MORE;
        }
        if let Some(limit) = &mut self.limit {
            *limit -= 1;
        }
        let flow = match self.filter {
            Some(filter) if !self.context.is_true(filter, row)? => ControlFlow::Continue(()),
            _ => next(row)?,
        };
        if self.is_shut() { ENOUGH } else { Ok(flow) }
    }
}

/// Rows held for `ORDER BY`: a heap whose top is the last of them.
struct Sorter<'a> {
    context: Context<'a>,
    projection: &'a Projection,
    kept: Vec<Slot>,
    capacity: Option<usize>,
    arrived: u64,
    bytes: usize,
    held: BinaryHeap<Entry>,
    /// What a row holds besides.
    around: Row,
}

impl Sorter<'_> {
    fn hold(&mut self, row: &Row) -> Result<(), ExecuteError> {
        let mut keys = Vec::with_capacity(self.projection.order.len());
        for key in &self.projection.order {
            let value = self.context.evaluate(&key.expr, row)?;
            keys.push(SortValue {
                value,
                descending: key.descending,
            });
        }
        self.arrived += 1;
        let mut entry = Entry {
            keys,
            arrived: self.arrived,
            values: Vec::new(),
            bytes: 0,
        };
        if self.is_late(&entry) {
            return Ok(());
        }
        entry.values = self.kept.iter().map(|slot| row[slot.0].clone()).collect();
        entry.bytes = size_of::<Entry>()
            + size_of_row(&entry.values)
            + entry.keys.len() * size_of::<SortValue>();
        self.bytes += entry.bytes;
        let bytes = entry.bytes;
        self.keep(entry);
        self.context.statement.charge(bytes)
    }

    fn is_full(&self) -> bool {
        let full = |capacity| self.held.len() >= capacity;
        self.capacity.is_some_and(full)
    }

    /// Whether as many come before it as are wanted.
    fn is_late(&self, entry: &Entry) -> bool {
        self.is_full() && self.held.peek().is_none_or(|last| entry >= last)
    }

    /// Holds what is charged already, or gives that back.
    fn keep(&mut self, entry: Entry) {
        let dropped = match self.is_full() {
            true if self.is_late(&entry) => Some(entry),
            true => {
                let last = self.held.pop();
                self.held.push(entry);
                last
            }
            false => {
                self.held.push(entry);
                None
            }
        };
        if let Some(dropped) = dropped {
            self.bytes -= dropped.bytes;
            self.context.statement.release(dropped.bytes);
        }
    }
}

/// Rows of a part of all, in the order in which they came, and what they take.
pub(crate) struct Sorted {
    entries: Vec<Entry>,
    bytes: usize,
}

struct Entry {
    keys: Vec<SortValue>,
    /// Breaks ties, so that the order is stable.
    arrived: u64,
    values: Vec<Value>,
    bytes: usize,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.keys
            .cmp(&other.keys)
            .then(self.arrived.cmp(&other.arrived))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

struct SortValue {
    value: Value,
    descending: bool,
}

impl Ord for SortValue {
    fn cmp(&self, other: &Self) -> Ordering {
        let ascending = self.value.order(&other.value);
        if self.descending {
            ascending.reverse()
        } else {
            ascending
        }
    }
}

impl PartialOrd for SortValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SortValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SortValue {}

/// How many rows a projection that sorts keeps, those that it skips included; `None` for all.
pub(crate) fn wanted(
    context: Context<'_>,
    projection: &Projection,
) -> Result<Option<usize>, ExecuteError> {
    let skip = row_number(context, "SKIP", projection.skip.as_ref())?.unwrap_or(0);
    let limit = row_number(context, "LIMIT", projection.limit.as_ref())?;
    Ok(limit.map(|limit| skip.saturating_add(limit)))
}

fn row_number(
    context: Context<'_>,
    clause: &'static str,
    expr: Option<&Expr>,
) -> Result<Option<usize>, ExecuteError> {
    let Some(expr) = expr else { return Ok(None) };
    let refused = |found: String| ExecuteError::RowNumber {
        clause,
        found,
        span: expr.span,
    };
    match context.evaluate(expr, &[])? {
        // More than can be counted is no limit at all.
        Value::Int(int) if int >= 0 => Ok(Some(usize::try_from(int).unwrap_or(usize::MAX))),
        Value::Int(int) => Err(refused(int.to_string())),
        Value::Float(float) => Err(refused(format!("{float:?}"))),
        other => Err(refused(other.kind().to_owned())),
    }
}
