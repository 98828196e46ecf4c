//! `trellis load`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use api_types::LoadResponse;
use clap::{Args, ValueEnum};

use crate::client::Client;
use crate::failure::Failure;
use crate::{input, table};

/// Arguments of `trellis load`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The graph
    graph: String,
    /// NDJSON file, `-` for standard input; with --type also a .csv, .parquet or .arrow file
    file: PathBuf,
    /// The type that the rows of a .csv, .parquet or .arrow file are of
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<String>,
    /// What to do with rows that are there already
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
}

/// `api_types::LoadMode`, as an argument.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Mode {
    /// Add; a node whose key is taken is an error
    #[default]
    Append,
    /// Add what is new, update what is there
    Merge,
    /// Empty the graph first
    Overwrite,
}

impl Mode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Merge => "merge",
            Self::Overwrite => "overwrite",
        }
    }
}

/// What a file is, by the end of its name.
fn media_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => "text/csv",
        Some("parquet") => "application/vnd.apache.parquet",
        Some("arrow" | "arrows") => "application/vnd.apache.arrow.stream",
        _ => "application/x-ndjson",
    }
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let body = input::open(&arguments.file)?;
    let begun = Instant::now();
    let mut parameters = vec![("mode", arguments.mode.as_str())];
    parameters.extend(arguments.type_name.as_deref().map(|name| ("type", name)));
    let loaded: LoadResponse = client.post_stream(
        &["graphs", &arguments.graph, "load"],
        &parameters,
        media_type(&arguments.file),
        body,
    )?;
    let elapsed = begun.elapsed();
    let kinds = [("node", &loaded.nodes), ("relationship", &loaded.edges)];
    let counts: Vec<_> = kinds
        .iter()
        .flat_map(|(noun, counts)| {
            counts
                .iter()
                .map(move |(name, count)| table::counted(*count, noun) + &table::of_type(name))
        })
        .collect();
    let what = match (counts.is_empty(), arguments.mode) {
        (false, _) => format!("loaded {} in", counts.join(", ")),
        (true, Mode::Overwrite) => "emptied the graph: there is no record in the input;".to_owned(),
        (true, _) => "loaded nothing: there is no record in the input;".to_owned(),
    };
    table::print(&format!("{what} commit {}", loaded.commit.id))?;
    eprintln!("{:.0} ms", elapsed.as_secs_f64() * 1e3);
    Ok(())
}
