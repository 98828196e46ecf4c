//! The one way in: writes queue, are checked in order, share one durable write.
//!
//! Of the callers that wait, one leads: on a blocking thread it takes the whole queue, runs each
//! write on the state that the writes before it leave, appends all their records as one frame of
//! the log, publishes the snapshot, and only then answers. A write runs alone at its place in the
//! log, so its effect is serializable by construction. One that fails leaves nothing: its working
//! snapshot is dropped. Its answer waits with the others all the same: what it failed on may be
//! the work of a neighbour that is not durable yet.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use journal::{AppendError, Journal};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::clock;
use crate::files::FileError;
use crate::finish::Finished;
use crate::graph::{Graph, Inner, LOCAL_EPOCH, Published};
use crate::record::{
    Body, ChangeCounts, Changes, CommitId, CommitInfo, Encoding, Header, Record, RecordError,
    SideFile,
};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::transaction::{Transaction, WriteError};

/// Bodies above this many bytes go to a side file.
const INLINE_BYTES: usize = 1 << 20;

/// How many writes share one durable write at most.
const GROUP: usize = 256;

/// A group that has this many bytes takes no more: well below what one frame of the log holds, so
/// that writes which fit alone never fail together.
const GROUP_BYTES: usize = 16 << 20;

/// A group whose first write has waited for this long takes no more, so that a quick write does not
/// wait for all the slow ones behind it.
const GROUP_TIME: Duration = Duration::from_millis(10);

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

/// How a write went, apart from what its work returned.
type Outcome = Result<(CommitInfo, ChangeCounts), Failure>;

/// One waiting write, whatever it returns.
trait Job: Send {
    fn request(&self) -> &WriteRequest;
    /// The caller has gone away.
    fn abandoned(&self) -> bool;
    /// Runs the work; `None` when it failed, which [`Self::settle`] then tells.
    fn run(&mut self, transaction: Transaction) -> Option<Finished>;
    /// Answers: with what the work returned or failed with, or with what befell its group.
    fn settle(self: Box<Self>, outcome: Outcome);
}

struct Write<R, E: std::error::Error + 'static, F> {
    request: WriteRequest,
    work: Option<F>,
    result: Option<Result<R, CommitError<E>>>,
    reply: Option<oneshot::Sender<Result<Written<R>, CommitError<E>>>>,
}

/// Writes that become durable together.
struct Group {
    /// When its first entry was ready.
    started: Option<Instant>,
    /// The state that they leave.
    working: Snapshot,
    entries: Vec<Vec<u8>>,
    bytes: usize,
    side_files: Vec<String>,
    members: Vec<(Box<dyn Job>, Outcome)>,
}

impl Group {
    fn on(working: Snapshot) -> Self {
        Self {
            started: None,
            working,
            entries: Vec::new(),
            bytes: 0,
            side_files: Vec::new(),
            members: Vec::new(),
        }
    }

    fn takes_more(&self) -> bool {
        let waited = self.started.map(|started| started.elapsed());
        self.bytes < GROUP_BYTES && waited.is_none_or(|waited| waited < GROUP_TIME)
    }
}

/// The duty to lead. When it goes without having emptied the queue, because the runtime shut down
/// before it began, those who wait are told, and the next write finds nobody leading.
struct Lead {
    inner: Arc<Inner>,
    done: bool,
}

impl Lead {
    fn run(mut self) {
        self.inner.lead();
        self.done = true;
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut queue = unpoisoned(&self.inner.queue);
        queue.led = false;
        let waiting = std::mem::take(&mut queue.waiting);
        drop(queue);
        for job in waiting {
            job.settle(Err(Failure::Closed));
        }
    }
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
            result: None,
            reply: Some(reply),
        };
        let nobody_leads = {
            let mut queue = unpoisoned(&self.inner.queue);
            if queue.waiting.len() >= self.inner.options.queue {
                return Err(CommitError::Busy {
                    waiting: queue.waiting.len(),
                });
            }
            queue.waiting.push_back(Box::new(job));
            !std::mem::replace(&mut queue.led, true)
        };
        if nobody_leads {
            let inner = self.inner.clone();
            // A runtime that is shutting down drops it here and now, and it takes the queue then.
            let lead = Lead { inner, done: false };
            tokio::task::spawn_blocking(move || lead.run());
        }
        answer.await.unwrap_or(Err(CommitError::Panicked))
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
            let mut waiting: VecDeque<_> = {
                let mut queue = unpoisoned(&self.queue);
                if queue.waiting.is_empty() {
                    queue.led = false;
                    break;
                }
                let count = queue.waiting.len().min(GROUP);
                queue.waiting.drain(..count).collect()
            };
            while !waiting.is_empty() {
                self.commit(&mut writer, &mut waiting);
            }
            drop(writer);
            self.plan_fold();
        }
    }

    /// Carries out as many writes as make a group.
    fn commit(&self, open: &mut Option<Writer>, waiting: &mut VecDeque<Box<dyn Job>>) {
        let Some(writer) = open.as_mut() else {
            return waiting
                .drain(..)
                .for_each(|job| job.settle(Err(Failure::Closed)));
        };
        let committed = catch_unwind(AssertUnwindSafe(|| self.commit_group(writer, waiting)));
        let published = self.published.load();
        if committed.is_err() && writer.log.last_lsn().0 != published.log_lsn {
            // Only opening it again tells what the log has. Nothing is built on a guess.
            tracing::error!(store = %self.store, "a defect: the graph is closed");
            *open = None;
        }
    }

    fn commit_group(&self, writer: &mut Writer, waiting: &mut VecDeque<Box<dyn Job>>) {
        let before = self.published.load_full();
        let mut group = Group::on(before.snapshot.as_ref().clone());
        while group.takes_more()
            && let Some(mut job) = waiting.pop_front()
        {
            if job.abandoned() {
                continue;
            }
            let lsn = writer.log.last_lsn().0 + 1 + group.entries.len() as u64;
            let outcome = self.carry_out(job.as_mut(), lsn, &mut group);
            if group.entries.is_empty() {
                job.settle(outcome);
            } else {
                group.members.push((job, outcome));
            }
        }
        let appended = self.append(writer, &group, &before);
        for (job, outcome) in group.members {
            match &appended {
                Ok(()) => job.settle(outcome),
                Err(failure) => job.settle(Err(failure.clone())),
            }
        }
    }

    /// Runs one write on the state that the group has come to, and takes it into the group.
    fn carry_out(&self, job: &mut dyn Job, lsn: u64, group: &mut Group) -> Outcome {
        let before = &group.working;
        let head = before.head().clone();
        if let Some(expected) = job.request().if_commit
            && expected != head.id
        {
            let head = head.id;
            return Err(Failure::NotHead { expected, head });
        }
        let run = Uuid::now_v7();
        let Some(finished) = job.run(Transaction::new(before.clone(), lsn, run)) else {
            return Ok((head, ChangeCounts::default()));
        };
        if finished.is_empty() {
            return Ok((head, finished.counts));
        }
        let header = header(before, lsn, run, job.request(), &finished);
        let (counts, info) = (finished.counts, header.info());
        let entry = self.encode(header, finished.changes, &mut group.side_files)?;
        group.started.get_or_insert_with(Instant::now);
        group.bytes += entry.len();
        group.entries.push(entry);
        group.working = finished.snapshot;
        group.working.advance(info.clone(), lsn);
        Ok((info, counts))
    }

    /// Makes a group durable, then visible.
    fn append(
        &self,
        writer: &mut Writer,
        group: &Group,
        before: &Published,
    ) -> Result<(), Failure> {
        if group.entries.is_empty() {
            return Ok(());
        }
        let appended = writer.log.append(&group.entries).map_err(|error| {
            let error = Arc::new(error);
            match *error {
                // The group may be in the log after a crash, so its files stay.
                AppendError::Unknown(_) => Failure::Unknown(error),
                _ => {
                    group
                        .side_files
                        .iter()
                        .for_each(|name| discard(&self.store, name));
                    Failure::NotWritten(error)
                }
            }
        })?;
        self.log_bytes.fetch_add(appended.bytes, Ordering::Relaxed);
        self.published.store(Arc::new(Published {
            snapshot: Arc::new(group.working.clone()),
            digest: appended.digest,
            log_lsn: appended.last.0,
            tail_bytes: before.tail_bytes + appended.bytes,
        }));
        self.lock.publish(appended.last.0);
        Ok(())
    }

    /// The log entry of a commit; a large body is stored beside the log first.
    fn encode(
        &self,
        header: Header,
        changes: Changes,
        side_files: &mut Vec<String>,
    ) -> Result<Vec<u8>, Failure> {
        let record = |error| Failure::Record(Arc::new(error));
        let bytes = changes.encode().map_err(record)?;
        if bytes.len() <= INLINE_BYTES {
            let entry = Record::Commit(header, Body::Inline(changes)).encode();
            return within_limit(entry.map_err(record)?);
        }
        let file = SideFile {
            name: SideFile::name(header.lsn),
            bytes: bytes.len() as u64,
            digest: Sha256::digest(&bytes).into(),
            encoding: Encoding::Changes,
            rows: changes.rows.len() as u64,
        };
        let (name, body) = (file.place(), Body::File(file));
        let entry = within_limit(Record::Commit(header, body).encode().map_err(record)?)?;
        if let Err(error) = self.store.put(&name, &[&bytes]) {
            discard(&self.store, &name);
            return Err(Failure::SideFile(Arc::new(error)));
        }
        side_files.push(name);
        Ok(entry)
    }
}

/// Refuses alone what would make the whole group fail.
fn within_limit(entry: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if entry.len() <= journal::MAX_ENTRY_BYTES {
        return Ok(entry);
    }
    let error = AppendError::EntryTooLarge {
        index: 0,
        bytes: entry.len(),
        max: journal::MAX_ENTRY_BYTES,
    };
    Err(Failure::NotWritten(Arc::new(error)))
}

/// Removes a side file that no record names. One that stays is removed when the graph is opened.
fn discard(store: &Store, name: &str) {
    if let Err(error) = store.delete(name) {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "an unused file stays");
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
        let (result, finished) = match outcome.unwrap_or(Err(CommitError::Panicked)) {
            Ok((value, finished)) => (Ok(value), Some(finished)),
            Err(error) => (Err(error), None),
        };
        self.result = Some(result);
        finished
    }

    fn settle(mut self: Box<Self>, outcome: Outcome) {
        let answer = outcome.map_err(Into::into).and_then(|(commit, counts)| {
            let value = self.result.take().unwrap_or(Err(CommitError::Panicked))?;
            Ok(Written {
                commit,
                counts,
                value,
            })
        });
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
