//! `load`.

pub(super) mod run;
