//! `Idempotency-Key` on the way in, `Idempotency-Replayed` on the way out.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Site;
use super::failure::Failure;
use crate::app::{Answered, Error, Key};

/// The name of the header that says that an answer is an earlier one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The key of the request, if it has one.
pub(super) struct MaybeKey(pub(super) Option<Key>);

/// An answer as JSON, and whether it is that of an earlier request.
pub(super) struct Replayable<T>(pub(super) Answered<T>);

impl FromRequestParts<Site> for MaybeKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Failure> {
        let mut given = parts.headers.get_all("idempotency-key").iter();
        let key = match (given.next(), given.next()) {
            (None, _) => return Ok(Self(None)),
            (Some(key), None) => Key::parse(key.to_str().unwrap_or_default())?,
            (Some(_), Some(_)) => {
                let words = "Idempotency-Key stands there more than once";
                return Err(Error::InvalidRequest(words.to_owned()).into());
            }
        };
        Ok(Self(Some(key)))
    }
}

impl<T: Serialize> IntoResponse for Replayable<T> {
    fn into_response(self) -> Response {
        (replayed(&self.0), Json(self.0.body)).into_response()
    }
}

/// The header that says that an answer is that of an earlier request, when it is.
pub(super) fn replayed<T>(answered: &Answered<T>) -> Option<[(HeaderName, HeaderValue); 1]> {
    answered
        .repeated
        .then(|| [(REPLAYED, HeaderValue::from_static("true"))])
}
