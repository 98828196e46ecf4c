//! `/graphs`.

mod create;
mod delete;
mod list;
mod purge;
mod restore;
mod retry;
mod show;
mod update;
