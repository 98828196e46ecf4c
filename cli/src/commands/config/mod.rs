//! `trellis config`: the operator's file.

mod check;

use clap::Subcommand;

use crate::failure::Failure;

/// What can be done with a config file.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check a config file, its tokens and every policy that it names
    Check(check::Arguments),
}

impl Command {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check(arguments) => check::run(&arguments),
        }
    }
}
