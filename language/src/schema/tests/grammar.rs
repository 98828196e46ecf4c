//! Every construct that `docs/schema.ebnf` names can be parsed.

use std::collections::BTreeSet;

use super::super::findings::Findings;
use super::super::{lexer, parser};
use crate::schema::Schema;

const GRAMMAR: &str = include_str!("../../../../docs/schema.ebnf");

/// An example for each rule.
const EXAMPLES: [(&str, &str); 38] = [
    ("schema", "node A {} node B {}"),
    ("declaration", "interface I {} node A {} edge E: A -> A"),
    (
        "interface",
        "interface I @x { a: String } node A implements I {}",
    ),
    (
        "node",
        "node A implements I, J @x { a: String } interface I {} interface J {}",
    ),
    (
        "edge",
        "edge E: A -> A @x edge F: A -> A { b: Bool } node A {}",
    ),
    ("body", "node A { @index(a)\n a: String, @x\n b: Bool }"),
    ("property", "node A { a: String? @index @x }"),
    (
        "type",
        "node A { a: String, b: enum(x), c: [Bool], d: Vector(3) }",
    ),
    (
        "scalar",
        "node A { a: String, b: Bool, c: I32, d: I64, e: U32, f: U64, g: F32, h: F64, i: Date, j: DateTime, k: Blob }",
    ),
    (
        "enumeration",
        "node A { a: enum(phase-1, phase-2,\n done,) }",
    ),
    ("value", "node A { a: enum(x, \"y z\") }"),
    ("list", "node A { a: [String]? }"),
    ("vector", "node A { a: Vector(128)? }"),
    (
        "annotation",
        "node A { a: I32 @key @index @range(0..1) @x(1) }",
    ),
    ("key", "node A { a: String @key }"),
    ("index", "node A { a: String @index }"),
    ("range", "node A { a: I32 @range(0..1) }"),
    ("check", "node A { a: String @check(\"\\d+\") }"),
    ("default", "node A { a: I32 @default(3) }"),
    (
        "describing",
        "node A @instruction(\"x\") { a: I32 @description(\"y\") }",
    ),
    ("unique", "node A { a: I32 @unique }"),
    ("card", "edge E: A -> A @card(0..1)"),
    ("migrating", "node A { a: I32 @rename_from(\"b\") }"),
    (
        "embedding",
        "node A { a: Vector(3) @embed(\"b\", model=\"m\"), b: String @embed(\"c\") }",
    ),
    ("secret", "node A { a: String @secret }"),
    ("unknown", "node A { a: String @x @y(1, { z: [#] }) }"),
    (
        "constraint",
        "node A { a: I32, b: String @key(a, b) @index(a,) @unique(b) @range(a, 0..) @check(b, \"x\") @default(a, 1) }",
    ),
    (
        "end",
        "edge E: A -> A { since: Date @unique(src, since) @index(dst) }",
    ),
    (
        "bounds",
        "node A { a: I32 @range(0..1), b: I32 @range(..1), c: I32 @range(-1..) }",
    ),
    (
        "literal",
        "node A { a: Bool @default(true), b: Bool @default(false), c: [String] @default([\"x\", \"y\",]), d: enum(x-1) @default(x-1) }",
    ),
    ("name", "node Größe_2 { _a1: String }"),
    ("word", "node A { a: enum(-x-1-, 2024-01, 3d) }"),
    (
        "number",
        "node A { a: F64 @range(-1.5e+3..2E-3), b: F64 @range(1e3..) }",
    ),
    (
        "text",
        "node A { a: String @description(\"any ' text é\") }",
    ),
    (
        "escape",
        "node A { a: String @description(\"\\\" \\\\ \\n \\t \\r \\d\") }",
    ),
    ("letter", "node é {}"),
    ("digit", "node A0 { b9: String }"),
    ("comment", "node A {} // x\n/* y\n */ node B {}"),
];

/// The rules and the quoted pieces of the grammar.
fn constructs() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut rules, mut quoted) = (BTreeSet::new(), BTreeSet::new());
    let mut rest = GRAMMAR;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let until = |end: &str| {
            after
                .find(end)
                .map(|at| (&after[..at], &after[at + end.len()..]))
                .unwrap()
        };
        rest = match first {
            '(' if after.starts_with('*') => until("*)").1,
            '?' => until("?").1,
            '"' | '\'' => {
                let (piece, rest) = until(&first.to_string());
                quoted.insert(piece.to_owned());
                rest
            }
            _ if first.is_ascii_alphabetic() => {
                let length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap();
                rules.insert(rest[..length].to_owned());
                &rest[length..]
            }
            _ => after,
        };
    }
    (rules, quoted)
}

#[test]
fn every_construct_has_an_example_that_parses() {
    let (rules, quoted) = constructs();
    let examples: BTreeSet<_> = EXAMPLES
        .iter()
        .map(|(rule, _)| (*rule).to_owned())
        .collect();
    assert_eq!(
        rules, examples,
        "the rules of docs/schema.ebnf and the examples"
    );
    for rule in &rules {
        assert!(
            GRAMMAR
                .lines()
                .any(|line| line.starts_with(rule) && line.contains('=')),
            "no rule {rule}"
        );
    }
    for (rule, text) in EXAMPLES {
        let mut findings = Findings::new(text);
        let tokens = lexer::tokens(text, &mut findings).unwrap();
        let document = parser::parse(text, &tokens, &mut findings);
        assert_eq!(findings.finish(), [], "{rule}: {text}");
        assert!(!document.declarations.is_empty());
    }
    assert!(quoted.len() > 50, "{quoted:?}");
    for piece in quoted {
        let shown = EXAMPLES.iter().any(|(_, text)| text.contains(&piece));
        assert!(shown, "no example has `{piece}`");
    }
}

/// The example of DESIGN.md as it stands there: it parses, and what is not enforced yet is refused.
#[test]
fn the_example_of_the_design() {
    let text = r#"interface Named { name: String @index }
node Person implements Named {
  email: String @key
  name: String @index, born: Date?
  tags: [String]?
  stage: enum(phase-1, phase-2,
              done)?
  face: Vector(128)? @embed("bio")
  @unique(name, born)
}
edge Knows: Person -> Person { since: Date?  @unique(src, since) }
edge WorksAt: Person -> Org @card(0..1)
node Org { slug: String @key }
"#;
    let found: Vec<_> = Schema::parse(text)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "8:9: unsupported: the type `Vector` is not supported yet",
            "8:22: unsupported: `@embed` is not supported yet",
            "9:3: unsupported: `@unique` is not supported yet",
            "11:46: unsupported: `@unique` is not supported yet",
            "12:29: unsupported: `@card` is not supported yet",
        ]
    );
}
