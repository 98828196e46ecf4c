//! Everything below a folder, with a digest of every file: two listings that are equal mean that
//! nothing on the disk has changed, hidden files included.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What is below a folder, by its path in it.
pub(crate) type Listing = BTreeMap<PathBuf, String>;

/// Lists `folder`. Links are told by where they point, and not followed.
pub(crate) fn of(folder: &Path) -> Listing {
    let mut found = Listing::new();
    walk(folder, folder, &mut found);
    found
}

fn walk(root: &Path, folder: &Path, found: &mut Listing) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        let what = if path.is_symlink() {
            format!("-> {}", fs::read_link(&path).expect("a link").display())
        } else if path.is_dir() {
            walk(root, &path, found);
            "folder".to_owned()
        } else {
            hex::encode(Sha256::digest(fs::read(&path).expect("a readable file")))
        };
        let name = path.strip_prefix(root).expect("below the root").to_owned();
        found.insert(name, what);
    }
}

/// What differs, a line each: for messages of failures.
pub(crate) fn differences(before: &Listing, after: &Listing) -> Vec<String> {
    let gone = before
        .keys()
        .filter(|path| !after.contains_key(*path))
        .map(|path| format!("- {}", path.display()));
    let new = after
        .iter()
        .filter(|(path, what)| before.get(*path) != Some(what))
        .map(|(path, _)| {
            let mark = if before.contains_key(path) { '~' } else { '+' };
            format!("{mark} {}", path.display())
        });
    gone.chain(new).collect()
}

#[test]
fn every_change_is_seen() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("deep")).expect("a folder");
    for name in ["deep/.same", "changed", "gone"] {
        fs::write(at(name), "before").expect("a file");
    }
    let before = of(folder.path());
    assert!(differences(&before, &of(folder.path())).is_empty());
    fs::write(at("changed"), "after!").expect("a file");
    fs::write(at("deep/new"), "").expect("a file");
    fs::remove_file(at("gone")).expect("a file less");
    assert_eq!(
        differences(&before, &of(folder.path())),
        ["- gone", "~ changed", "+ deep/new"]
    );
}
