//! `/graphs/{id}/query`.

mod explain;
mod run;
