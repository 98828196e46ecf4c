//! `/graphs`.

pub(super) mod create;
pub(super) mod delete;
pub(super) mod list;
pub(super) mod purge;
pub(super) mod restore;
pub(super) mod retry;
pub(super) mod show;
pub(super) mod update;

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::app::graphs::Versioned;

/// With the version of its registration as `ETag`.
fn tagged(answer: Versioned<impl Serialize>) -> Response {
    let etag = [(header::ETAG, format!("\"{}\"", answer.version))];
    (etag, Json(answer.body)).into_response()
}
