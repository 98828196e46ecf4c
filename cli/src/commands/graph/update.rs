//! `trellis graph update`.

use api_types::{GraphSummary, PolicyFile, UpdateGraphRequest};
use clap::Args;
use reqwest::Method;

use crate::client::Client;
use crate::failure::Failure;
use crate::{input, table};

/// Arguments of `trellis graph update`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Its id
    graph: String,
    /// Whose data it is
    #[arg(long, conflicts_with = "no_tenant")]
    tenant: Option<String>,
    /// Make it nobody's
    #[arg(long)]
    no_tenant: bool,
    /// Path of a Cedar file, on the server's disk
    #[arg(long, value_name = "PATH", conflicts_with = "no_policy")]
    policy: Option<String>,
    /// Leave it to the server's policy alone
    #[arg(long)]
    no_policy: bool,
    /// A name and value of your own; may be repeated, and replaces all labels
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = input::pair, conflicts_with = "no_labels")]
    labels: Vec<(String, String)>,
    /// Take all labels away
    #[arg(long)]
    no_labels: bool,
    /// Only when this is its version still: the etag that `trellis graph show` prints
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

pub(super) fn run(arguments: Arguments, client: &Client) -> Result<(), Failure> {
    let policy = arguments.policy.map(|file| PolicyFile { file });
    let labels = arguments.no_labels || !arguments.labels.is_empty();
    let request = UpdateGraphRequest {
        tenant: given(arguments.tenant, arguments.no_tenant),
        policy: given(policy, arguments.no_policy),
        labels: labels.then(|| arguments.labels.into_iter().collect()),
    };
    if request == UpdateGraphRequest::default() {
        return Err(Failure::Usage(
            "nothing to change: name a tenant, a label or a policy".to_owned(),
        ));
    }
    let graph: GraphSummary = client.change(
        Method::PATCH,
        &["graphs", &arguments.graph],
        arguments.if_match.as_deref(),
        Some(&request),
    )?;
    table::print(&format!("changed {}", graph.graph_id))
}

fn given<T>(value: Option<T>, none: bool) -> Option<Option<T>> {
    match value {
        Some(value) => Some(Some(value)),
        None => none.then_some(None),
    }
}
