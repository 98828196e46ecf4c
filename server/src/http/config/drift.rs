//! `GET /admin/config/drift`.

use api_types::ConfigDrift;
use axum::Json;
use axum::extract::State;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Caller, NoParameters};
use crate::http::failure::Failure;

problems!(Problems: InvalidRequest, Unauthenticated, Forbidden, Internal, Unavailable);

/// Says what somebody has changed in the config file.
#[utoipa::path(
    get,
    path = "/admin/config/drift",
    operation_id = "config_drift",
    tag = "server",
    summary = "What was changed in the config file",
    description = "What differs between the config file and what is served, key by key, and what is \
        wrong with it. Changes nothing.",
    responses(
        (status = 200, description = "How the file stands.", body = ConfigDrift),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("config_read"))),
)]
pub(in crate::http) async fn drift(
    State(site): State<Site>,
    Caller(principal): Caller,
    _: NoParameters,
) -> Result<Json<ConfigDrift>, Failure> {
    Ok(Json(app::config::drift::run(&site.app, &principal).await?))
}
