//! Graphs for tests, made by running Cypher in a transaction that is never committed.

use std::sync::Arc;

use language::cypher;
use language::schema::Schema;
use language::value::Value;
use uuid::Uuid;

use crate::executor::{self, ExecuteError, Limits, Parameters};
use crate::record::{CommitId, CommitInfo, MAIN};
use crate::snapshot::{Bases, Snapshot};
use crate::transaction::Transaction;

/// What a statement gave.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
    /// Whether the order of the rows says something.
    pub(super) ordered: bool,
}

/// Why a statement gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("compile error {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Compile(language::Diagnostics),
    #[error("error{}: {error}", place(*.start, *.end))]
    Execute {
        error: ExecuteError,
        start: usize,
        end: usize,
    },
}

fn place(start: usize, end: usize) -> String {
    if end == 0 {
        String::new()
    } else {
        format!(" at {start}..{end}")
    }
}

/// An empty graph of a schema.
pub(super) fn empty(schema: &str) -> Transaction {
    of(Schema::parse(schema).expect("a valid schema"))
}

/// An empty open graph.
pub(super) fn open() -> Transaction {
    of(Schema::parse_open("").expect("the empty schema"))
}

/// An empty graph.
pub(super) fn of(schema: Schema) -> Transaction {
    let head = CommitInfo {
        id: CommitId(Uuid::nil()),
        branch: MAIN.to_owned(),
        sequence: 1,
        parents: Vec::new(),
        time_micros: 0,
        principal: "test".to_owned(),
        run: Uuid::nil(),
        message: None,
    };
    let snapshot =
        Snapshot::at_checkpoint(Uuid::nil(), Arc::new(schema), head, 1, &Bases::default());
    Transaction::new(snapshot, 2, Uuid::nil())
}

/// Runs one statement; writing or reading, as it is.
pub(super) fn run(
    transaction: &mut Transaction,
    text: &str,
    parameters: &Parameters,
    limits: &Limits,
) -> Result<Answer, Failure> {
    let schema = Arc::clone(transaction.snapshot().schema());
    let plan = cypher::compile(text, &schema).map_err(Failure::Compile)?;
    let mut rows = Vec::new();
    let mut sink = |row: &[Value]| {
        rows.push(row.to_vec());
        std::ops::ControlFlow::Continue(())
    };
    let outcome = if plan.writes() {
        executor::write(&plan, parameters, transaction, limits, &mut sink)
            .and_then(|()| transaction.end_statement().map_err(ExecuteError::from))
    } else {
        executor::read(&plan, parameters, transaction.snapshot(), limits, &mut sink)
    };
    outcome.map_err(|error| {
        let span = error.span().unwrap_or_default();
        Failure::Execute {
            error,
            start: span.start,
            end: span.end,
        }
    })?;
    super::streamed::check(&plan.columns, &rows);
    let ordered = matches!(
        plan.clauses.last(),
        Some(language::plan::Clause::Project(projection)) if !projection.order.is_empty()
    );
    Ok(Answer {
        columns: plan.columns.into_iter().map(|column| column.name).collect(),
        rows,
        ordered,
    })
}

/// Runs statements that must succeed, each on its own line.
pub(super) fn run_all(transaction: &mut Transaction, statements: &str) {
    for statement in statements
        .split(";\n")
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        run(
            transaction,
            statement,
            &Parameters::new(),
            &Limits::default(),
        )
        .unwrap_or_else(|failure| panic!("{statement}\n{failure}"));
    }
}
