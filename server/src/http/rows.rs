//! Answers of any length: rows in one JSON object, or lines as they are made.

use api_types::{Column, Commit};
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tracing::Span;

use super::accept::RowFormat;
use super::failure::Failure;
use super::paced;
use crate::app::Error;
use crate::app::memory::Holding;
use crate::app::query::{Answer, Layout, Rows};
use crate::app::stream::Pieces;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// What columns, commit and statistics usually take.
const AROUND_ROWS: usize = 1 << 10;

impl RowFormat {
    /// How the rows are to be laid out for it.
    pub(super) fn layout(self) -> Layout {
        match self {
            Self::Json => Layout::Array,
            Self::Lines => Layout::Lines,
        }
    }
}

/// The answer to a query, whose memory `holding` counts.
pub(super) async fn response(
    answer: Answer,
    format: RowFormat,
    mut holding: Holding,
) -> Result<Response, Failure> {
    match (format, answer.rows) {
        (RowFormat::Json, rows) => {
            let (columns, commit, most) = (answer.columns, answer.commit, answer.max_bytes);
            let body = one_object(&columns, rows, &commit, most, &mut holding).await?;
            let body = paced::body(body, holding);
            Ok(([(header::CONTENT_TYPE, JSON)], body).into_response())
        }
        (RowFormat::Lines, Rows::Whole(rows, _)) => {
            Ok(([(header::CONTENT_TYPE, NDJSON)], rows).into_response())
        }
        (RowFormat::Lines, Rows::Pieces(pieces)) => Ok(lines(pieces)),
    }
}

async fn one_object(
    columns: &[Column],
    rows: Rows,
    commit: &Commit,
    max_bytes: u64,
    holding: &mut Holding,
) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::with_capacity(AROUND_ROWS + rows.known_bytes());
    body.extend_from_slice(b"{\"columns\":");
    append(&mut body, &columns);
    body.extend_from_slice(b",\"rows\":[");
    let mut limit = |body: &Vec<u8>| {
        let limit = max_bytes;
        let too_large = body.len() as u64 > limit;
        if too_large {
            Err(Error::ResultTooLarge { limit })
        } else {
            holding.grow(body.capacity(), limit)
        }
    };
    let stats = match rows {
        Rows::Whole(rows, stats) => {
            body.extend_from_slice(&rows);
            limit(&body)?;
            stats
        }
        Rows::Pieces(mut pieces) => {
            while let Some(piece) = pieces.next().await {
                body.extend_from_slice(&piece?);
                limit(&body)?;
            }
            pieces.last().await.unwrap_or(Err(Error::BrokenOff))?
        }
    };
    body.extend_from_slice(b"],\"commit\":");
    append(&mut body, commit);
    body.extend_from_slice(b",\"stats\":");
    append(&mut body, &stats);
    body.push(b'}');
    Ok(body)
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
