//! How deep and how long a policy may be, before Cedar parses it.
//!
//! Cedar's parser and tree recurse, and abort the process on some 150 nested brackets or some
//! thousands of chained operators with the 2 MiB stack of a worker thread. What is refused here is
//! far beyond what people write; long sets are not, since they are wide and not deep.

use crate::finding::{Finding, Position};

/// The deepest nesting of brackets.
const MAX_NESTING: usize = 32;
/// The most operators, accesses and `if`s in one policy.
const MAX_STEPS: usize = 1_000;

/// The first place that is too deep or too long.
pub(crate) fn excess(text: &str) -> Option<Finding> {
    let (mut nesting, mut steps) = (0_usize, 0_usize);
    let mut bytes = text.bytes().enumerate();
    let mut before = b' ';
    while let Some((offset, byte)) = bytes.next() {
        match byte {
            b'"' => {
                while let Some((_, inner)) = bytes.next() {
                    match inner {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'/' if before == b'/' => drop(bytes.by_ref().find(|(_, inner)| *inner == b'\n')),
            b'(' | b'[' | b'{' => nesting += 1,
            b')' | b']' | b'}' => nesting = nesting.saturating_sub(1),
            b';' => (nesting, steps) = (0, 0),
            b'&' | b'|' | b'=' | b'<' | b'>' | b'+' | b'-' | b'*' | b'!' | b'.' => steps += 1,
            // The space or bracket that ends `if`, `has`, `in`, `is`, `like`, `then`, `else`.
            _ if byte.is_ascii_whitespace() && before.is_ascii_alphabetic() => steps += 1,
            _ => {}
        }
        let message = if nesting > MAX_NESTING {
            format!("brackets are nested more than {MAX_NESTING} deep")
        } else if steps > MAX_STEPS {
            format!("one policy has more than {MAX_STEPS} operators; write several policies")
        } else {
            before = byte;
            continue;
        };
        return Some(Finding {
            policy: None,
            message,
            help: None,
            position: Position::of(text, offset),
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<String> {
        excess(text).map(|finding| finding.to_string())
    }

    #[test]
    fn only_what_is_deep_or_long_is_refused() {
        assert_eq!(found(&"(".repeat(MAX_NESTING)), None);
        assert_eq!(
            found(&format!("\n{}", "(".repeat(MAX_NESTING + 1))),
            Some("2:33: brackets are nested more than 32 deep".to_owned())
        );
        assert_eq!(
            found(&"a&&".repeat(MAX_STEPS / 2 + 1)),
            Some(
                "1:1502: one policy has more than 1000 operators; write several policies"
                    .to_owned()
            )
        );
        let fine = [
            "permit (principal, action, resource);\n".repeat(2_000),
            format!("[{}]", r#"Group::"a-b.c", "#.repeat(5_000)),
            format!("// {}\n", "(".repeat(100)),
            format!(r#""{}\"{}""#, "(".repeat(100), "{".repeat(100)),
            "\"a\\\\\" // a \" b\n".repeat(100),
        ];
        for text in fine {
            assert_eq!(found(&text), None, "{}", &text[..40]);
        }
    }
}
