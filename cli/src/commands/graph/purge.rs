//! `trellis graph purge`.

use api_types::PurgedGraph;
use clap::Args;
use reqwest::Method;

use crate::client::Client;
use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis graph purge`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The id of a deleted graph
    graph: String,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let path = ["graphs", &arguments.graph, "purge"];
    let purged: PurgedGraph = client.change(Method::POST, &path, None, None::<&()>)?;
    table::print(&format!("purged {}: its data is gone", purged.graph_id))
}
