//! `trellis config check`.

use std::path::PathBuf;

use clap::Args;
use server::offline;

use crate::failure::Failure;
use crate::report;

/// Arguments of `trellis config check`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The config file
    file: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let found = offline::check_config(&arguments.file);
    report::print(&found, &[&arguments.file], "graph")
}
