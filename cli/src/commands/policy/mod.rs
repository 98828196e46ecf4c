//! `trellis policy`: Cedar files.

mod check;

use clap::Subcommand;

use crate::failure::Failure;

/// What can be done with policies.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check policy files, each by itself
    Check(check::Arguments),
}

impl Command {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check(arguments) => check::run(&arguments),
        }
    }
}
