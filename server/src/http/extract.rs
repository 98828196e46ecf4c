//! What handlers take apart a request with. Every refusal is a [`Failure`].

use std::sync::Arc;
use std::time::Duration;

use api_types::ErrorCode;
use axum::body::Body as RawBody;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use policy::Principal;
use serde::de::DeserializeOwned;

use super::Site;
use super::envelope::{Asker, ThisRequest};
use super::failure::Failure;
use crate::app::{Credential, UploadError};

/// How long a JSON body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long nothing of a streamed body may arrive.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

/// Who asks, proven.
pub(super) struct Caller(pub(super) Arc<Principal>);

/// Who asks, when they say so; a wrong credential is refused all the same.
pub(super) struct MaybeCaller(pub(super) Option<Arc<Principal>>);

/// The graph that the path names, as it was written. Whether there is one is not known yet.
pub(super) struct GraphName(pub(super) String);

/// The id of the request.
pub(super) struct Id(pub(super) String);

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

/// An NDJSON body as it arrives.
pub(super) struct Lines(pub(super) BoxStream<'static, Result<bytes::Bytes, UploadError>>);

/// The query string.
pub(super) struct Parameters<T>(pub(super) T);

impl FromRequestParts<Site> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Failure> {
        let credential = credential(&parts.headers);
        let principal = site
            .app
            .authenticate(credential)
            .ok_or_else(|| refused(credential))?;
        if let Some(asker) = parts.extensions.get::<Asker>() {
            asker.is(&principal.id);
        }
        Ok(Self(principal))
    }
}

impl FromRequestParts<Site> for MaybeCaller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Failure> {
        if let Credential::Missing = credential(&parts.headers)
            && site.app.authenticate(Credential::Missing).is_none()
        {
            return Ok(Self(None));
        }
        let Caller(principal) = Caller::from_request_parts(parts, site).await?;
        Ok(Self(Some(principal)))
    }
}

impl FromRequestParts<Site> for GraphName {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Failure> {
        let params = RawPathParams::from_request_parts(parts, site)
            .await
            // Not UTF-8 once decoded, so no id.
            .map_err(|_| Failure::new(ErrorCode::GraphNotFound, "there is no such graph"))?;
        params
            .iter()
            .find(|(name, _)| *name == "graph_id")
            .map(|(_, value)| Self(value.to_owned()))
            .ok_or_else(|| Failure::new(ErrorCode::NotFound, "the path names no graph"))
    }
}

impl FromRequestParts<Site> for Id {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Self::Rejection> {
        let id = parts.extensions.get::<ThisRequest>();
        Ok(Self(
            id.map(|ThisRequest(id)| id.as_str().to_owned())
                .unwrap_or_default(),
        ))
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Site> for Parameters<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Failure> {
        Query::<T>::try_from_uri(&parts.uri)
            .map(|Query(parameters)| Self(parameters))
            .map_err(|rejection| {
                let cause = std::error::Error::source(&rejection).map(ToString::to_string);
                let cause = cause.unwrap_or_else(|| rejection.body_text());
                Failure::new(
                    ErrorCode::InvalidRequest,
                    format!("in the query string: {cause}"),
                )
            })
    }
}

impl<T: DeserializeOwned + Send> FromRequest<Site> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Failure> {
        media_type(request.headers(), &["application/json"])?;
        let limit = site.app.limits().json_body_bytes;
        let bytes = tokio::time::timeout(BODY_TIMEOUT, whole(request.into_body(), limit))
            .await
            .map_err(|_| {
                let seconds = BODY_TIMEOUT.as_secs();
                Failure::new(
                    ErrorCode::RequestTimeout,
                    format!("the body did not arrive within {seconds} seconds"),
                )
            })??;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| not_as_expected(&error))
    }
}

impl FromRequest<Site> for Lines {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Site) -> Result<Self, Failure> {
        media_type(request.headers(), &["application/x-ndjson"])?;
        let body = request.into_body().into_data_stream();
        let chunks = futures::stream::unfold(Some(body), |body| async move {
            let mut body = body?;
            match tokio::time::timeout(CHUNK_TIMEOUT, body.next()).await {
                Ok(Some(Ok(chunk))) => Some((Ok(chunk), Some(body))),
                Ok(Some(Err(error))) => Some((Err(UploadError::BrokenOff(error.into())), None)),
                Ok(None) => None,
                Err(_) => {
                    let seconds = CHUNK_TIMEOUT.as_secs();
                    Some((Err(UploadError::TooSlow { seconds }), None))
                }
            }
        });
        Ok(Self(chunks.boxed()))
    }
}

/// Refuses a body whose `Content-Type` is none of `accepted`.
pub(super) fn media_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Failure> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = given
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if accepted
        .iter()
        .any(|media_type| media_type.eq_ignore_ascii_case(essence))
    {
        return Ok(());
    }
    let accepted = accepted.join(", ");
    Err(Failure::new(
        ErrorCode::UnsupportedMediaType,
        match given {
            Some(given) => format!("Content-Type is {given:?}; this takes {accepted}"),
            None => format!("there is no Content-Type; this takes {accepted}"),
        },
    ))
}

async fn whole(body: RawBody, limit: u64) -> Result<bytes::Bytes, Failure> {
    let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Err(error) => Err(Failure::new(
            ErrorCode::InvalidRequest,
            format!("the body broke off: {error}"),
        )),
    }
}

/// A body over the limit.
pub(super) fn too_large(limit: u64) -> Failure {
    Failure::new(
        ErrorCode::BodyTooLarge,
        format!("the body is larger than the {limit} bytes that the server accepts here"),
    )
}

fn not_as_expected(error: &serde_json::Error) -> Failure {
    let code = match error.classify() {
        serde_json::error::Category::Data => ErrorCode::InvalidRequest,
        _ => ErrorCode::InvalidJson,
    };
    // serde_json ends its message with the position, in these very words.
    Failure::new(code, format!("in the body: {error}"))
}

fn credential(headers: &HeaderMap) -> Credential<'_> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), more) = (given.next(), given.next()) else {
        return Credential::Missing;
    };
    let bearer = value.to_str().ok().and_then(|text| text.split_once(' '));
    match (bearer, more) {
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") => {
            Credential::Bearer(token.trim())
        }
        _ => Credential::Unreadable,
    }
}

fn refused(credential: Credential<'_>) -> Failure {
    let (detail, challenge) = match credential {
        Credential::Missing => (
            "this needs a credential: Authorization: Bearer <token>",
            "Bearer realm=\"trellis\"",
        ),
        Credential::Bearer(_) => (
            "the token is not known to this server",
            "Bearer realm=\"trellis\", error=\"invalid_token\"",
        ),
        Credential::Unreadable => (
            "the header Authorization must stand there once, as: Bearer <token>",
            "Bearer realm=\"trellis\", error=\"invalid_request\"",
        ),
    };
    Failure::new(ErrorCode::Unauthenticated, detail).with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_one_bearer_token_or_refused() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            format!("{:?}", credential(&headers))
        };
        assert_eq!(of(&[]), "Missing");
        assert_eq!(of(&["bearer  abc"]), of(&["Bearer abc"]));
        for odd in [
            &["Basic abc"][..],
            &["Bearer"],
            &["Bearer a", "Bearer a"],
            &[""],
        ] {
            assert_eq!(of(odd), "Unreadable", "{odd:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_with_its_position() {
        let check = |text: &str, code: ErrorCode, words: &[&str]| {
            let error = serde_json::from_str::<api_types::QueryRequest>(text).expect_err(text);
            let failure = not_as_expected(&error);
            assert_eq!(failure.problem().code, code, "{text}");
            for word in words {
                assert!(
                    failure.problem().detail.contains(word),
                    "{}",
                    failure.problem().detail
                );
            }
        };
        check(
            "{\"query\": ",
            ErrorCode::InvalidJson,
            &["line 1 column 10"],
        );
        check("", ErrorCode::InvalidJson, &["EOF"]);
        check(
            "{\n\"quary\": \"\"}",
            ErrorCode::InvalidRequest,
            &["`quary`", "`query`", "line 2"],
        );
        check("{}", ErrorCode::InvalidRequest, &["missing field `query`"]);
        check(
            "{\"query\": 1}",
            ErrorCode::InvalidRequest,
            &["expected a string"],
        );
    }
}
