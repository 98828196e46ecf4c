//! `POST load`.

use api_types::{LoadParameters, LoadResponse};
use axum::Json;
use axum::extract::State;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, Id, Lines, Parameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, InvalidRows, Unauthenticated, Forbidden, GraphNotFound, BranchNotFound,
    RequestTimeout, BodyTooLarge, UnsupportedMediaType, MemoryLimit, Internal, GraphLocked,
    GraphQuarantined, Unavailable, OutcomeUnknown, ShuttingDown, TooManyWrites
);

/// Loads a file in one commit.
#[utoipa::path(
    post,
    path = "/load",
    operation_id = "load_run",
    tag = "data",
    summary = "Load a file in one commit",
    description = "One record a line: `{\"type\": \"Person\", \"data\": {...}}` or `{\"edge\": \
        \"Knows\", \"from\": ..., \"to\": ..., \"data\": {...}}`. All of it or nothing: the first \
        hundred errors are told with their lines. Nothing is loaded when the caller goes away before \
        the end of the file.",
    params(LoadParameters),
    request_body(
        content = String,
        description = "The records, one JSON object a line.",
        content_type = "application/x-ndjson"
    ),
    responses((status = 200, description = "What was loaded.", body = LoadResponse), Problems),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("load"))),
)]
pub(in crate::http) async fn run(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    Parameters(parameters): Parameters<LoadParameters>,
    Id(request_id): Id,
    Lines(lines): Lines,
) -> Result<Json<LoadResponse>, Failure> {
    let origin = app::Origin {
        principal,
        request_id,
        key: None,
    };
    Ok(Json(
        app::load::run(&site.app, origin, graph_id, parameters, lines).await?,
    ))
}
