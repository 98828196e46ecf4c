//! `trellis graph show`.

use api_types::{GraphDetails, StorageDetails};
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::table::{self, Format, of_type};

/// Arguments of `trellis graph show`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Its id
    graph: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let graph: GraphDetails = client.get(&["graphs", &arguments.graph], &[])?;
    match arguments.format {
        Format::Json => table::print_json(&graph),
        Format::Ndjson => table::print_ndjson(&[graph]),
        Format::Table => table::print_lines(["what", "value"], lines(&graph)),
    }
}

fn lines(graph: &GraphDetails) -> Vec<[String; 2]> {
    let mut lines = Vec::new();
    let mut say = |what: &str, value: String| lines.push([what.to_owned(), value]);
    say("graph", graph.graph_id.clone());
    say("uri", graph.uri.clone());
    if let Some(tenant) = &graph.tenant {
        say("tenant", tenant.clone());
    }
    for (name, value) in &graph.labels {
        say(&format!("label {name}"), value.clone());
    }
    say("schema version", graph.schema_version.to_string());
    say(
        "head",
        format!(
            "{} on {}, {}",
            graph.head.id, graph.head.branch, graph.head.time
        ),
    );
    for (name, count) in &graph.nodes {
        say(&format!("nodes{}", of_type(name)), count.to_string());
    }
    for (name, count) in &graph.edges {
        say(
            &format!("relationships{}", of_type(name)),
            count.to_string(),
        );
    }
    lines.extend(storage(&graph.storage));
    lines
}

/// What is on disk and in memory.
fn storage(storage: &StorageDetails) -> Vec<[String; 2]> {
    let mut lines = Vec::new();
    let mut say = |what: &str, value: String| lines.push([what.to_owned(), value]);
    say(
        "log",
        format!(
            "{} bytes, {} in {}, from {} on",
            storage.log_bytes,
            table::counted(storage.log_entries, "record"),
            table::counted(storage.log_segments, "file"),
            storage.horizon
        ),
    );
    say(
        "log since checkpoint",
        format!("{} bytes", storage.log_bytes_since_checkpoint),
    );
    say(
        "rows since checkpoint",
        storage.rows_since_checkpoint.to_string(),
    );
    say("memory", format!("{} bytes", storage.memory.bytes));
    if let Some(checkpoint) = &storage.checkpoint {
        say(
            "checkpoint",
            format!(
                "at {}, {} seconds ago",
                checkpoint.lsn, checkpoint.age_seconds
            ),
        );
        for (name, table) in &checkpoint.tables {
            say(
                &format!("table {name}"),
                format!(
                    "{} rows in {} pieces, {} deleted",
                    table.rows, table.fragments, table.deleted_rows
                ),
            );
        }
    }
    for pin in &storage.pins {
        say(
            "log kept",
            format!(
                "{} bytes from {} on, for {}",
                pin.log_bytes, pin.lsn, pin.by
            ),
        );
    }
    let errors = &storage.errors;
    let failures = [
        ("fold failed", &errors.fold),
        ("compaction failed", &errors.compaction),
        ("collection failed", &errors.collection),
    ];
    for (what, failure) in failures {
        if let Some(failure) = failure {
            say(what, format!("{}: {}", failure.time, failure.message));
        }
    }
    lines
}
