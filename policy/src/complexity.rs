//! How deep and how long a policy may be, before Cedar parses it.
//!
//! Cedar's parser and tree recurse, and abort the process on some 150 nested brackets or some
//! thousands of chained operators with the 2 MiB stack of a worker thread; its validator takes twice
//! as long for every `if` nested in another. What is refused here is far beyond what people write;
//! long sets are not, since they are wide and not deep.

use crate::finding::{Finding, Position};

/// The deepest nesting of brackets.
const MAX_NESTING: usize = 32;
/// The most operators, accesses and calls in one policy.
const MAX_STEPS: usize = 1_000;
/// The most `if`s in one policy.
const MAX_IFS: usize = 12;

#[derive(Default)]
struct Count {
    nesting: usize,
    steps: usize,
    ifs: usize,
}

impl Count {
    fn excess(&self) -> Option<String> {
        if self.nesting > MAX_NESTING {
            Some(format!("brackets are nested more than {MAX_NESTING} deep"))
        } else if self.steps > MAX_STEPS {
            Some(format!(
                "one policy has more than {MAX_STEPS} operators; write several policies"
            ))
        } else if self.ifs > MAX_IFS {
            Some(format!(
                "one policy has more than {MAX_IFS} times `if`; write several policies"
            ))
        } else {
            None
        }
    }
}

/// The first place that is too deep or too long.
pub(crate) fn excess(text: &str) -> Option<Finding> {
    let mut count = Count::default();
    let mut bytes = text.bytes().enumerate();
    let mut word = Vec::new();
    let mut before = b' ';
    while let Some((offset, byte)) = bytes.next() {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            word.push(byte);
        } else {
            match word.as_slice() {
                b"if" => count.ifs += 1,
                b"in" | b"is" | b"has" | b"like" => count.steps += 1,
                _ => {}
            }
            word.clear();
        }
        match byte {
            b'"' => skip_string(&mut bytes),
            b'/' if before == b'/' => drop(bytes.find(|(_, inner)| *inner == b'\n')),
            b'(' | b'[' | b'{' => {
                count.nesting += 1;
                count.steps += 1;
            }
            b')' | b']' | b'}' => count.nesting = count.nesting.saturating_sub(1),
            b';' => count = Count::default(),
            b'&' | b'|' | b'=' | b'<' | b'>' | b'+' | b'-' | b'*' | b'!' | b'.' => count.steps += 1,
            _ => {}
        }
        before = byte;
        if let Some(message) = count.excess() {
            let position = Position::of(text, offset);
            return Some(Finding {
                policy: None,
                message,
                help: None,
                position,
            });
        }
    }
    None
}

fn skip_string(bytes: &mut impl Iterator<Item = (usize, u8)>) {
    while let Some((_, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => break,
            _ => {}
        }
    }
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
        assert_eq!(
            found(&"if ".repeat(MAX_IFS + 1)),
            Some("1:39: one policy has more than 12 times `if`; write several policies".to_owned())
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
