//! Threads for what takes long: they give way to those that answer.
//!
//! Statements, loads, folds and whatever else takes turns would otherwise keep a core for whole slices of
//! the system's, four milliseconds each, while a point read that takes microseconds waits for them. Here they
//! have less of a core than threads that answer, as soon as both want one (a tenth of it: they go on however
//! busy those are), and a statement looks every now and then whether anybody else wants to run.
//!
//! On Linux a thread's priority is its own and of those that it starts, and cannot be had back. So a thread
//! that others wait for, such as one that leads commits, is never started from one of these; and what takes
//! a while under a lock that others wait for is [handed](usually) to a thread with the usual priority.

use std::cell::Cell;
use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};
use std::thread::LocalKey;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
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
    /// It is one of those that are at work here.
    static WORKS: Cell<bool> = const { Cell::new(false) };
    /// It gives way for good: the system knows.
    static IS_NICE: Cell<bool> = const { Cell::new(false) };
    #[cfg(test)]
    static GAVE_WAY: Cell<usize> = const { Cell::new(0) };
}

static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(THREADS)
        .thread_name("aside")
        .on_thread_start(give_way_from_now_on)
        .enable_all()
        .build()
});

/// Starts threads with the usual priority for those that are nicer.
static USUAL: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(THREADS)
        .thread_name("usual")
        .enable_all()
        .build()
});

/// Commits that are being made durable.
static SYNCING: AtomicUsize = AtomicUsize::new(0);
/// Threads that are at work here and do not wait, without those that statements have beside their own.
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

/// Sets what a thread knows of itself to what it was, when dropped.
struct Before(&'static LocalKey<Cell<bool>>, bool);

impl Drop for Before {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Runs `work`, which may block, on one of these threads.
pub fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match &*RUNTIME {
        Ok(runtime) => runtime.spawn_blocking(|| {
            let _working = Counted::new(&WORKING);
            WORKS.set(true);
            let _works = Before(&WORKS, false);
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
    let _before = Before(&GIVES_WAY, GIVES_WAY.replace(true));
    work()
}

/// Waits as `wait` does, which keeps no core busy: whoever waits for a slow caller is not at work.
pub fn resting<T>(wait: impl FnOnce() -> T) -> T {
    struct Rests;
    impl Drop for Rests {
        fn drop(&mut self) {
            WORKING.fetch_add(1, Ordering::Relaxed);
            WORKS.set(true);
        }
    }
    let _rests = WORKS.replace(false).then(|| {
        WORKING.fetch_sub(1, Ordering::Relaxed);
        Rests
    });
    wait()
}

/// Does `work` on a thread with the usual priority, and waits for it: for what others wait for too.
pub fn usually<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if !IS_NICE.get() {
        return work();
    }
    let take = |work: &Mutex<Option<_>>| {
        let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
        work.take()
    };
    let kept = Arc::new(Mutex::new(Some(work)));
    let (done, outcome) = mpsc::sync_channel(1);
    let handed = kept.clone();
    in_background(move || {
        if let Some(work) = take(&handed) {
            // It is waited for.
            let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
        }
    });
    match resting(|| outcome.recv()) {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => resume_unwind(panic),
        // No thread could be started.
        Err(_) => match take(&kept) {
            Some(work) => work(),
            None => resume_unwind(Box::new("a thread ended that was waited for")),
        },
    }
}

/// Runs `work`, which blocks, on another thread, with the usual priority.
pub(crate) fn in_background(work: impl FnOnce() + Send + 'static) {
    if IS_NICE.get() {
        if let Ok(usual) = &*USUAL {
            // One of its own threads starts another if need be.
            drop(usual.spawn(async { drop(tokio::task::spawn_blocking(work)) }));
            return;
        }
    } else if let Ok(runtime) = Handle::try_current() {
        runtime.spawn_blocking(work);
        return;
    }
    let started = std::thread::Builder::new()
        .name("trellis-writer".to_owned())
        .spawn(work);
    if let Err(error) = started {
        // The work is dropped, and what it was to do is told to be undone.
        tracing::error!(%error, "no thread can be started");
    }
}

/// The runtime of what the calling thread starts and others wait for.
pub(crate) fn runtime() -> Option<Handle> {
    match IS_NICE.get() {
        true => USUAL.as_ref().ok().map(|usual| usual.handle().clone()),
        false => Handle::try_current().ok(),
    }
}

/// Makes the calling thread, and those that it starts, give way to others.
pub(crate) fn give_way_from_now_on() {
    // Others wait for the threads of these, which have the priority of whoever starts them: until now the
    // calling thread has that of the process, or another has been here before it.
    LazyLock::force(&USUAL);
    crate::store::bucket::start_requests();
    GIVES_WAY.set(true);
    IS_NICE.set(true);
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
    async fn what_others_wait_for_has_the_usual_priority_wherever_it_begins() {
        let (before, _) = niceness();
        let aside = run(|| {
            let (told, found) = mpsc::channel();
            in_background(move || {
                // From there on it is as anywhere.
                let again = told.clone();
                in_background(move || again.send((niceness(), gives_way())).expect("waits"));
                told.send((niceness(), gives_way())).expect("waits");
            });
            let mut found: Vec<_> = found.iter().collect();
            found.push(usually(|| (niceness(), gives_way())));
            let panicked = catch_unwind(|| usually(|| panic!("as a defect would")));
            assert!(panicked.is_err());
            (found, gives_way())
        });
        let usual = ((before, before), false);
        assert_eq!(aside.await.expect("ends"), (vec![usual; 3], true));
        let here = std::thread::current().id();
        assert_eq!(usually(|| std::thread::current().id()), here);
    }

    #[tokio::test]
    async fn who_waits_for_a_disk_is_counted_and_who_works() {
        let working = || WORKING.load(Ordering::Relaxed);
        let rests = run(move || (working(), resting(|| resting(working)), working()));
        assert_eq!(rests.await.expect("ends"), (1, 0, 1));
        let rests = run(|| catch_unwind(|| resting(|| panic!("as a defect would"))));
        rests.await.expect("ends").expect_err("it panics");
        assert_eq!((working(), resting(working)), (0, 0));
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
