//! Which graphs exist: the operator's config file, its lock, its drift, and the life cycle of the
//! graphs that it declares.
//!
//! The file is the truth; what is served is one version of it, [`Snapshot`], replaced whole. The
//! only thing that changes the file at run time is [`Registry::create`] and its kin, under a lock
//! that every process of ours takes, and never beyond the entry that was asked for. This crate
//! knows nothing of HTTP nor of Cedar's own types.
//!
//! ```
//! use registry::{GraphId, NewGraph, Options, Registry};
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("trellis.yaml");
//! std::fs::write(&path, "version: 1\nserver: { storage: data } # here\n").unwrap();
//! let registry = Registry::open(&path, Options::default()).unwrap();
//! let graph_id = GraphId::parse("alpha").unwrap();
//! registry
//!     .create(NewGraph::named(graph_id), |folder, uuid| {
//!         std::fs::write(folder.join("graph.json"), format!("{{\"uuid\":\"{uuid}\"}}"))
//!     })
//!     .unwrap();
//! assert_eq!(
//!     std::fs::read_to_string(&path).unwrap(),
//!     "version: 1\nserver: { storage: data } # here\ngraphs:\n  alpha:\n    uri: data/alpha\n"
//! );
//! ```

pub mod config;
mod create;
mod digest;
mod durable;
mod error;
mod graph_id;
pub mod intent;
mod registration;
mod registry;
pub mod uri;

pub use create::NewGraph;
pub use digest::Digest;
pub use durable::DiskError;
pub use error::Error;
pub use graph_id::{GraphId, GraphIdError, MAX_LENGTH, RESERVED};
pub use registration::{Graphs, Registration, Snapshot};
pub use registry::{FaultHook, Options, Registry, Step};
