//! Where a log is walked: the graph's folder, or one into which the log and the checkpoints of a graph
//! in an object store are fetched. The objects of its log are segments like any others.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use journal::Lsn;
use tempfile::TempDir;

use crate::doctor::ExamineError;
use crate::doctor::finding::{Finding, counted};
use crate::files::{FileError, failed};
use crate::record::Heading;
use crate::store::bucket::Bucket;
use crate::store::{Contents, Store};

/// How many objects are fetched together.
const TOGETHER: usize = 16;

/// What may lose less than a repair of the log.
const VERSION: &str =
    "put back an earlier version of the object, if the store keeps versions; or else";

/// The folder, and what was found on the way.
#[derive(Debug)]
pub(super) struct Desk {
    folder: PathBuf,
    /// Goes with this.
    _fetched: Option<TempDir>,
    /// Objects of the log that are of no use any more.
    retired: usize,
}

impl Desk {
    pub(super) fn of(store: &Store) -> Result<Self, ExamineError> {
        let place = store.place("");
        let Some(bucket) = store.bucket() else {
            return match place.is_dir() {
                true => Ok(Self {
                    folder: place,
                    _fetched: None,
                    retired: 0,
                }),
                false => Err(ExamineError::NotAFolder { folder: place }),
            };
        };
        let fetched = (store.contents()).and_then(|contents| match contents {
            Contents::Nothing => Ok(None),
            Contents::Graph(_) | Contents::Other => Self::fetch(bucket).map(Some),
        });
        match fetched {
            Ok(Some(desk)) => Ok(desk),
            Ok(None) => Err(ExamineError::Nothing { place }),
            Err(source) => Err(ExamineError::OutOfReach { place, source }),
        }
    }

    fn fetch(bucket: &Bucket) -> Result<Self, FileError> {
        let home =
            tempfile::tempdir().map_err(failed("create a folder for", Path::new("the log")))?;
        for part in ["checkpoints", "log"] {
            fetch(bucket, part, home.path())?;
        }
        let retired = retire(&home.path().join("log"))?;
        Ok(Self {
            folder: home.path().to_owned(),
            _fetched: Some(home),
            retired,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is to be said of what was fetched.
    pub(super) fn findings(&self) -> Vec<Finding> {
        if self.retired == 0 {
            return Vec::new();
        }
        let what = format!(
            "{} before the horizon",
            counted(self.retired as u64, "object")
        );
        let finding = Finding::note("log", what);
        vec![finding.means("they are of no use any more, and are deleted some time later")]
    }
}

/// Fetches every object directly below `part`. One that is gone meanwhile was collected.
fn fetch(bucket: &Bucket, part: &str, home: &Path) -> Result<(), FileError> {
    let folder = home.join(part);
    std::fs::create_dir(&folder).map_err(failed("create the folder", &folder))?;
    let names: Vec<String> = (bucket.list(part)?.into_iter())
        .map(|listed| listed.name)
        .collect();
    for together in names.chunks(TOGETHER) {
        let places: Vec<String> = (together.iter())
            .map(|name| format!("{part}/{name}"))
            .collect();
        let found = bucket.find_all(&places);
        let found = found.map_err(|error| bucket.error("read", part, error))?;
        for (name, bytes) in together.iter().zip(found) {
            let Some(bytes) = bytes else { continue };
            let path = folder.join(name);
            File::create_new(&path)
                .and_then(|mut file| file.write_all(&bytes))
                .map_err(failed("write", &path))?;
        }
    }
    Ok(())
}

/// Takes away segments that hold nothing from the horizon on: they are deleted several at once, so that
/// some may be gone and others, before those, not yet. Returns how many there were.
fn retire(log: &Path) -> Result<usize, FileError> {
    let mut horizon = 0;
    // What cannot be read is told later.
    let _ = journal::scan(log, Lsn::ZERO, &mut |entry| {
        if let Ok(Heading::Horizon(found)) = Heading::decode(entry.bytes) {
            horizon = found.first.max(horizon);
        }
    });
    let segments = journal::segments(log).unwrap_or_default();
    let kept = segments.partition_point(|segment| segment.first.0 <= horizon);
    let retired = segments.get(..kept.saturating_sub(1)).unwrap_or_default();
    for segment in retired {
        let path = log.join(format!("{:020}.seg", segment.first.0));
        std::fs::remove_file(&path).map_err(failed("remove", &path))?;
    }
    Ok(retired.len())
}

/// Adds what an object store may have that a disk has not.
pub(super) fn or_a_version(finding: &mut Finding) {
    if let ("log" | "files", Some(rescue)) = (finding.part, &mut finding.rescue)
        && rescue.starts_with("`trellis repair")
    {
        *rescue = format!("{VERSION} {rescue}");
    }
}
