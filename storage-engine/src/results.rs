//! Rows of a result as an Arrow IPC stream, in batches.
//!
//! What a column is, its type in the plan says, before any row is known:
//!
//! | type | Arrow |
//! | --- | --- |
//! | boolean, integer, float, string | `Bool`, `Int64`, `Float64`, `LargeUtf8` |
//! | date | `Date32` |
//! | datetime | `Timestamp(us, UTC)`: the instant; its offset and less than a microsecond are not kept |
//! | localdatetime, localtime, time, duration | `LargeUtf8`, ISO 8601 |
//! | a list of these | `LargeList` of it |
//! | null | `Null` |
//! | all others: node, relationship, path, map, number, any | `LargeUtf8` with JSON, marked as the extension type `arrow.json` |
//!
//! Each field has the type's name in its metadata ([`TYPE`]). The JSON is whoever writes the rows to
//! make: see [`ArrowRows::is_json`].

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, NullArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use language::plan::{Column, Type};
use language::schema::PropertyType;
use language::temporal::{self, Temporal};
use language::value::Value;

use crate::batches::{self, BatchError, BatchWriter};
use crate::columns::{column, data_type};

/// The key in a field's metadata under which the type stands, as JSON results name it.
pub const TYPE: &str = "trellis:type";
/// The key in the schema's metadata under which the commit stands that was read.
pub const COMMIT: &str = "trellis:commit";
/// Arrow's own keys for extension types, and one of those.
const EXTENSION: [(&str, &str); 2] = [
    ("ARROW:extension:name", "arrow.json"),
    ("ARROW:extension:metadata", ""),
];

/// Nanoseconds of a microsecond.
const MICRO: i128 = 1_000;

/// Why a row cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// It would take more memory than was given.
    #[error("a row is too large")]
    TooLarge,
    /// Farther away than its column can tell.
    #[error("`{column}`: {value} is outside of what an Arrow {kind} holds; write toString(...)")]
    OutOfRange {
        /// The column.
        column: String,
        /// The date or time, ISO 8601.
        value: String,
        /// What the column is.
        kind: &'static str,
    },
    /// A defect.
    #[error("rows could not be written")]
    Batch(#[from] BatchError),
}

/// What a column is.
#[derive(Clone, Debug, PartialEq)]
enum Form {
    /// Values that a property of this type could have.
    Stored(PropertyType),
    Json,
    Null,
}

impl Form {
    fn of(value_type: &Type) -> Self {
        Self::Stored(match value_type {
            Type::Boolean => PropertyType::Bool,
            Type::Integer => PropertyType::I64,
            Type::Float => PropertyType::F64,
            Type::Date => PropertyType::Date,
            Type::DateTime => PropertyType::DateTime,
            Type::String | Type::LocalTime | Type::Time | Type::LocalDateTime | Type::Duration => {
                PropertyType::String
            }
            Type::List(element) => match Self::of(element) {
                Self::Stored(element) => PropertyType::List(Box::new(element)),
                Self::Json | Self::Null => return Self::Json,
            },
            Type::Null => return Self::Null,
            Type::Any
            | Type::Number
            | Type::Node(_)
            | Type::Relationship(_)
            | Type::Path
            | Type::Map => return Self::Json,
        })
    }

    fn field(&self, wanted: &Column) -> Field {
        let data_type = match self {
            Self::Stored(property_type) => data_type(property_type),
            Self::Json => DataType::LargeUtf8,
            Self::Null => DataType::Null,
        };
        let mut metadata = HashMap::from([(TYPE.to_owned(), wanted.value_type.to_string())]);
        if *self == Self::Json {
            let extension = EXTENSION.map(|(key, value)| (key.to_owned(), value.to_owned()));
            metadata.extend(extension);
        }
        Field::new(&wanted.name, data_type, true).with_metadata(metadata)
    }

    fn array(&self, values: &[Value]) -> Result<ArrayRef, BatchError> {
        Ok(match self {
            Self::Stored(property_type) => column(property_type, values.iter())?,
            Self::Json => column(&PropertyType::String, values.iter())?,
            Self::Null => Arc::new(NullArray::new(values.len())),
        })
    }
}

/// Takes rows, gives bytes.
#[derive(Debug)]
pub struct ArrowRows {
    schema: SchemaRef,
    forms: Vec<Form>,
    /// Of the rows that are in no batch yet.
    held: Vec<Vec<Value>>,
    rows: usize,
    bytes: usize,
    writer: BatchWriter,
}

impl ArrowRows {
    /// A stream of rows with these columns, read at this commit.
    ///
    /// # Errors
    /// [`RowError::Batch`]
    pub fn new(columns: &[Column], commit: &str) -> Result<Self, RowError> {
        let forms: Vec<Form> = columns
            .iter()
            .map(|column| Form::of(&column.value_type))
            .collect();
        let fields: Vec<Field> = forms
            .iter()
            .zip(columns)
            .map(|(form, column)| form.field(column))
            .collect();
        let metadata = HashMap::from([(COMMIT.to_owned(), commit.to_owned())]);
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        Ok(Self {
            held: vec![Vec::new(); forms.len()],
            rows: 0,
            bytes: 0,
            writer: BatchWriter::arrow(&schema)?,
            schema,
            forms,
        })
    }

    /// Whether the values of the column at this position are to be given as text with JSON, but for
    /// null.
    #[must_use]
    pub fn is_json(&self, position: usize) -> bool {
        self.forms.get(position) == Some(&Form::Json)
    }

    /// Takes a row, of `max_bytes` at most.
    ///
    /// # Errors
    /// After one, nothing more may be taken.
    pub fn push(
        &mut self,
        values: impl Iterator<Item = Value>,
        max_bytes: usize,
    ) -> Result<(), RowError> {
        let mut left = max_bytes;
        let columns = self.schema.fields().iter();
        for (((held, form), field), value) in self
            .held
            .iter_mut()
            .zip(&self.forms)
            .zip(columns)
            .zip(values)
        {
            left = take(&value, left).ok_or(RowError::TooLarge)?;
            let value = match form {
                Form::Stored(property_type) => {
                    stored(value, property_type).map_err(|far| RowError::OutOfRange {
                        column: field.name().clone(),
                        value: far.value,
                        kind: far.kind,
                    })?
                }
                Form::Json | Form::Null => value,
            };
            held.push(value);
        }
        self.rows += 1;
        self.bytes += max_bytes - left;
        if self.rows >= batches::ROWS || self.bytes >= batches::BYTES {
            self.end_batch()?;
        }
        Ok(())
    }

    /// Bytes that are held, about: made or in rows.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.writer.made() + self.bytes
    }

    /// Bytes that can be taken.
    #[must_use]
    pub fn made_bytes(&self) -> usize {
        self.writer.made()
    }

    /// What is made so far and was not taken yet.
    pub fn take(&mut self) -> Vec<u8> {
        self.writer.take()
    }

    /// The rest of the stream, with its end.
    ///
    /// # Errors
    /// [`RowError::Batch`]
    pub fn finish(mut self) -> Result<Vec<u8>, RowError> {
        if self.rows > 0 {
            self.end_batch()?;
        }
        Ok(self.writer.finish()?)
    }

    fn end_batch(&mut self) -> Result<(), RowError> {
        let arrays = self.forms.iter().zip(&self.held);
        let arrays = arrays
            .map(|(form, values)| form.array(values))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(BatchError::from)?;
        self.writer.write(&batch)?;
        self.held.iter_mut().for_each(Vec::clear);
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

/// What is left of a budget when the value is written out: what it shares with others is not shared
/// there.
fn take(value: &Value, left: usize) -> Option<usize> {
    let left = left.checked_sub(size_of::<Value>())?;
    match value {
        Value::String(text) => left.checked_sub(text.len()),
        Value::List(values) => values
            .iter()
            .try_fold(left, |left, value| take(value, left)),
        _ => Some(left),
    }
}

/// A time that its column cannot hold.
struct Far {
    value: String,
    kind: &'static str,
}

/// The value as a column of the type holds it.
fn stored(value: Value, property_type: &PropertyType) -> Result<Value, Far> {
    Ok(match (value, property_type) {
        (Value::List(values), PropertyType::List(element)) => {
            let values = values.iter().map(|value| stored(value.clone(), element));
            Value::List(values.collect::<Result<_, _>>()?)
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "an integer where a float is declared counts as the float"
        )]
        (Value::Int(value), PropertyType::F64) => Value::Float(value as f64),
        (Value::Temporal(time), PropertyType::DateTime) => instant(&time)?,
        (value @ Value::Temporal(_), PropertyType::Date) => {
            return Err(Far {
                value: temporal::text(&value).unwrap_or_default(),
                kind: "Date32",
            });
        }
        (value, PropertyType::String) => match temporal::text(&value) {
            Some(text) => Value::string(text),
            None => value,
        },
        (value, _) => value,
    })
}

/// In microseconds since 1970.
fn instant(time: &Temporal) -> Result<Value, Far> {
    let far = || Far {
        value: time.to_string(),
        kind: "Timestamp",
    };
    let nanos = time.utc_nanos().ok_or_else(far)?;
    let micros = i64::try_from(nanos.div_euclid(MICRO)).map_err(|_| far())?;
    Ok(Value::DateTime(micros))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow_cast::display::{ArrayFormatter, FormatOptions};
    use arrow_ipc::reader::StreamReader;
    use language::plan::Slot;
    use language::temporal::Duration;
    use language::value::NodeRef;

    use super::*;

    fn columns(types: &[(&str, Type)]) -> Vec<Column> {
        let column = |(name, value_type): &(&str, Type)| Column {
            name: (*name).to_owned(),
            slot: Slot(0),
            value_type: value_type.clone(),
        };
        types.iter().map(column).collect()
    }

    fn read(bytes: &[u8]) -> (SchemaRef, Vec<RecordBatch>) {
        let reader = StreamReader::try_new(bytes, None).expect("a stream");
        let schema = reader.schema();
        (schema, reader.map(|batch| batch.expect("whole")).collect())
    }

    fn shown(batch: &RecordBatch, row: usize) -> Vec<String> {
        let options = FormatOptions::default().with_null("null");
        let cell = |array: &ArrayRef| {
            let formatter = ArrayFormatter::try_new(array, &options).expect("can be shown");
            formatter.value(row).to_string()
        };
        batch.columns().iter().map(cell).collect()
    }

    #[test]
    fn each_type_has_its_column() {
        let list = |element| Type::List(Box::new(element));
        let day = Temporal::DateTime {
            days: 1,
            nanos: 3_600_000_001_999,
            offset: 3_600,
            zone: None,
        };
        let month = Temporal::Duration(Duration {
            months: 1,
            ..Duration::default()
        });
        let text = Value::string;
        let node = NodeRef {
            type_id: language::schema::TypeId(1),
            id: 1,
        };
        let cases = [
            ("a", Type::Boolean, Value::Bool(true), "Boolean true"),
            ("b", Type::Integer, Value::Int(7), "Int64 7"),
            ("c", Type::Float, Value::Float(0.5), "Float64 0.5"),
            ("d", Type::Float, Value::Int(2), "Float64 2.0"),
            ("e", Type::String, text("é"), "LargeUtf8 é"),
            ("f", Type::Date, Value::Date(1), "Date32 1970-01-02"),
            (
                "g",
                Type::DateTime,
                Value::DateTime(1),
                "Timestamp(µs, \"UTC\") 1970-01-01T00:00:00.000001Z",
            ),
            (
                "h",
                Type::DateTime,
                temporal::wrap(day),
                "Timestamp(µs, \"UTC\") 1970-01-02T00:00:00.000001Z",
            ),
            ("i", Type::Duration, temporal::wrap(month), "LargeUtf8 P1M"),
            ("j", Type::Null, Value::Null, "Null null"),
            (
                "k",
                list(Type::Date),
                Value::list([Value::Date(0), Value::Null]),
                "LargeList(Date32) [1970-01-01, null]",
            ),
            ("l", Type::Any, text("[1]"), "LargeUtf8 json [1]"),
            ("m", Type::Number, text("1"), "LargeUtf8 json 1"),
            (
                "n",
                list(Type::Node(BTreeSet::from([node.type_id]))),
                text("[{}]"),
                "LargeUtf8 json [{}]",
            ),
            ("o", Type::Integer, Value::Null, "Int64 null"),
        ];
        let types: Vec<_> = cases.iter().map(|(n, t, ..)| (*n, t.clone())).collect();
        let mut rows = ArrowRows::new(&columns(&types), "c1").expect("a stream");
        let values = cases.iter().map(|(_, _, value, _)| value.clone());
        rows.push(values, 1 << 20).expect("a row");
        let (schema, batches) = read(&rows.finish().expect("its end"));
        assert_eq!(schema.metadata()[COMMIT], "c1");
        let found = shown(&batches[0], 0);
        for (((name, kind, _, expected), field), found) in
            cases.iter().zip(schema.fields()).zip(found)
        {
            let json = field.metadata().get("ARROW:extension:name");
            let json = json.map_or(String::new(), |name| name.replace("arrow.", " "));
            let data_type = field.data_type();
            assert_eq!(&format!("{data_type}{json} {found}"), expected, "{name}");
            assert_eq!(field.metadata()[TYPE], kind.to_string());
        }
    }

    #[test]
    fn many_rows_are_many_batches_and_never_all_in_memory() {
        let types = columns(&[("n", Type::Integer), ("t", Type::String)]);
        let mut rows = ArrowRows::new(&types, "c1").expect("a stream");
        let (mut bytes, mut most) = (Vec::new(), 0);
        let text = Value::string("x".repeat(500));
        for number in 0..20_000 {
            let row = [Value::Int(number), text.clone()];
            rows.push(row.into_iter(), 1 << 20).expect("a row");
            most = most.max(rows.held_bytes());
            bytes.extend(rows.take());
        }
        bytes.extend(rows.finish().expect("its end"));
        assert!(
            most < 3 * batches::BYTES && bytes.len() > 10_000_000,
            "{most}"
        );
        let (_, batches) = read(&bytes);
        assert_eq!(
            batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
            20_000
        );
        let last = batches.last().expect("some");
        assert_eq!(shown(last, last.num_rows() - 1)[0], "19999");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let text = Value::string("x".repeat(1_000));
        let many = Value::list((0..1_000).map(|_| text.clone()));
        let types = columns(&[("t", Type::List(Box::new(Type::String)))]);
        let mut rows = ArrowRows::new(&types, "c1").expect("a stream");
        let refused = rows.push([many].into_iter(), 100_000);
        assert!(matches!(refused, Err(RowError::TooLarge)));
        let far = [
            (Type::Date, Temporal::Date(i64::from(i32::MAX) + 1)),
            (
                Type::DateTime,
                Temporal::DateTime {
                    days: 1 << 40,
                    nanos: 0,
                    offset: 0,
                    zone: None,
                },
            ),
        ];
        for (value_type, time) in far {
            let mut rows = ArrowRows::new(&columns(&[("t", value_type)]), "c1").expect("a stream");
            let refused = rows.push([temporal::wrap(time)].into_iter(), 1 << 20);
            let error = refused.expect_err("too far");
            assert!(error.to_string().contains("`t`: +"), "{error}");
        }
    }

    #[test]
    fn no_columns_and_no_rows_are_a_stream_too() {
        let rows = ArrowRows::new(&columns(&[("a", Type::Integer)]), "c1").expect("a stream");
        let (schema, batches) = read(&rows.finish().expect("its end"));
        assert_eq!((schema.fields().len(), batches.len()), (1, 0));
        let mut rows = ArrowRows::new(&[], "c1").expect("a stream");
        rows.push(std::iter::empty(), 1).expect("a row");
        let (_, batches) = read(&rows.finish().expect("its end"));
        assert_eq!(batches[0].num_rows(), 1);
    }
}
