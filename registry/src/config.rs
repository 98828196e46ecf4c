//! The operator's file: what it says, whether it is sound, and how an entry is added to it.
//!
//! [`parse`] turns text into a [`Config`] or into *every* [`Problem`] it has, each with its path
//! and its place in the file. [`edit`] is the only code that changes the text, [`store`] the only
//! code that touches the file. Nothing here knows HTTP or the engine.

pub mod edit;
pub mod lock;
pub mod model;
pub mod parse;
mod position;
mod schema;
mod shape;
mod span;
pub mod store;
pub mod tokens;
pub(crate) mod yaml;
mod yaml_text;

use std::fmt;

pub use model::{
    Auth, Config, GraphEntry, GraphKind, Limits, Log, LogFormat, OpenGraphs, PolicyFile, Sections,
    Server,
};
pub use parse::{Parsed, parse};
pub use schema::json_schema;
pub use span::Span;
pub use store::{ConfigFile, Drift};

/// Something in the file that is wrong, before its place is known: its key in segments, and what is wrong
/// with it.
pub type Finding = (Vec<String>, String);

/// One thing that is wrong with the config file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The key, dotted: `graphs.alpha.uri`. Empty for the file as a whole.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
    /// Line in the file, from 1, when it is known.
    pub line: Option<usize>,
    /// Column in the line, from 1, in characters.
    pub column: Option<usize>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(formatter, "{line}:{column}: ")?;
        }
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}
