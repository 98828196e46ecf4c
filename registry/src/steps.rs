//! The durable effects of every change, each with a name, so that a test can end an attempt after any
//! of them as a crash would; and how a registry behaves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Error;

/// An effect of a change; what a fault hook is asked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The intent is on the disk.
    IntentWritten,
    /// The graph's folder is there.
    FolderMade,
    /// The engine has put an empty graph into it.
    StorageInitialised,
    /// What is known of the deleted graph is on the disk.
    DeletionRecorded,
    /// The new config is on the disk under a temporary name.
    ConfigPrepared,
    /// The new config has taken the old one's name.
    ConfigReplaced,
    /// The new digest is recorded for other processes.
    DigestRecorded,
    /// The answer to the request's `Idempotency-Key` is kept.
    AnswerKept,
    /// The record of the deleted graph is gone, for the graph is back.
    DeletionForgotten,
    /// The new version is served.
    Published,
    /// The intent is gone.
    IntentEnded,
    /// The deleted graph cannot be restored any more.
    PurgeBegun,
    /// What the engine made in the folder is gone, but for the mark of whose it is.
    FilesRemoved,
    /// The mark is gone.
    MarkRemoved,
    /// An empty folder is gone that was the graph's, or made for it.
    FolderRemoved,
    /// It is written down that the graph was purged.
    PurgeRecorded,
    /// The record of the deletion is gone, for that of the purge is there.
    PurgeEnded,
    /// A temporary file that a crash left is gone.
    TemporaryRemoved,
}

impl Step {
    /// What a create does, in this order.
    pub const CREATE: &[Self] = &[
        Self::IntentWritten,
        Self::FolderMade,
        Self::StorageInitialised,
        Self::ConfigPrepared,
        Self::ConfigReplaced,
        Self::DigestRecorded,
        Self::AnswerKept,
        Self::Published,
        Self::IntentEnded,
    ];
    /// What an update does.
    pub const UPDATE: &[Self] = &[
        Self::IntentWritten,
        Self::ConfigPrepared,
        Self::ConfigReplaced,
        Self::DigestRecorded,
        Self::Published,
        Self::IntentEnded,
    ];
    /// What a delete does.
    pub const DELETE: &[Self] = &[
        Self::IntentWritten,
        Self::DeletionRecorded,
        Self::ConfigPrepared,
        Self::ConfigReplaced,
        Self::DigestRecorded,
        Self::Published,
        Self::IntentEnded,
    ];
    /// What a restore does.
    pub const RESTORE: &[Self] = &[
        Self::IntentWritten,
        Self::ConfigPrepared,
        Self::ConfigReplaced,
        Self::DigestRecorded,
        Self::DeletionForgotten,
        Self::Published,
        Self::IntentEnded,
    ];
    /// What a purge does.
    pub const PURGE: &[Self] = &[
        Self::PurgeBegun,
        Self::FilesRemoved,
        Self::MarkRemoved,
        Self::FolderRemoved,
        Self::PurgeRecorded,
        Self::PurgeEnded,
    ];
    /// What a reload does when one deleted graph stands in the file again. What crashes left, it settles
    /// before, as every change does.
    pub const RELOAD: &[Self] = &[Self::DeletionForgotten, Self::Published];
}

/// Asked after every [`Step`]; `true` ends the attempt there without any clean-up, as a crash
/// would. A test of processes may kill its own instead.
pub type FaultHook = Arc<dyn Fn(Step) -> bool + Send + Sync>;

/// Names, counted from 1 since the process began, the step after which a process of a debug build kills
/// itself: for tests that want a crash and not an error.
#[cfg(debug_assertions)]
const KILL_AFTER_STEP: &str = "TRELLIS_TEST_KILL_AFTER_STEP";

#[cfg(debug_assertions)]
fn killing_hook() -> Option<FaultHook> {
    use std::sync::atomic::{AtomicU64, Ordering};
    let last: u64 = std::env::var(KILL_AFTER_STEP).ok()?.parse().ok()?;
    let taken = AtomicU64::new(0);
    Some(Arc::new(move |_| {
        if taken.fetch_add(1, Ordering::Relaxed) + 1 == last {
            let own = rustix::process::getpid();
            let _dead = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        }
        false
    }))
}

#[cfg(not(debug_assertions))]
fn killing_hook() -> Option<FaultHook> {
    None
}

/// How a registry behaves.
#[derive(Clone)]
pub struct Options {
    /// The longest wait for the lock on the config file.
    pub lock_patience: Duration,
    /// The longest wait for a graph's writer to let go of it, when the graph is to be deleted.
    pub fence_patience: Duration,
    /// How graphs are kept; how far back their past can be read, the config file says.
    pub storage: storage_engine::Options,
    /// For tests.
    pub fault_hook: Option<FaultHook>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lock_patience: Duration::from_secs(10),
            fence_patience: Duration::from_secs(5),
            storage: storage_engine::Options::default(),
            fault_hook: None,
        }
    }
}

impl Options {
    /// For a process of its own, which a test of a debug build may have die after a step.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            fault_hook: killing_hook(),
            ..Self::default()
        }
    }

    /// Ends the attempt where a test wants it to end.
    pub(crate) fn after(&self, step: Step) -> Result<(), Error> {
        match &self.fault_hook {
            Some(halts) if halts(step) => Err(Error::Halted(step)),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("lock_patience", &self.lock_patience)
            .field("fence_patience", &self.fence_patience)
            .field("storage", &self.storage)
            .field("fault_hook", &self.fault_hook.is_some())
            .finish()
    }
}
