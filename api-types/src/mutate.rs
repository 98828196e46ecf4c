//! `POST mutate`: writing statements in one commit, and what they did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ChangeStats, Column, Commit, Parameters, Row};

/// One statement, or several in order; all of it in one commit.
///
/// Either `query`, with its `params`, or `statements`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"query": "CREATE (:Person {email: $email})", "params": {"email": "ada@example.org"}}))]
pub struct MutateRequest {
    /// The statement, in Cypher. Not together with `statements`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Values for the parameters of `query`, by name without `$`.
    #[serde(
        default,
        deserialize_with = "crate::unique::map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schema(value_type = Object)]
    pub params: Parameters,
    /// Several statements; each sees the effects of those before it. Not together with `query`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statements: Option<Vec<Statement>>,
    /// The branch to write; `main` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// What the commit says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Write only if this commit is still the head of the branch, else 412.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_commit: Option<String>,
}

/// One statement of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
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
}

/// What a commit did, and what its last statement returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MutateResponse {
    /// The commit; when nothing was changed, the head as it is.
    pub commit: Commit,
    /// What changed.
    pub stats: ChangeStats,
    /// The columns of the last statement's `RETURN`; empty without one.
    pub columns: Vec<Column>,
    /// Its rows.
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Row>,
}
