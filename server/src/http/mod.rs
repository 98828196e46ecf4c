//! The HTTP side: routes, what they are taken apart with, and the one table of errors.
//!
//! A handler lives in `<resource>/<verb>.rs`, has the operation id `<resource>_<verb>`, and three
//! beats: take the request apart, call one use case of [`crate::app`], convert. It decides nothing.

mod accept;
mod document;
mod envelope;
mod error;
mod export;
mod extract;
mod failure;
mod graphs;
mod health;
mod idempotency;
mod load;
mod mutate;
mod openapi;
mod query;
mod ready;
mod request_id;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod whoami;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use bytes::Bytes;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::app::App;

/// What every handler can reach.
#[derive(Clone)]
pub(crate) struct Site {
    app: Arc<App>,
    document: Bytes,
}

/// Whether credentials are asked for: what the document says of security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Every operation but the open ones needs one.
    Bearer,
    /// `--unauthenticated`.
    Open,
}

/// Every route of a server with many graphs, ready to serve.
pub(crate) fn router(app: Arc<App>, security: Security) -> Router {
    let (routes, document) = many_graphs().split_for_parts();
    let site = Site {
        app,
        document: Bytes::from(written(document, security)),
    };
    let pages = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    enveloped(Router::from(pages).merge(routes)).with_state(site)
}

/// With what is around every request.
fn enveloped<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .fallback(envelope::no_such_path)
        .method_not_allowed_fallback(envelope::no_such_method)
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(from_fn(envelope::around))
}

/// The document of a server with many graphs, as JSON.
#[must_use]
pub fn document(security: Security) -> String {
    written(many_graphs().into_openapi(), security)
}

fn written(mut document: utoipa::openapi::OpenApi, security: Security) -> String {
    if security == Security::Open {
        document::open(&mut document);
    }
    let mut text = serde_json::to_string_pretty(&document)
        .expect("a document has only text, numbers, lists and maps with text as keys");
    text.push('\n');
    text
}

fn many_graphs() -> OpenApiRouter<Site> {
    let mut of_one_graph = per_graph_routes();
    document::nested(of_one_graph.get_openapi_mut());
    server_routes()
        .routes(routes!(graphs::list::list, graphs::create::create))
        .routes(routes!(graphs::show::show))
        .nest("/graphs/{graph_id}", of_one_graph)
}

fn server_routes() -> OpenApiRouter<Site> {
    OpenApiRouter::with_openapi(document::empty())
        .routes(routes!(health::show::show))
        .routes(routes!(ready::show::show))
        .routes(routes!(openapi::show::show))
        .routes(routes!(whoami::show::show))
}

/// What can be done with one graph: under `/graphs/{graph_id}`, or flat on a server of one.
fn per_graph_routes() -> OpenApiRouter<Site> {
    OpenApiRouter::default()
        .routes(routes!(query::run::run))
        .routes(routes!(mutate::run::run))
        .routes(routes!(load::run::run))
        .routes(routes!(export::run::run))
        .routes(routes!(schema::show::show))
}
