//! `GET export`.

use api_types::ExportParameters;
use axum::extract::State;
use axum::response::Response;

use crate::app;
use crate::http::Site;
use crate::http::accept::RecordFormat;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, Parameters};
use crate::http::failure::Failure;
use crate::http::rows;

problems!(
    Problems: InvalidRequest, Unsupported, Unauthenticated, Forbidden, GraphNotFound, BranchNotFound, CommitNotFound, HistoryGone,
    NotAcceptable, MemoryLimit, Internal, GraphLocked, GraphQuarantined, Unavailable, ShuttingDown, Timeout, TooManyQueries,
    HttpVersionNotSupported
);

/// Gives everything that `load` takes back.
#[utoipa::path(
    get,
    path = "/export",
    operation_id = "export_run",
    tag = "data",
    summary = "Export records",
    description = "One snapshot, nodes before relationships, in the form that `load` takes back \
        unchanged. With `type` also as columns, Parquet or an Arrow stream: the properties, `id` where \
        neither a key nor a property is the identity, and for relationships `from` and `to` \
        (`from.<property>` where the key has several properties). In an open graph `type` is a label or a \
        relationship type, and its columns are the properties that its rows have, as long as the values of \
        each are of one type, beside `_id` and `_labels` where they are needed. An error on the way is a last line \
        `{\"error\": ...}` and breaks the connection off, which HTTP/1.0 cannot tell from the end: there an answer of more than a megabyte is \
        refused.",
    params(ExportParameters),
    responses(
        (
            status = 200,
            description = "The records: one JSON object a line, or the rows of one type.",
            content(
                (String = "application/x-ndjson"),
                (Vec<u8> = "application/vnd.apache.arrow.stream"),
                (Vec<u8> = "application/vnd.apache.parquet")
            )
        ),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("export"))),
)]
pub(in crate::http) async fn run(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    Parameters(parameters): Parameters<ExportParameters>,
    format: RecordFormat,
) -> Result<Response, Failure> {
    let pieces = app::export::run(&site.app, &principal, graph_id, parameters, format.0).await?;
    Ok(rows::records(pieces, format))
}
