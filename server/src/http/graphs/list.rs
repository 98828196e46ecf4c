//! `GET /graphs`.

use api_types::{GraphList, ListGraphsParameters};
use axum::Json;
use axum::extract::State;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Caller, Parameters};
use crate::http::failure::Failure;

problems!(Problems: InvalidRequest, Unauthenticated, Forbidden, Internal, Unavailable);

/// Lists the graphs that the caller may see.
#[utoipa::path(
    get,
    path = "/graphs",
    operation_id = "graphs_list",
    tag = "graphs",
    summary = "The graphs that the caller may see",
    description = "Sorted by id, a page at a time. With `state=deleted` the deleted graphs whose data is kept, \
        of those that the caller may restore (`graph_restore`); of one id there may be several.",
    params(ListGraphsParameters),
    responses((status = 200, description = "A page of graphs.", body = GraphList), Problems),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("graph_list"))),
)]
pub(in crate::http) async fn list(
    State(site): State<Site>,
    Caller(principal): Caller,
    Parameters(parameters): Parameters<ListGraphsParameters>,
) -> Result<Json<GraphList>, Failure> {
    let page = app::graphs::list::run(&site.app, &principal, parameters);
    Ok(Json(page.await?))
}
