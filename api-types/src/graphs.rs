//! `/graphs`: which graphs there are, and making one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Commit;

/// A graph to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"graph_id": "alpha", "schema": {"source": "node Person { email: String @key }"}}))]
pub struct CreateGraphRequest {
    /// 1 to 64 letters, digits and hyphens; unique without regard to case.
    #[schema(pattern = "^[a-zA-Z0-9-]{1,64}$")]
    pub graph_id: String,
    /// Where to keep it: a path inside one of the server's allowed roots. Left out, the server
    /// chooses a folder in its own storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// What it may contain; an open graph needs none.
    #[serde(default)]
    pub schema: SchemaSource,
    /// Who may do what with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyFile>,
    /// Whether only what the schema declares may be stored; `closed` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_type: Option<GraphType>,
    /// Whose data it is: an attribute for policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Names and values of your own: attributes for policies and for filtering the list.
    #[serde(
        default,
        deserialize_with = "crate::unique::map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
}

/// What is to be changed of a graph's registration. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tenant": "acme", "labels": {"env": "prod"}, "policy": null}))]
pub struct UpdateGraphRequest {
    /// Whose data it is; null for nobody's.
    #[serde(
        default,
        deserialize_with = "crate::unique::given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Option<String>>,
    /// Names and values of your own, all of them.
    #[serde(
        default,
        deserialize_with = "crate::unique::optional_map",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Who may do what with it; null for the server's policy alone.
    #[serde(
        default,
        deserialize_with = "crate::unique::given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<PolicyFile>)]
    pub policy: Option<Option<PolicyFile>>,
}

/// A graph that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeletedGraph {
    /// Its id.
    pub graph_id: String,
    /// When it was deleted: RFC 3339.
    pub deleted_at: String,
    /// Until when it can be restored at least: RFC 3339.
    pub purge_after: String,
}

/// A graph whose data is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgedGraph {
    /// Its id.
    pub graph_id: String,
    /// When it was deleted: RFC 3339.
    pub deleted_at: String,
    /// Since when its data is gone: RFC 3339.
    pub purged_at: String,
}

/// The text of a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaSource {
    /// In the schema language.
    pub source: String,
}

/// A policy on the server's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// The path of a Cedar file inside one of the server's allowed roots.
    pub file: String,
}

/// Whether only what the schema declares may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GraphType {
    /// Only what is declared.
    Closed,
    /// Labels and properties appear as data arrives.
    Open,
}

/// A graph that the caller may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphSummary {
    /// Its id, as it was first written.
    pub graph_id: String,
    /// Where it is kept.
    pub uri: String,
    /// Whose data it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Names and values of the operator's own.
    pub labels: BTreeMap<String, String>,
    /// Whether it is in memory, on disk only, set aside, or deleted.
    pub state: GraphState,
    /// When it was deleted (RFC 3339); only of a deleted graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    /// Until when it can be restored at least (RFC 3339); only of a deleted graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge_after: Option<String>,
}

/// How a graph stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GraphState {
    /// On disk; opened on first use.
    Closed,
    /// In memory.
    Open,
    /// Damaged, and set aside.
    Quarantined,
    /// Deleted, its data still kept.
    Deleted,
}

/// Which graphs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListGraphsParameters {
    /// How many at most; 100 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only graphs of this tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only graphs with this label: `name` or `name=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Only graphs that are in this state. Deleted graphs are listed when they are asked for: those that
    /// the caller may restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub state: Option<GraphState>,
}

/// A page of graphs, sorted by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphList {
    /// Those that the caller may see.
    pub graphs: Vec<GraphSummary>,
    /// Give it as `cursor` to get the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// A graph in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphDetails {
    /// Its id, as it was first written.
    pub graph_id: String,
    /// Where it is kept.
    pub uri: String,
    /// Whose data it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Names and values of the operator's own.
    pub labels: BTreeMap<String, String>,
    /// Whether only what the schema declares may be stored.
    pub graph_type: GraphType,
    /// Version of the schema.
    pub schema_version: u64,
    /// The newest commit.
    pub head: Commit,
    /// How many nodes, per node type that the caller may read.
    pub nodes: BTreeMap<String, u64>,
    /// How many relationships, per edge type that the caller may read.
    pub edges: BTreeMap<String, u64>,
    /// What is on disk and in memory.
    pub storage: StorageDetails,
}

/// What a graph has on disk and in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageDetails {
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Entries of the log.
    pub log_entries: u64,
    /// Files of the log.
    pub log_segments: u64,
    /// The first position in the log that history is kept from: `at` reaches back to there.
    pub horizon: u64,
    /// Bytes of the log that no checkpoint covers yet.
    pub log_bytes_since_checkpoint: u64,
    /// Rows changed that no checkpoint covers yet.
    pub rows_since_checkpoint: u64,
    /// What it takes in memory while it is open.
    pub memory: MemoryDetails,
    /// The newest point where the log was folded into tables; null while there is none.
    pub checkpoint: Option<CheckpointDetails>,
    /// What keeps the log from being collected, and how much of it.
    pub pins: Vec<PinDetails>,
    /// What failed last in the background; it is tried again.
    pub errors: BackgroundErrors,
    /// Files that collection has removed since the graph was opened.
    pub collected_files: u64,
    /// Their bytes.
    pub collected_bytes: u64,
}

/// What an open graph takes in memory, about, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryDetails {
    /// All of it.
    pub bytes: u64,
    /// Columns: ids, ends of relationships, and those properties that are in memory.
    pub columns_bytes: u64,
    /// From keys to nodes.
    pub keys_bytes: u64,
    /// From nodes to their relationships, in both directions.
    pub topology_bytes: u64,
    /// Rows changed that no checkpoint covers yet.
    pub changes_bytes: u64,
    /// Answers kept for requests that come again.
    pub answers_bytes: u64,
    /// How many properties, of all types, are not, or not all, in memory: they are read when a statement
    /// needs them.
    pub cold_columns: u64,
}

/// A point where the log was folded into tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckpointDetails {
    /// Its position in the log.
    pub lsn: u64,
    /// When it was made (RFC 3339, UTC).
    pub time: String,
    /// How long ago, in seconds.
    pub age_seconds: u64,
    /// Its tables, by types that the caller may read.
    pub tables: BTreeMap<String, TableDetails>,
}

/// The table of a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableDetails {
    /// Its rows.
    pub rows: u64,
    /// Pieces that it is in. Many are made few by themselves.
    pub fragments: u64,
    /// Rows that are deleted and still take room.
    pub deleted_rows: u64,
}

/// Something that keeps the log from being collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PinDetails {
    /// Who or what.
    pub by: String,
    /// The first position in the log that it needs.
    pub lsn: u64,
    /// Bytes of the log from there on.
    pub log_bytes: u64,
    /// Since when, where it is a process (RFC 3339, UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// What failed last in the background, if the last attempt failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackgroundErrors {
    /// Folding the log into tables.
    pub fold: Option<BackgroundError>,
    /// Making many pieces of a table few.
    pub compaction: Option<BackgroundError>,
    /// Removing what nothing needs.
    pub collection: Option<BackgroundError>,
}

/// A failure in the background.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackgroundError {
    /// Why.
    pub message: String,
    /// When (RFC 3339, UTC).
    pub time: String,
}
