//! The two languages of Trellis: schema text becomes a typed [`schema::Schema`]; Cypher text,
//! checked against a schema, becomes a typed [`plan::Plan`].
//!
//! This crate is pure: text and values in, values out. It must never know of async, Arrow, Lance,
//! HTTP or Cedar. Everything that a user can get wrong is answered with [`Diagnostic`]s that carry
//! a stable code, a position and, where a name is close, a suggestion.
//!
//! ```
//! use language::{cypher, schema::Schema};
//!
//! let schema = Schema::parse("node Person { email: String @key }").expect("a valid schema");
//! let plan = cypher::compile("MATCH (p:Person) RETURN p.email", &schema).expect("a valid query");
//! assert_eq!(plan.columns[0].name, "p.email");
//!
//! let errors = cypher::compile("MATCH (p:Persn) RETURN p", &schema).unwrap_err();
//! assert_eq!(errors[0].suggestion.as_deref(), Some("Person"));
//! ```

pub mod cypher;
pub mod diagnostic;
pub mod plan;
pub mod schema;
pub mod temporal;
pub mod value;

pub use diagnostic::{Code, Diagnostic, Diagnostics, Span};
pub use value::Value;
