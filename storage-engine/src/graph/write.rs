//! The way in: what is asked of a write, and how the caller waits for it.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::AppendError;
use language::schema::TypeId;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::ahead::Ahead;
use super::commit::{Lead, unpoisoned};
use super::job::{Job, Keep, Typed};
use super::queue::Place;
use crate::aside;
use crate::files::FileError;
use crate::graph::{Graph, Inner};
use crate::record::{ChangeCounts, CommitId, CommitInfo, RecordError};
use crate::transaction::{Transaction, WriteError};

/// Who writes and on what condition.
#[derive(Clone, Debug, Default)]
pub struct WriteRequest {
    /// Who. Writes of different principals take turns.
    pub principal: String,
    /// What the author says of it.
    pub message: Option<String>,
    /// Only when this commit is still the newest.
    pub if_commit: Option<CommitId>,
    /// The HTTP request, for the audit.
    pub request: Option<String>,
    /// The policy decision that allowed it, for the audit.
    pub decision: Option<Uuid>,
    /// A write whose turn has not come by then is answered with [`CommitError::Late`], at that very
    /// time. Needs a runtime with timers.
    pub deadline: Option<Instant>,
    /// About how many bytes of memory it holds while it waits.
    pub bytes: usize,
    /// When nobody else leads, the caller's own thread carries it out, after another has taken over
    /// what else that thread had to do: so nobody waits for a thread to wake. For a caller that is a
    /// task by itself on a runtime of several threads, or of one that others take over from; anywhere
    /// else it has no effect.
    pub in_place: bool,
}

impl WriteRequest {
    /// A write without conditions.
    pub fn by(principal: impl Into<String>) -> Self {
        Self {
            principal: principal.into(),
            ..Self::default()
        }
    }
}

/// Under which a request that is sent again is not carried out again. Of one principal in one graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// As the caller chose it.
    pub key: String,
    /// SHA-256 of everything that is asked: a request with the same key and another digest is
    /// another request.
    pub digest: [u8; 32],
}

/// What a work returns, when the request may be sent again: it is kept as text.
pub trait Answer: Sized {
    /// The text of it, which stands in the commit's record.
    fn keep(&self) -> String;

    /// What the text is of; `None` when it is of nothing.
    fn recall(text: &str) -> Option<Self>;
}

impl Answer for String {
    fn keep(&self) -> String {
        self.clone()
    }

    fn recall(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// A durable commit, and what the work that made it returned.
#[derive(Clone, Debug)]
pub struct Written<R> {
    /// The commit; the one before when nothing changed.
    pub commit: CommitInfo,
    /// How much changed.
    pub counts: ChangeCounts,
    /// What the work returned.
    pub value: R,
    /// It is the answer that an earlier request with this key got; nothing was done now.
    pub repeated: bool,
}

/// Why there was no commit. Nothing changed, except that [`CommitError::Unknown`] cannot tell.
#[derive(Debug, thiserror::Error)]
pub enum CommitError<E: std::error::Error + 'static> {
    /// The work refused.
    #[error(transparent)]
    Work(E),
    /// The changes as a whole are not allowed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Another commit is the newest.
    #[error("the head of the branch is {head}, not {expected}")]
    NotHead {
        /// The commit that the caller named.
        expected: CommitId,
        /// The newest commit.
        head: CommitId,
    },
    /// The key was used for a request that asked something else.
    #[error("the idempotency key was used for another request before")]
    KeyReused,
    /// The answer is too large to be kept for a request that is repeated.
    #[error("the answer has {bytes} bytes; with an idempotency key at most {max} are kept")]
    AnswerTooLarge {
        /// Of the answer.
        bytes: usize,
        /// How many are kept.
        max: usize,
    },
    /// Its turn did not come in time.
    #[error("the write waited for its turn until its time was over")]
    Late,
    /// Too many writes wait, or too many of this principal.
    #[error("{waiting} writes are waiting already")]
    Busy {
        /// How many, of everybody.
        waiting: usize,
        /// When they will have been carried out, as far as can be told.
        retry_after: Duration,
    },
    /// Too much of the log is not in the tables, and folding fails.
    #[error("too much of the log waits to be folded into tables, and folding fails")]
    Unfolded {
        /// When it is tried again.
        retry_after: Duration,
    },
    /// The graph is closed.
    #[error("the graph is closed")]
    Closed,
    /// The work panicked: a defect of Trellis.
    #[error("the write failed on a defect of Trellis")]
    Panicked,
    /// The record cannot be encoded.
    #[error("the commit could not be stored")]
    Record(#[source] Arc<RecordError>),
    /// The commit's side file could not be written.
    #[error("the commit could not be stored")]
    SideFile(#[source] Arc<FileError>),
    /// The log refused before writing.
    #[error("the commit could not be stored")]
    NotWritten(#[source] Arc<AppendError>),
    /// Another process has taken over.
    #[error("another process has taken over the graph and holds it for writing")]
    Superseded,
    /// The log failed while writing: the commit may or may not be there after a restart.
    #[error("it cannot be told whether the commit was stored")]
    Unknown(#[source] Arc<AppendError>),
}

/// What a write does.
pub struct Work<R, E> {
    kind: Kind<R, E>,
    /// The types that it reads or changes, when it may run ahead.
    touched: Option<BTreeSet<TypeId>>,
}

type Once<R, E> = Box<dyn FnOnce(&mut Transaction) -> Result<R, E> + Send>;
type Repeatable<R, E> = Box<dyn FnMut(&mut Transaction) -> Result<R, E> + Send>;

pub(super) enum Kind<R, E> {
    Once(Option<Once<R, E>>),
    Repeatable(Repeatable<R, E>),
}

impl<R, E> std::fmt::Debug for Work<R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work")
            .field("touched", &self.touched)
            .finish_non_exhaustive()
    }
}

impl<R, E> Work<R, E> {
    /// Work that runs once, at its place in the log: everybody behind it waits as long as it takes.
    #[must_use]
    pub fn inside(work: impl FnOnce(&mut Transaction) -> Result<R, E> + Send + 'static) -> Self {
        Self {
            kind: Kind::Once(Some(Box::new(work))),
            touched: None,
        }
    }

    /// Work that is run again where it takes long: within its [budget](Transaction::budget) it runs
    /// at its place in the log, beyond that beside the writes of others, on the newest snapshot; and
    /// again when what it touched has changed until its turn. Of each run but the last nothing is
    /// left. `touched` names every type of which it reads or changes anything; it must not depend on
    /// anything else than the transaction.
    #[must_use]
    pub fn ahead(
        touched: BTreeSet<TypeId>,
        work: impl FnMut(&mut Transaction) -> Result<R, E> + Send + 'static,
    ) -> Self {
        Self {
            kind: Kind::Repeatable(Box::new(work)),
            touched: Some(touched),
        }
    }
}

/// A write that was let in, on the caller's side.
struct Waiting<'a, R, E: std::error::Error + 'static> {
    turn: Turn<'a>,
    answer: oneshot::Receiver<Result<Written<R>, CommitError<E>>>,
    deadline: Option<Instant>,
    /// Nobody leads: the caller is to see to it.
    leads: bool,
    /// And may do so by itself.
    in_place: bool,
}

/// Whether this thread may block, because another goes on with what it has to do.
fn others_take_over() -> bool {
    Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// A place in a line; taken out of it when the caller goes away.
struct Turn<'a> {
    inner: &'a Inner,
    principal: Arc<str>,
    number: u64,
    answered: bool,
}

impl Turn<'_> {
    /// Leaves the line; says whether it was still there, so that nothing is done.
    fn leave(&self) -> bool {
        let entry = unpoisoned(&self.inner.queue).remove(&self.principal, self.number);
        // What it holds goes when the queue is free again.
        entry.is_some()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.leave();
        }
    }
}

impl Graph {
    /// Runs `work` at its place in the log and commits what it changed: [`Self::submit`] of
    /// [`Work::inside`].
    ///
    /// # Errors
    /// [`CommitError`]; nothing changed, unless it is [`CommitError::Unknown`].
    pub async fn write<R, E, F>(
        &self,
        request: WriteRequest,
        work: F,
    ) -> Result<Written<R>, CommitError<E>>
    where
        R: Send + 'static,
        E: std::error::Error + Send + 'static,
        F: FnOnce(&mut Transaction) -> Result<R, E> + Send + 'static,
    {
        self.submit(request, Work::inside(work)).await
    }

    /// Carries out `work` and commits what it changed. Answers when that is durable. When the caller
    /// goes away before its turn, nothing is done; after that, it is carried out.
    ///
    /// # Errors
    /// [`CommitError`]; nothing changed, unless it is [`CommitError::Unknown`].
    pub async fn submit<R, E>(
        &self,
        request: WriteRequest,
        work: Work<R, E>,
    ) -> Result<Written<R>, CommitError<E>>
    where
        R: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let place = self.let_in(&request).await?;
        let waiting = self.enter(place, request, None, work);
        self.wait(waiting).await
    }

    /// As [`Self::submit`], but, with a key, only once for it: a request that comes again gets what
    /// the first was answered, also after a restart, for a day at least (or until very many newer
    /// keys have come). What failed is not remembered, nor what changed nothing and so made no
    /// commit: that runs again. What the work returns is kept with the commit.
    ///
    /// # Errors
    /// [`CommitError`]; nothing changed, unless it is [`CommitError::Unknown`]: then the same request
    /// with the same key tells.
    pub async fn submit_once<R, E>(
        &self,
        request: WriteRequest,
        key: Option<IdempotencyKey>,
        work: Work<R, E>,
    ) -> Result<Written<R>, CommitError<E>>
    where
        R: Answer + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let keep = Keep {
            keep: R::keep,
            recall: R::recall,
        };
        let place = self.let_in(&request).await?;
        let waiting = self.enter(place, request, key.map(|key| (key, keep)), work);
        self.wait(waiting).await
    }

    /// As [`Self::submit`], from a thread that may block: when nobody else leads, it carries out the
    /// write itself, without a change of threads. Not to be called from an async context.
    ///
    /// # Errors
    /// [`CommitError`]; nothing changed, unless it is [`CommitError::Unknown`].
    pub fn submit_blocking<R, E>(
        &self,
        request: WriteRequest,
        work: Work<R, E>,
    ) -> Result<Written<R>, CommitError<E>>
    where
        R: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let place = futures::executor::block_on(self.let_in(&request))?;
        let mut waiting = self.enter(place, request, None, work);
        if waiting.leads
            && let Some(answer) = self.lead_until_answered(&mut waiting)
        {
            return answer;
        }
        let answer = waiting.answer.blocking_recv();
        waiting.turn.answered = true;
        answer.unwrap_or(Err(CommitError::Panicked))
    }

    /// Leads until the write is answered; `None` when it went to a thread beside this one.
    fn lead_until_answered<R, E>(
        &self,
        waiting: &mut Waiting<'_, R, E>,
    ) -> Option<Result<Written<R>, CommitError<E>>>
    where
        E: std::error::Error + Send + 'static,
    {
        let answer = &mut waiting.answer;
        let mut own = None;
        Lead::new(self.inner.clone()).run_until(&mut || {
            own = own.take().or_else(|| answer.try_recv().ok());
            own.is_some()
        });
        waiting.turn.answered = own.is_some();
        own
    }

    /// Room for a write, if there is any.
    pub(super) fn place<E: std::error::Error + 'static>(
        &self,
        request: &WriteRequest,
    ) -> Result<Place, CommitError<E>> {
        let place = self.inner.places.take(&request.principal, request.bytes);
        place.map_err(|waiting| CommitError::Busy {
            waiting,
            retry_after: unpoisoned(&self.inner.queue).retry_after(waiting),
        })
    }

    /// Puts a write in its line.
    fn enter<R, E>(
        &self,
        place: Place,
        request: WriteRequest,
        key: Option<(IdempotencyKey, Keep<R>)>,
        work: Work<R, E>,
    ) -> Waiting<'_, R, E>
    where
        R: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let (key, keep) = key.unzip();
        let typed = Typed {
            work: work.kind,
            keep,
            result: None,
            reply,
        };
        let (principal, deadline) = (place.principal.clone(), request.deadline);
        let in_place = request.in_place;
        let job = Job {
            request,
            key,
            place,
            ahead: work.touched.map(Ahead::new),
            body: Box::new(typed),
        };
        let (number, leads) = unpoisoned(&self.inner.queue).enter(job);
        let turn = Turn {
            inner: &self.inner,
            principal,
            number,
            answered: false,
        };
        Waiting {
            turn,
            answer,
            deadline,
            leads,
            in_place,
        }
    }

    async fn wait<R, E>(&self, mut waiting: Waiting<'_, R, E>) -> Result<Written<R>, CommitError<E>>
    where
        E: std::error::Error + Send + 'static,
    {
        if waiting.leads {
            if waiting.in_place && others_take_over() {
                let lead = || self.lead_until_answered(&mut waiting);
                if let Some(answer) = tokio::task::block_in_place(lead) {
                    return answer;
                }
            } else {
                // A runtime that is shutting down drops it here and now, and it tells those who wait.
                let lead = Lead::new(self.inner.clone());
                aside::in_background(move || lead.run());
            }
        }
        let Waiting {
            mut turn,
            answer,
            deadline,
            ..
        } = waiting;
        let mut answer = pin!(answer);
        if let Some(deadline) = deadline {
            let in_time = tokio::time::timeout_at(deadline.into(), &mut answer).await;
            match in_time {
                Ok(answer) => {
                    turn.answered = true;
                    return answer.unwrap_or(Err(CommitError::Panicked));
                }
                Err(_) if turn.leave() => {
                    turn.answered = true;
                    return Err(CommitError::Late);
                }
                // It is being carried out.
                Err(_) => {}
            }
        }
        let answer = answer.await;
        turn.answered = true;
        answer.unwrap_or(Err(CommitError::Panicked))
    }

    /// Closes the log cleanly. Waiting writes are answered first; later ones find it closed.
    /// Blocks; not to be called from an async context.
    ///
    /// # Errors
    /// When the log's footer cannot be written; the graph opens as after a crash then.
    pub fn close(&self) -> Result<(), journal::Error> {
        let folding = unpoisoned(&self.inner.folding);
        let writer = unpoisoned(&self.inner.writer).take();
        drop(folding);
        if writer.is_some() && Arc::strong_count(&self.inner) > 1 {
            self.inner.keep_tables();
        }
        writer.map_or(Ok(()), |writer| writer.log.close())
    }
}
