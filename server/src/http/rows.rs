//! Answers of any length: rows in one JSON object, or handed on as they are made.

use std::time::Duration;

use api_types::{Column, Commit, Problem};
use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, stream};
use storage_engine::export::Format;
use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use super::accept::{RecordFormat, RowFormat};
use super::failure::{Failure, Occasion};
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

/// How long the reason why an answer breaks off waits for the caller to take it.
const TELLING: Duration = Duration::from_secs(5);

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
        (format, Rows::Pieces(pieces)) => {
            let ends = Ends {
                well: nothing,
                badly: match format {
                    RowFormat::Json => last_member,
                    RowFormat::Lines => last_line,
                    RowFormat::Arrow => unsaid,
                },
            };
            Ok(streamed(media_type, Vec::new(), pieces, ends))
        }
    }
}

/// Records, as they are made.
pub(super) fn records(pieces: Pieces<()>, format: RecordFormat) -> Response {
    let ends = Ends {
        well: nothing,
        badly: match format.0 {
            Format::Ndjson => last_line,
            Format::Arrow | Format::Parquet => unsaid,
        },
    };
    streamed(format.media_type(), Vec::new(), pieces, ends)
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
    let ends = Ends {
        well: move |stats| {
            let mut rest = Vec::with_capacity(AROUND_ROWS);
            ending.append(&mut rest, &stats);
            Bytes::from(rest)
        },
        badly: last_member,
    };
    let head = vec![Bytes::from(body), long];
    Ok(streamed(media_type, head, pieces, ends))
}

fn append(body: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(body, value)
        .expect("columns, commits and numbers go into memory as JSON");
}

/// How an answer ends whose status is long sent.
struct Ends<E> {
    /// What is sent of a good end.
    well: E,
    /// What is sent of an error before the connection is broken off: the problem as this media type has it.
    badly: fn(&Problem) -> Vec<u8>,
}

/// As the last line.
fn last_line(problem: &Problem) -> Vec<u8> {
    let mut line = b"{\"error\":".to_vec();
    append(&mut line, problem);
    line.extend_from_slice(b"}\n");
    line
}

/// As the member that stands in place of what follows the rows.
fn last_member(problem: &Problem) -> Vec<u8> {
    let mut end = b"],\"error\":".to_vec();
    append(&mut end, problem);
    end.extend_from_slice(b"}\n");
    end
}

/// Columns of bytes have no place for it.
fn unsaid(_: &Problem) -> Vec<u8> {
    Vec::new()
}

/// Where an answer that is made while it is sent has got to.
enum Sending<T, E> {
    Pieces(Pieces<T>, Ends<E>),
    /// The reason was handed on; when it is on its way the connection is cut.
    Reason(Failure, oneshot::Receiver<()>),
    Over,
}

/// Bytes that tell when they are gone.
struct Told {
    bytes: Vec<u8>,
    _gone: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Told {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T, E: FnOnce(T) -> Bytes> Sending<T, E> {
    async fn next(self, occasion: &Occasion) -> Option<(Result<Bytes, Failure>, Self)> {
        let (mut pieces, ends) = match self {
            Self::Pieces(pieces, ends) => (pieces, ends),
            Self::Reason(failure, gone) => {
                // Who takes nothing is not waited for.
                let _ = tokio::time::timeout(TELLING, gone).await;
                // Whoever writes it may have a copy, which goes out now.
                tokio::task::yield_now().await;
                return Some((Err(failure), Self::Over));
            }
            Self::Over => return None,
        };
        let ended = match pieces.next().await {
            Some(Ok(piece)) => return Some((Ok(piece), Self::Pieces(pieces, ends))),
            Some(Err(error)) => Err(error),
            None => pieces.last().await.unwrap_or(Err(Error::BrokenOff)),
        };
        match ended {
            Ok(last) => Some((Ok((ends.well)(last)), Self::Over)),
            Err(error) => {
                let causes = registry::with_causes(&error);
                tracing::warn!(error = causes, "an answer breaks off");
                let failure = Failure::from(error);
                let problem = occasion.problem(failure.problem().clone());
                let (gone, going) = oneshot::channel();
                let reason = Bytes::from_owner(Told {
                    bytes: (ends.badly)(&problem),
                    _gone: gone,
                });
                Some((Ok(reason), Self::Reason(failure, going)))
            }
        }
    }
}

/// Hands pieces on after `head`, and what `ends` makes of the end. After an error the connection is broken
/// off, for the status is long sent and nobody is to take what came for the whole.
fn streamed<T: Send + 'static>(
    media_type: HeaderValue,
    head: Vec<Bytes>,
    pieces: Pieces<T>,
    ends: Ends<impl FnOnce(T) -> Bytes + Send + 'static>,
) -> Response {
    // The request's span has ended when the rows go out, and its log line was written.
    let span = Span::current();
    let occasion = Occasion::default();
    let known = occasion.clone();
    let rest = stream::unfold(Sending::Pieces(pieces, ends), move |sending| {
        let occasion = known.clone();
        async move { sending.next(&occasion).await }.instrument(span.clone())
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
    let response = whole(media_type, Body::from_stream(pieces.fuse()));
    (Extension(occasion), response).into_response()
}

/// All of a piece but its last byte, and a copy of that. Who compresses keeps what it has used up until it
/// has the next, which waits for the room of the one before: so each is let go for a byte that takes none.
fn parted(mut piece: Bytes) -> [Bytes; 2] {
    let last = piece.split_off(piece.len().saturating_sub(1));
    [piece, Bytes::copy_from_slice(&last)]
}
