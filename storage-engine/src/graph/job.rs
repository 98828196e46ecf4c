//! One write on its way from the caller to the log and back, whatever its work returns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use journal::AppendError;
use tokio::sync::oneshot;

use super::ahead::Ahead;
use super::queue::Place;
use super::write::{CommitError, IdempotencyKey, Kind, WriteRequest, Written};
use crate::answers::MAX_ANSWER;
use crate::files::FileError;
use crate::finish::Finished;
use crate::record::{ChangeCounts, CommitId, CommitInfo, RecordError};
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;

/// A write that is under way.
pub(super) struct Job {
    pub(super) request: WriteRequest,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) place: Place,
    /// How it runs beside the committer, when its work can be run again.
    pub(super) ahead: Option<Ahead>,
    pub(super) body: Box<dyn Body>,
}

/// A failure of a write or of its group.
#[derive(Clone)]
pub(super) enum Failure {
    NotHead { expected: CommitId, head: CommitId },
    KeyReused,
    Late,
    Closed,
    Record(Arc<RecordError>),
    SideFile(Arc<FileError>),
    NotWritten(Arc<AppendError>),
    Superseded,
    Unknown(Arc<AppendError>),
}

/// What a write came to, apart from what its work returned.
#[derive(Clone)]
pub(super) struct Made {
    /// The commit; the one before when nothing changed.
    pub(super) commit: CommitInfo,
    pub(super) counts: ChangeCounts,
    /// It is the answer of an earlier request.
    pub(super) repeated: bool,
}

impl Made {
    /// Nothing was changed, whether or not the work failed.
    pub(super) fn nothing(head: &CommitInfo, counts: ChangeCounts) -> Self {
        Self {
            commit: head.clone(),
            counts,
            repeated: false,
        }
    }
}

/// How a write went.
pub(super) type Outcome = Result<Made, Failure>;

/// How its work went.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is taken apart at once"
)]
pub(super) enum Ran {
    /// Its changes, and what is kept of its answer.
    Finished(Finished, Option<String>),
    /// [`Job::settle`] tells why.
    Failed,
    /// It takes longer than it may take here.
    OverBudget,
}

impl Job {
    /// The caller has gone away.
    pub(super) fn is_abandoned(&self) -> bool {
        self.body.is_abandoned()
    }

    /// It has types for itself, and others wait until it is done.
    pub(super) fn has_reservation(&self) -> bool {
        self.ahead.as_ref().is_some_and(Ahead::has_reservation)
    }

    /// The caller's time is over.
    pub(super) fn is_late(&self) -> bool {
        let deadline = self.request.deadline;
        deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// What can be told without running the work: its time is over, it was answered before, or its
    /// condition does not hold.
    pub(super) fn foregone(&mut self, now: &Snapshot) -> Option<Outcome> {
        if self.is_late() {
            return Some(Err(Failure::Late));
        }
        if let Some(key) = &self.key
            && let Some(kept) = now.answers().get(&self.place.principal, &key.key)
        {
            if kept.digest != key.digest {
                return Some(Err(Failure::KeyReused));
            }
            self.body.recall(&kept.answer);
            return Some(Ok(Made {
                commit: kept.commit.clone(),
                counts: kept.counts,
                repeated: true,
            }));
        }
        let head = now.head().id;
        let expected = self
            .request
            .if_commit
            .filter(|expected| *expected != head)?;
        Some(Err(Failure::NotHead { expected, head }))
    }

    pub(super) fn run(&mut self, transaction: Transaction) -> Ran {
        self.body.run(transaction)
    }

    /// Answers: with what the work returned or failed with, or with what befell its group.
    pub(super) fn settle(self, outcome: Outcome) {
        // Who is answered may come again at once.
        drop(self.place);
        self.body.settle(outcome);
    }
}

/// The part of a write that knows what its work returns.
pub(super) trait Body: Send {
    fn is_abandoned(&self) -> bool;
    fn run(&mut self, transaction: Transaction) -> Ran;
    /// The work returns what was kept.
    fn recall(&mut self, answer: &str);
    fn settle(self: Box<Self>, outcome: Outcome);
}

/// How what a work returns is kept for a request that is repeated.
pub(super) struct Keep<R> {
    pub(super) keep: fn(&R) -> String,
    pub(super) recall: fn(&str) -> Option<R>,
}

pub(super) struct Typed<R, E: std::error::Error + 'static> {
    pub(super) work: Kind<R, E>,
    pub(super) keep: Option<Keep<R>>,
    pub(super) result: Option<Result<R, CommitError<E>>>,
    pub(super) reply: oneshot::Sender<Result<Written<R>, CommitError<E>>>,
}

impl<R, E: std::error::Error + 'static> Typed<R, E> {
    /// The result, with its changes; `None` when it has taken too long.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn attempt(
        &mut self,
        mut transaction: Transaction,
    ) -> Result<Option<(R, Finished, Option<String>)>, CommitError<E>> {
        let value = match &mut self.work {
            Kind::Once(work) => {
                let work = work.take().ok_or(CommitError::Panicked)?;
                work(&mut transaction)
            }
            Kind::Repeatable(work) => work(&mut transaction),
        };
        if transaction.is_over_budget() {
            return Ok(None);
        }
        let value = value.map_err(CommitError::Work)?;
        let answer = self.keep.as_ref().map(|keep| (keep.keep)(&value));
        let bytes = answer.as_ref().map_or(0, String::len);
        if bytes > MAX_ANSWER {
            return Err(CommitError::AnswerTooLarge {
                bytes,
                max: MAX_ANSWER,
            });
        }
        Ok(Some((value, transaction.finish()?, answer)))
    }
}

impl<R: Send, E: std::error::Error + Send + 'static> Body for Typed<R, E> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, transaction: Transaction) -> Ran {
        // What an earlier run returned may hold much, and nobody sees it.
        self.result = None;
        // The transaction is dropped when the work panics, so no broken state is seen again.
        let ran = catch_unwind(AssertUnwindSafe(|| self.attempt(transaction)));
        let (result, ran) = match ran.unwrap_or(Err(CommitError::Panicked)) {
            Ok(Some((value, finished, answer))) => {
                (Some(Ok(value)), Ran::Finished(finished, answer))
            }
            Ok(None) => (None, Ran::OverBudget),
            Err(error) => (Some(Err(error)), Ran::Failed),
        };
        self.result = result;
        ran
    }

    fn recall(&mut self, answer: &str) {
        let value = self.keep.as_ref().and_then(|keep| (keep.recall)(answer));
        self.result = value.map(Ok);
    }

    fn settle(self: Box<Self>, outcome: Outcome) {
        let Self { result, reply, .. } = *self;
        let answer = outcome.map_err(Into::into).and_then(|made| {
            let value = result.unwrap_or(Err(CommitError::Panicked))?;
            Ok(Written {
                commit: made.commit,
                counts: made.counts,
                value,
                repeated: made.repeated,
            })
        });
        // A caller that has gone away does not need it.
        let _ = reply.send(answer);
    }
}

impl<E: std::error::Error + 'static> From<Failure> for CommitError<E> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotHead { expected, head } => Self::NotHead { expected, head },
            Failure::KeyReused => Self::KeyReused,
            Failure::Late => Self::Late,
            Failure::Closed => Self::Closed,
            Failure::Record(error) => Self::Record(error),
            Failure::SideFile(error) => Self::SideFile(error),
            Failure::NotWritten(error) => Self::NotWritten(error),
            Failure::Superseded => Self::Superseded,
            Failure::Unknown(error) => Self::Unknown(error),
        }
    }
}
