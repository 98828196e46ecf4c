//! Writes that wait: in turns, one principal after the other, and not without end.
//!
//! [`Places`] bounds how many writes are under way, and how many bytes they hold: a principal may
//! have as many places as are free, so that however many it asks for, there are some for the others.
//! [`Lines`] has the writes of each principal in order; of the principals, each has one turn after
//! the other. Of two [`Lines`], one leads to the committer and one to the threads that run long
//! statements beside it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use language::schema::TypeId;
use rustc_hash::FxHashMap;

use super::commit::unpoisoned;
use super::job::Job;

/// A write in a line, under a number of its own.
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) job: Job,
}

/// Lines of writes, one for each principal that has any.
#[derive(Default)]
pub(super) struct Lines {
    lines: FxHashMap<Arc<str>, VecDeque<Entry>>,
    /// Those that have a line, in the order of their turns.
    turns: VecDeque<Arc<str>>,
}

impl Lines {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// At the end of its principal's line.
    pub(super) fn push(&mut self, entry: Entry) {
        let principal = entry.job.place.principal.clone();
        let line = self.lines.entry(principal.clone()).or_default();
        line.push_back(entry);
        if line.len() == 1 {
            self.turns.push_back(principal);
        }
    }

    /// Before everything else: it has waited for its turn already.
    pub(super) fn push_first(&mut self, entry: Entry) {
        let principal = entry.job.place.principal.clone();
        let line = self.lines.entry(principal.clone()).or_default();
        line.push_front(entry);
        if line.len() > 1 {
            self.turns.retain(|other| *other != principal);
        }
        self.turns.push_front(principal);
    }

    /// The first of the principal whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.pop_of(|_| true)
    }

    /// The first of the next principal that `may`.
    pub(super) fn pop_of(&mut self, may: impl Fn(&str) -> bool) -> Option<Entry> {
        let turn = self.turns.iter().position(|principal| may(principal))?;
        let principal = self.turns.remove(turn)?;
        let line = self.lines.get_mut(&principal)?;
        let entry = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&principal);
        } else {
            self.turns.push_back(principal);
        }
        entry
    }

    /// The one that [`Self::pop`] would give.
    fn first(&self) -> Option<&Entry> {
        self.lines.get(self.turns.front()?)?.front()
    }

    /// Takes one out of its line, if it is there.
    pub(super) fn remove(&mut self, principal: &str, number: u64) -> Option<Entry> {
        let line = self.lines.get_mut(principal)?;
        let place = line.iter().position(|entry| entry.number == number)?;
        let entry = line.remove(place);
        if line.is_empty() {
            self.lines.remove(principal);
            self.turns.retain(|other| other.as_ref() != principal);
        }
        entry
    }

    fn drain(&mut self) -> impl Iterator<Item = Entry> + use<> {
        self.turns.clear();
        std::mem::take(&mut self.lines).into_values().flatten()
    }
}

/// Writes that wait, and who works on them.
#[derive(Default)]
pub(super) struct Queue {
    /// For the committer.
    pub(super) lines: Lines,
    /// For a thread beside it.
    pub(super) long: Lines,
    /// The types that one long statement has for itself until it is done.
    reserved: Option<BTreeSet<TypeId>>,
    /// Those that would change such a type.
    held: Lines,
    /// How many long statements of each principal run beside it now.
    running: FxHashMap<Arc<str>, usize>,
    numbers: u64,
    /// Someone takes from the lines until they are empty.
    led: bool,
    pace: Pace,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("led", &self.led)
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// Puts a write in its line; gives its number, and whether the caller is to lead.
    pub(super) fn enter(&mut self, job: Job) -> (u64, bool) {
        let number = self.numbers;
        self.numbers += 1;
        self.lines.push(Entry { number, job });
        (number, self.must_lead())
    }

    /// Puts back what ran beside the committer; says whether the caller is to lead.
    pub(super) fn come_back(&mut self, entry: Entry) -> bool {
        self.lines.push_first(entry);
        self.must_lead()
    }

    fn must_lead(&mut self) -> bool {
        !std::mem::replace(&mut self.led, true)
    }

    /// Takes one out, wherever it waits.
    pub(super) fn remove(&mut self, principal: &str, number: u64) -> Option<Entry> {
        let entry = self.lines.remove(principal, number);
        let entry = entry.or_else(|| self.long.remove(principal, number));
        entry.or_else(|| self.held.remove(principal, number))
    }

    /// Keeps these types for one statement, unless another has some for itself.
    pub(super) fn reserve(&mut self, types: &BTreeSet<TypeId>) -> bool {
        let free = self.reserved.is_none();
        if free {
            self.reserved = Some(types.clone());
        }
        free
    }

    /// Whether a statement has any type for itself, or one of these.
    pub(super) fn is_reserved(&self, types: Option<&BTreeSet<TypeId>>) -> bool {
        self.reserved
            .as_ref()
            .is_some_and(|reserved| types.is_none_or(|types| !types.is_disjoint(reserved)))
    }

    /// Puts a write aside until nothing is reserved.
    pub(super) fn hold(&mut self, entry: Entry) {
        if self.reserved.is_some() {
            self.held.push(entry);
        } else {
            self.lines.push_first(entry);
        }
    }

    /// Ends a reservation; says whether the caller is to lead.
    pub(super) fn release(&mut self) -> bool {
        self.reserved = None;
        while let Some(entry) = self.held.pop() {
            self.lines.push(entry);
        }
        !self.lines.is_empty() && self.must_lead()
    }

    /// Ends leading when there is nothing to do.
    pub(super) fn ends(&mut self) -> bool {
        if self.lines.is_empty() {
            self.led = false;
        }
        !self.led
    }

    /// Everything that waits; nobody leads any more.
    pub(super) fn abandon(&mut self) -> Vec<Entry> {
        self.led = false;
        self.clear()
    }

    /// Everything that waits.
    pub(super) fn clear(&mut self) -> Vec<Entry> {
        let lines = self.lines.drain();
        lines
            .chain(self.long.drain())
            .chain(self.held.drain())
            .collect()
    }

    /// Puts a long statement in its line. One that has types for itself comes before everything
    /// else: whoever would change them waits for it.
    pub(super) fn push_long(&mut self, entry: Entry) {
        match entry.job.has_reservation() {
            true => self.long.push_first(entry),
            false => self.long.push(entry),
        }
    }

    /// The next long statement that may run now, of `limit` at most; one principal never has all
    /// places. One that has types for itself needs none.
    pub(super) fn begin_long(&mut self, limit: usize) -> Option<Entry> {
        let first = self.long.first();
        let reserves = first.is_some_and(|entry| entry.job.has_reservation());
        if !reserves && self.running.values().sum::<usize>() >= limit {
            return None;
        }
        let own = limit.saturating_sub(1).max(1);
        let running = &self.running;
        let may =
            |principal: &str| reserves || running.get(principal).is_none_or(|count| *count < own);
        let entry = self.long.pop_of(may)?;
        let principal = entry.job.place.principal.clone();
        *self.running.entry(principal).or_default() += 1;
        Some(entry)
    }

    /// A long statement has run.
    pub(super) fn end_long(&mut self, principal: &str) {
        if let Some(count) = self.running.get_mut(principal) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(principal);
            }
        }
    }

    pub(super) fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }
}

/// How long writes take.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Of one write, its share of the group: a moving average.
    each: Duration,
    /// Since when the group now under way is.
    since: Option<Instant>,
}

impl Pace {
    pub(super) fn begin(&mut self) {
        self.since = Some(Instant::now());
    }

    /// The group is done; it had so many writes.
    pub(super) fn end(&mut self, writes: u32) {
        let Some(since) = self.since.take() else {
            return;
        };
        if writes > 0 {
            let each = since.elapsed() / writes;
            self.each = if self.each.is_zero() {
                each
            } else {
                (self.each * 7 + each) / 8
            };
        }
    }

    /// When a write behind so many others would have its turn, as far as can be told: what takes
    /// long already, takes as long again.
    fn wait(&self, ahead: usize) -> Duration {
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let now = self.since.map(|since| since.elapsed()).unwrap_or_default();
        self.each.saturating_mul(ahead).max(LEAST_WAIT) + now
    }
}

/// Nobody is told to come back sooner.
const LEAST_WAIT: Duration = Duration::from_millis(1);

impl Queue {
    /// When to try again, with so many writes under way.
    pub(super) fn retry_after(&self, waiting: usize) -> Duration {
        self.pace.wait(waiting)
    }
}

/// Room for writes, until they are answered.
#[derive(Debug)]
pub(super) struct Places {
    writes: usize,
    bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: Share,
    principals: FxHashMap<Arc<str>, Share>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    writes: usize,
    bytes: usize,
}

/// The room of one write; given back when this is gone.
pub(super) struct Place {
    places: Arc<Places>,
    pub(super) principal: Arc<str>,
    bytes: usize,
}

impl Places {
    pub(super) fn new(writes: usize, bytes: usize) -> Self {
        Self {
            writes,
            bytes,
            held: Mutex::default(),
        }
    }

    /// Room for a write of this principal that holds `bytes`; else how many writes are under way.
    ///
    /// There is none when the principal has as many places already as are free, or would hold more
    /// bytes than are free. No write counts for more than half of all bytes, so that a large one has
    /// its chance.
    pub(super) fn take(self: &Arc<Self>, principal: &str, bytes: usize) -> Result<Place, usize> {
        let bytes = bytes.min(self.bytes / 2);
        let mut held = unpoisoned(&self.held);
        let own = held.principals.get(principal).copied().unwrap_or_default();
        let free = self.writes.saturating_sub(held.all.writes);
        let free_bytes = self.bytes.saturating_sub(held.all.bytes);
        let fits = bytes == 0 || own.bytes + bytes <= free_bytes;
        if own.writes >= free || !fits {
            return Err(held.all.writes);
        }
        held.all = held.all.with(bytes);
        let principal: Arc<str> = match held.principals.get_key_value(principal) {
            Some((known, _)) => known.clone(),
            None => principal.into(),
        };
        held.principals.insert(principal.clone(), own.with(bytes));
        Ok(Place {
            places: self.clone(),
            principal,
            bytes,
        })
    }
}

impl Share {
    fn with(self, bytes: usize) -> Self {
        Self {
            writes: self.writes + 1,
            bytes: self.bytes + bytes,
        }
    }

    fn without(self, bytes: usize) -> Self {
        Self {
            writes: self.writes - 1,
            bytes: self.bytes - bytes,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = unpoisoned(&self.places.held);
        held.all = held.all.without(self.bytes);
        if let Some(own) = held.principals.get_mut(&self.principal) {
            *own = own.without(self.bytes);
            if own.writes == 0 {
                held.principals.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(writes: usize, bytes: usize) -> Arc<Places> {
        Arc::new(Places::new(writes, bytes))
    }

    #[test]
    fn nobody_takes_every_place() {
        let places = places(1_024, 0);
        let mut held = Vec::new();
        for principal in 0..6 {
            let name = principal.to_string();
            let before = held.len();
            while let Ok(place) = places.take(&name, 0) {
                held.push(place);
            }
            assert!(held.len() > before, "{name} has none");
            assert!(held.len() < 1_024, "{name} left none");
        }
        let eve = held.iter().filter(|place| place.principal.as_ref() == "0");
        assert_eq!(eve.count(), 512);
        held.clear();
        assert!(unpoisoned(&places.held).principals.is_empty());
        assert_eq!(unpoisoned(&places.held).all.writes, 0);
    }

    #[test]
    fn bytes_are_shared_too() {
        let places = places(100, 1_000);
        let mut held = vec![places.take("eve", 5_000).expect("a large one")];
        assert!(places.take("eve", 1).is_err());
        held.extend(places.take("eve", 0).ok());
        held.extend(places.take("ann", 9_000).ok());
        assert_eq!(held.len(), 3, "one large one each");
        assert!(places.take("bob", 1).is_err());
        held.clear();
        while let Ok(place) = places.take("eve", 100) {
            held.push(place);
        }
        assert_eq!(held.len(), 5);
        assert!(places.take("ann", 200).is_ok());
    }

    #[test]
    fn one_cannot_say_when_without_having_seen_any() {
        let mut pace = Pace::default();
        assert_eq!(pace.wait(1_000), LEAST_WAIT);
        pace.each = Duration::from_millis(3);
        assert_eq!(pace.wait(1_000), Duration::from_secs(3));
        pace.since = Instant::now().checked_sub(Duration::from_secs(20));
        assert!(pace.wait(1) >= Duration::from_secs(20));
        pace.end(2);
        assert!(pace.each > Duration::from_secs(1), "{pace:?}");
    }
}
