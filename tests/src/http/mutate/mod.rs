//! `/graphs/{id}/mutate`.

mod run;
