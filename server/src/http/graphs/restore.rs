//! `POST /graphs/{graph_id}/restore`.

use api_types::{DeletionParameters, GraphSummary};
use axum::extract::State;
use axum::response::Response;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, Parameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, GraphExists, UriInUse, GraphPurged, Unauthenticated, Forbidden, GraphNotFound, Internal, ConfigDrift, Unavailable, OutcomeUnknown, ShuttingDown
);

/// Bring a deleted graph back.
#[utoipa::path(
    post,
    path = "/graphs/{graph_id}/restore",
    operation_id = "graphs_restore",
    tag = "graphs",
    summary = "Bring a deleted graph back",
    description = "As it was when it was deleted. Of several deleted graphs of that id, the one that `deletion` \
        names comes back, or else the newest one that the caller may restore.",
    params(
        ("graph_id" = String, Path, description = "The id of the graph, in any case."),
        DeletionParameters,
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
    extensions(("x-cedar-action" = json!("graph_restore"))),
)]
pub(in crate::http) async fn restore(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    Parameters(parameters): Parameters<DeletionParameters>,
) -> Result<Response, Failure> {
    let graph = app::graphs::restore::run(&site.app, &principal, graph_id, parameters).await?;
    Ok(super::tagged(graph))
}
