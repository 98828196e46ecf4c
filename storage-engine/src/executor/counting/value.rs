//! Numbers that are added up over what is counted: those of a node below the root, each as often as the
//! node is found.
//!
//! A node then counts for its number. As what nodes count for is never negative, a sum is worked out in
//! three parts: of the numbers above zero, of those below, and how many there are.

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int32Type, Int64Type, UInt32Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use language::Span;
use language::plan::{Expr, ExprKind, Slot};
use language::schema::TypeId;
use language::value::{NodeRef, Value};

use super::blocks::Range;
use super::plan::Patterns;
use super::tree::Vertex;
use super::weigh::Weigher;
use crate::executor::Row;
use crate::executor::aggregate::Added;
use crate::executor::error::{ArithmeticProblem, ExecuteError};
use crate::rows::Rows;

/// What of a number is added up.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// What it is above zero.
    Above,
    /// What it is below zero.
    Below,
    /// One, if there is a number.
    Known,
}

/// What the nodes of a vertex count for by themselves.
#[derive(Clone, Copy)]
pub(super) struct Measure<'a> {
    /// An integer or null, of the node alone.
    pub(super) expr: &'a Expr,
    pub(super) part: Part,
}

impl Part {
    fn of(self, number: i64) -> u64 {
        match self {
            Self::Known => 1,
            Self::Above => u64::try_from(number).unwrap_or(0),
            Self::Below if number < 0 => number.unsigned_abs(),
            Self::Below => 0,
        }
    }
}

/// A sum over one node of the patterns, for each node of the root: the same tree three times.
pub(super) struct Sum<'a> {
    above: Vertex<'a>,
    below: Vertex<'a>,
    known: Vertex<'a>,
}

impl<'a> Sum<'a> {
    /// `None` when the node does not hang together with the root.
    pub(super) fn new(
        patterns: &Patterns<'a>,
        root: Option<Slot>,
        slot: Slot,
        expr: &'a Expr,
    ) -> Option<Self> {
        let part = |part| {
            let mut tree = patterns.only_trees(root)?.into_iter().next()?;
            tree.set_measure(slot, Measure { expr, part })
                .then_some(tree)
        };
        Some(Self {
            above: part(Part::Above)?,
            below: part(Part::Below)?,
            known: part(Part::Known)?,
        })
    }

    pub(super) fn prepare(
        &mut self,
        weigher: &Weigher<'a>,
        row: &mut Row,
    ) -> Result<(), ExecuteError> {
        for part in [&mut self.above, &mut self.below, &mut self.known] {
            weigher.prepare(part, row, f64::INFINITY)?;
        }
        Ok(())
    }

    /// What is added up for a node of the root, `factor` times.
    pub(super) fn of(
        &self,
        weigher: &Weigher<'a>,
        node: NodeRef,
        factor: u64,
        row: &mut Row,
    ) -> Result<Added, ExecuteError> {
        let mut part = |part| weigher.known(part, node, row);
        let (above, below) = (part(&self.above)?, part(&self.below)?);
        let count = part(&self.known)?.saturating_mul(factor);
        // Saturated, they no longer tell.
        if above == u64::MAX || below == u64::MAX || count == u64::MAX {
            return Err(ExecuteError::Arithmetic {
                operation: "the sum",
                problem: ArithmeticProblem::Overflow,
                span: self.span(),
            });
        }
        let sum = i128::from(above) - i128::from(below);
        Ok(Added {
            sum: sum.saturating_mul(i128::from(factor)),
            count,
        })
    }

    fn span(&self) -> Span {
        let mut span = Span::default();
        self.above.walk(None, &mut |vertex, _| {
            if let Some(measure) = &vertex.measure {
                span = measure.expr.span;
            }
        });
        span
    }
}

impl<'a> Weigher<'a> {
    /// What a node counts for by itself: 1 when it is not measured.
    pub(super) fn measure(
        &self,
        vertex: &Vertex<'a>,
        node: NodeRef,
        row: &mut Row,
    ) -> Result<u64, ExecuteError> {
        let Some(measure) = vertex.measure else {
            return Ok(1);
        };
        vertex.put(node, row);
        Ok(match self.context.evaluate(measure.expr, row)? {
            Value::Int(number) => measure.part.of(number),
            // Its type is integer, so it is null.
            _ => 0,
        })
    }

    /// Multiplies marks of the nodes of a range with what each counts for by itself.
    pub(super) fn measure_all(
        &self,
        vertex: &Vertex<'a>,
        (type_id, rows): (TypeId, &Rows),
        range: &Range,
        marks: &[u8],
        row: &mut Row,
    ) -> Result<Vec<u64>, ExecuteError> {
        let mut weights: Vec<u64> = marks.iter().map(|mark| u64::from(*mark)).collect();
        let Some(measure) = vertex.measure else {
            return Ok(weights);
        };
        let position = property_position(measure.expr, vertex, type_id, rows);
        position
            .into_iter()
            .for_each(|position| rows.bring(position));
        for chunk in rows.base.chunks() {
            self.context.statement.steps(chunk.len())?;
            let numbers = match position.map(|position| chunk.resident(position)) {
                // Null in every row.
                Some(None) => Some(vec![0; chunk.len()]),
                Some(Some(column)) => numbers(column, measure.part),
                None => None,
            };
            for (at, id) in chunk.ids().iter().enumerate() {
                let Some(weight) = range.place(id).and_then(|place| weights.get_mut(place)) else {
                    continue;
                };
                if *weight > 0 {
                    *weight = match &numbers {
                        Some(numbers) => numbers.get(at).copied().unwrap_or(0),
                        None => self.measure(vertex, NodeRef { type_id, id }, row)?,
                    };
                }
            }
        }
        for (id, _) in rows.changes.iter() {
            let place = range.place(*id);
            if let Some(place) = place.filter(|place| marks.get(*place) == Some(&1)) {
                weights[place] = self.measure(vertex, NodeRef { type_id, id: *id }, row)?;
            }
        }
        Ok(weights)
    }
}

/// The property of the vertex that an expression is, as its place in the rows.
fn property_position(
    expr: &Expr,
    vertex: &Vertex<'_>,
    type_id: TypeId,
    rows: &Rows,
) -> Option<usize> {
    let ExprKind::Property { object, ids, .. } = &expr.kind else {
        return None;
    };
    let own = matches!(object.kind, ExprKind::Variable(slot) if slot == vertex.slot);
    let property = ids.get(&type_id).filter(|_| own)?;
    rows.layout.position(*property)
}

/// The parts of a column's numbers; `None` for one that is not of integers.
fn numbers(column: &ArrayRef, part: Part) -> Option<Vec<u64>> {
    match column.data_type() {
        DataType::Int64 => Some(parts::<Int64Type>(column, part)),
        DataType::Int32 => Some(parts::<Int32Type>(column, part)),
        DataType::UInt32 => Some(parts::<UInt32Type>(column, part)),
        _ => None,
    }
}

fn parts<T>(column: &ArrayRef, part: Part) -> Vec<u64>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let column = column.as_primitive::<T>();
    let values = column.values().iter();
    let mut parts: Vec<u64> = values.map(|value| part.of((*value).into())).collect();
    if column.null_count() > 0 {
        for (at, part) in parts.iter_mut().enumerate() {
            if column.is_null(at) {
                *part = 0;
            }
        }
    }
    parts
}
