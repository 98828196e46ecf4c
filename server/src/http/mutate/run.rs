//! `POST mutate`.

use api_types::{MutateRequest, MutateResponse};
use axum::Json;
use axum::extract::State;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Body, Caller, GraphName, Id, NoParameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, InvalidJson, InvalidQuery, InvalidParameters, ExecutionFailed, RowLimit,
    MemoryLimit, Unauthenticated, Forbidden, GraphNotFound, BranchNotFound, RequestTimeout,
    DuplicateKey, NodeHasRelationships, MissingProperty, InvalidValue, Gone, CommitMismatch,
    BodyTooLarge, UnsupportedMediaType, Internal, GraphLocked, GraphQuarantined, Unavailable,
    OutcomeUnknown, ShuttingDown, Timeout
);

/// Runs writing statements in one commit.
#[utoipa::path(
    post,
    path = "/mutate",
    operation_id = "mutate_run",
    tag = "data",
    summary = "Run writing statements in one commit",
    description = "All statements take effect together or not at all, and are durable when the answer \
        comes. Each sees the effects of those before it.",
    request_body(
        content = MutateRequest,
        description = "One statement or several.",
        content_type = "application/json"
    ),
    responses((status = 200, description = "The commit.", body = MutateResponse), Problems),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("mutate"))),
)]
pub(in crate::http) async fn run(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    _: NoParameters,
    Id(request_id): Id,
    Body(request): Body<MutateRequest>,
) -> Result<Json<MutateResponse>, Failure> {
    let origin = app::Origin {
        principal,
        request_id,
    };
    Ok(Json(
        app::mutate::run(&site.app, origin, graph_id, request).await?,
    ))
}
