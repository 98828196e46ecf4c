//! Text of the config file -> what it says, or everything that is wrong with it.
//!
//! Values only: no disk is touched, so that uris are judged later, by
//! [`crate::registration`]. Variables of the environment must be set ([`crate::environment`]).
//!
//! ```
//! use registry::config::parse;
//! let parsed = parse("version: 1\ngraphs: {}\n").expect("a sound file");
//! assert!(parsed.config.graphs.is_empty());
//! let problems = parse("version: 1\nsrever: {}\n").expect_err("a misspelt key");
//! assert_eq!(problems[0].to_string(), "2:1: srever: unknown key; did you mean \"server\"?");
//! ```

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Value};

use super::model::{Auth, Config, GraphEntry, GraphKind, PolicyFile, Server, VERSION};
use super::position::Positions;
use super::shape::{self, Shape};
use super::yaml;
use super::{Finding, Problem};
use crate::{GraphId, environment};

/// A sound file: as YAML (what an edit is proven against) and typed.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The document as YAML, merge keys not applied.
    pub value: Value,
    /// What it says.
    pub config: Config,
}

/// Reads the file's text; an error holds every problem found, in the order of the file where the
/// place is known.
pub fn parse(text: &str) -> Result<Parsed, Vec<Problem>> {
    let understood = understand(text).map_err(|problem| vec![problem])?;
    if !understood.findings.is_empty() {
        return Err(place(text, understood.findings));
    }
    let Understood { value, parts, .. } = understood;
    let whole = parts.whole().ok_or_else(Vec::new);
    whole.map(|config| Parsed { value, config })
}

/// What of a text can be understood, and what is wrong with the rest.
#[derive(Debug)]
pub(crate) struct Understood {
    value: Value,
    /// What is sound of it.
    pub(crate) parts: Parts,
    /// Everything that is wrong.
    pub(crate) findings: Vec<Finding>,
}

/// The parts of a file, `None` for one with values that do not fit. Of the graphs those are left out
/// whose id or entry is wrong.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) server: Option<Server>,
    pub(crate) auth: Option<Auth>,
    pub(crate) groups: Option<BTreeMap<String, Vec<String>>>,
    pub(crate) graphs: Vec<(GraphId, GraphEntry)>,
}

impl Parts {
    /// All of it, when no part is missing.
    pub(crate) fn whole(self) -> Option<Config> {
        Some(Config {
            server: self.server?,
            auth: self.auth?,
            groups: self.groups?,
            graphs: self.graphs,
        })
    }
}

/// Reads the file's text as far as it goes; only of what is no YAML nothing is understood.
pub(crate) fn understand(text: &str) -> Result<Understood, Problem> {
    let value = yaml::read(text).map_err(|error| syntax(&error))?;
    let mut findings = Findings::default();
    let parts = read(&value, &mut findings);
    Ok(Understood {
        value,
        parts,
        findings: findings.0,
    })
}

/// Problems found in a text, placed in it, in its order.
pub(crate) fn place(text: &str, findings: Vec<Finding>) -> Vec<Problem> {
    let positions = Positions::new(text);
    let mut problems: Vec<Problem> = findings
        .into_iter()
        .map(|(path, message)| {
            let place = positions.find(&path);
            Problem {
                path: path.join("."),
                message,
                line: place.map(|(line, _)| line),
                column: place.map(|(_, column)| column),
            }
        })
        .collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

fn syntax(error: &serde_yaml::Error) -> Problem {
    let location = error.location();
    let message = error.to_string();
    // The place is a field of its own; the text of the error repeats it at its end.
    let message = match (&location, message.rfind(" at line ")) {
        (Some(_), Some(at)) => message[..at].to_owned(),
        _ => message,
    };
    Problem {
        path: String::new(),
        message: format!("not valid YAML: {message}"),
        line: location.as_ref().map(serde_yaml::Location::line),
        column: location.as_ref().map(serde_yaml::Location::column),
    }
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, path: &[&str], message: impl Into<String>) {
        self.0.push((
            path.iter().map(|&part| part.to_owned()).collect(),
            message.into(),
        ));
    }
}

fn read(written: &Value, findings: &mut Findings) -> Parts {
    let mut value = written.clone();
    if let Err(error) = value.apply_merge() {
        findings.add(&[], error.to_string());
        return Parts::default();
    }
    let Value::Mapping(root) = &mut value else {
        findings.add(
            &[],
            "the file is empty or no mapping; begin with the line \"version: 1\"",
        );
        return Parts::default();
    };
    strip_unknown(root, &shape::ROOT, &mut Vec::new(), findings);
    version(root, findings);
    let server = section::<Server>(root, "server", findings);
    let auth = section::<Auth>(root, "auth", findings);
    let groups = section::<BTreeMap<String, Vec<String>>>(root, "groups", findings);
    let graphs = graphs(root, findings);
    if let Some(server) = &server {
        check_server(server, findings);
    }
    if let Some(auth) = &auth {
        check_auth(auth, findings);
    }
    Parts {
        server,
        auth,
        groups,
        graphs,
    }
}

/// Takes out what no shape knows, reporting each, so that typed reading finds the other problems.
fn strip_unknown(
    mapping: &mut Mapping,
    shape: &Shape,
    path: &mut Vec<String>,
    findings: &mut Findings,
) {
    mapping.retain(|key, value| {
        let name = key_text(key);
        let below = match (shape, key) {
            (Shape::Keys(keys), Value::String(name)) => keys
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, below)| below),
            (Shape::Keys(_), _) => None,
            (Shape::Named(below), _) => Some(*below),
            (Shape::Leaf, _) => Some(&Shape::Leaf),
        };
        path.push(name);
        if let (Some(below), Value::Mapping(inner)) = (below, value) {
            strip_unknown(inner, below, path, findings);
        }
        if below.is_none() {
            findings.0.push((path.clone(), unknown_key(path, shape)));
        }
        path.pop();
        below.is_some()
    });
}

fn unknown_key(path: &[String], shape: &Shape) -> String {
    let Shape::Keys(keys) = shape else {
        return "unknown key".to_owned();
    };
    let known = || keys.iter().map(|(key, _)| *key);
    let written = path.last().map_or("", String::as_str);
    match shape::suggestion(written, known()) {
        Some(meant) => format!("unknown key; did you mean {meant:?}?"),
        None => format!(
            "unknown key; known here: {}",
            known().collect::<Vec<_>>().join(", ")
        ),
    }
}

fn key_text(key: &Value) -> String {
    match key {
        Value::String(text) => text.clone(),
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => "?".to_owned(),
    }
}

fn version(root: &Mapping, findings: &mut Findings) {
    match root.get("version") {
        None => findings.add(
            &["version"],
            "missing; write \"version: 1\" at the top of the file",
        ),
        Some(value) if value.as_u64() == Some(VERSION) => {}
        Some(value) => {
            let written = serde_yaml::to_string(value).unwrap_or_default();
            findings.add(
                &["version"],
                format!(
                    "version {} is not supported; this build reads version 1",
                    written.trim()
                ),
            );
        }
    }
}

/// One section of the root; missing and null are its default.
fn section<T: DeserializeOwned + Default>(
    root: &Mapping,
    name: &str,
    findings: &mut Findings,
) -> Option<T> {
    match root.get(name) {
        None | Some(Value::Null) => Some(T::default()),
        Some(value) => typed(value, &[name], findings),
    }
}

/// Reads a value whose keys all have defaults; when it does not fit, every key that is at fault is
/// found by reading it alone.
fn typed<T: DeserializeOwned>(value: &Value, path: &[&str], findings: &mut Findings) -> Option<T> {
    let error = match T::deserialize(value) {
        Ok(read) => return Some(read),
        Err(error) => error,
    };
    let before = findings.0.len();
    if let Value::Mapping(mapping) = value {
        for (key, inner) in mapping {
            let alone = |inner: Value| Value::Mapping([(key.clone(), inner)].into_iter().collect());
            let Err(error) = T::deserialize(&alone(inner.clone())) else {
                continue;
            };
            let name = key_text(key);
            let here: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            let count = findings.0.len();
            if let Value::Mapping(fields) = inner {
                for (field, value) in fields {
                    let field_alone = [(field.clone(), value.clone())].into_iter().collect();
                    if let Err(error) = T::deserialize(&alone(Value::Mapping(field_alone))) {
                        let field = key_text(field);
                        let deep: Vec<&str> =
                            here.iter().copied().chain([field.as_str()]).collect();
                        findings.add(&deep, error.to_string());
                    }
                }
            }
            if findings.0.len() == count {
                findings.add(&here, error.to_string());
            }
        }
    }
    if findings.0.len() == before {
        findings.add(path, error.to_string());
    }
    None
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGraph {
    uri: Option<String>,
    tenant: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    policy: Option<PolicyFile>,
    graph_type: Option<GraphKind>,
}

fn graphs(root: &Mapping, findings: &mut Findings) -> Vec<(GraphId, GraphEntry)> {
    let mapping = match root.get("graphs") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Mapping(mapping)) => mapping,
        Some(_) => {
            findings.add(
                &["graphs"],
                "expected graph ids with an entry each, such as \"alpha: { uri: ../data/alpha }\"",
            );
            return Vec::new();
        }
    };
    let mut found: Vec<(GraphId, GraphEntry)> = Vec::with_capacity(mapping.len());
    let mut seen: HashMap<String, String> = HashMap::with_capacity(mapping.len());
    for (key, value) in mapping {
        let name = key_text(key);
        let path = ["graphs", name.as_str()];
        let entry = graph_entry(value, &path, findings);
        let Value::String(written) = key else {
            findings.add(
                &path,
                format!("a graph id must be text; write it in quotes: \"{name}\""),
            );
            continue;
        };
        let graph_id = match GraphId::parse(written) {
            Ok(graph_id) => graph_id,
            Err(error) => {
                findings.add(&path, error.to_string());
                continue;
            }
        };
        if let Some(first) = seen.insert(graph_id.folded(), written.clone()) {
            findings.add(
                &path,
                format!("the graph {first:?} has the same id, for ids pay no regard to case"),
            );
        } else if let Some(entry) = entry {
            found.push((graph_id, entry));
        }
    }
    found
}

fn graph_entry(value: &Value, path: &[&str], findings: &mut Findings) -> Option<GraphEntry> {
    let at = |field: &'static str| -> Vec<&str> { path.iter().copied().chain([field]).collect() };
    let written: WrittenGraph = match value {
        Value::Null => {
            findings.add(&at("uri"), "missing; every graph needs a uri");
            return None;
        }
        value => typed(value, path, findings)?,
    };
    for (field, text) in [("uri", &written.uri), ("tenant", &written.tenant)] {
        if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            findings.add(&at(field), "must not be empty");
            return None;
        }
    }
    if written
        .policy
        .as_ref()
        .is_some_and(|policy| policy.file.trim().is_empty())
    {
        findings.add(&at("policy"), "the file must not be empty");
    }
    let Some(uri) = written.uri else {
        findings.add(&at("uri"), "missing; every graph needs a uri");
        return None;
    };
    Some(GraphEntry {
        uri,
        tenant: written.tenant,
        labels: written.labels.unwrap_or_default(),
        policy: written.policy,
        graph_type: written.graph_type,
    })
}

fn check_server(server: &Server, findings: &mut Findings) {
    check_bind(&server.bind, findings);
    let storage = server.storage.as_deref();
    check_place(&["server", "storage"], storage, findings);
    for root in server.allow_roots.iter().flatten() {
        if root.trim().is_empty() {
            let message = "a folder in this list must not be empty";
            findings.add(&["server", "allow_roots"], message);
        } else {
            check_place(&["server", "allow_roots"], Some(root), findings);
        }
    }
    if server
        .policy
        .as_ref()
        .is_some_and(|policy| policy.file.trim().is_empty())
    {
        findings.add(
            &["server", "policy", "file"],
            "must not be empty; leave policy out instead",
        );
    }
}

fn check_bind(bind: &str, findings: &mut Findings) {
    let expanded = match environment::expand(bind) {
        Ok(expanded) => expanded,
        Err(error) => return findings.add(&["server", "bind"], error.to_string()),
    };
    let port = expanded
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse::<u16>()));
    if !matches!(port, Some((host, Ok(_))) if !host.is_empty()) {
        let message = format!("{bind:?} is no address and port, such as 127.0.0.1:8080");
        findings.add(&["server", "bind"], message);
    }
}

/// A path that may be left out, and may name variables.
fn check_place(path: &[&str], written: Option<&str>, findings: &mut Findings) {
    match written.map(|written| (written.trim().is_empty(), environment::expand(written))) {
        Some((true, _)) => findings.add(path, "must not be empty; leave the key out instead"),
        Some((false, Err(error))) => findings.add(path, error.to_string()),
        Some((false, Ok(_))) | None => {}
    }
}

fn check_auth(auth: &Auth, findings: &mut Findings) {
    if !auth.issuers.is_empty() {
        findings.add(
            &["auth", "issuers"],
            "JWT issuers are not supported yet; remove them, for leaving them unread would be a hole",
        );
    }
    let tokens_file = auth.tokens_file.as_deref();
    check_place(&["auth", "tokens_file"], tokens_file, findings);
}
