//! `trellis doctor`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use server::offline::Store;
use server::offline::doctor::{self, Depth, Severity};
use server::offline::{self, Grade};

use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis doctor`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The graph's folder, the one with graph.json in it, or its place in an object store:
    /// s3://bucket/prefix, with the server's AWS_* variables
    #[arg(required_unless_present = "config", conflicts_with = "config")]
    folder: Option<PathBuf>,
    /// Examine a server's config file instead: the file, its lock, permissions, disk, and every graph
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Also compare the state that the log alone gives with the tables; holds a graph in memory twice
    #[arg(long)]
    deep: bool,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// One finding a line: how bad, where, what, what it means, what can be done
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
    let format = arguments.format;
    match (&arguments.folder, &arguments.config) {
        (Some(folder), _) => examine_graph(folder, depth, format),
        (None, Some(config)) => examine_config(config, depth, format),
        (None, None) => Err(Failure::Usage(
            "name a graph's folder, or a config file with --config".to_owned(),
        )),
    }
}

fn examine_graph(folder: &Path, depth: Depth, format: Format) -> Result<(), Failure> {
    let place = place(folder)?;
    let diagnosis =
        doctor::examine(place, depth).map_err(|error| Failure::Usage(error.to_string()))?;
    let lines = diagnosis.findings.iter().map(ToString::to_string);
    print(format, &diagnosis, lines)?;
    if diagnosis.sound {
        return Ok(());
    }
    let damage = diagnosis.findings.iter();
    let damage = damage.filter(|finding| finding.severity == Severity::Damage);
    Err(Failure::Found(format!(
        "{} is damaged: {}",
        folder.display(),
        counted(damage.count())
    )))
}

fn examine_config(config: &Path, depth: Depth, format: Format) -> Result<(), Failure> {
    let checkup = offline::check_up(config, depth);
    let lines = checkup.findings.iter().map(ToString::to_string);
    print(format, &checkup, lines)?;
    if checkup.sound {
        return Ok(());
    }
    let errors = checkup.findings.iter();
    let errors = errors.filter(|finding| finding.grade == Grade::Error);
    Err(Failure::Found(format!(
        "{} or what it names needs attention: {}",
        config.display(),
        counted(errors.count())
    )))
}

fn print(
    format: Format,
    whole: &impl Serialize,
    lines: impl Iterator<Item = String>,
) -> Result<(), Failure> {
    match format {
        Format::Text => table::print(&lines.collect::<Vec<_>>().join("\n")),
        Format::Json => table::print_json(whole),
    }
}

fn counted(findings: usize) -> String {
    table::counted(u64::try_from(findings).unwrap_or(u64::MAX), "finding")
}
