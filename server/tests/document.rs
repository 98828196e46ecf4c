//! The committed document is the one that the server gives, and says everything that it must.
//!
//! `UPDATE_OPENAPI=1 cargo nextest run --workspace -E 'package(trellis-server)'` writes it.
#![allow(
    clippy::disallowed_methods,
    reason = "tests write the files that people would"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use api_types::ErrorCode;
use serde_json::Value;
use server::{Mount, Security, document};

/// Codes that no operation has, for they are about paths and methods that there are not.
const OF_NO_OPERATION: [ErrorCode; 2] = [ErrorCode::NotFound, ErrorCode::MethodNotAllowed];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

fn parsed() -> Value {
    read(Mount::Many, Security::Bearer)
}

fn read(mount: Mount, security: Security) -> Value {
    serde_json::from_str(&document(mount, security)).expect("the document is JSON")
}

/// Every document that a server may give.
fn all() -> [Value; 5] {
    [
        read(Mount::Many, Security::Bearer),
        read(Mount::Many, Security::Open),
        read(Mount::Single, Security::Bearer),
        read(Mount::Single, Security::Open),
        read(Mount::SingleOfConfig, Security::Bearer),
    ]
}

/// Every operation as (`METHOD path`, operation).
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            let item = item.as_object().expect("a path item");
            item.iter().map(move |(method, operation)| {
                (format!("{} {path}", method.to_uppercase()), operation)
            })
        })
        .collect()
}

fn operation_id(operation: &Value) -> &str {
    operation["operationId"].as_str().expect("an operation id")
}

#[test]
fn the_committed_documents_are_the_served_ones() {
    for (name, mount) in [
        ("openapi.json", Mount::Many),
        ("openapi.single.json", Mount::Single),
    ] {
        let path = root().join(name);
        let served = document(mount, Security::Bearer);
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(&path, &served).expect("writable");
        }
        let committed = std::fs::read_to_string(&path).expect("committed");
        assert!(
            committed == served,
            "{name} is not what the server gives; run the tests with UPDATE_OPENAPI=1 and review"
        );
    }
}

/// One router, mounted either way: the same operations of a graph, flat, and nothing of many graphs.
#[test]
fn a_server_of_one_graph_has_the_same_operations_flat() {
    let (many, single) = (parsed(), read(Mount::Single, Security::Bearer));
    let of = |document: &Value| -> BTreeSet<String> {
        let operations = operations(document);
        let named = operations
            .iter()
            .map(|(route, operation)| format!("{route} {}", operation_id(operation)));
        named.collect()
    };
    let expected: BTreeSet<String> = of(&many)
        .into_iter()
        .filter(|named| !named.contains(" graphs_") && !named.contains(" config_"))
        .map(|named| {
            named
                .replace("/graphs/{graph_id}", "")
                .replace("cluster_", "")
        })
        .collect();
    assert_eq!(of(&single), expected);
    assert!(!single.to_string().contains("graph_id}"));
}

/// What OpenAPI 3.1 asks of a document, as far as tools stumble over it.
#[test]
fn every_document_is_well_formed() {
    for document in all() {
        assert!(
            document["openapi"]
                .as_str()
                .is_some_and(|version| version.starts_with("3.1."))
        );
        for field in ["title", "version"] {
            assert!(document["info"][field].is_string(), "info.{field}");
        }
        let mut ids = BTreeSet::new();
        for (route, operation) in operations(&document) {
            let id = operation_id(operation);
            assert!(ids.insert(id), "{id} stands there twice");
            assert!(!id.contains("cluster_cluster_"), "{id}");
            let (_, path) = route.split_once(' ').expect("METHOD path");
            let templates: BTreeSet<&str> = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            let mut declared = BTreeSet::new();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let (name, place) = (&parameter["name"], &parameter["in"]);
                assert!(
                    declared.insert((name.to_string(), place.to_string())),
                    "{route} {name}"
                );
                assert!(parameter["schema"].is_object(), "{route} {name}");
                if place == "path" {
                    let name = name.as_str().expect("a name");
                    assert!(templates.contains(name), "{route} {name}");
                    assert_eq!(parameter["required"], true, "{route} {name}");
                }
            }
            let of_path = declared.iter().filter(|(_, place)| place.contains("path"));
            assert_eq!(of_path.count(), templates.len(), "{route}");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(!responses.is_empty(), "{route}");
            for requirement in operation["security"].as_array().into_iter().flatten() {
                for scheme in requirement
                    .as_object()
                    .into_iter()
                    .flat_map(|one| one.keys())
                {
                    let known = &document["components"]["securitySchemes"][scheme];
                    assert!(known.is_object(), "{route} {scheme}");
                }
            }
        }
    }
}

#[test]
fn every_operation_names_its_cedar_action() {
    let actions: BTreeSet<_> = policy::Action::ALL
        .iter()
        .map(|action| action.as_str())
        .collect();
    let document = parsed();
    for (route, operation) in operations(&document) {
        let action = operation["x-cedar-action"].as_str().unwrap_or_default();
        assert!(
            action == "public" || actions.contains(action),
            "{route} has {action:?}"
        );
    }
}

/// The use case asks for the very action that the document names.
#[test]
fn the_named_action_is_the_one_that_is_decided() {
    let document = parsed();
    for (route, operation) in operations(&document) {
        let name = operation["x-cedar-action"].as_str().unwrap_or_default();
        let Some(action) = policy::Action::parse(name) else {
            continue;
        };
        let id = operation_id(operation).trim_start_matches("cluster_");
        let (resource, verb) = id.split_once('_').expect("<resource>_<verb>");
        let app = root().join("server/src/app");
        let file = [
            app.join(resource).join(format!("{verb}.rs")),
            app.join(format!("{resource}.rs")),
        ]
        .into_iter()
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{route} has no use case"));
        let text = std::fs::read_to_string(&file).expect("readable");
        let asked = format!("Action::{action:?}");
        assert!(
            text.contains(&asked),
            "{} does not ask for {asked}",
            file.display()
        );
    }
}

#[test]
fn operations_are_named_after_their_files_and_once() {
    let document = parsed();
    let mut seen = BTreeSet::new();
    for (route, operation) in operations(&document) {
        let id = operation_id(operation);
        assert!(seen.insert(id.to_owned()), "{id} stands there twice");
        // What is done to a graph as a whole is not there on a server of one graph.
        let nested = route.contains("/graphs/{graph_id}/") && !id.starts_with("graphs_");
        assert_eq!(id.starts_with("cluster_"), nested, "{route} is {id}");
        let (resource, verb) = id
            .trim_start_matches("cluster_")
            .split_once('_')
            .expect("<resource>_<verb>");
        let file = root().join(format!("server/src/http/{resource}/{verb}.rs"));
        assert!(
            file.is_file(),
            "{route} is {id}, but there is no {}",
            file.display()
        );
    }
    assert!(seen.len() >= 12, "{seen:?}");
}

#[test]
fn paths_declare_their_parameters() {
    let document = parsed();
    for (route, operation) in operations(&document) {
        let declared = operation["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let has = declared
            .iter()
            .any(|one| one["name"] == "graph_id" && one["in"] == "path");
        assert_eq!(has, route.contains("{graph_id}"), "{route}");
    }
}

/// OpenAPI 3.1 requires a description of each response; people need the others.
#[test]
fn everything_is_described() {
    let document = parsed();
    for (route, operation) in operations(&document) {
        for field in ["summary", "description"] {
            assert!(
                operation[field]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{route}: {field}"
            );
        }
        for (status, response) in operation["responses"].as_object().expect("responses") {
            assert!(response["description"].is_string(), "{route} {status}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(
                parameter["description"].is_string(),
                "{route} {}",
                parameter["name"]
            );
        }
    }
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .expect("schemas")
    {
        assert!(schema["description"].is_string(), "{name}");
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(is_described(schema), "{name}.{property}: {schema}");
        }
    }
}

fn is_described(schema: &Value) -> bool {
    let either = schema["oneOf"].as_array().into_iter().flatten();
    schema["description"].is_string() || either.into_iter().any(is_described)
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(
                    members
                        .get("$ref")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(elements) => elements.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    for document in all() {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}

#[test]
fn errors_are_problems_and_each_code_belongs_to_an_operation() {
    let document = parsed();
    let mut declared: BTreeMap<String, String> = BTreeMap::new();
    for (route, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let is_error = status.starts_with(['4', '5']);
            let is_readiness = route == "GET /readyz" && status == "503";
            if !is_error || is_readiness {
                continue;
            }
            let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(problem, "#/components/schemas/Problem", "{route} {status}");
            let text = response["description"].as_str().unwrap_or_default();
            let codes = text.split('`').skip(1).step_by(2).map(str::to_owned);
            declared.extend(codes.map(|code| (code, status.clone())));
        }
    }
    for code in ErrorCode::ALL
        .iter()
        .filter(|code| !OF_NO_OPERATION.contains(code))
    {
        let status = declared.get(code.as_str());
        assert_eq!(
            status,
            Some(&code.status().to_string()),
            "{}",
            code.as_str()
        );
    }
}

/// Each declared code is given somewhere outside the lists that declare it.
#[test]
fn every_code_is_given_somewhere() {
    fn read(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                read(&path, text);
            } else {
                text.push_str(&std::fs::read_to_string(&path).expect("readable"));
            }
        }
    }
    let mut text = String::new();
    read(&root().join("server/src"), &mut text);
    for code in ErrorCode::ALL {
        let given = format!("ErrorCode::{code:?}");
        assert!(text.contains(&given), "{given} is given nowhere");
    }
}

#[test]
fn an_open_server_says_nothing_of_security() {
    let open = read(Mount::Many, Security::Open);
    assert!(open["components"].get("securitySchemes").is_none());
    let document = parsed();
    for ((route, open), (_, closed)) in operations(&open).iter().zip(operations(&document)) {
        assert!(open.get("security").is_none(), "{route}");
        let is_public = closed["x-cedar-action"] == "public";
        assert!(is_public || closed["security"].is_array(), "{route}");
    }
}

#[test]
fn the_use_cases_know_no_axum() {
    fn check(folder: &Path) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                check(&path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("readable");
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                for word in ["axum", "http::", "StatusCode", "utoipa"] {
                    assert!(!line.contains(word), "{}: {line}", path.display());
                }
            }
        }
    }
    check(&root().join("server/src/app"));
}

#[test]
fn the_sdk_generator_maps_every_operation() {
    let text = std::fs::read_to_string(root().join("stainless/stainless.yml")).expect("committed");
    let document = parsed();
    for (route, _) in operations(&document) {
        let (method, path) = route.split_once(' ').expect("METHOD path");
        let mapped = format!("{} {path}", method.to_lowercase());
        let count = text
            .lines()
            .filter(|line| line.trim().ends_with(&mapped))
            .count();
        assert_eq!(count, 1, "stainless.yml maps `{mapped}` {count} times");
    }
    for target in ["typescript:", "python:"] {
        assert!(
            text.contains(target),
            "stainless.yml has no target {target}"
        );
    }
}
