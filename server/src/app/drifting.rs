//! Whether the config file is another one than the one that is served.
//!
//! The answer is on a disk that may not answer: one thread looks for all who ask meanwhile, and nobody waits
//! for it for long.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use registry::config::Drift;
use registry::{Registry, with_causes};
use tokio::sync::watch;

use super::App;

/// How long whoever asks waits for the disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// A look at the disk that is under way: `None` until it has ended.
type Look = watch::Receiver<Option<bool>>;

/// The last look.
#[derive(Default)]
pub(crate) struct Drifting(Mutex<Option<Look>>);

impl App {
    /// Whether the file was changed by anybody but us. A file that cannot be read now is not the one that was
    /// read.
    pub(crate) async fn has_drifted(&self) -> bool {
        let registry = self.registry.clone();
        let look = move || look(&registry);
        let told = self.drifting.told(look, PATIENCE).await;
        told.unwrap_or_else(|| {
            tracing::warn!("the disk does not say whether the config file was changed");
            true
        })
    }
}

fn look(registry: &Registry) -> bool {
    match registry.drift() {
        Ok((drift, _)) => drift == Drift::Drifted,
        Err(error) => {
            let error = with_causes(&error);
            tracing::warn!(error, "the config file cannot be compared");
            true
        }
    }
}

impl Drifting {
    /// What `look` says, or who looks already; `None` when that takes too long.
    async fn told(
        &self,
        look: impl FnOnce() -> bool + Send + 'static,
        patience: Duration,
    ) -> Option<bool> {
        let mut looking = self.join(look);
        let ended = tokio::time::timeout(patience, looking.wait_for(Option::is_some)).await;
        // One that has panicked has told nobody, and its hook has logged it.
        let said = ended.ok()?.ok()?;
        *said
    }

    fn join(&self, look: impl FnOnce() -> bool + Send + 'static) -> Look {
        // A receiver cannot be half written.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = last.as_ref().filter(|last| {
            // The sender goes when the look ends, whether it has said something or not.
            last.has_changed().is_ok() && last.borrow().is_none()
        });
        if let Some(under_way) = under_way {
            return under_way.clone();
        }
        let (telling, looking) = watch::channel(None);
        tokio::task::spawn_blocking(move || telling.send_replace(Some(look())));
        *last = Some(looking.clone());
        looking
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    use super::*;

    #[tokio::test]
    async fn one_thread_looks_for_all_and_nobody_waits_for_long() {
        let drifting = Arc::new(Drifting::default());
        let looks = Arc::new(AtomicUsize::new(0));
        let (release, released) = mpsc::channel::<bool>();
        let released = Arc::new(Mutex::new(released));
        let ask = |patience| {
            let (drifting, looks, released) = (drifting.clone(), looks.clone(), released.clone());
            async move {
                let look = move || {
                    looks.fetch_add(1, Ordering::Relaxed);
                    let released = released.lock().expect("one at a time");
                    released.recv().expect("it is released")
                };
                drifting.told(look, patience).await
            }
        };
        let short = Duration::from_millis(20);
        for _ in 0..5 {
            assert_eq!(ask(short).await, None, "the disk hangs");
        }
        assert_eq!(looks.load(Ordering::Relaxed), 1);
        let long = Duration::from_secs(30);
        let waiting = tokio::spawn(ask(long));
        tokio::task::yield_now().await;
        release.send(true).expect("it waits");
        assert_eq!(waiting.await.expect("ends"), Some(true));
        // What it said is not said again: the next one looks for itself.
        release.send(false).expect("it waits");
        assert_eq!(ask(long).await, Some(false));
        assert_eq!(looks.load(Ordering::Relaxed), 2);
    }
}
