//! The name of a graph: parsed once at the edge, never a raw string afterwards.
//!
//! An id is 1 to 64 letters, digits and hyphens, is not one of the [`RESERVED`] words, and is the
//! same id whichever case it is written in. It knows nothing of where a graph is kept.
//!
//! ```
//! use registry::GraphId;
//! let graph_id = GraphId::parse("Alpha-1").expect("a well-formed id");
//! assert_eq!(graph_id, GraphId::parse("ALPHA-1").expect("a well-formed id"));
//! assert_eq!(graph_id.as_str(), "Alpha-1");
//! assert!(GraphId::parse("metrics").is_err());
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The longest id, in characters.
pub const MAX_LENGTH: usize = 64;

/// Words that stand for something else in a URL; refused in any case.
pub const RESERVED: [&str; 7] = [
    "policies", "healthz", "readyz", "metrics", "openapi", "graphs", "admin",
];

/// A well-formed, unreserved graph id. Keeps the case it was written in; equality, order and hash
/// pay no regard to case.
#[derive(Clone)]
pub struct GraphId(Arc<str>);

/// Which rule an id broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphIdError {
    /// Nothing was written.
    #[error("a graph id must not be empty; write 1 to {MAX_LENGTH} letters, digits or hyphens")]
    Empty,
    /// More than [`MAX_LENGTH`] characters.
    #[error("a graph id has at most {MAX_LENGTH} characters, this one has {length}")]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
    /// A character other than an ASCII letter, a digit or a hyphen.
    #[error(
        "a graph id is made of the letters a-z and A-Z, digits and hyphens; character {position} is {character:?}"
    )]
    BadCharacter {
        /// The first character that is not allowed.
        character: char,
        /// Its place, counted in characters from 1.
        position: usize,
    },
    /// One of [`RESERVED`], in any case.
    #[error(
        "the graph id {word:?} is reserved, for it names a route of the server; choose another"
    )]
    Reserved {
        /// The reserved word.
        word: &'static str,
    },
}

impl GraphId {
    /// Reads an id, or says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, GraphIdError> {
        if text.is_empty() {
            return Err(GraphIdError::Empty);
        }
        let wrong = text
            .chars()
            .enumerate()
            .find(|(_, character)| !(character.is_ascii_alphanumeric() || *character == '-'));
        if let Some((index, character)) = wrong {
            return Err(GraphIdError::BadCharacter {
                character,
                position: index + 1,
            });
        }
        if text.len() > MAX_LENGTH {
            return Err(GraphIdError::TooLong { length: text.len() });
        }
        match RESERVED
            .into_iter()
            .find(|word| word.eq_ignore_ascii_case(text))
        {
            Some(word) => Err(GraphIdError::Reserved { word }),
            None => Ok(Self(text.into())),
        }
    }

    /// The id as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id in lower case: what uniqueness is decided on.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    fn folded_bytes(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for GraphId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for GraphId {}

impl PartialOrd for GraphId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GraphId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded_bytes().cmp(other.folded_bytes())
    }
}

impl Hash for GraphId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.folded_bytes() {
            state.write_u8(byte);
        }
        state.write_u8(0xff);
    }
}

impl fmt::Display for GraphId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for GraphId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GraphId({})", self.0)
    }
}

impl serde::Serialize for GraphId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for GraphId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_rule_failed() {
        let long = "a".repeat(65);
        let cases: [(&str, Result<(), GraphIdError>); 14] = [
            ("a", Ok(())),
            ("-", Ok(())),
            ("0", Ok(())),
            ("Graph-7", Ok(())),
            ("policies2", Ok(())),
            ("", Err(GraphIdError::Empty)),
            (&long, Err(GraphIdError::TooLong { length: 65 })),
            (
                "a b",
                Err(GraphIdError::BadCharacter {
                    character: ' ',
                    position: 2,
                }),
            ),
            (
                "a_b",
                Err(GraphIdError::BadCharacter {
                    character: '_',
                    position: 2,
                }),
            ),
            (
                "..",
                Err(GraphIdError::BadCharacter {
                    character: '.',
                    position: 1,
                }),
            ),
            (
                "ab\n",
                Err(GraphIdError::BadCharacter {
                    character: '\n',
                    position: 3,
                }),
            ),
            (
                "ａlpha",
                Err(GraphIdError::BadCharacter {
                    character: 'ａ',
                    position: 1,
                }),
            ),
            ("Metrics", Err(GraphIdError::Reserved { word: "metrics" })),
            ("ADMIN", Err(GraphIdError::Reserved { word: "admin" })),
        ];
        for (text, expect) in cases {
            assert_eq!(GraphId::parse(text).map(|_| ()), expect, "{text:?}");
        }
        assert!(GraphId::parse(&"a".repeat(64)).is_ok());
        for word in RESERVED {
            assert_eq!(
                GraphId::parse(&word.to_uppercase()).map(|_| ()),
                Err(GraphIdError::Reserved { word })
            );
        }
    }

    #[test]
    fn case_makes_no_difference() {
        let lower = GraphId::parse("alpha").expect("valid");
        let upper = GraphId::parse("ALPHA").expect("valid");
        assert_eq!(lower, upper);
        assert_eq!(lower.cmp(&upper), Ordering::Equal);
        assert_eq!(upper.folded(), "alpha");
        let set: std::collections::HashSet<_> = [lower, upper].into_iter().collect();
        assert_eq!(set.len(), 1);
        assert!(GraphId::parse("Beta").expect("valid") > GraphId::parse("alpha").expect("valid"));
    }
}
