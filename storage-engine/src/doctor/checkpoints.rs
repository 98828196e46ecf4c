//! Checkpoints: each by itself, then against the log.

use std::path::{Path, PathBuf};

use journal::Point;
use uuid::Uuid;

use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::cold::Shelf;
use crate::doctor::Chart;
use crate::doctor::finding::{Finding, within};
use crate::doctor::reading::Reading;
use crate::graph::{self, Extent, UnusableCheckpoint};
use crate::reach::is_out_of_reach;
use crate::snapshot::Snapshot;
use crate::tables;

const PART: &str = "checkpoints";
const PASSED_OVER: &str = "opening passes over it, to an older one or the log alone";
const NOT_OPENED: &str = "the graph does not open";
const DROP: &str = "`trellis repair` takes it away; the next fold makes a new one";

/// A checkpoint whose file and tables are whole.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) checkpoint: Checkpoint,
    pub(super) point: Point,
}

/// Every checkpoint by itself, newest first.
pub(super) fn examine(chart: &mut Chart) -> Vec<Candidate> {
    let folder = chart.folder.join("checkpoints");
    let paths = match checkpoint::list(&folder) {
        Ok(paths) => paths,
        Err(error) => {
            let finding = Finding::damage(PART, chart.told(&error));
            chart.findings.push(
                finding
                    .means("the graph does not open")
                    .saved_by("make the folder again, empty: checkpoints only save time"),
            );
            chart.block("the folder checkpoints cannot be listed");
            return Vec::new();
        }
    };
    let examined = paths.into_iter().filter_map(|path| one(chart, path));
    examined.collect()
}

fn one(chart: &mut Chart, path: PathBuf) -> Option<Candidate> {
    let checkpoint = match Checkpoint::load(&path) {
        Ok(checkpoint) => checkpoint,
        Err(CheckpointError::File(error)) => {
            // A writer at work removes old ones.
            if !(error.is_missing() && chart.held) {
                chart.findings.push(
                    Finding::damage(PART, chart.told(&error)).at(within(&chart.folder, &path)),
                );
                chart.block("a checkpoint cannot be read");
            }
            return None;
        }
        Err(_) => {
            chart.unusable(&path, "its checksum does not hold");
            return None;
        }
    };
    if !checkpoint::is_known(checkpoint.format) {
        let what = format!("its format {} is not known", checkpoint.format);
        let finding = Finding::warning(PART, what).at(within(&chart.folder, &path));
        chart.findings.push(finding.means(PASSED_OVER));
        return None;
    }
    let named = name(&path) == checkpoint.name();
    let Some(digest) = checkpoint.digest().filter(|_| named) else {
        let what = format!(
            "its name or digest does not fit what it says, lsn {}",
            checkpoint.lsn
        );
        chart.unusable(&path, &what);
        return None;
    };
    let point = Point {
        lsn: journal::Lsn(checkpoint.lsn),
        digest,
    };
    let tried = chart.load(checkpoint.graph, &name(&path));
    let tried = tried.and_then(|(_, snapshot)| {
        let layouts = snapshot.tables().map(|rows| &rows.layout);
        for layout in layouts {
            if let Some(version) = checkpoint.tables.get(&layout.type_id.0) {
                tables::check(&chart.store, version, layout)?;
            }
        }
        Ok(())
    });
    match tried {
        Ok(()) => Some(Candidate {
            path,
            checkpoint,
            point,
        }),
        Err(error) if is_out_of_reach(&error) => {
            chart.untried(&path, &error);
            None
        }
        Err(error) => {
            let what = format!(
                "a table that it names cannot be used: {}",
                chart.told(&error)
            );
            chart.unusable(&path, &what);
            None
        }
    }
}

/// The name of a checkpoint's file within the graph.
pub(super) fn name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default();
    format!("{PART}/{}", file.to_string_lossy())
}

/// Those that belong to this graph and its log, newest first. `identity` is what `graph.json` says.
pub(super) fn judge(
    chart: &mut Chart,
    candidates: Vec<Candidate>,
    history: Option<&Reading>,
    identity: Option<Uuid>,
) -> Vec<Candidate> {
    let mut usable = Vec::new();
    for candidate in candidates {
        if belongs(chart, &candidate, history, identity) {
            usable.push(candidate);
        }
    }
    usable
}

fn belongs(
    chart: &mut Chart,
    candidate: &Candidate,
    history: Option<&Reading>,
    identity: Option<Uuid>,
) -> bool {
    let (checkpoint, point) = (&candidate.checkpoint, candidate.point);
    let file = within(&chart.folder, &candidate.path);
    let lsn = checkpoint.lsn;
    let begins = history.map_or(0, |history| history.followed.from.lsn.0);
    if lsn < begins {
        let what = format!("it stands for lsn {lsn}, and the log begins after lsn {begins}");
        let finding = Finding::note(PART, what).at(file);
        chart
            .findings
            .push(finding.means("it is of no use any more"));
        return false;
    }
    let entry = history.and_then(|history| history.at(lsn));
    let start = history.filter(|history| lsn > 0 && history.followed.from.lsn.0 == lsn);
    let logged = entry
        .map(|(digest, _)| *digest)
        .or(start.map(|it| it.followed.from.digest));
    let proven = logged == Some(point.digest);
    let own = identity == Some(checkpoint.graph);
    if !own && proven {
        chart.mistaken_identity(identity, checkpoint.graph, &file.display().to_string());
        return true;
    }
    if !own && identity.is_some() {
        let what = format!("it belongs to another graph, {}", checkpoint.graph);
        chart.mark_dropped(&candidate.path, &what, NOT_OPENED);
        return false;
    }
    if logged.is_some() && !proven {
        let what = format!("at lsn {lsn} the log has another digest than it says");
        chart.unusable(&candidate.path, &what);
        return false;
    }
    if entry.is_some_and(|(_, info)| *info != checkpoint.head) {
        let what = format!("at lsn {lsn} the log has another commit than it says");
        chart.unusable(&candidate.path, &what);
        return false;
    }
    let tables: u64 = checkpoint.tables.values().map(|table| table.rows).sum();
    let what = format!(
        "it stands for lsn {lsn} and names {} with {}",
        super::finding::counted(checkpoint.tables.len() as u64, "table"),
        super::finding::counted(tables, "row"),
    );
    chart.findings.push(Finding::ok(PART, what).at(file));
    true
}

impl Chart {
    /// A checkpoint with its state, of whose tables no more is read than cannot do without: they may be
    /// more than memory. Nobody collects them but a writer at work, and then they are said to be missing.
    pub(super) fn load(
        &self,
        graph: Uuid,
        name: &str,
    ) -> Result<(Checkpoint, Snapshot), UnusableCheckpoint> {
        let shelf = Shelf::new(&self.store, None);
        let extent = Extent {
            shelf: &shelf,
            resident: (0, 0),
            lasting: true,
        };
        graph::load(&self.store, graph, name, extent)
    }

    /// A checkpoint that cannot be tried now, on whose state nothing may be decided.
    pub(super) fn untried(&mut self, path: &Path, error: &(dyn std::error::Error + 'static)) {
        let what = format!("it cannot be tried: {}", self.told(error));
        let finding = Finding::warning(PART, what).at(within(&self.folder, path));
        self.findings
            .push(finding.means("nothing says that it is damaged"));
        self.block("a checkpoint cannot be tried");
    }

    /// A checkpoint that is not whole, or another graph's, or does not fit the log.
    pub(super) fn unusable(&mut self, path: &Path, what: &str) {
        self.mark_dropped(path, what, PASSED_OVER);
    }

    fn mark_dropped(&mut self, path: &Path, what: &str, means: &str) {
        let file = within(&self.folder, path);
        let finding = Finding::damage(PART, what).at(&file);
        self.findings.push(finding.means(means).saved_by(DROP));
        self.treatment.drops.push((file, what.to_owned()));
    }

    /// What is there is the graph `proven`, as `by` proves.
    pub(super) fn mistaken_identity(&mut self, said: Option<Uuid>, proven: Uuid, by: &str) {
        if !self.mistaken {
            self.mistaken = true;
            let said = said.map_or("is missing".to_owned(), |said| format!("says {said}"));
            let what = format!("it {said}, but the log is that of graph {proven}, as {by} proves");
            let rescue = format!(
                "put the identity back by hand: {{\"format\":{},\"uuid\":\"{proven}\"}}",
                graph::FORMAT
            );
            let finding = Finding::damage("graph.json", what).at("graph.json");
            self.findings.push(
                finding
                    .means("the data is whole; the graph does not open")
                    .saved_by(rescue),
            );
            self.block("graph.json does not name this graph");
        }
    }
}
