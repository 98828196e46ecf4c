//! `/metrics`.

mod show;
