//! `trellis doctor`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use server::offline::Store;
use server::offline::doctor::{self, Depth, Severity};

use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis doctor`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The graph's folder, the one with graph.json in it, or its place in an object store:
    /// s3://bucket/prefix, with the server's AWS_* variables
    folder: PathBuf,
    /// Also compare the state that the log alone gives with the tables; holds the graph in memory twice
    #[arg(long)]
    deep: bool,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// One finding a line: how bad, where, what, what it means, what can be saved
    #[default]
    Text,
    /// All of it as one JSON value
    Json,
}

/// What the person wrote as a folder or as a place in an object store.
pub(super) fn place(written: &Path) -> Result<Store, Failure> {
    Store::at(&written.to_string_lossy()).map_err(|error| Failure::Usage(error.to_string()))
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let depth = if arguments.deep {
        Depth::Deep
    } else {
        Depth::Usual
    };
    let place = place(&arguments.folder)?;
    let diagnosis =
        doctor::examine(place, depth).map_err(|error| Failure::Usage(error.to_string()))?;
    match arguments.format {
        Format::Text => {
            let lines: Vec<_> = diagnosis.findings.iter().map(ToString::to_string).collect();
            table::print(&lines.join("\n"))?;
        }
        Format::Json => table::print_json(&diagnosis)?,
    }
    if diagnosis.sound {
        return Ok(());
    }
    let damage = diagnosis.findings.iter();
    let damage = damage.filter(|finding| finding.severity == Severity::Damage);
    let number = u64::try_from(damage.count()).unwrap_or(u64::MAX);
    Err(Failure::Found(format!(
        "{} is damaged: {}",
        arguments.folder.display(),
        table::counted(number, "finding")
    )))
}
