//! Every result can be an Arrow stream too: values are of the types that the plan says.

use arrow_ipc::reader::StreamReader;
use language::plan::Column;
use language::value::Value;

use crate::results::{ArrowRows, RowError};

/// Writes the rows, and reads how many there are.
pub(super) fn check(columns: &[Column], rows: &[Vec<Value>]) {
    let mut stream = ArrowRows::new(columns, "").expect("columns");
    for row in rows {
        let values = row.iter().enumerate().map(|(position, value)| {
            if stream.is_json(position) && !value.is_null() {
                Value::string("{}")
            } else {
                value.clone()
            }
        });
        let values: Vec<_> = values.collect();
        match stream.push(values.into_iter(), usize::MAX) {
            Ok(()) => {}
            Err(RowError::OutOfRange { .. }) => return,
            Err(error) => panic!("{error:?}: {columns:?} {row:?}"),
        }
    }
    let bytes = stream
        .finish()
        .unwrap_or_else(|error| panic!("{error:?}: {columns:?} {rows:?}"));
    let reader = StreamReader::try_new(bytes.as_slice(), None).expect("a stream");
    let found: usize = reader.map(|batch| batch.expect("whole").num_rows()).sum();
    assert_eq!(found, rows.len());
}
