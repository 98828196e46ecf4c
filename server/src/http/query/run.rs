//! `POST query`.

use api_types::{QueryRequest, QueryResponse};
use axum::extract::State;
use axum::response::Response;

use crate::app;
use crate::http::Site;
use crate::http::accept::RowFormat;
use crate::http::body::Body;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, NoParameters};
use crate::http::failure::Failure;
use crate::http::rows;

problems!(
    Problems: InvalidRequest, InvalidJson, InvalidQuery, WriteInReadQuery, InvalidParameters,
    ExecutionFailed, RowLimit, MemoryLimit, Unsupported, Unauthenticated, Forbidden, GraphNotFound,
    BranchNotFound, CommitNotFound, HistoryGone, NotAcceptable, RequestTimeout, BodyTooLarge,
    UnsupportedMediaType, Internal, GraphLocked, GraphQuarantined, Unavailable, ShuttingDown, Timeout,
    TooManyQueries, HttpVersionNotSupported
);

/// Runs a reading statement.
#[utoipa::path(
    post,
    path = "/query",
    operation_id = "query_run",
    tag = "data",
    summary = "Run a reading statement",
    description = "The statement sees one snapshot from start to end. Rows come as they are found; an \
        error after the first of them were sent is told where they end (as the member `error` in place of \
        `commit` and `stats`, or as a last line `{\"error\": ...}`; not in Arrow, nor in what is compressed) \
        and breaks the connection off, so that a shortened answer \
        cannot be taken for a whole one; with HTTP/1.0, which cannot tell, an answer of more than a megabyte \
        is refused. As `application/x-ndjson` each row is a line. As \
        `application/vnd.apache.arrow.stream` a column is what its type is: boolean `Bool`, integer \
        `Int64`, float `Float64`, string `LargeUtf8`, date `Date32`, datetime `Timestamp(us, UTC)`, \
        other times and durations ISO 8601 in `LargeUtf8`, lists of these `LargeList`; all others are \
        JSON in `LargeUtf8`, marked as `arrow.json`. The field's metadata has the type under \
        `trellis:type`, the schema's the commit's id under `trellis:commit`.",
    request_body(
        content = QueryRequest,
        description = "The statement.",
        content_type = "application/json"
    ),
    responses(
        (status = 200, description = "The result.", content(
            (QueryResponse = "application/json"),
            (Object = "application/x-ndjson"),
            (Vec<u8> = "application/vnd.apache.arrow.stream")
        )),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("query"))),
)]
pub(in crate::http) async fn run(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    _: NoParameters,
    format: RowFormat,
    Body(request): Body<QueryRequest>,
) -> Result<Response, Failure> {
    let answer = app::query::run(&site.app, &principal, graph_id, request, format.layout()).await?;
    rows::response(answer, format).await
}
