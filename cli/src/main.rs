//! The binary `trellis`; everything is in the library, so that it can be tested.
use std::process::ExitCode;

/// A request makes and drops some hundred small values, on whichever thread has it: the system's
/// allocator took an eighth of a read's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
