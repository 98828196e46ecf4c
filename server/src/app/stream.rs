//! An answer that is handed on in pieces while it is made.
//!
//! Who makes it runs on a blocking thread and has an [`Outlet`]; who answers has the [`Pieces`]. A
//! caller who takes nothing for too long is as good as gone: a thread and a snapshot must not wait for
//! it. An end that was not announced is a break: a shortened answer cannot be taken for a whole one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::admission::Slot;
use super::{CancelOnDrop, Error};

/// Bytes that are collected before they are handed on.
pub(crate) const PIECE: usize = 64 << 10;
/// Pieces that may wait for the caller.
const WAITING: usize = 4;
/// How often a maker that waits for its caller looks whether it should go on.
const LOOK: Duration = Duration::from_millis(50);

/// Why nothing more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The caller went away, or the server stops.
    Cancelled,
    /// The caller took nothing until the time was over.
    Late,
}

/// The maker's side.
pub(crate) struct Outlet<T> {
    pieces: mpsc::Sender<Result<Bytes, Error>>,
    end: oneshot::Sender<T>,
    cancelled: Arc<AtomicBool>,
    /// The maker's place among those that run. The few pieces that wait to be taken when it has ended keep
    /// nobody from running.
    _slot: Slot,
}

/// The answer's side. Dropping it stops the making.
pub(crate) struct Pieces<T> {
    pieces: mpsc::Receiver<Result<Bytes, Error>>,
    end: Option<oneshot::Receiver<T>>,
    _cancel: CancelOnDrop,
}

/// Both sides. `cancelled` is the flag that `cancel` sets; the place is given up with the maker's.
pub(crate) fn channel<T>(
    cancelled: Arc<AtomicBool>,
    cancel: CancelOnDrop,
    slot: Slot,
) -> (Outlet<T>, Pieces<T>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let (end, ended) = oneshot::channel();
    let outlet = Outlet {
        pieces: sender,
        end,
        cancelled,
        _slot: slot,
    };
    let pieces = Pieces {
        pieces: receiver,
        end: Some(ended),
        _cancel: cancel,
    };
    (outlet, pieces)
}

impl<T> Outlet<T> {
    /// Hands a piece on. Blocks while the caller takes none, until `deadline` at the latest.
    pub(crate) fn send(&self, piece: Bytes, deadline: Instant) -> Result<(), Closed> {
        self.push(Ok(piece), deadline)
    }

    /// Ends with an error, if the caller takes it before `deadline`; else the answer just breaks off.
    pub(crate) fn fail(self, error: Error, deadline: Instant) {
        if let Err(closed) = self.push(Err(error), deadline) {
            tracing::debug!(?closed, "nobody is there to be told of the error");
        }
    }

    /// Ends well.
    pub(crate) fn end(self, last: T) {
        // A caller that has gone away needs no end.
        let _ = self.end.send(last);
    }

    fn push(&self, piece: Result<Bytes, Error>, deadline: Instant) -> Result<(), Closed> {
        let runtime = Handle::current();
        loop {
            // `timeout` takes the runtime's clock when it is made, so it is made inside.
            let place = async { tokio::time::timeout(LOOK, self.pieces.reserve()).await };
            match runtime.block_on(place) {
                Ok(Ok(place)) => {
                    place.send(piece);
                    return Ok(());
                }
                Ok(Err(_gone)) => return Err(Closed::Cancelled),
                Err(_) if self.cancelled.load(Ordering::Acquire) => return Err(Closed::Cancelled),
                Err(_) if Instant::now() >= deadline => return Err(Closed::Late),
                Err(_) => {}
            }
        }
    }
}

impl<T> Pieces<T> {
    /// The next piece; `None` once there are no more, and then [`Self::last`] says whether that was
    /// the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        self.pieces.recv().await
    }

    /// What came with the end, once; an error when the making broke off.
    pub(crate) async fn last(&mut self) -> Option<Result<T, Error>> {
        let end = self.end.take()?;
        Some(end.await.map_err(|_| Error::BrokenOff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::admission::Admission;
    use crate::app::{Cancellations, Shares};

    async fn both() -> (Outlet<u8>, Pieces<u8>) {
        both_in(&Arc::default()).await
    }

    async fn both_in(admission: &Arc<Admission>) -> (Outlet<u8>, Pieces<u8>) {
        let (cancelled, cancel) = Cancellations::default().begin();
        let shares = Shares {
            per_principal: 1,
            per_graph: 1,
        };
        let slot = admission.enter("a", "g", shares, soon()).await;
        channel(cancelled, cancel, slot.unwrap_or_else(|_| panic!("room")))
    }

    #[tokio::test]
    async fn the_place_is_given_up_when_the_answer_is_made() {
        let admission = Arc::default();
        let (outlet, pieces) = both_in(&admission).await;
        drop(outlet);
        assert_eq!(admission.tally().0, 0);
        drop(pieces);
        let (outlet, pieces) = both_in(&admission).await;
        drop(pieces);
        assert_eq!(admission.tally().0, 1);
        drop(outlet);
        assert_eq!(admission.tally().0, 0);
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(200)
    }

    #[tokio::test]
    async fn what_ends_well_says_so_and_what_panics_breaks_off() {
        for panics in [false, true] {
            let (outlet, mut pieces) = both().await;
            let maker = tokio::task::spawn_blocking(move || {
                outlet
                    .send(Bytes::from_static(b"a"), soon())
                    .expect("taken");
                assert!(!panics, "as a defect would");
                outlet.end(7);
            });
            assert_eq!(pieces.next().await.expect("a piece").expect("whole"), "a");
            assert!(pieces.next().await.is_none());
            let last = pieces.last().await.expect("asked once");
            assert_eq!(last.ok(), (!panics).then_some(7));
            assert_eq!(maker.await.is_err(), panics);
        }
    }

    #[tokio::test]
    async fn a_caller_who_takes_nothing_keeps_nobody() {
        let (outlet, pieces) = both().await;
        let maker = tokio::task::spawn_blocking(move || {
            let deadline = soon();
            let mut sent = 0;
            loop {
                match outlet.send(Bytes::from_static(b"a"), deadline) {
                    Ok(()) => sent += 1,
                    Err(closed) => break (sent, closed),
                }
            }
        });
        assert_eq!(maker.await.expect("ends"), (WAITING, Closed::Late));
        drop(pieces);
    }
}
