//! Turns, deadlines and long statements: nobody waits long behind somebody else's work.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use language::cypher;
use language::plan::Plan;
use language::schema::TypeId;
use language::value::Value;
use tokio::runtime::Runtime;

use super::{Fixture, open_again};
use crate::executor::{self, ExecuteError, Limits, Parameters};
use crate::{CommitError, Graph, Options, Transaction, Work, WriteError, WriteRequest, Written};

mod in_place;
mod priority;
mod reserved;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Has the committer wait for so long.
async fn hold(graph: &Graph, time: Duration) {
    let held = graph.write(WriteRequest::by("holder"), move |_: &mut Transaction| {
        std::thread::sleep(time);
        Ok::<_, WriteError>(())
    });
    held.await.expect("nothing to do");
}

/// Works for so long, then makes the changes; says how often it ran.
fn long<R: 'static>(
    touched: &[TypeId],
    time: Duration,
    runs: &Arc<AtomicUsize>,
    change: impl Fn(&mut Transaction) -> Result<R, WriteError> + Send + 'static,
) -> Work<R, WriteError> {
    let runs = runs.clone();
    Work::ahead(touched.iter().copied().collect(), move |transaction| {
        runs.fetch_add(1, Ordering::Relaxed);
        let end = Instant::now() + time;
        while Instant::now() < end {
            if transaction
                .budget()
                .is_some_and(|budget| Instant::now() >= budget)
            {
                transaction.end_over_budget();
                return Err(WriteError::UnknownType(TypeId(u32::MAX)));
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        change(transaction)
    })
}

impl Fixture {
    fn open_with(&mut self, options: Options) {
        self.graph = None;
        self.graph = Some(open_again(&self.store, options));
    }

    /// Adds a person and notes when.
    fn noting(
        &self,
        email: String,
        noted: &Arc<Mutex<Vec<String>>>,
    ) -> impl FnOnce(&mut Transaction) -> Result<(), WriteError> + Send + use<> {
        let (person, property) = (self.type_id("Person"), self.property("Person", "email"));
        let noted = noted.clone();
        move |transaction| {
            noted.lock().expect("sound").push(email.clone());
            let values = vec![(property, Value::string(email))];
            transaction.create_node(person, values).map(|_| ())
        }
    }

    fn persons(&self) -> u64 {
        self.graph().snapshot().node_count(self.type_id("Person"))
    }

    /// A statement that adds a note of what `text` gives.
    fn note<T: Fn(&Transaction) -> String + Send + 'static>(
        &self,
        text: T,
    ) -> impl Fn(&mut Transaction) -> Result<String, WriteError> + Send + use<T> {
        let (note, property) = (self.type_id("Note"), self.property("Note", "text"));
        move |transaction| {
            let text = text(transaction);
            let values = vec![(property, Value::string(text.clone()))];
            transaction.create_node(note, values)?;
            Ok(text)
        }
    }
}

#[test]
fn principals_take_turns() {
    let fixture = Fixture::new();
    let graph = fixture.graph();
    let noted = Arc::new(Mutex::new(Vec::new()));
    runtime().block_on(async {
        let held = hold(graph, MS(800));
        let others = async {
            tokio::time::sleep(MS(50)).await;
            let of = |who: &'static str, count: usize| {
                let works = (0..count).map(move |number| format!("{who}-{number:02}"));
                let writes = works
                    .map(|email| graph.write(WriteRequest::by(who), fixture.noting(email, &noted)));
                join_all(writes.collect::<Vec<_>>())
            };
            let (eve, ann, bob) = futures::join!(of("eve", 50), of("ann", 2), of("bob", 1));
            assert!(eve.iter().chain(&ann).chain(&bob).all(Result::is_ok));
        };
        futures::join!(held, others)
    });
    let noted = noted.lock().expect("sound");
    let first: Vec<_> = noted.iter().take(6).map(String::as_str).collect();
    assert_eq!(
        first,
        ["eve-00", "ann-00", "bob-00", "eve-01", "ann-01", "eve-02"]
    );
    let eve: Vec<_> = noted
        .iter()
        .filter(|name| name.starts_with("eve"))
        .collect();
    assert!(eve.is_sorted() && eve.len() == 50, "each in order: {eve:?}");
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_back() {
    let mut fixture = Fixture::new();
    fixture.open_with(Options {
        queue: 8,
        ..Options::default()
    });
    let graph = fixture.graph();
    let noted = Arc::new(Mutex::new(Vec::new()));
    runtime().block_on(async {
        let held = hold(graph, MS(1_000));
        let others = async {
            tokio::time::sleep(MS(100)).await;
            let of = |who: &'static str| {
                let works = (0..6).map(move |number| format!("{who}-{number}"));
                let writes = works
                    .map(|email| graph.write(WriteRequest::by(who), fixture.noting(email, &noted)));
                join_all(writes.collect::<Vec<_>>())
            };
            let (eve, ann, bob) = futures::join!(of("eve"), of("ann"), of("bob"));
            for (answers, let_in) in [(&eve, 4), (&ann, 2), (&bob, 1)] {
                let done = answers.iter().filter(|answer| answer.is_ok()).count();
                assert_eq!(done, let_in, "{answers:?}");
                for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
                    let CommitError::Busy {
                        waiting,
                        retry_after,
                    } = refused
                    else {
                        panic!("{refused:?}");
                    };
                    assert!((5..=8).contains(waiting), "{waiting}");
                    let told = MS(90)..MS(3_000);
                    assert!(told.contains(retry_after), "{retry_after:?}");
                }
            }
        };
        futures::join!(held, others)
    });
    assert_eq!(fixture.persons(), 7);
    // All places are free again.
    for number in 0..8 {
        fixture.add_person(&format!("{number}"), 1);
    }
}

#[test]
fn a_write_is_answered_at_its_deadline_and_not_done() {
    let fixture = Fixture::new();
    let graph = fixture.graph();
    let noted = Arc::new(Mutex::new(Vec::new()));
    runtime().block_on(async {
        let held = hold(graph, MS(1_500));
        let late = async {
            tokio::time::sleep(MS(50)).await;
            let begun = Instant::now();
            let request = |time| WriteRequest {
                deadline: Some(begun + time),
                ..WriteRequest::by("ann")
            };
            let late = graph.write(request(MS(150)), fixture.noting("a".to_owned(), &noted));
            let late = late.await;
            let waited = begun.elapsed();
            assert!(matches!(late, Err(CommitError::Late)), "{late:?}");
            assert!((MS(150)..MS(1_300)).contains(&waited), "{waited:?}");
            let in_time = graph.write(request(MS(60_000)), fixture.noting("b".to_owned(), &noted));
            in_time.await.expect("there is time");
            let over = graph.write(request(MS(0)), fixture.noting("c".to_owned(), &noted));
            let over = over.await;
            assert!(matches!(over, Err(CommitError::Late)), "{over:?}");
        };
        futures::join!(held, late)
    });
    assert_eq!(*noted.lock().expect("sound"), ["b"]);
    assert_eq!(fixture.persons(), 1);
}

#[test]
pub(super) fn who_goes_away_leaves_the_line() {
    let mut fixture = Fixture::new();
    fixture.open_with(Options {
        queue: 3,
        ..Options::default()
    });
    let graph = fixture.graph();
    let noted = Arc::new(Mutex::new(Vec::new()));
    runtime().block_on(async {
        let held = hold(graph, MS(1_200));
        let others = async {
            tokio::time::sleep(MS(50)).await;
            for number in 0..10 {
                let work = fixture.noting(format!("{number}"), &noted);
                let write = graph.write(WriteRequest::by("ann"), work);
                let gone = tokio::time::timeout(MS(10), write).await;
                assert!(gone.is_err(), "{gone:?}");
            }
        };
        futures::join!(held, others)
    });
    assert!(noted.lock().expect("sound").is_empty());
    assert_eq!(fixture.persons(), 0);
}

#[test]
fn nobody_waits_behind_a_long_statement() {
    let mut fixture = Fixture::new();
    let graph = fixture.graph().clone();
    let runs = Arc::new(AtomicUsize::new(0));
    let note = fixture.note(|_| "long".to_owned());
    let work = long(&[fixture.type_id("Note")], MS(2_000), &runs, note);
    let mut waits = Vec::new();
    let written = runtime().block_on(async {
        let statement = graph.submit(WriteRequest::by("eve"), work);
        let small = async {
            tokio::time::sleep(MS(50)).await;
            let begun = Instant::now();
            while begun.elapsed() < MS(1_000) {
                let work = fixture.noting(format!("{}", waits.len()), &Arc::default());
                let before = Instant::now();
                let small = graph.write(WriteRequest::by("ann"), work).await;
                small.expect("written");
                waits.push(before.elapsed());
            }
        };
        let (written, ()) = futures::join!(statement, small);
        written.expect("written")
    });
    waits.sort_unstable();
    println!("{} small commits, {:?} at most", waits.len(), waits.last());
    assert!(waits.len() >= 5, "{waits:?}");
    assert!(waits[waits.len() / 2] < MS(200), "{waits:?}");
    assert!(waits.last() < Some(&MS(1_000)), "{waits:?}");
    assert_eq!(runs.load(Ordering::Relaxed), 2, "given up once, then ahead");
    // Its place is behind all that were acknowledged before it, and the log says so too.
    let head = graph.snapshot().head().clone();
    assert_eq!(written.commit, head);
    assert_eq!(head.sequence, waits.len() as u64 + 2);
    assert_eq!(written.counts.nodes_created, 1);
    drop(graph);
    let before = fixture.contents();
    fixture.reopen();
    assert_eq!(fixture.contents(), before);
    fixture.graph().fold().expect("folded");
    fixture.reopen();
    assert_eq!(fixture.contents(), before);
}

#[test]
pub(super) fn what_changed_meanwhile_is_read_again() {
    let fixture = Fixture::new();
    let graph = fixture.graph().clone();
    let (person, note) = (fixture.type_id("Person"), fixture.type_id("Note"));
    let runs = Arc::new(AtomicUsize::new(0));
    let count = fixture.note(move |work| work.snapshot().node_count(person).to_string());
    let work = long(&[person, note], MS(300), &runs, count);
    let written = runtime().block_on(async {
        let statement = graph.submit(WriteRequest::by("eve"), work);
        let other = async {
            tokio::time::sleep(MS(100)).await;
            let work = fixture.noting("a".to_owned(), &Arc::default());
            graph.write(WriteRequest::by("ann"), work).await
        };
        let (written, other) = futures::join!(statement, other);
        other.expect("written");
        written.expect("written")
    });
    assert_eq!(written.value, "1");
    assert_eq!(runs.load(Ordering::Relaxed), 3);
}

/// A statement that is out of date each time keeps what it touches for itself: who writes that waits,
/// and nobody else.
#[test]
fn what_is_always_out_of_date_keeps_its_types_for_a_while() {
    const LONG: Duration = Duration::from_millis(1_200);
    let fixture = Fixture::new();
    let graph = fixture.graph().clone();
    let person = fixture.type_id("Person");
    let email = fixture.property("Person", "email");
    let runs = Arc::new(AtomicUsize::new(0));
    let work = long(&[person], LONG, &runs, move |work| {
        let count = work.snapshot().node_count(person).to_string();
        work.create_node(person, vec![(email, Value::from("the last"))])?;
        Ok(count)
    });
    let done = AtomicBool::new(false);
    let write_on = async |who: &str, type_name: &str, property: &str| {
        let (type_id, property) = (
            fixture.type_id(type_name),
            fixture.property(type_name, property),
        );
        let mut waits = Vec::new();
        while !done.load(Ordering::Acquire) {
            let text = Value::string(format!("{who} {}", waits.len()));
            let quick = Work::ahead([type_id].into(), move |work: &mut Transaction| {
                let values = vec![(property, text.clone())];
                work.create_node(type_id, values).map(|_| ())
            });
            let begun = Instant::now();
            let written = graph.submit(WriteRequest::by(who), quick).await;
            written.expect("written");
            waits.push(begun.elapsed());
            tokio::time::sleep(MS(5)).await;
        }
        waits.into_iter().max().expect("some")
    };
    let (written, same, other) = runtime().block_on(async {
        let statement = async {
            let written = graph.submit(WriteRequest::by("eve"), work).await;
            done.store(true, Ordering::Release);
            written.expect("written")
        };
        futures::join!(
            statement,
            write_on("ann", "Person", "email"),
            write_on("bob", "Note", "text")
        )
    });
    println!("the same type waited {same:?}, another {other:?}");
    // A try within the budget, three ahead, and one while nobody else changes the type.
    assert_eq!(runs.load(Ordering::Relaxed), 5);
    assert!(same > MS(800), "{same:?}");
    assert!(other < MS(800), "{other:?}");
    // What it says was so at its place: not one person came between.
    let persons = graph.snapshot().node_count(person);
    let count: u64 = written.value.parse().expect("a number");
    assert!(count + 2 >= persons, "{count} of {persons}");
}

#[test]
fn who_goes_away_keeps_nothing() {
    let fixture = Fixture::new();
    let graph = fixture.graph().clone();
    let person = fixture.type_id("Person");
    let runs = Arc::new(AtomicUsize::new(0));
    let email = fixture.property("Person", "email");
    let work = long(&[person], MS(150), &runs, move |work| {
        work.create_node(person, vec![(email, Value::from("never"))])
    });
    runtime().block_on(async {
        // It has what it touches for itself by then.
        let statement = graph.submit(WriteRequest::by("eve"), work);
        let statement = tokio::time::timeout(MS(530), statement);
        let others = async {
            for number in 0..60 {
                let work = fixture.noting(format!("{number}"), &Arc::default());
                let write = graph.write(WriteRequest::by("ann"), work);
                let written = tokio::time::timeout(MS(5_000), write).await;
                written.expect("in time").expect("written");
                tokio::time::sleep(MS(10)).await;
            }
        };
        let _ = futures::join!(statement, others);
    });
    assert_eq!(fixture.persons(), 60);
}

#[test]
fn long_statements_have_places_too() {
    let mut fixture = Fixture::new();
    fixture.open_with(Options {
        ahead: 2,
        ..Options::default()
    });
    let graph = fixture.graph().clone();
    let note = fixture.type_id("Note");
    let order = Arc::new(Mutex::new(Vec::new()));
    let submit = |who: &'static str| {
        let order = order.clone();
        let change = fixture.note(move |work| {
            if work.budget().is_none() {
                order.lock().expect("sound").push(who);
            }
            who.to_owned()
        });
        let runs = Arc::default();
        // Nothing else changes what they touch but they themselves; so they come to their end.
        let work = long(&[note], MS(300), &runs, change);
        graph.submit(WriteRequest::by(who), work)
    };
    runtime().block_on(async {
        let eve = join_all((0..4).map(|_| submit("eve")).collect::<Vec<_>>());
        let ann = async {
            tokio::time::sleep(MS(30)).await;
            submit("ann").await
        };
        let (eve, ann) = futures::join!(eve, ann);
        assert!(eve.iter().all(Result::is_ok) && ann.is_ok());
    });
    let order = order.lock().expect("sound");
    let ann = order.iter().position(|who| *who == "ann").expect("ran");
    assert!(ann <= 1, "one of eve's at a time leaves a place: {order:?}");
    assert_eq!(graph.snapshot().node_count(note), 5);
}

#[test]
fn a_long_statement_that_fails_or_changes_nothing_is_told_so() {
    let fixture = Fixture::new();
    let graph = fixture.graph();
    let head = graph.snapshot().head().clone();
    let note = fixture.type_id("Note");
    let submit = |request: WriteRequest, change: fn() -> Result<(), WriteError>| {
        let work = long(&[note], MS(30), &Arc::default(), move |_| change());
        runtime().block_on(graph.submit(request, work))
    };
    let nothing = submit(WriteRequest::by("ann"), || Ok(())).expect("nothing to do");
    assert_eq!(nothing.commit, head);
    let failed = submit(WriteRequest::by("ann"), || {
        Err(WriteError::UnknownType(TypeId(9)))
    });
    assert!(matches!(failed, Err(CommitError::Work(_))), "{failed:?}");
    let panicked = submit(WriteRequest::by("ann"), || panic!("a defect"));
    assert!(
        matches!(panicked, Err(CommitError::Panicked)),
        "{panicked:?}"
    );
    let elsewhere = WriteRequest {
        if_commit: Some(crate::CommitId(uuid::Uuid::nil())),
        ..WriteRequest::by("ann")
    };
    let elsewhere = submit(elsewhere, || Ok(()));
    assert!(
        matches!(elsewhere, Err(CommitError::NotHead { .. })),
        "{elsewhere:?}"
    );
    assert_eq!(*graph.snapshot().head(), head);
    fixture.add_person("a", 1);
}

/// The statement as the server submits it.
fn statement(plan: &Arc<Plan>, set: Parameters) -> Work<Vec<Vec<Value>>, ExecuteError> {
    let plan = plan.clone();
    let touched: BTreeSet<_> = plan.touches.types.keys().copied().collect();
    Work::ahead(touched, move |transaction| {
        let mut rows = Vec::new();
        let limits = Limits::default();
        executor::write(&plan, &set, transaction, &limits, &mut |row| {
            rows.push(row.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    })
}

fn compile(fixture: &Fixture, text: &str) -> Arc<Plan> {
    Arc::new(cypher::compile(text, &fixture.schema).expect("a valid statement"))
}

#[test]
pub(super) fn a_long_statement_of_the_executor_runs_ahead() {
    let fixture = Fixture::new();
    let graph = fixture.graph().clone();
    let text = "UNWIND range(1, 3000) AS x UNWIND range(1, 300) AS y
        WITH count(y) AS c CREATE (n:Note {text: toString(c)}) RETURN n.text AS text";
    let plan = compile(&fixture, text);
    let (written, small) = runtime().block_on(async {
        let begun = Instant::now();
        let statement = async {
            let written =
                graph.submit(WriteRequest::by("eve"), statement(&plan, Parameters::new()));
            (written.await.expect("written"), begun.elapsed())
        };
        let small = async {
            tokio::time::sleep(MS(30)).await;
            let work = fixture.noting("a".to_owned(), &Arc::default());
            let small = graph.write(WriteRequest::by("ann"), work).await;
            (small.expect("written"), begun.elapsed())
        };
        futures::join!(statement, small)
    });
    println!("long {:?}, small {:?}", written.1, small.1);
    assert_eq!(written.0.value, [[Value::from("900000")]]);
    assert!(small.1 < written.1);
    assert_eq!((small.0.commit.sequence, written.0.commit.sequence), (2, 3));
}

/// Eight writers on the same rows and on rows of their own: no conflict that is none.
#[test]
pub(super) fn counters_add_up() {
    const EACH: i64 = 25;
    let mut fixture = Fixture::new();
    for writer in 0..8 {
        fixture.add_person(&format!("{writer}"), 0);
    }
    fixture.add_person("all", 0);
    let text = "MATCH (p:Person {email: $email}) SET p.age = p.age + 1 RETURN p.age AS age";
    let plan = compile(&fixture, text);
    let runtime = runtime();
    let writers = (0..8).map(|writer| {
        let (graph, plan) = (fixture.graph().clone(), plan.clone());
        runtime.spawn(async move {
            for _ in 0..EACH {
                for email in ["all".to_owned(), writer.to_string()] {
                    let set = BTreeMap::from([("email".to_owned(), Value::string(email))]);
                    let request = WriteRequest::by(format!("writer {}", writer % 3));
                    let written: Result<Written<_>, _> =
                        graph.submit(request, statement(&plan, set)).await;
                    assert_eq!(written.expect("no conflict").counts.properties_set, 1);
                }
            }
        })
    });
    for writer in runtime.block_on(join_all(writers.collect::<Vec<_>>())) {
        writer.expect("a writer");
    }
    drop(runtime);
    fixture.reopen();
    let age = fixture.property("Person", "age");
    let snapshot = fixture.graph().snapshot();
    let of = |email: &str| snapshot.node_property(fixture.person(email).expect("there"), age);
    assert_eq!(of("all"), Value::Int(8 * EACH));
    for writer in 0..8 {
        assert_eq!(of(&writer.to_string()), Value::Int(EACH));
    }
}

/// A caller that may block leads itself, without a runtime, and does not stay to lead for others.
#[test]
fn blocking_callers_lead_themselves() {
    let mut fixture = Fixture::new();
    fixture.open_with(Options {
        fold_rows: 50,
        ..Options::default()
    });
    let writers = (0..8).map(|writer| {
        let graph = fixture.graph().clone();
        let works: Vec<_> = (0..25)
            .map(|number| fixture.noting(format!("{writer}-{number}"), &Arc::default()))
            .collect();
        std::thread::spawn(move || {
            for work in works {
                let request = WriteRequest::by(format!("{writer}"));
                graph
                    .submit_blocking(request, Work::inside(work))
                    .expect("written");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.join().expect("a writer");
    }
    assert_eq!(fixture.persons(), 200);
    assert_eq!(fixture.graph().snapshot().head().sequence, 201);
}
