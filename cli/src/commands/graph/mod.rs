//! `trellis graph`: which graphs there are, and their lives.

mod create;
mod delete;
mod list;
mod purge;
mod restore;
mod retry;
mod show;
mod update;

use clap::Subcommand;

use crate::client::Client;
use crate::failure::Failure;

/// What can be done with graphs as a whole.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create a graph from a schema
    Create(create::Arguments),
    /// List the graphs that you may see, or the deleted ones that you may restore
    List(list::Arguments),
    /// Show one graph: what it holds and where
    Show(show::Arguments),
    /// Change a graph's tenant, labels or policy
    Update(update::Arguments),
    /// Delete a graph; it can be restored while its data is kept
    Delete(delete::Arguments),
    /// Bring a deleted graph back
    Restore(restore::Arguments),
    /// Remove the data of a deleted graph for good
    Purge(purge::Arguments),
    /// Open a graph again that was set aside, without waiting for its turn
    Retry(retry::Arguments),
}

impl Command {
    pub(crate) fn run(self, client: &Client) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create::run(arguments, client),
            Self::List(arguments) => list::run(&arguments, client),
            Self::Show(arguments) => show::run(&arguments, client),
            Self::Update(arguments) => update::run(arguments, client),
            Self::Delete(arguments) => delete::run(&arguments, client),
            Self::Restore(arguments) => restore::run(&arguments, client),
            Self::Purge(arguments) => purge::run(&arguments, client),
            Self::Retry(arguments) => retry::run(&arguments, client),
        }
    }
}
