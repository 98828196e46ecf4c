//! The server about itself: health, readiness, and who the caller is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: HealthStatus,
    /// The version of the server.
    pub version: String,
}

/// Whether the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// It does.
    Ok,
}

/// Whether the server takes requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether requests should be sent here.
    pub ready: bool,
    /// The graphs in short; only for callers with a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphs: Option<GraphsReadiness>,
    /// The config file; only for callers with a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigReadiness>,
}

/// The graphs in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphsReadiness {
    /// How many are open, of those that the caller may see.
    pub open: u64,
    /// How many the caller may see.
    pub registered: u64,
    /// Those of them that were set aside.
    pub quarantined: Vec<QuarantinedGraph>,
}

/// A graph that was set aside, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuarantinedGraph {
    /// Its id.
    pub graph_id: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The config file in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigReadiness {
    /// SHA-256 of the file as the server last read or wrote it.
    pub digest: String,
    /// Whether the file on disk is another one by now.
    pub drifted: bool,
    /// Whether the last reload was applied; true when there was none.
    pub last_reload_ok: bool,
    /// When the last reload was: RFC 3339; left out when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload_at: Option<String>,
}

/// Who the credential stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    /// The name of the principal.
    pub principal: String,
    /// What kind of principal.
    pub kind: PrincipalKind,
    /// The groups it is in, sorted.
    pub groups: Vec<String>,
    /// What the credential is narrowed to; empty when it is not.
    pub scopes: Vec<String>,
}

/// What kind of principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program.
    Service,
    /// Anyone: the server runs without authentication.
    Anonymous,
}
