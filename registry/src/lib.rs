//! Which graphs exist: the operator's config file, its lock, its drift, and the life cycle of the
//! graphs that it declares.
//!
//! The file is the truth; what is served is one version of it, [`Snapshot`], replaced whole. The
//! only thing that changes the file at run time is [`Registry::create`] and its kin, under a lock
//! that every process of ours takes, and never beyond the entry that was asked for. This crate
//! knows nothing of HTTP nor of Cedar's own types.
//!
//! No permit, no handle: only this crate opens the engine's graphs, and only for a
//! [`policy::Permit`], which nothing but a decision makes.
//!
//! ```
//! use std::sync::Arc;
//! use policy::{Action, Authorizer, Context, Principal, Resource};
//! use registry::{GraphId, NewGraph, Options, Registry};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("trellis.yaml");
//! std::fs::write(&path, "version: 1\nserver: { storage: data } # here\n")?;
//! let registry = Registry::open(&path, Options::default())?;
//!
//! let authorizer = Authorizer::unauthenticated();
//! let anyone = Arc::new(Principal::anonymous());
//! let permit = authorizer.decide(&anyone, Action::GraphCreate, &Resource::Server, &Context::now())?;
//! let schema = language::schema::Schema::parse("node Person { email: String @key }").map_err(|e| e[0].to_string())?;
//! let created = registry.create(&permit, NewGraph::new(GraphId::parse("alpha")?, schema))?;
//! let graph = created.registration;
//! assert_eq!(
//!     std::fs::read_to_string(&path)?,
//!     "version: 1\nserver: { storage: data } # here\ngraphs:\n  alpha:\n    uri: data/alpha\n"
//! );
//!
//! let alpha = Resource::Graph(graph.reference().clone());
//! let permit = authorizer.decide(&anyone, Action::SchemaRead, &alpha, &Context::now())?;
//! assert_eq!(registry.reader(&permit)?.schema().node_types.len(), 1);
//! assert!(registry.writer(&permit).is_err(), "a permit to read");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests make the files that people and crashes leave"
    )
)]

mod answer;
mod change;
pub mod checkup;
pub mod config;
mod create;
mod delete;
mod deleted;
mod digest;
mod durable;
pub mod environment;
mod error;
mod fence;
mod graph_id;
mod handle;
mod hold;
mod idle;
pub mod intent;
mod locate;
mod machine;
mod policy_file;
mod purge;
mod reading;
mod refusal;
mod registration;
mod registry;
mod reload;
mod set_aside;
mod settle;
mod steps;
mod turn;
mod update;
pub mod uri;

pub use answer::{Answer, Key};
pub use create::{Created, NewGraph};
pub use deleted::{Deleted, DeletedGraph, Stage};
pub use digest::Digest;
#[cfg(debug_assertions)]
pub use durable::fault::{Fault, Kind as FaultKind};
pub use durable::{DiskError, effects};
pub use error::{Error, StorageError};
pub use graph_id::{GraphId, GraphIdError, MAX_LENGTH, RESERVED};
pub use handle::{Counts, Operators, Reader, Standing, Writer};
pub use idle::Tally;
pub use policy_file::{PolicyFileError, read_policy};
pub use reading::Reading;
pub use refusal::{AccessError, HandleError, WrongPermit, with_causes};
pub use registration::{Graphs, Registration, Snapshot};
pub use registry::Registry;
pub use reload::{ChangeKind, ConfigChange, DriftReport, Gate, Install, Reload, changes};
pub use steps::{FaultHook, Options, Step};
pub use update::{Condition, GraphUpdate};
