//! Concurrent clients' calls and answers against a sequential model.
//!
//! Each client calls statements at random, quick ones and long ones, while folds run. What it calls,
//! when, and what it is answered is recorded. Then the commits are carried out one after the other on
//! plain maps, in the order of their sequence: every answer must be what the model gives at that
//! place; every read, and every write that changed nothing, what the model gives at the commit that
//! it names; every failure what the model gives at some commit while it was under way; and nothing
//! may name a commit older than one that was acknowledged before it began. The seed is printed;
//! `TRELLIS_SEED` sets it, `TRELLIS_LONG` makes many rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use language::cypher;
use language::plan::Plan;
use language::value::Value;

use super::{Fixture, Random};
use crate::executor::{self, ExecuteError, Limits, Parameters};
use crate::{
    ChangeCounts, CommitError, Graph, Options, Transaction, Work, WriteError, WriteRequest,
};

/// How many names of persons there are: few, so that clients meet.
const NAMES: u64 = 6;
const CLIENTS: u64 = 6;
const CALLS: usize = 40;

/// What a client can call.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Create(String),
    Delete(String),
    Count(String),
    Connect(String, String),
    /// Reads all persons and relationships, writes a note of them.
    Note,
    /// Deletes every note.
    Forget,
    /// Only reads.
    Read,
}

impl Call {
    fn random(random: &mut Random) -> Self {
        let name = |random: &mut Random| format!("p{}", random.below(NAMES));
        match random.below(16) {
            0..4 => Self::Create(name(random)),
            4 => Self::Delete(name(random)),
            5..9 => Self::Count(name(random)),
            9 | 10 => Self::Connect(name(random), name(random)),
            11 | 12 => Self::Note,
            13 => Self::Forget,
            _ => Self::Read,
        }
    }

    fn text(&self) -> &'static str {
        match self {
            Self::Create(_) => "CREATE (p:Person {email: $a, age: 0}) RETURN p.age",
            Self::Delete(_) => "MATCH (p:Person {email: $a}) DETACH DELETE p",
            Self::Count(_) => "MATCH (p:Person {email: $a}) SET p.age = p.age + 1 RETURN p.age",
            Self::Connect(..) => {
                "MATCH (p:Person {email: $a}), (q:Person {email: $b}) CREATE (p)-[:Knows]->(q)
                 WITH p MATCH (p)-[k:Knows]->(:Person) RETURN count(k)"
            }
            Self::Note => {
                "MATCH (p:Person) WITH count(p) AS persons, sum(p.age) AS ages
                 OPTIONAL MATCH (:Person)-[k:Knows]->(:Person)
                 WITH persons, ages, count(k) AS edges CREATE (n:Note {text: 'a note'})
                 RETURN persons, ages, edges"
            }
            Self::Forget => "MATCH (n:Note) DETACH DELETE n",
            Self::Read => {
                "MATCH (p:Person) WITH count(p) AS persons, sum(p.age) AS ages
                 OPTIONAL MATCH (:Person)-[k:Knows]->(:Person)
                 WITH persons, ages, count(k) AS edges OPTIONAL MATCH (n:Note)
                 RETURN persons, ages, edges, count(n)"
            }
        }
    }

    fn parameters(&self) -> Parameters {
        let (a, b) = match self {
            Self::Create(a) | Self::Delete(a) | Self::Count(a) => (a.as_str(), ""),
            Self::Connect(a, b) => (a.as_str(), b.as_str()),
            Self::Note | Self::Forget | Self::Read => ("", ""),
        };
        let of = |name: &str, value: &str| (name.to_owned(), Value::from(value));
        BTreeMap::from([of("a", a), of("b", b)])
    }
}

/// What a call gives: its rows, all numbers; `None` when the key is taken.
type Rows = Option<Vec<Vec<i64>>>;

/// The graph as plain maps.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    ages: BTreeMap<String, i64>,
    edges: Vec<(String, String)>,
    notes: i64,
}

impl Model {
    fn sums(&self) -> Vec<i64> {
        let persons = i64::try_from(self.ages.len()).expect("few");
        let edges = i64::try_from(self.edges.len()).expect("few");
        vec![persons, self.ages.values().sum(), edges]
    }

    fn carry_out(&mut self, call: &Call) -> Rows {
        match call {
            Call::Create(name) => {
                if self.ages.contains_key(name) {
                    return None;
                }
                self.ages.insert(name.clone(), 0);
                Some(vec![vec![0]])
            }
            Call::Delete(name) => {
                self.ages.remove(name);
                self.edges.retain(|(from, to)| from != name && to != name);
                Some(Vec::new())
            }
            Call::Count(name) => {
                let age = self.ages.get_mut(name).map(|age| {
                    *age += 1;
                    vec![*age]
                });
                Some(age.into_iter().collect())
            }
            Call::Connect(from, to) => {
                if !self.ages.contains_key(from) || !self.ages.contains_key(to) {
                    return Some(vec![vec![0]]);
                }
                self.edges.push((from.clone(), to.clone()));
                let own = self.edges.iter().filter(|(other, _)| other == from);
                Some(vec![vec![i64::try_from(own.count()).expect("few")]])
            }
            Call::Note => {
                self.notes += 1;
                Some(vec![self.sums()])
            }
            Call::Forget => {
                self.notes = 0;
                Some(Vec::new())
            }
            Call::Read => {
                let mut sums = self.sums();
                sums.push(self.notes);
                Some(vec![sums])
            }
        }
    }
}

/// A call and its answer.
#[derive(Debug)]
struct Event {
    call: Call,
    begun: Instant,
    ended: Instant,
    rows: Rows,
    /// The commit that the answer names; what failed names none.
    sequence: Option<u64>,
    /// It made that commit.
    made: bool,
}

fn numbers(row: &[Value]) -> Vec<i64> {
    let number = |value: &Value| match value {
        Value::Int(value) => *value,
        other => panic!("not a number: {other:?}"),
    };
    row.iter().map(number).collect()
}

/// The statement as the server submits it; a slow one takes its time, so that it runs ahead.
fn work(
    plan: Arc<Plan>,
    set: Parameters,
    slow: Option<Duration>,
) -> Work<Vec<Vec<i64>>, ExecuteError> {
    let touched: BTreeSet<_> = plan.touches.types.keys().copied().collect();
    Work::ahead(touched, move |transaction: &mut Transaction| {
        let mut rows = Vec::new();
        let limits = Limits::default();
        executor::write(&plan, &set, transaction, &limits, &mut |row| {
            rows.push(numbers(row));
            ControlFlow::Continue(())
        })?;
        if let Some(slow) = slow {
            if transaction.budget().is_some() {
                transaction.end_over_budget();
                return Err(ExecuteError::OverBudget);
            }
            std::thread::sleep(slow);
        }
        Ok(rows)
    })
}

async fn client(
    graph: Graph,
    plans: Arc<BTreeMap<&'static str, Arc<Plan>>>,
    name: u64,
    seed: u64,
) -> Vec<Event> {
    let mut random = Random(seed.wrapping_mul(31).wrapping_add(name));
    let mut events = Vec::new();
    for _ in 0..CALLS {
        let call = Call::random(&mut random);
        let plan = plans.get(call.text()).expect("compiled").clone();
        let begun = Instant::now();
        let (rows, sequence, made) = if call == Call::Read {
            let snapshot = graph.snapshot();
            let mut rows = Vec::new();
            let limits = Limits::default();
            executor::read(&plan, &call.parameters(), &snapshot, &limits, &mut |row| {
                rows.push(numbers(row));
                ControlFlow::Continue(())
            })
            .expect("read");
            (Some(rows), Some(snapshot.head().sequence), false)
        } else {
            let slow = (random.below(3) == 0).then(|| Duration::from_micros(random.below(9_000)));
            let work = work(plan, call.parameters(), slow);
            let request = WriteRequest::by(format!("client {}", name % 4));
            match graph.submit(request, work).await {
                Ok(written) => {
                    let made = written.counts != ChangeCounts::default();
                    (Some(written.value), Some(written.commit.sequence), made)
                }
                Err(CommitError::Work(error))
                    if matches!(
                        error.kind(),
                        ExecuteError::Write(WriteError::DuplicateKey { .. })
                    ) =>
                {
                    (None, None, false)
                }
                Err(error) => panic!("{call:?}: {error:?}"),
            }
        };
        let ended = Instant::now();
        events.push(Event {
            call,
            begun,
            ended,
            rows,
            sequence,
            made,
        });
    }
    events
}

/// One round: what was called and answered, and the graph that it left.
fn record(seed: u64) -> (Fixture, Vec<Event>) {
    let mut fixture = Fixture::new();
    fixture.graph = None;
    let options = Options {
        fold_rows: 40,
        ahead: 3,
        ..Options::default()
    };
    fixture.graph = Some(Graph::open(&fixture.store, options).expect("opened"));
    let (a, b) = (String::new(), String::new());
    let calls = [
        Call::Create(a.clone()),
        Call::Delete(a.clone()),
        Call::Count(a.clone()),
        Call::Connect(a, b),
        Call::Note,
        Call::Forget,
        Call::Read,
    ];
    let plans = calls.map(|call| {
        let plan = cypher::compile(call.text(), &fixture.schema);
        (call.text(), Arc::new(plan.expect("a valid statement")))
    });
    let plans = Arc::new(BTreeMap::from(plans));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let clients = (0..CLIENTS).map(|name| {
        let graph = fixture.graph().clone();
        runtime.spawn(client(graph, plans.clone(), name, seed))
    });
    let clients: Vec<_> = clients.collect();
    let events = runtime.block_on(futures::future::join_all(clients));
    let events = events
        .into_iter()
        .flat_map(|events| events.expect("a client"));
    (fixture, events.collect())
}

/// The model after each commit, by sequence; the first commit made the graph.
fn replay(events: &[Event], head: u64) -> Vec<Model> {
    let mut states = vec![Model::default(), Model::default()];
    for sequence in 2..=head {
        let mut model = states.last().expect("the first").clone();
        let mut made = events
            .iter()
            .filter(|event| event.made && event.sequence == Some(sequence));
        let (Some(event), None) = (made.next(), made.next()) else {
            panic!("not one call made commit {sequence}");
        };
        let rows = model.carry_out(&event.call);
        assert_eq!(rows, event.rows, "{event:?} on {:?}", states.last());
        assert_ne!(states.last(), Some(&model), "{event:?} changes nothing");
        states.push(model);
    }
    states
}

fn check(events: &[Event], states: &[Model]) {
    let state = |sequence: u64| states[usize::try_from(sequence).expect("few")].clone();
    for event in events {
        let known = events.iter().filter(|other| other.ended < event.begun);
        let known = known.filter_map(|other| other.sequence).max().unwrap_or(1);
        match event.sequence {
            Some(sequence) if event.made => {
                assert!(sequence > known, "{event:?} is before {known}");
            }
            Some(sequence) => {
                assert!(sequence >= known, "{event:?} does not see {known}");
                let mut model = state(sequence);
                assert_eq!(model.carry_out(&event.call), event.rows, "{event:?}");
                assert_eq!(model, state(sequence), "{event:?} changed nothing");
            }
            None => {
                let later = events.iter().filter(|other| other.begun > event.ended);
                let later = later.filter(|other| other.made);
                let later = later.filter_map(|other| other.sequence).min();
                let last = later.map_or(states.len() as u64 - 1, |sequence| sequence - 1);
                let mut fails = (known..=last).map(|at| state(at).carry_out(&event.call));
                assert!(fails.any(|rows| rows.is_none()), "{event:?} has no reason");
            }
        }
    }
}

fn round(seed: u64) {
    let (mut fixture, events) = record(seed);
    let head = fixture.graph().snapshot().head().sequence;
    let states = replay(&events, head);
    let made = events.iter().filter(|event| event.made).count();
    let failed = events.iter().filter(|event| event.rows.is_none()).count();
    println!(
        "seed {seed}: {made} commits, {failed} keys taken, of {}",
        events.len()
    );
    check(&events, &states);
    // What is on disk is what was answered.
    let last = states.last().expect("a state");
    for _ in 0..2 {
        let snapshot = fixture.graph().snapshot();
        let persons = snapshot.node_count(fixture.type_id("Person"));
        assert_eq!(persons, last.ages.len() as u64);
        let edges = snapshot.edge_count(fixture.type_id("Knows"));
        assert_eq!(edges, last.edges.len() as u64);
        let notes = snapshot.node_count(fixture.type_id("Note"));
        assert_eq!(notes, last.notes.unsigned_abs());
        let age = fixture.property("Person", "age");
        for (name, expected) in &last.ages {
            let person = fixture.person(name).expect("there");
            assert_eq!(snapshot.node_property(person, age), Value::Int(*expected));
        }
        drop(snapshot);
        // A fold in the background may hold it still.
        let _ = fixture.graph().fold();
        fixture.reopen();
    }
}

/// As where a commit takes longer.
pub(super) fn some_answers_have_their_place() {
    round(super::seed());
}

#[test]
fn every_answer_has_its_place() {
    let seed = super::seed();
    let rounds = if std::env::var_os("TRELLIS_LONG").is_some() {
        500
    } else {
        6
    };
    (0..rounds).for_each(|number| round(seed + number));
}
