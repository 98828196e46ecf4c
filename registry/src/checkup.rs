//! How everything around a config file is, looked at without a server and without changing anything: its
//! lock, who may write what, what crashes left, the disk, and each graph.
//!
//! What is found is for people: each [`Finding`] says of which part it is, what was seen, and what to do.

mod disk;
mod graphs;
mod permissions;
mod state;

use std::fmt;

use serde::Serialize;
use storage_engine::doctor::Depth;

use crate::Snapshot;
use crate::config::ConfigFile;
use crate::config::store::ConfigText;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// It was looked at and is as it should be.
    Ok,
    /// Worth knowing, harmless.
    Note,
    /// It works, and probably not as it is meant to.
    Warning,
    /// It does not work, or will not.
    Error,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub grade: Grade,
    /// Of which part: `config`, `lock`, `permissions`, `state`, `disk`, or `graphs.<id>`.
    pub part: String,
    /// What was found.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// One without advice.
    pub fn new(grade: Grade, part: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            grade,
            part: part.into(),
            what: what.into(),
            advice: None,
        }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// One line: `warning  disk: what; what to do`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Ok => "ok",
            Grade::Note => "note",
            Grade::Warning => "warning",
            Grade::Error => "error",
        };
        write!(f, "{grade:<8} {}: {}", self.part, self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// Looks at everything beside what the file says, which is known by now: `snapshot` is `None` when it is
/// not sound, and then its graphs and storage are not looked at. Blocks.
#[must_use]
pub fn examine(
    file: &ConfigFile,
    read: &ConfigText,
    snapshot: Option<&Snapshot>,
    depth: Depth,
) -> Vec<Finding> {
    let mut findings = state::lock(file);
    findings.extend(permissions::examine(file, snapshot));
    findings.extend(state::examine(file, read));
    findings.extend(disk::examine(file, snapshot));
    if let Some(snapshot) = snapshot {
        findings.extend(graphs::examine(file, snapshot, depth));
    }
    findings
}

/// `1 graph`, `2 graphs`.
fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
