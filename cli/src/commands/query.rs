//! `trellis query`.

use api_types::{QueryRequest, QueryResponse};
use clap::{Args, ValueEnum};

use crate::client::Client;
use crate::failure::Failure;
use crate::input::Statement;
use crate::{output, table};

/// Arguments of `trellis query`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The graph; `.` for that of a server with one alone
    graph: String,
    #[command(flatten)]
    statement: Statement,
    /// Read the graph as it was: the id of a commit, its sequence number, or a time
    #[arg(long, value_name = "WHEN")]
    at: Option<String>,
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

/// How a result is printed.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Table,
    /// The server's whole answer, as one JSON value
    Json,
    /// One JSON object a row, and nothing else, as they come
    Ndjson,
    /// An Arrow IPC stream, as it comes
    Arrow,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let request = QueryRequest {
        query: arguments.statement.text()?,
        params: arguments.statement.parameters(),
        at: arguments.at.clone(),
        timeout_ms: arguments.timeout_ms,
        max_rows: arguments.max_rows,
        ..QueryRequest::default()
    };
    let path = ["graphs", &arguments.graph, "query"];
    let print = |media_type| {
        let mut answer = client.post_for_stream(&path, &request, media_type)?;
        output::print(&mut answer, client)
    };
    let printed = match arguments.format {
        Format::Table => client.post(&path, &request).and_then(|it| print_table(&it)),
        Format::Json => client
            .post(&path, &request)
            .and_then(|result: QueryResponse| table::print_json(&result)),
        Format::Ndjson => print("application/x-ndjson"),
        Format::Arrow => output::refuse_terminal("an Arrow stream")
            .and_then(|()| print("application/vnd.apache.arrow.stream")),
    };
    printed.map_err(|failure| failure.about(&request.query))
}

fn print_table(result: &QueryResponse) -> Result<(), Failure> {
    table::print_rows(&result.columns, &result.rows)?;
    let rows = table::counted(result.stats.rows, "row");
    eprintln!("{rows} in {:.1} ms", result.stats.elapsed_ms);
    Ok(())
}
