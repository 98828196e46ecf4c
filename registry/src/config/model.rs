//! What a sound config file says, typed. Paths and uris stand here as they were written.
//!
//! Every struct refuses unknown keys by itself; [`super::parse`] finds them all first, with a
//! suggestion each.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;
use crate::GraphId;

/// The only `version:` that this build reads.
pub const VERSION: u64 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The section `server:`.
    pub server: Server,
    /// The section `auth:`.
    pub auth: Auth,
    /// Group name to the principals in it.
    pub groups: BTreeMap<String, Vec<String>>,
    /// The graphs, in the order of the file.
    pub graphs: Vec<(GraphId, GraphEntry)>,
}

/// The sections of a file that are not about graphs, as far as they can be understood: `None` for one with
/// values that do not fit.
#[derive(Debug, Clone, Copy)]
pub struct Sections<'a> {
    /// The section `server:`.
    pub server: Option<&'a Server>,
    /// The section `auth:`.
    pub auth: Option<&'a Auth>,
    /// The section `groups:`.
    pub groups: Option<&'a BTreeMap<String, Vec<String>>>,
}

impl<'a> From<&'a Config> for Sections<'a> {
    fn from(config: &'a Config) -> Self {
        Self {
            server: Some(&config.server),
            auth: Some(&config.auth),
            groups: Some(&config.groups),
        }
    }
}

/// How the server runs.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port to listen on. `${NAME}` stands for the environment variable NAME, which must be set.
    pub bind: String,
    /// Where graphs without a uri are put. `${NAME}` stands for the environment variable NAME, which must be
    /// set.
    pub storage: Option<String>,
    /// Folders where a uri or a policy file given over HTTP may point; `storage` when not set. `${NAME}` in
    /// one stands for the environment variable NAME, which must be set.
    pub allow_roots: Option<Vec<String>>,
    /// The server's Cedar policy.
    pub policy: Option<PolicyFile>,
    /// How long the data of a deleted graph is kept, so that it can be restored.
    pub deleted_retention: Span,
    /// How far back the past of a graph can be read; what is older is collected. `7d`, `12h`, `30m`,
    /// or `0` for no more than recovery needs.
    pub history_retention: Span,
    /// Whether `/metrics` is given to everybody, without a credential.
    pub metrics_open: bool,
    /// Whether every graph must open for the server to start. Without it, a graph that cannot be opened
    /// is set aside, and the others are served.
    pub require_all_graphs: bool,
    /// What one request may take.
    pub limits: Limits,
    /// Which graphs stay open.
    pub open_graphs: OpenGraphs,
    /// What is logged, and how.
    pub log: Log,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:8080".to_owned(),
            storage: None,
            allow_roots: None,
            policy: None,
            deleted_retention: Span::days(7),
            history_retention: Span::days(7),
            metrics_open: false,
            require_all_graphs: false,
            limits: Limits::default(),
            open_graphs: OpenGraphs::default(),
            log: Log::default(),
        }
    }
}

/// What one request may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A JSON body, decoded, in bytes.
    pub json_body_bytes: NonZeroU64,
    /// A body of `load`, decoded, in bytes.
    pub load_body_bytes: NonZeroU64,
    /// The longest a query may run, in milliseconds.
    pub query_timeout_ms: NonZeroU64,
    /// The most rows one answer may have.
    pub max_rows: NonZeroU64,
    /// The memory one query may take, in bytes.
    pub query_memory_bytes: NonZeroU64,
    /// How many queries one principal may run at once; as many as there are processors when not set.
    /// More wait for their turn.
    pub queries_per_principal: Option<NonZeroU64>,
    /// How many queries may run at once on one graph; twice the processors when not set.
    pub queries_per_graph: Option<NonZeroU64>,
    /// How many connections may be open at once.
    pub connections: NonZeroU64,
}

impl Default for Limits {
    fn default() -> Self {
        const fn number(value: u64) -> NonZeroU64 {
            match NonZeroU64::new(value) {
                Some(number) => number,
                None => NonZeroU64::MIN,
            }
        }
        Self {
            json_body_bytes: number(32 << 20),
            load_body_bytes: number(16 << 30),
            query_timeout_ms: number(30_000),
            max_rows: number(100_000),
            query_memory_bytes: number(512 << 20),
            queries_per_principal: None,
            queries_per_graph: None,
            connections: number(1_000),
        }
    }
}

/// Which graphs stay open. They are opened on first use; those in use are never closed, and of the
/// others the one that was not used for longest goes first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpenGraphs {
    /// The memory that open graphs may take together, in bytes; half of the machine's when not set.
    pub memory_bytes: Option<NonZeroU64>,
    /// How many may be open at once; as many as need half of the files that the process may have open
    /// when not set.
    pub count: Option<NonZeroU64>,
    /// How long a graph stays open that nobody uses.
    pub idle: Span,
}

impl Default for OpenGraphs {
    fn default() -> Self {
        Self {
            memory_bytes: None,
            count: None,
            idle: Span::from_seconds(600),
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A `tracing` filter, such as `info` or `info,registry=debug`.
    pub level: String,
    /// Lines for people or for machines.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Who may knock.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// The file of principals and the SHA-256 of their tokens. `${NAME}` stands for the environment variable
    /// NAME, which must be set.
    pub tokens_file: Option<String>,
    /// JWT issuers; always empty, for a file that names one is refused until they are supported.
    #[schemars(with = "Vec<serde_json::Value>", length(max = 0))]
    pub issuers: Vec<serde_yaml::Value>,
}

/// A Cedar policy, named by its file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// The path as written.
    pub file: String,
}

/// One graph as the file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphEntry {
    /// Where it is kept, as written: a path, `file:///` or `s3://`. `${NAME}` stands for the environment
    /// variable NAME, which must be set.
    pub uri: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Free marks that lists can be filtered by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its own Cedar policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyFile>,
    /// Closed when not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_type: Option<GraphKind>,
}

/// Whether labels and properties must be declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GraphKind {
    /// Only what is declared.
    #[default]
    Closed,
    /// Labels and properties appear as data arrives.
    Open,
}
