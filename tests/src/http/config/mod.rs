//! `/admin/config`.

mod drift;
mod reload;
