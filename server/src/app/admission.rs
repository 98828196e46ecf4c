//! Whose query runs next: so many at once for each principal and each graph, the rest in a queue of its
//! principal. Turns go round the principals, so that one who asks much waits for itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Error;

/// Queries of one principal that may wait.
const QUEUE: usize = 64;
/// Queries of everybody that may wait.
const QUEUES: usize = 4_096;
/// What a query takes, as long as nothing is known of it, in seconds.
const GUESS: f64 = 0.1;
/// How much the newest query counts in what is known of all.
const WEIGHT: f64 = 0.1;

/// How many may run at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    pub(crate) per_principal: usize,
    pub(crate) per_graph: usize,
}

/// Everybody who runs and waits.
#[derive(Default)]
pub(crate) struct Admission(Mutex<State>);

#[derive(Default)]
struct State {
    principals: HashMap<String, usize>,
    graphs: HashMap<String, usize>,
    waiting: HashMap<String, VecDeque<Waiting>>,
    /// Principals with a queue, the next one first.
    turns: VecDeque<String>,
    count: usize,
    /// Seconds that a query takes, about; 0 before there was one.
    seconds: f64,
}

struct Waiting {
    graph: String,
    shares: Shares,
    go: oneshot::Sender<Slot>,
}

/// A place among those that run, given up when dropped.
pub(crate) struct Slot {
    admission: Arc<Admission>,
    principal: String,
    graph: String,
    begun: Instant,
}

impl Admission {
    /// Waits for a place until `deadline`; refuses at once who has too many waiting.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        principal: &str,
        graph: &str,
        shares: Shares,
        deadline: Instant,
    ) -> Result<Slot, Error> {
        let turn = {
            let mut state = self.state();
            let queue = state.queue_of(principal);
            if queue == 0 && state.has_room(principal, graph, shares) {
                state.take(principal, graph);
                return Ok(self.slot(principal, graph));
            }
            if queue >= QUEUE || state.count >= QUEUES {
                return Err(Error::TooManyQueries {
                    retry_after: state.time_for(queue, shares),
                });
            }
            let (go, turn) = oneshot::channel();
            let waiting = Waiting {
                graph: graph.to_owned(),
                shares,
                go,
            };
            state.wait(principal, waiting);
            turn
        };
        match tokio::time::timeout_at(deadline.into(), turn).await {
            Ok(Ok(slot)) => Ok(slot),
            // A sender is never dropped without a word.
            Ok(Err(_)) => Err(Error::BrokenOff),
            Err(_) => Err(Error::Execute(
                storage_engine::executor::ExecuteError::Deadline,
            )),
        }
    }

    /// A place when nobody else has one.
    pub(crate) fn enter_alone(self: &Arc<Self>, principal: &str, graph: &str) -> Option<Slot> {
        let mut state = self.state();
        if !state.principals.is_empty() {
            return None;
        }
        state.take(principal, graph);
        drop(state);
        Some(self.slot(principal, graph))
    }

    /// How many run and how many wait.
    pub(crate) fn tally(&self) -> (usize, usize) {
        let state = self.state();
        (state.principals.values().sum(), state.count)
    }

    fn slot(self: &Arc<Self>, principal: &str, graph: &str) -> Slot {
        Slot {
            admission: self.clone(),
            principal: principal.to_owned(),
            graph: graph.to_owned(),
            begun: Instant::now(),
        }
    }

    /// Lets in whoever may come by now.
    fn advance(self: &Arc<Self>) {
        loop {
            let next = self.state().next();
            let Some((principal, waiting)) = next else {
                return;
            };
            let slot = self.slot(&principal, &waiting.graph);
            // Who has gone away gives the place back by dropping it.
            drop(waiting.go.send(slot));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counts cannot be half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, principal: &str, graph: &str, shares: Shares) -> bool {
        let of = |counts: &HashMap<String, usize>, name| counts.get(name).copied().unwrap_or(0);
        of(&self.principals, principal) < shares.per_principal
            && of(&self.graphs, graph) < shares.per_graph
    }

    fn take(&mut self, principal: &str, graph: &str) {
        *self.principals.entry(principal.to_owned()).or_default() += 1;
        *self.graphs.entry(graph.to_owned()).or_default() += 1;
    }

    fn give_back(&mut self, principal: &str, graph: &str, seconds: f64) {
        for (counts, name) in [(&mut self.principals, principal), (&mut self.graphs, graph)] {
            if let Some(count) = counts.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(name);
                }
            }
        }
        self.seconds = match self.seconds {
            0.0 => seconds,
            known => known + WEIGHT * (seconds - known),
        };
    }

    /// How many of a principal's wait still.
    fn queue_of(&mut self, principal: &str) -> usize {
        let Some(queue) = self.waiting.get_mut(principal) else {
            return 0;
        };
        let before = queue.len();
        queue.retain(|waiting| !waiting.go.is_closed());
        self.count -= before - queue.len();
        queue.len()
    }

    fn wait(&mut self, principal: &str, waiting: Waiting) {
        if !self.waiting.contains_key(principal) {
            self.turns.push_back(principal.to_owned());
        }
        let queue = self.waiting.entry(principal.to_owned()).or_default();
        queue.push_back(waiting);
        self.count += 1;
    }

    /// The first of the next principal who may run it, its place taken.
    fn next(&mut self) -> Option<(String, Waiting)> {
        for _ in 0..self.turns.len() {
            let principal = self.turns.pop_front()?;
            let mut queue = self.waiting.remove(&principal).unwrap_or_default();
            // Who does not wait any more is in nobody's way.
            let before = queue.len();
            queue.retain(|waiting| !waiting.go.is_closed());
            self.count -= before - queue.len();
            let may = queue
                .front()
                .is_some_and(|first| self.has_room(&principal, &first.graph, first.shares));
            let first = if may { queue.pop_front() } else { None };
            if !queue.is_empty() {
                self.waiting.insert(principal.clone(), queue);
                self.turns.push_back(principal.clone());
            }
            if let Some(first) = first {
                self.count -= 1;
                self.take(&principal, &first.graph);
                return Some((principal, first));
            }
        }
        None
    }

    fn time_for(&self, queue: usize, shares: Shares) -> Duration {
        let each = if self.seconds > 0.0 {
            self.seconds
        } else {
            GUESS
        };
        let rounds = (queue as f64 / shares.per_principal.max(1) as f64).max(1.0);
        Duration::from_secs_f64((each * rounds).clamp(1.0, 3_600.0))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut state = self.admission.state();
        state.give_back(&self.principal, &self.graph, seconds);
        drop(state);
        self.admission.advance();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: Shares = Shares {
        per_principal: 1,
        per_graph: 2,
    };

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn who_asks_much_waits_for_itself() {
        let admission = Arc::new(Admission::default());
        let first = admission
            .enter("a", "g", SHARES, soon())
            .await
            .expect("room");
        let (done, mut order) = tokio::sync::mpsc::channel(8);
        let waits = |principal: &'static str| {
            let (admission, done) = (admission.clone(), done.clone());
            tokio::spawn(async move {
                let slot = admission
                    .enter(principal, "g", SHARES, soon())
                    .await
                    .expect("a turn");
                done.send(principal).await.expect("heard");
                drop(slot);
            })
        };
        let mut tasks = Vec::new();
        for principal in ["a", "a", "a"] {
            tasks.push(waits(principal));
            tokio::task::yield_now().await;
        }
        // Another principal is let in at once, though three wait before it.
        let other = admission
            .enter("b", "g", SHARES, soon())
            .await
            .expect("room");
        // The graph is full now.
        tasks.push(waits("c"));
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(order.recv().await, Some("a"));
        drop(other);
        for task in tasks {
            task.await.expect("ends");
        }
        let mut rest = Vec::new();
        while let Ok(principal) = order.try_recv() {
            rest.push(principal);
        }
        assert_eq!(rest.len(), 3);
        assert!(
            rest[..2].contains(&"c"),
            "c had its turn before the last a: {rest:?}"
        );
        let state = admission.state();
        assert!(state.principals.is_empty() && state.graphs.is_empty());
        assert!(state.waiting.is_empty() && state.turns.is_empty() && state.count == 0);
    }

    #[tokio::test]
    async fn a_queue_is_bounded_and_a_wait_too() {
        let admission = Arc::new(Admission::default());
        let slot = admission
            .enter("a", "g", SHARES, soon())
            .await
            .expect("room");
        let near = Instant::now() + Duration::from_millis(50);
        let late = admission.enter("a", "g", SHARES, near).await;
        assert!(matches!(late, Err(Error::Execute(_))));
        let mut waiting = Vec::new();
        for _ in 0..QUEUE {
            let admission = admission.clone();
            waiting.push(tokio::spawn(async move {
                admission.enter("a", "g", SHARES, soon()).await.map(drop)
            }));
            tokio::task::yield_now().await;
        }
        match admission.enter("a", "g", SHARES, soon()).await {
            Err(Error::TooManyQueries { retry_after }) => assert!(retry_after.as_secs() >= 1),
            _ => panic!("not refused"),
        }
        drop(slot);
        for one in waiting {
            one.await.expect("ends").expect("its turn came");
        }
        assert_eq!(admission.state().count, 0);
    }
}
