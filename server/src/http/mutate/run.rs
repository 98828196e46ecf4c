//! `POST mutate`.

use api_types::{IdempotencyHeader, MutateRequest, MutateResponse};
use axum::extract::State;
use axum::response::Response;

use crate::app;
use crate::http::Site;
use crate::http::body::Body;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, Id, NoParameters};
use crate::http::failure::Failure;
use crate::http::idempotency::MaybeKey;
use crate::http::rows;

problems!(
    Problems: InvalidRequest, InvalidJson, InvalidQuery, InvalidParameters, ExecutionFailed, RowLimit,
    MemoryLimit, Unauthenticated, Forbidden, GraphNotFound, BranchNotFound, RequestTimeout,
    DuplicateKey, NodeHasRelationships, MissingProperty, InvalidValue, Gone, CommitMismatch,
    BodyTooLarge, UnsupportedMediaType, Internal, GraphLocked, GraphQuarantined, Unavailable,
    OutcomeUnknown, ShuttingDown, Timeout, IdempotencyKeyReused, TooManyWrites
);

/// Runs writing statements in one commit.
#[utoipa::path(
    post,
    path = "/mutate",
    operation_id = "mutate_run",
    tag = "data",
    summary = "Run writing statements in one commit",
    description = "All statements take effect together or not at all, and are durable when the answer \
        comes. Each sees the effects of those before it. With an `Idempotency-Key` they are carried \
        out once: the same request under the same key gets the first answer again, for a day at \
        least, also after a restart. A request that failed or changed nothing is not remembered.",
    params(IdempotencyHeader),
    request_body(
        content = MutateRequest,
        description = "One statement or several.",
        content_type = "application/json"
    ),
    responses(
        (
            status = 200,
            description = "The commit.",
            body = MutateResponse,
            headers(("Idempotency-Replayed" = bool, description = "`true` when this is the answer \
                of an earlier request with this key; nothing was done now."))
        ),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("mutate"))),
)]
pub(in crate::http) async fn run(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    _: NoParameters,
    Id(request_id): Id,
    MaybeKey(key): MaybeKey,
    Body(request): Body<MutateRequest>,
) -> Result<Response, Failure> {
    let origin = app::Origin {
        principal,
        request_id,
        key,
    };
    let answered = app::mutate::run(&site.app, origin, graph_id, request).await?;
    Ok(rows::written(answered))
}
