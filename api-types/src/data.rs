//! `POST load` and `GET export`: whole files in and out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Commit;

/// What to do with rows that are there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadMode {
    /// Add; a node whose key is taken is an error.
    #[default]
    Append,
    /// Add what is new, update what is there.
    Merge,
    /// Empty the graph first.
    Overwrite,
}

/// How to load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LoadParameters {
    /// What to do with rows that are there already; `append` when left out.
    #[serde(default)]
    #[param(inline)]
    pub mode: LoadMode,
    /// The branch to write; `main` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The node type or edge type that the rows are of: required for all but NDJSON, whose lines say
    /// it themselves.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
}

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoadResponse {
    /// The one commit that holds all of it.
    pub commit: Commit,
    /// How many nodes, per node type.
    pub nodes: BTreeMap<String, u64>,
    /// How many relationships, per edge type.
    pub edges: BTreeMap<String, u64>,
}

/// What to export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportParameters {
    /// The branch to read; `main` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Read the graph as it was: a commit's id, its sequence number, or an RFC 3339 time, which means
    /// the newest commit that was there then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Only this node type or edge type; required for all but NDJSON.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
}
