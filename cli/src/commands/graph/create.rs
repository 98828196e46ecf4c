//! `trellis graph create`.

use std::path::PathBuf;

use api_types::{CreateGraphRequest, GraphSummary, GraphType, PolicyFile, SchemaSource};
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::{input, table};

/// Arguments of `trellis graph create`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Its id: 1 to 64 letters, digits and hyphens
    graph: String,
    /// File with the schema, `-` for standard input; an open graph needs none
    #[arg(long, value_name = "FILE", required_unless_present = "open")]
    schema: Option<PathBuf>,
    /// Where the server keeps it; left out, in the server's own storage
    #[arg(long)]
    uri: Option<String>,
    /// Whose data it is
    #[arg(long)]
    tenant: Option<String>,
    /// Path of a Cedar file, on the server's disk
    #[arg(long, value_name = "PATH")]
    policy: Option<String>,
    /// A name and value of your own; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = input::pair)]
    labels: Vec<(String, String)>,
    /// Let labels and properties appear as data arrives
    #[arg(long)]
    open: bool,
}

pub(super) fn run(arguments: Arguments, client: &Client) -> Result<(), Failure> {
    let source = match &arguments.schema {
        Some(file) => input::read(file)?,
        None => String::new(),
    };
    let request = CreateGraphRequest {
        graph_id: arguments.graph,
        uri: arguments.uri,
        schema: SchemaSource { source },
        policy: arguments.policy.map(|file| PolicyFile { file }),
        graph_type: arguments.open.then_some(GraphType::Open),
        tenant: arguments.tenant,
        labels: arguments.labels.into_iter().collect(),
    };
    let created: GraphSummary = client
        .post(&["graphs"], &request)
        .map_err(|failure| failure.about(&request.schema.source))?;
    table::print(&format!("created {} at {}", created.graph_id, created.uri))
}
