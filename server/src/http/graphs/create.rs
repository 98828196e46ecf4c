//! `POST /graphs`.

use api_types::{CreateGraphRequest, GraphSummary};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app;
use crate::http::Site;
use crate::http::body::Body;
use crate::http::document::problems;
use crate::http::extract::{Caller, NoParameters};
use crate::http::failure::Failure;
use crate::http::idempotency::{MaybeKey, replayed};

problems!(
    Problems: InvalidRequest, InvalidJson, InvalidGraphId, EmptySchema, InvalidSchema, InvalidPolicy,
    InvalidUri, Unsupported, Unauthenticated, Forbidden, RequestTimeout, GraphExists, UriInUse,
    UriNotEmpty, BodyTooLarge, UnsupportedMediaType, Internal, ConfigDrift, Unavailable, OutcomeUnknown, ShuttingDown,
    IdempotencyKeyReused
);

/// Creates a graph, and writes it into the operator's file.
#[utoipa::path(
    post,
    path = "/graphs",
    operation_id = "graphs_create",
    tag = "graphs",
    summary = "Create a graph",
    description = "The graph is there when the answer is, and stands in the operator's file. After an \
        error nothing is left of it. Whoever names a `tenant` must be allowed `graph_update` on the graph as \
        it will be, as for a change of its tenant. A caller that goes away does not stop it half-way. The same \
        request under the same `Idempotency-Key` gets the first answer again, for a day at least.",
    params((
        "Idempotency-Key" = Option<String>, Header,
        description = "A name for this request, of the caller's choice: 1 to 255 visible ASCII \
            characters, such as a UUID."
    )),
    request_body(
        content = CreateGraphRequest,
        description = "The graph.",
        content_type = "application/json"
    ),
    responses(
        (
            status = 201,
            description = "The graph is there.",
            body = GraphSummary,
            headers(
                ("Location" = String, description = "The path of the graph."),
                ("ETag" = String, description = "The version of its registration."),
                (
                    "Idempotency-Replayed" = bool,
                    description = "`true` when this is the answer to an earlier request of the same key."
                )
            )
        ),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("graph_create"))),
)]
pub(in crate::http) async fn create(
    State(site): State<Site>,
    Caller(principal): Caller,
    _: NoParameters,
    MaybeKey(key): MaybeKey,
    Body(request): Body<CreateGraphRequest>,
) -> Result<Response, Failure> {
    let created = app::graphs::create::run(&site.app, &principal, key, request).await?;
    let location = format!("/graphs/{}", created.body.body.graph_id);
    let location = [(header::LOCATION, location)];
    let replayed = replayed(&created);
    let body = super::tagged(created.body);
    Ok((StatusCode::CREATED, location, replayed, body).into_response())
}
