//! `/admin/config`: how the config file stands to what is served, and taking it over.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the config file stands to what is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigDrift {
    /// Whether somebody else than the server has changed the file since it was read.
    pub drifted: bool,
    /// SHA-256 of the version that is served.
    pub baseline_digest: String,
    /// SHA-256 of the file; null when it cannot be read as text, and then the problems say why.
    pub disk_digest: Option<String>,
    /// What differs.
    pub changes: Vec<ConfigChange>,
    /// What is wrong with the file; with any, it cannot be applied.
    pub problems: Vec<ConfigProblem>,
}

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// The key, dotted, such as `graphs.alpha.tenant`.
    pub path: String,
    /// In which way it differs.
    pub kind: ConfigChangeKind,
    /// What is served; null when nothing is.
    pub before: Option<serde_json::Value>,
    /// What stands in the file; null when nothing does.
    pub after: Option<serde_json::Value>,
}

/// In which way a key differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigChangeKind {
    /// It is only in the file.
    Added,
    /// It is only in the served version.
    Removed,
    /// It is in both, with another value.
    Changed,
}

/// One thing that is wrong with the config file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigProblem {
    /// The key, dotted; empty for the file as a whole.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub message: String,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column, from 1, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
}

/// How the config file is to be taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadConfigRequest {
    /// Only check it, and say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReloadedConfig {
    /// Whether the file is in force; false after a dry run.
    pub applied: bool,
    /// What differs from what was served before.
    pub changes: Vec<ConfigChange>,
    /// Keys among them that take effect when the server is started anew.
    pub needs_restart: Vec<String>,
}
