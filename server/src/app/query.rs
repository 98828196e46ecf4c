//! A reading statement: compiled and decided on one snapshot, its rows handed on as they are found.
//!
//! A point read is done here and now, on the thread that read the request, when its graph is open
//! already: it takes microseconds, and changing threads twice takes longer. One that turns out to be
//! long is begun again like every other statement (nothing has been answered yet, and reading leaves
//! no trace): on a blocking thread, which writes rows into chunks. Until the first chunk is full, or
//! the end, nothing has been answered, so that an error gets its own status.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use api_types::{Column, Commit, QueryRequest, QueryStats};
use bytes::Bytes;
use language::Value;
use language::cypher::{self, Mode};
use policy::{Action, Permit, Principal};
use registry::Reader;
use storage_engine::executor::{ExecuteError, Limits, Parameters};
use storage_engine::{At, Snapshot};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use super::admission::Slot;
use super::plans::Prepared;
use super::rows::{Layout, RowWriter};
use super::statement::Decided;
use super::stream::{self, Closed, Outlet, PIECE, Pieces};
use super::values::{Budget, Values};
use super::{App, Error, Target, explain, outcome, past, statement};

/// How long a statement may keep the thread that read its request.
const AT_ONCE_TIME: Duration = Duration::from_millis(1);
/// The same when another thread answers the others meanwhile.
const IN_PLACE_TIME: Duration = Duration::from_millis(4);
/// Bytes that it may hold in either case.
const AT_ONCE_BYTES: usize = 1 << 20;

/// An answer that has begun. Dropping it stops the statement.
pub(crate) struct Answer {
    pub(crate) columns: Arc<[Column]>,
    pub(crate) commit: Commit,
    pub(crate) rows: Rows,
}

/// Rows in the layout that was asked for, and how it went.
pub(crate) enum Rows {
    /// All of them.
    Whole(Bytes, QueryStats),
    /// As they are found, and at the end how it went.
    Pieces(Pieces<QueryStats>),
}

/// What an answer begins with.
type Head = (Arc<[Column]>, Commit);

pub(crate) async fn run(
    app: &Arc<App>,
    principal: &Arc<Principal>,
    graph_id: String,
    request: QueryRequest,
    layout: Layout,
) -> Result<Answer, Error> {
    let (mode, text) = cypher::mode(&request.query);
    if mode != Mode::Run {
        return explain::as_rows(app, principal, graph_id, request, layout).await;
    }
    let start = Instant::now();
    let target = Target::branch(&graph_id, request.branch.as_deref());
    let permit = app.permit_graph(principal, Action::Query, target)?;
    target.check_branch()?;
    let at = past(request.at.as_deref())?;
    statement::refuse_zero("timeout_ms", request.timeout_ms)?;
    statement::refuse_zero("max_rows", request.max_rows)?;
    let work = Work {
        app: app.clone(),
        permit: Arc::new(permit),
        at,
        text: text.into_owned(),
        parameters: statement::parameters_soon(request.params).await?,
        layout,
        start,
        deadline: statement::deadline(&app.limits(), request.timeout_ms),
        max_rows: statement::max_rows(&app.limits(), request.max_rows),
    };
    let reached = work.reach_at_once()?;
    if let Some(reached) = &reached {
        let answer = match work.answer_at_once(reached)? {
            None => work.answer_in_place(reached)?,
            answer => answer,
        };
        if let Some(answer) = answer {
            return Ok(answer);
        }
    }
    work.answer_elsewhere(reached).await
}

/// The statement's side of an answer.
struct Output {
    /// Until the answer has begun.
    head: Option<oneshot::Sender<Result<Head, Error>>>,
    outlet: Outlet<QueryStats>,
}

impl Output {
    fn begin(&mut self, columns: &Arc<[Column]>, commit: &Commit) {
        if let Some(head) = self.head.take() {
            // A caller that has gone away is noticed by its flag.
            let _ = head.send(Ok((Arc::clone(columns), commit.clone())));
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

/// One request for a statement's rows.
struct Work {
    app: Arc<App>,
    permit: Arc<Permit>,
    /// `None` for the newest commit.
    at: Option<At>,
    text: String,
    parameters: Parameters,
    layout: Layout,
    start: Instant,
    deadline: Instant,
    max_rows: usize,
}

/// A snapshot, and the statement compiled and decided on it.
struct Reached {
    reader: Reader,
    statement: Arc<Prepared>,
    plan: Decided,
}

impl Reached {
    /// With what it needs in memory.
    fn prepared(self) -> Result<Self, Error> {
        let reader = self.reader.prepared(&self.plan).map_err(Error::of_query)?;
        Ok(Self { reader, ..self })
    }
}

impl Work {
    /// The statement compiled and decided, when that is done without blocking.
    fn reach_at_once(&self) -> Result<Option<Reached>, Error> {
        if self.at.is_some() {
            return Ok(None);
        }
        let Some(reader) = self.app.registry.reader_at_once(&self.permit)? else {
            return Ok(None);
        };
        let known = self.app.plans.known(&self.text, reader.schema());
        if known.is_none() && !statement::is_cheap(&self.text, reader.schema()) {
            return Ok(None);
        }
        let statement = match known {
            Some(known) => known,
            None => self.app.plans.prepare(&self.text, reader.schema(), None)?,
        };
        if statement.touches().nth(statement::FEW_TYPES).is_some() {
            return Ok(None);
        }
        self.decide(reader, statement).map(Some)
    }

    /// The same, however long it takes.
    fn reach(&self, limits: &Limits) -> Result<Reached, Error> {
        let reader = self.app.reader_at(&self.permit, self.at, &limits.into())?;
        let statement = self.app.plans.prepare(&self.text, reader.schema(), None)?;
        self.decide(reader, statement)
    }

    fn decide(&self, reader: Reader, statement: Arc<Prepared>) -> Result<Reached, Error> {
        if statement.plan.writes() {
            return Err(Error::WriteInReadQuery);
        }
        let plan = statement.decide(&self.app, &self.permit)?;
        Ok(Reached {
            reader,
            statement,
            plan,
        })
    }

    /// The whole answer, when it is made in next to no time.
    fn answer_at_once(&self, reached: &Reached) -> Result<Option<Answer>, Error> {
        if !reached.statement.is_quick() || !self.is_ready(reached) {
            return Ok(None);
        }
        self.answer_within(AT_ONCE_TIME, reached)
    }

    /// The whole answer, when the statement took little the last time and nobody else's runs: before another
    /// thread has woken for it, it is done. The others are answered by another meanwhile.
    fn answer_in_place(&self, reached: &Reached) -> Result<Option<Answer>, Error> {
        if !others_take_over() || !reached.statement.is_brief() || !self.is_ready(reached) {
            return Ok(None);
        }
        let Some(_slot) = self.app.turn_alone(&self.permit) else {
            return Ok(None);
        };
        tokio::task::block_in_place(|| {
            storage_engine::aside::politely(|| self.answer_within(IN_PLACE_TIME, reached))
        })
    }

    /// Whether nothing has to be read or made before it runs.
    fn is_ready(&self, reached: &Reached) -> bool {
        statement::are_small(&self.parameters) && reached.reader.is_warm(&reached.plan)
    }

    /// The whole answer, if it is small and made in so much time.
    fn answer_within(&self, time: Duration, reached: &Reached) -> Result<Option<Answer>, Error> {
        let soon = Instant::now() + time;
        let limits = Limits {
            deadline: Some(self.deadline.min(soon)),
            max_rows: Some(self.max_rows),
            max_bytes: self.max_bytes().min(AT_ONCE_BYTES),
            // It is over before anybody could take it back.
            cancelled: Arc::new(AtomicBool::new(false)),
            ..Limits::default()
        };
        let mut rows = self.rows(reached)?;
        let mut pushed = Ok(());
        let mut is_long = false;
        let executed = reached.reader.query(
            &reached.plan,
            &self.parameters,
            &limits,
            &mut |snapshot, values| {
                pushed = push(&mut rows, snapshot, values, limits.max_bytes);
                is_long = rows.held_bytes() > PIECE;
                match pushed {
                    Ok(()) if !is_long => ControlFlow::Continue(()),
                    _ => ControlFlow::Break(()),
                }
            },
        );
        match (
            pushed,
            executed.map_err(|error| Error::of_query_in(&self.text, error)),
        ) {
            (Err(Error::ResultTooLarge { .. }), _)
            | (_, Err(Error::Execute(ExecuteError::Deadline | ExecuteError::MemoryLimit { .. }))) =>
            {
                is_long = true;
            }
            (Err(error), _) | (Ok(()), Err(error)) => return Err(error),
            (Ok(()), Ok(())) => {}
        }
        if is_long {
            reached.statement.was_long();
            return Ok(None);
        }
        let stats = self.stats(rows.count());
        Ok(Some(Answer {
            columns: Arc::clone(&reached.statement.columns),
            commit: outcome::commit(reached.reader.head()),
            rows: Rows::Whole(rows.finish()?, stats),
        }))
    }

    /// A place among the queries that run; a wait for it counts as the query's own time.
    async fn slot(&self) -> Result<Slot, Error> {
        self.app.turn(&self.permit, self.deadline).await
    }

    /// An answer that is made on a blocking thread.
    async fn answer_elsewhere(self, reached: Option<Reached>) -> Result<Answer, Error> {
        let slot = self.slot().await?;
        let (cancelled, cancel) = self.app.running.begin();
        let limits = Limits {
            deadline: Some(self.deadline),
            max_rows: Some(self.max_rows),
            max_bytes: self.max_bytes(),
            cancelled: cancelled.clone(),
            ..Limits::default()
        };
        let (head, begun) = oneshot::channel();
        let (outlet, rows) = stream::channel(
            cancelled,
            cancel,
            slot,
            self.app.purse(self.permit.principal()),
        );
        let span = tracing::Span::current();
        storage_engine::aside::run(move || {
            span.in_scope(|| {
                let mut output = Output {
                    head: Some(head),
                    outlet,
                };
                let reached = reached.map_or_else(|| self.reach(&limits), Ok);
                let reached = reached.and_then(Reached::prepared);
                let ran = reached.and_then(|reached| {
                    let begun = Instant::now();
                    let ran = self.run(&reached, &limits, &mut output);
                    reached.statement.took(begun.elapsed());
                    ran
                });
                output.finish(ran.map(|rows| self.stats(rows)), self.deadline);
            });
        });
        // The sender is dropped without a word only by a panic.
        let (columns, commit) = begun.await.unwrap_or(Err(Error::BrokenOff))?;
        Ok(Answer {
            columns,
            commit,
            rows: Rows::Pieces(rows),
        })
    }

    /// Returns how many rows there were.
    fn run(&self, reached: &Reached, limits: &Limits, output: &mut Output) -> Result<u64, Error> {
        let columns = &reached.statement.columns;
        let commit = outcome::commit(reached.reader.head());
        let mut rows = self.rows(reached)?;
        let mut pushed = Ok(());
        let executed = reached.reader.query(
            &reached.plan,
            &self.parameters,
            limits,
            &mut |snapshot, values| {
                pushed = push(&mut rows, snapshot, values, limits.max_bytes).and_then(|()| {
                    if rows.made_bytes() < PIECE {
                        return Ok(());
                    }
                    output.begin(columns, &commit);
                    self.send(rows.take(), output)
                });
                match pushed {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            },
        );
        pushed?;
        executed.map_err(|error| self.failed(Error::of_query_in(&self.text, error)))?;
        let count = rows.count();
        let rest = rows.finish()?;
        output.begin(columns, &commit);
        self.send(rest, output)?;
        Ok(count)
    }

    fn rows<'a>(&self, reached: &'a Reached) -> Result<RowWriter<'a>, Error> {
        let Prepared { labels, plan, .. } = &*reached.statement;
        RowWriter::new(self.layout, labels, &plan.columns, reached.reader.head())
    }

    fn stats(&self, rows: u64) -> QueryStats {
        let elapsed_ms = self.start.elapsed().as_secs_f64() * 1000.0;
        QueryStats { rows, elapsed_ms }
    }

    fn max_bytes(&self) -> usize {
        usize::try_from(self.app.limits().query_memory_bytes).unwrap_or(usize::MAX)
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

/// Whether this thread may block, because another goes on with what it has to do.
fn others_take_over() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread
}

/// Writes a row of `snapshot`, of `max_bytes` at most.
fn push(
    rows: &mut RowWriter<'_>,
    snapshot: &Snapshot,
    values: &[Value],
    max_bytes: usize,
) -> Result<(), Error> {
    let budget = Budget::new(max_bytes);
    let json = Values::new(snapshot, &budget);
    rows.push(values, max_bytes, |value| json.json(value))
}
