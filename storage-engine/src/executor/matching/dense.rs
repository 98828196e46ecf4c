//! The values of a property by id, laid out as numbers that compare as the values do.

use std::ops::RangeInclusive;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type,
    TimestampMicrosecondType, UInt32Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use language::plan::BinaryOperator;
use language::value::Value;

use crate::chunk::Column;
use crate::executor::context::Context;
use crate::rows::Rows;

/// The values of a property by id, as numbers in the same order.
pub(super) struct Dense {
    first: u64,
    values: Vec<i64>,
    /// Where there is a value, unless that is everywhere.
    valid: Option<Vec<bool>>,
    number: Option<Kind>,
}

/// What the numbers stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Float,
    Date,
    DateTime,
}

/// Which numbers pass.
pub(super) struct Passing {
    range: RangeInclusive<i64>,
    /// All but these.
    negated: bool,
}

impl Dense {
    /// `None` when the values cannot be numbers, or there is no room for them.
    pub(super) fn of(context: Context<'_>, rows: &Rows, position: usize) -> Option<Self> {
        let (first, last) = rows.bounds()?;
        let len = usize::try_from(last - first).ok()?.checked_add(1)?;
        // Ids with wide holes are not worth the room.
        if len as u64 > 8 * rows.count + 1_024 {
            return None;
        }
        let statement = context.statement;
        let bytes = len * (size_of::<i64>() + size_of::<bool>());
        statement.require(bytes).ok()?;
        let charged = statement.charge(bytes).ok();
        let dense = charged.and_then(|()| Self::laid_out(first, len, rows, position));
        if dense.is_none() {
            statement.release(bytes);
        }
        dense
    }

    fn laid_out(first: u64, len: usize, rows: &Rows, position: usize) -> Option<Self> {
        let mut dense = Self {
            first,
            values: vec![0; len],
            valid: Some(vec![false; len]),
            number: None,
        };
        rows.bring(position);
        for chunk in rows.base.chunks() {
            match chunk.column(position) {
                Column::Here(column) => dense.take(column, chunk.ids().iter())?,
                Column::Null => {}
                // It could not be read: who asks for a value is told why.
                Column::Cold => return None,
            }
        }
        for (id, _) in rows.changes.iter() {
            dense.set(*id, &rows.value_in(*id, position))?;
        }
        if dense.valid.iter().flatten().all(|valid| *valid) {
            dense.valid = None;
        }
        Some(dense)
    }

    fn take(&mut self, column: &ArrayRef, ids: impl Iterator<Item = u64>) -> Option<()> {
        match column.data_type() {
            DataType::Int64 => self.fill::<Int64Type>(column, ids, Kind::Int, Some),
            DataType::Int32 => self.fill::<Int32Type>(column, ids, Kind::Int, |it| Some(it.into())),
            DataType::UInt32 => {
                self.fill::<UInt32Type>(column, ids, Kind::Int, |it| Some(it.into()))
            }
            DataType::Float64 => self.fill::<Float64Type>(column, ids, Kind::Float, in_order),
            DataType::Float32 => {
                self.fill::<Float32Type>(column, ids, Kind::Float, |it| in_order(it.into()))
            }
            DataType::Date32 => {
                self.fill::<Date32Type>(column, ids, Kind::Date, |it| Some(it.into()))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.fill::<TimestampMicrosecondType>(column, ids, Kind::DateTime, Some)
            }
            _ => None,
        }
    }

    fn fill<T: ArrowPrimitiveType>(
        &mut self,
        column: &ArrayRef,
        ids: impl Iterator<Item = u64>,
        kind: Kind,
        number: impl Fn(T::Native) -> Option<i64>,
    ) -> Option<()> {
        self.number = Some(kind);
        let column = column.as_primitive::<T>();
        for (at, id) in ids.enumerate() {
            if column.is_valid(at) {
                self.put(id, Some(number(column.value(at))?));
            }
        }
        Some(())
    }

    fn put(&mut self, id: u64, number: Option<i64>) {
        let place = usize::try_from(id.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        if let Some(value) = self.values.get_mut(place) {
            *value = number.unwrap_or_default();
        }
        let valid = self.valid.as_mut().and_then(|valid| valid.get_mut(place));
        if let Some(valid) = valid {
            *valid = number.is_some();
        }
    }

    fn set(&mut self, id: u64, value: &Value) -> Option<()> {
        if value.is_null() {
            self.put(id, None);
            return Some(());
        }
        let (kind, number) = number_of(value)?;
        if *self.number.get_or_insert(kind) != kind {
            return None;
        }
        self.put(id, Some(number));
        Some(())
    }

    /// Which numbers compare with a value as asked; `None` when it is of another kind.
    pub(super) fn passing(&self, operator: BinaryOperator, value: &Value) -> Option<Passing> {
        let (kind, number) = number_of(value)?;
        if self.number.is_some_and(|own| own != kind) {
            return None;
        }
        #[expect(clippy::reversed_empty_ranges, reason = "nothing is below the least")]
        let none = 1..=0;
        let below = |end: Option<i64>| end.map_or(none.clone(), |end| i64::MIN..=end);
        let above = |start: Option<i64>| start.map_or(none.clone(), |start| start..=i64::MAX);
        let range = match operator {
            BinaryOperator::Less => below(number.checked_sub(1)),
            BinaryOperator::LessEqual => below(Some(number)),
            BinaryOperator::Greater => above(number.checked_add(1)),
            BinaryOperator::GreaterEqual => above(Some(number)),
            _ => number..=number,
        };
        Some(Passing {
            range,
            negated: operator == BinaryOperator::NotEqual,
        })
    }

    /// Whether the value of a row is one that passes.
    pub(super) fn passes(&self, passing: &Passing, id: u64) -> bool {
        let place = usize::try_from(id.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        let Some(value) = self.values.get(place) else {
            return false;
        };
        let valid = self.valid.as_ref();
        let valid = valid.is_none_or(|valid| valid.get(place).is_some_and(|valid| *valid));
        valid && passing.range.contains(value) != passing.negated
    }
}

fn number_of(value: &Value) -> Option<(Kind, i64)> {
    Some(match value {
        Value::Int(int) => (Kind::Int, *int),
        Value::Float(float) => (Kind::Float, in_order(*float)?),
        Value::Date(days) => (Kind::Date, i64::from(*days)),
        Value::DateTime(micros) => (Kind::DateTime, *micros),
        _ => return None,
    })
}

/// A number that compares with others as the floats do; none for what is not a number.
fn in_order(float: f64) -> Option<i64> {
    if float.is_nan() {
        return None;
    }
    // There is one zero.
    let bits = (float + 0.0).to_bits().cast_signed();
    Some(if bits < 0 { !bits ^ i64::MIN } else { bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_keep_their_order() {
        let floats = [
            f64::NEG_INFINITY,
            -1e300,
            -1.5,
            -1e-300,
            0.0,
            1e-300,
            1.5,
            f64::INFINITY,
        ];
        let numbers: Vec<i64> = floats.iter().filter_map(|float| in_order(*float)).collect();
        assert_eq!(numbers.len(), floats.len());
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert_eq!(in_order(-0.0), in_order(0.0));
        assert_eq!(in_order(f64::NAN), None);
    }
}
