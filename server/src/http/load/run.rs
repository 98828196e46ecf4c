//! `POST load`.

use api_types::{IdempotencyHeader, LoadParameters, LoadResponse};
use axum::extract::State;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Caller, Credentials, GraphName, Id, Parameters, Records};
use crate::http::failure::Failure;
use crate::http::idempotency::{MaybeKey, Replayable};

problems!(
    Problems: InvalidRequest, InvalidRows, Unauthenticated, Forbidden, GraphNotFound, BranchNotFound,
    RequestTimeout, BodyTooLarge, UnsupportedMediaType, MemoryLimit, Internal, GraphLocked,
    GraphQuarantined, Unavailable, OutcomeUnknown, ShuttingDown, TooManyWrites, IdempotencyKeyReused, Timeout,
    TooManyQueries
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
        the end of the file. Or rows of one type, which `type` names, as Parquet, CSV with a line of \
        names, or an Arrow stream: the columns are its properties, `id`, and for relationships `from` \
        and `to` (`from.<property>` where the key has several properties); rows are counted from 1, \
        and 0 is the file as a whole. In an open graph `type` is a label, or a relationship type where there \
        are columns `from` and `to`; each other column is a property (in CSV text, unless declared), `id` is \
        also the identity, `_id` is only that, and `_labels` are the labels.",
    params(LoadParameters, IdempotencyHeader),
    request_body(
        description = "The records: one JSON object a line, or rows of one type.",
        content(
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.parquet"),
            (Vec<u8> = "application/vnd.apache.arrow.stream")
        )
    ),
    responses(
        (
            status = 200,
            description = "What was loaded.",
            body = LoadResponse,
            headers(("Idempotency-Replayed" = bool, description = "`true` when this is the answer \
                of an earlier request with this key; nothing was done now."))
        ),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("load"))),
)]
#[expect(
    clippy::too_many_arguments,
    reason = "each takes one part of a request"
)]
pub(in crate::http) async fn run(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    Parameters(parameters): Parameters<LoadParameters>,
    Id(request_id): Id,
    MaybeKey(key): MaybeKey,
    credentials: Credentials,
    Records(upload): Records,
) -> Result<Replayable<LoadResponse>, Failure> {
    let who = move |app: &app::App| credentials.authenticate(app);
    let origin = app::Origin {
        principal,
        request_id,
        key,
    };
    Ok(Replayable(
        app::load::run(&site.app, origin, who, graph_id, parameters, upload).await?,
    ))
}
