//! Every operation has its tests where they are looked for: `tests/src/http` mirrors
//! `server/src/http`.

use super::sources::rust;
use crate::harness::repository;

#[test]
fn every_handler_has_a_file_of_tests() {
    let sources = rust();
    let handlers: Vec<_> = sources
        .iter()
        .filter_map(|source| source.path.strip_prefix("server/src/http/"))
        .filter(|path| path.contains('/') && !path.ends_with("/mod.rs"))
        .filter(|path| !path.starts_with("tests/"))
        .collect();
    assert!(handlers.len() > 8, "found only {handlers:?}");
    let without: Vec<_> = handlers
        .into_iter()
        .filter(|path| !repository().join("tests/src/http").join(path).is_file())
        .collect();
    assert!(without.is_empty(), "no tests of {without:?}");
}
