//! Values -> a column, one at a time and without a detour by way of values where there is none.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Float32Builder, Float64Builder, Int32Builder, Int64Builder,
    LargeStringBuilder, TimestampMicrosecondBuilder, UInt32Builder, UInt64Builder,
};
use arrow_schema::ArrowError;
use language::schema::{Property, PropertyType};
use language::value::Value;

use crate::columns;

/// A column of a property while it grows.
#[derive(Debug)]
pub(super) enum ColumnBuilder {
    Text(LargeStringBuilder),
    Bool(BooleanBuilder),
    I32(Int32Builder),
    I64(Int64Builder),
    U32(UInt32Builder),
    U64(UInt64Builder),
    F32(Float32Builder),
    F64(Float64Builder),
    Date(Date32Builder),
    DateTime(TimestampMicrosecondBuilder),
    /// Lists.
    Values(PropertyType, Vec<Value>),
}

/// A value that its property accepts, as it goes into the column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    /// Also dates (days) and times (microseconds).
    Int(i64),
    Float(f64),
    Text(&'a str),
    Value(&'a Value),
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) | Value::DateTime(value) => Self::Int(*value),
            Value::Float(value) => Self::Float(*value),
            Value::String(text) => Self::Text(text),
            Value::Date(days) => Self::Int((*days).into()),
            other => Self::Value(other),
        }
    }
}

impl ColumnBuilder {
    pub(super) fn new(property: &Property) -> Self {
        match &property.value_type {
            PropertyType::String | PropertyType::Enum(_) => Self::Text(LargeStringBuilder::new()),
            PropertyType::Bool => Self::Bool(BooleanBuilder::new()),
            PropertyType::I32 => Self::I32(Int32Builder::new()),
            PropertyType::I64 => Self::I64(Int64Builder::new()),
            PropertyType::U32 => Self::U32(UInt32Builder::new()),
            PropertyType::U64 => Self::U64(UInt64Builder::new()),
            PropertyType::F32 => Self::F32(Float32Builder::new()),
            PropertyType::F64 => Self::F64(Float64Builder::new()),
            PropertyType::Date => Self::Date(Date32Builder::new()),
            PropertyType::DateTime => {
                Self::DateTime(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            other @ (PropertyType::List(_) | PropertyType::Map) => {
                Self::Values(other.clone(), Vec::new())
            }
        }
    }

    /// Adds a value. One that the property does not accept becomes null: values are checked before.
    #[expect(clippy::cast_possible_truncation, reason = "declared as 32 bits")]
    pub(super) fn push(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Text(column), Cell::Text(text)) => column.append_value(text),
            (Self::Text(column), _) => column.append_null(),
            (Self::Bool(column), Cell::Bool(value)) => column.append_value(*value),
            (Self::Bool(column), _) => column.append_null(),
            (Self::I32(column), Cell::Int(value)) => {
                column.append_option(i32::try_from(*value).ok());
            }
            (Self::I32(column), _) => column.append_null(),
            (Self::I64(column), Cell::Int(value)) => column.append_value(*value),
            (Self::I64(column), _) => column.append_null(),
            (Self::U32(column), Cell::Int(value)) => {
                column.append_option(u32::try_from(*value).ok());
            }
            (Self::U32(column), _) => column.append_null(),
            (Self::U64(column), Cell::Int(value)) => {
                column.append_option(u64::try_from(*value).ok());
            }
            (Self::U64(column), _) => column.append_null(),
            (Self::F32(column), Cell::Float(value)) => column.append_value(*value as f32),
            (Self::F32(column), _) => column.append_null(),
            (Self::F64(column), Cell::Float(value)) => column.append_value(*value),
            (Self::F64(column), _) => column.append_null(),
            (Self::Date(column), Cell::Int(days)) => {
                column.append_option(i32::try_from(*days).ok());
            }
            (Self::Date(column), _) => column.append_null(),
            (Self::DateTime(column), Cell::Int(micros)) => column.append_value(*micros),
            (Self::DateTime(column), _) => column.append_null(),
            (Self::Values(_, values), Cell::Value(value)) => values.push((*value).clone()),
            (Self::Values(_, values), _) => values.push(Value::Null),
        }
    }

    pub(super) fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(mut column) => Arc::new(column.finish()),
            Self::Bool(mut column) => Arc::new(column.finish()),
            Self::I32(mut column) => Arc::new(column.finish()),
            Self::I64(mut column) => Arc::new(column.finish()),
            Self::U32(mut column) => Arc::new(column.finish()),
            Self::U64(mut column) => Arc::new(column.finish()),
            Self::F32(mut column) => Arc::new(column.finish()),
            Self::F64(mut column) => Arc::new(column.finish()),
            Self::Date(mut column) => Arc::new(column.finish()),
            Self::DateTime(mut column) => Arc::new(column.finish()),
            Self::Values(list, values) => columns::column(&list, values.iter())?,
        })
    }
}
