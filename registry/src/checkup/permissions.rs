//! Who may read and write what, as seen by the user that looks.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{Finding, Grade, counted};
use crate::config::ConfigFile;
use crate::{Snapshot, environment};

const PART: &str = "permissions";

pub(super) fn examine(file: &ConfigFile, snapshot: Option<&Snapshot>) -> Vec<Finding> {
    let mut findings = config(file);
    let state = file.state_folder();
    let mut folders = vec![file.folder().to_owned(), state.clone()];
    for name in ["intents", "deleted", "purged", "answers", "wanted"] {
        folders.push(state.join(name));
    }
    let mut seen = 0;
    for folder in folders {
        match may(
            &folder,
            Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK,
        ) {
            Some(true) => seen += 1,
            Some(false) => findings.push(
                Finding::new(
                    Grade::Warning,
                    PART,
                    format!("{} cannot be written", folder.display()),
                )
                .advise("the file can be served, and graphs cannot be created or changed"),
            ),
            None => {}
        }
    }
    if let Some(snapshot) = snapshot {
        findings.extend(storage(file, snapshot));
        findings.extend(tokens(file, snapshot));
    }
    if findings.is_empty() {
        let user = rustix::process::geteuid().as_raw();
        let what = format!(
            "the user {user} may change the config file and {}",
            counted(seen, "folder")
        );
        findings.push(Finding::new(Grade::Ok, PART, what));
    }
    findings
}

/// Whether this user may; `None` when it is not there.
fn may(path: &Path, access: Access) -> Option<bool> {
    path.try_exists()
        .ok()?
        .then(|| rustix::fs::access(path, access).is_ok())
}

fn config(file: &ConfigFile) -> Vec<Finding> {
    let path = file.path();
    let mut findings = Vec::new();
    let Ok(found) = fs::metadata(path) else {
        return findings;
    };
    let warn = |what: String| {
        Finding::new(Grade::Warning, PART, what)
            .advise("it can be served, and graphs cannot be created or changed")
    };
    let user = rustix::process::geteuid();
    let mode = found.mode() & 0o7777;
    if mode & 0o002 != 0 {
        let what = format!("{} has the mode {mode:03o}", path.display());
        findings.push(
            Finding::new(Grade::Error, PART, what)
                .advise("everybody on this machine can change who may do what: chmod o-w"),
        );
    }
    if found.mode() & 0o222 == 0 {
        findings.push(warn(format!("{} is read-only", path.display())));
    } else if may(path, Access::WRITE_OK) == Some(false) {
        findings.push(warn(format!("{} cannot be written", path.display())));
    } else if found.uid() != user.as_raw() && !user.is_root() {
        findings.push(warn(format!(
            "{} belongs to the user {}, and only that user or root can replace it and leave it theirs; this is the user {}",
            path.display(),
            found.uid(),
            user.as_raw()
        )));
    }
    findings
}

fn storage(file: &ConfigFile, snapshot: &Snapshot) -> Option<Finding> {
    let written = snapshot.config.server.storage.as_deref()?;
    let expanded = environment::expand(written).ok()?;
    if expanded.contains("://") {
        return None;
    }
    let folder: PathBuf = file.resolve(&expanded);
    match may(
        &folder,
        Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK,
    ) {
        Some(true) => None,
        Some(false) => {
            let what = format!("server.storage, {}, cannot be written", folder.display());
            Some(Finding::new(Grade::Error, PART, what).advise("no graph can be created there"))
        }
        None => {
            let what = format!("server.storage, {}, is not there yet", folder.display());
            Some(Finding::new(Grade::Note, PART, what).advise("the first graph makes it"))
        }
    }
}

fn tokens(file: &ConfigFile, snapshot: &Snapshot) -> Option<Finding> {
    let written = snapshot.config.auth.tokens_file.as_deref()?;
    let path = file.resolve(&environment::expand(written).ok()?);
    let mode = fs::metadata(&path).ok()?.mode() & 0o7777;
    let what = format!("{} has the mode {mode:03o}", path.display());
    if mode & 0o002 != 0 {
        let finding = Finding::new(Grade::Error, PART, what);
        return Some(
            finding.advise("everybody on this machine can give themselves a token: chmod 600"),
        );
    }
    let readable = mode & 0o004 != 0;
    readable.then(|| {
        Finding::new(Grade::Note, PART, what)
            .advise("everybody on this machine can read the digests of the tokens")
    })
}
