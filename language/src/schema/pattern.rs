//! The regular expression of a `@check`, compiled once.
//!
//! `Pattern::new("[a-z]+")` matches `abc` and not `abc1`: a pattern must match the whole text.
//! What it is stored as is its text alone.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1_024;
/// Most memory that a compiled pattern may take, in bytes.
const MAX_COMPILED: usize = 1 << 18;

/// A compiled regular expression that the whole of a text must match.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    whole: Regex,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// The text does not follow the grammar of regular expressions.
    #[error("{reason}")]
    Syntax {
        /// What the expression engine says, in one line.
        reason: String,
    },
    /// The text, or what it compiles to, takes too much room.
    #[error("it is too large: {MAX_PATTERN} bytes and {MAX_COMPILED} compiled are accepted")]
    TooLarge,
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// [`InvalidPattern`] when it is no regular expression, or too large a one.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        if text.len() > MAX_PATTERN {
            return Err(InvalidPattern::TooLarge);
        }
        // Alone first: `a)|(b` would become valid, and mean something else, inside a group.
        compile(text)?;
        // The line break ends a comment of the `x` mode, and no other mode sees it there.
        let whole = compile(&format!(r"\A(?:{text})\z"))
            .or_else(|_| compile(&format!("\\A(?:{text}\n)\\z")))?;
        Ok(Self {
            text: text.to_owned(),
            whole,
        })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches all of `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }
}

fn compile(pattern: &str) -> Result<Regex, InvalidPattern> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => InvalidPattern::TooLarge,
            // The engine draws the pattern over several lines; the last says what is wrong.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                InvalidPattern::Syntax {
                    reason: last.trim_start_matches("error: ").to_owned(),
                }
            }
        })
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        Self::new(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_whole_text_only() {
        for (pattern, text, expected) in [
            ("[a-z]+", "abc", true),
            ("[a-z]+", "abc1", false),
            ("a|ab", "ab", true),
            ("a|b", "ab", false),
            ("a", "a\n", false),
            ("(?x) a b # comment", "ab", true),
            ("", "", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).unwrap().matches(text),
                expected,
                "{pattern} on {text:?}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_pattern() {
        for pattern in [
            "(",
            "a)|(b",
            "[z-a]",
            &"a".repeat(MAX_PATTERN + 1),
            r"\w{900}",
        ] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
        let error = Pattern::new("[a").unwrap_err();
        assert_eq!(error.to_string(), "unclosed character class");
    }
}
