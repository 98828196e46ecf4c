//! `trellis serve`.

use std::path::PathBuf;

use clap::Args;
use server::{ServeOptions, Signals};

use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis serve`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The config file
    #[arg(long, value_name = "FILE", required_unless_present = "graph")]
    config: Option<PathBuf>,
    /// Serve the graph in this folder alone, its routes flat, with the config file's other sections if
    /// there is one
    #[arg(long, value_name = "URI")]
    graph: Option<String>,
    /// Address and port instead of the config file's; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Let everybody on this machine do everything; loopback only
    #[arg(long)]
    unauthenticated: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let options = ServeOptions {
        config: arguments.config,
        graph: arguments.graph,
        bind: arguments.bind,
        unauthenticated: arguments.unauthenticated,
        ..ServeOptions::new("")
    };
    // It accepts connections and looks after things; requests have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Serve(source.into()))?;
    let served = runtime.block_on(async {
        let running = server::start(options)
            .await
            .map_err(|error| Failure::Serve(error.into()))?;
        let signals = Signals::watch().map_err(|error| Failure::Serve(error.into()))?;
        // Whoever started us on port 0 learns the port here; the log goes to standard error.
        table::print(&format!("listening on http://{}", running.address()))?;
        running
            .until_signalled(signals)
            .await
            .map_err(|error| Failure::Serve(error.into()))
    });
    // What still runs has had its time, and its log is whole; dropping would wait for it.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    server::flush_log();
    served
}
