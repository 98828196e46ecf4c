//! The one way in: writes queue, are checked in order, share one durable write.
//!
//! Of the callers that wait, one leads: on a blocking thread it takes the whole queue, runs each
//! write on the state that the writes before it leave, appends all their records as one frame of
//! the log, publishes the snapshot, and only then answers. A write runs alone at its place in the
//! log, so its effect is serializable by construction. One that fails leaves nothing: its working
//! snapshot is dropped.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{AppendError, Journal};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::clock;
use crate::files::{self, FileError};
use crate::graph::{Graph, Inner, LOCAL_EPOCH, Published};
use crate::record::{
    Body, ChangeCounts, Changes, CommitId, CommitInfo, Encoding, Header, Record, RecordError,
    SideFile,
};
use crate::snapshot::Snapshot;
use crate::transaction::{Finished, Transaction, WriteError};

/// Bodies above this many bytes go to a side file.
const INLINE_BYTES: usize = 1 << 20;

/// How many writes share one durable write at most.
const GROUP: usize = 256;

/// Who writes and on what condition.
#[derive(Clone, Debug, Default)]
pub struct WriteRequest {
    /// Who.
    pub principal: String,
    /// What the author says of it.
    pub message: Option<String>,
    /// Only when this commit is still the newest.
    pub if_commit: Option<CommitId>,
    /// The HTTP request, for the audit.
    pub request: Option<String>,
    /// The policy decision that allowed it, for the audit.
    pub decision: Option<Uuid>,
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

/// A durable commit, and what the work that made it returned.
#[derive(Clone, Debug)]
pub struct Written<R> {
    /// The commit; the one before when nothing changed.
    pub commit: CommitInfo,
    /// How much changed.
    pub counts: ChangeCounts,
    /// What the work returned.
    pub value: R,
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
    /// Too many writes wait.
    #[error("{waiting} writes are waiting already")]
    Busy {
        /// How many.
        waiting: usize,
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
    /// The log failed while writing: the commit may or may not be there after a restart.
    #[error("it cannot be told whether the commit was stored")]
    Unknown(#[source] Arc<AppendError>),
}

/// The log, held by whoever leads.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) log: Journal,
}

/// Writes that wait.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Box<dyn Job>>,
    /// Someone takes from the queue until it is empty.
    led: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

/// A failure of the group, told to each of its members.
#[derive(Clone)]
enum Failure {
    NotHead { expected: CommitId, head: CommitId },
    Closed,
    Record(Arc<RecordError>),
    SideFile(Arc<FileError>),
    NotWritten(Arc<AppendError>),
    Unknown(Arc<AppendError>),
}

/// One waiting write, whatever it returns.
trait Job: Send {
    fn request(&self) -> &WriteRequest;
    /// The caller has gone away.
    fn abandoned(&self) -> bool;
    /// Runs the work; `None` when it failed, which is answered at once.
    fn run(&mut self, transaction: Transaction) -> Option<Finished>;
    fn settle(self: Box<Self>, outcome: Result<(CommitInfo, ChangeCounts), Failure>);
}

struct Write<R, E: std::error::Error + 'static, F> {
    request: WriteRequest,
    work: Option<F>,
    value: Option<R>,
    reply: Option<oneshot::Sender<Result<Written<R>, CommitError<E>>>>,
}

impl Graph {
    /// Runs `work` on the newest state and commits what it changed. Answers when that is durable.
    /// When the caller goes away before its turn, nothing is done; after that, it is carried out.
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
        let (reply, answer) = oneshot::channel();
        let job = Write {
            request,
            work: Some(work),
            value: None,
            reply: Some(reply),
        };
        {
            let mut queue = unpoisoned(&self.inner.queue);
            if queue.waiting.len() >= self.inner.options.queue {
                return Err(CommitError::Busy {
                    waiting: queue.waiting.len(),
                });
            }
            queue.waiting.push_back(Box::new(job));
            if !queue.led {
                queue.led = true;
                let inner = self.inner.clone();
                tokio::task::spawn_blocking(move || inner.lead());
            }
        }
        answer.await.unwrap_or(Err(CommitError::Closed))
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
        writer.map_or(Ok(()), |writer| writer.log.close())
    }
}

impl Inner {
    /// Takes from the queue until it is empty.
    fn lead(self: &Arc<Self>) {
        loop {
            let mut writer = unpoisoned(&self.writer);
            let group: Vec<_> = {
                let mut queue = unpoisoned(&self.queue);
                if queue.waiting.is_empty() {
                    queue.led = false;
                    break;
                }
                let count = queue.waiting.len().min(GROUP);
                queue.waiting.drain(..count).collect()
            };
            match writer.as_mut() {
                Some(writer) => self.commit(writer, group),
                None => group
                    .into_iter()
                    .for_each(|job| job.settle(Err(Failure::Closed))),
            }
            drop(writer);
            self.plan_fold();
        }
    }

    /// Carries out a group of writes.
    fn commit(&self, writer: &mut Writer, group: Vec<Box<dyn Job>>) {
        let published = self.published.load_full();
        let mut working = published.snapshot.as_ref().clone();
        let mut entries = Vec::with_capacity(group.len());
        let mut members = Vec::with_capacity(group.len());
        for mut job in group.into_iter().filter(|job| !job.abandoned()) {
            let head = working.head().id;
            if let Some(expected) = job.request().if_commit.filter(|expected| *expected != head) {
                job.settle(Err(Failure::NotHead { expected, head }));
                continue;
            }
            let lsn = writer.log.last_lsn().0 + 1 + entries.len() as u64;
            let run = Uuid::now_v7();
            let transaction = Transaction::new(working.clone(), lsn, run);
            let Some(finished) = job.run(transaction) else {
                continue;
            };
            if finished.counts.is_empty() && finished.changes.rows.is_empty() {
                members.push((job, working.head().clone(), finished.counts));
                continue;
            }
            let header = header(&working, lsn, run, job.request(), &finished);
            let (counts, info) = (finished.counts, header.info());
            match self.encode(header, finished.changes) {
                Ok(entry) => entries.push(entry),
                Err(failure) => {
                    job.settle(Err(failure));
                    continue;
                }
            }
            working = finished.snapshot;
            working.advance(info.clone(), lsn);
            members.push((job, info, counts));
        }
        match self.append(writer, &entries, working, &published) {
            Ok(()) => {
                members
                    .into_iter()
                    .for_each(|(job, info, counts)| job.settle(Ok((info, counts))));
            }
            Err(failure) => {
                members
                    .into_iter()
                    .for_each(|(job, ..)| job.settle(Err(failure.clone())));
            }
        }
    }

    /// Makes a group durable, then visible.
    fn append(
        &self,
        writer: &mut Writer,
        entries: &[Vec<u8>],
        working: Snapshot,
        before: &Published,
    ) -> Result<(), Failure> {
        if entries.is_empty() {
            return Ok(());
        }
        let appended = writer.log.append(entries).map_err(|error| {
            let error = Arc::new(error);
            match *error {
                AppendError::Unknown(_) => Failure::Unknown(error),
                _ => Failure::NotWritten(error),
            }
        })?;
        self.log_bytes.fetch_add(appended.bytes, Ordering::Relaxed);
        self.published.store(Arc::new(Published {
            snapshot: Arc::new(working),
            digest: appended.digest,
            tail_bytes: before.tail_bytes + appended.bytes,
        }));
        Ok(())
    }

    /// The log entry of a commit; a large body is stored beside the log first.
    fn encode(&self, header: Header, changes: Changes) -> Result<Vec<u8>, Failure> {
        let record = |error| Failure::Record(Arc::new(error));
        let bytes = changes.encode().map_err(record)?;
        let body = if bytes.len() <= INLINE_BYTES {
            Body::Inline(changes)
        } else {
            let name = format!("{}.changes", Uuid::new_v4().simple());
            files::write_durably(&self.files().join(&name), &[&bytes])
                .map_err(|error| Failure::SideFile(Arc::new(error)))?;
            Body::File(SideFile {
                name,
                bytes: bytes.len() as u64,
                digest: Sha256::digest(&bytes).into(),
                encoding: Encoding::Changes,
                rows: changes.rows.len() as u64,
            })
        };
        Record::Commit(header, body).encode().map_err(record)
    }
}

fn header(
    before: &Snapshot,
    lsn: u64,
    run: Uuid,
    request: &WriteRequest,
    finished: &Finished,
) -> Header {
    let head = before.head();
    Header {
        lsn,
        branch: 0,
        sequence: head.sequence + 1,
        previous_lsn: before.lsn(),
        epoch: LOCAL_EPOCH,
        id: CommitId(Uuid::now_v7()),
        parents: vec![head.id],
        time_micros: clock::now_micros().max(head.time_micros + 1),
        principal: request.principal.clone(),
        run,
        message: request.message.clone(),
        request: request.request.clone(),
        decision: request.decision,
        idempotency: None,
        schema_version: before.schema().version,
        counts: finished.counts,
        next_ids: finished.next_ids.clone(),
    }
}

impl<R, E, F> Job for Write<R, E, F>
where
    R: Send,
    E: std::error::Error + Send + 'static,
    F: FnOnce(&mut Transaction) -> Result<R, E> + Send,
{
    fn request(&self) -> &WriteRequest {
        &self.request
    }

    fn abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn run(&mut self, mut transaction: Transaction) -> Option<Finished> {
        let work = self.work.take()?;
        // The transaction is dropped when the work panics, so no broken state is seen again.
        let outcome = catch_unwind(AssertUnwindSafe(|| match work(&mut transaction) {
            Ok(value) => Ok((value, transaction.finish()?)),
            Err(error) => Err(CommitError::Work(error)),
        }));
        match outcome.unwrap_or(Err(CommitError::Panicked)) {
            Ok((value, finished)) => {
                self.value = Some(value);
                Some(finished)
            }
            Err(error) => {
                self.answer(Err(error));
                None
            }
        }
    }

    fn settle(mut self: Box<Self>, outcome: Result<(CommitInfo, ChangeCounts), Failure>) {
        let value = self.value.take();
        let answer = match (outcome, value) {
            (Ok((commit, counts)), Some(value)) => Ok(Written {
                commit,
                counts,
                value,
            }),
            (Ok(_), None) => Err(CommitError::Panicked),
            (Err(failure), _) => Err(failure.into()),
        };
        self.answer(answer);
    }
}

impl<R, E: std::error::Error + 'static, F> Write<R, E, F> {
    fn answer(&mut self, answer: Result<Written<R>, CommitError<E>>) {
        if let Some(reply) = self.reply.take() {
            // A caller that has gone away does not need it.
            let _ = reply.send(answer);
        }
    }
}

impl<E: std::error::Error + 'static> From<Failure> for CommitError<E> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotHead { expected, head } => Self::NotHead { expected, head },
            Failure::Closed => Self::Closed,
            Failure::Record(error) => Self::Record(error),
            Failure::SideFile(error) => Self::SideFile(error),
            Failure::NotWritten(error) => Self::NotWritten(error),
            Failure::Unknown(error) => Self::Unknown(error),
        }
    }
}

/// State behind these locks is replaced whole, so that a panic cannot leave it half changed.
pub(super) fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
