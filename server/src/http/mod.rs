//! The HTTP side: routes, what they are taken apart with, and the one table of errors.
//!
//! A handler lives in `<resource>/<verb>.rs`, has the operation id `<resource>_<verb>`, and three
//! beats: take the request apart, call one use case of [`crate::app`], convert. It decides nothing.

mod accept;
mod body;
mod config;
mod document;
mod envelope;
mod error;
mod export;
mod extract;
mod failure;
mod framing;
mod graphs;
mod health;
mod idempotency;
mod load;
mod metrics;
mod mutate;
mod openapi;
mod query;
mod ready;
mod rebinding;
mod request_id;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod whoami;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::any;
use bytes::Bytes;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::app::App;
use crate::metrics::Metrics;

/// What every handler can reach.
#[derive(Clone)]
pub(crate) struct Site {
    app: Arc<App>,
    document: Bytes,
    /// On a server of one graph: which.
    only_graph: Option<String>,
}

/// What is mounted where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    /// Many graphs, each under `/graphs/{graph_id}`.
    Many,
    /// One graph, its routes flat.
    Single,
    /// The same with the other sections of a config file, which can be looked at and read again.
    SingleOfConfig,
}

/// Whether credentials are asked for: what the document says of security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Every operation but the open ones needs one.
    Bearer,
    /// `--unauthenticated`.
    Open,
}

/// Every route, ready to serve.
pub(crate) fn router(app: Arc<App>, mount: Mount, security: Security) -> Router {
    let (routes, document) = mounted(mount).split_for_parts();
    let only_graph = match mount {
        Mount::Many => None,
        Mount::Single | Mount::SingleOfConfig => app.registry.snapshot().list(None).next().cloned(),
    };
    let metrics = app.metrics.clone();
    let is_single = only_graph.is_some();
    let site = Site {
        app,
        document: Bytes::from(written(document, security)),
        only_graph: only_graph.map(|graph| graph.graph_id.to_string()),
    };
    let pages = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    let mut routes = Router::from(pages).merge(routes);
    if is_single {
        // There are such things, but not here: no method will do.
        routes = routes
            .route("/graphs", any(envelope::one_graph_alone))
            .route("/graphs/{*below}", any(envelope::no_graph_in_path));
    }
    enveloped(routes, metrics, security).with_state(site)
}

/// With what is around every request.
fn enveloped<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    metrics: Arc<Metrics>,
    security: Security,
) -> Router<S> {
    let routes = routes
        .fallback(envelope::no_such_path)
        .method_not_allowed_fallback(envelope::no_such_method);
    let routes = match security {
        Security::Open => routes.layer(from_fn(rebinding::refuse)),
        Security::Bearer => routes,
    };
    routes
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true))
        .layer(from_fn(extract::limit_encoded))
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(from_fn_with_state(metrics, envelope::around))
}

/// The document of what is mounted, as JSON.
#[must_use]
pub fn document(mount: Mount, security: Security) -> String {
    written(mounted(mount).into_openapi(), security)
}

fn mounted(mount: Mount) -> OpenApiRouter<Site> {
    match mount {
        Mount::Many => many_graphs(),
        Mount::Single => server_routes().merge(per_graph_routes()),
        Mount::SingleOfConfig => server_routes()
            .merge(config_routes())
            .merge(per_graph_routes()),
    }
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
        .merge(config_routes())
        .routes(routes!(graphs::list::list, graphs::create::create))
        .routes(routes!(
            graphs::show::show,
            graphs::update::update,
            graphs::delete::delete
        ))
        .routes(routes!(graphs::restore::restore))
        .routes(routes!(graphs::purge::purge))
        .routes(routes!(graphs::retry::retry))
        .nest("/graphs/{graph_id}", of_one_graph)
}

fn server_routes() -> OpenApiRouter<Site> {
    OpenApiRouter::with_openapi(document::empty())
        .routes(routes!(health::show::show))
        .routes(routes!(ready::show::show))
        .routes(routes!(openapi::show::show))
        .routes(routes!(metrics::show::show))
        .routes(routes!(whoami::show::show))
}

/// What can be done with the config file, where there is one.
fn config_routes() -> OpenApiRouter<Site> {
    OpenApiRouter::default()
        .routes(routes!(config::drift::drift))
        .routes(routes!(config::reload::reload))
}

/// What can be done with one graph: under `/graphs/{graph_id}`, or flat on a server of one.
fn per_graph_routes() -> OpenApiRouter<Site> {
    OpenApiRouter::default()
        .routes(routes!(query::run::run))
        .routes(routes!(query::explain::explain))
        .routes(routes!(mutate::run::run))
        .routes(routes!(load::run::run))
        .routes(routes!(export::run::run))
        .routes(routes!(schema::show::show))
}
