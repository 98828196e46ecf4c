//! `DELETE /graphs/{graph_id}`.

use api_types::DeletedGraph;
use axum::Json;
use axum::extract::State;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, IfMatch, NoParameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, PreconditionFailed, GraphLocked, Unauthenticated, Forbidden, GraphNotFound, Internal, ConfigDrift, Unavailable, OutcomeUnknown, ShuttingDown
);

/// Delete a graph.
#[utoipa::path(
    delete,
    path = "/graphs/{graph_id}",
    operation_id = "graphs_delete",
    tag = "graphs",
    summary = "Delete a graph",
    description = "It is out of the registry at once, and nothing is written to it any more, by any process. Its \
        data is kept until `purge_after`; until then it can be restored.",
    params(
        ("graph_id" = String, Path, description = "The id of the graph, in any case."),
        (
            "If-Match" = Option<String>, Header,
            description = "Do it only when the registration has this `ETag` still."
        ),
    ),
    responses(
        (
            status = 200,
            description = "It is done.",
            body = DeletedGraph
        ),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("graph_delete"))),
)]
pub(in crate::http) async fn delete(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    _: NoParameters,
    IfMatch(condition): IfMatch,
) -> Result<Json<DeletedGraph>, Failure> {
    Ok(Json(
        app::graphs::delete::run(&site.app, &principal, graph_id, condition).await?,
    ))
}
