//! From the folder to the newest state: a checkpoint that the log bears out, and the log after it.

use std::sync::Arc;
use std::time::Duration;

use journal::{Lsn, Point, Reason, Recovery, Start};

use crate::checkpoint::{self, Checkpoint};
use crate::cold::Shelf;
use crate::graph::log::{Log, Right};
use crate::graph::open::{Extent, OpenError, Replay, UnusableCheckpoint, load};
use crate::graph::{Identity, Options};
use crate::reach::is_out_of_reach;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::tables::{self, TableError};

/// A graph's newest state, and its log ready to be written on.
pub(super) struct Recovered {
    pub(super) base: Base,
    pub(super) log: Log,
    pub(super) recovery: Recovery,
    pub(super) replay: Replay,
    pub(super) shelf: Arc<Shelf>,
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

    pub(super) fn replay(
        &self,
        store: &Store,
        identity: &Identity,
        snapshot: Option<Snapshot>,
    ) -> Replay {
        let mut replay = Replay::from(store, identity.uuid, snapshot).of(identity);
        replay.horizon = self.checkpoint.as_ref().map_or(0, |it| it.horizon);
        replay.digest = self.point().digest;
        replay
    }
}

/// How often the search for a checkpoint begins anew because a writer that was not yet superseded has
/// collected what it was in the middle of, which only an object store lets happen.
const SEARCHES: usize = 3;

/// How often a checkpoint in an object store is read that could not be read as a whole.
const ATTEMPTS: u32 = 3;

/// How long is waited before the first repetition; twice that before the second.
const WAIT: Duration = Duration::from_millis(200);

/// The newest state, from a checkpoint and the log after it, which is continued.
pub(super) fn recover(
    store: &Store,
    identity: &Identity,
    options: &Options,
    right: Right,
) -> Result<Recovered, OpenError> {
    let mut right = Some(right);
    let mut names = checkpoint::names(store)?;
    for _ in 1..SEARCHES {
        match recover_from(store, identity, options, &mut right, &names) {
            Err(error) if store.bucket().is_some() => {
                let now = checkpoint::names(store)?;
                if now == names {
                    return Err(error);
                }
                names = now;
            }
            done => return done,
        }
    }
    recover_from(store, identity, options, &mut right, &names)
}

fn recover_from(
    store: &Store,
    identity: &Identity,
    options: &Options,
    right: &mut Option<Right>,
    names: &[String],
) -> Result<Recovered, OpenError> {
    let shelf = Shelf::new(store, options.memory.clone());
    let extent = Extent {
        shelf: &shelf,
        resident: (options.resident_rows, options.resident_bytes),
        lasting: true,
    };
    let (opened, mut base, replay) =
        from_newest(store, identity, names, extent, |base, replay| {
            Log::open(store, right, options, base.start(), &mut |entry| {
                replay.visit(entry).map_err(Into::into)
            })
        })?;
    let (log, recovery) = opened;
    let used = base.checkpoint.as_ref().map(Checkpoint::name);
    let mut older = names.iter().skip_while(|name| Some(*name) != used.as_ref());
    older.next();
    for name in older {
        base.previous = sound(store, identity, name)?;
        if base.previous.is_some() {
            break;
        }
    }
    Ok(Recovered {
        base,
        log,
        recovery,
        replay,
        shelf,
    })
}

/// Tries the checkpoints from the newest on, and at last the log alone. One that is damaged, or that
/// the log does not bear out, is passed over: the log is the truth. One that cannot be reached is not,
/// and neither is one that a log ends before, which has lost what the checkpoint holds.
pub(super) fn from_newest<T>(
    store: &Store,
    identity: &Identity,
    names: &[String],
    extent: Extent<'_>,
    mut open: impl FnMut(&Base, &mut Replay) -> Result<T, journal::Error>,
) -> Result<(T, Base, Replay), OpenError> {
    let mut refusal = None;
    for name in names.iter().map(Some).chain([None]) {
        let Some((checkpoint, snapshot)) = candidate(store, identity, name, extent)? else {
            continue;
        };
        let base = Base {
            checkpoint,
            previous: None,
        };
        let mut replay = base.replay(store, identity, snapshot);
        match open(&base, &mut replay) {
            Ok(opened) => return Ok((opened, base, replay)),
            Err(error) if contradicts(&error) => {
                let shown = &error as &dyn std::error::Error;
                tracing::error!(%store, name, error = shown, "the log does not bear out a checkpoint");
                refusal.get_or_insert(error);
            }
            Err(error) if is_out_of_reach(&error) => return Err(error.into()),
            Err(error) => return Err(refusal.unwrap_or(error).into()),
        }
    }
    // Without a checkpoint the log was opened or refused.
    Err(refusal.map_or(OpenError::Unfinished, Into::into))
}

/// A checkpoint with its state; nothing and no state for `None`; nothing at all when it is damaged.
type Candidate = (Option<Checkpoint>, Option<Snapshot>);

fn candidate(
    store: &Store,
    identity: &Identity,
    name: Option<&String>,
    extent: Extent<'_>,
) -> Result<Option<Candidate>, OpenError> {
    let Some(name) = name else {
        return Ok(Some((None, None)));
    };
    let mut attempt = 1;
    let error = loop {
        match load(store, identity.uuid, name, extent) {
            Ok((checkpoint, snapshot)) => return Ok(Some((Some(checkpoint), Some(snapshot)))),
            Err(error) => match store.bucket() {
                // Lance does not always say why it failed.
                Some(bucket) if attempt < ATTEMPTS && may_pass(&error) => {
                    bucket.wait(WAIT * attempt);
                    attempt += 1;
                }
                _ => break error,
            },
        }
    };
    if let UnusableCheckpoint::Foreign(of) = error {
        return Err(OpenError::Foreign {
            says: identity.uuid,
            place: store.place(name),
            of,
        });
    }
    if is_out_of_reach(&error) && !is_cut_short(store, name) {
        return Err(OpenError::OutOfReach {
            place: store.place(name),
            source: error.into(),
        });
    }
    let error = &error as &dyn std::error::Error;
    tracing::error!(%store, name, error, "a checkpoint is not usable");
    Ok(None)
}

fn may_pass(error: &UnusableCheckpoint) -> bool {
    is_out_of_reach(error) || matches!(error, UnusableCheckpoint::Table(TableError::Lance { .. }))
}

/// Whether a file of a table of the checkpoint is missing or not as long as it was: asking an object
/// for more than it has fails like a request that was lost.
fn is_cut_short(store: &Store, name: &str) -> bool {
    if store.bucket().is_none() {
        return false;
    }
    let found = Checkpoint::read(store, name);
    found.is_ok_and(|checkpoint| {
        let mut versions = checkpoint.tables.values();
        versions.any(|version| match tables::contents(store, version) {
            Ok(_) => false,
            Err(TableError::Mismatch { .. }) => true,
            Err(_) => tables::has_half_a_manifest(store, version),
        })
    })
}

/// A checkpoint whose file is whole; its tables are not looked at. Nothing for one that is damaged.
pub(super) fn sound(
    store: &Store,
    identity: &Identity,
    name: &str,
) -> Result<Option<Checkpoint>, OpenError> {
    match Checkpoint::read(store, name) {
        Ok(found) => {
            let ours = checkpoint::is_known(found.format) && found.graph == identity.uuid;
            Ok(ours.then_some(found))
        }
        Err(error) if is_out_of_reach(&error) => Err(OpenError::OutOfReach {
            place: store.place(name),
            source: error.into(),
        }),
        Err(_) => Ok(None),
    }
}

/// Whether an older checkpoint may do where this one did not: the log has something else at its
/// position, begins after it, or has commits that cannot be carried out on its tables. Where the log
/// itself is damaged an older one does not do either, and the first error is told.
fn contradicts(error: &journal::Error) -> bool {
    match error {
        journal::Error::Damaged { reason, .. } => matches!(reason, Reason::Chain { .. }),
        journal::Error::Collected { .. } => true,
        // A file or a column that cannot be read now is no word on the checkpoint.
        journal::Error::Visit { source, .. } => {
            let file = source
                .source()
                .is_some_and(|cause| cause.is::<std::io::Error>());
            !file && !is_out_of_reach(error)
        }
        _ => false,
    }
}
