//! `GET schema`.

use api_types::SchemaResponse;
use axum::extract::State;
use axum::response::Response;

use crate::app;
use crate::http::Site;
use crate::http::accept::SchemaFormat;
use crate::http::document::problems;
use crate::http::extract::{Caller, GraphName, NoParameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, Unauthenticated, Forbidden, GraphNotFound, NotAcceptable, Internal, GraphLocked,
    GraphQuarantined, Unavailable
);

/// Shows what a graph may contain.
#[utoipa::path(
    get,
    path = "/schema",
    operation_id = "schema_show",
    tag = "schema",
    summary = "What the graph may contain",
    description = "As JSON, or with `Accept: text/plain` the text as it was given.",
    responses(
        (status = 200, description = "The schema.", content(
            (SchemaResponse = "application/json"),
            (String = "text/plain")
        )),
        Problems
    ),
    security(("bearer" = [])),
    extensions(("x-cedar-action" = json!("schema_read"))),
)]
pub(in crate::http) async fn show(
    State(site): State<Site>,
    Caller(principal): Caller,
    GraphName(graph_id): GraphName,
    _: NoParameters,
    format: SchemaFormat,
) -> Result<Response, Failure> {
    let schema = app::schema::run(&site.app, &principal, graph_id).await?;
    Ok(format.response(schema))
}
