//! Examines one graph without changing it, and says what is wrong and what can be saved. Of one in an
//! object store the log and the checkpoints are fetched first ([`desk`]), everything else is read there.
//!
//! It decodes nothing by itself: the log is walked by `journal`, records, side files, checkpoints and
//! tables are read by what opens a graph. So what the doctor calls sound opens, and what does not
//! open it explains. [`repair`] is the other half: it does the least that makes a graph open again,
//! and only after copying what it changes.
//!
//! ```no_run
//! use storage_engine::doctor::{Depth, examine};
//!
//! let diagnosis = examine(std::path::Path::new("data/people"), Depth::Usual)?;
//! for finding in &diagnosis.findings {
//!     println!("{finding}");
//! }
//! # Ok::<(), storage_engine::doctor::ExamineError>(())
//! ```

mod checkpoints;
mod desk;
mod finding;
mod log;
mod mending;
mod reading;
mod repair;
mod state;
mod strays;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::PathBuf;

use journal::Stop;
use serde::Serialize;
use uuid::Uuid;

pub use finding::{CommitMark, Finding, Severity};
pub use repair::{Prescription, RepairError, Repaired, prescribe, repair};

use crate::doctor::checkpoints::Candidate;
use crate::doctor::finding::{counted, told, within};
use crate::doctor::log::LogStep;
use crate::doctor::reading::Reading;
use crate::files::FileError;
use crate::graph::{self, Identity, OpenError, Replay};
use crate::lock;
use crate::reach::is_out_of_reach;
use crate::store::{Store, claim};

/// How much is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Every file, every record, and that the graph opens.
    #[default]
    Usual,
    /// Also that the log alone gives the same state as the newest checkpoint and what follows it.
    /// Holds the graph in memory twice.
    Deep,
}

/// What was found in a graph's folder or place.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// The folder, or the place in an object store.
    pub folder: PathBuf,
    /// Whether there is no damage.
    pub sound: bool,
    /// The last acknowledged commit that can be read.
    pub last_commit: Option<CommitMark>,
    /// In the order of the parts: `graph.json`, log, files, checkpoints, tables.
    pub findings: Vec<Finding>,
    #[serde(skip)]
    treatment: Treatment,
}

/// What would have to be done.
#[derive(Clone, Debug, Default)]
struct Treatment {
    /// Why nothing may be done.
    blocked: Vec<String>,
    /// Checkpoints to take away, and why.
    drops: Vec<(PathBuf, String)>,
    log: Vec<LogStep>,
    /// Acknowledged commits that are lost by it.
    lost: Vec<CommitMark>,
}

/// Why a folder could not be examined at all.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// There is no such folder.
    #[error("{} is not a folder", folder.display())]
    NotAFolder {
        /// What was given.
        folder: PathBuf,
    },
    /// There is nothing at the place in the object store.
    #[error("there is nothing at {}", place.display())]
    Nothing {
        /// What was given.
        place: PathBuf,
    },
    /// The object store cannot be reached, or what is read cannot be kept here meanwhile.
    #[error("{} cannot be examined now", place.display())]
    OutOfReach {
        /// What was given.
        place: PathBuf,
        /// Why.
        #[source]
        source: FileError,
    },
}

/// What is noted while the examination goes on.
#[derive(Debug)]
struct Chart {
    store: Store,
    /// The graph's folder, or one with the log and the checkpoints of a graph in an object store.
    folder: PathBuf,
    findings: Vec<Finding>,
    treatment: Treatment,
    /// A process has the graph open for writing.
    held: bool,
    /// `graph.json` was already found to be another graph's.
    mistaken: bool,
}

impl Chart {
    /// It is in an object store.
    fn is_remote(&self) -> bool {
        self.store.bucket().is_some()
    }

    /// An error with its causes, without the folder that everything is in.
    fn told(&self, error: &dyn std::error::Error) -> String {
        told(&[&self.folder, &self.store.place("")], error)
    }

    fn block(&mut self, why: &str) {
        if !self.treatment.blocked.iter().any(|known| known == why) {
            self.treatment.blocked.push(why.to_owned());
        }
    }
}

/// Examines one graph. Blocks; not to be called from an async context.
///
/// # Errors
/// When there is no such folder, or the object store cannot be reached; everything else is a finding.
pub fn examine(place: impl Into<Store>, depth: Depth) -> Result<Diagnosis, ExamineError> {
    let store = place.into();
    let desk = desk::Desk::of(&store)?;
    let mut chart = Chart {
        folder: desk.folder().to_owned(),
        store,
        findings: desk.findings(),
        treatment: Treatment::default(),
        held: false,
        mistaken: false,
    };
    let said = identity(&mut chart);
    let identity = said.as_ref().map(|said| said.uuid);
    holder(&mut chart);
    // Before the log, so that the log has everything that they stand for.
    let at = chart.findings.len();
    let candidates = checkpoints::examine(&mut chart);
    let deep = depth == Depth::Deep;
    let lsns: Vec<u64> = candidates
        .iter()
        .map(|candidate| candidate.checkpoint.lsn)
        .collect();
    let mut history = history(&chart, identity, deep || candidates.is_empty(), &lsns);
    if let Some(of) = said.as_ref().and_then(|said| other_graph(said, &history)) {
        chart.mistaken_identity(identity, of, "its first commit");
    }
    let readable = history.as_ref().ok();
    let mut usable = checkpoints::judge(&mut chart, candidates, readable, identity);
    let mut replayed = deep || lsns.is_empty();
    let tail = loop {
        let tail = tail(&mut chart, &mut usable);
        if !replayed && tail.as_ref().is_none_or(|tail| !tail.is_complete()) {
            history = self::history(&chart, identity, true, &lsns);
            replayed = true;
        }
        match (&tail, &history) {
            (Some(tail), Ok(history)) if contradicts(history, tail) => {
                let what = "the commits after it cannot be carried out on its tables";
                chart.unusable(&usable.remove(0).path, what);
            }
            _ => break tail,
        }
    };
    let checkpoint_findings = chart.findings.split_off(at);
    let last_commit = log::conclude(&mut chart, &history, tail.as_ref(), &usable);
    if let Ok(history) = &history {
        strays::side_files(&mut chart, &history.reader.named, history.is_complete());
    }
    chart.findings.extend(checkpoint_findings);
    let named = usable.iter().flat_map(|it| it.checkpoint.tables.values());
    let named: HashSet<String> = named.map(|table| table.folder.clone()).collect();
    strays::tables(&mut chart, &named);
    if deep {
        compare(&mut chart, history.as_ref().ok(), tail.as_ref(), &usable);
    }
    strays::strangers(&mut chart);
    if chart.is_remote() {
        chart.findings.iter_mut().for_each(desk::or_a_version);
    }
    let sound = chart
        .findings
        .iter()
        .all(|finding| finding.severity < Severity::Damage);
    Ok(Diagnosis {
        folder: chart.store.place(""),
        sound,
        last_commit,
        findings: chart.findings,
        treatment: chart.treatment,
    })
}

/// What `graph.json` says.
fn identity(chart: &mut Chart) -> Option<Identity> {
    let rescue = "take it from a backup: it is one line, the format and the graph's uuid";
    match graph::identity(&chart.store) {
        Ok(identity) => {
            let what = format!("format {}, graph {}", identity.format, identity.uuid);
            chart.findings.push(Finding::ok("graph.json", what));
            Some(identity)
        }
        Err(error) => {
            let what = match &error {
                OpenError::Missing { source, .. } => chart.told(source.as_ref()),
                other => chart.told(other),
            };
            if error.is_passing() {
                let finding = Finding::warning("graph.json", what).at("graph.json");
                let meaning = "nothing says that it is damaged";
                chart.findings.push(finding.means(meaning));
                chart.block("graph.json cannot be read");
                return None;
            }
            let finding = Finding::damage("graph.json", what).at("graph.json");
            let newer = matches!(error, OpenError::Format { .. });
            chart
                .findings
                .push(finding.means("the graph does not open").saved_by(if newer {
                    "use the version of Trellis that wrote it"
                } else {
                    rescue
                }));
            chart.block("graph.json cannot be used");
            None
        }
    }
}

/// Whose the log is, if its first commit says that it is not this graph's.
fn other_graph(said: &Identity, history: &Result<Reading, journal::Error>) -> Option<Uuid> {
    let found = history.as_ref().ok()?.reader.first_run?;
    said.first_run().filter(|ours| *ours != found)?;
    Some(found)
}

/// Who has the graph open for writing.
fn writer(store: &Store) -> Result<Option<lock::Holder>, FileError> {
    match store.bucket() {
        None => lock::holder(&store.place("")),
        Some(bucket) => claim::holder(bucket),
    }
}

fn holder(chart: &mut Chart) {
    let part = if chart.is_remote() {
        "epochs"
    } else {
        "writer.lock"
    };
    match writer(&chart.store) {
        Ok(None) => {}
        Ok(Some(holder)) => {
            let since = jiff::Timestamp::from_microsecond(holder.since_micros).unwrap_or_default();
            let what = format!("{holder} holds the graph for writing since {since}");
            let finding = Finding::note(part, what);
            chart.findings.push(finding.means(
                "what it writes meanwhile may look unfinished here; ask again after it has closed",
            ));
            chart.held = true;
        }
        Err(error) => {
            let what = chart.told(&error);
            chart.findings.push(Finding::warning(part, what));
        }
    }
}

/// All records of the log, from its beginning.
fn history(
    chart: &Chart,
    identity: Option<Uuid>,
    replay: bool,
    lsns: &[u64],
) -> Result<Reading, journal::Error> {
    let graph = identity.unwrap_or_default();
    let replay = replay.then(|| Replay::from(&chart.store, graph, None));
    Reading::new(chart, None, replay, lsns.iter().copied())
}

/// What opening does: the state at the newest checkpoint, and the records after it. One that turns
/// out not to be of this log is taken from `usable`.
fn tail(chart: &mut Chart, usable: &mut Vec<Candidate>) -> Option<Reading> {
    loop {
        let candidate = usable.first()?;
        let (graph, from) = (candidate.checkpoint.graph, candidate.point);
        let path = candidate.path.clone();
        let loaded = chart.load(graph, &checkpoints::name(&path));
        let (_, snapshot) = loaded.map_err(|error| chart.untried(&path, &error)).ok()?;
        let replay = Replay::from(&chart.store, graph, Some(snapshot));
        let tail = match Reading::new(chart, Some(from), Some(replay), std::iter::empty()) {
            Ok(tail) => tail,
            // The log alone tells that it is gone.
            Err(journal::Error::Missing { .. }) => return None,
            Err(error) => {
                chart.untried(&path, &error);
                return None;
            }
        };
        if !matches!(tail.followed.stop, Stop::Contradicted) {
            return Some(tail);
        }
        let what = format!("after lsn {} the log goes on from another digest", from.lsn);
        chart.unusable(&usable.remove(0).path, &what);
    }
}

/// Whether the log alone gives more than with the checkpoint. What cannot be read now is no word on that.
fn contradicts(history: &Reading, tail: &Reading) -> bool {
    let refusal = tail.reader.refusals.first();
    let refused = refusal.is_some_and(|it| !is_out_of_reach(&it.error));
    refused && history.state().is_some() && history.last() > tail.last()
}

/// The state that the log alone gives, against that which opening gives.
fn compare(
    chart: &mut Chart,
    history: Option<&Reading>,
    tail: Option<&Reading>,
    usable: &[Candidate],
) {
    let rows =
        |snapshot: &crate::Snapshot| counted(snapshot.tables().map(|rows| rows.count).sum(), "row");
    let log = history.filter(|it| it.is_whole() && it.is_complete());
    let finding = match (log.and_then(Reading::state), tail.and_then(Reading::state)) {
        (None, _) => Finding::note("state", "the log alone does not give the graph's state")
            .means("whether the checkpoint holds the same cannot be told"),
        (Some(log), None) => Finding::ok(
            "state",
            format!(
                "the log alone gives {}; there is no checkpoint to compare",
                rows(log)
            ),
        ),
        (Some(log), Some(opened)) if log.lsn() < opened.lsn() => {
            let what = format!("the log alone gives the state at lsn {} only", log.lsn());
            Finding::note("state", what).means("the checkpoint goes further")
        }
        (Some(log), Some(opened)) => {
            let found = state::differences(log, opened);
            if found.is_empty() {
                let what = format!(
                    "the log alone gives the same {} as the newest checkpoint and what follows it",
                    rows(log)
                );
                Finding::ok("state", what)
            } else {
                for candidate in usable {
                    let path = within(&chart.folder, &candidate.path);
                    let why = "the tables that it names do not hold what the log says";
                    chart.treatment.drops.push((path, why.to_owned()));
                }
                let what = format!("the log and the newest checkpoint differ: {found}");
                Finding::damage("state", what)
                    .means("the log is right, the checkpoint's tables are not")
                    .saved_by("`trellis repair --deep` takes the checkpoints away: the graph opens from the log alone")
            }
        }
    };
    chart.findings.push(finding);
}

#[cfg(test)]
impl Diagnosis {
    fn texts(&self) -> Vec<String> {
        self.findings.iter().map(ToString::to_string).collect()
    }
}
