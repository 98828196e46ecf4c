//! `query`.

pub(super) mod explain;
pub(super) mod run;
