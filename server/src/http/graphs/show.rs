//! `GET /graphs/{graph_id}`.

use api_types::GraphDetails;
use axum::extract::State;
use axum::response::Response;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, NoParameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, Unauthenticated, GraphNotFound, Internal, GraphLocked, GraphQuarantined, Unavailable
);

/// Shows a graph.
#[utoipa::path(
    get,
    path = "/graphs/{graph_id}",
    operation_id = "graphs_show",
    tag = "graphs",
    summary = "A graph in full",
    description = "Its registration, counts per type, newest commit and sizes. A graph that the \
        caller may not see does not exist.",
    params(("graph_id" = String, Path, description = "The id of the graph, in any case.")),
    responses(
        (
            status = 200,
            description = "The graph.",
            body = GraphDetails,
            headers(("ETag" = String, description = "The version of its registration."))
        ),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("graph_show"))),
)]
pub(in crate::http) async fn show(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    _: NoParameters,
) -> Result<Response, Failure> {
    let graph = app::graphs::show::run(&site.app, &principal, graph_id).await?;
    Ok(super::tagged(graph))
}
