//! `/whoami`.

mod show;
