//! Long answers that are there as a whole: they are handed on piece by piece, so that their memory is
//! counted until they are taken, and whoever takes them too slowly is cut off.
//!
//! A caller who takes nothing at all is ended by the socket (`listen.rs`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::app::memory::{Holding, LITTLE};

/// Bytes that are handed on at once.
const PIECE: usize = 64 << 10;
/// How long an answer may take in any case.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that must be taken in each second beyond that, on the whole.
const SLOWEST: u64 = 16 << 10;

/// An answer that is taken.
struct Paced {
    rest: Bytes,
    taken: u64,
    begun: Instant,
    _holding: Holding,
}

/// The body of an answer, whose memory `holding` counts.
pub(super) fn body(answer: Vec<u8>, holding: Holding) -> Body {
    if answer.len() <= LITTLE {
        return Body::from(answer);
    }
    Body::new(Paced {
        rest: answer.into(),
        taken: 0,
        begun: Instant::now(),
        _holding: holding,
    })
}

/// Whether so many bytes in that time are too few.
fn is_too_slow(taken: u64, time: Duration) -> bool {
    time > PATIENCE + Duration::from_secs(taken / SLOWEST)
}

impl hyper::body::Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        // Asked for the next piece, the connection has room for it: those before it were taken.
        let time = self.begun.elapsed();
        if is_too_slow(self.taken, time) {
            let seconds = time.as_secs();
            let taken = self.taken;
            tracing::warn!(
                taken,
                seconds,
                "an answer is taken too slowly and breaks off"
            );
            let error = io::Error::new(io::ErrorKind::TimedOut, "the answer was taken too slowly");
            return Poll::Ready(Some(Err(error)));
        }
        let piece = PIECE.min(self.rest.len());
        let piece = self.rest.split_to(piece);
        self.taken += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;

    use super::*;
    use crate::app::memory::Memory;

    #[tokio::test]
    async fn an_answer_comes_whole_and_its_memory_is_counted_until_then() {
        let memory = Arc::<Memory>::default();
        let answer: Vec<u8> = (0..LITTLE * 2).map(|byte| (byte % 251) as u8).collect();
        let mut holding = memory.holding("a");
        let statement = answer.len() as u64 / 2;
        holding.grow(answer.len(), statement).expect("half of all");
        let body = body(answer.clone(), holding);
        let full = || memory.holding("a").grow(answer.len(), statement).is_err();
        assert!(full());
        let taken = body.collect().await.expect("whole").to_bytes();
        assert_eq!(taken, answer);
        assert!(!full());
    }

    #[test]
    fn a_little_now_and_then_is_too_slow() {
        let seconds = Duration::from_secs;
        assert!(!is_too_slow(0, seconds(60)));
        assert!(is_too_slow(0, seconds(61)));
        assert!(is_too_slow(60 * 1_000, seconds(70)));
        assert!(!is_too_slow(100 << 20, seconds(3_600)));
    }
}
