//! Which nodes of a type pass their conditions: one pass over the columns.
//!
//! A comparison of a property with a constant is made on the column as it lies in memory; whatever else
//! is asked of a node is evaluated node by node, where the columns left one.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type,
    TimestampMicrosecondType, UInt32Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use language::plan::{BinaryOperator, Expr, ExprKind, Slot};
use language::schema::TypeId;
use language::value::{NodeRef, Value};

use crate::chunk::Chunk;
use crate::executor::Row;
use crate::executor::context::Context;
use crate::executor::error::ExecuteError;
use crate::executor::matching::condition::Condition;
use crate::executor::matching::selectivity::mirrored;
use crate::rows::Rows;

/// Nodes of one type and what is asked of them.
pub(super) struct Marker<'c, 'a> {
    pub(super) context: Context<'a>,
    /// The variables that are the node: one, and others.
    pub(super) slots: (Slot, &'c [Slot]),
    pub(super) type_id: TypeId,
    pub(super) conditions: &'c [Condition<'a>],
}

/// A comparison of a property with a constant.
struct Comparison {
    position: usize,
    operator: BinaryOperator,
    constant: Value,
}

impl Marker<'_, '_> {
    /// A mark for each id from `first` on: 1 for a node that is there and passes.
    pub(super) fn marks(
        &self,
        rows: &Rows,
        (first, len): (u64, usize),
        row: &mut Row,
    ) -> Result<Vec<u8>, ExecuteError> {
        let mut marks = vec![0; len];
        let place = |id: u64| usize::try_from(id - first).unwrap_or(usize::MAX);
        let (comparisons, others) = self.split(rows, row)?;
        for comparison in &comparisons {
            rows.bring(comparison.position);
        }
        for chunk in rows.base.chunks() {
            self.context.statement.steps(chunk.len())?;
            let mut passed = vec![1; chunk.len()];
            for comparison in &comparisons {
                comparison.apply(chunk, &mut passed);
            }
            if !others.is_empty() {
                for (id, mark) in chunk.ids().iter().zip(&mut passed) {
                    if *mark == 1 && !self.passes(&others, id, row)? {
                        *mark = 0;
                    }
                }
            }
            for (id, mark) in chunk.ids().iter().zip(passed) {
                marks[place(id)] = mark;
            }
        }
        let all: Vec<&Condition<'_>> = self.conditions.iter().collect();
        for (id, entry) in rows.changes.iter() {
            let passes = entry.row.is_some() && self.passes(&all, *id, row)?;
            marks[place(*id)] = u8::from(passes);
        }
        Ok(marks)
    }

    fn is_own(&self, slot: Slot) -> bool {
        self.slots.0 == slot || self.slots.1.contains(&slot)
    }

    fn passes(
        &self,
        conditions: &[&Condition<'_>],
        id: u64,
        row: &mut Row,
    ) -> Result<bool, ExecuteError> {
        self.context.step()?;
        let type_id = self.type_id;
        let node = NodeRef { type_id, id };
        row[self.slots.0.0] = Value::Node(node);
        for slot in self.slots.1 {
            row[slot.0] = Value::Node(node);
        }
        for condition in conditions {
            if !condition.holds(self.context, row)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What can be compared column by column, and the rest.
    fn split<'s>(
        &'s self,
        rows: &Rows,
        row: &Row,
    ) -> Result<(Vec<Comparison>, Vec<&'s Condition<'s>>), ExecuteError> {
        let (mut comparisons, mut others) = (Vec::new(), Vec::new());
        for condition in self.conditions {
            match self.comparison(condition, rows, row)? {
                Some(comparison) => comparisons.push(comparison),
                None => others.push(condition),
            }
        }
        Ok((comparisons, others))
    }

    fn comparison(
        &self,
        condition: &Condition<'_>,
        rows: &Rows,
        row: &Row,
    ) -> Result<Option<Comparison>, ExecuteError> {
        let (position, operator, constant) = match condition {
            Condition::Property(slot, test) if self.is_own(*slot) => (
                rows.column_of(test.ids.get(&self.type_id), &test.name),
                BinaryOperator::Equal,
                &test.value,
            ),
            Condition::Filter(Expr {
                kind:
                    ExprKind::Binary {
                        operator,
                        left,
                        right,
                    },
                ..
            }) => match (
                self.column(rows, left),
                mirrored(*operator),
                self.column(rows, right),
            ) {
                (Some(column), Some(_), None) => (Some(column), *operator, &**right),
                (None, Some(mirrored), Some(column)) => (Some(column), mirrored, &**left),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let given = matches!(constant.kind, ExprKind::Literal(_) | ExprKind::Parameter(_));
        let Some(position) = position.filter(|_| given) else {
            return Ok(None);
        };
        let constant = self.context.evaluate(constant, row)?;
        let column = rows.layout.stored_at(position);
        let fits = column.is_some_and(|(_, data_type)| is_comparable(data_type, &constant));
        Ok(fits.then_some(Comparison {
            position,
            operator,
            constant,
        }))
    }

    /// The column of the property of the node that an expression is.
    fn column(&self, rows: &Rows, expr: &Expr) -> Option<usize> {
        match &expr.kind {
            ExprKind::Property { object, ids, name } => match object.kind {
                ExprKind::Variable(slot) if self.is_own(slot) => {
                    rows.column_of(ids.get(&self.type_id), name)
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// Whether [`Comparison::apply`] compares these as [`Value`] does.
const fn is_comparable(column: &DataType, constant: &Value) -> bool {
    matches!(
        (column, constant),
        (
            DataType::Int32 | DataType::Int64 | DataType::UInt32,
            Value::Int(_)
        ) | (DataType::Float32 | DataType::Float64, Value::Float(_))
            | (DataType::LargeUtf8, Value::String(_))
            | (DataType::Boolean, Value::Bool(_))
            | (DataType::Date32, Value::Date(_))
            | (
                DataType::Timestamp(TimeUnit::Microsecond, _),
                Value::DateTime(_)
            )
    )
}

impl Comparison {
    /// Clears the marks of the rows of a chunk that do not pass.
    fn apply(&self, chunk: &Chunk, marks: &mut [u8]) {
        let Some(column) = chunk.resident(self.position) else {
            marks.fill(0);
            return;
        };
        match (column.data_type(), &self.constant) {
            (DataType::Int64, Value::Int(constant)) => {
                self.primitive::<Int64Type>(column, marks, |value| Some(value.cmp(constant)));
            }
            (DataType::Int32, Value::Int(constant)) => {
                let order = |value| Some(i64::from(value).cmp(constant));
                self.primitive::<Int32Type>(column, marks, order);
            }
            (DataType::UInt32, Value::Int(constant)) => {
                let order = |value| Some(i64::from(value).cmp(constant));
                self.primitive::<UInt32Type>(column, marks, order);
            }
            (DataType::Float64, Value::Float(constant)) => {
                let order = |value: f64| value.partial_cmp(constant);
                self.primitive::<Float64Type>(column, marks, order);
            }
            (DataType::Float32, Value::Float(constant)) => {
                let order = |value| f64::from(value).partial_cmp(constant);
                self.primitive::<Float32Type>(column, marks, order);
            }
            (DataType::Date32, Value::Date(constant)) => {
                self.primitive::<Date32Type>(column, marks, |value| Some(value.cmp(constant)));
            }
            (DataType::Timestamp(..), Value::DateTime(constant)) => {
                let order = |value: i64| Some(value.cmp(constant));
                self.primitive::<TimestampMicrosecondType>(column, marks, order);
            }
            (DataType::LargeUtf8, Value::String(constant)) => {
                let column = column.as_string::<i64>();
                self.each(column, marks, |at| Some(column.value(at).cmp(constant)));
            }
            (DataType::Boolean, Value::Bool(constant)) => {
                let column = column.as_boolean();
                self.each(column, marks, |at| Some(column.value(at).cmp(constant)));
            }
            // `is_comparable` lets no others through.
            _ => marks.fill(0),
        }
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        column: &ArrayRef,
        marks: &mut [u8],
        order: impl Fn(T::Native) -> Option<Ordering>,
    ) {
        let accepted = self.accepted();
        let column = column.as_primitive::<T>();
        for (value, mark) in column.values().iter().zip(marks.iter_mut()) {
            *mark &= accepted(order(*value));
        }
        clear_nulls(column, marks);
    }

    fn each(
        &self,
        column: &dyn Array,
        marks: &mut [u8],
        order: impl Fn(usize) -> Option<Ordering>,
    ) {
        let accepted = self.accepted();
        for (at, mark) in marks.iter_mut().enumerate() {
            *mark &= accepted(order(at));
        }
        clear_nulls(column, marks);
    }

    /// 1 for an order that makes the comparison true. What has no order is unequal.
    fn accepted(&self) -> impl Fn(Option<Ordering>) -> u8 + use<> {
        let (less, equal, greater) = match self.operator {
            BinaryOperator::Equal => (0, 1, 0),
            BinaryOperator::Less => (1, 0, 0),
            BinaryOperator::LessEqual => (1, 1, 0),
            BinaryOperator::Greater => (0, 0, 1),
            BinaryOperator::GreaterEqual => (0, 1, 1),
            _ => (1, 0, 1),
        };
        let unordered = u8::from(self.operator == BinaryOperator::NotEqual);
        move |order| match order {
            Some(Ordering::Less) => less,
            Some(Ordering::Equal) => equal,
            Some(Ordering::Greater) => greater,
            None => unordered,
        }
    }
}

/// Null passes no comparison.
fn clear_nulls(column: &dyn Array, marks: &mut [u8]) {
    if column.null_count() > 0 {
        for (at, mark) in marks.iter_mut().enumerate() {
            *mark &= u8::from(column.is_valid(at));
        }
    }
}
