//! `trellis graph delete`.

use api_types::DeletedGraph;
use clap::Args;
use reqwest::Method;

use crate::client::Client;
use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis graph delete`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Its id
    graph: String,
    /// Only when this is its version still: the etag that `trellis graph show` prints
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let deleted: DeletedGraph = client.change(
        Method::DELETE,
        &["graphs", &arguments.graph],
        arguments.if_match.as_deref(),
        None::<&()>,
    )?;
    table::print(&format!(
        "deleted {}; `trellis graph restore {}` brings it back until {}",
        deleted.graph_id, deleted.graph_id, deleted.purge_after
    ))
}
