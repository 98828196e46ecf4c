//! A reading statement: compiled and decided on one snapshot, its rows handed on as they are found.
//!
//! The statement runs on a blocking thread and writes rows as JSON into chunks. Until the first
//! chunk is full, or the end, nothing has been answered, so that an error gets its own status.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use api_types::{Column, Commit, QueryRequest, QueryStats};
use bytes::Bytes;
use language::Value;
use policy::{Action, Principal};
use storage_engine::executor::{ExecuteError, Limits};
use tokio::sync::{mpsc, oneshot};

use super::values::value_to_json;
use super::{App, CancelOnDrop, Error, Target, outcome, refuse_past, statement};

/// Bytes of rows that are collected before they are handed on.
const CHUNK: usize = 64 << 10;
/// Chunks that may wait for the caller.
const WAITING: usize = 4;

/// What stands between rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Commas: the chunks together are the inside of a JSON array.
    Array,
    /// Each row ends its line.
    Lines,
}

/// An answer that has begun. Dropping it stops the statement.
pub(crate) struct Answer {
    pub(crate) columns: Vec<Column>,
    pub(crate) commit: Commit,
    /// Rows as JSON in the layout that was asked for. An error is the last.
    pub(crate) chunks: mpsc::Receiver<Result<Bytes, Error>>,
    /// Given when the last chunk was.
    pub(crate) stats: oneshot::Receiver<QueryStats>,
    /// The most bytes that an answer in one piece may have.
    pub(crate) max_bytes: u64,
    pub(crate) cancel: CancelOnDrop,
}

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    request: QueryRequest,
    layout: Layout,
) -> Result<Answer, Error> {
    let target = Target::branch(&graph_id, request.branch.as_deref());
    let (known, permit) = app.permit_graph(principal, Action::Query, target)?;
    target.check_branch()?;
    refuse_past(request.at.as_deref())?;
    refuse_zero("timeout_ms", request.timeout_ms)?;
    refuse_zero("max_rows", request.max_rows)?;
    let parameters = statement::parameters(request.params)?;
    let (cancelled, cancel) = app.running.begin();
    let limits = Limits {
        deadline: Some(statement::deadline(app.limits(), request.timeout_ms)),
        max_rows: Some(statement::max_rows(app.limits(), request.max_rows)),
        max_bytes: usize::try_from(app.limits().query_memory_bytes).unwrap_or(usize::MAX),
        cancelled,
    };
    let (head, began) = oneshot::channel();
    let (chunks, received) = mpsc::channel(WAITING);
    let (ended, stats) = oneshot::channel();
    let output = Output {
        head: Some(head),
        chunks,
    };
    let (worker, span, query) = (app.clone(), tracing::Span::current(), request.query);
    tokio::task::spawn_blocking(move || {
        span.in_scope(|| {
            let start = Instant::now();
            let work = Work {
                app: &worker,
                known: &known,
                permit: &permit,
                layout,
            };
            output.finish(
                |output| work.run(&query, &parameters, &limits, output),
                |rows| {
                    // A caller that has gone away needs no statistics.
                    let elapsed_ms = start.elapsed().as_secs_f64() * 1000.0;
                    let _ = ended.send(QueryStats { rows, elapsed_ms });
                },
            );
        });
    });
    // The sender is dropped without a word only by a panic.
    let (columns, commit) = began.await.unwrap_or(Err(Error::WorkerGone))?;
    let max_bytes = app.limits().query_memory_bytes;
    Ok(Answer {
        columns,
        commit,
        chunks: received,
        stats,
        max_bytes,
        cancel,
    })
}

fn refuse_zero(name: &str, value: Option<u64>) -> Result<(), Error> {
    match value {
        Some(0) => Err(Error::InvalidRequest(format!(
            "{name} must be at least 1; leave it out to have the server's own limit"
        ))),
        _ => Ok(()),
    }
}

/// The statement's side of an answer.
struct Output {
    /// Until the answer has begun.
    head: Option<oneshot::Sender<Result<(Vec<Column>, Commit), Error>>>,
    chunks: mpsc::Sender<Result<Bytes, Error>>,
}

impl Output {
    fn begin(&mut self, columns: &[Column], commit: &Commit) {
        if let Some(head) = self.head.take() {
            // A caller that has gone away is noticed by its flag.
            let _ = head.send(Ok((columns.to_vec(), commit.clone())));
        }
    }

    fn finish(
        mut self,
        work: impl FnOnce(&mut Self) -> Result<u64, Error>,
        ended: impl FnOnce(u64),
    ) {
        match (work(&mut self), self.head.take()) {
            (Ok(rows), _) => ended(rows),
            (Err(error), Some(head)) => drop(head.send(Err(error))),
            (Err(error), None) => drop(self.chunks.blocking_send(Err(error))),
        }
    }
}

struct Work<'a> {
    app: &'a App,
    known: &'a super::Known,
    permit: &'a policy::Permit,
    layout: Layout,
}

impl Work<'_> {
    fn run(
        &self,
        text: &str,
        parameters: &storage_engine::executor::Parameters,
        limits: &Limits,
        output: &mut Output,
    ) -> Result<u64, Error> {
        let reader = self.app.directory.reader(self.permit, self.known)?;
        let schema = reader.snapshot().schema().clone();
        let plan = statement::compile(text, &schema, None)?;
        if plan.writes() {
            return Err(Error::WriteInReadQuery);
        }
        let columns = statement::columns(&plan);
        let commit = outcome::commit(reader.head());
        let touches = plan.touches.clone();
        let touches = statement::touches(&touches.types, &schema);
        let access = self.app.access.load();
        let plan = access
            .authorizer
            .authorize_types(self.permit, plan, &touches)?;
        let mut rows = RowWriter::new(&columns, self.layout);
        let mut gone = false;
        let executed = reader.query(&plan, parameters, limits, &mut |values| {
            rows.push(values, |value| value_to_json(reader.snapshot(), value));
            if rows.bytes.len() >= CHUNK {
                output.begin(&columns, &commit);
                gone = output.chunks.blocking_send(Ok(rows.take())).is_err();
            }
            if gone {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        executed.map_err(|error| self.failed(error))?;
        output.begin(&columns, &commit);
        if !gone && !rows.bytes.is_empty() {
            // As above: nobody is there to be told.
            let _ = output.chunks.blocking_send(Ok(rows.take()));
        }
        Ok(rows.count)
    }

    fn failed(&self, error: ExecuteError) -> Error {
        match error {
            ExecuteError::Cancelled if self.app.is_stopping() => Error::ShuttingDown,
            error => Error::Execute(error),
        }
    }
}

/// Writes rows as JSON objects.
struct RowWriter {
    /// `"name":` for each column.
    labels: Vec<Vec<u8>>,
    layout: Layout,
    bytes: Vec<u8>,
    count: u64,
}

impl RowWriter {
    fn new(columns: &[Column], layout: Layout) -> Self {
        let label = |column: &Column| {
            let mut label = serde_json::Value::from(column.name.as_str())
                .to_string()
                .into_bytes();
            label.push(b':');
            label
        };
        Self {
            labels: columns.iter().map(label).collect(),
            layout,
            bytes: Vec::new(),
            count: 0,
        }
    }

    fn push(&mut self, values: &[Value], json: impl Fn(&Value) -> serde_json::Value) {
        if self.layout == Layout::Array && self.count > 0 {
            self.bytes.push(b',');
        }
        let mut before = b'{';
        for (label, value) in self.labels.iter().zip(values) {
            self.bytes.push(before);
            self.bytes.extend_from_slice(label);
            serde_json::to_writer(&mut self.bytes, &json(value))
                .expect("a JSON value with text as keys goes into memory");
            before = b',';
        }
        if values.is_empty() {
            self.bytes.push(b'{');
        }
        self.bytes.push(b'}');
        if self.layout == Layout::Lines {
            self.bytes.push(b'\n');
        }
        self.count += 1;
    }

    fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_json_in_either_layout() {
        let columns: Vec<_> = ["a", "say \"b\""]
            .map(|name| Column {
                name: name.to_owned(),
                value_type: "any".to_owned(),
            })
            .into();
        let write = |layout| {
            let mut rows = RowWriter::new(&columns, layout);
            for number in [1, 2] {
                rows.push(&[Value::Int(number), Value::Null], |value| match value {
                    Value::Int(number) => (*number).into(),
                    _ => serde_json::Value::Null,
                });
            }
            String::from_utf8(rows.take().to_vec()).expect("UTF-8")
        };
        let row = |number| format!(r#"{{"a":{number},"say \"b\"":null}}"#);
        assert_eq!(write(Layout::Array), format!("{},{}", row(1), row(2)));
        assert_eq!(write(Layout::Lines), format!("{}\n{}\n", row(1), row(2)));
    }
}
