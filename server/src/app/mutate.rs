//! Writing statements, all in one commit.
//!
//! They are compiled on the newest snapshot and decided before anything runs; then they run one
//! after the other at their place in the log, each on what those before it left.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use api_types::{Column, MutateRequest, MutateResponse, Row, Statement};
use language::plan::Plan;
use language::schema::TypeId;
use policy::{Action, Authorized, Permit};
use registry::Writer;
use serde::{Deserialize, Serialize};
use storage_engine::executor::{self, ExecuteError, Limits, Parameters};
use storage_engine::{CommitId, IdempotencyKey, Transaction, Work, WriteRequest};

use super::values::{Budget, TooLarge, Values};
use super::{Answered, App, Error, Key, Origin, Target, aside, outcome, statement};

/// The most statements in one request.
const MAX_STATEMENTS: usize = 1000;
/// The most statements that are compiled on the thread that read the request.
const FEW_STATEMENTS: usize = 4;
/// The longest message, in bytes.
const MAX_MESSAGE: usize = 4096;

/// A statement ready to run.
struct Step {
    plan: Arc<Plan>,
    parameters: Parameters,
}

/// What is to be written, and where.
struct Prepared {
    writer: Writer,
    steps: Authorized<Vec<Step>>,
    /// Of the last statement.
    columns: Vec<Column>,
}

/// Why the statements stopped.
#[derive(Debug, thiserror::Error)]
#[error("{}", super::error::in_statement(*.statement, "failed"))]
pub(crate) struct StepError {
    /// Which of several, from 0.
    pub(crate) statement: Option<usize>,
    /// What happened.
    #[source]
    pub(crate) error: ExecuteError,
}

pub(crate) async fn run(
    app: &Arc<App>,
    origin: Origin,
    graph_id: String,
    request: MutateRequest,
) -> Result<Answered<MutateResponse>, Error> {
    let target = Target::branch(&graph_id, request.branch.as_deref());
    let permit = app.permit_graph(&origin.principal, Action::Mutate, target)?;
    target.check_branch()?;
    app.refuse_when_stopping()?;
    app.purse(permit.principal()).has_room()?;
    let (cancelled, _cancel) = app.running.begin();
    let limits = &app.limits();
    let limits = Limits {
        deadline: Some(statement::deadline(limits, None)),
        max_rows: Some(statement::max_rows(limits, None)),
        max_bytes: usize::try_from(limits.query_memory_bytes).unwrap_or(usize::MAX),
        cancelled,
        ..Limits::default()
    };
    let key = origin.key;
    let asked = match is_little(&request) {
        true => Asked::new(request, key, true)?,
        false => aside(move || Asked::new(request, key, false)).await?,
    };
    let several = asked.texts.several;
    let write = WriteRequest {
        request: Some(origin.request_id),
        deadline: limits.deadline,
        in_place: true,
        ..asked.write
    };
    let prepared = prepared(app, permit, asked.texts, &limits).await?;
    let touches = prepared.steps.plan().iter();
    let touches = touches.flat_map(|step| &step.plan.touches.types);
    let carrying = Carrying {
        touched: touches.map(|(type_id, _)| *type_id).collect(),
        several,
        columns: prepared.columns,
        limits,
    };
    carrying
        .write(&prepared.writer, prepared.steps, write, asked.key)
        .await
}

/// What is asked for, taken apart.
struct Asked {
    texts: Texts,
    key: Option<IdempotencyKey>,
    write: WriteRequest,
}

/// What is to be compiled.
struct Texts {
    statements: Vec<Statement>,
    /// Errors say which.
    several: bool,
    /// All of them and their parameters are short.
    is_little: bool,
}

impl Asked {
    fn new(request: MutateRequest, key: Option<Key>, is_little: bool) -> Result<Self, Error> {
        let several = request.statements.is_some();
        let key = key.map(|key| key.of("mutate", &request, &[])).transpose()?;
        let message = message(request.message)?;
        let if_commit = request.if_commit.as_deref().map(commit_id).transpose()?;
        let statements = statements(request.query, request.params, request.statements)?;
        let write = WriteRequest {
            message,
            if_commit,
            bytes: statements.iter().map(weight).sum(),
            ..WriteRequest::default()
        };
        let texts = Texts {
            statements,
            several,
            is_little,
        };
        Ok(Self { texts, key, write })
    }
}

/// Whether a request is taken apart in next to no time.
fn is_little(request: &MutateRequest) -> bool {
    let several = request.statements.iter().flatten();
    let texts = request.query.iter().map(|query| (query, &request.params));
    let mut texts = texts.chain(several.map(|one| (&one.query, &one.params)));
    request.statements.as_ref().map_or(0, Vec::len) <= FEW_STATEMENTS
        && texts.all(|(text, params)| statement::is_short(text) && statement::are_few(params))
}

/// The statements compiled and decided: here and now when that takes next to no time, else on a thread
/// that may block, one such request of a principal after the other.
async fn prepared(
    app: &Arc<App>,
    permit: Permit,
    texts: Texts,
    limits: &Limits,
) -> Result<Prepared, Error> {
    let (writer, permit) = app.writer(permit).await?;
    let work = Preparing {
        app: app.clone(),
        permit,
        writer,
        limits: limits.clone(),
    };
    if work.is_brief(&texts) {
        return work.prepare(texts);
    }
    let turn = app.turn_to_compile(&work.permit, limits.deadline).await?;
    aside(move || {
        let _turn = turn;
        work.prepare(texts)
    })
    .await
}

/// What statements are compiled with.
struct Preparing {
    app: Arc<App>,
    permit: Permit,
    writer: Writer,
    limits: Limits,
}

impl Preparing {
    /// Whether the statements are compiled and decided in next to no time.
    fn is_brief(&self, texts: &Texts) -> bool {
        let schema = self.writer.schema();
        let is_brief = |statement: &Statement| {
            let known = self.app.plans.known(&statement.query, &schema);
            match known {
                Some(known) => known.touches().nth(statement::FEW_TYPES).is_none(),
                None => statement::is_cheap(&statement.query, &schema),
            }
        };
        texts.is_little && texts.statements.iter().all(is_brief)
    }

    /// Compiles the statements and has their types decided. Stops when nobody waits for that any more.
    fn prepare(self, texts: Texts) -> Result<Prepared, Error> {
        let schema = self.writer.schema();
        let mut compiled = Vec::with_capacity(texts.statements.len());
        let mut steps = Vec::with_capacity(texts.statements.len());
        for (index, Statement { query, params }) in texts.statements.into_iter().enumerate() {
            self.go_on()?;
            let index = texts.several.then_some(index);
            let statement = self.app.plans.prepare(&query, &schema, index)?;
            steps.push(Step {
                plan: Arc::clone(&statement.plan),
                parameters: statement::parameters(params)?,
            });
            compiled.push(statement);
        }
        let touches: Vec<_> = compiled
            .iter()
            .flat_map(|statement| statement.touches())
            .collect();
        let access = self.app.access.load();
        let authorizer = &access.authorizer;
        let steps = authorizer.authorize_types(&self.permit, steps, &touches)?;
        let columns = compiled
            .last()
            .map(|statement| statement.columns.to_vec())
            .unwrap_or_default();
        Ok(Prepared {
            writer: self.writer,
            steps,
            columns,
        })
    }

    fn go_on(&self) -> Result<(), Error> {
        if self.limits.cancelled.load(Ordering::Acquire) {
            return Err(Error::ShuttingDown);
        }
        match self.limits.deadline {
            Some(deadline) if Instant::now() >= deadline => {
                Err(Error::Execute(ExecuteError::Deadline))
            }
            _ => Ok(()),
        }
    }
}

/// What a request that is sent again gets again, besides its commit.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

impl storage_engine::Answer for Answer {
    fn keep(&self) -> String {
        serde_json::to_string(self).expect("names and JSON values make JSON")
    }

    fn recall(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// About how many bytes a statement holds while it waits.
fn weight(statement: &Statement) -> usize {
    fn of(value: &serde_json::Value) -> usize {
        size_of::<serde_json::Value>()
            + match value {
                serde_json::Value::String(text) => text.len(),
                serde_json::Value::Array(values) => values.iter().map(of).sum(),
                serde_json::Value::Object(members) => members
                    .iter()
                    .map(|(name, value)| name.len() + of(value))
                    .sum(),
                _ => 0,
            }
    }
    let parameters = statement.params.iter();
    let parameters = parameters.map(|(name, value)| name.len() + of(value));
    statement.query.len() + parameters.sum::<usize>()
}

/// How statements are carried out.
struct Carrying {
    /// The types that they read or change.
    touched: BTreeSet<TypeId>,
    /// Errors say which.
    several: bool,
    /// Of the last.
    columns: Vec<Column>,
    limits: Limits,
}

impl Carrying {
    /// Writes what was decided, once for each key.
    async fn write(
        mut self,
        writer: &Writer,
        steps: Authorized<Vec<Step>>,
        write: WriteRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<Answered<MutateResponse>, Error> {
        let touched = std::mem::take(&mut self.touched);
        let work = |steps: Authorized<Vec<Step>>| {
            Work::ahead(touched, move |transaction| {
                self.carry_out(steps.plan(), transaction)
            })
        };
        let written = writer.submit(steps, write, key, work).await;
        let written = written.map_err(Error::of_mutate)?;
        Ok(Answered {
            repeated: written.repeated,
            body: MutateResponse {
                commit: outcome::commit(&written.commit),
                stats: outcome::changes(&written.counts),
                columns: written.value.columns,
                rows: written.value.rows,
            },
        })
    }

    /// Runs the statements; the rows are those of the last.
    fn carry_out(
        &self,
        steps: &[Step],
        transaction: &mut Transaction,
    ) -> Result<Answer, StepError> {
        let mut last = Vec::new();
        for (index, Step { plan, parameters }) in steps.iter().enumerate() {
            last.clear();
            let mut keep = |values: &[language::Value]| {
                last.push(values.to_vec());
                ControlFlow::Continue(())
            };
            executor::write(plan, parameters, transaction, &self.limits, &mut keep).map_err(
                |error| StepError {
                    statement: self.several.then_some(index),
                    error,
                },
            )?;
        }
        let rows = self.rows(&last, transaction);
        let rows = rows.map_err(|TooLarge| StepError {
            statement: self.several.then(|| steps.len() - 1),
            error: ExecuteError::MemoryLimit {
                limit: self.limits.max_bytes,
            },
        })?;
        Ok(Answer {
            columns: self.columns.clone(),
            rows,
        })
    }

    /// The rows as JSON: what is too large is refused before the commit, not after it.
    fn rows(
        &self,
        rows: &[Vec<language::Value>],
        transaction: &Transaction,
    ) -> Result<Vec<Row>, TooLarge> {
        let budget = Budget::new(self.limits.max_bytes);
        let values = Values::new(transaction.snapshot(), &budget);
        let row = |row: &Vec<language::Value>| {
            let names = self.columns.iter().map(|column| column.name.clone());
            let cells = names
                .zip(row)
                .map(|(name, value)| Ok((name, values.json(value)?)));
            cells.collect::<Result<Row, TooLarge>>()
        };
        rows.iter().map(row).collect()
    }
}

fn statements(
    query: Option<String>,
    params: api_types::Parameters,
    statements: Option<Vec<Statement>>,
) -> Result<Vec<Statement>, Error> {
    let refuse = |detail: &str| Err(Error::InvalidRequest(detail.to_owned()));
    match (query, statements) {
        (Some(query), None) => Ok(vec![Statement { query, params }]),
        (None, Some(_)) if !params.is_empty() => {
            refuse("params belongs to query; with statements each has its own params")
        }
        (None, Some(statements)) if statements.is_empty() => refuse("statements is empty"),
        (None, Some(statements)) if statements.len() > MAX_STATEMENTS => {
            let detail = format!(
                "there are {} statements; at most {MAX_STATEMENTS} go into one request",
                statements.len()
            );
            Err(Error::InvalidRequest(detail))
        }
        (None, Some(statements)) => Ok(statements),
        (Some(_), Some(_)) => refuse("there are both query and statements; give one of them"),
        (None, None) => refuse("there is neither query nor statements; give one of them"),
    }
}

fn message(message: Option<String>) -> Result<Option<String>, Error> {
    match message {
        Some(text) if text.len() > MAX_MESSAGE => Err(Error::InvalidRequest(format!(
            "message has {} bytes; at most {MAX_MESSAGE} are kept",
            text.len()
        ))),
        message => Ok(message),
    }
}

fn commit_id(text: &str) -> Result<CommitId, Error> {
    uuid::Uuid::parse_str(text).map(CommitId).map_err(|_| {
        Error::InvalidRequest(format!("if_commit must be a commit id; {text:?} is none"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_one_statement_or_several() {
        let check = |json: serde_json::Value, expected: Result<usize, &str>| {
            let request: MutateRequest = serde_json::from_value(json.clone()).expect("well formed");
            let found = statements(request.query, request.params, request.statements);
            match (found, expected) {
                (Ok(found), Ok(count)) => assert_eq!(found.len(), count, "{json}"),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (found, _) => panic!("{json} gave {found:?}"),
            }
        };
        check(serde_json::json!({"query": "x", "params": {"a": 1}}), Ok(1));
        check(
            serde_json::json!({"statements": [{"query": "x"}, {"query": "y"}]}),
            Ok(2),
        );
        check(serde_json::json!({}), Err("neither"));
        check(
            serde_json::json!({"query": "x", "statements": []}),
            Err("both"),
        );
        check(serde_json::json!({"statements": []}), Err("empty"));
        check(
            serde_json::json!({"statements": [{"query": "x"}], "params": {"a": 1}}),
            Err("each has its own"),
        );
    }
}
