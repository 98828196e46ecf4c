//! The operator's file: how it stands to what is served, and taking it over.

pub(crate) mod drift;
pub(crate) mod reload;

use api_types::{ConfigChange, ConfigChangeKind, ConfigProblem};
use registry::ChangeKind;
use registry::config::Problem;

fn change(change: registry::ConfigChange) -> ConfigChange {
    ConfigChange {
        path: change.path,
        kind: match change.kind {
            ChangeKind::Added => ConfigChangeKind::Added,
            ChangeKind::Removed => ConfigChangeKind::Removed,
            ChangeKind::Changed => ConfigChangeKind::Changed,
        },
        before: change.before,
        after: change.after,
    }
}

fn problem(problem: Problem) -> ConfigProblem {
    ConfigProblem {
        path: problem.path,
        message: problem.message,
        line: problem.line.map(|line| line as u64),
        column: problem.column.map(|column| column as u64),
    }
}
