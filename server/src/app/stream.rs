//! An answer that is handed on in pieces while it is made.
//!
//! Who makes it runs on a blocking thread and has an [`Outlet`]; who answers has the [`Pieces`]. A
//! caller who takes nothing for too long is as good as gone: a thread and a snapshot must not wait for
//! it. An end that was not announced is a break: a shortened answer cannot be taken for a whole one.
//!
//! What waits is bounded in bytes, until it is on its way and its memory free: of an answer by a few pieces,
//! or one that is longer than that (so whoever keeps pieces gets no more); of all answers to a principal, as far as pieces are long, together with
//! what else the principal holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::admission::Slot;
use super::memory::{Holding, Purse};
use super::{CancelOnDrop, Error};

/// Bytes that are collected before they are handed on.
pub(crate) const PIECE: usize = 64 << 10;
/// Pieces that may wait for the caller.
const WAITING: usize = 4;
/// Bytes that may wait, if it is not a single piece.
const WAITING_BYTES: usize = WAITING * PIECE;
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
    /// For bytes that wait.
    room: Arc<Semaphore>,
    purse: Purse,
    /// The maker's place among those that run. The few pieces that wait to be taken when it has ended keep
    /// nobody from running.
    _slot: Slot,
}

/// A piece that waits, and what it holds until it is gone.
struct Waiting {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
    _holding: Holding,
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
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
    purse: Purse,
) -> (Outlet<T>, Pieces<T>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let (end, ended) = oneshot::channel();
    let outlet = Outlet {
        pieces: sender,
        end,
        cancelled,
        room: Arc::new(Semaphore::new(WAITING_BYTES)),
        purse,
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
        let piece = match piece {
            Ok(bytes) => Ok(self.waiting(bytes, deadline)?),
            Err(error) => Err(error),
        };
        let place = self.wait(deadline, async || self.pieces.reserve().await.ok())?;
        place.send(piece);
        Ok(())
    }

    /// The same bytes, with room for them. Blocks until there is some.
    fn waiting(&self, bytes: Bytes, deadline: Instant) -> Result<Bytes, Closed> {
        let share = u32::try_from(bytes.len().min(WAITING_BYTES)).unwrap_or(u32::MAX);
        let room = self.wait(deadline, async || {
            self.room.clone().acquire_many_owned(share).await.ok()
        })?;
        let holding = self.wait(deadline, async || {
            // Others give back what they hold without telling.
            loop {
                if let Some(holding) = self.purse.hold(bytes.len()) {
                    break Some(holding);
                }
                tokio::time::sleep(LOOK).await;
            }
        })?;
        Ok(Bytes::from_owner(Waiting {
            bytes,
            _room: room,
            _holding: holding,
        }))
    }

    /// Waits for what `come` gives, which is nothing when the answer's side is gone.
    fn wait<W>(&self, deadline: Instant, come: impl AsyncFn() -> Option<W>) -> Result<W, Closed> {
        let runtime = Handle::current();
        loop {
            // `timeout` takes the runtime's clock when it is made, so it is made inside.
            let waited = async { tokio::time::timeout(LOOK, come()).await };
            match runtime.block_on(waited) {
                Ok(Some(come)) => return Ok(come),
                Ok(None) => return Err(Closed::Cancelled),
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
    use crate::app::memory::Memory;
    use crate::app::{Cancellations, Shares};

    /// What one statement may hold.
    const STATEMENT: u64 = 8 << 20;

    async fn both() -> (Outlet<u8>, Pieces<u8>) {
        both_in(&Arc::default(), &Arc::default()).await
    }

    async fn both_in(admission: &Arc<Admission>, memory: &Arc<Memory>) -> (Outlet<u8>, Pieces<u8>) {
        let (cancelled, cancel) = Cancellations::default().begin();
        let shares = Shares {
            per_principal: 1,
            per_graph: 1,
        };
        let slot = admission.enter("a", "g", shares, soon()).await;
        let slot = slot.unwrap_or_else(|_| panic!("room"));
        let purse = memory.purse("a", STATEMENT);
        channel(cancelled, cancel, slot, purse)
    }

    #[tokio::test]
    async fn the_place_is_given_up_when_the_answer_is_made() {
        let admission = Arc::default();
        let (outlet, pieces) = both_in(&admission, &Arc::default()).await;
        drop(outlet);
        assert_eq!(admission.tally().0, 0);
        drop(pieces);
        let (outlet, pieces) = both_in(&admission, &Arc::default()).await;
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

    /// Sends pieces of that length until it is too late; how many were taken in.
    async fn sent(outlet: Outlet<u8>, bytes: usize, most: usize) -> usize {
        let maker = tokio::task::spawn_blocking(move || {
            let deadline = soon();
            let piece = || Bytes::from(vec![b'a'; bytes]);
            (0..most)
                .take_while(|_| outlet.send(piece(), deadline).is_ok())
                .count()
        });
        maker.await.expect("ends")
    }

    #[tokio::test]
    async fn of_long_pieces_one_waits_and_of_one_who_reads_nothing_only_so_many() {
        let memory = Arc::default();
        let (outlet, mut first) = both_in(&Arc::default(), &memory).await;
        assert_eq!(sent(outlet, 10 << 20, 2).await, 1);
        // Taken, but not gone: it still has its memory.
        let piece = first.next().await.expect("a piece").expect("whole");
        let (outlet, mut second) = both_in(&Arc::default(), &memory).await;
        assert_eq!(sent(outlet, 6 << 20, 1).await, 1);
        let (outlet, _third) = both_in(&Arc::default(), &memory).await;
        assert_eq!(sent(outlet, 6 << 20, 1).await, 0, "half of 32 MiB is held");
        drop(piece);
        let (outlet, _fourth) = both_in(&Arc::default(), &memory).await;
        assert_eq!(sent(outlet, 6 << 20, 1).await, 1);
        assert_eq!(
            second.next().await.expect("a piece").expect("whole").len(),
            6 << 20
        );
        let (outlet, _short) = both_in(&Arc::default(), &memory).await;
        assert_eq!(sent(outlet, PIECE, 10).await, WAITING);
    }
}
