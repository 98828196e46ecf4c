//! What is around every request: its id, its line in the log, and the body of every error.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use api_types::{ErrorCode, Problem};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use policy::Principal;
use tracing::Instrument;

use super::body::Held;
use super::failure::{Failure, Occasion, Pending};
use super::framing::{framed, uncompressed};
use super::request_id::{self, RequestId};
use crate::metrics::Metrics;

/// Who turned out to ask; filled in by the extractor, read for the log.
#[derive(Clone, Default)]
pub(super) struct Asker(Arc<OnceLock<Arc<Principal>>>);

impl Asker {
    /// Notes the principal; the first one stays.
    pub(super) fn is(&self, principal: &Arc<Principal>) {
        let _ = self.0.set(Arc::clone(principal));
    }

    /// Its id; empty for nobody.
    pub(super) fn principal(&self) -> &str {
        self.0.get().map_or("", |principal| principal.id.as_str())
    }
}

/// The id of this request, for what is recorded about it.
#[derive(Clone)]
pub(super) struct ThisRequest(pub(super) RequestId);

/// Gives the request an id, runs it, writes the body of its error if it has one, logs one line.
pub(super) async fn around(
    State(metrics): State<Arc<Metrics>>,
    mut request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let id = RequestId::of(request.headers());
    let asker = Asker::default();
    request.extensions_mut().insert(asker.clone());
    let held = Held::default();
    request.extensions_mut().insert(held.clone());
    request.extensions_mut().insert(ThisRequest(id.clone()));
    let (method, version) = (request.method().clone(), request.version());
    let uri = request.uri().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::info_span!("request", request_id = id.as_str());

    uncompressed(version, request.headers_mut());
    let answered = async { framed(version, next.run(request).await).await };
    let response = answered.instrument(span).await;
    // What it was made of is gone, or has its own bounds by now.
    drop(held);
    let response = named(response, uri.path());
    let mut response = with_problem_body(response, uri.path(), &id);
    if let Some(occasion) = response.extensions_mut().remove::<Occasion>() {
        occasion.is(uri.path(), &id);
    }
    response
        .headers_mut()
        .insert(request_id::HEADER, id.to_header());
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let status = response.status().as_u16();
    metrics.answered(route, method.as_str(), status, start.elapsed());
    tracing::info!(
        request_id = id.as_str(),
        method = method.as_str(),
        route,
        status,
        latency_ms = (start.elapsed().as_secs_f64() * 1e6).round() / 1e3,
        principal = asker.0.get().map(|principal| principal.id.as_str()),
        "request"
    );
    response
}

/// An error from code that is not ours, such as a page of the documentation that there is not, has
/// no body; here it gets one.
fn named(response: Response, path: &str) -> Response {
    let is_ours = response.extensions().get::<Pending>().is_some();
    match response.status() {
        StatusCode::NOT_FOUND if !is_ours => absent(path).into_response(),
        status if status.is_server_error() && !is_ours && !has_type(&response) => {
            defect().into_response()
        }
        _ => response,
    }
}

fn has_type(response: &Response) -> bool {
    response.headers().contains_key(header::CONTENT_TYPE)
}

fn with_problem_body(mut response: Response, path: &str, id: &RequestId) -> Response {
    let Some(Pending(problem)) = response.extensions_mut().remove::<Pending>() else {
        return response;
    };
    let occasion = Occasion::default();
    occasion.is(path, id);
    let problem = occasion.problem(Arc::unwrap_or_clone(problem));
    let body = serde_json::to_vec(&problem).expect("a problem has only text, numbers and lists");
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(Problem::MEDIA_TYPE),
    );
    parts
        .headers
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body))
}

/// For a path that no operation has.
pub(super) async fn no_such_path(request: Request) -> Failure {
    absent(request.uri().path())
}

fn absent(path: &str) -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        format!("no operation has the path {path}"),
    )
}

/// For a method that the path does not have.
pub(super) async fn no_such_method(request: Request) -> Failure {
    let detail = format!(
        "{} cannot be done here; the header Allow says what can",
        request.method()
    );
    Failure::new(ErrorCode::MethodNotAllowed, detail)
}

/// For a panic inside a handler: a defect, reported as one.
pub(super) fn panicked(_payload: Box<dyn std::any::Any + Send>) -> Response {
    // The panic hook has logged what and where; the payload is nobody else's business.
    defect().into_response()
}

/// A defect, without a word about what it is.
pub(super) fn defect() -> Failure {
    Failure::new(
        ErrorCode::Internal,
        "a defect of the server; the request id finds the cause in its log",
    )
}
