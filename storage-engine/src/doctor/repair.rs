//! Repair: the least that makes a graph open again, after a copy of everything that it changes.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use journal::{Effect, Faults, Verdict};

use crate::doctor::finding::CommitMark;
use crate::doctor::log::LogStep;
use crate::doctor::{Depth, Diagnosis, ExamineError, examine, mending, writer};
use crate::files::{FileError, failed};
use crate::graph::{self, LEASE, Right};
use crate::lock::Holder;
use crate::store::claim::ClaimError;
use crate::store::{REPAIRED, Store};

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
    /// Files or objects that are copied, then changed or removed, within the graph's place.
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

    fn of(store: &Store, diagnosis: Diagnosis) -> Result<Self, RepairError> {
        let treatment = &diagnosis.treatment;
        if !treatment.blocked.is_empty() {
            let reasons = treatment.blocked.clone();
            return Err(RepairError::Beyond { reasons });
        }
        let mut copied: Vec<_> = treatment
            .drops
            .iter()
            .map(|(path, _)| path.clone())
            .collect();
        for step in &treatment.log {
            copied.extend(mending::replaced(store, step)?);
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

impl From<ClaimError> for RepairError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Held(holder) => Self::Locked { holder },
            ClaimError::Unconditional => Self::Beyond {
                reasons: vec![error.to_string()],
            },
            ClaimError::File(error) => error.into(),
        }
    }
}

/// Says what [`repair`] would do. Changes nothing.
///
/// # Errors
/// [`RepairError`] when a process holds the graph, or when nothing may be done.
pub fn prescribe(place: impl Into<Store>, depth: Depth) -> Result<Prescription, RepairError> {
    let store = place.into();
    let diagnosis = examine(&store, depth)?;
    match writer(&store)? {
        Some(holder) => Err(RepairError::Locked { holder }),
        None => Prescription::of(&store, diagnosis),
    }
}

/// Repairs a graph. Blocks; not to be called from an async context.
///
/// # Errors
/// [`RepairError`]; it says whether anything was changed.
pub fn repair(place: impl Into<Store>, depth: Depth) -> Result<Repaired, RepairError> {
    repair_with(&place.into(), depth, LEASE, None)
}

/// As [`repair`], where writers in an object store have that lease; `faults` are asked before each change
/// of a folder, so that a test can stop it there.
pub(super) fn repair_with(
    store: &Store,
    depth: Depth,
    lease: Duration,
    faults: Option<Arc<dyn Faults>>,
) -> Result<Repaired, RepairError> {
    // First without the right to write: taking it changes something.
    prescribe(store, depth)?;
    let attempt = |right| attempt(store, depth, lease, faults.clone(), right);
    let passed = |error: &RepairError| match error {
        RepairError::Log(journal::Error::Epoch { found, .. })
        | RepairError::Append(journal::AppendError::NotWritten(journal::Error::Epoch {
            found,
            ..
        })) => Some(*found),
        _ => None,
    };
    let (before, copies) = graph::with_right(store, lease, attempt, passed)?;
    let after = examine(store, depth)?;
    Ok(Repaired {
        before,
        after,
        copies,
    })
}

/// What was found, and where the copies of it are.
type Done = (Prescription, Option<PathBuf>);

fn attempt(
    store: &Store,
    depth: Depth,
    lease: Duration,
    faults: Option<Arc<dyn Faults>>,
    right: Right,
) -> Result<Done, RepairError> {
    let epoch = mending::epoch(store, &right, lease)?;
    let mut diagnosis = examine(store, depth)?;
    // The process that holds it is this one.
    let own = ["writer.lock", "epochs"];
    diagnosis.findings.retain(|it| !own.contains(&it.part));
    let before = Prescription::of(store, diagnosis)?;
    let mut copies = None;
    if !before.is_empty() {
        copies = Some(copy(store, &before)?);
        let treatment = &before.diagnosis.treatment;
        mending::mend_log(store, &treatment.log, epoch, faults.clone())?;
        drop_checkpoints(store, &treatment.drops, faults.as_deref())?;
    }
    if let Right::Claim(claim) = right {
        claim.release();
    }
    Ok((before, copies))
}

fn drop_checkpoints(
    store: &Store,
    drops: &[(PathBuf, String)],
    faults: Option<&dyn Faults>,
) -> Result<(), RepairError> {
    for (path, _) in drops {
        let name = path.to_string_lossy();
        let place = store.place(&name);
        let asked = faults.map(|it| it.before(&Effect::Remove { path: &place }));
        if let Some(Verdict::Fail(error)) = asked {
            return Err(failed("remove", &place)(error).into());
        }
        store.delete(&name)?;
    }
    if !drops.is_empty() {
        store.sync_names("checkpoints")?;
    }
    Ok(())
}

/// Copies what will be changed into a folder of its own, durably, with what was found.
fn copy(store: &Store, prescription: &Prescription) -> Result<PathBuf, FileError> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
    let copies = format!("{REPAIRED}{time}");
    store.make_folder(&copies)?;
    let pair = |path: &PathBuf| {
        let name = path.to_string_lossy();
        (name.to_string(), format!("{copies}/{name}"))
    };
    let pairs: Vec<_> = prescription.copied.iter().map(pair).collect();
    store.copy_all(&pairs)?;
    let findings = prescription.diagnosis.findings.iter();
    let mut report: String = findings.map(|finding| format!("{finding}\n")).collect();
    report.push_str(&format!("\n{prescription}"));
    store.put(&format!("{copies}/report.txt"), &[report.as_bytes()])?;
    store.sync_names("")?;
    Ok(store.place(&copies))
}
