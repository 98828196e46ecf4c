//! `/graphs/{id}/query`.

mod run;
