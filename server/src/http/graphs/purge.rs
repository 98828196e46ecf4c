//! `POST /graphs/{graph_id}/purge`.

use api_types::{DeletionParameters, PurgedGraph};
use axum::Json;
use axum::extract::State;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, Parameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, GraphExists, UriInUse, UriNotEmpty, GraphPurged, GraphLocked, Unauthenticated, Forbidden, GraphNotFound, Internal, ConfigDrift, Unavailable, ShuttingDown
);

/// Remove the data of a deleted graph now.
#[utoipa::path(
    post,
    path = "/graphs/{graph_id}/purge",
    operation_id = "graphs_purge",
    tag = "graphs",
    summary = "Remove the data of a deleted graph now",
    description = "It cannot be restored afterwards. Without this, the data goes some time after `purge_after`. \
        What cannot be shown to be the graph's stays, as does what another graph has there: then it is refused, \
        and nothing is removed.",
    params(
        ("graph_id" = String, Path, description = "The id of the graph, in any case."),
        DeletionParameters,
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
    Parameters(parameters): Parameters<DeletionParameters>,
) -> Result<Json<PurgedGraph>, Failure> {
    Ok(Json(
        app::graphs::purge::run(&site.app, &principal, graph_id, parameters).await?,
    ))
}
