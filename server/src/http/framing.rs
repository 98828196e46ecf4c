//! Answers of unknown length to callers of HTTP/1.0, which has no chunks: an answer that is broken off ends
//! there like one that is whole.
//!
//! A short one is collected, so that it has its length, and a proxy that speaks HTTP/1.0 to servers gets
//! along. A long one is refused: whoever got half of an export would not know.

use api_types::ErrorCode;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, Version, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::BodyExt;

use super::envelope::defect;
use super::failure::Failure;

/// Bytes that are collected.
const COLLECTED: usize = 1 << 20;

/// Asks for nothing that would take its length from an answer that is there: of a write, for one, that was
/// carried out.
pub(super) fn uncompressed(version: Version, headers: &mut HeaderMap) {
    if version < Version::HTTP_11 {
        headers.remove(header::ACCEPT_ENCODING);
    }
}

/// The same answer, such that a caller of that version can tell whether it is whole.
pub(super) async fn framed(version: Version, response: Response) -> Response {
    if version >= Version::HTTP_11 || response.body().size_hint().exact().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    match collected(body).await {
        Ok(body) => Response::from_parts(parts, body),
        Err(failure) => failure.into_response(),
    }
}

async fn collected(mut body: Body) -> Result<Body, Failure> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return Err(broken_off(error)),
        };
        if whole.len() + data.len() > COLLECTED {
            return Err(Failure::new(
                ErrorCode::HttpVersionNotSupported,
                format!(
                    "the answer is longer than {COLLECTED} bytes, and with HTTP/1.0 nobody could tell whether \
                     all of it has come; ask with HTTP/1.1 (nginx: proxy_http_version 1.1)"
                ),
            ));
        }
        whole.extend_from_slice(&data);
    }
    Ok(Body::from(whole.freeze()))
}

/// What the body broke off with, now that there is still time to say so.
fn broken_off(error: axum::Error) -> Failure {
    let mut cause = error.into_inner();
    loop {
        // Each layer around the answer has put one around it.
        cause = match cause.downcast::<axum::Error>() {
            Ok(error) => error.into_inner(),
            Err(cause) => {
                break cause.downcast().map_or_else(|_| defect(), |it| *it);
            }
        };
    }
}
