//! The end-to-end tests, one binary: what Trellis does as a whole, seen from outside.
//!
//! - [`http`] mirrors `server/src/http`: the tests of `http/graphs/create.rs` are in
//!   `http/graphs/create.rs` here. They talk HTTP to a server in this process, on a free port, with
//!   a folder of its own ([`harness`]).
//! - [`authorization`] asks every operation as everybody, against a table.
//! - [`bad_input`] sends every operation what it must refuse, and looks at the disk afterwards.
//! - [`doctor`] examines and repairs a folder that a server left.
//! - [`hostile`] sends what is meant to harm, [`siege`] while others are served.
//! - [`memory`] asks for a graph that is larger than the memory that graphs may take.
//! - [`servers`] runs two of them on one file.
//! - [`single`] serves one graph alone.
//! - [`crash`] kills the real program ([`program`]) while it writes.
//! - [`killed`] kills it after each durable effect of each change of the registry, fills its disk and takes
//!   its config's folder away.
//! - [`object_store`] runs the real program on graphs in an object store.
//! - [`operators`] does what operators do around a server: its environment, its doctor, its command line.
//! - [`second`] has two of them on one config.
//! - [`streams`] asks it for more than fits its memory.
//! - [`readme`] and [`demo`] run what is promised to users.
//! - [`house`] holds the rules about the sources themselves.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says so by panicking, and owns every file it touches"
)]

mod authorization;
mod bad_input;
mod crash;
mod demo;
mod doctor;
mod harness;
mod hostile;
mod house;
mod http;
mod killed;
mod listing;
mod log;
mod memory;
mod object_store;
mod operators;
mod program;
mod readme;
mod second;
mod servers;
mod siege;
mod single;
mod streams;
mod told;
