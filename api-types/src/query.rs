//! `POST query`: a reading statement and its result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Commit;

/// Values for the parameters of a statement, by name without `$`.
pub type Parameters = BTreeMap<String, serde_json::Value>;

/// A row of a result: values by column name.
pub type Row = serde_json::Map<String, serde_json::Value>;

/// A reading statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"query": "MATCH (p:Person) WHERE p.name = $name RETURN p.email", "params": {"name": "Ada"}}))]
pub struct QueryRequest {
    /// The statement, in Cypher.
    pub query: String,
    /// Values for its parameters, by name without `$`.
    #[serde(
        default,
        deserialize_with = "crate::unique::map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schema(value_type = Object)]
    pub params: Parameters,
    /// The branch to read; `main` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Read the graph as it was: a commit's id, its sequence number as text, or an RFC 3339 time,
    /// which means the newest commit that was there then.
    #[serde(
        default,
        deserialize_with = "crate::moment::at",
        skip_serializing_if = "Option::is_none"
    )]
    pub at: Option<String>,
    /// How long the statement may run, in milliseconds. A longer time than the server's own limit
    /// is cut down to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub timeout_ms: Option<u64>,
    /// The most rows that the caller wants to see. One more and the answer is the error
    /// `row_limit`, never a silently shortened result. Use `LIMIT` to take the first rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_rows: Option<u64>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Column {
    /// The alias, or the text of the expression.
    pub name: String,
    /// What is known of its values: `any`, `null`, `boolean`, `integer`, `float`, `number`,
    /// `string`, `date`, `datetime`, `node`, `relationship`, `path`, `map`, or `list<...>`.
    #[serde(rename = "type")]
    pub value_type: String,
}

/// The result of a reading statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueryResponse {
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The rows, in order; each an object with one member per column.
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Row>,
    /// The commit that was read.
    pub commit: Commit,
    /// How it went.
    pub stats: QueryStats,
}

/// How a reading statement went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueryStats {
    /// How many rows the result has.
    pub rows: u64,
    /// How long it took from compiling to the last row, in milliseconds.
    pub elapsed_ms: f64,
}
