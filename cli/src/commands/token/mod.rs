//! `trellis token`: credentials.

mod new;

use clap::Subcommand;

use crate::failure::Failure;

/// What can be done with tokens.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a token and the entry that lets a server know it
    New(new::Arguments),
}

impl Command {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::New(arguments) => new::run(&arguments),
        }
    }
}
