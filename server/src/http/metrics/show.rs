//! `GET /metrics`.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{MaybeCaller, NoParameters};
use crate::http::failure::Failure;

problems!(Problems: InvalidRequest, Unauthenticated, Forbidden, Internal);

/// Gives what is counted, for a monitoring system.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics_show",
    tag = "server",
    summary = "What is counted",
    description = "In the text format of Prometheus. Without a credential only where the config says \
        `server.metrics_open`.",
    responses(
        (
            status = 200,
            description = "The metrics.",
            body = String,
            content_type = "text/plain; version=0.0.4"
        ),
        Problems
    ),
    security((), ("bearer" = [])),
    extensions(("x-cedar-action" = json!("metrics_read"))),
)]
pub(in crate::http) async fn show(
    State(site): State<Site>,
    MaybeCaller(principal): MaybeCaller,
    _: NoParameters,
) -> Result<Response, Failure> {
    let text = app::metrics::run(&site.app, principal.as_ref()).await?;
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}
