//! What the checks of a policy file find, with the place.

use std::fmt;

use cedar_policy::ffi::DetailedError;

/// A place in a policy file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Position {
    /// The position of a byte of `text`; an offset beyond it is its end.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing found in a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The id of the policy; `None` for what concerns the text as a whole.
    pub policy: Option<String>,
    /// What is wrong. It may quote the file.
    pub message: String,
    /// What may help.
    pub help: Option<String>,
    /// Where it is.
    pub position: Position,
}

impl Finding {
    /// From what Cedar reports about `text`.
    pub(crate) fn of_cedar(text: &str, policy: Option<String>, report: DetailedError) -> Self {
        let label = report.source_locations.first();
        let offset = label.map_or(0, |label| label.loc.start);
        // The policy has its own field; Cedar puts it in front of the message.
        let message = policy
            .as_ref()
            .and_then(|policy| {
                report
                    .message
                    .strip_prefix(&format!("for policy `{policy}`, "))
            })
            .unwrap_or(&report.message);
        let message = match label.and_then(|label| label.label.as_deref()) {
            Some(label) if !message.contains(label) => format!("{message}: {label}"),
            _ => message.to_owned(),
        };
        Self {
            policy,
            message,
            help: report.help,
            position: Position::of(text, offset),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.message)?;
        if let Some(policy) = &self.policy {
            write!(f, " (in {policy})")?;
        }
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}
