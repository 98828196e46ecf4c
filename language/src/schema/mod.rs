//! Schema text -> typed schema.
//!
//! [`Schema::parse`] is the whole of it: text in, a checked [`Schema`] or [`Diagnostics`] out.
//! The grammar stands in `docs/schema.ebnf`.

mod model;

pub use model::*;
