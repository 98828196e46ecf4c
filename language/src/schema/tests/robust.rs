//! No text, however broken, stops the reader or takes long.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::EXAMPLE;
use crate::schema::{MAX_DIAGNOSTICS, MAX_TEXT, Schema};

/// Reads a text; checks what holds of every answer.
fn read(text: &str) {
    match Schema::parse(text) {
        Ok(schema) => {
            assert_eq!(schema.source, text);
            assert!(!schema.node_types.is_empty());
        }
        Err(diagnostics) => {
            assert!((1..=MAX_DIAGNOSTICS).contains(&diagnostics.len()));
            let lines = text.matches('\n').count() + 1;
            for diagnostic in diagnostics {
                let (start, end) = (
                    (diagnostic.line, diagnostic.column),
                    (diagnostic.end_line, diagnostic.end_column),
                );
                assert!(
                    start >= (1, 1) && start <= end && end.0 <= lines,
                    "{diagnostic:?}"
                );
                assert!(diagnostic.message.len() < 2_000, "{diagnostic:?}");
            }
        }
    }
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "node",
        "edge",
        "interface",
        "implements",
        "enum",
        "A",
        "B",
        "a",
        "b",
        "String",
        "I32",
        "Vector",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ":",
        ",",
        "?",
        "@",
        "-",
        "->",
        "..",
        "=",
        "\n",
        " ",
        "//",
        "/*",
        "*/",
        "\"",
        "\\",
        "@key",
        "@unique",
        "@range(0..1)",
        "@check(\"x\")",
        "@default(1)",
        "@index(a)",
        "@card",
        "@description(\"d\")",
        "1",
        "-1.5",
        "1e9",
        "%",
        "é",
        "\u{0}",
        "\r\n",
        "node A {",
        "a: I32 ",
        "edge E: A -> A",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn random_text(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn random_tokens(text in pieces()) {
        read(&text);
    }

    #[test]
    fn mutated_examples(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..6, pieces()), 1..5)
    ) {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for (at, removed, inserted) in cuts {
            let start = at.index(text.len() + 1);
            let end = (start + removed).min(text.len());
            let inserted: String = inserted.chars().take(8).collect();
            text.splice(start..end, inserted.chars());
        }
        read(&text.into_iter().collect::<String>());
    }
}

#[test]
fn every_prefix_and_every_hole() {
    for (at, _) in EXAMPLE.char_indices() {
        read(&EXAMPLE[..at]);
        read(&format!("{}{}", &EXAMPLE[..at], &EXAMPLE[at + 1..]));
    }
}

/// The longest texts of the most tiring kinds. The limit is generous: what it catches is time that
/// grows with the square of the length, which is minutes.
#[test]
fn long_texts_take_no_long_time() {
    let filled = |start: &str, piece: &str, end: &str| {
        let count = (MAX_TEXT - start.len() - end.len()) / piece.len();
        format!("{start}{}{end}", piece.repeat(count))
    };
    let numbered = |start: &str, piece: &str, count: usize| {
        let pieces: String = (0..count)
            .map(|index| piece.replace('#', &index.to_string()))
            .collect();
        format!("{start}{pieces}")
    };
    for text in [
        filled("", "{", ""),
        filled("node A ", "@x(", ""),
        filled("node A { a: enum(", "x-", ""),
        filled("node A { a: enum(", "x,", ") }"),
        filled("node A { ", "a: Strin\n", "}"),
        filled("", "node A {}\n", ""),
        filled("", "/*", ""),
        filled("", "\"", ""),
        filled("node A { @key(", "a,", ") }"),
        filled("node A { a: String @x(", "[a],", ") }"),
        filled("node A { a: String @check(\"", "(", "\") }"),
        filled("", "\n", "?"),
        numbered("", "node A# { a: B# }\n", 40_000),
        numbered("edge E: A -> Z\n", "node A# {}\n", 60_000),
        numbered("node A { ", "a#: Bool\n", 60_000) + "}",
        numbered("node A { @key(", "a#,", 100_000) + ") }",
        numbered("node A { a: enum(", "a#,", 100_000) + ") }",
        numbered(
            "interface I { a: String }\n",
            "node A# implements I {}\n",
            30_000,
        ),
    ] {
        let started = Instant::now();
        read(&text);
        let taken = started.elapsed();
        let shown: String = text.chars().take(40).collect();
        assert!(taken < Duration::from_secs(60), "{shown}... took {taken:?}");
    }
}
