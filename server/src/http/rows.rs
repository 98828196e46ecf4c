//! Answers of any length: rows in one JSON object, or lines as they are made.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tracing::Span;

use super::accept::RowFormat;
use super::failure::Failure;
use crate::app::Error;
use crate::app::query::{Answer, Layout};
use crate::app::stream::Pieces;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

impl RowFormat {
    /// How the rows are to be laid out for it.
    pub(super) fn layout(self) -> Layout {
        match self {
            Self::Json => Layout::Array,
            Self::Lines => Layout::Lines,
        }
    }
}

/// The answer to a query.
pub(super) async fn response(answer: Answer, format: RowFormat) -> Result<Response, Failure> {
    match format {
        RowFormat::Json => one_object(answer).await,
        RowFormat::Lines => Ok(lines(answer.rows)),
    }
}

async fn one_object(mut answer: Answer) -> Result<Response, Failure> {
    let mut body = b"{\"columns\":".to_vec();
    append(&mut body, &answer.columns);
    body.extend_from_slice(b",\"rows\":[");
    while let Some(piece) = answer.rows.next().await {
        body.extend_from_slice(&piece?);
        if body.len() as u64 > answer.max_bytes {
            return Err(Error::ResultTooLarge {
                limit: answer.max_bytes,
            }
            .into());
        }
    }
    body.extend_from_slice(b"],\"commit\":");
    append(&mut body, &answer.commit);
    body.extend_from_slice(b",\"stats\":");
    let stats = answer.rows.last().await.unwrap_or(Err(Error::BrokenOff))?;
    append(&mut body, &stats);
    body.push(b'}');
    Ok(([(header::CONTENT_TYPE, JSON)], body).into_response())
}

fn append(body: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(body, value)
        .expect("columns, commits and numbers go into memory as JSON");
}

/// Hands lines on. An error breaks the connection off, for the status is long sent.
pub(super) fn lines<T: Send + 'static>(pieces: Pieces<T>) -> Response {
    // The request's span has ended when the lines go out, and its log line was written.
    let span = Span::current();
    let stream = futures::stream::unfold(pieces, move |mut pieces| {
        let span = span.clone();
        async move {
            let piece = match pieces.next().await {
                Some(piece) => piece,
                None => match pieces.last().await? {
                    Ok(_) => return None,
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = &piece {
                let error = registry::with_causes(error);
                span.in_scope(|| tracing::warn!(error, "an answer breaks off"));
            }
            Some((piece, pieces))
        }
    });
    ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(stream)).into_response()
}
