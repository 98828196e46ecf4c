//! `trellis policy check`.

use std::path::PathBuf;

use clap::Args;
use server::offline;

use crate::failure::Failure;
use crate::report;

/// Arguments of `trellis policy check`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Cedar files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let found = offline::check_policies(&arguments.files);
    let files: Vec<_> = arguments.files.iter().map(PathBuf::as_path).collect();
    report::print(&found, &files, "policy rule")
}
