//! `/whoami`.

pub(super) mod show;
