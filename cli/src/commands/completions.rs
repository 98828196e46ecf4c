//! `trellis completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::CommandLine;
use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis completions`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = CommandLine::command();
    clap_complete::generate(arguments.shell, &mut command, "trellis", &mut script);
    table::print(String::from_utf8_lossy(&script).trim_end())
}
