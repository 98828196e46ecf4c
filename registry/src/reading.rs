//! One reading of the config file: what can be understood of it, and everything that is wrong with it.
//!
//! It is judged in stages: the text, the places of graphs, their policies, and what the other sections name,
//! which is for the server to read. Each stage judges what those before it could understand, so that one
//! reading tells as much as can be told.

use std::path::Path;
use std::sync::Arc;

use crate::config::parse::{self, Parts};
use crate::config::store::ConfigText;
use crate::config::{ConfigFile, Finding, Problem, Sections};
use crate::deleted::{self, Deleted};
use crate::policy_file::read_policy;
use crate::registration::{self, Graphs, Snapshot};
use crate::{Digest, Error, with_causes};

/// One reading of the config file.
#[derive(Debug)]
pub struct Reading<'a> {
    file: &'a ConfigFile,
    text: &'a str,
    digest: Digest,
    /// Its graphs are in `graphs`.
    parts: Parts,
    graphs: Graphs,
    /// That it is no YAML.
    syntax: Option<Problem>,
    findings: Vec<Finding>,
}

impl<'a> Reading<'a> {
    /// Judges a text and its graphs' places; their policies are read. Changes nothing.
    #[must_use]
    pub fn of(file: &'a ConfigFile, read: &'a ConfigText) -> Self {
        Self::with(file, read, &Graphs::new())
    }

    /// The same; a graph that is as it is in `known` is not read again.
    pub(crate) fn with(file: &'a ConfigFile, read: &'a ConfigText, known: &Graphs) -> Self {
        let mut reading = Self {
            file,
            text: &read.text,
            digest: read.digest,
            parts: Parts::default(),
            graphs: Graphs::new(),
            syntax: None,
            findings: Vec::new(),
        };
        match parse::understand(&read.text) {
            Ok(understood) => {
                reading.parts = understood.parts;
                reading.findings = understood.findings;
            }
            Err(problem) => {
                reading.syntax = Some(problem);
                return reading;
            }
        }
        let findings = &mut reading.findings;
        let graphs = std::mem::take(&mut reading.parts.graphs);
        let mut settled = registration::settle_places(file, graphs, known, findings);
        if let Some(only) = file.only_graph() {
            let only = registration::only(only, settled, findings);
            settled = only.into_iter().collect();
        }
        reading.graphs = registration::with_policies(file, settled, known);
        reading
    }

    /// What the other sections say, as far as they can be understood.
    #[must_use]
    pub fn sections(&self) -> Sections<'_> {
        Sections {
            server: self.parts.server.as_ref(),
            auth: self.parts.auth.as_ref(),
            groups: self.parts.groups.as_ref(),
        }
    }

    /// How many graphs could be understood.
    #[must_use]
    pub fn graphs(&self) -> usize {
        self.graphs.len()
    }

    /// Adds the graphs that are in the way of deleted ones.
    pub(crate) fn judge_claims(&mut self, kept: &[Deleted]) {
        self.add(deleted::claimed(kept, &self.graphs));
    }

    /// Adds what is wrong with the graphs' own policies, which closes a graph and stops no server. No word
    /// of what is in such a file is told.
    pub fn judge_policies(&mut self) {
        self.add_policies(|_, reason| reason.to_owned());
    }

    /// The same for whoever may read those files: every word.
    pub fn judge_policies_in_full(&mut self) {
        self.add_policies(|path, reason| match read_policy(path) {
            Err(error) => with_causes(&error),
            Ok(_) => reason.to_owned(),
        });
    }

    fn add_policies(&mut self, tell: impl Fn(&Path, &str) -> String) {
        let broken = self.graphs.values().filter_map(|graph| {
            let (file, reason) = (graph.policy_file.as_deref()?, graph.broken_policy()?);
            let path = ["graphs", graph.graph_id.as_str(), "policy", "file"];
            Some((path.map(str::to_owned).into(), tell(file, reason)))
        });
        let broken = broken.collect();
        self.add(broken);
    }

    /// Adds what a later stage found, but for keys that an earlier one found wrong already.
    pub fn add(&mut self, findings: Vec<Finding>) {
        let told: Vec<_> = self.findings.iter().map(|(path, _)| path.clone()).collect();
        let is_new = |path: &[String]| {
            let same = |told: &Vec<String>| told.starts_with(path) || path.starts_with(told);
            path.is_empty() || !told.iter().any(|told| !told.is_empty() && same(told))
        };
        let new = findings.into_iter().filter(|(path, _)| is_new(path));
        self.findings.extend(new);
    }

    /// Everything that was found wrong, in the order of the file where its place is known.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.syntax.iter().cloned().collect();
        if !self.findings.is_empty() {
            problems.extend(parse::place(self.text, self.findings.clone()));
        }
        problems
    }

    /// The version that it would be served as.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] with every problem that was found.
    pub fn into_snapshot(self) -> Result<Snapshot, Error> {
        let problems = self.problems();
        match self.parts.whole() {
            Some(config) if problems.is_empty() => Ok(Snapshot {
                digest: self.digest,
                text: self.text.into(),
                config: Arc::new(config),
                graphs: self.graphs,
            }),
            _ => Err(Error::InvalidConfig {
                path: self.file.path().to_owned(),
                problems,
            }),
        }
    }
}
