//! What differs between the config file on the disk and the version that is served, and taking the new
//! one over: whole, or not at all.
//!
//! What the file means beyond its graphs (tokens, groups, the server's policy, limits) is for the server
//! to say: its [`Gate`] reads it first, refuses it or makes everything ready, and then lets both sides
//! change in one moment.

use std::sync::{Arc, Weak};

use serde::Serialize;
use serde_yaml::Value as Yaml;

use crate::config::store::ConfigText;
use crate::config::{self, Finding, Problem, Sections};
use crate::deleted;
use crate::durable::DiskError;
use crate::reading::Reading;
use crate::registration::Snapshot;
use crate::registry::Registry;
use crate::settle::{self, settle};
use crate::steps::Step;
use crate::{Digest, Error, with_causes};

/// Puts what was made ready in force. It calls what it is given, once, in the moment in which the
/// graphs must change with the rest.
pub type Install = Box<dyn FnOnce(&mut dyn FnMut()) + Send>;

/// Who reads the sections of the file that are not about graphs.
pub trait Gate: Send + Sync {
    /// Makes everything ready for a new version, or says everything that is wrong with it; with a section
    /// missing it makes nothing ready, and says what is wrong with the others. Changes nothing.
    fn prepare(&self, next: Sections<'_>) -> Result<Install, Vec<Finding>>;
}

/// How one key differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigChange {
    /// The key, dotted: `graphs.alpha.tenant`.
    pub path: String,
    /// In which way.
    pub kind: ChangeKind,
    /// What is served; `None` when nothing is.
    pub before: Option<serde_json::Value>,
    /// What stands in the file; `None` when nothing does.
    pub after: Option<serde_json::Value>,
}

/// In which way a key differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is only in the file.
    Added,
    /// It is only in the served version.
    Removed,
    /// It is in both, with another value.
    Changed,
}

/// How the file on the disk stands to what is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftReport {
    /// Whether it is another one, written by somebody else.
    pub drifted: bool,
    /// Of the served version.
    pub baseline: Digest,
    /// Of the file; `None` when it cannot be read.
    pub on_disk: Option<Digest>,
    /// What differs, in the order of the file.
    pub changes: Vec<ConfigChange>,
    /// What is wrong with the file: with any, it cannot be taken over.
    pub problems: Vec<Problem>,
}

/// What is done with a file that is found sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Nothing: only what would change is told.
    DryRun,
    /// It is served from now on.
    Apply,
}

impl Registry {
    /// Says who reads the rest of the file; once, before anybody reloads.
    pub fn set_gate(&self, gate: Weak<dyn Gate>) {
        if self.gate.set(gate).is_err() {
            tracing::error!("a defect: the gate of the registry is set twice");
        }
    }

    /// What differs, and what is wrong with it. Changes nothing.
    pub fn drift_report(&self) -> Result<DriftReport, Error> {
        let served = self.snapshot();
        if let Err(error) = self.file().read() {
            return Ok(DriftReport {
                drifted: true,
                baseline: served.digest,
                on_disk: None,
                changes: Vec::new(),
                problems: vec![unreadable(&error)],
            });
        }
        let (read, drift) = self.look()?;
        let problems = match self.examine(&read) {
            Ok(_) => Vec::new(),
            Err(Error::InvalidConfig { problems, .. }) => problems,
            Err(error) => return Err(error),
        };
        Ok(DriftReport {
            drifted: drift == config::Drift::Drifted,
            baseline: served.digest,
            on_disk: Some(read.digest),
            changes: changes(&served.text, &read.text),
            problems,
        })
    }

    /// Serves the file as it is on the disk, whoever changed it, with its tokens and policies read
    /// again; every problem is in the error, and then the old version stays. Says what changed.
    pub fn reload(&self, reload: Reload) -> Result<Vec<ConfigChange>, Error> {
        let _lock = self.lock()?;
        let read = self.file().read();
        let read = read.map_err(|error| Error::InvalidConfig {
            path: self.file().path().to_owned(),
            problems: vec![unreadable(&error)],
        })?;
        // Changes no byte of the file.
        settle(self.file(), self.options())?;
        let (next, install) = self.examine(&read)?;
        let changes = changes(&self.snapshot().text, &read.text);
        if reload == Reload::Apply {
            if !self.file().is_borrowed() {
                settle::accept_restored(self.file(), &next.graphs, self.options())?;
            }
            self.install(next, install);
            self.after(Step::Published)?;
        }
        Ok(changes)
    }

    /// Reads all of the file, with everything that it names.
    fn examine(&self, read: &ConfigText) -> Result<(Snapshot, Option<Install>), Error> {
        let served = self.snapshot();
        // A graph's own policy is read again, for its file may be another one by now.
        let known = served.graphs.iter();
        let known = known
            .filter(|(_, graph)| graph.policy_file.is_none())
            .map(|(graph_id, graph)| (graph_id.clone(), graph.clone()))
            .collect();
        let mut reading = Reading::with(self.file(), read, &known);
        reading.judge_claims(&deleted::kept(self.file())?);
        reading.judge_policies();
        let prepared = self.gate().map(|gate| gate.prepare(reading.sections()));
        let install = match prepared {
            Some(Ok(install)) => Some(install),
            Some(Err(findings)) => {
                reading.add(findings);
                None
            }
            None => None,
        };
        Ok((reading.into_snapshot()?, install))
    }

    /// Under the lock: serves what another process of ours wrote. When more than graphs is another,
    /// all of it is read as for a reload.
    pub(crate) fn adopt(&self, read: &ConfigText) -> Result<Arc<Snapshot>, Error> {
        let served = self.snapshot();
        let next = Reading::with(self.file(), read, &served.graphs).into_snapshot()?;
        if next.config == served.config {
            return Ok(self.publish(next));
        }
        let (next, install) = self.examine(read)?;
        self.install(next, install);
        Ok(self.snapshot())
    }

    fn install(&self, next: Snapshot, install: Option<Install>) {
        self.listed.forget();
        let mut next = Some(next);
        let mut publish = || {
            if let Some(next) = next.take() {
                self.publish(next);
            }
        };
        if let Some(install) = install {
            install(&mut publish);
        }
        publish();
    }

    fn gate(&self) -> Option<Arc<dyn Gate>> {
        self.gate.get().and_then(Weak::upgrade)
    }
}

/// Of a file that is not there, or is no text.
fn unreadable(error: &DiskError) -> Problem {
    Problem {
        path: String::new(),
        message: with_causes(error),
        line: None,
        column: None,
    }
}

/// What differs between two texts; nothing when one of them cannot be read.
#[must_use]
pub fn changes(before: &str, after: &str) -> Vec<ConfigChange> {
    let mut found = Vec::new();
    if let (Some(before), Some(after)) = (document(before), document(after)) {
        compare(&mut Vec::new(), Some(&before), Some(&after), &mut found);
    }
    found
}

fn document(text: &str) -> Option<Yaml> {
    config::yaml::read(text).ok()
}

fn compare(
    path: &mut Vec<String>,
    before: Option<&Yaml>,
    after: Option<&Yaml>,
    found: &mut Vec<ConfigChange>,
) {
    // A key that is there and holds nothing says as little as one that is not there.
    let some = |value: Option<&Yaml>| value.filter(|value| !value.is_null()).cloned();
    let kind = match (some(before), some(after)) {
        (None, None) => return,
        (None, Some(Yaml::Mapping(_))) | (Some(Yaml::Mapping(_)), None) if path.len() < 2 => {
            return below(path, before, after, found);
        }
        (None, Some(_)) => ChangeKind::Added,
        (Some(_), None) => ChangeKind::Removed,
        (Some(Yaml::Mapping(_)), Some(Yaml::Mapping(_))) => {
            return below(path, before, after, found);
        }
        (Some(before), Some(after)) if before == after => return,
        (Some(_), Some(_)) => ChangeKind::Changed,
    };
    let json = |value: Option<&Yaml>| some(value).map(|value| json(&value));
    found.push(ConfigChange {
        path: path.join("."),
        kind,
        before: json(before),
        after: json(after),
    });
}

/// Key by key: those of the served version in their order, then the new ones.
fn below(
    path: &mut Vec<String>,
    before: Option<&Yaml>,
    after: Option<&Yaml>,
    found: &mut Vec<ConfigChange>,
) {
    let keys = |value: Option<&'_ Yaml>| -> Vec<Yaml> {
        let mapping = value.and_then(Yaml::as_mapping);
        mapping
            .map(|mapping| mapping.keys().cloned().collect())
            .unwrap_or_default()
    };
    let mut all = keys(before);
    let of_before: std::collections::HashSet<Yaml> = all.iter().cloned().collect();
    all.extend(
        keys(after)
            .into_iter()
            .filter(|key| !of_before.contains(key)),
    );
    let at = |value: Option<&'_ Yaml>, key: &Yaml| -> Option<Yaml> {
        value.and_then(Yaml::as_mapping)?.get(key).cloned()
    };
    for key in all {
        path.push(
            key.as_str()
                .map_or_else(|| json(&key).to_string(), str::to_owned),
        );
        compare(
            path,
            at(before, &key).as_ref(),
            at(after, &key).as_ref(),
            found,
        );
        path.pop();
    }
}

fn json(value: &Yaml) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Yaml::Null => Json::Null,
        Yaml::Bool(value) => (*value).into(),
        Yaml::Number(number) => serde_json::to_value(number).unwrap_or_default(),
        Yaml::String(text) => text.as_str().into(),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(mapping) => mapping
            .iter()
            .map(|(key, value)| {
                let key = key
                    .as_str()
                    .map_or_else(|| json(key).to_string(), str::to_owned);
                (key, json(value))
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Yaml::Tagged(tagged) => json(&tagged.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_by_its_path() {
        let before = "version: 1\nserver: { bind: a, storage: d }\ngraphs:\n  a: { uri: x, tenant: t }\n  b: { uri: y }\n";
        let after = "version: 1 # same\nserver:\n  bind: b\n  log: { level: info }\ngroups: { g: [x] }\ngraphs:\n  a: { uri: x, tenant: u, labels: { k: v } }\n  c: { uri: z }\n";
        let told: Vec<_> = changes(before, after)
            .into_iter()
            .map(|change| {
                let side = |value: Option<serde_json::Value>| {
                    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
                };
                format!(
                    "{} {:?} {} {}",
                    change.path,
                    change.kind,
                    side(change.before),
                    side(change.after)
                )
            })
            .collect();
        let expect = [
            "server.bind Changed \"a\" \"b\"",
            "server.storage Removed \"d\" -",
            "server.log Added - {\"level\":\"info\"}",
            "graphs.a.tenant Changed \"t\" \"u\"",
            "graphs.a.labels Added - {\"k\":\"v\"}",
            "graphs.b Removed {\"uri\":\"y\"} -",
            "graphs.c Added - {\"uri\":\"z\"}",
            "groups.g Added - [\"x\"]",
        ];
        assert_eq!(told, expect);
        assert_eq!(changes(after, after), []);
        assert_eq!(changes("version: 1\ngraphs: {}\n", "version: 1\n"), []);
        assert_eq!(changes("version: 1\n", "version: [1\n"), []);
    }
}
