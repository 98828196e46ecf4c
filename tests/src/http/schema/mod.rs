//! `/graphs/{id}/schema`.

mod show;
