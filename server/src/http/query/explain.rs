//! `POST query/explain`.

use api_types::{ExplainRequest, ExplainResponse};
use axum::Json;
use axum::extract::State;

use crate::app;
use crate::http::Site;
use crate::http::body::Body;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, NoParameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, InvalidJson, InvalidQuery, WriteInReadQuery, InvalidParameters,
    ExecutionFailed, RowLimit, MemoryLimit, Unauthenticated, Forbidden, GraphNotFound, BranchNotFound,
    CommitNotFound, HistoryGone, Unsupported, RequestTimeout, BodyTooLarge, UnsupportedMediaType,
    Internal, GraphLocked, GraphQuarantined, Unavailable, ShuttingDown, Timeout, TooManyQueries
);

/// Says how a statement would be run.
#[utoipa::path(
    post,
    path = "/query/explain",
    operation_id = "query_explain",
    tag = "data",
    summary = "Explain a statement",
    description = "The operators that the statement would be run with now, and how many rows are \
        expected of each; with `analyze` it is run, and they have the rows and times of that run. A \
        statement that writes can be explained by whoever may run it, and is not run. The words \
        `EXPLAIN` and `PROFILE` before a statement that is sent as a query give the same as rows.",
    request_body(
        content = ExplainRequest,
        description = "The statement.",
        content_type = "application/json"
    ),
    responses(
        (status = 200, description = "The plan.", body = ExplainResponse),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("query"))),
)]
pub(in crate::http) async fn explain(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    _: NoParameters,
    Body(request): Body<ExplainRequest>,
) -> Result<Json<ExplainResponse>, Failure> {
    let explained = app::explain::run(&site.app, &principal, graph_id, request).await?;
    Ok(Json(explained))
}
