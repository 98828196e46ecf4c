//! One thread reads, several make rows of what it reads, one takes them in the order of the input.
//!
//! So much is under way at a time and no more, so that memory does not grow with the input.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Blocks under way for each thread that works on them.
const AHEAD: usize = 3;

/// The most threads that a load takes.
const MAX_THREADS: usize = 16;

/// Runs `work` on every block, and `take` on what comes of each, in order, until it says `false`.
pub(super) fn run<B: Send, R: Send>(
    blocks: impl Iterator<Item = B> + Send,
    work: impl Fn(B) -> R + Sync,
    mut take: impl FnMut(R) -> bool,
) {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let threads = threads.min(MAX_THREADS);
    let ahead = threads * AHEAD;
    let (to_workers, blocks_in) = sync_channel::<(usize, B)>(threads);
    let (to_taker, done) = sync_channel::<(usize, std::thread::Result<R>)>(ahead);
    // Taken by the reader for each block, given back when the block has been taken in.
    let (take_leave, give_leave) = sync_channel::<()>(ahead);
    // The last worker that goes takes it along: then nobody waits for room to send them more.
    let blocks_in = Arc::new(Mutex::new(blocks_in));
    let panicked = std::thread::scope(|scope| {
        for _ in 0..threads {
            let (blocks_in, to_taker) = (blocks_in.clone(), to_taker.clone());
            let work = &work;
            scope.spawn(move || make(&blocks_in, work, &to_taker));
        }
        drop((blocks_in, to_taker));
        scope.spawn(move || read(blocks, &take_leave, &to_workers));
        // Whatever ends this, the ends of the queues go with it, and the other threads with them.
        let (done, give_leave) = (done, give_leave);
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for (number, made) in &done {
            waiting.insert(number, made);
            while let Some(made) = waiting.remove(&next) {
                match made.map(&mut take) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(panic) => return Some(panic),
                }
                next += 1;
                // The reader has asked for it, so it is there.
                let _ = give_leave.try_recv();
            }
        }
        None
    });
    if let Some(panic) = panicked {
        resume_unwind(panic);
    }
}

fn read<B>(
    blocks: impl Iterator<Item = B>,
    take_leave: &SyncSender<()>,
    to_workers: &SyncSender<(usize, B)>,
) {
    for block in blocks.enumerate() {
        if take_leave.send(()).is_err() || to_workers.send(block).is_err() {
            return;
        }
    }
}

fn make<B, R>(
    blocks: &Mutex<Receiver<(usize, B)>>,
    work: &impl Fn(B) -> R,
    to_taker: &SyncSender<(usize, std::thread::Result<R>)>,
) {
    loop {
        let received = blocks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, block)) = received else {
            return;
        };
        // What it worked on is given up with the load.
        let made = catch_unwind(AssertUnwindSafe(|| work(block)));
        if to_taker.send((number, made)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn blocks_are_taken_in_order_and_not_too_many_at_once() {
        let (read, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        let blocks = (0..500).inspect(|_| {
            let ahead = read.fetch_add(1, Ordering::SeqCst) - taken.load(Ordering::SeqCst);
            assert!(ahead <= threads.min(MAX_THREADS) * AHEAD + 1, "{ahead}");
        });
        let mut numbers = Vec::new();
        run(
            blocks,
            |number| number * 2,
            |number| {
                numbers.push(number);
                taken.fetch_add(1, Ordering::SeqCst);
                true
            },
        );
        assert_eq!(
            numbers,
            (0..500).map(|number| number * 2).collect::<Vec<_>>()
        );
    }

    #[test]
    fn it_ends_early_when_told_and_when_work_panics() {
        // Often, for the threads end in any order.
        for _ in 0..2_000 {
            let mut count = 0;
            run(
                0..,
                |number: u64| number,
                |_| {
                    count += 1;
                    count < 5
                },
            );
            assert_eq!(count, 5);
        }
        let panicking = || run(0.., |number| assert!(number < 7), |()| true);
        assert!(catch_unwind(panicking).is_err());
    }
}
