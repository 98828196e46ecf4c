//! `/readyz`.

mod show;
