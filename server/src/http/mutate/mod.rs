//! `mutate`.

pub(super) mod run;
