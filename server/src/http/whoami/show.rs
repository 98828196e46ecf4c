//! `GET /whoami`.

use api_types::Whoami;
use axum::Json;

use crate::app;
use crate::http::document::problems;
use crate::http::extract::Caller;

problems!(Problems: Unauthenticated, Internal);

/// Says who the credential stands for.
#[utoipa::path(
    get,
    path = "/whoami",
    operation_id = "whoami_show",
    tag = "server",
    summary = "Who the credential stands for",
    description = "Needs a valid credential, and no permission.",
    responses((status = 200, description = "The principal.", body = Whoami), Problems),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("public"))),
)]
pub(in crate::http) async fn show(Caller(principal): Caller) -> Json<Whoami> {
    Json(app::whoami::run(&principal))
}
