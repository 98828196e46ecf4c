//! Looks out for the next request for a moment before a thread sleeps.
//!
//! Waking a thread that sleeps on another core costs more than a point read, on a virtual machine several
//! times as much, on both sides. Whoever asks again as soon as it is answered is there before the thread
//! would have slept. So after an answer it looks a while longer, if the last request came as soon as that:
//! a [`MOMENT`] is all that a request can cost in vain, and requests that come at their leisure cost
//! nothing. Whoever else wants the core has it meanwhile, and then nobody looks out for [`A_WHILE`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::rounds::Rounds;

/// How long the next request is waited for, and how soon after an answer the last must have come.
const MOMENT: Duration = Duration::from_micros(200);
/// Whoever waited longer for the answer gains little.
const SHORT: Duration = Duration::from_micros(100);
/// What takes longer than this was no look, but somebody else on the core.
const LOOK: Duration = Duration::from_micros(20);
/// How long a thread sleeps as soon as it can, after others wanted its core.
const A_WHILE: Duration = Duration::from_millis(10);

/// When something was asked and answered on one thread, whatever the connection.
pub(super) struct Lookout {
    rounds: Arc<Rounds>,
    begun: Instant,
    /// Of the last answer, in nanoseconds since then.
    answered: AtomicU64,
    /// How many times something came.
    asked: AtomicU64,
    /// Which connection that was the last time, and when, in nanoseconds.
    asker: AtomicU64,
    asked_at: AtomicU64,
    /// Nobody else had asked, and within a moment of being answered.
    soon: AtomicBool,
    /// Until when nobody looks out, in nanoseconds.
    rests: AtomicU64,
    wanted: Notify,
}

impl Lookout {
    pub(super) fn new(rounds: Arc<Rounds>) -> Arc<Self> {
        Arc::new(Self {
            rounds,
            begun: Instant::now(),
            answered: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            asker: AtomicU64::new(0),
            asked_at: AtomicU64::new(0),
            soon: AtomicBool::new(false),
            rests: AtomicU64::new(0),
            wanted: Notify::new(),
        })
    }

    /// Something was read of a connection.
    pub(super) fn asked(&self, connection: u64) {
        let now = self.now();
        let since = now.saturating_sub(self.answered.load(Ordering::Relaxed));
        let again = self.asker.swap(connection, Ordering::Relaxed) == connection;
        self.asked_at.store(now, Ordering::Relaxed);
        self.soon
            .store(again && since <= nanos(MOMENT), Ordering::Relaxed);
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// Something was written.
    pub(super) fn answered(&self) {
        let now = self.now();
        self.answered.store(now, Ordering::Relaxed);
        let took = now.saturating_sub(self.asked_at.load(Ordering::Relaxed));
        if self.soon.load(Ordering::Relaxed)
            && took <= nanos(SHORT)
            && now >= self.rests.load(Ordering::Relaxed)
        {
            self.wanted.notify_one();
        }
    }

    /// Looks out whenever that is wanted: a task of the thread whose requests these are.
    pub(super) async fn keep(&self) {
        loop {
            self.wanted.notified().await;
            let asked = self.asked.load(Ordering::Relaxed);
            let until = self.now() + nanos(MOMENT);
            while self.look(asked).await && self.now() < until {}
        }
    }

    /// Has the runtime see what came, and the core be had by whoever wants it; says whether that was
    /// nothing and nobody.
    async fn look(&self, asked: u64) -> bool {
        tokio::task::yield_now().await;
        self.rounds.over();
        if self.asked.load(Ordering::Relaxed) != asked {
            return false;
        }
        let before = self.now();
        std::thread::yield_now();
        let now = self.now();
        if now - before < nanos(LOOK) {
            return true;
        }
        tokio::task::yield_now().await;
        if self.asked.load(Ordering::Relaxed) == asked {
            self.rests.store(now + nanos(A_WHILE), Ordering::Relaxed);
        }
        false
    }

    fn now(&self) -> u64 {
        nanos(self.begun.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn lookout() -> Arc<Lookout> {
        Lookout::new(Rounds::new())
    }

    impl Lookout {
        /// One request and its answer; says whether it is looked out for the next.
        fn exchange(&self, connection: u64) -> bool {
            self.asked(connection);
            self.answered();
            self.wanted.notified().now_or_never().is_some()
        }

        /// As if so much time had passed since the last answer.
        fn waits(&self, time: Duration) {
            let answered = self.answered.load(Ordering::Relaxed);
            let before = answered.saturating_sub(nanos(time));
            self.answered.store(before, Ordering::Relaxed);
        }
    }

    /// So that there is a time before it.
    fn begun_before(lookout: Arc<Lookout>) -> Arc<Lookout> {
        let mut lookout = Arc::into_inner(lookout).expect("alone");
        lookout.begun -= Duration::from_secs(1);
        lookout.exchange(1);
        Arc::new(lookout)
    }

    #[test]
    fn it_is_looked_out_for_who_asks_again_at_once() {
        let lookout = begun_before(lookout());
        // Another thread may have had the core in between, so one of many is enough.
        assert!((0..100).any(|_| lookout.exchange(1)));
    }

    #[test]
    fn nothing_is_done_for_who_takes_time_nor_for_many() {
        let lookout = begun_before(lookout());
        for _ in 0..100 {
            lookout.waits(2 * MOMENT);
            assert!(!lookout.exchange(1), "at its leisure");
        }
        for connection in 2..100 {
            assert!(!lookout.exchange(connection), "one after the other");
        }
        for _ in 0..100 {
            lookout.asked(1);
            let asked_at = lookout.asked_at.load(Ordering::Relaxed);
            let long_ago = asked_at.saturating_sub(nanos(2 * SHORT));
            lookout.asked_at.store(long_ago, Ordering::Relaxed);
            lookout.answered();
            assert!(lookout.wanted.notified().now_or_never().is_none(), "long");
        }
        let later = lookout.now() + nanos(Duration::from_secs(60));
        lookout.rests.store(later, Ordering::Relaxed);
        assert!(
            (0..100).all(|_| !lookout.exchange(1)),
            "others want the core"
        );
    }

    /// How long this thread was on a core.
    fn on_a_core() -> Duration {
        let usage = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        let nanos = usage.split(' ').next().expect("a number");
        Duration::from_nanos(nanos.parse().expect("a number"))
    }

    #[tokio::test]
    async fn it_is_over_in_a_moment_or_when_something_comes() {
        let lookout = lookout();
        let keeper = lookout.clone();
        let keeping = tokio::spawn(async move { keeper.keep().await });
        lookout.wanted.notify_one();
        let before = on_a_core();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let used = on_a_core() - before;
        assert!(used < Duration::from_millis(100), "{used:?}");
        let asked = lookout.asked.load(Ordering::Relaxed);
        lookout.asked(1);
        assert!(!lookout.look(asked).await, "something came");
        keeping.abort();
    }
}
