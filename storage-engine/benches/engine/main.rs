//! The engine's side of `./dev bench`: graphs inside one process, with nothing between the caller
//! and the engine. It reads one command a line, as JSON, and answers one line each; times are
//! nanoseconds. `tests/benches/bench` drives it and the peers in turn, so that all of them meet the
//! same disk and the same neighbours.
//!
//! ```json
//! {"do": "open", "graph": "people", "folder": "/tmp/people", "schema": "node Person { id: I64 @key }"}
//! {"do": "commit", "graph": "people", "query": "CREATE (:Person {id: $id})", "params": [{"id": 1}], "writers": 1}
//! {"do": "query", "graph": "people", "query": "MATCH (p:Person {id: $id}) RETURN p.id", "params": [{"id": 1}]}
//! ```
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark opens its own graphs; there is nobody to permit it"
)]

mod subject;
mod values;

use std::io::{BufRead, Write};

use serde_json::{Value, json};

use subject::{Failure, Subject};

/// The one that the server has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Failure> {
    // `cargo test` and `cargo bench` run it with nobody who asks.
    let mut subject = Subject::new()?;
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = serde_json::from_str::<Value>(&line?)
            .map_err(Failure::from)
            .and_then(|command| subject.obey(&command))
            .unwrap_or_else(|error| json!({"error": error.to_string()}));
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}
