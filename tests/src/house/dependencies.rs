//! Who may depend on whom: the list of DESIGN.md, section 2, and who may name which library.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use toml::Table;

use crate::harness::repository;

/// Folder of each crate, and which of ours it may know.
const OURS: &[(&str, &[&str])] = &[
    ("language", &[]),
    ("journal", &[]),
    ("policy", &[]),
    ("api-types", &[]),
    ("storage-engine", &["language", "journal"]),
    (
        "registry",
        &["policy", "storage-engine", "language", "journal"],
    ),
    (
        "server",
        &[
            "registry",
            "policy",
            "storage-engine",
            "language",
            "api-types",
            "journal",
        ],
    ),
    ("cli", &["server", "api-types", "language"]),
    ("tests", &["server", "cli"]),
];

/// Beginning of a library's name, who may name it, and why nobody else may.
const LIBRARIES: &[(&str, &[&str], &str)] = &[
    (
        "lance",
        &["storage-engine"],
        "tables are the engine's own business",
    ),
    (
        "arrow",
        &["storage-engine"],
        "tables are the engine's own business",
    ),
    (
        "datafusion",
        &["storage-engine"],
        "tables are the engine's own business",
    ),
    (
        "object_store",
        &["storage-engine", "journal"],
        "only logs and tables live on an object store",
    ),
    (
        "open-cypher",
        &["language"],
        "its syntax tree ends at the checked plan",
    ),
    (
        "cedar-policy",
        &["policy"],
        "every decision is made in one place",
    ),
    (
        "jsonwebtoken",
        &["policy"],
        "a credential becomes a principal in one place",
    ),
    (
        "serde_yaml",
        &["registry", "tests"],
        "the operator's file has one reader",
    ),
    (
        "yaml-edit",
        &["registry"],
        "the operator's file has one writer",
    ),
    ("axum", &["server"], "HTTP stops at the door"),
    ("tower", &["server"], "HTTP stops at the door"),
    ("http", &["server"], "HTTP stops at the door"),
    ("hyper", &["server"], "HTTP stops at the door"),
    (
        "utoipa",
        &["server", "api-types"],
        "the document describes the wire, nothing else",
    ),
    (
        "reqwest",
        &["cli", "tests", "storage-engine"],
        "only clients ask; the engine names its Url, by which Lance asks for an object store",
    ),
    ("clap", &["cli"], "only the command line has arguments"),
    ("comfy-table", &["cli"], "only the command line prints"),
    (
        "tokio",
        &["storage-engine", "registry", "server", "cli", "tests"],
        "the rest is blocking and pure",
    ),
    (
        "futures",
        &["storage-engine", "registry", "server"],
        "the rest is blocking and pure",
    ),
];

/// Names of everything that a manifest depends on, in every manner, under the name that code uses.
fn named(folder: &str) -> BTreeSet<String> {
    let path = repository().join(folder).join("Cargo.toml");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let manifest: Table = text
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut tables = vec![&manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    tables
        .into_iter()
        .flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()))
        .flat_map(|dependencies| dependencies.keys().cloned())
        .collect()
}

/// `tower-http` is of `tower`, `towering` is not.
fn belongs_to(name: &str, library: &str) -> bool {
    name.strip_prefix(library)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

#[test]
fn the_workspace_is_the_list() {
    let text = fs::read_to_string(repository().join("Cargo.toml")).expect("the root manifest");
    let manifest: Table = text.parse().expect("the root manifest is TOML");
    let members: BTreeSet<_> = manifest["workspace"]["members"]
        .as_array()
        .expect("a list of members")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    assert_eq!(members, OURS.iter().map(|(folder, _)| *folder).collect());
}

#[test]
fn dependencies_point_one_way() {
    let ours: BTreeSet<_> = OURS.iter().map(|(folder, _)| *folder).collect();
    for (folder, allowed) in OURS {
        let names = named(folder);
        assert!(
            !names.is_empty() || allowed.is_empty(),
            "{folder} depends on nothing at all?"
        );
        for name in names.iter().filter(|name| ours.contains(name.as_str())) {
            assert!(
                allowed.contains(&name.as_str()),
                "{folder} must not depend on {name}; it may depend on {allowed:?}"
            );
        }
    }
}

#[test]
fn the_list_has_no_circle() {
    let knows: BTreeMap<_, _> = OURS.iter().copied().collect();
    for (folder, _) in OURS {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![*folder];
        while let Some(next) = waiting.pop() {
            for name in knows[next] {
                assert_ne!(name, folder, "{folder} would depend on itself");
                if reached.insert(*name) {
                    waiting.push(name);
                }
            }
        }
    }
}

#[test]
fn libraries_are_named_only_where_they_belong() {
    for (folder, _) in OURS {
        for name in named(folder) {
            for (library, allowed, reason) in LIBRARIES {
                assert!(
                    !belongs_to(&name, library) || allowed.contains(folder),
                    "{folder} must not name {name}: {reason}"
                );
            }
        }
    }
}

#[test]
fn every_dependency_is_the_workspaces() {
    for (folder, _) in OURS {
        let text =
            fs::read_to_string(repository().join(folder).join("Cargo.toml")).expect("a manifest");
        let manifest: Table = text.parse().expect("TOML");
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(kind).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, value) in dependencies {
                let inherited = value.get("workspace").and_then(toml::Value::as_bool);
                assert_eq!(
                    inherited,
                    Some(true),
                    "{folder}: {name} must be declared once, in the root manifest, so that its features are one set"
                );
            }
        }
    }
}
