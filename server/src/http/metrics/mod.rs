//! `/metrics`.

pub(super) mod show;
