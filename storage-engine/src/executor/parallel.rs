//! One statement on several threads: the nodes that its first pattern begins with are shared out in
//! *morsels*, ranges of ids.
//!
//! Every thread has stages of its own and runs them for one morsel after the other, up to where rows must
//! meet. There they are given on in the order of the morsels, so that the answer is the one of a single
//! thread, whoever was quicker: groups and sorted rows as what a morsel came to, other rows a batch at a
//! time, of which few may wait. The first error in the order of the rows is the statement's; when nothing
//! further is wanted, all threads end.
//!
//! Statements that write, that are profiled, that are small or may hold little have one thread, and so have
//! those for which no core is left ([`super::cores`]). Groups and sorting that do not fit in parts are tried
//! again on one thread, which holds less.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use language::plan::{Clause, Slot};
use language::schema::TypeId;
use language::value::Value;

use super::Row;
use super::aggregate::Groups;
use super::context::{Context, Statement, size_of_value};
use super::cores::Cores;
use super::error::ExecuteError;
use super::pipeline::{self, ENOUGH, Flow, MORE, Next, Running};
use super::project::Sorted;
use super::subquery;
use super::walk::SlotSet;

/// Less than this is not shared by several threads.
const LEAST_BYTES: usize = 8 << 20;
/// Morsels for each thread where what each comes to is added up, which costs, and where rows go on.
const FEW_MORSELS: usize = 4;
const MANY_MORSELS: usize = 16;
/// Rows of a batch, and their bytes.
const BATCH_ROWS: usize = 256;
const BATCH_BYTES: usize = 64 << 10;
/// Batches of a morsel that wait to be taken.
const BATCHES: usize = 4;

/// Nodes of one type whose ids lie in a range, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Morsel {
    pub(crate) type_id: TypeId,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// What a stage does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Each row by itself.
    Streams,
    /// It groups them: groups of parts of the rows can be added up.
    Groups,
    /// It sorts them: so can these.
    Sorts,
    /// It needs them one after the other.
    Holds,
}

/// What a stage made of a part of the rows.
pub(crate) enum Part {
    Groups(Groups),
    Sorted(Sorted),
}

/// How stages are shared out.
pub(crate) struct Split {
    /// So many stages are run by each thread.
    pub(crate) cut: usize,
    /// What is made of their rows.
    role: Role,
    morsels: Vec<Morsel>,
    cores: Cores,
}

impl Split {
    /// `None` when one thread does as well.
    pub(crate) fn of(context: Context<'_>, stages: &[Running<'_>]) -> Option<Self> {
        let types = stages.first()?.stage.source()?;
        let statement = context.statement;
        let threads = statement.threads();
        if threads.most < 2
            || statement.writes()
            || statement.is_timed()
            || statement.max_bytes() < LEAST_BYTES
            || stages.iter().any(|running| running.stage.closed())
        {
            return None;
        }
        let streams = |running: &&Running<'_>| running.stage.role() == Role::Streams;
        let cut = stages.iter().take_while(streams).count();
        let role = stages.get(cut).map_or(Role::Holds, |it| it.stage.role());
        if work(stages, cut) < threads.rows {
            return None;
        }
        let cores = Cores::lend(threads.most);
        let pieces = match role {
            _ if cores.threads() < 2 => return None,
            Role::Groups => FEW_MORSELS,
            Role::Streams | Role::Sorts | Role::Holds => MANY_MORSELS,
        };
        Some(Self {
            cut,
            role,
            morsels: morsels(context, types, pieces * cores.threads()),
            cores,
        })
    }

    /// How many threads there are.
    pub(crate) const fn threads(&self) -> usize {
        self.cores.threads()
    }

    /// Whether the stage after the cut is run by each thread too.
    const fn in_parts(&self) -> bool {
        matches!(self.role, Role::Groups | Role::Sorts)
    }
}

/// How many rows are expected to be looked at, in all stages before the cut.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn work(stages: &[Running<'_>], cut: usize) -> f64 {
    let mut operators = Vec::new();
    let streaming = stages.get(..cut).unwrap_or_default();
    let out = pipeline::describe(streaming, 1.0, &mut operators);
    let all: f64 = operators.iter().map(|it| it.estimated_rows).sum();
    match stages.get(cut).and_then(|running| running.stage.enough()) {
        Some(rows) if (rows as f64) < out => all * rows as f64 / out,
        _ => all,
    }
}

/// Ranges of about as many ids each, in the order in which the nodes are scanned.
fn morsels(context: Context<'_>, types: &[TypeId], pieces: usize) -> Vec<Morsel> {
    let bounds = |type_id: &TypeId| {
        let table = context.snapshot.node_table(*type_id)?;
        let (first, last) = table.rows.bounds()?;
        Some((*type_id, first, last))
    };
    let bounds: Vec<_> = types.iter().filter_map(bounds).collect();
    let ids: u64 = bounds.iter().map(|(_, first, last)| last - first + 1).sum();
    let size = ids.div_ceil(pieces as u64).max(1);
    let mut morsels = Vec::new();
    for (type_id, mut first, last) in bounds {
        while first <= last {
            let end = last.min(first.saturating_add(size - 1));
            morsels.push(Morsel {
                type_id,
                first,
                last: end,
            });
            first = end + 1;
        }
    }
    morsels
}

/// What a thread says of its morsel.
enum Message {
    Rows(Batch),
    Part(Part),
    Failed(ExecuteError),
    Done,
}

/// Rows on their way: the values of the slots that are wanted, one row after the other.
#[derive(Default)]
struct Batch {
    values: Vec<Value>,
    rows: usize,
    bytes: usize,
}

/// Whose turn it is: morsels are taken in order, and told of in that order.
struct Queue {
    next: usize,
    /// Holds few, so that nobody gets far ahead of whom the others wait for.
    order: SyncSender<Receiver<Message>>,
}

/// What the threads share.
struct Shared<'a> {
    clauses: &'a [Clause],
    wanted: &'a [SlotSet],
    split: &'a Split,
    /// What is wanted of the rows that go on.
    kept: Vec<Slot>,
    /// What ended a thread without a morsel.
    failed: Mutex<Option<ExecuteError>>,
}

/// Runs the stages of some clauses into `out`, as the split says; they have begun.
pub(crate) fn run(
    context: Context<'_>,
    split: &Split,
    (clauses, wanted): (&[Clause], &[SlotSet]),
    stages: &mut [Running<'_>],
    out: &mut Next<'_>,
) -> Result<(), ExecuteError> {
    let held = context.statement.held();
    let streaming = stages.get(..split.cut).unwrap_or_default();
    let wanted_after = streaming.last().and_then(|last| wanted.get(last.clause));
    let shared = Shared {
        clauses,
        wanted,
        split,
        kept: wanted_after.into_iter().flat_map(SlotSet::iter).collect(),
        failed: Mutex::new(None),
    };
    let given = Cell::new(false);
    let gathered = share_out(context, &shared, stages, &mut |row| {
        given.set(true);
        out(row)
    });
    // What was on its way, nobody holds any more.
    context.statement.settle();
    match gathered {
        // Each thread holds what one alone would hold once.
        Err(ExecuteError::MemoryLimit { .. }) if !given.get() => {
            let row = context.statement.empty_row();
            pipeline::begin(stages, &row);
            context.statement.lookups().clear();
            let left = context.statement.held().saturating_sub(held);
            context.statement.release(left);
            pipeline::run(stages, [row], out)
        }
        gathered => {
            gathered?;
            let rest = stages.get_mut(split.cut..).unwrap_or_default();
            pipeline::finish_all(rest, out)
        }
    }
}

/// Has threads work on the morsels and gathers what they give.
fn share_out(
    context: Context<'_>,
    shared: &Shared<'_>,
    stages: &mut [Running<'_>],
    out: &mut Next<'_>,
) -> Result<(), ExecuteError> {
    let ended = Arc::new(AtomicBool::new(false));
    let threads = shared.split.threads();
    let (order, arrivals) = sync_channel(2 * threads);
    let queue = Arc::new(Mutex::new(Queue { next: 0, order }));
    let snapshot = context.snapshot;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let statement = context.statement.fork(&ended);
            let queue = queue.clone();
            scope.spawn(move || {
                let own = Context {
                    snapshot,
                    statement: &statement,
                    subqueries: None,
                };
                if let Err(error) = shared.work(own, &queue) {
                    *shared.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            });
        }
        drop(queue);
        let gathered = shared.gather(context, &arrivals, stages, out);
        // Nothing further is wanted of anybody.
        ended.store(true, Ordering::Relaxed);
        drop(arrivals);
        gathered
    })
}

impl Shared<'_> {
    /// Gives what the threads say to the stages after the cut, in the order of the morsels.
    fn gather(
        &self,
        context: Context<'_>,
        arrivals: &Receiver<Receiver<Message>>,
        stages: &mut [Running<'_>],
        out: &mut Next<'_>,
    ) -> Result<(), ExecuteError> {
        let rest = stages.get_mut(self.split.cut..).unwrap_or_default();
        let mut row = context.statement.empty_row();
        for _ in &self.split.morsels {
            let Ok(messages) = arrivals.recv() else {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                return failed.take().map_or(Ok(()), Err);
            };
            loop {
                match messages.recv() {
                    Ok(Message::Rows(batch)) => {
                        if self
                            .pass_on(context, batch, &mut row, rest, out)?
                            .is_break()
                        {
                            return Ok(());
                        }
                    }
                    Ok(Message::Part(part)) => {
                        if let Some(first) = rest.first_mut() {
                            first.stage.add_part(part)?;
                        }
                    }
                    Ok(Message::Failed(error)) => return Err(error),
                    // One that ends without a word has panicked, and so will whoever waits for it.
                    Ok(Message::Done) | Err(_) => break,
                }
            }
        }
        Ok(())
    }

    fn pass_on(
        &self,
        context: Context<'_>,
        batch: Batch,
        row: &mut Row,
        rest: &mut [Running<'_>],
        out: &mut Next<'_>,
    ) -> Flow {
        context.statement.take_over(batch.bytes);
        let mut values = batch.values.into_iter();
        for _ in 0..batch.rows {
            context.step()?;
            for (slot, value) in self.kept.iter().zip(values.by_ref()) {
                row[slot.0] = value;
            }
            if pipeline::push_row(rest, row, out)?.is_break() {
                return ENOUGH;
            }
        }
        context.statement.release(batch.bytes);
        MORE
    }

    /// What one thread does: morsel after morsel, until there are no more or none are wanted.
    fn work(&self, context: Context<'_>, queue: &Mutex<Queue>) -> Result<(), ExecuteError> {
        subquery::within(context, self.clauses, &mut |context| {
            let mut stages = pipeline::stages(context, self.clauses, self.wanted, true)?;
            if let (true, Some(last)) = (self.split.in_parts(), stages.get_mut(self.split.cut)) {
                last.stage.become_part();
            }
            let around = context.statement.empty_row();
            while let Some((morsel, sender)) = self.claim(queue) {
                pipeline::begin(&mut stages, &around);
                if let Some(first) = stages.first_mut() {
                    first.stage.restrict(morsel);
                }
                let mut row = around.clone();
                let worked = match self.split.in_parts() {
                    true => self.part(&mut stages, &mut row, &sender),
                    false => self.rows(context, &mut stages, &mut row, &sender),
                };
                let last = match worked {
                    Ok(()) => Message::Done,
                    Err(error) => Message::Failed(error),
                };
                // Who does not listen wants nothing any more; the next claim says so.
                let _ = sender.send(last);
            }
            Ok(())
        })
    }

    /// The next morsel, and where to say what it came to.
    fn claim(&self, queue: &Mutex<Queue>) -> Option<(Morsel, SyncSender<Message>)> {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let morsel = *self.split.morsels.get(queue.next)?;
        let (sender, messages) = sync_channel(BATCHES);
        queue.order.send(messages).ok()?;
        queue.next += 1;
        Some((morsel, sender))
    }

    /// Runs one more stage, and sends what it made.
    fn part(
        &self,
        stages: &mut [Running<'_>],
        row: &mut Row,
        sender: &SyncSender<Message>,
    ) -> Result<(), ExecuteError> {
        let stages = stages.get_mut(..=self.split.cut).unwrap_or_default();
        // Nothing comes out of the last before all rows were given.
        let _ = pipeline::push_row(stages, row, &mut |_| MORE)?;
        let part = stages.last_mut().and_then(|last| last.stage.take_part());
        if let Some(part) = part {
            let _ = sender.send(Message::Part(part));
        }
        Ok(())
    }

    /// Sends the rows.
    fn rows(
        &self,
        context: Context<'_>,
        stages: &mut [Running<'_>],
        row: &mut Row,
        sender: &SyncSender<Message>,
    ) -> Result<(), ExecuteError> {
        let stages = stages.get_mut(..self.split.cut).unwrap_or_default();
        let statement = context.statement;
        let mut batch = Batch::default();
        let _ = pipeline::push_row(stages, row, &mut |row| {
            batch.add(statement, &self.kept, row)?;
            if batch.is_full() && batch.send(statement, sender).is_break() {
                return ENOUGH;
            }
            MORE
        })?;
        if batch.rows > 0 {
            let _ = batch.send(statement, sender);
        }
        Ok(())
    }
}

impl Batch {
    fn add(
        &mut self,
        statement: &Statement<'_>,
        kept: &[Slot],
        row: &Row,
    ) -> Result<(), ExecuteError> {
        let before = self.values.len();
        let values = kept.iter().filter_map(|slot| row.get(slot.0));
        self.values.extend(values.cloned());
        let new = self.values.get(before..).unwrap_or_default();
        let bytes: usize = new.iter().map(size_of_value).sum();
        self.rows += 1;
        self.bytes += bytes;
        statement.charge(bytes)
    }

    const fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// Sends the rows so far; says whether more are wanted.
    fn send(&mut self, statement: &Statement<'_>, sender: &SyncSender<Message>) -> ControlFlow<()> {
        let batch = std::mem::take(self);
        statement.hand_over(batch.bytes);
        match sender.send(Message::Rows(batch)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}
