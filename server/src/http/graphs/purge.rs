//! `POST /graphs/{graph_id}/purge`.

use api_types::PurgedGraph;
use axum::Json;
use axum::extract::State;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, NoParameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, GraphExists, UriInUse, GraphPurged, GraphLocked, Unauthenticated, Forbidden, GraphNotFound, Internal, ConfigDrift, Unavailable, ShuttingDown
);

/// Remove the data of a deleted graph now.
#[utoipa::path(
    post,
    path = "/graphs/{graph_id}/purge",
    operation_id = "graphs_purge",
    tag = "graphs",
    summary = "Remove the data of a deleted graph now",
    description = "It cannot be restored afterwards. Without this, the data goes some time after `purge_after`.",
    params(
        ("graph_id" = String, Path, description = "The id of the graph, in any case."),
    ),
    responses(
        (
            status = 200,
            description = "It is done.",
            body = PurgedGraph
        ),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("graph_delete"))),
)]
pub(in crate::http) async fn purge(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    _: NoParameters,
) -> Result<Json<PurgedGraph>, Failure> {
    Ok(Json(
        app::graphs::purge::run(&site.app, &principal, graph_id).await?,
    ))
}
