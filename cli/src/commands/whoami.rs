//! `trellis whoami`.

use api_types::Whoami;
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::table;
use crate::value::{cell, printable};

/// Arguments of `trellis whoami`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let who: Whoami = client.get(&["whoami"], &[])?;
    if arguments.json {
        return table::print_json(&who);
    }
    let kind = serde_json::to_value(who.kind).map_or_else(|_| String::new(), |kind| cell(&kind));
    let mut text = format!("{} ({kind})", printable(&who.principal));
    for (what, names) in [("groups", &who.groups), ("scopes", &who.scopes)] {
        if !names.is_empty() {
            text += &format!("\n{what}: {}", printable(&names.join(", ")));
        }
    }
    table::print(&text)
}
