//! `trellis graph`: which graphs there are.

mod create;
mod list;
mod show;

use clap::Subcommand;

use crate::client::Client;
use crate::failure::Failure;

/// What can be done with graphs as a whole.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create a graph from a schema
    Create(create::Arguments),
    /// List the graphs that you may see
    List(list::Arguments),
    /// Show one graph: what it holds and where
    Show(show::Arguments),
}

impl Command {
    pub(crate) fn run(self, client: &Client) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create::run(arguments, client),
            Self::List(arguments) => list::run(&arguments, client),
            Self::Show(arguments) => show::run(&arguments, client),
        }
    }
}
