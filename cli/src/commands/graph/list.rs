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
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let graphs = all(arguments, client)?;
    match arguments.format {
        Format::Json => table::print_json(&graphs),
        Format::Ndjson => table::print_ndjson(&graphs),
        Format::Table => {
            let number = u64::try_from(graphs.len()).unwrap_or(u64::MAX);
            let header = ["graph", "state", "tenant", "labels", "uri"];
            table::print_lines(header, graphs.into_iter().map(line))?;
            eprintln!("{}", table::counted(number, "graph"));
            Ok(())
        }
    }
}

/// Every page, one after the other.
fn all(arguments: &Arguments, client: &Client) -> Result<Vec<GraphSummary>, Failure> {
    let mut graphs = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut parameters = vec![("limit", "1000")];
        for (name, value) in [
            ("tenant", &arguments.tenant),
            ("label", &arguments.label),
            ("cursor", &cursor),
        ] {
            parameters.extend(value.as_deref().map(|value| (name, value)));
        }
        let page: GraphList = client.get(&["graphs"], &parameters)?;
        graphs.extend(page.graphs);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(graphs);
        }
    }
}

fn line(graph: GraphSummary) -> [String; 5] {
    let labels: Vec<_> = graph
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let state =
        serde_json::to_value(graph.state).map_or_else(|_| String::new(), |state| cell(&state));
    [
        graph.graph_id,
        state,
        graph.tenant.unwrap_or_default(),
        labels.join(" "),
        graph.uri,
    ]
}
