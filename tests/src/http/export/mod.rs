//! `/graphs/{id}/export`.

mod run;
