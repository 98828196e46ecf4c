//! JSON bodies: who asks is known before any of one is read, what is read is counted, and what its
//! values would take is known before they are made.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use api_types::ErrorCode;
use axum::body::Body as RawBody;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::Site;
use super::envelope::{Asker, defect};
use super::extract::media_type;
use super::failure::Failure;
use crate::app::memory::{Holding, LITTLE};

/// How long a JSON body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of JSON that are read in some milliseconds at most.
const MUCH_JSON: usize = LITTLE;

/// How often a body is looked for before the clock is set.
const LOOKS: u32 = 2;

/// Bytes that a value of JSON takes, and those that an object takes besides its members: as JSON and as
/// what a statement gets.
const VALUE: usize = 96;
const OBJECT: usize = 1_024;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

/// The memory that is counted for the request, as long as it lasts.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Mutex<Vec<Holding>>>);

impl Held {
    fn keep(&self, holding: Holding) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.push(holding);
    }
}

/// What a body may take.
#[derive(Clone, Copy)]
struct Limits {
    /// Of the body.
    bytes: u64,
    /// Of what one statement holds.
    statement: u64,
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<Site> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Failure> {
        media_type(request.headers(), &["application/json"])?;
        let limits = site.app.limits();
        let limits = Limits {
            bytes: limits.json_body_bytes,
            statement: limits.query_memory_bytes,
        };
        let asker = request.extensions().get::<Asker>().cloned();
        let asker = asker.unwrap_or_default();
        let mut holding = site.app.memory.holding(asker.principal());
        let held = request.extensions().get::<Held>().cloned();
        let reading = whole(request.into_body(), limits, &mut holding);
        let bytes = soon_or_within(BODY_TIMEOUT, reading)
            .await
            .ok_or_else(|| {
                let seconds = BODY_TIMEOUT.as_secs();
                Failure::new(
                    ErrorCode::RequestTimeout,
                    format!("the body did not arrive within {seconds} seconds"),
                )
            })??;
        let body = parsed(bytes, limits, &mut holding).await;
        if let Some(held) = held {
            held.keep(holding);
        }
        body.map(Self)
    }
}

/// Reads JSON: here and now, unless it is so much that others would wait for the thread.
async fn parsed<T: DeserializeOwned + Send + 'static>(
    bytes: Bytes,
    limits: Limits,
    holding: &mut Holding,
) -> Result<T, Failure> {
    let parse =
        |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| not_as_expected(&error));
    if bytes.len() <= MUCH_JSON {
        return parse(&bytes);
    }
    let weighed = storage_engine::aside::run(move || (weight(&bytes), bytes));
    // A panic is a defect, and its hook has logged it.
    let (weight, bytes) = weighed.await.map_err(|_| defect())?;
    if weight as u64 > limits.statement {
        return Err(Failure::new(
            ErrorCode::BodyTooLarge,
            format!(
                "the values in the body would take more than the {} bytes that a statement may hold; \
                 send fewer at once, or load them",
                limits.statement
            ),
        ));
    }
    holding.grow(bytes.len().saturating_add(weight), limits.statement)?;
    let parsed = storage_engine::aside::run(move || parse(&bytes));
    parsed.await.unwrap_or_else(|_| Err(defect()))
}

/// About how many bytes the values take that a JSON text holds. Of a text that is none it says something.
fn weight(text: &[u8]) -> usize {
    let (mut values, mut objects) = (1_usize, 0_usize);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b'[' | b':' => values += 1,
            b'{' => objects += 1,
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let values = values.saturating_mul(VALUE);
    values.saturating_add(objects.saturating_mul(OBJECT))
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

/// All of a body. What was read is held as it grows, so that a client that goes on slowly has only what it
/// sent.
async fn whole(body: RawBody, limits: Limits, holding: &mut Holding) -> Result<Bytes, Failure> {
    let limit = usize::try_from(limits.bytes).unwrap_or(usize::MAX);
    let mut limited = Limited::new(body, limit);
    let mut first = Bytes::new();
    // Empty as long as there is only the first piece, which most bodies are.
    let mut all = Vec::new();
    while let Some(frame) = limited.frame().await {
        let frame = frame.map_err(|error| match is_over_a_limit(error.as_ref()) {
            true => too_large(limits.bytes),
            false => Failure::new(
                ErrorCode::InvalidRequest,
                format!("the body broke off: {error}"),
            ),
        })?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if first.is_empty() {
            first = piece;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        if all.len() + piece.len() > all.capacity() {
            let room = (2 * all.capacity()).max(all.len() + piece.len());
            holding.grow(room, limits.statement)?;
            all.reserve_exact(room - all.len());
        }
        all.extend_from_slice(&piece);
    }
    holding.grow(first.len(), limits.statement)?;
    Ok(match all.is_empty() {
        true => first,
        false => all.into(),
    })
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

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
    fn what_values_take_is_known_before_they_are_made() {
        let values = |text: &str| weight(text.as_bytes()) as f64 / VALUE as f64;
        assert_eq!(values("7"), 1.0);
        assert_eq!(values("[1,2,3]"), 4.0);
        assert_eq!(values(r#"",[{:\",["#), 1.0, "text counts by its bytes");
        assert!(weight(br#"[{"a":1},{}]"#) > 2 * OBJECT);
        assert_eq!(values("\"\\"), 1.0);
        let many = "[".repeat(1_000);
        assert_eq!(values(&many), 1_001.0);
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
