//! `schema`.

pub(super) mod show;
