//! What a folder must not even mention.

use std::collections::BTreeSet;

use super::sources::{Source, rust};

/// Beginning of a path, words that must not occur below it outside comments, and why.
const SILENT: &[(&str, &[&str], &str)] = &[
    (
        "server/src/app",
        &["axum", "StatusCode", "HeaderMap"],
        "a use case does not know HTTP",
    ),
    (
        "server/src/",
        &["lance", "arrow_array", "arrow_schema"],
        "tables are the engine's own business",
    ),
    (
        "server/src/",
        &["storage_engine::Graph"],
        "no permit, no handle: graphs are reached through registry",
    ),
    (
        "server/src/",
        &["serde_yaml", "yaml_edit", "cedar_policy"],
        "registry and policy keep these to themselves",
    ),
    (
        "registry/src/",
        &["axum", "cedar_policy", "lance"],
        "it knows which graphs exist, nothing more",
    ),
    (
        "storage-engine/src/",
        &["axum", "cedar_policy", "serde_yaml"],
        "one graph knows nothing of its server",
    ),
    (
        "cli/src/",
        &["lance", "cedar_policy", "serde_yaml", "axum"],
        "the command line asks the server",
    ),
    (
        "language/src/",
        &["tokio", "arrow_array", "lance"],
        "text in, plan out",
    ),
];

/// A line of code without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The word itself, not a part of another: `lance` is not in `balance`.
fn mentions(line: &str, word: &str) -> bool {
    let part = |character: Option<char>| {
        character.is_some_and(|character| character.is_alphanumeric() || character == '_')
    };
    line.match_indices(word).any(|(at, _)| {
        !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next())
    })
}

fn offences(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, words, reason) in SILENT
        .iter()
        .filter(|(folder, ..)| source.path.starts_with(folder))
    {
        for (number, line) in source.text.lines().enumerate() {
            for word in words.iter().filter(|word| mentions(code(line), word)) {
                found.push(format!(
                    "{}:{}: {word} in {folder}: {reason}",
                    source.path,
                    number + 1
                ));
            }
        }
    }
    found
}

#[test]
fn folders_do_not_mention_what_they_must_not_know() {
    let found: Vec<_> = rust().iter().flat_map(offences).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// No permit, no handle: who opens or makes graphs of the engine asks for a permit first.
#[test]
fn graphs_are_opened_and_made_in_one_place_each() {
    let found: BTreeSet<_> = rust()
        .iter()
        .filter(|source| !source.path.starts_with("storage-engine/"))
        .filter(|source| !source.path.starts_with("tests/src/house/"))
        .flat_map(|source| {
            let calls = ["Graph::open", "Graph::create"];
            let lines = source.text.lines().map(code).collect::<Vec<_>>();
            calls
                .into_iter()
                .filter(|call| lines.iter().any(|line| mentions(line, call)))
                .map(|call| format!("{} {call}", source.path))
                .collect::<Vec<_>>()
        })
        .collect();
    let expected = [
        "registry/src/create.rs Graph::create",
        "registry/src/handle.rs Graph::open",
    ];
    assert_eq!(
        found.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn every_rule_has_a_folder() {
    let sources = rust();
    for (folder, ..) in SILENT {
        assert!(
            sources.iter().any(|source| source.path.starts_with(folder)),
            "nothing is below {folder}: the rule guards nothing"
        );
    }
}

#[test]
fn a_word_is_found_where_it_stands_alone() {
    let source = |text: &str| Source {
        path: "server/src/app/x.rs".to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(offences(&source("use axum::Router;")).len(), 1);
    assert_eq!(offences(&source("use lance::Dataset;")).len(), 1);
    assert!(offences(&source("let balance = 1; // axum is not here")).is_empty());
}
