//! What is wanted of a statement, by the word before it.

use std::borrow::Cow;

use super::limits::MAX_TEXT_BYTES;

/// What is wanted of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To run it.
    Run,
    /// `EXPLAIN`: to see how it would be run.
    Explain,
    /// `PROFILE`: to see how it was run.
    Profile,
}

/// The mode, and the statement alone: blanks stand where the word stood, so that positions are those
/// of the text.
#[must_use]
pub fn mode(text: &str) -> (Mode, Cow<'_, str>) {
    let first = text.trim_start().bytes().next();
    // Most texts are not read twice. Of those that are too long the compiler says so.
    if !matches!(first, Some(b'e' | b'E' | b'p' | b'P' | b'/')) || text.len() > MAX_TEXT_BYTES {
        return (Mode::Run, Cow::Borrowed(text));
    }
    let lexed = open_cypher::lex(text);
    let first = lexed.tokens.iter().find(|token| !token.is_trivia());
    let Some((word, span)) = first.and_then(|token| Some((token.text(text)?, token.span))) else {
        return (Mode::Run, Cow::Borrowed(text));
    };
    let mode = match word {
        _ if word.eq_ignore_ascii_case("EXPLAIN") => Mode::Explain,
        _ if word.eq_ignore_ascii_case("PROFILE") => Mode::Profile,
        _ => return (Mode::Run, Cow::Borrowed(text)),
    };
    let mut blanked = text.to_owned();
    blanked.replace_range(span.start..span.end, &" ".repeat(word.len()));
    (mode, Cow::Owned(blanked))
}
