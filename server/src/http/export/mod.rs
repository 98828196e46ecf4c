//! `export`.

pub(super) mod run;
