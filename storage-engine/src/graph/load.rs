//! A load: made ready beside the writers, committed in its turn.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::aside;
use crate::graph::commit::unpoisoned;
use crate::graph::{CommitError, Graph, IdempotencyKey, Work, WriteRequest, Written};
use crate::load::{self, Batch, Content, LoadError, Loaded, Mode, NotReady, Ready, Rows, Taken};
use crate::needed::Needed;
use crate::snapshot::Snapshot;
use crate::transaction::{Transaction, WriteError};

/// How often a load is made ready beside the writers. When others were faster each time, it is done
/// once more in its turn, and they wait.
const ATTEMPTS: usize = 3;

impl Graph {
    /// Loads what was read, in one commit; with a key, as [`Graph::submit_once`] does. A batch is
    /// loaded once; when the caller goes away before its turn, nothing is. The request's deadline says how
    /// long from now: so long it waits for its turn at most, whenever it is ready for it.
    ///
    /// # Errors
    /// [`CommitError`]; of [`CommitError::Work`] the lines say what is wrong.
    pub async fn load(
        &self,
        request: WriteRequest,
        key: Option<IdempotencyKey>,
        batch: &Batch,
    ) -> Result<Written<Loaded>, CommitError<LoadError>> {
        let request = Waits::of(request);
        let mode = batch.mode();
        match batch.take() {
            None => Err(CommitError::Panicked),
            Some(Content::Rows(rows)) => self.put_rows(request, key, rows, mode).await,
            Some(Content::Wrong(lines)) => self.refuse(request, key, lines.into()).await,
            Some(Content::Columns(gathered, context)) => {
                let store = self.inner.store.clone();
                match beside(move || Ready::new(context, *gathered, &store)).await {
                    Ok(ready) => self.take_in(request, key, ready).await,
                    Err(CommitError::Work(wrong)) => self.refuse(request, key, wrong).await,
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// Says what is wrong; but of a request that comes again, what it brings may be there already: its key
    /// tells.
    async fn refuse(
        &self,
        request: Waits,
        key: Option<IdempotencyKey>,
        wrong: LoadError,
    ) -> Result<Written<Loaded>, CommitError<LoadError>> {
        let work = |_: &mut Transaction| Err(wrong);
        self.submit_once(request.now(), key, Work::inside(work))
            .await
    }

    /// Puts records one by one. What that needs in memory is read beside the writers, and held here until
    /// it is done.
    async fn put_rows(
        &self,
        request: Waits,
        key: Option<IdempotencyKey>,
        rows: Rows,
        mode: Mode,
    ) -> Result<Written<Loaded>, CommitError<LoadError>> {
        let rows = Arc::new(rows);
        for attempt in 1.. {
            let newest = self.snapshot();
            let needed = load::needed(&rows, mode, &newest);
            let held = match newest.has(&needed) {
                true => newest,
                false => having(newest, needed.clone()).await?,
            };
            let in_turn = attempt >= ATTEMPTS;
            let rows = rows.clone();
            let work = move |transaction: &mut Transaction| {
                if !in_turn && !transaction.has(&held, &needed) {
                    return Err(OUTRUN);
                }
                load::apply(&rows, mode, transaction).map_err(LoadError::from)
            };
            let work = Work::inside(work);
            let written = self.submit_once(request.now(), key.clone(), work).await;
            match written {
                Err(CommitError::Work(LoadError { outrun: true, .. })) => {}
                written => return written,
            }
        }
        Err(CommitError::Panicked)
    }

    async fn take_in(
        &self,
        request: Waits,
        key: Option<IdempotencyKey>,
        mut ready: Ready,
    ) -> Result<Written<Loaded>, CommitError<LoadError>> {
        for attempt in 1.. {
            // It comes back here when it was outrun.
            let place = Arc::new(Mutex::new(Some(ready)));
            let shared = place.clone();
            let in_turn = attempt >= ATTEMPTS;
            let work = move |transaction: &mut Transaction| {
                let ready = unpoisoned(&shared).take().ok_or(OUTRUN)?;
                match ready.take_in(transaction) {
                    Taken::Loaded(loaded) => Ok(loaded),
                    Taken::Wrong(lines) => Err(lines.into()),
                    Taken::Outrun(ready) if in_turn => again(*ready, transaction),
                    Taken::Outrun(ready) => {
                        *unpoisoned(&shared) = Some(*ready);
                        Err(OUTRUN)
                    }
                }
            };
            let work = Work::inside(work);
            let written = self.submit_once(request.now(), key.clone(), work).await;
            let outrun = unpoisoned(&place).take();
            match (written, outrun) {
                (Err(CommitError::Work(LoadError { outrun: true, .. })), Some(outrun)) => {
                    let now = self.snapshot();
                    ready = beside(move || outrun.renumber(&now)).await?;
                }
                (written, _) => return written,
            }
        }
        Err(CommitError::Panicked)
    }
}

/// What a load asks for. Its deadline is the time that it waits for its turn at most: before that it has its
/// own work to do, which takes as long as the load is large.
struct Waits {
    request: WriteRequest,
    patience: Option<Duration>,
}

impl Waits {
    fn of(request: WriteRequest) -> Self {
        let now = Instant::now();
        let patience = request.deadline.map(|it| it.saturating_duration_since(now));
        Self { request, patience }
    }

    /// For a turn that it begins to wait for.
    fn now(&self) -> WriteRequest {
        WriteRequest {
            deadline: self.patience.map(|patience| Instant::now() + patience),
            ..self.request.clone()
        }
    }
}

/// Says that the load is to be made ready anew; told to nobody.
const OUTRUN: LoadError = LoadError {
    lines: Vec::new(),
    outrun: true,
};

/// Numbers a load anew in its turn, when nobody else writes.
fn again(ready: Ready, transaction: &mut Transaction) -> Result<Loaded, LoadError> {
    let wrong = |message: String| LoadError::from(vec![load::LineError { line: 0, message }]);
    let ready = ready
        .renumber(transaction.snapshot())
        .map_err(|error| wrong(error.to_string()))?;
    match ready.take_in(transaction) {
        Taken::Loaded(loaded) => Ok(loaded),
        Taken::Wrong(lines) => Err(lines.into()),
        Taken::Outrun(_) => Err(wrong("its ids are taken".to_owned())),
    }
}

/// A snapshot with some columns in memory, which are read on a thread that gives way.
async fn having(
    newest: Arc<Snapshot>,
    needed: Needed,
) -> Result<Arc<Snapshot>, CommitError<LoadError>> {
    let reading = aside::run(move || {
        let mut own = newest.as_ref().clone().apart();
        drop(newest);
        own.have(&needed).map(|()| Arc::new(own))
    });
    let read = reading.await.map_err(|_| CommitError::Panicked)?;
    read.map_err(|error| CommitError::Write(WriteError::Column(error)))
}

/// Makes a load ready on a thread that gives way.
async fn beside(
    work: impl FnOnce() -> Result<Ready, NotReady> + Send + 'static,
) -> Result<Ready, CommitError<LoadError>> {
    match aside::run(work).await {
        Ok(Ok(ready)) => Ok(ready),
        Ok(Err(NotReady::Lines(lines))) => Err(CommitError::Work(lines.into())),
        Ok(Err(NotReady::File(error))) => Err(CommitError::SideFile(Arc::new(error))),
        Ok(Err(NotReady::Columns(error))) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a load failed");
            Err(CommitError::Panicked)
        }
        Err(_) => Err(CommitError::Panicked),
    }
}
