//! A commit and what it changed.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One atomic, durable change of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Commit {
    /// Its id (UUIDv7).
    pub id: String,
    /// The branch it is on.
    pub branch: String,
    /// Counts up by one with each commit of the branch.
    pub sequence: u64,
    /// The commits it follows.
    pub parents: Vec<String>,
    /// When it was made, RFC 3339, in UTC.
    pub time: String,
    /// Who made it.
    pub principal: String,
    /// The run that wrote its rows (UUIDv7).
    pub run: String,
}

/// The header of a write that may be sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyHeader {
    /// A name for this request, of the caller's choice: 1 to 255 visible ASCII characters, such as a
    /// UUID. Sent again with the same name, it is carried out once, and gets the first answer again
    /// for a day at least. An answer of more than 64 KiB is refused.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255)]
    pub idempotency_key: Option<String>,
}

/// What a commit changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeStats {
    /// Nodes created.
    pub nodes_created: u64,
    /// Nodes deleted.
    pub nodes_deleted: u64,
    /// Relationships created.
    pub edges_created: u64,
    /// Relationships deleted.
    pub edges_deleted: u64,
    /// Properties set or removed.
    pub properties_set: u64,
}
