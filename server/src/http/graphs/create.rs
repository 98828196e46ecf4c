//! `POST /graphs`.

use api_types::{CreateGraphRequest, GraphSummary};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use crate::app;
use crate::http::Site;
use crate::http::document::problems;
use crate::http::extract::{Body, Caller, NoParameters};
use crate::http::failure::Failure;

problems!(
    Problems: InvalidRequest, InvalidJson, InvalidGraphId, EmptySchema, InvalidSchema, InvalidPolicy,
    InvalidUri, Unsupported, Unauthenticated, Forbidden, RequestTimeout, GraphExists, UriInUse,
    UriNotEmpty, BodyTooLarge, UnsupportedMediaType, Internal, ConfigDrift, Unavailable, ShuttingDown
);

/// Creates a graph, and writes it into the operator's file.
#[utoipa::path(
    post,
    path = "/graphs",
    operation_id = "graphs_create",
    tag = "graphs",
    summary = "Create a graph",
    description = "The graph is there when the answer is, and stands in the operator's file. After an \
        error nothing is left of it. A caller that goes away does not stop it half-way.",
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
                ("ETag" = String, description = "The version of its registration.")
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
    Body(request): Body<CreateGraphRequest>,
) -> Result<impl IntoResponse, Failure> {
    let graph = app::graphs::create::run(&site.app, &principal, request).await?;
    let etag = super::etag((&graph.graph_id, &graph.uri, &graph.tenant, &graph.labels));
    let location = format!("/graphs/{}", graph.graph_id);
    let headers = [(header::LOCATION, location), (header::ETAG, etag)];
    Ok((StatusCode::CREATED, headers, Json(graph)))
}
