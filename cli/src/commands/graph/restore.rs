//! `trellis graph restore`.

use api_types::GraphSummary;
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis graph restore`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Its id
    graph: String,
    /// Which one, of several deleted graphs of that id: a deletion as `trellis graph list --deleted` shows
    /// it; left out, the newest one
    #[arg(long, value_name = "UUID")]
    deletion: Option<String>,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let path = ["graphs", &arguments.graph, "restore"];
    let graph: GraphSummary = client.change_deleted(&path, arguments.deletion.as_deref())?;
    table::print(&format!("restored {} at {}", graph.graph_id, graph.uri))
}
