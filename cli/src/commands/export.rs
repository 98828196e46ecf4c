//! `trellis export`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::client::Client;
use crate::failure::Failure;
use crate::output;

/// Arguments of `trellis export`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The graph; `.` for that of a server with one alone
    graph: String,
    /// Where to; left out, to standard output. The file appears when it is complete
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only this node type or edge type; needed for all but NDJSON
    #[arg(long = "type", value_name = "NAME")]
    type_name: Option<String>,
    /// Read the graph as it was: the id of a commit, its sequence number, or a time
    #[arg(long, value_name = "WHEN")]
    at: Option<String>,
    /// What to write; left out, what the end of the file's name says, else NDJSON
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// What an export is.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// One JSON object a line
    Ndjson,
    /// An Arrow IPC stream
    Arrow,
    /// A Parquet file
    Parquet,
}

impl Format {
    fn of(file: &Path) -> Self {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("arrow" | "arrows") => Self::Arrow,
            Some("parquet") => Self::Parquet,
            _ => Self::Ndjson,
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let said = arguments.output.as_deref().map(Format::of);
    let format = arguments.format.or(said).unwrap_or(Format::Ndjson);
    match (format, &arguments.output) {
        (Format::Arrow, None) => output::refuse_terminal("an Arrow stream")?,
        (Format::Parquet, None) => output::refuse_terminal("a Parquet file")?,
        _ => {}
    }
    let named = [("type", &arguments.type_name), ("at", &arguments.at)];
    let given = named
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let parameters: Vec<_> = given.collect();
    let mut answer = client.get_stream(
        &["graphs", &arguments.graph, "export"],
        &parameters,
        format.media_type(),
    )?;
    match &arguments.output {
        None => output::print(&mut answer, client),
        Some(path) => output::save(&mut answer, path, client),
    }
}
