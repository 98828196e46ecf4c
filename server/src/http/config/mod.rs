//! `/admin/config`.

pub(super) mod drift;
pub(super) mod reload;
