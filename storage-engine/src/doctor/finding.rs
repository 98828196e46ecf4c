//! What the doctor says: one finding a line.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::record::{CommitInfo, Header};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It was looked at and is as it should be.
    Ok,
    /// Worth knowing, harmless.
    Note,
    /// Harmless as far as can be told from the folder alone.
    Warning,
    /// What is on disk is not what was written.
    Damage,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The part of the graph: `graph.json`, `log`, `files`, `checkpoints`, `tables`, ...
    pub part: &'static str,
    /// What was found.
    pub what: String,
    /// In which file, within the graph's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Where in the file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What it means for the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// What can be saved, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescue: Option<String>,
}

impl Finding {
    fn new(severity: Severity, part: &'static str, what: impl Into<String>) -> Self {
        Self {
            severity,
            part,
            what: what.into(),
            file: None,
            offset: None,
            meaning: None,
            rescue: None,
        }
    }

    pub(super) fn ok(part: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Ok, part, what)
    }

    pub(super) fn note(part: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Note, part, what)
    }

    pub(super) fn warning(part: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, part, what)
    }

    pub(super) fn damage(part: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Damage, part, what)
    }

    pub(super) fn at(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    pub(super) fn byte(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    pub(super) fn means(mut self, meaning: impl Into<String>) -> Self {
        self.meaning = Some(meaning.into());
        self
    }

    pub(super) fn saved_by(mut self, rescue: impl Into<String>) -> Self {
        self.rescue = Some(rescue.into());
        self
    }
}

/// One line: `damage   log/<segment> at byte 512: what; what it means; what can be saved`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Damage => "damage",
        };
        write!(f, "{severity:<8} ")?;
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str(self.part)?,
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.what)?;
        let more = self.meaning.iter().chain(&self.rescue);
        more.into_iter().try_for_each(|text| write!(f, "; {text}"))
    }
}

/// A commit, for those who must know which one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommitMark {
    /// Its position in the log.
    pub lsn: u64,
    /// What its record says, where that can be read.
    #[serde(flatten)]
    pub info: Option<CommitInfo>,
}

impl CommitMark {
    pub(super) fn of(header: &Header) -> Self {
        Self {
            lsn: header.lsn,
            info: Some(header.info()),
        }
    }
}

impl fmt::Display for CommitMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(info) = &self.info else {
            return write!(f, "the commit at lsn {}", self.lsn);
        };
        let time = jiff::Timestamp::from_microsecond(info.time_micros).unwrap_or_default();
        write!(
            f,
            "commit {} (lsn {}, {}, {time}, by {})",
            info.sequence, self.lsn, info.id, info.principal
        )
    }
}

/// `path` as seen from the graph's folder.
pub(super) fn within(folder: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(folder).unwrap_or(path).to_owned()
}

/// `1 commit`, `2 commits`.
pub(super) fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// An error with its causes, each told once, with paths as seen from the graph's folders.
pub(super) fn told(folders: &[&Path], error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    for folder in folders {
        let folder = format!("{}/", folder.display());
        text = text.replace(&folder, "");
        // Lance writes paths without the slash, and says which line of its source an error came from.
        text = text.replace(folder.trim_start_matches('/'), "");
    }
    text.split(", /").next().unwrap_or_default().to_owned()
}
