//! The one way in: writes take turns, are checked in order, share one durable write.
//!
//! Of the callers that wait, one leads: on a thread that may block it takes write after write, runs
//! each on the state that the writes before it leave (or takes over what was run ahead and still
//! holds, see [`super::ahead`]), appends all their records as one frame of the log, publishes the snapshot,
//! and only then answers. So the effect of a write equals that of running alone at its place in the
//! log. One that fails leaves nothing: its working snapshot is dropped. Its answer waits with the
//! others all the same: what it failed on may be the work of a neighbour that is not durable yet.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use journal::AppendError;
use language::schema::TypeId;
use uuid::Uuid;

use super::ahead::{Ahead, Next, Prepared, changed};
use super::encode::{Beside, discard};
use super::job::{Failure, Job, Made, Outcome, Ran};
use super::queue::Entry;
use crate::aside;
use crate::bulk::Bulk;
use crate::clock;
use crate::graph::log::Log;
use crate::graph::{Inner, Published};
use crate::needed::Needed;
use crate::record::{ChangeCounts, Changes, CommitId, Header, Idempotency};
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;

/// How many writes share one durable write at most.
const GROUP: u32 = 256;

/// A group that has this many bytes takes no more: well below what one frame of the log holds, so
/// that writes which fit alone never fail together.
const GROUP_BYTES: usize = 16 << 20;

/// After how many writes others may have the core, so that nobody waits for the whole group of another graph.
const TURNS_PER_YIELD: u32 = 4;

/// A group whose first write has waited for this long takes no more, so that a quick write does not
/// wait for all the slow ones behind it.
const GROUP_TIME: Duration = Duration::from_millis(10);

/// The log, held by whoever leads.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) log: Log,
}

/// Writes that become durable together.
struct Group {
    /// When its first entry was ready.
    started: Option<Instant>,
    /// The state that they leave.
    working: Snapshot,
    entries: Vec<Vec<u8>>,
    bytes: usize,
    beside: Beside,
    members: Vec<(Job, Outcome)>,
    /// Writes that are to run beside the committer.
    ahead: Vec<Entry>,
}

impl Group {
    fn on(working: Snapshot) -> Self {
        Self {
            started: None,
            working,
            entries: Vec::new(),
            bytes: 0,
            beside: Beside::default(),
            members: Vec::new(),
            ahead: Vec::new(),
        }
    }

    fn takes_more(&self) -> bool {
        let waited = self.started.map(|started| started.elapsed());
        self.bytes < GROUP_BYTES && waited.is_none_or(|waited| waited < GROUP_TIME)
    }
}

/// Where a write is to go on.
enum Turn {
    /// It is in the group, or will be told at once with it.
    Told(Outcome),
    /// It runs beside the committer and comes back.
    Ahead,
    /// It waits until what it would change is nobody's own.
    Hold,
}

/// What a commit changes.
enum Content {
    Changes(Changes),
    /// Rows as columns, which stand in files already.
    Bulk(Bulk),
}

/// What a write adds to the log.
struct Addition {
    run: Uuid,
    counts: ChangeCounts,
    next_ids: Vec<(TypeId, u64)>,
    answer: Option<String>,
}

/// The duty to lead. When it goes without having emptied the queue, because the runtime shut down
/// before it began, those who wait are told, and the next write finds nobody leading.
pub(super) struct Lead {
    inner: Arc<Inner>,
    done: bool,
}

impl Lead {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, done: false }
    }

    /// Until nothing waits.
    pub(super) fn run(self) {
        self.run_until(&mut || false);
    }

    /// Until nothing waits, or until `enough`: then somebody else leads the rest.
    pub(super) fn run_until(mut self, enough: &mut dyn FnMut() -> bool) {
        let rest = self.inner.lead(enough);
        self.done = true;
        if rest {
            let next = Self::new(self.inner.clone());
            aside::in_background(move || next.run());
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let waiting = unpoisoned(&self.inner.queue).abandon();
        for entry in waiting {
            entry.job.settle(Err(Failure::Closed));
        }
    }
}

impl Inner {
    /// Takes from the queue until it is empty, or until `enough`; says whether there is more.
    fn lead(self: &Arc<Self>, enough: &mut dyn FnMut() -> bool) -> bool {
        loop {
            let mut writer = unpoisoned(&self.writer);
            if unpoisoned(&self.queue).ends() {
                return false;
            }
            self.commit(&mut writer);
            drop(writer);
            self.plan_fold();
            if enough() {
                return !unpoisoned(&self.queue).ends();
            }
        }
    }

    /// Carries out as many writes as make a group.
    fn commit(self: &Arc<Self>, open: &mut Option<Writer>) {
        let Some(writer) = open.as_mut() else {
            let waiting = unpoisoned(&self.queue).clear();
            return waiting
                .into_iter()
                .for_each(|entry| entry.job.settle(Err(Failure::Closed)));
        };
        let committed = catch_unwind(AssertUnwindSafe(|| self.commit_group(writer)));
        let published = self.published.load();
        if committed.is_err() && writer.log.last_lsn().0 != published.log_lsn {
            // Only opening it again tells what the log has. Nothing is built on a guess.
            tracing::error!(store = %self.store, "a defect: the graph is closed");
            self.lose();
            *open = None;
            return;
        }
        if writer.log.is_lost() {
            tracing::warn!(store = %self.store, "another process has taken over the log, or it \
                cannot be told what it has: the graph has to be opened again");
            self.lose();
            *open = None;
        }
    }

    fn commit_group(self: &Arc<Self>, writer: &mut Writer) {
        let before = self.published.load_full();
        let mut group = Group::on(before.snapshot.as_ref().clone());
        let mut turns = 0;
        unpoisoned(&self.queue).pace().begin();
        while turns < GROUP
            && group.takes_more()
            && let Some(mut entry) = self.next()
        {
            turns += 1;
            if turns.is_multiple_of(TURNS_PER_YIELD) {
                std::thread::yield_now();
            }
            let lsn = writer.log.last_lsn().0 + 1 + group.entries.len() as u64;
            match self.carry_out(&mut entry.job, lsn, &mut group) {
                Turn::Ahead => group.ahead.push(entry),
                Turn::Hold => unpoisoned(&self.queue).hold(entry),
                Turn::Told(outcome) if group.entries.is_empty() => entry.job.settle(outcome),
                Turn::Told(outcome) => group.members.push((entry.job, outcome)),
            }
        }
        let appended = self.append(writer, &group, &before);
        unpoisoned(&self.queue).pace().end(turns);
        // Only now, so that they run on what the group has made.
        group
            .ahead
            .into_iter()
            .for_each(|entry| self.send_ahead(entry));
        for (job, outcome) in group.members {
            match &appended {
                Ok(()) => job.settle(outcome),
                Err(failure) => job.settle(Err(failure.clone())),
            }
        }
    }

    /// The next write whose caller still waits.
    fn next(&self) -> Option<Entry> {
        loop {
            let entry = unpoisoned(&self.queue).lines.pop()?;
            if !entry.job.is_abandoned() {
                return Some(entry);
            }
        }
    }

    /// Carries out one write on the state that the group has come to, and takes it into the group.
    fn carry_out(self: &Arc<Self>, job: &mut Job, lsn: u64, group: &mut Group) -> Turn {
        if let Some(outcome) = job.foregone(&group.working) {
            return Turn::Told(outcome);
        }
        if let Some(prepared) = job.ahead.as_mut().and_then(|ahead| ahead.prepared.take())
            && let Some(turn) = self.take_over(job, prepared, lsn, group)
        {
            return turn;
        }
        // What cannot be run again is not even tried.
        if job.ahead.is_none() && unpoisoned(&self.queue).is_reserved(None) {
            return Turn::Hold;
        }
        let budget = job.ahead.as_ref().and_then(Ahead::budget);
        self.run_here(job, budget, lsn, group)
    }

    /// Runs one write at its place in the log.
    fn run_here(
        &self,
        job: &mut Job,
        budget: Option<Instant>,
        lsn: u64,
        group: &mut Group,
    ) -> Turn {
        let run = Uuid::now_v7();
        let transaction = Transaction::new(group.working.clone(), lsn, run)
            .within(budget)
            .of_at_most(self.options.commit_bytes);
        let head = group.working.head();
        let (finished, answer) = match job.run(transaction) {
            Ran::Finished(finished, answer) => (finished, answer),
            Ran::Failed => return Turn::Told(Ok(Made::nothing(head, ChangeCounts::default()))),
            Ran::OverBudget => return Turn::Ahead,
        };
        if finished.is_empty() {
            return Turn::Told(Ok(Made::nothing(head, finished.counts)));
        }
        if self.must_wait(job, || changed(&finished.changes, &finished.next_ids)) {
            return Turn::Hold;
        }
        let addition = Addition {
            run,
            counts: finished.counts,
            next_ids: finished.next_ids,
            answer,
        };
        let header = header(&group.working, (lsn, self.epoch), job, addition);
        let mut working = finished.snapshot;
        working.remember(&header);
        working.advance(header.info(), lsn);
        let content = match finished.bulk {
            Some(bulk) => Content::Bulk(bulk),
            None => Content::Changes(finished.changes),
        };
        Turn::Told(self.take_in(header, content, working, group))
    }

    /// Whether a write would change what a statement has for itself.
    fn must_wait(&self, job: &Job, changed: impl FnOnce() -> BTreeSet<TypeId>) -> bool {
        if job.ahead.as_ref().is_none_or(Ahead::has_reservation) {
            return false;
        }
        let is_reserved = |types| unpoisoned(&self.queue).is_reserved(types);
        is_reserved(None) && is_reserved(Some(&changed()))
    }

    /// Takes over changes that were made on an earlier state, if they hold on this one; `None` when
    /// the work is to be done here.
    fn take_over(
        self: &Arc<Self>,
        job: &mut Job,
        prepared: Prepared,
        lsn: u64,
        group: &mut Group,
    ) -> Option<Turn> {
        if prepared.is_outdated(&group.working) {
            return match job.ahead.as_mut()?.outdated(prepared, self) {
                Next::Ahead => Some(Turn::Ahead),
                Next::Hold => Some(Turn::Hold),
                Next::Inside => None,
            };
        }
        if self.must_wait(job, || prepared.changed()) {
            job.ahead.as_mut()?.prepared = Some(prepared);
            return Some(Turn::Hold);
        }
        let addition = Addition {
            run: prepared.run,
            counts: prepared.counts,
            next_ids: prepared.next_ids,
            answer: prepared.answer,
        };
        let header = header(&group.working, (lsn, self.epoch), job, addition);
        let mut working = group.working.clone();
        if let Err(error) = working.replay(&header, &prepared.changes.rows) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "a defect: changes that were made ahead do not fit");
            return Some(self.run_here(job, None, lsn, group));
        }
        let content = Content::Changes(prepared.changes);
        let taken = self.take_in(header, content, working, group);
        Some(Turn::Told(taken))
    }

    /// Makes a commit part of the group. `working` is the graph after it.
    fn take_in(
        &self,
        header: Header,
        content: Content,
        working: Snapshot,
        group: &mut Group,
    ) -> Outcome {
        let made = Made {
            commit: header.info(),
            counts: header.counts,
            repeated: false,
        };
        let entry = match content {
            Content::Changes(changes) => self.encode(header, changes, &mut group.beside)?,
            Content::Bulk(bulk) => self.encode_bulk(header, bulk, &mut group.beside)?,
        };
        group.started.get_or_insert_with(Instant::now);
        group.bytes += entry.len();
        group.entries.push(entry);
        group.working = working;
        Ok(made)
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
        // A bucket takes longer than anybody should be kept from work for.
        let syncing = self.store.bucket().is_none().then(aside::syncing);
        let appended = writer.log.append(&group.entries).map_err(|error| {
            let error = Arc::new(error);
            match *error {
                // The group may be in the log after a crash, so its files stay.
                AppendError::Unknown(_) => Failure::Unknown(error),
                // It deletes nothing.
                _ if writer.log.is_lost() => Failure::Superseded,
                _ => {
                    let files = group.beside.names.iter();
                    files.for_each(|name| discard(&self.store, name));
                    Failure::NotWritten(error)
                }
            }
        })?;
        drop(syncing);
        let mut snapshot = group.working.clone();
        if !std::ptr::eq(&**self.published.load(), before) {
            // Columns were evicted meanwhile.
            snapshot.follow(&Needed::new());
        }
        self.published.store(Arc::new(Published {
            snapshot: Arc::new(snapshot),
            digest: appended.digest,
            log_lsn: appended.last.0,
            tail_bytes: before.tail_bytes + appended.bytes + group.beside.bytes,
        }));
        Ok(())
    }
}

fn header(before: &Snapshot, (lsn, epoch): (u64, u64), job: &Job, addition: Addition) -> Header {
    let (head, request) = (before.head(), &job.request);
    let keyed = job.key.as_ref().zip(addition.answer);
    Header {
        lsn,
        branch: 0,
        sequence: head.sequence + 1,
        previous_lsn: before.lsn(),
        epoch,
        id: CommitId(Uuid::now_v7()),
        parents: vec![head.id],
        time_micros: clock::now_micros().max(head.time_micros + 1),
        principal: request.principal.clone(),
        run: addition.run,
        message: request.message.clone(),
        request: request.request.clone(),
        decision: request.decision,
        idempotency: keyed.map(|(key, answer)| Idempotency {
            key: key.key.clone(),
            digest: key.digest,
            answer,
        }),
        schema_version: before.schema().version,
        counts: addition.counts,
        next_ids: addition.next_ids,
    }
}

/// State behind these locks is replaced whole, so that a panic cannot leave it half changed.
pub(super) fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use language::schema::Schema;
    use tempfile::TempDir;

    use super::super::job::Body;
    use super::*;
    use crate::graph::{Graph, NewGraph, Options, WriteRequest};
    use crate::record::{Horizon, Record};
    use crate::store::Store;

    /// A write in which the engine itself has a defect.
    struct Defect;

    impl Body for Defect {
        fn is_abandoned(&self) -> bool {
            false
        }

        fn run(&mut self, _: Transaction) -> Ran {
            panic!("a defect");
        }

        fn recall(&mut self, _: &str) {}

        fn settle(self: Box<Self>, _: Outcome) {}
    }

    impl Graph {
        fn commit_defect(&self) {
            let place = self.inner.places.take("test", 0);
            let job = Job {
                request: WriteRequest::by("test"),
                key: None,
                place: place.unwrap_or_else(|_| panic!("no place")),
                ahead: None,
                body: Box::new(Defect),
            };
            let (_, leads) = unpoisoned(&self.inner.queue).enter(job);
            assert!(leads);
            Lead::new(self.inner.clone()).run();
        }
    }

    #[test]
    fn what_a_defect_closes_is_opened_again() {
        let home = TempDir::new().expect("a temporary folder");
        let store = Store::from(home.path().join("g"));
        let schema = Schema::parse("node A { k: String @key }").expect("a valid schema");
        Graph::create(&store, NewGraph::new(schema, "test")).expect("created");
        let graph = Graph::open(&store, Options::default()).expect("opened");
        graph.commit_defect();
        assert!(!graph.is_lost(), "the log is as readers see it");
        let last = {
            let mut writer = unpoisoned(&graph.inner.writer);
            let writer = writer.as_mut().expect("open");
            let horizon = Horizon {
                lsn: writer.log.last_lsn().0 + 1,
                epoch: graph.inner.epoch,
                time_micros: clock::now_micros(),
                first: 1,
            };
            let entry = Record::Horizon(horizon).encode().expect("encoded");
            writer.log.append(&[entry]).expect("appended").last.0
        };
        graph.commit_defect();
        assert!(graph.is_lost());
        let again = Graph::open(&store, Options::default()).expect("nobody holds it");
        assert!(!again.is_lost());
        assert_eq!(again.inner.published.load().log_lsn, last);
    }
}
