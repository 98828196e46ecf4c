//! `POST /graphs/{graph_id}/retry`.

use api_types::GraphSummary;
use axum::extract::State;
use axum::response::Response;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, NoParameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, Unauthenticated, Forbidden, GraphNotFound, Internal, GraphLocked,
    GraphQuarantined, Unavailable, ShuttingDown
);

/// Open a graph again that was set aside.
#[utoipa::path(
    post,
    path = "/graphs/{graph_id}/retry",
    operation_id = "graphs_retry",
    tag = "graphs",
    summary = "Open a graph again that was set aside",
    description = "By itself it is tried again from time to time, when somebody asks for it.",
    params(
        ("graph_id" = String, Path, description = "The id of the graph, in any case."),
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
pub(in crate::http) async fn retry(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    _: NoParameters,
) -> Result<Response, Failure> {
    let graph = app::graphs::retry::run(&site.app, &principal, graph_id).await?;
    Ok(super::tagged(graph))
}
