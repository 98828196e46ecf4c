//! `/healthz`.

mod show;
