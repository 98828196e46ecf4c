//! The last relationship of a pattern when only the number of rows is asked of it: far ends are not walked
//! to one by one but compared a column at a time, and counted.
//!
//! The conditions on the far end must compare a property of it with what is known before, or tell it from
//! another node. The property's values are laid out by id once, so that a comparison is a look at an array.
//! Nodes whose relationships changed since the last fold are walked as ever.
//!
//! Example: of `MATCH (a)-[:Follows]->(b)-[:Follows]->(c) WHERE a.age < c.age RETURN a.city, count(*)` the
//! second relationship is such a one: for each `a` and `b` there is one row that stands for many.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use language::plan::{
    Aggregate, AggregateFunction, Aggregation, BinaryOperator, Expr, ExprKind, Slot,
};
use language::schema::TypeId;
use language::value::{NodeRef, Value};

use super::condition::{Condition, is_infallible};
use super::dense::{Dense, Passing};
use super::expand::{Expand, Way};
use super::planning::Planned;
use super::search::{Operation, Search};
use super::selectivity::mirrored;
use crate::executor::Row;
use crate::executor::aggregate::Tally;
use crate::executor::context::Context;
use crate::executor::counting::is_countable;
use crate::executor::error::ExecuteError;
use crate::executor::pipeline::{Flow, MORE};
use crate::executor::walk::{self, SlotSet};
use crate::rows::Rows;
use crate::snapshot::EdgeTable;

/// Less than so many values for each node are expected to be looked at: laying them out costs more.
const LEAST_LOOKS: f64 = 2.0;

/// The last step of a pattern, which gives one row for many.
pub(crate) struct Tail<'a> {
    at: usize,
    far: TypeId,
    comparisons: Vec<Comparison<'a>>,
    /// The far end is none of these.
    others: Vec<Slot>,
    /// Of each comparison's property; nothing when they cannot be laid out.
    columns: OnceCell<Option<Vec<Dense>>>,
    many: Many,
}

/// For how many rows the one stands that is given on.
pub(crate) type Many = Rc<Cell<u64>>;

/// A property of the far end and what it is compared with.
struct Comparison<'a> {
    position: usize,
    operator: BinaryOperator,
    other: &'a Expr,
}

/// One side of a comparison.
enum Side {
    /// The far end.
    Far,
    /// The column of a property of it.
    Column(usize),
    /// Something else that has a name.
    Node(Slot),
    Else,
}

/// What a far end must be.
enum Asked<T> {
    All(Vec<T>),
    /// None is.
    Nothing,
    /// They must be looked at one by one.
    Unknown,
}

impl<'a> Tail<'a> {
    /// For the steps of a pattern after which rows are grouped.
    pub(super) fn of(
        context: Context<'a>,
        steps: &[Planned<'a>],
        aggregation: &Aggregation,
    ) -> Option<Self> {
        let at = steps.len().checked_sub(1)?;
        let step = steps.get(at)?;
        let Operation::Expand(expand) = &step.operation else {
            return None;
        };
        if expand.to_bound || !looks_elsewhere(aggregation, expand) {
            return None;
        }
        let far = expand.ways.only_far_type(context.snapshot)?;
        let mut tail = Self {
            at,
            far,
            comparisons: Vec::new(),
            others: Vec::new(),
            columns: OnceCell::new(),
            many: Rc::new(Cell::new(1)),
        };
        for condition in &step.conditions {
            tail.add(context, expand, condition)?;
        }
        let rows = steps
            .iter()
            .take(at)
            .map(|step| step.growth)
            .product::<f64>();
        let degree = expand.ways.mean_degree(context.snapshot);
        let nodes = context.snapshot.node_count(far);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let pays =
            rows * degree >= (LEAST_LOOKS * nodes as f64).min(context.statement.threads().rows);
        (tail.comparisons.is_empty() || pays).then_some(tail)
    }

    pub(super) fn many(&self) -> Many {
        self.many.clone()
    }

    /// What each aggregate takes of a row that stands for many.
    pub(super) fn tallies(&self, steps: &[Planned<'a>], aggregation: &Aggregation) -> Vec<Tally> {
        let Some(Operation::Expand(expand)) = steps.get(self.at).map(|step| &step.operation) else {
            return Vec::new();
        };
        let aggregates = aggregation.aggregates.iter();
        let tallies = aggregates.map(|aggregate| match is_of_rows(aggregate, expand) {
            true => Tally::Rows,
            false => Tally::Value,
        });
        tallies.collect()
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// `None` when it is a condition of another form.
    fn add(
        &mut self,
        context: Context<'a>,
        expand: &Expand,
        condition: &Condition<'a>,
    ) -> Option<()> {
        let known = |expr: &Expr| {
            let mut slots = SlotSet::new(0);
            walk::variables(expr, &mut slots);
            let known = !slots.contains(expand.to) && !slots.contains(expand.edge);
            known && is_infallible(expr)
        };
        match condition {
            Condition::NodeType(slot, types) if *slot == expand.to => {
                types.contains(&self.far).then_some(())
            }
            Condition::Property(slot, test) if *slot == expand.to && known(&test.value) => {
                let rows = &context.snapshot.node_table(self.far)?.rows;
                let position = rows.column_of(test.ids.get(&self.far), &test.name)?;
                self.comparisons.push(Comparison {
                    position,
                    operator: BinaryOperator::Equal,
                    other: &test.value,
                });
                Some(())
            }
            Condition::Filter(Expr {
                kind:
                    ExprKind::Binary {
                        operator,
                        left,
                        right,
                    },
                ..
            }) => {
                let turned = mirrored(*operator)?;
                let rows = &context.snapshot.node_table(self.far)?.rows;
                let side = |expr| self.side(expand, rows, expr);
                let (position, operator, other) = match (side(left), side(right)) {
                    (Side::Far, other) | (other, Side::Far)
                        if *operator == BinaryOperator::NotEqual =>
                    {
                        let Side::Node(slot) = other else {
                            return None;
                        };
                        self.others.push(slot);
                        return Some(());
                    }
                    (Side::Column(column), _) => (column, *operator, &**right),
                    (_, Side::Column(column)) => (column, turned, &**left),
                    _ => return None,
                };
                if !known(other) {
                    return None;
                }
                self.comparisons.push(Comparison {
                    position,
                    operator,
                    other,
                });
                Some(())
            }
            _ => None,
        }
    }

    /// What one side of a comparison is.
    fn side(&self, expand: &Expand, rows: &Rows, expr: &Expr) -> Side {
        match &expr.kind {
            ExprKind::Variable(slot) if *slot == expand.to => Side::Far,
            ExprKind::Variable(slot) if *slot != expand.edge => Side::Node(*slot),
            ExprKind::Property { object, ids, name } => match self.side(expand, rows, object) {
                Side::Far => {
                    let column = rows.column_of(ids.get(&self.far), name);
                    column.map_or(Side::Else, Side::Column)
                }
                _ => Side::Else,
            },
            _ => Side::Else,
        }
    }

    /// Gives one row for all far ends that pass, or walks to them.
    pub(super) fn run(
        &self,
        search: &mut Search<'_, '_, '_>,
        expand: &Expand,
        row: &mut Row,
    ) -> Flow {
        let Some(count) = self.count(search, expand, row)? else {
            return expand.run(search, self.at, row);
        };
        if count == 0 {
            return MORE;
        }
        if let Some(step) = search.steps.get(self.at) {
            step.rows.update(|rows| rows + 1);
        }
        self.many.set(count);
        let flow = search.run(self.at + 1, row);
        self.many.set(1);
        flow
    }

    /// How many far ends pass; `None` when they must be walked to.
    fn count(
        &self,
        search: &Search<'_, '_, '_>,
        expand: &Expand,
        row: &Row,
    ) -> Result<Option<u64>, ExecuteError> {
        let context = search.context;
        let Value::Node(from) = row[expand.from.0] else {
            return Ok(Some(0));
        };
        let Some(columns) = self.columns.get_or_init(|| self.lay_out(context)) else {
            return Ok(None);
        };
        let (passing, others) = match (self.passing(context, columns, row)?, self.others(row)) {
            (Asked::All(passing), Asked::All(others)) => (passing, others),
            (Asked::Nothing, _) | (_, Asked::Nothing) => return Ok(Some(0)),
            (Asked::Unknown, _) | (_, Asked::Unknown) => return Ok(None),
        };
        let mut count = 0;
        for way in expand.ways.of(from.type_id) {
            let table = context.snapshot.edge_table(way.edge_type);
            let Some(table) = table.filter(|_| way.outgoing != way.incoming) else {
                return Ok(None);
            };
            let adjacency = table.adjacency(way.outgoing);
            if !adjacency.is_regular(from.id) {
                return Ok(None);
            }
            let degree = adjacency.degree_in_levels(from.id);
            context
                .statement
                .steps(usize::try_from(degree).unwrap_or(usize::MAX))?;
            let passes = |id: u64| {
                passing
                    .iter()
                    .all(|(column, range)| column.passes(range, id))
                    && !others.contains(&id)
            };
            count += match (passing.as_slice(), others.as_slice()) {
                ([], []) => degree,
                ([(column, range)], []) => {
                    let mut count = 0;
                    adjacency.each_far(from.id, |id| count += u64::from(column.passes(range, id)));
                    count
                }
                _ => {
                    let mut count = 0;
                    adjacency.each_far(from.id, |id| count += u64::from(passes(id)));
                    count
                }
            };
            if expand.shared {
                let used = search.used.since(0).iter();
                let used = used.filter(|edge| edge.type_id == way.edge_type);
                let again = used.filter_map(|edge| far_end(table, *way, edge.id, from.id));
                count -= again.filter(|id| passes(*id)).count() as u64;
            }
        }
        Ok(Some(count))
    }

    /// Which numbers pass each comparison.
    fn passing<'c>(
        &self,
        context: Context<'_>,
        columns: &'c [Dense],
        row: &Row,
    ) -> Result<Asked<(&'c Dense, Passing)>, ExecuteError> {
        let mut passing = Vec::with_capacity(columns.len());
        for (comparison, column) in self.comparisons.iter().zip(columns) {
            let value = context.evaluate(comparison.other, row)?;
            if value.is_null() {
                return Ok(Asked::Nothing);
            }
            match column.passing(comparison.operator, &value) {
                Some(range) => passing.push((column, range)),
                None => return Ok(Asked::Unknown),
            }
        }
        Ok(Asked::All(passing))
    }

    /// The nodes that the far end is none of.
    fn others(&self, row: &Row) -> Asked<u64> {
        let mut others = Vec::with_capacity(self.others.len());
        for slot in &self.others {
            match row.get(slot.0) {
                Some(Value::Node(NodeRef { type_id, id })) if *type_id == self.far => {
                    others.push(*id);
                }
                Some(Value::Node(_)) => {}
                Some(Value::Null) | None => return Asked::Nothing,
                Some(_) => return Asked::Unknown,
            }
        }
        Asked::All(others)
    }

    fn lay_out(&self, context: Context<'_>) -> Option<Vec<Dense>> {
        if self.comparisons.is_empty() {
            return Some(Vec::new());
        }
        let rows = &context.snapshot.node_table(self.far)?.rows;
        let columns = self.comparisons.iter();
        columns
            .map(|comparison| Dense::of(context, rows, comparison.position))
            .collect()
    }
}

/// The far end of a relationship, when it begins at a node.
fn far_end(table: &EdgeTable, way: Way, edge: u64, from: u64) -> Option<u64> {
    let (source, target) = table.rows.ends(edge)?;
    let (near, far) = match way.outgoing {
        true => (source, target),
        false => (target, source),
    };
    (near == from).then_some(far)
}

/// Whether a grouping looks at neither the last relationship nor its far end, but to count them, and
/// makes of a row that stands for many what it makes of them.
fn looks_elsewhere(aggregation: &Aggregation, expand: &Expand) -> bool {
    let mut seen = SlotSet::new(0);
    for key in &aggregation.keys {
        if walk::varies(&key.expr) {
            return false;
        }
        walk::variables(&key.expr, &mut seen);
    }
    for aggregate in &aggregation.aggregates {
        if !is_countable(aggregate) {
            return false;
        }
        if is_of_rows(aggregate, expand) {
            continue;
        }
        let Some(argument) = &aggregate.argument else {
            continue;
        };
        if walk::varies(argument) {
            return false;
        }
        walk::variables(argument, &mut seen);
    }
    !seen.contains(expand.to) && !seen.contains(expand.edge)
}

/// Whether an aggregate is the number of rows: what is found, is never null.
fn is_of_rows(aggregate: &Aggregate, expand: &Expand) -> bool {
    let found = [expand.to, expand.edge].map(ExprKind::Variable);
    match &aggregate.argument {
        None => true,
        Some(argument) => {
            found.contains(&argument.kind)
                && !aggregate.distinct
                && aggregate.function == AggregateFunction::Count
        }
    }
}
