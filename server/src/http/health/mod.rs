//! `/healthz`.

pub(super) mod show;
