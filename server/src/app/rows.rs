//! Rows of an answer as bytes, in the layout that was asked for.

use bytes::Bytes;
use language::Value;
use language::plan::Column;
use serde_json::Value as Json;
use storage_engine::CommitInfo;
use storage_engine::results::{ArrowRows, RowError};

use super::Error;
use super::values::TooLarge;

/// What rows are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// JSON objects with commas between them: the chunks together are the inside of a JSON array.
    Array,
    /// JSON objects, each of which ends its line.
    Lines,
    /// An Arrow IPC stream.
    Arrow,
}

/// A column's name as it stands before its values in JSON, `"name":`.
pub(crate) fn label(name: &str) -> Vec<u8> {
    format!("{}:", Json::from(name)).into_bytes()
}

/// What stands before the rows in one JSON object.
pub(crate) fn begun(columns: &[api_types::Column]) -> Vec<u8> {
    let columns = serde_json::to_string(columns).expect("names go into memory as JSON");
    format!("{{\"columns\":{columns},\"rows\":[").into_bytes()
}

/// Writes rows.
pub(crate) struct RowWriter<'a> {
    form: Form<'a>,
    count: u64,
}

enum Form<'a> {
    Json(Objects<'a>),
    Arrow(Box<ArrowRows>),
}

impl<'a> RowWriter<'a> {
    /// For rows with these columns, of the state at a commit; `labels` are the columns' names as
    /// [`label`] makes them.
    pub(crate) fn new(
        layout: Layout,
        labels: &'a [Vec<u8>],
        columns: &[Column],
        commit: &CommitInfo,
    ) -> Result<Self, Error> {
        let json = |is_array| Form::Json(Objects::new(labels, is_array));
        let form = match layout {
            Layout::Array => json(true),
            Layout::Lines => json(false),
            Layout::Arrow => {
                let rows = ArrowRows::new(columns, &commit.id.to_string());
                Form::Arrow(Box::new(rows.map_err(Error::Row)?))
            }
        };
        Ok(Self { form, count: 0 })
    }

    /// A row of `max_bytes` at most, as many as `json` lets its JSON have. After an error the row is half
    /// written: nothing more may be taken.
    pub(crate) fn push(
        &mut self,
        values: &[Value],
        max_bytes: usize,
        json: impl Fn(&Value) -> Result<Json, TooLarge>,
    ) -> Result<(), Error> {
        let pushed = match &mut self.form {
            Form::Json(objects) => objects.push(values, json),
            Form::Arrow(rows) => match cells(rows, values, json) {
                Err(error) => Err(error),
                Ok(cells) => match rows.push(cells.into_iter(), max_bytes) {
                    Err(RowError::TooLarge) => Err(TooLarge),
                    pushed => return self.counted(pushed.map_err(Error::Row)),
                },
            },
        };
        let limit = max_bytes as u64;
        self.counted(pushed.map_err(|TooLarge| Error::ResultTooLarge { limit }))
    }

    fn counted(&mut self, pushed: Result<(), Error>) -> Result<(), Error> {
        self.count += u64::from(pushed.is_ok());
        pushed
    }

    /// How many rows there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Bytes in memory, about.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.form {
            Form::Json(objects) => objects.bytes.len(),
            Form::Arrow(rows) => rows.held_bytes(),
        }
    }

    /// Bytes that can be taken.
    pub(crate) fn made_bytes(&self) -> usize {
        match &self.form {
            Form::Json(objects) => objects.bytes.len(),
            Form::Arrow(rows) => rows.made_bytes(),
        }
    }

    /// What is made and was not taken yet.
    pub(crate) fn take(&mut self) -> Bytes {
        Bytes::from(match &mut self.form {
            Form::Json(objects) => std::mem::take(&mut objects.bytes),
            Form::Arrow(rows) => rows.take(),
        })
    }

    /// The rest.
    pub(crate) fn finish(self) -> Result<Bytes, Error> {
        Ok(Bytes::from(match self.form {
            Form::Json(objects) => objects.bytes,
            Form::Arrow(rows) => rows.finish().map_err(Error::Row)?,
        }))
    }
}

/// The values of a row, those of the columns that are JSON as text.
fn cells(
    rows: &ArrowRows,
    values: &[Value],
    json: impl Fn(&Value) -> Result<Json, TooLarge>,
) -> Result<Vec<Value>, TooLarge> {
    let cells = values.iter().enumerate().map(|(position, value)| {
        if value.is_null() || !rows.is_json(position) {
            return Ok(value.clone());
        }
        json(value).map(|json| Value::string(json.to_string()))
    });
    cells.collect()
}

/// Rows as JSON objects.
pub(crate) struct Objects<'a> {
    /// `"name":` for each column.
    labels: &'a [Vec<u8>],
    /// Commas between them, rather than ends of lines.
    is_array: bool,
    is_first: bool,
    /// What is made.
    pub(crate) bytes: Vec<u8>,
}

impl<'a> Objects<'a> {
    fn new(labels: &'a [Vec<u8>], is_array: bool) -> Self {
        Self {
            labels,
            is_array,
            is_first: true,
            bytes: Vec::new(),
        }
    }

    /// After `begun`, with commas between them.
    pub(crate) fn after(begun: Vec<u8>, labels: &'a [Vec<u8>]) -> Self {
        Self {
            bytes: begun,
            ..Self::new(labels, true)
        }
    }

    /// A row, as many values as `json` lets its JSON have. After an error it is half written.
    pub(crate) fn push(
        &mut self,
        values: &[Value],
        json: impl Fn(&Value) -> Result<Json, TooLarge>,
    ) -> Result<(), TooLarge> {
        if self.is_array && !self.is_first {
            self.bytes.push(b',');
        }
        self.is_first = false;
        let mut before = b'{';
        for (label, value) in self.labels.iter().zip(values) {
            self.bytes.push(before);
            self.bytes.extend_from_slice(label);
            serde_json::to_writer(&mut self.bytes, &json(value)?)
                .expect("a JSON value with text as keys goes into memory");
            before = b',';
        }
        if values.is_empty() {
            self.bytes.push(b'{');
        }
        self.bytes.push(b'}');
        if !self.is_array {
            self.bytes.push(b'\n');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_json_in_either_layout() {
        let labels = [b"\"a\":".to_vec(), br#""say \"b\"":"#.to_vec()];
        let write = |is_array| {
            let mut rows = Objects::new(&labels, is_array);
            for number in [1, 2] {
                let json = |value: &Value| match value {
                    Value::Int(number) => Ok((*number).into()),
                    _ => Ok(serde_json::Value::Null),
                };
                rows.push(&[Value::Int(number), Value::Null], json)
                    .expect("small");
            }
            String::from_utf8(rows.bytes).expect("UTF-8")
        };
        let row = |number| format!(r#"{{"a":{number},"say \"b\"":null}}"#);
        assert_eq!(write(true), format!("{},{}", row(1), row(2)));
        assert_eq!(write(false), format!("{}\n{}\n", row(1), row(2)));
    }
}
