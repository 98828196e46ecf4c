//! Whose request is begun next on one thread.
//!
//! A thread answers whatever has come in the order in which the system tells of it. Whoever has many
//! connections would be told of all at once, and who has one waits for all of them. So of each principal one
//! request is begun in a round; those that came with it wait for the next, and between two rounds the thread
//! looks for whatever else has come. Who asks one thing after the other never waits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// The rounds of one thread.
#[derive(Default)]
pub(crate) struct Rounds {
    hashing: RandomState,
    round: Mutex<Round>,
    waited_for: Notify,
}

/// Principals are known by a hash of their ids: who shares one shares its turns.
#[derive(Default)]
struct Round {
    begun: HashSet<u64>,
    waiting: HashMap<u64, VecDeque<oneshot::Sender<()>>>,
}

impl Rounds {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Waits until a request of this principal may begin.
    pub(crate) async fn enter(&self, principal: &str) {
        let principal = self.hashing.hash_one(principal);
        let turn = {
            let mut round = self.round();
            if round.begun.insert(principal) {
                return;
            }
            let (go, turn) = oneshot::channel();
            round.waiting.entry(principal).or_default().push_back(go);
            turn
        };
        self.waited_for.notify_one();
        // A round that is given up keeps nobody.
        let _ = turn.await;
    }

    /// Everything that had come was begun: whoever comes now is the first again.
    pub(crate) fn over(&self) {
        let mut round = self.round();
        if round.waiting.is_empty() {
            round.begun.clear();
        }
    }

    /// Lets those who wait begin, one of each principal a round: a task of the thread.
    pub(crate) async fn keep(&self) {
        loop {
            self.waited_for.notified().await;
            loop {
                // What has begun goes on, and what came meanwhile begins.
                tokio::task::yield_now().await;
                if !self.round().next() {
                    break;
                }
            }
        }
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        // Nothing panics meanwhile.
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Round {
    /// Begins the next round; says whether anybody waits for one after it.
    fn next(&mut self) -> bool {
        self.begun.clear();
        let begun = &mut self.begun;
        self.waiting.retain(|principal, waiting| {
            // Who has gone away has no turn.
            while let Some(go) = waiting.pop_front() {
                if go.send(()).is_ok() {
                    begun.insert(*principal);
                    break;
                }
            }
            !waiting.is_empty()
        });
        !self.begun.is_empty() || !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_each_principal_one_request_a_round() {
        let rounds = Rounds::new();
        let keeper = rounds.clone();
        let keeping = tokio::spawn(async move { keeper.keep().await });
        let order = Arc::new(Mutex::new(Vec::new()));
        let asks = |principal: &'static str, number: u32| {
            let (rounds, order) = (rounds.clone(), order.clone());
            tokio::spawn(async move {
                rounds.enter(principal).await;
                order.lock().expect("sound").push((principal, number));
            })
        };
        let mut asked: Vec<_> = (0..5).map(|number| asks("many", number)).collect();
        asked.extend((0..2).map(|number| asks("two", number)));
        // Everybody stands in line by now, and the first of each has begun.
        tokio::task::yield_now().await;
        asked.push(asks("late", 0));
        for one in asked {
            one.await.expect("ends");
        }
        let order = order.lock().expect("sound");
        assert_eq!(order[..2], [("many", 0), ("two", 0)]);
        assert!(order[2..5].contains(&("late", 0)), "{order:?}");
        assert!(order[2..5].contains(&("two", 1)), "{order:?}");
        let many: Vec<_> = order.iter().filter(|(who, _)| *who == "many").collect();
        assert!(many.is_sorted() && many.len() == 5, "{order:?}");
        keeping.abort();
    }

    #[tokio::test]
    async fn who_has_gone_away_has_no_turn_and_nobody_waits_without_cause() {
        let rounds = Rounds::new();
        rounds.enter("a").await;
        let gone = Box::pin(rounds.enter("a"));
        assert!(futures::poll!(gone).is_pending());
        // Nobody keeps these rounds: whoever waited now would wait for ever.
        rounds.enter("b").await;
        assert!(!rounds.round().next(), "who waited has gone away");
        rounds.enter("a").await;
        rounds.over();
        rounds.enter("a").await;
    }
}
