//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::repository;

/// A source file.
pub(super) struct Source {
    /// Relative to the repository, with `/`.
    pub(super) path: String,
    /// All of it.
    pub(super) text: String,
}

/// Every Rust file of ours, sorted by path.
pub(super) fn rust() -> Vec<Source> {
    let root = repository();
    let mut paths = Vec::new();
    walk(root, &mut paths);
    paths.sort();
    let sources: Vec<_> = paths
        .into_iter()
        .map(|path| Source {
            path: path
                .strip_prefix(root)
                .expect("below the root")
                .display()
                .to_string(),
            text: fs::read_to_string(&path).expect("a readable source file"),
        })
        .collect();
    assert!(
        sources.len() > 50,
        "found only {} files: is this the repository?",
        sources.len()
    );
    sources
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                walk(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}
