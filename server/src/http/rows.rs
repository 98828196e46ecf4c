//! Answers of any length: rows in one JSON object, or handed on as they are made.

use api_types::{Column, Commit};
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, stream};
use tracing::Span;

use super::accept::{RecordFormat, RowFormat};
use super::failure::Failure;
use super::idempotency::replayed;
use crate::app::mutate::Done;
use crate::app::query::{Answer, Rows};
use crate::app::rows::begun;
use crate::app::stream::Pieces;
use crate::app::{Answered, Error};

/// What columns, commit and statistics usually take.
const AROUND_ROWS: usize = 1 << 10;

/// Bytes of one JSON object that are collected before it is begun to be sent: until then an error has
/// its own status.
const COLLECTED: usize = 1 << 20;

/// The answer to a query.
pub(super) async fn response(answer: Answer, format: RowFormat) -> Result<Response, Failure> {
    let media_type = format.media_type();
    match (format, answer.rows) {
        (RowFormat::Json, rows) => {
            let end = Ending {
                commit: answer.commit,
            };
            one_object(&answer.columns, rows, end, media_type).await
        }
        (_, Rows::Whole(rows, _)) => Ok(whole(media_type, rows)),
        (_, Rows::Pieces(pieces)) => Ok(streamed(media_type, Vec::new(), pieces, nothing)),
    }
}

/// Records, as they are made.
pub(super) fn records(pieces: Pieces<()>, format: RecordFormat) -> Response {
    streamed(format.media_type(), Vec::new(), pieces, nothing)
}

/// The answer to a write.
pub(super) fn written(answered: Answered<Done>) -> Response {
    let replayed = replayed(&answered);
    let Done {
        commit,
        stats,
        returned,
    } = answered.body;
    let body = returned.ended(|json| Ending { commit }.append(json, &stats));
    (replayed, whole(RowFormat::Json.media_type(), body)).into_response()
}

fn nothing<T>(_: T) -> Bytes {
    Bytes::new()
}

fn whole(media_type: HeaderValue, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, media_type)], body.into()).into_response()
}

/// What stands after the rows.
struct Ending {
    commit: Commit,
}

impl Ending {
    fn append(&self, body: &mut Vec<u8>, stats: &impl serde::Serialize) {
        body.extend_from_slice(b"],\"commit\":");
        append(body, &self.commit);
        body.extend_from_slice(b",\"stats\":");
        append(body, stats);
        body.push(b'}');
    }
}

async fn one_object(
    columns: &[Column],
    rows: Rows,
    ending: Ending,
    media_type: HeaderValue,
) -> Result<Response, Failure> {
    let mut body = begun(columns);
    let mut pieces = match rows {
        Rows::Whole(rows, stats) => {
            body.extend_from_slice(&rows);
            ending.append(&mut body, &stats);
            return Ok(whole(media_type, body));
        }
        Rows::Pieces(pieces) => pieces,
    };
    let long = loop {
        match pieces.next().await.transpose()? {
            // As it is: what waits in it is counted.
            Some(piece) if body.len() + piece.len() > COLLECTED => break piece,
            Some(piece) => body.extend_from_slice(&piece),
            None => {
                let stats = pieces.last().await.unwrap_or(Err(Error::BrokenOff))?;
                ending.append(&mut body, &stats);
                return Ok(whole(media_type, body));
            }
        }
    };
    let end = move |stats| {
        let mut rest = Vec::with_capacity(AROUND_ROWS);
        ending.append(&mut rest, &stats);
        Bytes::from(rest)
    };
    Ok(streamed(
        media_type,
        vec![Bytes::from(body), long],
        pieces,
        end,
    ))
}

fn append(body: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(body, value)
        .expect("columns, commits and numbers go into memory as JSON");
}

/// Hands pieces on after `head`, and what `end` makes of the end. An error breaks the connection off,
/// for the status is long sent.
fn streamed<T: Send + 'static>(
    media_type: HeaderValue,
    head: Vec<Bytes>,
    pieces: Pieces<T>,
    end: impl FnOnce(T) -> Bytes + Send + 'static,
) -> Response {
    // The request's span has ended when the rows go out, and its log line was written.
    let span = Span::current();
    let rest = stream::unfold((pieces, Some(end)), move |(mut pieces, mut end)| {
        let span = span.clone();
        async move {
            let piece = match pieces.next().await {
                Some(piece) => piece,
                None => pieces.last().await?.and_then(|last| {
                    let end = end.take().ok_or(Error::BrokenOff)?;
                    Ok(end(last))
                }),
            };
            if let Err(error) = &piece {
                let error = registry::with_causes(error);
                span.in_scope(|| tracing::warn!(error, "an answer breaks off"));
            }
            Some((piece, (pieces, end)))
        }
    });
    let pieces = stream::iter(head).map(Ok).chain(rest);
    let pieces = pieces.flat_map(|piece| {
        let parts = match piece {
            Ok(piece) => parted(piece).map(|part| Some(Ok(part))),
            Err(error) => [Some(Err(error)), None],
        };
        stream::iter(parts.into_iter().flatten())
    });
    // A chunk without anything in it would be the last.
    let pieces = pieces.filter(|piece| {
        let is_empty = piece.as_ref().is_ok_and(Bytes::is_empty);
        std::future::ready(!is_empty)
    });
    // Who compresses asks for trailers after the end.
    whole(media_type, Body::from_stream(pieces.fuse()))
}

/// All of a piece but its last byte, and a copy of that. Who compresses keeps what it has used up until it
/// has the next, which waits for the room of the one before: so each is let go for a byte that takes none.
fn parted(mut piece: Bytes) -> [Bytes; 2] {
    let last = piece.split_off(piece.len().saturating_sub(1));
    [piece, Bytes::copy_from_slice(&last)]
}
