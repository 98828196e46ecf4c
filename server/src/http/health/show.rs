//! `GET /healthz`.

use api_types::{Health, HealthStatus};
use axum::Json;

/// Says that the process runs.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "health_show",
    tag = "server",
    summary = "Whether the process runs",
    description = "Says nothing of the graphs; `/readyz` does.",
    responses((status = 200, description = "It runs.", body = Health)),
    extensions(("x-cedar-action" = json!("public"))),
)]
pub(in crate::http) async fn show() -> Json<Health> {
    Json(Health {
        status: HealthStatus::Ok,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
