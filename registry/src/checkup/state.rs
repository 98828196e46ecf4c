//! The registry's own folder: who has the lock, what crashes left, what was deleted, who wrote the file last.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use fs2::FileExt;
use serde::de::DeserializeOwned;

use super::{Finding, Grade, counted};
use crate::answer::{self, Answer};
use crate::config::ConfigFile;
use crate::config::lock::{self, is_without_locks};
use crate::config::store::ConfigText;
use crate::deleted::{self, Deleted, Stage, now_micros};
use crate::intent::{self, Change, Intent};
use crate::{settle, uri};

const PART: &str = "state";

/// Who has the lock. It is asked for without taking it from anybody: a shared one, given back at once.
pub(super) fn lock(file: &ConfigFile) -> Vec<Finding> {
    let path = file.state_folder().join(lock::FILE_NAME);
    let place = path.display();
    let opened = match File::open(&path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = "no server has taken the lock yet";
            return vec![Finding::new(Grade::Ok, "lock", what)];
        }
        Err(error) => {
            let what = format!("{place} cannot be opened: {error}");
            return vec![Finding::new(Grade::Error, "lock", what)];
        }
    };
    vec![match FileExt::try_lock_shared(&opened) {
        Ok(()) => Finding::new(Grade::Ok, "lock", format!("{place} is free")),
        Err(error) if is_without_locks(&error) => Finding::new(
            Grade::Error,
            "lock",
            format!("{place} cannot be locked: {error}"),
        )
        .advise("keep the config file on a file system with flock"),
        Err(error) if error.kind() == fs2::lock_contended_error().kind() => {
            let by = lock::holder(&opened).map(|pid| format!(" by process {pid}"));
            let what = format!("{place} is held{}", by.unwrap_or_default());
            Finding::new(Grade::Note, "lock", what)
                .advise("a change is being made; when this stays, see what that process does")
        }
        Err(error) => Finding::new(Grade::Error, "lock", format!("{place}: {error}")),
    }]
}

pub(super) fn examine(file: &ConfigFile, read: &ConfigText) -> Vec<Finding> {
    let state = file.state_folder();
    if !state.exists() {
        let what = format!(
            "{} is not there: no server has used the file yet",
            state.display()
        );
        return vec![Finding::new(Grade::Ok, PART, what)];
    }
    let mut findings = vec![last_write(file, read)];
    findings.extend(unreadable::<Intent>(&state.join(intent::FOLDER)));
    findings.extend(unreadable::<Deleted>(&state.join(deleted::DELETED)));
    findings.extend(unreadable::<Deleted>(&state.join(deleted::PURGED)));
    findings.extend(unreadable::<Answer>(&state.join(answer::FOLDER)));
    for intent in intent::pending(file).unwrap_or_default() {
        let what = format!(
            "{} of {} did not end",
            doing(&intent.change),
            intent.graph_id
        );
        findings
            .push(Finding::new(Grade::Note, PART, what).advise(
                "a server finishes or undoes it when it starts, or before its next change",
            ));
    }
    let left = settle::leftovers(file).unwrap_or_default();
    if !left.is_empty() {
        let what = format!("{} of a crash", counted(left.len(), "temporary file"));
        findings.push(
            Finding::new(Grade::Note, PART, what).advise("a server that starts removes them"),
        );
    }
    for record in deleted::kept(file).unwrap_or_default() {
        findings.push(deletion(&record));
    }
    findings
}

fn doing(change: &Change) -> &'static str {
    match change {
        Change::Create(_) => "a create",
        Change::Update => "an update",
        Change::Delete(_) => "a delete",
        Change::Restore(_) => "a restore",
    }
}

fn last_write(file: &ConfigFile, read: &ConfigText) -> Finding {
    let path = file.path().display();
    match file.last_write() {
        Some(last) if last == read.digest => Finding::new(
            Grade::Ok,
            PART,
            format!("{path} is as a server wrote it last"),
        ),
        Some(_) => {
            let what = format!("{path} was edited since a server wrote it last");
            Finding::new(Grade::Note, PART, what).advise(
                "a server that runs changes nothing until it was told to take it over: trellis config reload",
            )
        }
        None => Finding::new(Grade::Ok, PART, format!("no server has changed {path} yet")),
    }
}

/// What stands in a folder of records and is none.
fn unreadable<T: DeserializeOwned>(folder: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for item in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = item.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let problem = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<T>(&bytes)
                .err()
                .map(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(error),
        };
        if let Some(problem) = problem {
            let what = format!("{} cannot be read: {problem}", path.display());
            findings.push(Finding::new(Grade::Error, PART, what).advise(
                "what it stands for stays as it is until it can be read, or is moved away",
            ));
        }
    }
    findings
}

fn deletion(record: &Deleted) -> Finding {
    let (graph_id, folder) = (&record.graph_id, record.folder.display());
    if record.stage == Stage::Purging {
        let what = format!("the deleted graph {graph_id} is being purged from {folder}");
        return Finding::new(Grade::Note, PART, what).advise("a server goes on with it");
    }
    if !uri::is_remote(&record.folder) && !record.folder.exists() {
        let what = format!("the data of the deleted graph {graph_id} is not at {folder} any more");
        return Finding::new(Grade::Warning, PART, what).advise(format!(
            "it cannot be restored; trellis graph purge {graph_id} ends what is kept of it"
        ));
    }
    let left = record.purge_after_micros.saturating_sub(now_micros()) / 1_000_000;
    let what = match left {
        ..=0 => format!("the deleted graph {graph_id}, at {folder}, is due to be purged"),
        _ => format!(
            "the deleted graph {graph_id}, at {folder}, is kept for {} more",
            span(left)
        ),
    };
    Finding::new(Grade::Note, PART, what).advise(format!("trellis graph restore {graph_id}"))
}

/// So many seconds, as people say it: no more than there are, but for the last minute.
fn span(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..120 => return "a minute or two".to_owned(),
        120..7_200 => (seconds / 60, "minutes"),
        7_200..172_800 => (seconds / 3_600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn what_is_left_is_never_none() {
        for (seconds, told) in [
            (1, "a minute or two"),
            (119, "a minute or two"),
            (120, "2 minutes"),
            (3_599, "59 minutes"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
            (604_800, "7 days"),
        ] {
            assert_eq!(span(seconds), told, "{seconds}");
        }
    }
}
