//! `GET /readyz`.

use api_types::Readiness;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::MaybeCaller;
use crate::http::failure::Failure;

problems!(Problems: Unauthenticated, Internal);

/// Says whether requests should be sent here.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "ready_show",
    tag = "server",
    summary = "Whether the server takes requests",
    description = "Without a credential only `ready` is told. A wrong credential is refused.",
    responses(
        (status = 200, description = "It takes requests.", body = Readiness),
        (status = 503, description = "It does not, or not yet, or not any more.", body = Readiness),
        Problems
    ),
    security((), ("bearer" = [])),
    extensions(("x-cedar-action" = json!("public"))),
)]
pub(in crate::http) async fn show(
    State(site): State<Site>,
    MaybeCaller(principal): MaybeCaller,
) -> Result<(StatusCode, Json<Readiness>), Failure> {
    let readiness = app::readiness::run(&site.app, principal.as_ref()).await?;
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok((status, Json(readiness)))
}
