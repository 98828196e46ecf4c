//! `trellis config reload`.

use api_types::{ReloadConfigRequest, ReloadedConfig};
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis config reload`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only check the file, and say what would change
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let request = ReloadConfigRequest {
        dry_run: arguments.dry_run,
    };
    let reloaded: ReloadedConfig = client.post(&["admin", "config", "reload"], &request)?;
    if !reloaded.changes.is_empty() {
        super::print(&reloaded.changes)?;
    }
    for key in &reloaded.needs_restart {
        eprintln!("{key} takes effect when the server is started anew");
    }
    let number = u64::try_from(reloaded.changes.len()).unwrap_or(u64::MAX);
    let changes = table::counted(number, "change");
    table::print(&if reloaded.applied {
        format!("applied: {changes}")
    } else {
        format!("sound: {changes} would be applied")
    })
}
