//! `trellis query`.

use api_types::{QueryRequest, QueryResponse};
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::table::Format;
use crate::{input, table};

/// Arguments of `trellis query`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The graph
    graph: String,
    /// The statement in Cypher, `-` for standard input
    cypher: String,
    /// A parameter: JSON, or else a string; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = input::pair)]
    parameters: Vec<(String, String)>,
    /// How long it may run, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Fail when there are more rows than this
    #[arg(long)]
    max_rows: Option<u64>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let request = QueryRequest {
        query: input::statement(&arguments.cypher)?,
        params: input::parameters(&arguments.parameters),
        timeout_ms: arguments.timeout_ms,
        max_rows: arguments.max_rows,
        ..QueryRequest::default()
    };
    let result: QueryResponse = client
        .post(&["graphs", &arguments.graph, "query"], &request)
        .map_err(|failure| failure.about(&request.query))?;
    match arguments.format {
        Format::Json => table::print_json(&result),
        Format::Ndjson => table::print_ndjson(&result.rows),
        Format::Table => {
            table::print_rows(&result.columns, &result.rows)?;
            let rows = table::counted(result.stats.rows, "row");
            eprintln!("{rows} in {:.1} ms", result.stats.elapsed_ms);
            Ok(())
        }
    }
}
