//! What can be done without a server: is this config sound, is this policy?
//!
//! ```
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("trellis.yaml");
//! std::fs::write(&path, "version: 1\nservr: {}\n").unwrap();
//! let report = server::offline::check_config(&path);
//! assert!(report.findings[0].contains("servr"));
//! ```

use std::path::{Path, PathBuf};

use policy::{PolicyDocument, PolicySource};
use registry::checkup;
/// What a checkup finds.
pub use registry::checkup::{Finding, Grade};
use registry::config::ConfigFile;
use registry::{PolicyFileError, Reading, Snapshot, read_policy, with_causes};
use serde::Serialize;
/// Is this graph's folder sound, and what can be saved of it?
pub use storage_engine::{Store, doctor};

use crate::access::judge;

/// What was found. Sound when there is no finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What must be changed, each with its place where it has one.
    pub findings: Vec<String>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
    /// How many graphs a config declares, or how many policies a file has.
    pub count: usize,
}

impl Report {
    /// Whether nothing must be changed.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn of(finding: String) -> Self {
        Self {
            findings: vec![finding],
            ..Self::default()
        }
    }
}

/// Checks the config file, its tokens and every policy that it names. Changes nothing.
#[must_use]
pub fn check_config(path: &Path) -> Report {
    let read = ConfigFile::find(path).and_then(|file| Ok((file.read()?, file)));
    let (read, file) = match read {
        Ok(found) => found,
        Err(error) => return Report::of(with_causes(&error)),
    };
    let mut reading = Reading::of(&file, &read);
    let nothing = judge(&mut reading, &file, false);
    let warning = "neither tokens nor a policy: this starts with --unauthenticated only";
    Report {
        findings: reading.problems().iter().map(ToString::to_string).collect(),
        warnings: nothing.map(|_| warning.to_owned()).into_iter().collect(),
        count: reading.graphs(),
    }
}

/// What was found around a config file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkup {
    /// The config file.
    pub config: PathBuf,
    /// Whether there is no finding that is an error.
    pub sound: bool,
    /// By part: the file, its lock, who may write what, what crashes left, the disk, each graph.
    pub findings: Vec<Finding>,
}

/// Looks at a config file and everything that it names, as far as that goes without a server: the file, its
/// lock, permissions, the registry's own folder, the disk, and each graph with its own doctor. Changes
/// nothing. Blocks.
#[must_use]
pub fn check_up(path: &Path, depth: doctor::Depth) -> Checkup {
    let report = check_config(path);
    let told = |grade| move |what: String| Finding::new(grade, "config", what);
    let is_sound = report.is_sound();
    let mut findings: Vec<_> = report
        .findings
        .into_iter()
        .map(told(Grade::Error))
        .collect();
    findings.extend(report.warnings.into_iter().map(told(Grade::Warning)));
    if is_sound {
        let what = format!(
            "sound, with its tokens and policies; graphs: {}",
            report.count
        );
        findings.push(Finding::new(Grade::Ok, "config", what));
    }
    // When it is not there, the report has said so.
    if let Ok((file, read)) = ConfigFile::find(path).and_then(|file| {
        let read = file.read()?;
        Ok((file, read))
    }) {
        let snapshot = Snapshot::of(&file, &read).ok();
        findings.extend(checkup::examine(&file, &read, snapshot.as_ref(), depth));
    }
    Checkup {
        config: path.to_owned(),
        sound: findings.iter().all(|finding| finding.grade < Grade::Error),
        findings,
    }
}

/// Checks policy files, each by itself.
#[must_use]
pub fn check_policies(paths: &[PathBuf]) -> Report {
    let mut report = Report::default();
    for path in paths {
        match read_policy(path) {
            Ok(document) => {
                report.count += document.policy_ids().len();
                let name = document.name();
                let warnings = document.warnings().iter();
                report
                    .warnings
                    .extend(warnings.map(|warning| format!("{name}:{warning}")));
            }
            Err(PolicyFileError::Policy(error)) => report.findings.push(error.to_string()),
            Err(error) => report.findings.push(with_causes(&error)),
        }
    }
    report
}

/// Checks the text of a policy that is in no file.
#[must_use]
pub fn check_policy_text(name: &str, text: &str) -> Report {
    let source = PolicySource {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    match PolicyDocument::parse(source) {
        Ok(document) => Report {
            count: document.policy_ids().len(),
            warnings: document
                .warnings()
                .iter()
                .map(ToString::to_string)
                .collect(),
            ..Report::default()
        },
        Err(error) => Report::of(error.to_string()),
    }
}

/// A new token, to be shown to its owner once, and its SHA-256 for the tokens file.
pub fn new_token() -> Result<(String, String), policy::NoRandomness> {
    policy::new_token()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_checked_with_everything_that_it_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let config = write(
            "trellis.yaml",
            "version: 1\nserver: { storage: data, policy: { file: server.cedar } }\nauth: { tokens_file: tokens.yaml }\ngraphs:\n  alpha: { uri: data/alpha, policy: { file: alpha.cedar } }\n",
        );
        write("server.cedar", "permit (principal, action, resource);");
        write("tokens.yaml", "");
        write(
            "alpha.cedar",
            "permit (principal, action == Action::\"qurey\", resource);",
        );
        let report = check_config(&config);
        assert_eq!(report.findings.len(), 1, "{report:?}");
        assert!(
            report.findings[0].contains("graphs.alpha.policy")
                && report.findings[0].contains("qurey"),
            "{report:?}"
        );
        write(
            "alpha.cedar",
            "permit (principal, action == Action::\"query\", resource);",
        );
        let report = check_config(&config);
        assert!(report.is_sound() && report.count == 1, "{report:?}");
        write("tokens.yaml", "alice: { sha256: abc }");
        assert!(!check_config(&config).is_sound());
        write("tokens.yaml", "");
        write(
            "trellis.yaml",
            "version: 1\nserver: { storage: data, policy: { file: server.cedar } }\ngraphs:\n  a: { uri: data/a }\n  b: { uri: data/a/ }\n",
        );
        let report = check_config(&config);
        assert_eq!(report.findings.len(), 1, "what serve refuses: {report:?}");
        assert!(!check_config(&folder.path().join("none.yaml")).is_sound());
    }

    #[test]
    fn a_policy_is_checked_with_its_place() {
        let report = check_policy_text("a.cedar", "permit (principal, action, resource)");
        assert!(
            !report.is_sound() && report.findings[0].contains("a.cedar:1:"),
            "{report:?}"
        );
        let sound = check_policy_text("a.cedar", "permit (principal, action, resource);");
        assert!(sound.is_sound() && sound.count == 1, "{sound:?}");
    }
}
