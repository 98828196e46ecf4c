//! `query`.

pub(super) mod run;
