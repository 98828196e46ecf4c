//! `trellis schema`: what a graph may contain.

mod show;

use clap::Subcommand;

use crate::client::Client;
use crate::failure::Failure;

/// What can be done with schemas.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show the schema of a graph
    Show(show::Arguments),
}

impl Command {
    pub(crate) fn run(self, client: &Client) -> Result<(), Failure> {
        match self {
            Self::Show(arguments) => show::run(&arguments, client),
        }
    }
}
