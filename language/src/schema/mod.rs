//! Schema text -> typed schema.
//!
//! [`Schema::parse`] is the whole of it: text in, a checked [`Schema`] or [`Diagnostics`] out.
//! The grammar stands in `docs/schema.ebnf`. What a schema says of values is applied by
//! [`Property::accept`]. Nothing here knows what is stored, or how a schema changes.
//!
//! ```
//! use language::schema::Schema;
//!
//! let schema = Schema::parse("node Person { email: String @key }").expect("a valid schema");
//! assert_eq!(schema.node_types[0].properties[0].name, "email");
//!
//! let errors = Schema::parse("node Person { email: Strin @key }").unwrap_err();
//! assert_eq!(errors[0].suggestion.as_deref(), Some("String"));
//! ```

mod arguments;
mod body;
pub mod calendar;
mod check;
mod constraints;
mod findings;
mod index;
mod json;
mod lexer;
mod model;
mod names;
mod open;
mod parser;
mod pattern;
mod syntax;
#[cfg(test)]
mod tests;
mod values;

pub use check::{MAX_INHERITED, MAX_PROPERTIES};
pub use constraints::MAX_CHECKS;
pub use findings::MAX_DIAGNOSTICS;
pub use json::{Entity, scalar_to_json, to_json, to_tagged_json};
pub use lexer::{MAX_NESTING, MAX_TEXT, MAX_WORD};
pub use model::*;
pub use names::MAX_ENUM_VALUES;
pub use open::{OPEN_EDGE, OPEN_NODE, OpenTypes};
pub use pattern::{InvalidPattern, MAX_PATTERN, Pattern};
pub use values::InvalidValue;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Span};
use findings::Findings;

impl Schema {
    /// The schema that `text` declares.
    ///
    /// # Errors
    /// Every mistake that could be told apart, at most [`MAX_DIAGNOSTICS`], in the order of the
    /// text: those of the grammar, or, when there are none, those of meaning.
    pub fn parse(text: &str) -> Result<Self, Diagnostics> {
        let schema = Self::parse_any(text)?;
        if schema.node_types.is_empty() {
            let message =
                "the schema declares no node type, as in `node Person { email: String @key }`";
            return Err(vec![Diagnostic::new(
                Code::EmptySchema,
                text,
                Span::new(0, 0),
                message,
            )]);
        }
        Ok(schema)
    }

    /// The schema of a graph of [`GraphType::Open`]: labels, types and properties appear as data
    /// arrives. What the text declares, holds for the labels and relationship types of these names
    /// ([`Schema::declared`]); it may be empty.
    ///
    /// # Errors
    /// As for [`Schema::parse`]; a key or a default is [`Code::Unsupported`] in an open graph.
    pub fn parse_open(text: &str) -> Result<Self, Diagnostics> {
        let declared = Self::parse_any(text)?;
        let findings = open::refused(text, &declared);
        if !findings.is_empty() {
            return Err(findings);
        }
        let nothing = Self::parse_any("")?;
        Ok(Self {
            source: declared.source,
            ..nothing
        }
        .opened())
    }

    fn parse_any(text: &str) -> Result<Self, Diagnostics> {
        let mut findings = Findings::new(text);
        let schema = read(text, &mut findings);
        match schema {
            Some(schema) if findings.is_empty() => Ok(schema),
            _ => Err(findings.finish()),
        }
    }
}

/// `None` when something is in `findings`.
fn read(text: &str, findings: &mut Findings<'_>) -> Option<Schema> {
    if text.len() > MAX_TEXT {
        let message = format!(
            "the schema is {} bytes long; {MAX_TEXT} are accepted",
            text.len()
        );
        findings.add(Code::TextTooLong, Span::new(0, 0), message);
        return None;
    }
    let tokens = lexer::tokens(text, findings)?;
    let document = parser::parse(text, &tokens, findings);
    findings
        .is_empty()
        .then(|| check::check(text, &document, findings))
}
