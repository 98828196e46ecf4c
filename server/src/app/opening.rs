//! Waiting for a graph that is not open: it may take long, and whoever waits has a thread. So only so
//! many wait for one graph, of one principal, and in all; the others are told to come back.
//!
//! Queries, exports and loads have their turns ([`super::admission`]), which bound them already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::Permit;
use registry::{Reader, Writer};
use storage_engine::{At, PastLimits};

use super::{App, Error, blocking};

/// Who wait for one graph.
const OF_GRAPH: usize = 8;
/// Who wait of one principal.
const OF_PRINCIPAL: usize = 16;
/// Who wait in all: half of the threads that there are for what blocks.
const OF_ALL: usize = 256;

/// Everybody who waits for a graph.
#[derive(Debug, Default)]
pub(crate) struct Openings(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    graphs: HashMap<String, usize>,
    principals: HashMap<String, usize>,
    all: usize,
}

/// A place among those who wait, given up when dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    openings: Arc<Openings>,
    graph: String,
    principal: String,
}

impl App {
    /// A snapshot of the graph that the permit is for, and the permit; opened by waiting if need be.
    pub(crate) async fn reader(
        self: &Arc<Self>,
        permit: Permit,
    ) -> Result<(Reader, Permit), Error> {
        if let Some(reader) = self.registry.reader_at_once(&permit)? {
            return Ok((reader, permit));
        }
        let (wait, registry) = (self.openings.enter(&permit)?, self.registry.clone());
        blocking(move || {
            let _wait = wait;
            Ok((registry.reader(&permit)?, permit))
        })
        .await
    }

    /// The graph that the permit is for as it is, or as it was. Blocks, also on a thread that gives way:
    /// whatever others may wait for is done on one that does not.
    pub(crate) fn reader_at(
        &self,
        permit: &Arc<Permit>,
        at: Option<At>,
        limits: &PastLimits,
    ) -> Result<Reader, Error> {
        let newest = match self.registry.reader_at_once(permit)? {
            Some(reader) => reader,
            None => {
                let (registry, permit) = (self.registry.clone(), permit.clone());
                usually(move || registry.reader(&permit))?
            }
        };
        Ok(match at {
            Some(at) => newest.at(at, limits)?,
            None => newest,
        })
    }

    /// The way to write to it, in the same manner as [`Self::reader_at`].
    pub(crate) fn writer_in_turn(&self, permit: &Arc<Permit>) -> Result<Writer, Error> {
        if let Some(writer) = self.registry.writer_at_once(permit)? {
            return Ok(writer);
        }
        let (registry, permit) = (self.registry.clone(), permit.clone());
        Ok(usually(move || registry.writer(&permit))?)
    }

    /// The way to write to it, in the same manner as [`Self::reader`].
    pub(crate) async fn writer(
        self: &Arc<Self>,
        permit: Permit,
    ) -> Result<(Writer, Permit), Error> {
        if let Some(writer) = self.registry.writer_at_once(&permit)? {
            return Ok((writer, permit));
        }
        let (wait, registry) = (self.openings.enter(&permit)?, self.registry.clone());
        blocking(move || {
            let _wait = wait;
            Ok((registry.writer(&permit)?, permit))
        })
        .await
    }
}

/// Runs `work` on a thread that does not give way, within the request's log span.
fn usually<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let span = tracing::Span::current();
    storage_engine::aside::usually(move || span.in_scope(work))
}

impl Openings {
    /// A place among those who wait for the graph of the permit.
    pub(crate) fn enter(self: &Arc<Self>, permit: &Permit) -> Result<Wait, Error> {
        self.enter_as(
            permit.principal().id.as_str(),
            permit.graph_id().unwrap_or_default(),
        )
    }

    fn enter_as(self: &Arc<Self>, principal: &str, graph: &str) -> Result<Wait, Error> {
        let mut waiting = self.waiting();
        let of = |counts: &HashMap<String, usize>, name| counts.get(name).copied().unwrap_or(0);
        if waiting.all >= OF_ALL
            || of(&waiting.graphs, graph) >= OF_GRAPH
            || of(&waiting.principals, principal) >= OF_PRINCIPAL
        {
            return Err(Error::Opening);
        }
        waiting.all += 1;
        *waiting.graphs.entry(graph.to_owned()).or_default() += 1;
        *waiting.principals.entry(principal.to_owned()).or_default() += 1;
        drop(waiting);
        Ok(Wait {
            openings: self.clone(),
            graph: graph.to_owned(),
            principal: principal.to_owned(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Counts cannot be half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiting = self.openings.waiting();
        let waiting = &mut *waiting;
        waiting.all = waiting.all.saturating_sub(1);
        let counts = [
            (&mut waiting.graphs, &self.graph),
            (&mut waiting.principals, &self.principal),
        ];
        for (counts, name) in counts {
            if let Some(count) = counts.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_leaves_threads_for_others() {
        let openings = Arc::<Openings>::default();
        let enter = |principal: &str, graph: &str| openings.enter_as(principal, graph);
        let mut waits: Vec<_> = (0..OF_GRAPH)
            .map(|_| enter("a", "slow").expect("room"))
            .collect();
        assert!(matches!(enter("b", "slow"), Err(Error::Opening)));
        waits.extend((OF_GRAPH..OF_PRINCIPAL).map(|_| enter("a", "other").expect("room")));
        assert!(matches!(enter("a", "third"), Err(Error::Opening)));
        enter("b", "third").expect("another's place");
        for number in waits.len()..OF_ALL {
            let wait = enter(&format!("p{number}"), &format!("g{number}"));
            waits.push(wait.expect("room"));
        }
        assert!(matches!(enter("b", "third"), Err(Error::Opening)));
        drop(waits);
        let waiting = openings.waiting();
        assert!(waiting.graphs.is_empty() && waiting.principals.is_empty() && waiting.all == 0);
    }
}
