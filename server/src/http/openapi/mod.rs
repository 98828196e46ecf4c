//! `/openapi.json`.

pub(super) mod show;
