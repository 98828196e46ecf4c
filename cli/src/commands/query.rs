//! `trellis query`.

use api_types::{QueryRequest, QueryResponse};
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::input::Statement;
use crate::table::{self, Format};

/// Arguments of `trellis query`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The graph
    graph: String,
    #[command(flatten)]
    statement: Statement,
    /// How long it may run, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Fail when there are more rows than this
    #[arg(long, value_name = "ROWS")]
    max_rows: Option<u64>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let request = QueryRequest {
        query: arguments.statement.text()?,
        params: arguments.statement.parameters(),
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
