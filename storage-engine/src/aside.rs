//! Threads for what takes long: they give way to those that answer.
//!
//! Statements, loads, folds and whatever else takes turns would otherwise keep a core for whole slices of
//! the system's, four milliseconds each, while a point read that takes microseconds waits for them. Here they
//! have less of a core than threads that answer, as soon as both want one (a tenth of it: they go on however
//! busy those are), and a statement looks every now and then whether anybody else wants to run.
//!
//! On Linux a thread's priority is its own and of those that it starts, and cannot be had back. So a thread
//! that others wait for, such as one that leads commits, is never started from one of these.

use std::cell::Cell;
use std::io;
use std::num::NonZero;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::executor::cores;

/// By how much these threads are nicer than the process: a tenth of the weight.
const NICENESS: i32 = 10;
/// How long a thread pauses for the system's own threads.
const PAUSE: Duration = Duration::from_micros(50);
/// The most threads: whoever lets work in bounds it by less.
const THREADS: usize = 1 << 16;

thread_local! {
    static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
    #[cfg(test)]
    static GAVE_WAY: Cell<usize> = const { Cell::new(0) };
}

static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    // Commits wait for its threads, and it must not be one of ours that starts them.
    crate::store::bucket::start_requests();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(THREADS)
        .thread_name("aside")
        .on_thread_start(give_way_from_now_on)
        .enable_all()
        .build()
});

/// Commits that are being made durable.
static SYNCING: AtomicUsize = AtomicUsize::new(0);
/// Threads that are at work here, without those that statements have beside their own.
static WORKING: AtomicUsize = AtomicUsize::new(0);

/// One more of these, until dropped.
pub(crate) struct Counted(&'static AtomicUsize);

impl Counted {
    fn new(count: &'static AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `work`, which may block, on one of these threads.
pub fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match &*RUNTIME {
        Ok(runtime) => runtime.spawn_blocking(|| {
            let _working = Counted::new(&WORKING);
            work()
        }),
        // Without a thread for the runtime there are those of the caller's, as long as there are any.
        Err(error) => {
            tracing::error!(%error, "no threads that give way can be started");
            tokio::task::spawn_blocking(work)
        }
    }
}

/// Does `work` on the calling thread with its own priority, but gives way to whoever waits for its core,
/// wherever a statement looks at the clock.
pub fn politely<T>(work: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            GIVES_WAY.set(self.0);
        }
    }
    let _before = Before(GIVES_WAY.replace(true));
    work()
}

/// Makes the calling thread, and those that it starts, give way to others.
pub(crate) fn give_way_from_now_on() {
    GIVES_WAY.set(true);
    // Elsewhere it would be the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = be_nice() {
        tracing::warn!(%error, "long work has the same priority as short");
    }
}

/// Nicer than the first thread of the process, not than the one that started this: that may be nice already.
#[cfg(target_os = "linux")]
fn be_nice() -> io::Result<()> {
    use rustix::process::{getpid, getpriority_process, setpriority_process};
    let first = getpriority_process(Some(getpid()))?;
    Ok(setpriority_process(None, first + NICENESS)?)
}

/// Somebody waits until a commit is durable, as long as this is kept.
pub(crate) fn syncing() -> Counted {
    Counted::new(&SYNCING)
}

/// Whether the calling thread is to give way.
pub(crate) fn gives_way() -> bool {
    GIVES_WAY.get()
}

/// Lets others run.
///
/// The system's own threads, which end a sync, stand in another queue than those of a process. Where that
/// hears of a sync and has work for every core, only a pause lets them run.
#[expect(
    clippy::disallowed_methods,
    reason = "of threads that may block, and nothing says when the others have run"
)]
pub(crate) fn give_way() {
    static CORES: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, NonZero::get));
    #[cfg(test)]
    GAVE_WAY.set(GAVE_WAY.get() + 1);
    let is_syncing = SYNCING.load(Ordering::Relaxed) > 0;
    if is_syncing && WORKING.load(Ordering::Relaxed) + cores::lent() >= *CORES {
        std::thread::sleep(PAUSE);
    } else {
        std::thread::yield_now();
    }
}

/// How many times the calling thread has let others run.
#[cfg(test)]
pub(crate) fn gave_way() -> usize {
    GAVE_WAY.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How nice a thread is, and one that it starts.
    fn niceness() -> (i32, i32) {
        let own = || rustix::process::getpriority_process(None).expect("known");
        let started = std::thread::spawn(own).join().expect("ends");
        (own(), started)
    }

    #[tokio::test]
    async fn long_work_gives_way_and_who_asked_for_it_does_not() {
        let (before, _) = niceness();
        let aside = run(|| {
            // From a thread that is nice already.
            let further = run(|| (niceness(), gives_way()));
            (niceness(), gives_way(), further)
        });
        let (nice, gives, further) = aside.await.expect("ends");
        assert!(gives && !gives_way());
        assert_eq!(further.await.expect("ends"), (nice, true));
        assert_eq!(niceness(), (before, before));
        if cfg!(target_os = "linux") {
            let nicer = (before + NICENESS).min(19);
            assert_eq!(nice, (nicer, nicer));
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_disk_is_counted_and_who_works() {
        static OWN: AtomicUsize = AtomicUsize::new(0);
        let counts = || [&SYNCING, &WORKING].map(|count| count.load(Ordering::Relaxed));
        let syncing = syncing();
        let found = run(counts).await.expect("ends");
        assert!(found.iter().all(|count| *count > 0), "{found:?}");
        drop(syncing);
        let panicked = std::panic::catch_unwind(|| {
            let _counted = Counted::new(&OWN);
            panic!("as a defect would");
        });
        assert!(panicked.is_err());
        assert_eq!(OWN.load(Ordering::Relaxed), 0);
    }
}
