//! Each declared graph: whether it is where the file says, whose it is, and what its own doctor says.

use std::collections::BTreeMap;

use storage_engine::Store;
use storage_engine::doctor::{self, Depth, Severity};
use uuid::Uuid;

use super::{Finding, Grade, counted};
use crate::config::ConfigFile;
use crate::deleted::{self, is_deleted};
use crate::intent::{self, Found};
use crate::registration::Registration;
use crate::{Snapshot, uri, with_causes};

pub(super) fn examine(file: &ConfigFile, snapshot: &Snapshot, depth: Depth) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut carried: BTreeMap<Uuid, &str> = BTreeMap::new();
    let kept = deleted::kept(file).unwrap_or_default();
    for (key, problem) in deleted::claimed(&kept, &snapshot.graphs) {
        findings.push(Finding::new(Grade::Error, key.join("."), problem));
    }
    for graph in snapshot.graphs.values() {
        let part = format!("graphs.{}", graph.graph_id);
        let place = graph.uri.canonical();
        match is_deleted(&file.state_folder(), place) {
            Ok(true) => findings.push(
                Finding::new(
                    Grade::Warning,
                    &part,
                    "it stands in the file and is deleted as well",
                )
                .advise("trellis config reload, or a start of the server, restores it"),
            ),
            Ok(false) => {}
            Err(error) => findings.push(Finding::new(Grade::Error, &part, with_causes(&error))),
        }
        let wrong =
            |what: String, advice: &str| Finding::new(Grade::Error, &part, what).advise(advice);
        let shown = place.display();
        let finding = match intent::look(place) {
            Ok(Found::Graph(uuid)) => {
                if let Some(other) = carried.insert(uuid, graph.graph_id.as_str()) {
                    let what = format!("it carries the uuid of the graph {other}, {uuid}");
                    findings.push(Finding::new(Grade::Warning, &part, what).advise(
                        "one is a copy of the other, and to purge either asks for the uuid alone",
                    ));
                }
                diagnosed(graph, uuid, depth, &part)
            }
            Ok(Found::Absent) => wrong(
                format!("there is nothing at {shown}"),
                "correct its uri, or take it out of the file",
            ),
            Ok(Found::Empty) => wrong(
                format!("the folder {shown} is empty"),
                "graphs are created by `trellis graph create`; an entry alone makes none",
            ),
            Ok(Found::Other) => wrong(
                format!("{shown} is no graph: it has no readable graph.json"),
                "correct its uri, or take it out of the file",
            ),
            Err(error) => wrong(with_causes(&error), "see that it can be reached"),
        };
        findings.push(finding);
    }
    findings
}

fn diagnosed(graph: &Registration, uuid: Uuid, depth: Depth, part: &str) -> Finding {
    let place = graph.uri.canonical();
    let store = match uri::is_remote(place) {
        true => match Store::at(&place.to_string_lossy()) {
            Ok(store) => store,
            Err(error) => return Finding::new(Grade::Error, part, with_causes(&error)),
        },
        false => place.into(),
    };
    let diagnosis = match doctor::examine(store, depth) {
        Ok(diagnosis) => diagnosis,
        Err(error) => return Finding::new(Grade::Error, part, with_causes(&error)),
    };
    let count = |severity| {
        let findings = diagnosis.findings.iter();
        findings.filter(|it| it.severity == severity).count()
    };
    let last = diagnosis.last_commit.as_ref();
    let last = last.map_or_else(String::new, |last| format!(", {last}"));
    let advice = format!("trellis doctor {}", place.display());
    if !diagnosis.sound {
        let what = format!(
            "it is damaged: {}",
            counted(count(Severity::Damage), "finding")
        );
        return Finding::new(Grade::Error, part, what).advise(advice);
    }
    match count(Severity::Warning) {
        0 => Finding::new(Grade::Ok, part, format!("it is sound: uuid {uuid}{last}")),
        warnings => {
            let what = format!(
                "it is sound, with {}: uuid {uuid}{last}",
                counted(warnings, "warning")
            );
            Finding::new(Grade::Warning, part, what).advise(advice)
        }
    }
}
