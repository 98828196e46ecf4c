//! What travels on the wire: requests, responses and the one error envelope.
//!
//! Every type here is `serde` and `utoipa` at once, so that the document that SDKs are generated
//! from cannot say anything else than what the server reads and writes. Requests refuse fields
//! that they do not know. This crate knows nothing else of Trellis: no graph, no policy, no HTTP
//! library; the server fills these types, the command line reads them.
//!
//! ```
//! use api_types::QueryRequest;
//! let request: QueryRequest =
//!     serde_json::from_str(r#"{"query": "MATCH (p:Person) RETURN count(*)"}"#).expect("valid");
//! assert_eq!(request.max_rows, None);
//! assert!(serde_json::from_str::<QueryRequest>(r#"{"query": "", "quary": ""}"#).is_err());
//! ```

mod commit;
mod config;
mod data;
mod explain;
mod graphs;
mod moment;
mod mutate;
mod problem;
mod query;
mod schema;
mod server;
mod unique;

pub use commit::*;
pub use config::*;
pub use data::*;
pub use explain::*;
pub use graphs::*;
pub use mutate::*;
pub use problem::*;
pub use query::*;
pub use schema::*;
pub use server::*;
