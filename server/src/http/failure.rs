//! A failed request on its way out: the problem, before it knows its request.
//!
//! A [`Failure`] becomes a response without a body that carries its [`Problem`] as an extension;
//! [`super::envelope`] fills in the path and the request id and writes the body. So there is one
//! place that writes errors, and nothing inside needs to know which request it serves.

use std::sync::{Arc, OnceLock};

use api_types::{ErrorCode, Finding, Problem};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::request_id::RequestId;

/// What a handler, an extractor or a fallback gives when it cannot give what was asked for; with what an
/// answer breaks off.
#[derive(Debug, thiserror::Error)]
#[error("{}", problem.detail)]
pub(crate) struct Failure {
    problem: Box<Problem>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The problem of a response whose body is still to be written.
#[derive(Clone, Debug)]
pub(super) struct Pending(pub(super) Arc<Problem>);

/// Which request an answer is to, for a problem in the midst of it: known once its head goes out.
#[derive(Clone, Debug, Default)]
pub(super) struct Occasion(Arc<OnceLock<(String, RequestId)>>);

impl Occasion {
    /// Notes the path and the id; the first stay.
    pub(super) fn is(&self, path: &str, id: &RequestId) {
        let _ = self.0.set((path.to_owned(), id.clone()));
    }

    /// The problem of that request.
    pub(super) fn problem(&self, problem: Problem) -> Problem {
        match self.0.get() {
            Some((path, id)) => Problem {
                instance: path.clone(),
                request_id: id.as_str().to_owned(),
                ..problem
            },
            None => problem,
        }
    }
}

impl Failure {
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            problem: Box::new(Problem::new(code, detail)),
            headers: Vec::new(),
        }
    }

    pub(crate) fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.problem.errors = findings;
        self
    }

    pub(crate) fn with_decision(mut self, decision_id: impl ToString) -> Self {
        self.problem.decision_id = Some(decision_id.to_string());
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What is wrong, before it knows its request.
    pub(crate) fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.headers_mut().extend(self.headers);
        response
            .extensions_mut()
            .insert(Pending(Arc::new(*self.problem)));
        response
    }
}
