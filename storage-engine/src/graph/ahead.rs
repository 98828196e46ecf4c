//! Long statements beside the committer, so that nobody waits behind them.
//!
//! A statement that does not end within [`BUDGET`] is given up where it stands and run again on a
//! thread of its own, on the newest snapshot. Its changes come back as [`Prepared`], and the
//! committer takes them over, unless a commit since that snapshot has changed a type that the
//! statement touched: then what it read may be different, and it runs again. After [`MAX_RUNS`] such
//! runs it has those types for itself: whoever would change one waits until it is done, the others go
//! on. So its effect equals that of running alone at its place, and it comes to an end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use language::schema::{Schema, TypeId};
use uuid::Uuid;

use super::commit::{Lead, unpoisoned};
use super::job::{Failure, Job, Made, Outcome, Ran};
use super::queue::Entry;
use crate::aside::{self, in_background};
use crate::finish::Finished;
use crate::graph::Inner;
use crate::record::{ChangeCounts, Changes, RowChange};
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;

/// How long a statement may take while everybody waits.
const BUDGET: Duration = Duration::from_millis(2);

/// How often a statement runs beside the committer before it has what it touches for itself.
const MAX_RUNS: u32 = 3;

/// How a write runs beside the committer.
pub(super) struct Ahead {
    /// The types that its work reads or changes.
    touched: BTreeSet<TypeId>,
    /// What it came to, to be taken over.
    pub(super) prepared: Option<Prepared>,
    /// How often that was out of date.
    outdated: u32,
    /// It has what it touches for itself.
    reservation: Option<Reservation>,
}

/// What is to become of a write whose preparation is out of date.
pub(super) enum Next {
    /// It runs again.
    Ahead,
    /// It waits until another long statement has no types for itself any more.
    Hold,
    /// It runs at its place in the log: what it touches is not even the same each time.
    Inside,
}

/// Types that a statement has for itself, until this is gone.
struct Reservation(Arc<Inner>);

impl Drop for Reservation {
    fn drop(&mut self) {
        let leads = unpoisoned(&self.0.queue).release();
        if leads {
            let lead = Lead::new(self.0.clone());
            in_background(move || lead.run());
        }
    }
}

/// The changes of a work that ran on an earlier state.
pub(super) struct Prepared {
    /// The log position of that state.
    base: u64,
    /// Every type on which the changes and the answer depend.
    depends_on: BTreeSet<TypeId>,
    pub(super) run: Uuid,
    pub(super) changes: Changes,
    pub(super) counts: ChangeCounts,
    pub(super) next_ids: Vec<(TypeId, u64)>,
    pub(super) answer: Option<String>,
}

impl Ahead {
    pub(super) fn new(touched: BTreeSet<TypeId>) -> Self {
        Self {
            touched,
            prepared: None,
            outdated: 0,
            reservation: None,
        }
    }

    /// When its work is to stop at its place in the log; `None` when it must be done there.
    pub(super) fn budget(&self) -> Option<Instant> {
        (self.outdated <= MAX_RUNS).then(|| Instant::now() + BUDGET)
    }

    /// It need not wait for a reservation: it is its own.
    pub(super) fn has_reservation(&self) -> bool {
        self.reservation.is_some()
    }

    /// What is to become of it, now that `prepared` is out of date.
    pub(super) fn outdated(&mut self, prepared: Prepared, inner: &Arc<Inner>) -> Next {
        if self.outdated + 1 == MAX_RUNS {
            if !unpoisoned(&inner.queue).reserve(&prepared.depends_on) {
                self.prepared = Some(prepared);
                return Next::Hold;
            }
            self.reservation = Some(Reservation(inner.clone()));
        }
        self.outdated += 1;
        if self.outdated <= MAX_RUNS {
            Next::Ahead
        } else {
            Next::Inside
        }
    }

    fn prepare(
        &self,
        base: u64,
        run: Uuid,
        finished: Finished,
        answer: Option<String>,
    ) -> Prepared {
        let mut depends_on = self.touched.clone();
        depends_on.extend(implied(finished.snapshot.schema(), &finished));
        Prepared {
            base,
            depends_on,
            run,
            changes: finished.changes,
            counts: finished.counts,
            next_ids: finished.next_ids,
            answer,
        }
    }
}

impl Prepared {
    /// The types of which it changes anything.
    pub(super) fn changed(&self) -> BTreeSet<TypeId> {
        changed(&self.changes, &self.next_ids)
    }

    /// Whether a commit since has changed what it depends on.
    pub(super) fn is_outdated(&self, now: &Snapshot) -> bool {
        let mut types = self.depends_on.iter();
        types.any(|type_id| now.changed_since(*type_id, self.base))
    }
}

/// The types of rows that are different, and of ids that were given.
pub(super) fn changed(changes: &Changes, next_ids: &[(TypeId, u64)]) -> BTreeSet<TypeId> {
    let given = next_ids.iter().map(|(type_id, _)| *type_id);
    let rows = changes.rows.iter().map(|change| change.type_id);
    given.chain(rows).collect()
}

/// The types that a transaction itself looks at: of what it changed, both ends of edges, and for
/// nodes that are gone every edge type that could join them.
fn implied(schema: &Schema, finished: &Finished) -> BTreeSet<TypeId> {
    let mut types = changed(&finished.changes, &finished.next_ids);
    let rows = finished.changes.rows.iter();
    let gone = rows.filter(|change| matches!(change.row, RowChange::Delete { .. }));
    let gone: BTreeSet<_> = gone.map(|change| change.type_id).collect();
    for edge_type in &schema.edge_types {
        let ends = [edge_type.source, edge_type.target];
        if types.contains(&edge_type.id) {
            types.extend(ends);
        } else if ends.iter().any(|end| gone.contains(end)) {
            types.insert(edge_type.id);
        }
    }
    types
}

impl Inner {
    /// Sends a write to run beside the committer.
    pub(super) fn send_ahead(self: &Arc<Self>, entry: Entry) {
        unpoisoned(&self.queue).push_long(entry);
        self.start_ahead();
    }

    /// Starts as many long statements as may run.
    fn start_ahead(self: &Arc<Self>) {
        loop {
            let Some(entry) = unpoisoned(&self.queue).begin_long(self.options.ahead) else {
                return;
            };
            let running = Running {
                principal: entry.job.place.principal.clone(),
                entry: Some(entry),
                inner: self.clone(),
            };
            match aside::runtime() {
                Some(runtime) => drop(runtime.spawn(running.run_aside())),
                None => in_background(move || running.run()),
            }
        }
    }

    /// Runs the work on the newest state: its answer, or changes that are to be taken over.
    fn prepare(&self, job: &mut Job) -> Option<Outcome> {
        let snapshot = self.published.load().snapshot.clone();
        if let Some(outcome) = job.foregone(&snapshot) {
            return Some(outcome);
        }
        let (run, base, head) = (Uuid::now_v7(), snapshot.lsn(), snapshot.head().clone());
        let transaction = Transaction::new(snapshot.as_ref().clone(), base + 1, run)
            .aside()
            .of_at_most(self.options.commit_bytes);
        // Columns that the work does not need are not held while it runs.
        drop(snapshot);
        match job.run(transaction) {
            // It changed nothing, or failed: so it would have when this snapshot was the newest,
            // which it was after the write had come in.
            Ran::Finished(finished, _) if finished.is_empty() => {
                Some(Ok(Made::nothing(&head, finished.counts)))
            }
            Ran::Failed | Ran::OverBudget => {
                Some(Ok(Made::nothing(&head, ChangeCounts::default())))
            }
            Ran::Finished(finished, answer) => {
                let ahead = job.ahead.as_mut()?;
                ahead.prepared = Some(ahead.prepare(base, run, finished, answer));
                None
            }
        }
    }
}

/// A long statement that runs, or is to; its place is free for the next when this is gone.
struct Running {
    inner: Arc<Inner>,
    principal: Arc<str>,
    /// There until it has run.
    entry: Option<Entry>,
}

impl Running {
    /// On a thread that gives way; what others wait for, on one of this runtime.
    async fn run_aside(mut self) {
        let ran = aside::run(move || {
            let outcome = self.prepare();
            (self, outcome)
        });
        // A panic is a defect of what has been dropped with it.
        if let Ok((running, outcome)) = ran.await
            && let Some(lead) = running.finish(outcome)
        {
            in_background(move || lead.run());
        }
    }

    fn run(mut self) {
        let outcome = self.prepare();
        if let Some(lead) = self.finish(outcome) {
            lead.run();
        }
    }

    /// Runs the work, unless nobody waits for it any more.
    fn prepare(&mut self) -> Option<Outcome> {
        match &mut self.entry {
            Some(entry) if entry.job.is_abandoned() => self.entry = None,
            Some(entry) => return self.inner.prepare(&mut entry.job),
            None => {}
        }
        None
    }

    /// Tells the outcome, or gives the write back to the committer: the caller may have to lead.
    fn finish(mut self, outcome: Option<Outcome>) -> Option<Lead> {
        let entry = self.entry.take()?;
        let leads = match outcome {
            Some(outcome) => {
                entry.job.settle(outcome);
                false
            }
            None => unpoisoned(&self.inner.queue).come_back(entry),
        };
        leads.then(|| Lead::new(self.inner.clone()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        unpoisoned(&self.inner.queue).end_long(&self.principal);
        if let Some(entry) = self.entry.take() {
            // The runtime shut down before it began.
            entry.job.settle(Err(Failure::Closed));
        }
        self.inner.start_ahead();
    }
}
