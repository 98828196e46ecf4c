//! What handlers take apart a request with. Every refusal is a [`Failure`].

use std::sync::Arc;
use std::task::Poll;
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
use http_body_util::{BodyExt, LengthLimitError, Limited};
use policy::Principal;
use registry::Condition;
use serde::de::DeserializeOwned;

use super::Site;
use super::envelope::{Asker, ThisRequest, defect};
use super::failure::Failure;
use crate::app::load::{RecordFormat, Upload};
use crate::app::{App, Credential, UploadError};

/// How long a JSON body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of JSON that are read in some milliseconds at most.
const MUCH_JSON: usize = 256 << 10;

/// How often a body is looked for before the clock is set.
const LOOKS: u32 = 2;

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

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

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

impl<T: DeserializeOwned + Send + 'static> FromRequest<Site> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Failure> {
        media_type(request.headers(), &["application/json"])?;
        let limit = site.app.limits().json_body_bytes;
        let bytes = soon_or_within(BODY_TIMEOUT, whole(request.into_body(), limit))
            .await
            .ok_or_else(|| {
                let seconds = BODY_TIMEOUT.as_secs();
                Failure::new(
                    ErrorCode::RequestTimeout,
                    format!("the body did not arrive within {seconds} seconds"),
                )
            })??;
        parsed(bytes).await.map(Self)
    }
}

/// Reads JSON: here and now, unless it is so much that others would wait for the thread.
async fn parsed<T: DeserializeOwned + Send + 'static>(bytes: bytes::Bytes) -> Result<T, Failure> {
    let parse =
        |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| not_as_expected(&error));
    if bytes.len() <= MUCH_JSON {
        return parse(&bytes);
    }
    let parsed = tokio::task::spawn_blocking(move || parse(&bytes));
    // A panic is a defect, and its hook has logged it.
    parsed.await.unwrap_or_else(|_| Err(defect()))
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
fn media_type<'a>(headers: &HeaderMap, accepted: &[&'a str]) -> Result<&'a str, Failure> {
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

/// The result of `work`, or `None` when it takes longer than `time`.
///
/// Most bodies came together with their head, and the connection hands them over as soon as they are
/// asked for. So the clock is set only when that was in vain: setting it wakes the thread that waits
/// for the network, each time.
async fn soon_or_within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut looks = 0;
    let soon = std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if looks < LOOKS => {
            looks += 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
        Poll::Pending => Poll::Ready(None),
    });
    match soon.await {
        Some(done) => Some(done),
        None => tokio::time::timeout(time, work).await.ok(),
    }
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

/// Whether a limit is somewhere among the causes.
fn is_over_a_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

async fn whole(body: RawBody, limit: u64) -> Result<bytes::Bytes, Failure> {
    let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if is_over_a_limit(error.as_ref()) => Err(too_large(limit)),
        Err(error) => Err(Failure::new(
            ErrorCode::InvalidRequest,
            format!("the body broke off: {error}"),
        )),
    }
}

/// A body over the limit.
fn too_large(limit: u64) -> Failure {
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

    #[tokio::test]
    async fn what_does_not_come_is_not_waited_for() {
        let time = Duration::from_millis(60);
        assert_eq!(soon_or_within(time, async { 7 }).await, Some(7));
        let late = tokio::time::sleep(Duration::from_millis(5));
        assert_eq!(soon_or_within(time, late).await, Some(()));
        let begun = Instant::now();
        let never = std::future::pending::<()>();
        assert_eq!(soon_or_within(time, never).await, None);
        assert!(begun.elapsed() >= time);
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
