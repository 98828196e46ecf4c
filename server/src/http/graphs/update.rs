//! `PATCH /graphs/{graph_id}`.

use api_types::{GraphSummary, UpdateGraphRequest};
use axum::extract::State;
use axum::response::Response;

use crate::app;
use crate::http::Site;
use crate::http::body::Body;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, IfMatch, NoParameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, InvalidJson, InvalidPolicy, InvalidUri, RequestTimeout, BodyTooLarge,
    UnsupportedMediaType, PreconditionFailed, Unauthenticated, Forbidden, GraphNotFound, Internal, ConfigDrift, Unavailable, OutcomeUnknown, ShuttingDown
);

/// Change a graph's tenant, labels or policy.
#[utoipa::path(
    patch,
    path = "/graphs/{graph_id}",
    operation_id = "graphs_update",
    tag = "graphs",
    summary = "Change a graph's tenant, labels or policy",
    description = "What is left out stays. The operator's file keeps every other word of the operator's. Who changes \
        a graph must be allowed to change it also as it will be. Another policy, or none, asks for `policy_update` on \
        the graph besides.",
    params(
        ("graph_id" = String, Path, description = "The id of the graph, in any case."),
        (
            "If-Match" = Option<String>, Header,
            description = "Do it only when the registration has this `ETag` still."
        ),
    ),
    request_body(
        content = UpdateGraphRequest,
        description = "What is to be changed.",
        content_type = "application/json"
    ),
    responses(
        (
            status = 200,
            description = "It is done.",
            body = GraphSummary,
            headers(("ETag" = String, description = "The version of its registration."))
        ),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("graph_update"))),
)]
pub(in crate::http) async fn update(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    _: NoParameters,
    IfMatch(condition): IfMatch,
    Body(request): Body<UpdateGraphRequest>,
) -> Result<Response, Failure> {
    let graph =
        app::graphs::update::run(&site.app, &principal, graph_id, condition, request).await?;
    Ok(super::tagged(graph))
}
