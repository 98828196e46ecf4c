//! `GET /openapi.json`.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::http::Site;

/// Gives the document of what is mounted.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi_show",
    tag = "server",
    summary = "This document",
    description = "As it is mounted now: without security when the server runs open.",
    responses((
        status = 200,
        description = "The OpenAPI document of this server as it runs.",
        content_type = "application/json",
        body = Object
    )),
    extensions(("x-cedar-action" = json!("public"))),
)]
pub(in crate::http) async fn show(State(site): State<Site>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], site.document.clone()).into_response()
}
