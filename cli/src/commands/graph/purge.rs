//! `trellis graph purge`.

use api_types::PurgedGraph;
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis graph purge`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The id of a deleted graph
    graph: String,
    /// Which one, of several deleted graphs of that id: a deletion as `trellis graph list --deleted` shows
    /// it; left out, the newest one
    #[arg(long, value_name = "UUID")]
    deletion: Option<String>,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let path = ["graphs", &arguments.graph, "purge"];
    let purged: PurgedGraph = client.change_deleted(&path, arguments.deletion.as_deref())?;
    table::print(&format!(
        "purged {} at {}: its data is gone",
        purged.graph_id, purged.uri
    ))
}
