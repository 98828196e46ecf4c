//! What handlers take apart a request with. Every refusal is a [`Failure`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::ErrorCode;
use axum::body::{Body as RawBody, BodyDataStream};
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::Limited;
use policy::Principal;
use registry::Condition;
use serde::de::DeserializeOwned;

use super::Site;
use super::envelope::{Asker, ThisRequest};
use super::failure::Failure;
use crate::app::load::{RecordFormat, Upload};
use crate::app::{App, Credential, UploadError};
use crate::rounds::Rounds;

/// How long nothing of a streamed body may arrive.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a streamed body that must come in a second, after the first [`CHUNK_TIMEOUT`] and on the
/// whole: a byte now and then would hold a connection and a file for ever.
const SLOWEST: u64 = 16 << 10;

/// Who asks, proven.
pub(super) struct Caller(pub(super) Arc<Principal>);

/// What the caller presented, to be looked at again.
pub(super) struct Credentials(HeaderMap);

impl Credentials {
    /// Who that is, by the tokens of this moment.
    pub(super) fn authenticate(&self, app: &App) -> Option<Arc<Principal>> {
        app.authenticate(credential(&self.0))
    }
}

/// Who asks, when they say so; a wrong credential is refused all the same.
pub(super) struct MaybeCaller(pub(super) Option<Arc<Principal>>);

/// The graph that the path names, as it was written, or the only one that there is. Whether there is one is not known yet.
pub(super) struct GraphName(pub(super) String);

/// The id of the request.
pub(super) struct Id(pub(super) String);

/// On which version the caller wants it done.
pub(super) struct IfMatch(pub(super) Condition);

/// A file of records as it arrives.
pub(super) struct Records(pub(super) Upload<BoxStream<'static, Result<bytes::Bytes, UploadError>>>);

/// The query string.
pub(super) struct Parameters<T>(pub(super) T);

/// No query string: what stood there would be taken for heard.
pub(super) struct NoParameters;

impl FromRequestParts<Site> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Failure> {
        let credential = credential(&parts.headers);
        let principal = site
            .app
            .authenticate(credential)
            .ok_or_else(|| refused(credential))?;
        if let Some(asker) = parts.extensions.get::<Asker>() {
            asker.is(&principal);
        }
        if let Some(rounds) = parts.extensions.get::<Arc<Rounds>>().cloned() {
            rounds.enter(principal.id.as_str()).await;
        }
        Ok(Self(principal))
    }
}

impl FromRequestParts<Site> for Credentials {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Self::Rejection> {
        let given = parts.headers.get_all(header::AUTHORIZATION).iter();
        let given = given.map(|value| (header::AUTHORIZATION, value.clone()));
        Ok(Self(given.collect()))
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
        if let Some(graph_id) = &site.only_graph {
            return Ok(Self(graph_id.clone()));
        }
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

impl FromRequestParts<Site> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Failure> {
        if_match(&parts.headers).map(Self)
    }
}

/// `*`, or entity tags of which the strong ones count (RFC 9110, section 13.1.1).
fn if_match(headers: &HeaderMap) -> Result<Condition, Failure> {
    let given: Vec<_> = headers.get_all(header::IF_MATCH).iter().collect();
    if given.is_empty() {
        return Ok(Condition::Any);
    }
    let malformed = || {
        let words = "If-Match: write * or entity tags in quotes, such as \"0123456789abcdef\"";
        Failure::new(ErrorCode::InvalidRequest, words)
    };
    let mut versions = Vec::new();
    for value in given {
        for tag in value.to_str().map_err(|_| malformed())?.split(',') {
            let tag = tag.trim();
            if tag == "*" {
                return Ok(Condition::Any);
            }
            let (weak, tag) = match tag.strip_prefix("W/") {
                Some(tag) => (true, tag),
                None => (false, tag),
            };
            let quoted = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let version = quoted.ok_or_else(malformed)?;
            if !weak {
                versions.push(version.to_owned());
            }
        }
    }
    Ok(Condition::OneOf(versions))
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

impl FromRequestParts<Site> for NoParameters {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Failure> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(_) => Err(Failure::new(
                ErrorCode::InvalidRequest,
                "in the query string: this operation takes no parameters there",
            )),
        }
    }
}

impl FromRequest<Site> for Records {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Site) -> Result<Self, Failure> {
        let formats = RecordFormat::ALL.map(|(media_type, _)| media_type);
        let given = media_type(request.headers(), &formats)?;
        let format = RecordFormat::ALL.iter().find(|(name, _)| *name == given);
        let arriving = Arriving {
            body: request.into_body().into_data_stream(),
            begun: Instant::now(),
            bytes: 0,
        };
        let chunks = futures::stream::unfold(Some(arriving), |arriving| async move {
            let mut arriving = arriving?;
            match arriving.next().await? {
                Ok(chunk) => Some((Ok(chunk), Some(arriving))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Self(Upload {
            format: format.map_or(RecordFormat::Ndjson, |(_, format)| *format),
            chunks: chunks.boxed(),
        }))
    }
}

/// A streamed body, and how fast it comes.
struct Arriving {
    body: BodyDataStream,
    begun: Instant,
    bytes: u64,
}

impl Arriving {
    async fn next(&mut self) -> Option<Result<bytes::Bytes, UploadError>> {
        let patience = patience(self.begun.elapsed(), self.bytes);
        match tokio::time::timeout(patience, self.body.next()).await {
            Ok(Some(Ok(chunk))) => {
                self.bytes += chunk.len() as u64;
                Some(Ok(chunk))
            }
            Ok(Some(Err(error))) => Some(Err(UploadError::BrokenOff(error.into()))),
            Ok(None) => None,
            Err(_) => Some(Err(UploadError::TooSlow {
                seconds: self.begun.elapsed().as_secs(),
                bytes: self.bytes,
            })),
        }
    }
}

/// How long to wait for more of a body of which so much has come in that time.
fn patience(elapsed: Duration, bytes: u64) -> Duration {
    let allowed = CHUNK_TIMEOUT + Duration::from_secs(bytes / SLOWEST);
    allowed.saturating_sub(elapsed).min(CHUNK_TIMEOUT)
}

/// Refuses a body whose `Content-Type` is none of `accepted`, or that is encoded.
pub(super) fn media_type<'a>(
    headers: &HeaderMap,
    accepted: &[&'a str],
) -> Result<&'a str, Failure> {
    if let Some(coding) = headers.get(header::CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Failure::new(
            ErrorCode::UnsupportedMediaType,
            "Content-Encoding: a body is taken as it is, or with one of gzip and zstd",
        ));
    }
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = given
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let mut known = accepted.iter();
    if let Some(known) = known.find(|known| known.eq_ignore_ascii_case(essence)) {
        return Ok(known);
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

/// The most bytes of a body as it comes, before it is decoded: what it is decoded to has limits of its
/// own, but bytes that decode to nothing would have none.
const MAX_ENCODED: usize = 1 << 30;

/// Bounds a body that is encoded.
pub(super) async fn limit_encoded(request: Request, next: Next) -> Response {
    if !request.headers().contains_key(header::CONTENT_ENCODING) {
        return next.run(request).await;
    }
    next.run(request.map(|body| RawBody::new(Limited::new(body, MAX_ENCODED))))
        .await
}

fn credential(headers: &HeaderMap) -> Credential<'_> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), more) = (given.next(), given.next()) else {
        return Credential::Missing;
    };
    let bearer = value.to_str().ok().and_then(|text| text.split_once(' '));
    match (bearer, more) {
        (Some((scheme, token)), None)
            if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() =>
        {
            Credential::Bearer(token.trim())
        }
        _ => Credential::Unreadable,
    }
}

pub(super) fn refused(credential: Credential<'_>) -> Failure {
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
            &["Bearer "],
            &["Bearer\ta"],
            &["Bearer", "Bearer a"],
            &["Bearera"],
            &[""],
        ] {
            assert_eq!(of(odd), "Unreadable", "{odd:?}");
        }
    }

    #[test]
    fn an_entity_tag_is_quoted_and_strong() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(header::IF_MATCH, HeaderValue::from_static(text));
            if_match(&headers).ok()
        };
        let one_of = |tags: &[&str]| {
            let tags = tags.iter().map(|tag| (*tag).to_owned());
            Some(Condition::OneOf(tags.collect()))
        };
        assert_eq!(if_match(&HeaderMap::new()).ok(), Some(Condition::Any));
        assert_eq!(of("*"), Some(Condition::Any));
        assert_eq!(of("\"a\""), one_of(&["a"]));
        assert_eq!(of("\"a\" , W/\"b\",\"c\""), one_of(&["a", "c"]));
        for wrong in ["", "a", "\"a", "\"a\",", "\""] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_byte_now_and_then_is_too_slow() {
        let seconds = Duration::from_secs;
        assert_eq!(patience(seconds(0), 0), CHUNK_TIMEOUT);
        assert_eq!(patience(seconds(50), 10), seconds(10));
        assert_eq!(patience(seconds(61), 61), Duration::ZERO);
        assert_eq!(patience(seconds(3600), 3600 * SLOWEST), CHUNK_TIMEOUT);
    }
}
