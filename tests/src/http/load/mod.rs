//! `/graphs/{id}/load`.

mod run;
