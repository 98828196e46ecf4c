//! `trellis graph retry`.

use api_types::GraphSummary;
use clap::Args;
use reqwest::Method;

use crate::client::Client;
use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis graph retry`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Its id
    graph: String,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let path = ["graphs", &arguments.graph, "retry"];
    let graph: GraphSummary = client.change(Method::POST, &path, None, None::<&()>)?;
    table::print(&format!("{} is open", graph.graph_id))
}
