//! Answers of any length: rows in one JSON object, or lines as they are made.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::accept::RowFormat;
use super::failure::Failure;
use crate::app::export::Lines;
use crate::app::query::{Answer, Layout};
use crate::app::{CancelOnDrop, Error};

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
        RowFormat::Lines => Ok(streamed(answer.chunks, answer.cancel)),
    }
}

/// An export.
pub(super) fn lines(lines: Lines) -> Response {
    streamed(lines.chunks, lines.cancel)
}

async fn one_object(mut answer: Answer) -> Result<Response, Failure> {
    let mut body = b"{\"columns\":".to_vec();
    append(&mut body, &answer.columns);
    body.extend_from_slice(b",\"rows\":[");
    while let Some(chunk) = answer.chunks.recv().await {
        body.extend_from_slice(&chunk?);
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
    let stats = answer
        .stats
        .await
        .map_err(|_| Failure::from(Error::WorkerGone))?;
    append(&mut body, &stats);
    body.push(b'}');
    Ok(([(header::CONTENT_TYPE, JSON)], body).into_response())
}

fn append(body: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(body, value)
        .expect("columns, commits and numbers go into memory as JSON");
}

/// Hands chunks on. An error breaks the connection off, for the status is long sent.
fn streamed(chunks: mpsc::Receiver<Result<Bytes, Error>>, cancel: CancelOnDrop) -> Response {
    let stream = futures::stream::unfold((chunks, cancel), |(mut chunks, cancel)| async move {
        let chunk = chunks.recv().await?;
        if let Err(error) = &chunk {
            tracing::warn!(
                error = crate::app::with_causes(error),
                "an answer breaks off"
            );
        }
        Some((chunk, (chunks, cancel)))
    });
    ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(stream)).into_response()
}
