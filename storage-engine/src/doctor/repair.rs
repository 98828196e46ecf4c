//! Repair: the least that makes a graph open again, after a copy of everything that it changes.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::{Effect, Faults, Salvage, Verdict};

use crate::doctor::finding::CommitMark;
use crate::doctor::log::LogStep;
use crate::doctor::{Depth, Diagnosis, ExamineError, examine};
use crate::files::{self, FileError, failed};
use crate::graph::LOCAL_EPOCH;
use crate::lock::{self, Holder, LockError, WriterLock};
use crate::record::SideFile;
use crate::store::Store;

/// Why nothing was repaired. Nothing was changed, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The folder cannot be examined.
    #[error(transparent)]
    Examine(#[from] ExamineError),
    /// A process has the graph open for writing.
    #[error("{holder} holds the graph for writing: stop it first; nothing was changed")]
    Locked {
        /// Who.
        holder: Holder,
    },
    /// It is in an object store.
    #[error(
        "a graph in an object store is not repaired in place: put back earlier versions of the objects \
         that `trellis doctor` names, if the store keeps them, or load an export into a new graph; \
         nothing was changed"
    )]
    Remote,
    /// What is wrong is not to be mended by dropping things.
    #[error("this cannot be repaired: {}; nothing was changed", reasons.join(", "))]
    Beyond {
        /// What stands in the way.
        reasons: Vec<String>,
    },
    /// A file could not be copied or removed. What was copied stays.
    #[error(transparent)]
    File(#[from] FileError),
    /// The log could not be read or listed.
    #[error("the log cannot be read")]
    Log(#[from] journal::Error),
    /// The log could not be changed. What was copied stays; the repair can be tried again.
    #[error("the log cannot be changed")]
    Append(#[from] journal::AppendError),
}

/// What a repair would do.
#[derive(Clone, Debug)]
pub struct Prescription {
    /// What was found.
    pub diagnosis: Diagnosis,
    /// Files that are copied, then changed or removed, within the graph's folder.
    pub copied: Vec<PathBuf>,
}

/// What a repair did.
#[derive(Debug)]
pub struct Repaired {
    /// What was found before, and done.
    pub before: Prescription,
    /// What is found now.
    pub after: Diagnosis,
    /// Where the copies are, if anything was to be done.
    pub copies: Option<PathBuf>,
}

impl Prescription {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let treatment = &self.diagnosis.treatment;
        treatment.drops.is_empty() && treatment.log.is_empty()
    }

    /// The acknowledged commits that are lost by it.
    #[must_use]
    pub fn lost(&self) -> &[CommitMark] {
        &self.diagnosis.treatment.lost
    }

    fn of(diagnosis: Diagnosis) -> Result<Self, RepairError> {
        let treatment = &diagnosis.treatment;
        if !treatment.blocked.is_empty() {
            let reasons = treatment.blocked.clone();
            return Err(RepairError::Beyond { reasons });
        }
        let log = diagnosis.folder.join("log");
        let mut copied: Vec<_> = treatment
            .drops
            .iter()
            .map(|(path, _)| path.clone())
            .collect();
        for step in &treatment.log {
            for path in step.salvage(Vec::new()).replaces(&log)? {
                let name = path.file_name().unwrap_or_default();
                copied.push(Path::new("log").join(name));
            }
            copied.extend(step.side_files(&diagnosis.folder)?);
        }
        copied.sort();
        copied.dedup();
        Ok(Self { diagnosis, copied })
    }
}

/// One line a step, then what is lost.
impl fmt::Display for Prescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let treatment = &self.diagnosis.treatment;
        for (path, why) in &treatment.drops {
            writeln!(f, "take away {}: {why}", path.display())?;
        }
        for step in &treatment.log {
            match step {
                LogStep::BeginAfter(point) => writeln!(
                    f,
                    "let the log begin after lsn {}, up to which a checkpoint holds the data; the history before goes",
                    point.lsn
                )?,
                LogStep::EndAfter { last, .. } => writeln!(f, "end the log after lsn {last}")?,
            }
        }
        for path in &self.copied {
            writeln!(f, "copy first: {}", path.display())?;
        }
        if self.lost().is_empty() && !treatment.log.is_empty() {
            writeln!(f, "no commit is known that would be lost")?;
        }
        for commit in self.lost() {
            writeln!(f, "lost: {commit}")?;
        }
        Ok(())
    }
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
    fn side_files(&self, folder: &Path) -> Result<Vec<PathBuf>, FileError> {
        let Self::EndAfter { last, .. } = self else {
            return Ok(Vec::new());
        };
        let files = folder.join("files");
        let mut found = Vec::new();
        for entry in fs::read_dir(&files).map_err(failed("list", &files))? {
            let name = entry.map_err(failed("list", &files))?.file_name();
            let lsn = name.to_str().and_then(SideFile::lsn);
            if lsn.is_some_and(|lsn| lsn > *last) {
                found.push(Path::new("files").join(name));
            }
        }
        Ok(found)
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

/// Says what [`repair`] would do. Changes nothing.
///
/// # Errors
/// [`RepairError`] when a process holds the graph, or when nothing may be done.
pub fn prescribe(place: impl Into<Store>, depth: Depth) -> Result<Prescription, RepairError> {
    let store = place.into();
    let folder = store.folder().ok_or(RepairError::Remote)?;
    let diagnosis = examine(folder, depth)?;
    if let Some(holder) = lock::holder(folder)? {
        return Err(RepairError::Locked { holder });
    }
    Prescription::of(diagnosis)
}

/// Repairs a graph's folder. Blocks; not to be called from an async context.
///
/// # Errors
/// [`RepairError`]; it says whether anything was changed.
pub fn repair(place: impl Into<Store>, depth: Depth) -> Result<Repaired, RepairError> {
    let store = place.into();
    repair_with(store.folder().ok_or(RepairError::Remote)?, depth, None)
}

/// As [`repair`]; `faults` are asked before each change, so that a test can stop it there.
pub(super) fn repair_with(
    folder: &Path,
    depth: Depth,
    faults: Option<Arc<dyn Faults>>,
) -> Result<Repaired, RepairError> {
    // First without the lock, whose file is made by taking it.
    prescribe(folder, depth)?;
    let lock = WriterLock::acquire(folder).map_err(|error| match error {
        LockError::Held(holder) => RepairError::Locked { holder },
        LockError::File(error) => error.into(),
    })?;
    let mut diagnosis = examine(folder, depth)?;
    // The process that holds it is this one.
    diagnosis
        .findings
        .retain(|finding| finding.part != "writer.lock");
    let before = Prescription::of(diagnosis)?;
    let mut copies = None;
    if !before.is_empty() {
        copies = Some(copy(folder, &before)?);
        apply(folder, &before, faults)?;
    }
    drop(lock);
    let after = examine(folder, depth)?;
    Ok(Repaired {
        before,
        after,
        copies,
    })
}

fn apply(
    folder: &Path,
    prescription: &Prescription,
    faults: Option<Arc<dyn Faults>>,
) -> Result<(), RepairError> {
    let treatment = &prescription.diagnosis.treatment;
    let log = folder.join("log");
    for step in &treatment.log {
        let options = journal::Options {
            epoch: LOCAL_EPOCH,
            faults: faults.clone(),
            ..journal::Options::default()
        };
        step.salvage(step.kept(&log)?).apply(&log, options)?;
    }
    for (path, _) in &treatment.drops {
        let path = folder.join(path);
        let asked = faults
            .as_ref()
            .map(|it| it.before(&Effect::Remove { path: &path }));
        if let Some(Verdict::Fail(error)) = asked {
            return Err(failed("remove", &path)(error).into());
        }
        fs::remove_file(&path).map_err(failed("remove", &path))?;
    }
    if !treatment.drops.is_empty() {
        files::sync_folder(&folder.join("checkpoints"))?;
    }
    Ok(())
}

/// Copies what will be changed into a folder of its own, durably, with what was found.
fn copy(folder: &Path, prescription: &Prescription) -> Result<PathBuf, FileError> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
    let copies = folder.join(format!("repair-{time}"));
    fs::create_dir(&copies).map_err(failed("create the folder", &copies))?;
    for path in &prescription.copied {
        let (from, to) = (folder.join(path), copies.join(path));
        if let Some(parent) = to.parent() {
            files::create_folder(parent)?;
        }
        copy_file(&from, &to)?;
        to.parent().map_or(Ok(()), files::sync_folder)?;
    }
    let findings = prescription.diagnosis.findings.iter();
    let mut report: String = findings.map(|finding| format!("{finding}\n")).collect();
    report.push_str(&format!("\n{prescription}"));
    files::write_durably(&copies.join("report.txt"), &[report.as_bytes()])?;
    files::sync_folder(folder)?;
    Ok(copies)
}

fn copy_file(from: &Path, to: &Path) -> Result<(), FileError> {
    let mut source = File::open(from).map_err(failed("open", from))?;
    let mut target = File::create_new(to).map_err(failed("create", to))?;
    io::copy(&mut source, &mut target).map_err(failed("copy", from))?;
    target.sync_all().map_err(failed("sync", to))
}
