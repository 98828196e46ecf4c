//! Mending the log: in a folder by new segments ([`journal::Salvage`]), in an object store by other
//! objects under the same names ([`journal::end_objects`]), for there a name that became free could be
//! taken by a writer that was stopped. What a log that begins later leaves behind is removed in a folder,
//! and stands before the horizon in an object store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use journal::{Faults, Lsn, Point, Salvage};

use crate::clock;
use crate::doctor::log::LogStep;
use crate::doctor::repair::RepairError;
use crate::files::FileError;
use crate::graph::{self, LOCAL_EPOCH, Right};
use crate::reach::is_out_of_reach;
use crate::record::{Horizon, Record, RecordError, SideFile};
use crate::store::bucket::Bucket;
use crate::store::{LogObjects, Store};

/// Leases after which a writer that has not looked acknowledges nothing more: it may put for one of them,
/// and wait for its answer for another.
const LAST_LEASES: u32 = 2;

/// The epoch to write in. In an object store, who mends a log must know where the writers before it go
/// on: [`journal::Error::Epoch`] when that had to be settled by an object of this epoch, so that a later
/// one is needed.
pub(super) fn epoch(store: &Store, right: &Right, lease: Duration) -> Result<u64, journal::Error> {
    let (Right::Claim(claim), Some(bucket)) = (right, store.bucket()) else {
        return Ok(LOCAL_EPOCH);
    };
    let epoch = claim.epoch();
    let mut term = |lsn| Ok(graph::term(lsn, epoch).encode()?);
    if journal::bar_objects(&LogObjects::of(bucket), epoch, &mut term)? {
        bucket.wait(lease * LAST_LEASES);
        let (given, found) = (epoch, epoch);
        return Err(journal::Error::Epoch { given, found });
    }
    Ok(epoch)
}

/// What a step removes or replaces, or what is to be collected because of it.
pub(super) fn replaced(store: &Store, step: &LogStep) -> Result<Vec<PathBuf>, RepairError> {
    let mut found = Vec::new();
    if store.bucket().is_some() {
        let goes = |first: u64| match step {
            LogStep::BeginAfter(point) => first <= point.lsn.0,
            LogStep::EndAfter { whole, .. } => first > whole.lsn.0,
        };
        for listed in store.list("log")? {
            let first = listed
                .name
                .strip_suffix(".seg")
                .and_then(|it| it.parse().ok());
            if first.is_some_and(goes) {
                found.push(Path::new("log").join(listed.name));
            }
        }
    } else {
        for path in step.salvage(Vec::new()).replaces(&store.place("log"))? {
            found.push(Path::new("log").join(path.file_name().unwrap_or_default()));
        }
    }
    found.extend(step.side_files(store)?);
    Ok(found)
}

/// Carries the steps out, by a writer of that epoch.
pub(super) fn mend_log(
    store: &Store,
    steps: &[LogStep],
    epoch: u64,
    faults: Option<Arc<dyn Faults>>,
) -> Result<(), RepairError> {
    if let Some(bucket) = store.bucket() {
        return mend_objects(bucket, steps, epoch);
    }
    let log = store.place("log");
    for step in steps {
        let options = journal::Options {
            epoch,
            faults: faults.clone(),
            ..journal::Options::default()
        };
        step.salvage(step.kept(&log)?).apply(&log, options)?;
    }
    Ok(())
}

impl LogStep {
    fn salvage(&self, entries: Vec<Vec<u8>>) -> Salvage {
        match self {
            Self::BeginAfter(point) => Salvage::BeginAfter(*point),
            Self::EndAfter { whole, .. } => Salvage::EndAfter(*whole, entries),
        }
    }

    /// Side files of commits that are cut off: opening the graph removes them, as it does with what
    /// a killed writer leaves.
    fn side_files(&self, store: &Store) -> Result<Vec<PathBuf>, FileError> {
        let Self::EndAfter { last, .. } = self else {
            return Ok(Vec::new());
        };
        let mut listed = store.list("files")?;
        listed.retain(|it| SideFile::lsn(&it.name).is_some_and(|lsn| lsn > *last));
        let paths = listed
            .into_iter()
            .map(|it| Path::new("files").join(it.name));
        Ok(paths.collect())
    }

    /// Entries that stay of a frame whose later ones do not.
    fn kept(&self, log: &Path) -> Result<Vec<Vec<u8>>, journal::Error> {
        let Self::EndAfter { whole, last } = self else {
            return Ok(Vec::new());
        };
        if whole.lsn.0 == *last {
            return Ok(Vec::new());
        }
        let mut kept = Vec::new();
        journal::follow(log, Some(*whole), &mut |entry| {
            if entry.lsn.0 <= *last {
                kept.push(entry.bytes.to_vec());
            }
        })?;
        Ok(kept)
    }
}

fn mend_objects(bucket: &Bucket, steps: &[LogStep], epoch: u64) -> Result<(), RepairError> {
    let objects = LogObjects::of(bucket);
    let begin = steps.iter().find_map(|step| match step {
        LogStep::BeginAfter(point) => Some(*point),
        LogStep::EndAfter { .. } => None,
    });
    let end = steps.iter().find_map(|step| match step {
        LogStep::BeginAfter(_) => None,
        LogStep::EndAfter { whole, last } => Some((*whole, *last)),
    });
    let (after, kept) = match (end, begin) {
        (Some((whole, last)), _) => (whole, kept(&objects, whole, last)?),
        (None, Some(point)) => (end_after(&objects, point)?, Vec::new()),
        (None, None) => return Ok(()),
    };
    let term = |lsn| graph::term(lsn, epoch).encode();
    let mut kept = kept.into_iter();
    let mut entry = |lsn| match kept.next() {
        Some(kept) => Ok(kept),
        None => Ok(term(lsn)?),
    };
    let mut ending = |lsn| {
        let horizon = begin.map(|point| horizon(lsn, epoch, point)).transpose()?;
        Ok(horizon.into_iter().collect())
    };
    Ok(journal::end_objects(
        &objects,
        after,
        epoch,
        &mut entry,
        &mut ending,
    )?)
}

/// Where a log ends that goes on soundly after a point, or that point.
fn end_after(objects: &LogObjects, point: Point) -> Result<Point, journal::Error> {
    match journal::read_objects(objects, point.lsn, &mut |_| Ok(())) {
        Ok(end) => Ok(Point {
            lsn: end.last,
            digest: end.digest,
        }),
        Err(error) if is_out_of_reach(&error) => Err(error),
        Err(_) => Ok(point),
    }
}

/// The entries up to `last` of the object that begins after `whole`.
fn kept(objects: &LogObjects, whole: Point, last: u64) -> Result<Vec<Vec<u8>>, journal::Error> {
    let mut kept = Vec::new();
    if whole.lsn.0 == last {
        return Ok(kept);
    }
    let read = journal::read_objects(objects, whole.lsn, &mut |entry| {
        if entry.lsn.0 <= last {
            kept.push(entry.bytes.to_vec());
        }
        Ok(())
    });
    match read {
        // What is behind them may be damaged.
        Err(error) if (kept.len() as u64) < last - whole.lsn.0 => Err(error),
        _ => Ok(kept),
    }
}

/// What says that history begins after a point.
fn horizon(lsn: Lsn, epoch: u64, point: Point) -> Result<Vec<u8>, RecordError> {
    let horizon = Horizon {
        lsn: lsn.0,
        epoch,
        time_micros: clock::now_micros(),
        first: point.lsn.0 + 1,
    };
    Record::Horizon(horizon).encode()
}
