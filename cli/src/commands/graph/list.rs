//! `trellis graph list`.

use api_types::{GraphList, GraphSummary};
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::table::{self, Format};
use crate::value::cell;

/// Arguments of `trellis graph list`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only graphs of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only graphs with this label: `name` or `name=value`
    #[arg(long)]
    label: Option<String>,
    /// The deleted graphs that you may restore, instead of those that there are
    #[arg(long)]
    deleted: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let graphs = all(arguments, client)?;
    match arguments.format {
        Format::Json => table::print_json(&graphs),
        Format::Ndjson => table::print_ndjson(&graphs),
        Format::Table => print(graphs, arguments.deleted),
    }
}

fn print(graphs: Vec<GraphSummary>, deleted: bool) -> Result<(), Failure> {
    let number = u64::try_from(graphs.len()).unwrap_or(u64::MAX);
    let noun = if deleted {
        let header = [
            "graph",
            "deleted",
            "kept until",
            "tenant",
            "labels",
            "uri",
            "deletion",
        ];
        table::print_lines(header, graphs.into_iter().map(line_of_deleted))?;
        "deleted graph"
    } else {
        let header = ["graph", "state", "tenant", "labels", "uri"];
        table::print_lines(header, graphs.into_iter().map(line))?;
        "graph"
    };
    eprintln!("{}", table::counted(number, noun));
    Ok(())
}

/// Every page, one after the other.
fn all(arguments: &Arguments, client: &Client) -> Result<Vec<GraphSummary>, Failure> {
    let mut graphs = Vec::new();
    let state = arguments.deleted.then_some("deleted");
    let mut cursor: Option<String> = None;
    loop {
        let mut parameters = vec![("limit", "1000")];
        for (name, value) in [
            ("tenant", arguments.tenant.as_deref()),
            ("label", arguments.label.as_deref()),
            ("state", state),
            ("cursor", cursor.as_deref()),
        ] {
            parameters.extend(value.map(|value| (name, value)));
        }
        let page: GraphList = client.get(&["graphs"], &parameters)?;
        graphs.extend(page.graphs);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(graphs);
        }
    }
}

fn labels(graph: &GraphSummary) -> String {
    let labels = graph.labels.iter();
    let labels: Vec<_> = labels
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    labels.join(" ")
}

fn line_of_deleted(graph: GraphSummary) -> [String; 7] {
    let labels = labels(&graph);
    [
        graph.graph_id,
        graph.deleted_at.unwrap_or_default(),
        graph.purge_after.unwrap_or_default(),
        graph.tenant.unwrap_or_default(),
        labels,
        graph.uri,
        graph.deletion.unwrap_or_default(),
    ]
}

fn line(graph: GraphSummary) -> [String; 5] {
    let labels = labels(&graph);
    let state =
        serde_json::to_value(graph.state).map_or_else(|_| String::new(), |state| cell(&state));
    [
        graph.graph_id,
        state,
        graph.tenant.unwrap_or_default(),
        labels,
        graph.uri,
    ]
}
