//! `/readyz`.

pub(super) mod show;
