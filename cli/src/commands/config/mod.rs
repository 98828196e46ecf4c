//! `trellis config`: the operator's file.

mod check;
mod diff;
mod reload;

use api_types::ConfigChange;
use clap::Subcommand;

use crate::client::{Client, Connection};
use crate::failure::Failure;
use crate::table;
use crate::value::cell;

/// What can be done with a config file.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check a config file, its tokens and every policy that it names, without a server
    Check(check::Arguments),
    /// Show what was changed in a server's config file since the server read it
    ///
    /// Exit codes: 0 nothing was, 3 something was and can be applied, 1 it cannot be applied, or no answer
    /// came, 2 the command line was wrong.
    Diff(diff::Arguments),
    /// Have a server apply its config file as it is now
    Reload(reload::Arguments),
}

impl Command {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), Failure> {
        match self {
            Self::Check(arguments) => check::run(&arguments),
            Self::Diff(arguments) => diff::run(&arguments, &Client::new(connection)?),
            Self::Reload(arguments) => reload::run(&arguments, &Client::new(connection)?),
        }
    }
}

fn print(changes: &[ConfigChange]) -> Result<(), Failure> {
    let side = |value: &Option<serde_json::Value>| value.as_ref().map_or_else(String::new, cell);
    let line = |change: &ConfigChange| {
        let kind = serde_json::to_value(change.kind).unwrap_or_default();
        let (before, after) = (side(&change.before), side(&change.after));
        [change.path.clone(), cell(&kind), before, after]
    };
    let header = ["key", "what", "served", "in the file"];
    table::print_lines(header, changes.iter().map(line))
}
