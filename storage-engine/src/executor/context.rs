//! What every operator of one running statement shares: parameters, limits and what is used of
//! them.
//!
//! Limits are cooperative: operators call [`Context::step`] for each unit of work and
//! [`Statement::charge`] for what they hold.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use language::plan::Plan;
use language::value::{EdgeRef, Value};
use rustc_hash::FxHashMap;

use super::error::ExecuteError;
use super::{Limits, Parameters, Row, parameters};
use crate::aside;
use crate::snapshot::Snapshot;

/// Steps between two looks at the clock and the cancel flag.
const STEPS_PER_CHECK: u32 = 2_048;

/// One running statement.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    parameters: BTreeMap<String, Value>,
    limits: &'a Limits,
    budget: Option<Instant>,
    slots: usize,
    writes: bool,
    timed: bool,
    began: SystemTime,
    /// The types of relationships of an open graph that the statement has deleted.
    gone: RefCell<FxHashMap<EdgeRef, Arc<str>>>,
    steps: Cell<u32>,
    bytes: Cell<usize>,
    /// Its threads give way to others.
    gives_way: bool,
}

/// A statement and the graph as one of its clauses sees it.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) statement: &'a Statement<'a>,
    /// Within a subquery: the row around it, whose variables stay visible throughout.
    pub(crate) around: &'a [Value],
}

impl<'a> Statement<'a> {
    pub(crate) fn new(
        plan: &Plan,
        parameters: &Parameters,
        limits: &'a Limits,
    ) -> Result<Self, ExecuteError> {
        Ok(Self {
            parameters: parameters::bind(&plan.parameters, parameters)?,
            limits,
            budget: None,
            slots: plan.slots,
            writes: plan.writes(),
            timed: false,
            began: SystemTime::now(),
            gone: RefCell::default(),
            steps: Cell::new(0),
            bytes: Cell::new(0),
            gives_way: aside::gives_way(),
        })
    }

    /// The same, to be stopped at `budget`.
    pub(crate) fn within(self, budget: Option<Instant>) -> Self {
        Self { budget, ..self }
    }

    /// The same, with the time of each of its steps.
    pub(crate) fn timed(self) -> Self {
        Self {
            timed: true,
            ..self
        }
    }

    /// Whether the time of each of its steps is wanted.
    pub(crate) const fn is_timed(&self) -> bool {
        self.timed
    }

    /// A row with nothing in it.
    pub(crate) fn empty_row(&self) -> Row {
        vec![Value::Null; self.slots]
    }

    /// How many values a row has.
    pub(crate) const fn slots(&self) -> usize {
        self.slots
    }

    /// When the statement began: what the clock says all through it.
    pub(crate) const fn began(&self) -> SystemTime {
        self.began
    }

    /// Notes the type of a relationship that is about to be deleted.
    pub(crate) fn remember_type(&self, edge: EdgeRef, name: Arc<str>) -> Result<(), ExecuteError> {
        self.charge(size_of::<(EdgeRef, Arc<str>)>())?;
        self.gone.borrow_mut().insert(edge, name);
        Ok(())
    }

    /// The type of a relationship that the statement has deleted.
    pub(crate) fn type_of_deleted(&self, edge: EdgeRef) -> Option<Arc<str>> {
        self.gone.borrow().get(&edge).cloned()
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&Value> {
        self.parameters.get(name)
    }

    /// Whether the statement can change the graph, so that a bound element may be gone.
    pub(crate) const fn writes(&self) -> bool {
        self.writes
    }

    /// One unit of work.
    pub(crate) fn step(&self) -> Result<(), ExecuteError> {
        let steps = self.steps.get().wrapping_add(1);
        self.steps.set(steps);
        if steps.is_multiple_of(STEPS_PER_CHECK) {
            self.check()
        } else {
            Ok(())
        }
    }

    /// Many units of work at once.
    pub(crate) fn steps(&self, count: usize) -> Result<(), ExecuteError> {
        let before = self.steps.get();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let steps = before.wrapping_add(count);
        self.steps.set(steps);
        if steps / STEPS_PER_CHECK != before / STEPS_PER_CHECK {
            self.check()
        } else {
            Ok(())
        }
    }

    /// Looks at the clock and the cancel flag now.
    pub(crate) fn check(&self) -> Result<(), ExecuteError> {
        self.pace().check()
    }

    /// What tells any thread when to stop.
    pub(crate) const fn pace(&self) -> Pace<'a> {
        Pace {
            limits: self.limits,
            budget: self.budget,
            gives_way: self.gives_way,
        }
    }

    /// Takes `bytes` from the budget.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), ExecuteError> {
        let used = self.bytes.get().saturating_add(bytes);
        self.bytes.set(used);
        self.require(0)
    }

    /// Gives `bytes` back.
    pub(crate) fn release(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
    }

    /// Refuses a single value of `bytes` that would not fit, before it is made.
    pub(crate) fn require(&self, bytes: usize) -> Result<(), ExecuteError> {
        let limit = self.limits.max_bytes;
        if self.bytes.get().saturating_add(bytes) > limit {
            return Err(ExecuteError::MemoryLimit { limit });
        }
        Ok(())
    }
}

/// When a statement must stop, and let others run: several threads may look at it.
#[derive(Clone, Copy)]
pub(crate) struct Pace<'a> {
    limits: &'a Limits,
    budget: Option<Instant>,
    gives_way: bool,
}

impl Pace<'_> {
    /// Looks at the clock and the cancel flag now. Whoever waits for the core of a thread that gives way
    /// has it meanwhile: the system alone would look for that a few hundred times a second.
    pub(crate) fn check(&self) -> Result<(), ExecuteError> {
        if self.gives_way {
            aside::give_way();
        }
        if self.limits.cancelled.load(Ordering::Relaxed) {
            return Err(ExecuteError::Cancelled);
        }
        if self.limits.deadline.is_none() && self.budget.is_none() {
            return Ok(());
        }
        let now = Instant::now();
        let over = |end: Option<Instant>| end.is_some_and(|end| now >= end);
        if over(self.limits.deadline) {
            Err(ExecuteError::Deadline)
        } else if over(self.budget) {
            Err(ExecuteError::OverBudget)
        } else {
            Ok(())
        }
    }
}

impl<'a> Context<'a> {
    /// A row with nothing in it but what stands around a subquery.
    pub(crate) fn empty_row(self) -> Row {
        let mut row = self.statement.empty_row();
        for (place, value) in row.iter_mut().zip(self.around) {
            place.clone_from(value);
        }
        row
    }

    /// One unit of work.
    pub(crate) fn step(self) -> Result<(), ExecuteError> {
        self.statement.step()
    }
}

/// What holding a value costs, in bytes. Shared content is divided among its holders.
pub(crate) fn size_of_value(value: &Value) -> usize {
    const OWN: usize = size_of::<Value>();
    const SHARED_HEADER: usize = 2 * size_of::<usize>();
    OWN + match value {
        Value::String(text) => {
            SHARED_HEADER + text.len() / std::sync::Arc::strong_count(text).max(1)
        }
        Value::List(list) => {
            SHARED_HEADER
                + match std::sync::Arc::strong_count(list) {
                    1 => list.iter().map(size_of_value).sum(),
                    holders => list.len() * OWN / holders,
                }
        }
        Value::Map(map) => {
            SHARED_HEADER
                + match std::sync::Arc::strong_count(map) {
                    1 => map
                        .iter()
                        .map(|(name, value)| name.len() + OWN + size_of_value(value))
                        .sum(),
                    holders => map.len() * 3 * OWN / holders,
                }
        }
        Value::Path(path) => SHARED_HEADER + (path.nodes.len() + path.edges.len()) * OWN,
        _ => 0,
    }
}

/// What holding a row costs, in bytes.
pub(crate) fn size_of_row(row: &[Value]) -> usize {
    size_of::<Row>() + row.iter().map(size_of_value).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_lists_are_charged_once_among_their_holders() {
        let alone = Value::list((0..100).map(Value::Int));
        let cost = size_of_value(&alone);
        let holders: Vec<Value> = (0..99).map(|_| alone.clone()).collect();
        assert!(cost > 100 * size_of::<Value>());
        assert!(holders.iter().map(size_of_value).sum::<usize>() < 3 * cost);
    }
}
