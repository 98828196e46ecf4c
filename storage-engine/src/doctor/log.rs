//! The log: what is wrong with it, how far it can be read, what would have to be done.

use std::path::PathBuf;

use journal::{End, Lsn, Point, Reason, Stop};

use crate::doctor::Chart;
use crate::doctor::checkpoints::Candidate;
use crate::doctor::finding::{CommitMark, Finding, counted, within};
use crate::doctor::reading::{Reading, Refusal};
use crate::graph::{self, EntryError};
use crate::reach::is_out_of_reach;
use crate::record::{Record, RecordError};

const PART: &str = "log";

/// A change of the log.
#[derive(Clone, Debug)]
pub(super) enum LogStep {
    /// It begins after a checkpoint.
    BeginAfter(Point),
    /// It ends after `last`, which may stand in the frame after `whole`.
    EndAfter { whole: Point, last: u64 },
}

/// Says what was found and what can be done. Returns the last commit that can be read.
pub(super) fn conclude(
    chart: &mut Chart,
    history: &Result<Reading, journal::Error>,
    tail: Option<&Reading>,
    usable: &[Candidate],
) -> Option<CommitMark> {
    let report = segments(chart);
    let history = match history {
        Ok(history) => Some(history),
        Err(error) => {
            chart
                .findings
                .push(Finding::damage(PART, chart.told(error)));
            if !matches!(error, journal::Error::Missing { .. }) {
                chart.block("the log cannot be read");
            }
            None
        }
    };
    refusals(chart, history, tail);
    breaches(chart, history);
    damage_after(chart, report.as_ref(), tail);

    let checkpoint = usable.first();
    let by_log = by_log(history, checkpoint);
    // Without a tail to read (there is no log at all) the checkpoint itself is what there is.
    let by_checkpoint = match (tail, checkpoint) {
        (Some(tail), _) => tail.last(),
        (None, Some(candidate)) => candidate.checkpoint.lsn,
        (None, None) => 0,
    };
    let last = last_commit(history, tail, checkpoint, by_log, by_checkpoint);
    let torn = chart.is_remote() && torn(chart, history);
    let complete = by_log > 0
        && !torn
        && history.is_some_and(Reading::is_complete)
        && tail.is_none_or(Reading::is_complete);
    if complete {
        let end = report.and_then(|mut report| Some(report.segments.pop()?.path));
        ending(chart, history, last.as_ref(), end.unwrap_or_default());
    } else {
        plan(chart, history, tail, checkpoint, last.as_ref());
    }
    last
}

/// In an object store no crash leaves half a frame: the newest object is not what was stored.
fn torn(chart: &mut Chart, history: Option<&Reading>) -> bool {
    let Some(Stop::End(End::Torn { offset, reason, .. })) = history.map(|it| &it.followed.stop)
    else {
        return false;
    };
    let first = newest(chart);
    let finding = Finding::damage(PART, format!("the newest object is not whole: {reason}"));
    let finding = finding.at(format!("log/{:020}.seg", first.0)).byte(*offset);
    chart
        .findings
        .push(finding.means("the graph does not open"));
    true
}

/// The number of the newest segment.
fn newest(chart: &Chart) -> Lsn {
    let segments = journal::segments(&chart.folder.join("log")).unwrap_or_default();
    segments.last().map_or(Lsn::ZERO, |newest| newest.first)
}

/// How far the log gives the graph: one that begins later needs a checkpoint to begin from.
fn by_log(history: Option<&Reading>, checkpoint: Option<&Candidate>) -> u64 {
    let enough = history.filter(|it| it.is_whole() || checkpoint.is_some());
    enough.map_or(0, Reading::last)
}

/// What is wrong behind a checkpoint, where something before it was reported already.
fn damage_after(chart: &mut Chart, report: Option<&journal::Report>, tail: Option<&Reading>) {
    let Some(Stop::Damaged(problem)) = tail.map(|it| &it.followed.stop) else {
        return;
    };
    if report.is_none_or(|report| !report.problems.contains(problem)) {
        let finding = Finding::damage(PART, problem.reason.to_string());
        let file = within(&chart.folder, &problem.segment);
        chart.findings.push(finding.at(file).byte(problem.offset));
    }
}

fn last_commit(
    history: Option<&Reading>,
    tail: Option<&Reading>,
    checkpoint: Option<&Candidate>,
    by_log: u64,
    by_checkpoint: u64,
) -> Option<CommitMark> {
    let of_log = history
        .filter(|_| by_log > 0)
        .and_then(|it| it.reader.last.clone());
    let at_checkpoint = checkpoint.map(|candidate| CommitMark {
        lsn: candidate.checkpoint.lsn,
        info: Some(candidate.checkpoint.head.clone()),
    });
    let of_checkpoint = tail.and_then(|it| it.reader.last.clone()).or(at_checkpoint);
    if by_checkpoint > by_log {
        of_checkpoint
    } else {
        of_log.or(of_checkpoint)
    }
}

/// Every segment by itself and the chain through them.
fn segments(chart: &mut Chart) -> Option<journal::Report> {
    // When there is none, reading it says why.
    let report = journal::verify(&chart.folder.join("log")).ok()?;
    for problem in &report.problems {
        let finding = Finding::damage(PART, problem.reason.to_string());
        let finding = finding
            .at(within(&chart.folder, &problem.segment))
            .byte(problem.offset);
        let finding = match problem.reason {
            Reason::Unreadable(_) => {
                chart.block("a segment of the log cannot be read");
                finding.saved_by("let the file be read first: nothing says that it is damaged")
            }
            Reason::Version(_) => {
                chart.block("a segment of the log was written by a newer Trellis");
                finding.saved_by("use the version of Trellis that wrote it")
            }
            Reason::Name => {
                chart.block("a file in the log has a name that says nothing");
                finding
                    .means("the graph does not open")
                    .saved_by("give it its name back (the first lsn as 20 digits), or move it away")
            }
            _ => finding,
        };
        chart.findings.push(finding);
    }
    for path in &report.unfinished {
        let finding = Finding::note(PART, "a segment that was not finished");
        let finding = finding.at(within(&chart.folder, path));
        chart
            .findings
            .push(finding.means("it holds no commit; opening removes it"));
    }
    // The footer of a clean close, which a later segment has outlived, takes one sector.
    let ignored = report.segments.iter().map(|segment| segment.ignored_bytes);
    let ignored: u64 = ignored
        .filter(|bytes| *bytes > journal::SECTOR_BYTES as u64)
        .sum();
    if ignored > 0 {
        let what = format!(
            "{} at the ends of segments do not count",
            counted(ignored, "byte")
        );
        let meaning = "what a failed write left, or a copy of what the next segment holds";
        chart
            .findings
            .push(Finding::note(PART, what).means(meaning));
    }
    Some(report)
}

/// Commits that are whole as far as the log goes, and cannot be carried out.
fn refusals(chart: &mut Chart, history: Option<&Reading>, tail: Option<&Reading>) {
    let by_log = history.map_or(&[][..], |it| &it.reader.refusals);
    let by_tail = tail.map_or(&[][..], |it| &it.reader.refusals);
    let known: Vec<u64> = by_log.iter().map(|refusal| refusal.lsn).collect();
    let more = by_tail
        .iter()
        .filter(|refusal| !known.contains(&refusal.lsn));
    for refusal in by_log.iter().chain(more) {
        let finding = match &refusal.file {
            Some(name) => {
                let what = format!(
                    "the commit at lsn {} needs it: {}",
                    refusal.lsn,
                    chart.told(&refusal.error)
                );
                Finding::damage("files", what).at(PathBuf::from("files").join(name))
            }
            None => {
                let what = format!(
                    "the commit at lsn {}: {}",
                    refusal.lsn,
                    chart.told(&refusal.error)
                );
                Finding::damage(PART, what)
            }
        };
        let finding = match obstacle(refusal) {
            Some((why, rescue)) => {
                chart.block(why);
                finding.saved_by(rescue)
            }
            None => finding,
        };
        chart.findings.push(finding);
    }
}

/// Why a commit that cannot be carried out is not for `repair` to cut off.
fn obstacle(refusal: &Refusal) -> Option<(&'static str, &'static str)> {
    match &refusal.error {
        EntryError::Record(RecordError::Format(_)) | EntryError::SchemaChange => Some((
            "the log has what this version of Trellis cannot carry out",
            "use the version of Trellis that wrote it",
        )),
        EntryError::File(error) if !error.is_missing() => Some((
            "a side file cannot be read",
            "let the file be read first: nothing says that it is damaged",
        )),
        error if is_out_of_reach(error) => Some((
            "a table cannot be read",
            "let the table be read first: nothing says that it is damaged",
        )),
        _ => None,
    }
}

/// Records that can be read and break a rule: a defect of Trellis rather than of the disk.
fn breaches(chart: &mut Chart, history: Option<&Reading>) {
    let Some(reader) = history.map(|it| &it.reader) else {
        return;
    };
    for (lsn, what) in &reader.breaches {
        let finding = Finding::damage(
            PART,
            format!("the commit at lsn {lsn} breaks a rule: {what}"),
        );
        chart.findings.push(
            finding.means("the graph opens with it; it is a defect of Trellis, please report it"),
        );
    }
    if reader.more_breaches > 0 {
        let what = format!(
            "{} more of rules",
            counted(reader.more_breaches as u64, "breach")
        );
        chart
            .findings
            .push(Finding::damage(PART, what.replace("breachs", "breaches")));
    }
}

/// A log that can be read to its end: how it ends.
fn ending(chart: &mut Chart, history: Option<&Reading>, last: Option<&CommitMark>, end: PathBuf) {
    let Some(followed) = history.map(|it| &it.followed) else {
        return;
    };
    let commits = counted(followed.to.lsn.0 - followed.from.lsn.0, "commit");
    let mut what = format!("{commits} can be read");
    if let Some(last) = last {
        what = format!("{what}, the last acknowledged one is {last}");
    }
    if followed.from.lsn > Lsn::ZERO {
        let before = followed.from.lsn.0;
        let finding = Finding::note(PART, format!("it begins after lsn {before}"));
        chart.findings.push(finding.means(
            "commits up to there are in the checkpoints' tables only; the graph does not open without a checkpoint",
        ));
    }
    let state = match followed.stop {
        Stop::End(End::Clean) => ", closed cleanly",
        _ if chart.held => ", open",
        // An object is there whole or not at all.
        Stop::End(End::Open) if chart.is_remote() => "",
        Stop::End(End::Open) => ", not closed: its writer was killed, which loses nothing",
        _ => "",
    };
    chart
        .findings
        .push(Finding::ok(PART, format!("{what}{state}")));
    if let Stop::End(End::Torn {
        offset,
        bytes,
        reason,
    }) = followed.stop
    {
        let what = format!(
            "{} at the end are no whole frame: {reason}",
            counted(bytes, "byte")
        );
        let finding = if chart.held {
            Finding::note(PART, what).means("its writer is at work")
        } else {
            Finding::warning(PART, what).means(
                "the end of a write whose writer was killed, and which was never acknowledged; if the file was cut by something else, the commits of this frame are lost",
            )
        };
        chart.findings.push(
            finding
                .at(within(&chart.folder, &end))
                .byte(offset)
                .saved_by("opening the graph cuts it off and keeps a copy"),
        );
    }
}

/// A log that gives no state at all.
fn nothing(chart: &mut Chart, history: Option<&Reading>) {
    let begins = history.map_or(0, |history| history.followed.from.lsn.0);
    let what = match begins {
        0 => "no commit can be read from the graph's beginning, nor from a checkpoint on".into(),
        lsn => format!(
            "it begins after lsn {lsn}, so that a checkpoint is needed, and none can be used"
        ),
    };
    chart.findings.push(
        Finding::damage(PART, what)
            .means("nothing of the graph can be had from here")
            .saved_by("restore it from a backup"),
    );
    chart.block("no commit can be read");
}

/// A log that cannot be read to its end, or not from its beginning.
fn plan(
    chart: &mut Chart,
    history: Option<&Reading>,
    tail: Option<&Reading>,
    checkpoint: Option<&Candidate>,
    last: Option<&CommitMark>,
) {
    let Some(last) = last else {
        nothing(chart, history);
        return;
    };
    let by_log = by_log(history, checkpoint);
    chart.treatment.lost = lost(chart, last.lsn, checkpoint);
    let lost = match (chart.treatment.lost.first(), chart.treatment.lost.last()) {
        (Some(first), Some(end)) if first.lsn < end.lsn => {
            format!("those from lsn {} to lsn {} are lost", first.lsn, end.lsn)
        }
        (Some(only), _) => format!("that at lsn {} is lost", only.lsn),
        _ if tail.is_some_and(Reading::is_complete) => "no commit is lost".to_owned(),
        _ => "whether others came after it cannot be told".to_owned(),
    };
    let finding = match checkpoint.filter(|_| by_log < last.lsn) {
        Some(candidate) => {
            chart
                .treatment
                .log
                .push(LogStep::BeginAfter(candidate.point));
            if let Some(tail) =
                tail.filter(|it| !it.is_complete() && !matches!(it.followed.stop, Stop::Absent))
            {
                chart.treatment.log.push(end_after(tail));
            }
            let at = candidate.checkpoint.lsn;
            let on = match last.lsn {
                lsn if lsn > at => format!(", and from there the log goes on to lsn {lsn}"),
                _ => String::new(),
            };
            Finding::damage(PART, format!("it cannot be read after lsn {by_log}, but a checkpoint holds the data up to lsn {at}{on}"))
                .means(format!("the last acknowledged commit that can be read is {last}; {lost}"))
                .saved_by(format!("`trellis repair` lets the log begin after lsn {at}; of the commits before, the data stays and the history goes"))
        }
        None => {
            if let Some(history) = history {
                chart.treatment.log.push(end_after(history));
            }
            Finding::damage(PART, format!("it cannot be read after lsn {by_log}"))
                .means(format!(
                    "the last acknowledged commit that can be read is {last}; {lost}"
                ))
                .saved_by("`trellis repair` ends the log there")
        }
    };
    // Something is to be settled first, and `repair` refuses until it is.
    let blocked = !chart.treatment.blocked.is_empty();
    chart.findings.push(Finding {
        rescue: finding.rescue.filter(|_| !blocked),
        ..finding
    });
}

fn end_after(reading: &Reading) -> LogStep {
    LogStep::EndAfter {
        whole: reading.whole(),
        last: reading.last(),
    }
}

/// The commits after `last` that are known to have been there.
fn lost(chart: &Chart, last: u64, checkpoint: Option<&Candidate>) -> Vec<CommitMark> {
    let mut readable = std::collections::BTreeMap::new();
    let scanned = journal::scan(&chart.folder.join("log"), Lsn(last), &mut |entry| {
        if entry.lsn.0 > last
            && let Ok(Record::Commit(header, _)) = graph::decode(entry)
        {
            readable.insert(header.lsn, CommitMark::of(&header));
        }
    });
    let mut end = scanned.unwrap_or(Lsn(last)).0;
    if chart.is_remote() {
        // What is there was stored whole.
        end = end.max(newest(chart).0);
    }
    let end = end.max(checkpoint.map_or(0, |candidate| candidate.checkpoint.lsn));
    let mark = |lsn| {
        readable
            .remove(&lsn)
            .unwrap_or(CommitMark { lsn, info: None })
    };
    (last + 1..=end).map(mark).collect()
}
