//! The journal from outside: its public functions, its files, and a disk that fails.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and makes the files that crashes leave"
)]

mod collect;
mod damage;
mod faults;
mod fuzz;
mod life;
mod model;
mod objects;
mod reads;
mod salvage;
mod support;
mod torn;
