//! Nothing is left for later in a place where it runs today.

use super::sources::{Source, rust};

/// What says "not done", written so that this file does not say it.
const MARKS: &[[&str; 2]] = &[
    ["todo", "!("],
    ["unimplemented", "!("],
    ["dbg", "!("],
    ["FIX", "ME"],
    ["XX", "X"],
    ["#[ign", "ore"],
];

fn marked(source: &Source) -> Vec<String> {
    let marks: Vec<String> = MARKS.iter().map(|halves| halves.concat()).collect();
    source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)))
        .map(|(number, line)| format!("{}:{}: {}", source.path, number + 1, line.trim()))
        .collect()
}

#[test]
fn nothing_is_left_unfinished() {
    let found: Vec<_> = rust().iter().flat_map(marked).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn marks_are_found() {
    let source = Source {
        path: "a.rs".to_owned(),
        text: format!("fn a() {{ {}) }}", MARKS[0].concat()),
    };
    assert_eq!(marked(&source).len(), 1);
}
