//! `trellis demo`: what `./dev demo` needs. Hidden: nobody should build on it.

mod cargo_lock;

use clap::Subcommand;

use crate::failure::Failure;

/// What the demo needs.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write a `Cargo.lock` as NDJSON for `trellis load`
    CargoLock(cargo_lock::Arguments),
}

impl Command {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::CargoLock(arguments) => cargo_lock::run(&arguments),
        }
    }
}
