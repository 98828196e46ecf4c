//! Cypher text -> checked, typed [`Plan`].
//!
//! [`compile`] is the whole of it. The text passes through five rooms: `limits` (size and depth,
//! before anything recurses), `parse` (the open-cypher crate), `statement` (clauses in order, with
//! the `scope` of names), and for each clause `pattern`, `projection`, `create`, `merge` or
//! `assign`, all of which use `expression`. What they find out about policy goes to `touches`.
//!
//! Nothing here may ever give a plan that means something else than the text: what is not
//! understood is a diagnostic with the code `unsupported`.
//!
//! ```
//! use language::{cypher, schema::Schema};
//!
//! let schema = Schema::parse("node Person { email: String @key }").expect("a valid schema");
//! let errors = cypher::compile("MATCH (p:Person) RETURN p.mail", &schema).unwrap_err();
//! assert_eq!(errors[0].to_string(), "1:27: unknown_property: Person has no property `mail` (did you mean `email`?)");
//! ```

mod assign;
mod bare_pattern;
mod blocks;
mod call;
mod compiler;
mod comprehension;
mod create;
mod describe;
mod describe_nested;
mod expression;
pub mod functions;
mod group;
mod labels;
mod layout;
mod limits;
mod literal;
mod merge;
mod mode;
mod narrow;
mod nested;
mod open;
mod open_merge;
mod operator;
mod parse;
mod pattern;
mod procedure_call;
pub mod procedures;
mod projection;
mod property;
#[cfg(test)]
mod reference;
mod scope;
mod sketch;
mod statement;
mod subquery;
mod touches;
mod types;
mod walk;

#[cfg(test)]
mod tests;

use crate::diagnostic::Diagnostics;
use crate::plan::Plan;
use crate::schema::Schema;

pub use mode::{Mode, mode};
pub use procedures::{Procedure, ProcedureBody, Procedures};

/// Compiles one statement against a schema.
///
/// # Errors
/// Everything that is wrong with the first clause that has anything wrong, with positions.
pub fn compile(text: &str, schema: &Schema) -> Result<Plan, Diagnostics> {
    compile_with(text, schema, &Procedures::default())
}

/// As [`compile`], with these procedures to call.
///
/// # Errors
/// As for [`compile`].
pub fn compile_with(
    text: &str,
    schema: &Schema,
    procedures: &Procedures,
) -> Result<Plan, Diagnostics> {
    limits::check(text)?;
    let parsed = parse::parse(text)?;
    statement::compile(text, schema, procedures, &parsed)
}
