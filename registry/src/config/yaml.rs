//! Text -> YAML, for every reader of the config file and of the files that it names.
//!
//! The parser looks at every open bracket for each word, so that its time grows with the square of the
//! depth: a text of a hundred thousand brackets would take minutes, under the lock of the config file.

use serde::de::Error as _;
use serde_yaml::{Error, Value};

/// The most brackets that are open at once. The parser's own limit is lower, and comes too late.
const MAX_OPEN: usize = 1_000;

/// The document. A byte order mark is no part of it.
pub(crate) fn read(text: &str) -> Result<Value, Error> {
    let text = without_mark(text);
    if is_too_deep(text) {
        return Err(Error::custom(format!(
            "more than {MAX_OPEN} brackets are open at once"
        )));
    }
    serde_yaml::from_str(text)
}

/// The text after a byte order mark, which the reader would count as a column of the first line.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Takes every bracket that could begin a collection for one, outside of comments and quotes: what stands
/// in words or at the end of them does not count, nor does one that is closed again.
fn is_too_deep(text: &str) -> bool {
    let (mut open, mut before) = (0_usize, '\n');
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let begins = before.is_whitespace() || matches!(before, '[' | '{' | ',' | ':' | '-' | '?');
        match c {
            '[' | '{' if begins => open += 1,
            ']' | '}' => open = open.saturating_sub(1),
            '#' if before.is_whitespace() => {
                rest.by_ref().find(|c| *c == '\n');
                before = '\n';
                continue;
            }
            '"' if begins => {
                while let Some(c) = rest.next() {
                    match c {
                        '"' => break,
                        '\\' => drop(rest.next()),
                        _ => {}
                    }
                }
            }
            '\'' if begins => drop(rest.by_ref().find(|c| *c == '\'')),
            _ => {}
        }
        if open > MAX_OPEN {
            return true;
        }
        before = c;
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_text_of_brackets_is_refused_soon() {
        let begun = Instant::now();
        for (open, close) in [
            ("[", "]"),
            ("{a: ", "}"),
            ("[ ", ""),
            ("- ", ""),
            ("? ", ""),
            ("!a ", ""),
            ("&a ", ""),
            ("\"", ""),
            ("[\"", ""),
            ("{? ", ""),
            ("a: ", ""),
            ("- - [", ""),
        ] {
            let text = format!("x: {}1{}", open.repeat(100_000), close.repeat(100_000));
            let one = Instant::now();
            assert!(read(&text).is_err(), "{open}");
            println!("{open:?} {:?}", one.elapsed());
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
    }

    #[test]
    fn brackets_in_words_comments_and_quotes_are_no_depth() {
        let mut text = String::from("# [[[\n");
        for number in 0..MAX_OPEN * 2 {
            text += &format!(
                "k{number}:\n  c: x[y\n  d: {{ a: \"[ \\\" [\", b: '[ [', e: [1, 2] }} # [ it's\n"
            );
        }
        let read = read(&text).expect("a sound text");
        assert_eq!(read["k7"]["c"], Value::from("x[y"));
    }
}
