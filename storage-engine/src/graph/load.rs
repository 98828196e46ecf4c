//! A load: made ready beside the writers, committed in its turn.

use std::sync::{Arc, Mutex};

use crate::aside;
use crate::graph::commit::unpoisoned;
use crate::graph::{CommitError, Graph, IdempotencyKey, Work, WriteRequest, Written};
use crate::load::{self, Batch, Content, LoadError, Loaded, NotReady, Ready, Taken};
use crate::transaction::Transaction;

/// How often a load is made ready beside the writers. When others were faster each time, it is done
/// once more in its turn, and they wait.
const ATTEMPTS: usize = 3;

impl Graph {
    /// Loads what was read, in one commit; with a key, as [`Graph::submit_once`] does. A batch is
    /// loaded once; when the caller goes away before its turn, nothing is.
    ///
    /// # Errors
    /// [`CommitError`]; of [`CommitError::Work`] the lines say what is wrong.
    pub async fn load(
        &self,
        request: WriteRequest,
        key: Option<IdempotencyKey>,
        batch: &Batch,
    ) -> Result<Written<Loaded>, CommitError<LoadError>> {
        let mode = batch.mode();
        match batch.take() {
            None => Err(CommitError::Panicked),
            Some(Content::Rows(rows)) => {
                let work = move |transaction: &mut Transaction| {
                    load::apply(&rows, mode, transaction).map_err(LoadError::from)
                };
                self.submit_once(request, key, Work::inside(work)).await
            }
            Some(Content::Columns(gathered, context)) => {
                let store = self.inner.store.clone();
                match beside(move || Ready::new(context, *gathered, &store)).await {
                    Ok(ready) => self.take_in(request, key, ready).await,
                    // Of a request that comes again, what it brings is there already: its key tells.
                    Err(CommitError::Work(wrong)) => {
                        let work = |_: &mut Transaction| Err(wrong);
                        self.submit_once(request, key, Work::inside(work)).await
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    async fn take_in(
        &self,
        request: WriteRequest,
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
            let written = self.submit_once(request.clone(), key.clone(), work).await;
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
