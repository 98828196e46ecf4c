//! `POST /admin/config/reload`.

use api_types::{ReloadConfigRequest, ReloadedConfig};
use axum::Json;
use axum::extract::State;

use crate::app;
use crate::http::Site;
use crate::http::body::Body;
use crate::http::document::problems;
use crate::http::extract::{Caller, NoParameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, InvalidJson, InvalidConfig, Unauthenticated, Forbidden, RequestTimeout,
    BodyTooLarge, UnsupportedMediaType, Internal, Unavailable, ShuttingDown
);

/// Takes over the config file as it is on the disk.
#[utoipa::path(
    post,
    path = "/admin/config/reload",
    operation_id = "config_reload",
    tag = "server",
    summary = "Apply the config file",
    description = "Graphs, policies, tokens, groups and limits are replaced all together or not at all, \
        without a restart. A file with errors is refused with every one of them, and the old one stays \
        in force.",
    request_body(
        content = ReloadConfigRequest,
        description = "Whether it is only to be checked.",
        content_type = "application/json"
    ),
    responses(
        (status = 200, description = "What came of it.", body = ReloadedConfig),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("config_reload"))),
)]
pub(in crate::http) async fn reload(
    State(site): State<Site>,
    Caller(principal): Caller,
    _: NoParameters,
    Body(request): Body<ReloadConfigRequest>,
) -> Result<Json<ReloadedConfig>, Failure> {
    Ok(Json(
        app::config::reload::run(&site.app, &principal, request).await?,
    ))
}
