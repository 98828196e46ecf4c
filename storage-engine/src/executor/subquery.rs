//! Queries within expressions: `EXISTS {}`, `COUNT {}`, `COLLECT {}`, patterns as conditions, pattern
//! comprehensions.
//!
//! Each is planned once for the clauses it stands in, and run for every row that asks, until the answer
//! is known: `EXISTS` ends with the first row found. What looks at nothing of the row around it is answered
//! once; what looks at one node, once for each node while that pays. Queries within such queries are kept
//! the same way, a level deeper. Where the graph changes between two rows, in clauses that write, each is
//! planned anew.

use std::cell::{Cell, RefCell};

use language::plan::{Branch, Clause, Expr, ExprKind, Slot, Subquery, SubqueryKind};
use language::value::{GroupKey, NodeRef, Value};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Row;
use super::context::{Context, size_of_value};
use super::error::ExecuteError;
use super::operator::{Operator, variable};
use super::pipeline::{self, ENOUGH, MORE, Next, Running};
use super::walk;

/// Answers by node that are kept at most.
const MOST_ANSWERS: usize = 1 << 16;
/// What keeping one takes, with the room that a map keeps free.
const ANSWER_BYTES: usize = 2 * size_of::<(NodeRef, Value)>();
/// After so many questions it is looked at whether keeping answers pays.
const TRIAL: u32 = 1_024;

/// The queries within some expressions.
pub(crate) trait Subqueries {
    /// What one gives for a row; `None` when it is not among these.
    fn answer(&self, subquery: &Subquery, row: &[Value]) -> Option<Result<Value, ExecuteError>>;

    /// What one consists of; `None` when it is not among these.
    fn describe(&self, subquery: &Subquery) -> Option<Operator>;
}

/// Calls `inner` with a context in which the queries within the expressions of some clauses are kept.
pub(crate) fn within(
    context: Context<'_>,
    clauses: &[Clause],
    inner: &mut dyn FnMut(Context<'_>) -> Result<(), ExecuteError>,
) -> Result<(), ExecuteError> {
    let mut levels = Vec::new();
    for clause in clauses {
        walk::expressions(clause, &mut |expr| collect(expr, 0, &mut levels));
    }
    nest(context, &levels, inner)
}

/// Adds the queries within an expression, those within them a level deeper.
fn collect<'e>(expr: &'e Expr, depth: usize, levels: &mut Vec<Vec<&'e Subquery>>) {
    if let ExprKind::Subquery(subquery) = &expr.kind {
        if levels.len() <= depth {
            levels.resize_with(depth + 1, Vec::new);
        }
        levels[depth].push(subquery);
        let clauses = subquery.branches.iter().flat_map(|branch| &branch.clauses);
        for clause in clauses {
            walk::expressions(clause, &mut |expr| collect(expr, depth + 1, levels));
        }
    }
    for child in expr.children() {
        collect(child, depth, levels);
    }
}

/// The queries of a clause that stand in no other.
pub(crate) fn of_clause(clause: &Clause) -> Vec<&Subquery> {
    let mut levels = Vec::new();
    walk::expressions(clause, &mut |expr| collect(expr, 0, &mut levels));
    levels.into_iter().next().unwrap_or_default()
}

/// Each level sees the one below it, so the deepest is made first.
fn nest<'a>(
    context: Context<'a>,
    levels: &[Vec<&'a Subquery>],
    inner: &mut dyn FnMut(Context<'_>) -> Result<(), ExecuteError>,
) -> Result<(), ExecuteError> {
    let Some((deepest, others)) = levels.split_last() else {
        return inner(context);
    };
    let level = Level::new(context, deepest);
    let above = Context {
        subqueries: Some(&level),
        ..context
    };
    let outcome = nest(above, others, inner);
    context.statement.release(level.held.take());
    outcome
}

/// Queries that are equally deep within others.
struct Level<'a> {
    context: Context<'a>,
    /// By where they stand in memory.
    known: FxHashMap<usize, Known<'a>>,
    /// Bytes that are charged for answers.
    held: Cell<usize>,
}

/// A query, and its stages once it was asked.
struct Known<'a> {
    subquery: &'a Subquery,
    /// What it looks at of the row around it.
    outer: Vec<Slot>,
    stages: RefCell<Option<Ready<'a>>>,
    answers: RefCell<Answers>,
}

struct Ready<'a> {
    branches: Vec<Vec<Running<'a>>>,
    row: Row,
    /// Rows that were found in all.
    found: u64,
}

/// What is known already.
enum Answers {
    /// It can be another each time, or is asked of too much.
    Never,
    /// It is the same for all rows.
    Once(Option<Value>),
    /// It depends on one node.
    ByNode {
        slot: Slot,
        known: FxHashMap<NodeRef, Value>,
        asked: u32,
        hits: u32,
    },
}

fn place(subquery: &Subquery) -> usize {
    std::ptr::from_ref(subquery).addr()
}

impl<'a> Level<'a> {
    fn new(context: Context<'a>, subqueries: &[&'a Subquery]) -> Self {
        let known = subqueries.iter().map(|subquery| {
            let outer = walk::outer(subquery);
            let known = Known {
                subquery,
                answers: RefCell::new(Answers::new(subquery, &outer)),
                outer,
                stages: RefCell::new(None),
            };
            (place(subquery), known)
        });
        Self {
            context,
            known: known.collect(),
            held: Cell::new(0),
        }
    }
}

impl Subqueries for Level<'_> {
    fn answer(&self, subquery: &Subquery, row: &[Value]) -> Option<Result<Value, ExecuteError>> {
        let known = self.known.get(&place(subquery))?;
        if let Some(value) = known.answers.borrow_mut().find(row) {
            return Some(Ok(value));
        }
        let mut stages = known.stages.try_borrow_mut().ok()?;
        let answer = known.run(self.context, &mut stages, row);
        if let Ok(value) = &answer {
            let bytes = known.answers.borrow_mut().remember(row, value);
            if bytes > 0 {
                self.held.set(self.held.get() + bytes);
                if let Err(error) = self.context.statement.charge(bytes) {
                    return Some(Err(error));
                }
            }
        }
        Some(answer)
    }

    fn describe(&self, subquery: &Subquery) -> Option<Operator> {
        let known = self.known.get(&place(subquery))?;
        let mut stages = known.stages.try_borrow_mut().ok()?;
        if stages.is_none() {
            *stages = known.prepare(self.context).ok();
        }
        let ready = stages.as_ref()?;
        let branches = ready.branches.iter().map(|stages| {
            let mut operators = Vec::new();
            pipeline::describe(stages, 1.0, &mut operators);
            operators
        });
        let outer: Vec<String> = known.outer.iter().map(|slot| variable(*slot)).collect();
        Some(Operator {
            rows: Some(ready.found),
            inputs: branches.collect(),
            ..Operator::new(name(subquery.kind), outer.join(", "))
        })
    }
}

const fn name(kind: SubqueryKind) -> &'static str {
    match kind {
        SubqueryKind::Exists => "Exists",
        SubqueryKind::Count => "Count",
        SubqueryKind::Collect => "Collect",
    }
}

impl<'a> Known<'a> {
    fn prepare(&self, context: Context<'a>) -> Result<Ready<'a>, ExecuteError> {
        let branches = self.subquery.branches.iter();
        let branches = branches.map(|branch| stages(context, branch));
        Ok(Ready {
            branches: branches.collect::<Result<_, _>>()?,
            row: context.statement.empty_row(),
            found: 0,
        })
    }

    fn run(
        &self,
        context: Context<'a>,
        stages: &mut Option<Ready<'a>>,
        row: &[Value],
    ) -> Result<Value, ExecuteError> {
        let Ready {
            branches,
            row: own,
            found,
        } = match stages {
            Some(ready) => ready,
            None => stages.insert(self.prepare(context)?),
        };
        for slot in &self.outer {
            if let Some(place) = own.get_mut(slot.0) {
                *place = row.get(slot.0).cloned().unwrap_or(Value::Null);
            }
        }
        answer(context, self.subquery, &mut |at, out| {
            let Some(stages) = branches.get_mut(at) else {
                return Ok(());
            };
            pipeline::begin(stages, own);
            pipeline::run_row(stages, own, &mut |row| {
                *found += 1;
                out(row)
            })
        })
    }
}

impl Answers {
    fn new(subquery: &Subquery, outer: &[Slot]) -> Self {
        let collects = subquery.kind == SubqueryKind::Collect;
        match outer {
            _ if !walk::is_steady(subquery) => Self::Never,
            [] => Self::Once(None),
            [slot] if !collects => Self::ByNode {
                slot: *slot,
                known: FxHashMap::default(),
                asked: 0,
                hits: 0,
            },
            _ => Self::Never,
        }
    }

    fn find(&mut self, row: &[Value]) -> Option<Value> {
        match self {
            Self::Never => None,
            Self::Once(answer) => answer.clone(),
            Self::ByNode {
                slot,
                known,
                asked,
                hits,
            } => {
                let Some(Value::Node(node)) = row.get(slot.0) else {
                    return None;
                };
                *asked += 1;
                let found = known.get(node).cloned();
                *hits += u32::from(found.is_some());
                if *asked == TRIAL {
                    if *hits < TRIAL / 8 {
                        *known = FxHashMap::default();
                        *self = Self::Never;
                    } else {
                        (*asked, *hits) = (0, 0);
                    }
                }
                found
            }
        }
    }

    /// Gives the bytes that keeping it takes.
    fn remember(&mut self, row: &[Value], answer: &Value) -> usize {
        match self {
            Self::Never => 0,
            Self::Once(place) => {
                *place = Some(answer.clone());
                size_of_value(answer)
            }
            Self::ByNode { slot, known, .. } => {
                let Some(Value::Node(node)) = row.get(slot.0) else {
                    return 0;
                };
                if known.len() >= MOST_ANSWERS {
                    return 0;
                }
                known.insert(*node, answer.clone());
                ANSWER_BYTES
            }
        }
    }
}

/// The stages of a part of a query within an expression or a clause.
pub(super) fn stages<'a>(
    context: Context<'a>,
    branch: &'a Branch,
) -> Result<Vec<Running<'a>>, ExecuteError> {
    #[cfg(test)]
    PLANNED.set(PLANNED.get() + 1);
    let slots = context.statement.slots();
    let wanted = walk::wanted_within(&branch.clauses, &branch.columns, slots);
    pipeline::stages(context, &branch.clauses, &wanted, true)
}

/// What is made of the rows that the parts of a query give; `run` runs the one at a place.
fn answer(
    context: Context<'_>,
    subquery: &Subquery,
    run: &mut dyn FnMut(usize, &mut Next<'_>) -> Result<(), ExecuteError>,
) -> Result<Value, ExecuteError> {
    let mut count = 0_i64;
    let mut values = Vec::new();
    let mut bytes = 0;
    let mut seen: FxHashSet<GroupKey> = FxHashSet::default();
    for (at, branch) in subquery.branches.iter().enumerate() {
        let exists = subquery.kind == SubqueryKind::Exists;
        if exists && count > 0 {
            break;
        }
        run(at, &mut |row| {
            let columns = branch.columns.iter().map(|column| &row[column.slot.0]);
            if subquery.distinct && !seen.insert(Value::group_key_of(columns)) {
                return MORE;
            }
            count += 1;
            if exists {
                return ENOUGH;
            }
            if subquery.kind == SubqueryKind::Collect {
                let value = branch
                    .columns
                    .first()
                    .map(|column| row[column.slot.0].clone());
                let value = value.unwrap_or(Value::Null);
                bytes += size_of_value(&value);
                context.statement.require(bytes)?;
                values.push(value);
            }
            MORE
        })?;
    }
    Ok(match subquery.kind {
        SubqueryKind::Exists => Value::Bool(count > 0),
        SubqueryKind::Count => Value::Int(count),
        SubqueryKind::Collect => Value::list(values),
    })
}

impl Context<'_> {
    /// A query within an expression.
    pub(super) fn subquery(
        self,
        subquery: &Subquery,
        row: &[Value],
    ) -> Result<Value, ExecuteError> {
        let kept = self.subqueries.and_then(|kept| kept.answer(subquery, row));
        kept.unwrap_or_else(|| self.subquery_anew(subquery, row))
    }

    fn subquery_anew(self, subquery: &Subquery, row: &[Value]) -> Result<Value, ExecuteError> {
        answer(self, subquery, &mut |at, out| {
            let Some(branch) = subquery.branches.get(at) else {
                return Ok(());
            };
            let mut row = row.to_vec();
            row.resize(self.statement.slots().max(row.len()), Value::Null);
            let mut stages = stages(self, branch)?;
            pipeline::begin(&mut stages, &row);
            pipeline::run_row(&mut stages, &mut row, out)
        })
    }
}

#[cfg(test)]
thread_local! {
    static PLANNED: Cell<u64> = const { Cell::new(0) };
}

/// How many parts of queries within expressions were planned on this thread.
#[cfg(test)]
pub(super) fn planned() -> u64 {
    PLANNED.get()
}
