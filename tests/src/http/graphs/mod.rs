//! `/graphs`.

mod create;
mod delete;
mod list;
mod purge;
mod restore;
mod show;
mod update;
