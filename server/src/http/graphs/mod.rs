//! `/graphs`.

pub(super) mod create;
pub(super) mod list;
pub(super) mod show;

use std::hash::{DefaultHasher, Hash, Hasher};

/// The version of a registration: another one when anything in it that can be changed is changed.
fn etag(registration: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    registration.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}
