//! From the folder to the newest state: a checkpoint that the log bears out, and the log after it.

use journal::{Lsn, Point, Reason, Recovery, Start};
use uuid::Uuid;

use crate::checkpoint::{self, Checkpoint};
use crate::graph::Options;
use crate::graph::log::{Log, Right};
use crate::graph::open::{OpenError, Replay, UnusableCheckpoint, load};
use crate::snapshot::Snapshot;
use crate::store::Store;

/// A graph's newest state, and its log ready to be written on.
pub(super) struct Recovered {
    pub(super) base: Base,
    pub(super) log: Log,
    pub(super) recovery: Recovery,
    pub(super) replay: Replay,
}

/// Where replaying begins.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// `None`: with the log's first entry.
    pub(super) checkpoint: Option<Checkpoint>,
    /// The one before it.
    pub(super) previous: Option<Checkpoint>,
}

impl Base {
    /// The last entry of the log that is not replayed.
    pub(super) fn point(&self) -> Point {
        let checkpoint = self.checkpoint.as_ref();
        Point {
            lsn: Lsn(checkpoint.map_or(0, |checkpoint| checkpoint.lsn)),
            digest: checkpoint.and_then(Checkpoint::digest).unwrap_or_default(),
        }
    }

    fn start(&self) -> Start {
        Start {
            after: self.point().lsn,
            digest: self.checkpoint.as_ref().and_then(Checkpoint::digest),
        }
    }

    pub(super) fn replay(&self, store: &Store, graph: Uuid, snapshot: Option<Snapshot>) -> Replay {
        let mut replay = Replay::from(store, graph, snapshot);
        replay.horizon = self.checkpoint.as_ref().map_or(0, |it| it.horizon);
        replay.digest = self.point().digest;
        replay
    }
}

/// Tries the checkpoints from the newest on, and at last the log alone. One that cannot be used, or
/// that the log does not bear out, is passed over: the log is the truth. A log that ends before a
/// checkpoint has lost what the checkpoint holds, and is not passed over.
pub(super) fn recover(
    store: &Store,
    graph: Uuid,
    options: &Options,
    right: Right,
) -> Result<Recovered, OpenError> {
    let mut right = Some(right);
    let names = checkpoint::names(store)?;
    let mut refusal = None;
    for (at, name) in names.iter().map(Some).chain([None]).enumerate() {
        let Some((checkpoint, snapshot)) = candidate(store, graph, name) else {
            continue;
        };
        let previous = names.get(at + 1..).unwrap_or_default().iter();
        let base = Base {
            checkpoint,
            previous: previous.clone().find_map(|name| sound(store, graph, name)),
        };
        let mut replay = base.replay(store, graph, snapshot);
        let opened = Log::open(store, &mut right, options, base.start(), &mut |entry| {
            replay.visit(entry).map_err(Into::into)
        });
        match opened {
            Ok((log, recovery)) => {
                return Ok(Recovered {
                    base,
                    log,
                    recovery,
                    replay,
                });
            }
            Err(error) if contradicts(&error) => {
                let shown = &error as &dyn std::error::Error;
                tracing::error!(%store, name, error = shown, "the log does not bear out a checkpoint");
                refusal.get_or_insert(error);
            }
            Err(error) => return Err(refusal.unwrap_or(error).into()),
        }
    }
    // Without a checkpoint the log was opened or refused.
    Err(refusal.map_or(OpenError::Unfinished, Into::into))
}

/// A checkpoint with its state; nothing and no state for `None`; nothing at all when it is unusable.
type Candidate = (Option<Checkpoint>, Option<Snapshot>);

fn candidate(store: &Store, graph: Uuid, name: Option<&String>) -> Option<Candidate> {
    let Some(name) = name else {
        return Some((None, None));
    };
    match load(store, graph, name) {
        Ok((checkpoint, snapshot)) => Some((Some(checkpoint), Some(snapshot))),
        Err(error) => {
            warn_unusable(store, name, &error);
            None
        }
    }
}

pub(super) fn warn_unusable(store: &Store, name: &str, error: &UnusableCheckpoint) {
    let error = error as &dyn std::error::Error;
    tracing::error!(%store, name, error, "a checkpoint is not usable");
}

/// A checkpoint whose file is whole; its tables are not looked at.
pub(super) fn sound(store: &Store, graph: Uuid, name: &str) -> Option<Checkpoint> {
    let found = Checkpoint::read(store, name).ok()?;
    (found.format == checkpoint::FORMAT && found.graph == graph).then_some(found)
}

/// Whether an older checkpoint may do where this one did not: the log has something else at its
/// position, begins after it, or has commits that cannot be carried out on its tables. Where the log
/// itself is damaged an older one does not do either, and the first error is told.
pub(super) fn contradicts(error: &journal::Error) -> bool {
    match error {
        journal::Error::Damaged { reason, .. } => matches!(reason, Reason::Chain { .. }),
        journal::Error::Collected { .. } => true,
        // A file that cannot be read now is no word on the checkpoint.
        journal::Error::Visit { source, .. } => !source
            .source()
            .is_some_and(|cause| cause.is::<std::io::Error>()),
        _ => false,
    }
}
