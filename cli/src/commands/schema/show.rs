//! `trellis schema show`.

use api_types::SchemaResponse;
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis schema show`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The graph; `.` for that of a server with one alone
    graph: String,
    /// The checked types as JSON in place of the text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let schema: SchemaResponse = client.get(&["graphs", &arguments.graph, "schema"], &[])?;
    if arguments.json {
        table::print_json(&schema)
    } else {
        table::print(schema.source.trim_end_matches('\n'))
    }
}
