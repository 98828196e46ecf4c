//! One graph: its log, checkpoints, tables, snapshots and the executor.
//!
//! The log is the truth (`docs/architecture.md`): a commit is one durable log record, tables are
//! checkpoints of the log, a [`Snapshot`] is tables at a checkpoint plus the changes since. This
//! crate must never know of HTTP, of Cedar or of the operator's config file.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use language::schema::Schema;
//! use storage_engine::{Graph, NewGraph, Options, WriteError, WriteRequest};
//!
//! let folder = std::path::Path::new("data/people");
//! let schema = Schema::parse("node Person { email: String @key }").map_err(|e| e[0].to_string())?;
//! Graph::create(folder, NewGraph::new(schema, "alice"))?;
//! let graph = Graph::open(folder, Options::default())?;
//! let person = graph.snapshot().schema().node_types[0].clone();
//! let written = graph
//!     .write(WriteRequest::by("alice"), move |transaction| {
//!         let email = (person.properties[0].id, "a@example.org".into());
//!         transaction.create_node(person.id, vec![email])
//!     })
//!     .await?;
//! assert_eq!(written.counts.nodes_created, 1);
//! # Ok(()) }
//! ```
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests make the files that people and crashes leave"
    )
)]

mod account;
mod answers;
pub mod aside;
mod base;
mod batches;
mod bulk;
mod checkpoint;
mod chunk;
mod clock;
mod cold;
mod column_file;
mod columns;
mod disk;
pub mod doctor;
mod elements;
pub mod executor;
mod files;
mod finish;
mod graph;
mod identity;
mod index;
mod keys;
mod lease;
mod lock;
mod needed;
mod packed;
mod reach;
mod record;
mod replay;
mod rows;
mod statistics;
mod store;
mod tables;
mod topology;
mod typed;
mod weight;

pub mod export;
pub mod load;
pub mod results;
pub mod snapshot;
pub mod transaction;

pub use account::Account;
pub use batches::BatchError;
pub use cold::ColumnError;
pub use graph::{
    Answer, At, CheckpointStatus, CollectError, Collected, CommitError, CreateError, FoldError,
    Follower, Graph, IdempotencyKey, LogStatus, NewGraph, OpenError, Options, PastError,
    PastLimits, PinStatus, Status, StatusError, TableStatus, Trouble, Work, WriteRequest, Written,
};
pub use lock::{Hold, Holder, hold};
pub use record::{ChangeCounts, CommitId, CommitInfo, MAIN};
pub use snapshot::{Memory, Neighbour, Snapshot};
pub use store::{Contents, PlaceError, Store};
pub use transaction::{Transaction, WriteError};

/// Whether this program was built with object stores.
pub const HAS_OBJECT_STORES: bool = cfg!(feature = "aws");

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "the engine's own tests open its graphs"
)]
mod tests;
