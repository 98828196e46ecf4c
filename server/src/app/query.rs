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
use policy::{Action, Permit, Principal};
use storage_engine::Snapshot;
use storage_engine::executor::{ExecuteError, Limits, Parameters};
use tokio::sync::oneshot;

use super::stream::{self, Closed, Outlet, PIECE, Pieces};
use super::values::{Budget, TooLarge, Values};
use super::{App, Error, Target, outcome, refuse_past, statement};

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
    /// Rows as JSON in the layout that was asked for, and at the end how it went.
    pub(crate) rows: Pieces<QueryStats>,
    /// The most bytes that an answer in one piece may have.
    pub(crate) max_bytes: u64,
}

/// What an answer begins with.
type Head = (Vec<Column>, Commit);

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    request: QueryRequest,
    layout: Layout,
) -> Result<Answer, Error> {
    let target = Target::branch(&graph_id, request.branch.as_deref());
    let permit = app.permit_graph(principal, Action::Query, target)?;
    target.check_branch()?;
    refuse_past(request.at.as_deref())?;
    refuse_zero("timeout_ms", request.timeout_ms)?;
    refuse_zero("max_rows", request.max_rows)?;
    let parameters = statement::parameters(request.params)?;
    let (cancelled, cancel) = app.running.begin();
    let deadline = statement::deadline(app.limits(), request.timeout_ms);
    let limits = Limits {
        deadline: Some(deadline),
        max_rows: Some(statement::max_rows(app.limits(), request.max_rows)),
        max_bytes: usize::try_from(app.limits().query_memory_bytes).unwrap_or(usize::MAX),
        cancelled: cancelled.clone(),
    };
    let (head, begun) = oneshot::channel();
    let (outlet, rows) = stream::channel(cancelled, cancel);
    let (worker, span) = (app.clone(), tracing::Span::current());
    tokio::task::spawn_blocking(move || {
        span.in_scope(|| {
            let work = Work {
                app: &worker,
                permit: &permit,
                layout,
                limits: &limits,
                deadline,
            };
            let mut output = Output {
                head: Some(head),
                outlet,
            };
            let start = Instant::now();
            let ran = work.run(&request.query, &parameters, &mut output);
            let elapsed_ms = start.elapsed().as_secs_f64() * 1000.0;
            output.finish(ran.map(|rows| QueryStats { rows, elapsed_ms }), deadline);
        });
    });
    // The sender is dropped without a word only by a panic.
    let (columns, commit) = begun.await.unwrap_or(Err(Error::BrokenOff))?;
    Ok(Answer {
        columns,
        commit,
        rows,
        max_bytes: app.limits().query_memory_bytes,
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
    head: Option<oneshot::Sender<Result<Head, Error>>>,
    outlet: Outlet<QueryStats>,
}

impl Output {
    fn begin(&mut self, columns: &[Column], commit: &Commit) {
        if let Some(head) = self.head.take() {
            // A caller that has gone away is noticed by its flag.
            let _ = head.send(Ok((columns.to_vec(), commit.clone())));
        }
    }

    fn finish(self, ran: Result<QueryStats, Error>, deadline: Instant) {
        match (ran, self.head) {
            (Ok(stats), _) => self.outlet.end(stats),
            (Err(error), Some(head)) => drop(head.send(Err(error))),
            (Err(error), None) => self.outlet.fail(error, deadline),
        }
    }
}

struct Work<'a> {
    app: &'a App,
    permit: &'a Permit,
    layout: Layout,
    limits: &'a Limits,
    deadline: Instant,
}

impl Work<'_> {
    /// Returns how many rows there were.
    fn run(&self, text: &str, parameters: &Parameters, output: &mut Output) -> Result<u64, Error> {
        let reader = self.app.registry.reader(self.permit)?;
        let schema = reader.schema().clone();
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
        let mut pushed = Ok(());
        let executed = reader.query(&plan, parameters, self.limits, &mut |snapshot, values| {
            pushed = self.push(&mut rows, snapshot, values).and_then(|()| {
                if rows.bytes.len() < PIECE {
                    return Ok(());
                }
                output.begin(&columns, &commit);
                self.send(rows.take(), output)
            });
            match pushed {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        pushed?;
        executed.map_err(|error| self.failed(Error::of_query(error)))?;
        output.begin(&columns, &commit);
        self.send(rows.take(), output)?;
        Ok(rows.count)
    }

    fn push(
        &self,
        rows: &mut RowWriter,
        snapshot: &Snapshot,
        values: &[Value],
    ) -> Result<(), Error> {
        let budget = Budget::new(self.limits.max_bytes);
        let json = Values::new(snapshot, &budget);
        rows.push(values, |value| json.json(value))
            .map_err(|TooLarge| Error::ResultTooLarge {
                limit: self.app.limits().query_memory_bytes,
            })
    }

    fn send(&self, piece: Bytes, output: &Output) -> Result<(), Error> {
        if piece.is_empty() {
            return Ok(());
        }
        output
            .outlet
            .send(piece, self.deadline)
            .map_err(|closed| match closed {
                Closed::Cancelled => self.failed(Error::Execute(ExecuteError::Cancelled)),
                Closed::Late => Error::Execute(ExecuteError::Deadline),
            })
    }

    fn failed(&self, error: Error) -> Error {
        match error {
            Error::Execute(ExecuteError::Cancelled) if self.app.is_stopping() => {
                Error::ShuttingDown
            }
            error => error,
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

    /// After an error the row is half written: nothing more may be taken.
    fn push(
        &mut self,
        values: &[Value],
        json: impl Fn(&Value) -> Result<serde_json::Value, TooLarge>,
    ) -> Result<(), TooLarge> {
        if self.layout == Layout::Array && self.count > 0 {
            self.bytes.push(b',');
        }
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
        if self.layout == Layout::Lines {
            self.bytes.push(b'\n');
        }
        self.count += 1;
        Ok(())
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
                let json = |value: &Value| match value {
                    Value::Int(number) => Ok((*number).into()),
                    _ => Ok(serde_json::Value::Null),
                };
                rows.push(&[Value::Int(number), Value::Null], json)
                    .expect("small");
            }
            String::from_utf8(rows.take().to_vec()).expect("UTF-8")
        };
        let row = |number| format!(r#"{{"a":{number},"say \"b\"":null}}"#);
        assert_eq!(write(Layout::Array), format!("{},{}", row(1), row(2)));
        assert_eq!(write(Layout::Lines), format!("{}\n{}\n", row(1), row(2)));
    }
}
