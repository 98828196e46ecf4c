//! Adding, changing and removing one graph in the operator's YAML, keeping every other byte.
//!
//! An edit is a handful of pieces put into the old text (or one entry cut out of it), so that
//! comments, blank lines, order and line endings cannot change. Where the pieces go is read from
//! the lossless syntax tree of `yaml-edit`; whether they are right is *proven* by parsing the new
//! text with the reader that the server itself uses and comparing with the intended document. A
//! text for which no placement can be proven is refused, never damaged.
//!
//! ```
//! use registry::GraphId;
//! use registry::config::{GraphEntry, edit};
//! let old = "version: 1\ngraphs:\n  # mine\n  a:\n    uri: ../data/a  # fast disk\n";
//! let entry = GraphEntry { uri: "../data/b".into(), ..GraphEntry::default() };
//! let new = edit::add_graph(old, &GraphId::parse("b").unwrap(), &entry).unwrap();
//! assert_eq!(new, format!("{old}  b:\n    uri: ../data/b\n"));
//! ```

mod field;
mod page;
mod place;
mod prove;

use serde_yaml::Value;

use super::model::GraphEntry;
use super::yaml;
use crate::GraphId;

/// Why the text was left alone.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The text as it is cannot be read.
    #[error("the config file is not valid YAML")]
    Unreadable(#[source] serde_yaml::Error),
    /// The root is no mapping, or the file holds several documents.
    #[error("the config file is no mapping of keys to values")]
    NoMapping,
    /// The id stands there already.
    #[error("the config file names the graph {0:?} already")]
    Exists(String),
    /// The id does not stand there.
    #[error("the config file does not name the graph {0:?}")]
    Absent(String),
    /// A style that cannot be edited with certainty.
    #[error("the config file is left as it is, for {reason}; edit it by hand and reload")]
    Unsupported {
        /// What stands in the way.
        reason: String,
    },
}

/// Text to put in at an offset of the old text, in place of `removed` bytes that carry nothing
/// (an empty `{}`, a `null`) or that are the entry to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    at: usize,
    removed: usize,
    inserted: String,
}

impl Piece {
    fn insert(at: usize, inserted: String) -> Self {
        Self {
            at,
            removed: 0,
            inserted,
        }
    }
}

/// One way to do an edit; several may be tried until one is proven.
type Placement = Vec<Piece>;

/// The text with the graph added, or why it cannot be.
pub fn add_graph(text: &str, graph_id: &GraphId, entry: &GraphEntry) -> Result<String, EditError> {
    let old = yaml::read(text).map_err(EditError::Unreadable)?;
    add_graph_to(text, &old, graph_id, entry)
}

/// As [`add_graph`], for a text whose document is known already.
pub fn add_graph_to(
    text: &str,
    old: &Value,
    graph_id: &GraphId,
    entry: &GraphEntry,
) -> Result<String, EditError> {
    if prove::names(old, graph_id)? {
        return Err(EditError::Exists(graph_id.to_string()));
    }
    let value = serde_yaml::to_value(entry).map_err(EditError::Unreadable)?;
    if !prove::reads_back(graph_id, entry) {
        return Err(EditError::Unsupported {
            reason: "the entry would not be read back as it was given".to_owned(),
        });
    }
    let placements = place::additions(text, graph_id, entry)?;
    first_proven(text, &placements, |new| {
        prove::is_addition(old, new, graph_id, &value)
    })
}

/// The text with the graph's entry taken out, or why it cannot be. Comments above the entry stay.
pub fn remove_graph(text: &str, graph_id: &GraphId) -> Result<String, EditError> {
    let old = yaml::read(text).map_err(EditError::Unreadable)?;
    if !prove::names(&old, graph_id)? {
        return Err(EditError::Absent(graph_id.to_string()));
    }
    let placements = place::removals(text, graph_id)?;
    first_proven(text, &placements, |new| {
        prove::is_removal(&old, new, graph_id)
    })
}

/// The text with the graph's entry saying what `entry` says; fields that say so already stay as they
/// were written. The uri is no field that can be changed.
pub fn update_graph(
    text: &str,
    graph_id: &GraphId,
    entry: &GraphEntry,
) -> Result<String, EditError> {
    let stands = |text: &str| {
        let parsed = super::parse(text).ok()?;
        let mut graphs = parsed.config.graphs.into_iter();
        graphs.find_map(|(found, entry)| (found == *graph_id).then_some(entry))
    };
    let before = stands(text).ok_or_else(|| EditError::Absent(graph_id.to_string()))?;
    let mut new = text.to_owned();
    for change in field::changes(&before, entry) {
        let old = yaml::read(&new).map_err(EditError::Unreadable)?;
        let intended = change.on(&old, graph_id)?;
        let placements = change.placements(&new, graph_id)?;
        new = first_proven(&new, &placements, |value| prove::equal(value, &intended))?;
    }
    // What an anchor gives cannot be taken away in the entry alone.
    if stands(&new).as_ref() != Some(entry) {
        return Err(EditError::Unsupported {
            reason: "the entry takes fields from an anchor elsewhere".to_owned(),
        });
    }
    Ok(new)
}

fn first_proven(
    text: &str,
    placements: &[Placement],
    intended: impl Fn(&Value) -> bool,
) -> Result<String, EditError> {
    for placement in placements {
        let Some(new) = apply(text, placement) else {
            continue;
        };
        if yaml::read(&new).is_ok_and(|value| intended(&value)) {
            return Ok(new);
        }
    }
    Err(EditError::Unsupported {
        reason: "no place was found where the change is proven to alter nothing else".to_owned(),
    })
}

/// Puts the pieces in. `None` when they overlap or cut a character.
fn apply(text: &str, placement: &[Piece]) -> Option<String> {
    let mut new = String::with_capacity(text.len() + 256);
    let mut from = 0;
    for piece in placement {
        new.push_str(text.get(from..piece.at)?);
        new.push_str(&piece.inserted);
        from = piece.at + piece.removed;
    }
    new.push_str(text.get(from..)?);
    Some(new)
}
