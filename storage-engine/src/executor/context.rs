//! What every operator of one running statement shares: parameters, limits and what is used of
//! them.
//!
//! Limits are cooperative: operators call [`Context::step`] for each unit of work and
//! [`Statement::charge`] for what they hold.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use language::plan::Plan;
use language::value::{EdgeRef, Value};
use rustc_hash::FxHashMap;

use super::account::Account;
use super::error::ExecuteError;
use super::lookups::Lookups;
use super::subquery::Subqueries;
use super::{Limits, Parameters, Row, Threads, parameters};
use crate::aside;
use crate::snapshot::Snapshot;

/// Steps between two looks at the clock and the cancel flag.
const STEPS_PER_CHECK: u32 = 2_048;

/// One running statement.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    parameters: Arc<BTreeMap<String, Value>>,
    limits: &'a Limits,
    budget: Option<Instant>,
    /// Set when what this thread does for a statement is not wanted any more.
    ended: Option<Arc<AtomicBool>>,
    slots: usize,
    writes: bool,
    timed: bool,
    began: SystemTime,
    /// The types of relationships of an open graph that the statement has deleted.
    gone: RefCell<FxHashMap<EdgeRef, Arc<str>>>,
    steps: Cell<u32>,
    account: Account,
    /// The tables of its hash joins, of this thread.
    lookups: Lookups,
    /// Its threads give way to others.
    gives_way: bool,
}

/// A statement and the graph as one of its clauses sees it.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) statement: &'a Statement<'a>,
    /// The queries within expressions that are planned once; others are planned for each row.
    pub(crate) subqueries: Option<&'a dyn Subqueries>,
}

impl<'a> Statement<'a> {
    pub(crate) fn new(
        plan: &Plan,
        parameters: &Parameters,
        limits: &'a Limits,
    ) -> Result<Self, ExecuteError> {
        Ok(Self {
            parameters: Arc::new(parameters::bind(&plan.parameters, parameters)?),
            limits,
            budget: None,
            ended: None,
            slots: plan.slots,
            writes: plan.writes(),
            timed: false,
            began: SystemTime::now(),
            gone: RefCell::default(),
            steps: Cell::new(0),
            account: Account::default(),
            lookups: Lookups::default(),
            gives_way: aside::gives_way(),
        })
    }

    /// The same, to be stopped at `budget`.
    pub(crate) fn within(self, budget: Option<Instant>) -> Self {
        Self { budget, ..self }
    }

    /// The same for another thread, until `ended` is set: limits are shared.
    pub(crate) fn fork(&self, ended: &Arc<AtomicBool>) -> Self {
        Self {
            parameters: self.parameters.clone(),
            limits: self.limits,
            budget: self.budget,
            ended: Some(ended.clone()),
            slots: self.slots,
            writes: self.writes,
            timed: false,
            began: self.began,
            gone: RefCell::default(),
            steps: Cell::new(0),
            account: self.account.beside(),
            lookups: Lookups::default(),
            gives_way: self.gives_way,
        }
    }

    pub(crate) const fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// How many threads may be used, and from how many rows on.
    pub(crate) const fn threads(&self) -> Threads {
        self.limits.threads
    }

    /// Bytes that it may hold at once.
    pub(crate) const fn max_bytes(&self) -> usize {
        self.limits.max_bytes
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
    pub(crate) fn pace(&self) -> Pace<'_> {
        Pace {
            limits: self.limits,
            budget: self.budget,
            ended: self.ended.as_deref(),
            gives_way: self.gives_way,
        }
    }

    /// Takes `bytes` from the budget.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), ExecuteError> {
        let limit = self.limits.max_bytes;
        match self.account.charge(bytes, limit) {
            true => Ok(()),
            false => Err(ExecuteError::MemoryLimit { limit }),
        }
    }

    /// How many bytes may be taken yet.
    pub(crate) fn left(&self) -> usize {
        self.limits.max_bytes.saturating_sub(self.account.total())
    }

    /// Gives `bytes` back.
    pub(crate) fn release(&self, bytes: usize) {
        self.account.release(bytes);
    }

    /// Bytes that are held, by this thread.
    pub(crate) const fn held(&self) -> usize {
        self.account.used.get()
    }

    /// Leaves what was charged for to whoever takes it over.
    pub(crate) fn hand_over(&self, bytes: usize) {
        self.account.hand_over(bytes);
    }

    /// Takes over what another thread was charged for.
    pub(crate) fn take_over(&self, bytes: usize) {
        self.account.take_over(bytes);
    }

    /// No other thread works for it any more.
    pub(crate) fn settle(&self) {
        self.account.settle();
    }

    /// Refuses a single value of `bytes` that would not fit, before it is made.
    pub(crate) fn require(&self, bytes: usize) -> Result<(), ExecuteError> {
        let limit = self.limits.max_bytes;
        if self.account.total().saturating_add(bytes) > limit {
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
    ended: Option<&'a AtomicBool>,
    gives_way: bool,
}

impl Pace<'_> {
    /// Looks at the clock and the cancel flags now. Whoever waits for the core of a thread that gives way
    /// has it meanwhile: the system alone would look for that a few hundred times a second.
    pub(crate) fn check(&self) -> Result<(), ExecuteError> {
        if self.gives_way {
            aside::give_way();
        }
        let is_set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if is_set(&self.limits.cancelled) || self.ended.is_some_and(is_set) {
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

impl Context<'_> {
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
