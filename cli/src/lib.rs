//! The command line: `trellis serve`, and every client command.
//!
//! A command takes its arguments apart, makes one request and prints the answer: results on
//! standard output, everything else (timings, errors) on standard error. Exit codes: 0 when it was
//! done, 1 when it failed, 2 when the command line itself was wrong, 3 when `config diff` found that the
//! file was changed.
//!
//! This crate knows nothing of Lance, Cedar and YAML: what needs them without a server
//! (`config check`, `policy check`) goes through `server::offline`.
//!
//! ```console
//! $ trellis query crates 'MATCH (c:Crate) RETURN count(*) AS crates'
//! ```

mod client;
mod commands;
mod failure;
mod input;
mod output;
mod problem;
mod report;
mod table;
mod value;

use std::process::ExitCode;

use clap::Parser;

/// Many typed property graphs behind one server.
///
/// Exit codes: 0 done, 1 failed, 2 the command line was wrong, 3 `config diff` found a change.
#[derive(Parser)]
#[command(name = "trellis", version, propagate_version = true)]
struct CommandLine {
    #[command(flatten)]
    connection: client::Connection,
    #[command(subcommand)]
    command: commands::Command,
}

/// Runs the command that this process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    match line.command.run(&line.connection) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough: `trellis export big | head`.
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}
