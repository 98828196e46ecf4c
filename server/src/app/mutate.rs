//! Writing statements, all in one commit.
//!
//! They are compiled on the newest snapshot and decided before anything runs; then they run one
//! after the other at their place in the log, each on what those before it left.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use api_types::{ChangeStats, Commit, MutateRequest, Statement};
use language::Diagnostic;
use language::plan::Plan;
use language::schema::TypeId;
use policy::{Action, Authorized, Permit};
use registry::Writer;
use storage_engine::executor::{self, ExecuteError, Limits, Parameters};
use storage_engine::{CommitId, IdempotencyKey, Transaction, Work, WriteRequest};

use super::memory::{LITTLE, Purse};
use super::returned::Returned;
use super::values::TooLarge;
use super::{Answered, App, Error, Key, Origin, Target, aside, outcome, plans, statement};

/// The most statements in one request.
const MAX_STATEMENTS: usize = 1000;
/// The most statements that are compiled on the thread that read the request.
const FEW_STATEMENTS: usize = 4;
/// The longest message, in bytes.
const MAX_MESSAGE: usize = 4096;

/// A statement ready to run.
struct Step {
    /// Errors say where in it.
    text: String,
    plan: Arc<Plan>,
    parameters: Parameters,
}

/// What is to be written, and where.
struct Prepared {
    writer: Writer,
    steps: Authorized<Vec<Step>>,
    /// The last statement, whose rows are the answer.
    last: Option<Arc<plans::Prepared>>,
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) commit: Commit,
    pub(crate) stats: ChangeStats,
    pub(crate) returned: Returned,
}

/// Why the statements stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// One of them failed.
    #[error("{}", super::error::in_statement(*.statement, "failed"))]
    Failed {
        /// Which of several, from 0.
        statement: Option<usize>,
        /// What happened.
        #[source]
        error: Box<ExecuteError>,
        /// Where in the statement's text.
        place: Option<Box<Diagnostic>>,
    },
    /// Their answer is more than is left now for the principal.
    #[error("there is no memory now for what the statements return")]
    TooMuchHeld,
}

pub(crate) async fn run(
    app: &Arc<App>,
    origin: Origin,
    graph_id: String,
    request: MutateRequest,
) -> Result<Answered<Done>, Error> {
    let target = Target::branch(&graph_id, request.branch.as_deref());
    let permit = app.permit_graph(&origin.principal, Action::Mutate, target)?;
    target.check_branch()?;
    app.refuse_when_stopping()?;
    let purse = app.purse(permit.principal());
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
        last: prepared.last,
        limits,
        purse,
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
                text: query,
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
        Ok(Prepared {
            writer: self.writer,
            steps,
            last: compiled.pop(),
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
    /// The last.
    last: Option<Arc<plans::Prepared>>,
    limits: Limits,
    /// What they return is held in it.
    purse: Purse,
}

impl Carrying {
    /// Writes what was decided, once for each key.
    async fn write(
        mut self,
        writer: &Writer,
        steps: Authorized<Vec<Step>>,
        write: WriteRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<Answered<Done>, Error> {
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
            body: Done {
                commit: outcome::commit(&written.commit),
                stats: outcome::changes(&written.counts),
                returned: written.value,
            },
        })
    }

    /// Runs the statements; the rows are those of the last.
    fn carry_out(
        &self,
        steps: &[Step],
        transaction: &mut Transaction,
    ) -> Result<Returned, StepError> {
        let mut last = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let Step {
                text,
                plan,
                parameters,
            } = step;
            last.clear();
            let mut keep = |values: &[language::Value]| {
                last.push(values.to_vec());
                ControlFlow::Continue(())
            };
            executor::write(plan, parameters, transaction, &self.limits, &mut keep).map_err(
                |error| StepError::Failed {
                    statement: self.several.then_some(index),
                    place: super::error::place(text, &error),
                    error: Box::new(error),
                },
            )?;
        }
        self.returned(&last, transaction, steps.len())
    }

    /// The rows as JSON: what is too large is refused before the commit, not after it. Where others wait
    /// behind it, that is what is not short: it is made when it runs beside them.
    fn returned(
        &self,
        rows: &[Vec<language::Value>],
        transaction: &mut Transaction,
        statements: usize,
    ) -> Result<Returned, StepError> {
        let limit = self.limits.max_bytes;
        let max_bytes = match transaction.budget() {
            Some(_) => limit.min(LITTLE),
            None => limit,
        };
        let last = self.last.as_deref();
        match Returned::new(last, rows, transaction.snapshot(), max_bytes) {
            Ok(returned) => returned.held(&self.purse).ok_or(StepError::TooMuchHeld),
            Err(TooLarge) => {
                transaction.end_over_budget();
                Err(StepError::Failed {
                    statement: self.several.then(|| statements - 1),
                    error: Box::new(ExecuteError::MemoryLimit { limit }),
                    place: None,
                })
            }
        }
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
    use registry::{Options, Registry};

    use super::*;
    use crate::app::{Credential, Shares, graphs};

    /// A server of one graph, `g`, and who may do everything there.
    async fn serving(folder: &std::path::Path) -> (Arc<App>, Arc<policy::Principal>) {
        let config = folder.join("trellis.yaml");
        std::fs::write(&config, "version: 1\nserver:\n  storage: data\n").expect("written");
        let registry = Registry::open(&config, Options::default()).expect("sound");
        let read = registry.snapshot().config.clone();
        let access = crate::access::access((&*read).into(), registry.file(), true);
        let limits = crate::app::Limits {
            json_body_bytes: 1 << 20,
            load_body_bytes: 1 << 20,
            query_timeout_ms: 10_000,
            max_rows: 1_000,
            query_memory_bytes: 1 << 24,
            shares: Shares {
                per_principal: 2,
                per_graph: 4,
            },
            connections: 10,
        };
        let app = App::new(registry, access.expect("sound").0, limits);
        let principal = app.authenticate(Credential::Missing).expect("anybody");
        let schema = serde_json::json!({"source": "node A { k: String @key }"});
        let request = serde_json::json!({"graph_id": "g", "schema": schema});
        let request = serde_json::from_value(request).expect("a request");
        let made = graphs::create::run(&app, &principal, None, request).await;
        made.expect("made");
        (app, principal)
    }

    /// Returns a text: of each run whether it was at its place in the log, and whether it had an answer.
    async fn runs(
        app: &Arc<App>,
        principal: &Arc<policy::Principal>,
        text: &str,
    ) -> Vec<(bool, bool)> {
        let target = Target::branch("g", None);
        let permit = app.permit_graph(principal, Action::Mutate, target);
        let statement = serde_json::json!({"query": "RETURN $text AS t", "params": {"text": text}});
        let texts = Texts {
            statements: vec![serde_json::from_value(statement).expect("a statement")],
            several: false,
            is_little: false,
        };
        let limits = Limits::default();
        let prepared = prepared(app, permit.expect("everything"), texts, &limits).await;
        let prepared = prepared.expect("compiles");
        let carrying = Carrying {
            touched: BTreeSet::new(),
            several: false,
            last: prepared.last,
            limits,
            purse: app.purse(principal),
        };
        let (told, runs) = std::sync::mpsc::sync_channel(16);
        let work = |steps: Authorized<Vec<Step>>| {
            Work::ahead(BTreeSet::new(), move |transaction| {
                let inside = transaction.budget().is_some();
                let returned = carrying.carry_out(steps.plan(), transaction);
                told.send((inside, returned.is_ok())).expect("awaited");
                returned
            })
        };
        let writer = prepared.writer;
        let written = writer.submit(prepared.steps, WriteRequest::default(), None, work);
        let json = written.await.expect("written").value.ended(|_| ());
        assert!(json.len() > text.len(), "{}", json.len());
        runs.try_iter().collect()
    }

    #[tokio::test]
    async fn a_long_answer_is_not_made_where_others_wait() {
        let folder = tempfile::tempdir().expect("a folder");
        let (app, principal) = serving(folder.path()).await;
        let short = runs(&app, &principal, "short").await;
        assert_eq!(short, [(true, true)]);
        // With many escapes: its JSON alone is long.
        let long = "\n".repeat(LITTLE * 3 / 4);
        for long in [long.clone(), long.repeat(2)] {
            let long = runs(&app, &principal, &long).await;
            assert_eq!(long, [(true, false), (false, true)]);
        }
    }

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
