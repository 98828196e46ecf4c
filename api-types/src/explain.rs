//! `POST query/explain`: how a statement would be run, and how it was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Column, Commit, Parameters, QueryStats};

/// A statement to be explained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"query": "MATCH (p:Person)-[:Knows]->(f) RETURN f.name, count(*)", "analyze": true}))]
pub struct ExplainRequest {
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
    /// The graph as it was, as for a query.
    #[serde(
        default,
        deserialize_with = "crate::moment::at",
        skip_serializing_if = "Option::is_none"
    )]
    pub at: Option<String>,
    /// How long it may take, in milliseconds; the server's own limit at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub timeout_ms: Option<u64>,
    /// The most rows that the statement may have, when it is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_rows: Option<u64>,
    /// Run the statement, which must only read, and say how many rows came out of each operator and
    /// how long it took. The rows themselves are given to nobody.
    #[serde(default)]
    pub analyze: bool,
}

/// How a statement is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainResponse {
    /// The columns that its result has.
    pub columns: Vec<Column>,
    /// The types that it reads.
    pub reads: Vec<String>,
    /// The types that it writes.
    pub writes: Vec<String>,
    /// The operators: first that which gives the result, each before those that it takes its rows
    /// from.
    pub plan: Vec<Operator>,
    /// The commit whose statistics were used.
    pub commit: Commit,
    /// How the run went, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<QueryStats>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operator {
    /// Its place in the plan, from 0.
    pub id: usize,
    /// What kind it is: `NodeScan`, `KeyLookup`, `Expand`, `Aggregate`, ...
    pub operator: String,
    /// What it works on, written as a pattern or as names.
    pub details: String,
    /// The conditions of the statement that it tests, as they stand there.
    pub conditions: Vec<String>,
    /// How many rows are expected to come out of it.
    pub estimated_rows: f64,
    /// How many rows came out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// How long it took, without those that it takes its rows from, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<f64>,
    /// Which operators it takes its rows from, by their places.
    pub inputs: Vec<usize>,
}
