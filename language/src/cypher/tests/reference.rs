//! `docs/cypher.md` says what the tables say, and the tables are true. `TRELLIS_BLESS=1` rewrites it.

use std::fmt::Write as _;
use std::path::Path;

use super::super::reference::{CLAUSES, EXPRESSIONS, Line, PATTERNS, State};
use super::super::{Procedures, call, compile, functions, mode};
use crate::diagnostic::Code;
use crate::schema::Schema;

fn state_of(example: &str) -> State {
    let schema = Schema::parse_open("").expect("the empty schema");
    match compile(&mode(example).1, &schema) {
        Ok(_) => State::Yes,
        Err(findings)
            if findings
                .iter()
                .any(|finding| finding.code == Code::Unsupported) =>
        {
            State::No
        }
        Err(_) => State::NoSyntax,
    }
}

#[test]
fn every_line_is_true() {
    for line in CLAUSES.iter().chain(PATTERNS).chain(EXPRESSIONS) {
        assert_eq!(
            state_of(line.example),
            line.state,
            "{}: {}",
            line.name,
            line.example
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

fn lines(title: &str, lines: &[Line], out: &mut String) {
    let _ = write!(
        out,
        "\n## {title}\n\n| what | state | example | note |\n| --- | --- | --- | --- |\n"
    );
    for line in lines {
        let state = match line.state {
            State::Yes => "yes",
            State::No | State::NoSyntax => "not yet",
        };
        let (name, example) = (escaped(line.name), escaped(line.example));
        let _ = writeln!(
            out,
            "| {name} | {state} | `{example}` | {} |",
            escaped(line.note)
        );
    }
}

fn document() -> String {
    let mut out = String::from(INTRODUCTION);
    lines("Clauses", CLAUSES, &mut out);
    lines("Patterns", PATTERNS, &mut out);
    lines("Expressions", EXPRESSIONS, &mut out);
    out.push_str("\n## Functions\n\nNames are compared without regard to case. Null in, null out, except for `coalesce`.\n");
    let mut group = "";
    for line in functions::FUNCTIONS
        .iter()
        .filter(|line| !line.name.starts_with('_'))
    {
        if line.group != group {
            group = line.group;
            let _ = write!(
                out,
                "\n### {group}\n\n| function | takes | gives |\n| --- | --- | --- |\n"
            );
        }
        let places: Vec<String> = (0..line.parameters.len())
            .map(|place| {
                let takes = line.takes(place);
                if place >= line.min {
                    format!("[{takes}]")
                } else {
                    takes
                }
            })
            .collect();
        let more = if line.more { ", ..." } else { "" };
        let takes = places.join(", ") + more;
        let _ = writeln!(
            out,
            "| `{}` | {takes} | {} |",
            line.name,
            line.description.trim()
        );
    }
    out.push_str("\n### Aggregates\n\n| function | gives |\n| --- | --- |\n");
    for (name, _, description) in call::AGGREGATES {
        let _ = writeln!(out, "| `{name}` | {description} |");
    }
    let _ = writeln!(out, "\nNot yet: {}.", call::NOT_YET.map_code());
    out.push_str("\n## Procedures\n\n| procedure | gives |\n| --- | --- |\n");
    for procedure in Procedures::default().iter() {
        let outputs: Vec<String> = procedure
            .outputs
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let _ = writeln!(out, "| `{}` | {} |", procedure.name, outputs.join(", "));
    }
    out
}

/// Names as code, with commas.
trait MapCode {
    fn map_code(&self) -> String;
}

impl MapCode for [&str] {
    fn map_code(&self) -> String {
        self.iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

const INTRODUCTION: &str = "<!-- Written by the test `cypher::tests::reference` from the code: TRELLIS_BLESS=1 rewrites it. -->
# Cypher

Trellis is openCypher-compatible: it speaks the language of openCypher 2024.3 and is measured by its
TCK (`./dev tck`; `tests/tck/expected` names each scenario that passes and why the others do not).

In a **closed** graph the schema is known, so that what cannot be right is refused before it runs:
unknown types and properties, wrong directions, comparisons that are never true. In an **open** graph
labels, relationship types and properties appear as data arrives; the same statements mean what
openCypher says, and what depends on the data is decided row by row. Mistakes that no data can mend
(an unknown variable, `1 AND true`) are refused before running in both.

Every refusal has a code, a position and, where a name is close, a suggestion. In the classes of
openCypher all of them are `SyntaxError`s, but an unknown procedure, which is a `ProcedureError`.
Times beyond dates and instants in UTC (local times, offsets, named zones, nanoseconds, durations) can
be computed everywhere and stored in open graphs.
";

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "blessing rewrites a document of the sources"
)]
fn the_document_says_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cypher.md");
    let wanted = document();
    if std::env::var_os("TRELLIS_BLESS").is_some() {
        std::fs::write(&path, &wanted).expect("docs/cypher.md");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/cypher.md is out of date: TRELLIS_BLESS=1 rewrites it"
    );
}
