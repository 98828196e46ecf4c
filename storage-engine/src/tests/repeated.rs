//! Requests that are sent again under the same key.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use journal::{Effect, Faults, Verdict};
use language::schema::{Schema, TypeId};
use language::value::Value;
use tokio::runtime::Runtime;

use super::{Fixture, SCHEMA, in_log};
use crate::disk::watched::watch;
use crate::{
    CommitError, CommitId, Graph, IdempotencyKey, NewGraph, Options, Transaction, Work, WriteError,
    WriteRequest, Written,
};

type Answer = Result<Written<String>, CommitError<WriteError>>;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn key(name: &str, digest: u8) -> IdempotencyKey {
    IdempotencyKey {
        key: name.to_owned(),
        digest: [digest; 32],
    }
}

/// Adds a person; says its place in the log.
fn add(schema: &Schema, email: &str) -> Work<String, WriteError> {
    let person = schema.node_type_named("Person").expect("declared");
    let (person, property) = (person.id, person.property("email").expect("declared").id);
    let email = email.to_owned();
    Work::inside(move |transaction: &mut Transaction| {
        let values = vec![(property, Value::string(email.clone()))];
        let node = transaction.create_node(person, values)?;
        Ok(format!("{email} is {}", node.id))
    })
}

fn once(
    graph: &Graph,
    request: WriteRequest,
    key: IdempotencyKey,
    work: Work<String, WriteError>,
) -> Answer {
    runtime().block_on(graph.submit_once(request, Some(key), work))
}

impl Fixture {
    fn once(&self, who: &str, key: IdempotencyKey, email: &str) -> Answer {
        let work = add(&self.schema, email);
        once(self.graph(), WriteRequest::by(who), key, work)
    }
}

#[test]
pub(super) fn a_request_that_is_sent_again_gets_the_first_answer() {
    let mut fixture = Fixture::new();
    let first = fixture.once("ann", key("k", 1), "a").expect("written");
    assert!(!first.repeated);
    assert_eq!(first.value, "a is 1");
    let check = |fixture: &Fixture, what: &str| {
        let head = fixture.graph().snapshot().head().clone();
        // Were it carried out, the key `a` would be taken.
        let again = fixture.once("ann", key("k", 1), "a").expect(what);
        assert!(again.repeated, "{what}");
        assert_eq!(
            (&again.commit, again.counts, &again.value),
            (&first.commit, first.counts, &first.value),
            "{what}"
        );
        // The condition held when it was carried out.
        let request = WriteRequest {
            if_commit: Some(CommitId(uuid::Uuid::nil())),
            ..WriteRequest::by("ann")
        };
        let work = add(&fixture.schema, "a");
        let again = once(fixture.graph(), request, key("k", 1), work).expect(what);
        assert!(again.repeated, "{what}");
        let other = fixture.once("ann", key("k", 2), "b");
        assert!(
            matches!(other, Err(CommitError::KeyReused)),
            "{what}: {other:?}"
        );
        assert_eq!(*fixture.graph().snapshot().head(), head, "{what}");
    };
    check(&fixture, "at once");
    let other = fixture.once("bob", key("k", 2), "b").expect("written");
    assert!(!other.repeated, "a key is of one principal");
    fixture.reopen();
    check(&fixture, "replayed");
    fixture.graph().fold().expect("folded");
    check(&fixture, "folded");
    fixture.reopen();
    assert_eq!(fixture.graph().status().expect("listed").tail_rows, 0);
    check(&fixture, "from the checkpoint");
    fixture.add_person("c", 1);
    fixture.graph().fold().expect("folded");
    fixture.graph().close().expect("closed");
    fixture.reopen();
    check(&fixture, "from the next checkpoint");
}

#[test]
pub(super) fn two_at_once_are_one() {
    let fixture = Fixture::new();
    let graph = fixture.graph();
    let runtime = runtime();
    let answers = runtime.block_on(async {
        let hold = graph.write(WriteRequest::by("holder"), |_: &mut Transaction| {
            std::thread::sleep(Duration::from_millis(100));
            Ok::<_, WriteError>(())
        });
        let send = |digest| {
            let work = add(&fixture.schema, "a");
            graph.submit_once(WriteRequest::by("ann"), Some(key("k", digest)), work)
        };
        let (held, first, second, other) = futures::join!(hold, send(1), send(1), send(2));
        held.expect("nothing to do");
        (first.expect("written"), second.expect("written"), other)
    });
    let (first, second, other) = answers;
    assert_eq!((first.repeated, second.repeated), (false, true));
    assert_eq!((first.commit, first.value), (second.commit, second.value));
    assert!(matches!(other, Err(CommitError::KeyReused)), "{other:?}");
    assert_eq!(fixture.graph().snapshot().head().sequence, 2);
}

#[test]
pub(super) fn two_long_ones_at_once_are_one() {
    let fixture = Fixture::new();
    let graph = fixture.graph();
    let person = fixture.type_id("Person");
    let email = fixture.property("Person", "email");
    let send = || {
        let work = Work::ahead([person].into(), move |transaction: &mut Transaction| {
            if transaction.budget().is_some() {
                transaction.end_over_budget();
                return Err(WriteError::UnknownType(TypeId(u32::MAX)));
            }
            std::thread::sleep(Duration::from_millis(100));
            let count = transaction.snapshot().node_count(person);
            let values = vec![(email, Value::string(format!("{count}")))];
            transaction.create_node(person, values)?;
            Ok(format!("{count}"))
        });
        graph.submit_once(WriteRequest::by("ann"), Some(key("k", 1)), work)
    };
    let (first, second) = runtime().block_on(async { futures::join!(send(), send()) });
    let (first, second) = (first.expect("written"), second.expect("written"));
    assert_eq!(
        (&first.commit, &first.value, first.counts),
        (&second.commit, &second.value, second.counts)
    );
    assert_ne!(first.repeated, second.repeated);
    assert_eq!(graph.snapshot().node_count(person), 1);
}

#[test]
pub(super) fn what_failed_or_changed_nothing_is_not_remembered() {
    let fixture = Fixture::new();
    fixture.add_person("a", 1);
    let failed = fixture.once("ann", key("k", 1), "a");
    assert!(matches!(failed, Err(CommitError::Work(_))), "{failed:?}");
    let nothing = Work::inside(|_: &mut Transaction| Ok("nothing".to_owned()));
    let nothing = once(
        fixture.graph(),
        WriteRequest::by("ann"),
        key("k", 1),
        nothing,
    );
    assert!(!nothing.expect("nothing to do").repeated);
    let done = fixture.once("ann", key("k", 1), "b").expect("written");
    assert_eq!((done.repeated, done.value.as_str()), (false, "b is 2"));
}

#[test]
pub(super) fn an_answer_that_cannot_be_kept_is_refused() {
    let fixture = Fixture::new();
    let head = fixture.graph().snapshot().head().clone();
    let email = fixture.property("Person", "email");
    let person = fixture.type_id("Person");
    let send = |bytes: usize| {
        let work = Work::inside(move |transaction: &mut Transaction| {
            transaction.create_node(person, vec![(email, Value::from("a"))])?;
            Ok("x".repeat(bytes))
        });
        once(fixture.graph(), WriteRequest::by("ann"), key("k", 1), work)
    };
    let refused = send((64 << 10) + 1);
    assert!(
        matches!(refused, Err(CommitError::AnswerTooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(*fixture.graph().snapshot().head(), head);
    send(64 << 10).expect("written");
}

/// Fails, or ends the process, at the sync of a file of the log.
#[derive(Debug, Default)]
struct AtSync {
    fails: AtomicBool,
    /// After so many, the process ends.
    dies_after: Option<u64>,
    count: AtomicU64,
}

impl Faults for AtSync {
    fn before(&self, effect: &Effect<'_>) -> Verdict {
        if matches!(effect, Effect::SyncFile { path } if in_log(path))
            && self.fails.load(Ordering::Acquire)
        {
            return Verdict::Fail(std::io::Error::other("broken"));
        }
        Verdict::Proceed
    }

    fn after(&self, effect: &Effect<'_>) {
        if !matches!(effect, Effect::SyncFile { path } if in_log(path)) {
            return;
        }
        let count = self.count.fetch_add(1, Ordering::AcqRel) + 1;
        if self.dies_after == Some(count) {
            let this = rustix::process::getpid();
            let _ = rustix::process::kill_process(this, rustix::process::Signal::KILL);
            // Nothing of this process goes on from here.
            std::thread::sleep(Duration::from_secs(60));
        }
    }
}

#[test]
fn an_unknown_outcome_is_cured_by_asking_again() {
    let mut fixture = Fixture::new();
    let faults = Arc::new(AtSync::default());
    let _watch = watch(&fixture.folder(), faults.clone());
    fixture.reopen();
    fixture.once("ann", key("before", 1), "a").expect("written");
    faults.fails.store(true, Ordering::Release);
    let unknown = fixture.once("ann", key("k", 1), "b");
    assert!(
        matches!(unknown, Err(CommitError::Unknown(_))),
        "{unknown:?}"
    );
    faults.fails.store(false, Ordering::Release);
    let cured = fixture.once("ann", key("k", 1), "b").expect("written");
    let again = fixture.once("ann", key("k", 1), "b").expect("written");
    assert!(again.repeated);
    assert_eq!(again.commit, cured.commit);
    // The same, with a restart between.
    faults.fails.store(true, Ordering::Release);
    let unknown = fixture.once("ann", key("l", 1), "c");
    assert!(unknown.is_err(), "{unknown:?}");
    faults.fails.store(false, Ordering::Release);
    fixture.reopen();
    fixture.once("ann", key("l", 1), "c").expect("written");
    let again = fixture.once("ann", key("l", 1), "c").expect("written");
    assert!(again.repeated);
    let person = fixture.type_id("Person");
    assert_eq!(fixture.graph().snapshot().node_count(person), 3);
}

const FOLDER: &str = "TRELLIS_REPEATED_FOLDER";
const DIES_AFTER: &str = "TRELLIS_REPEATED_DIES_AFTER";

/// What the killed process does; nothing when this runs as a test.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let dies_after = std::env::var(DIES_AFTER).expect("a number");
    let faults = AtSync {
        dies_after: Some(dies_after.parse().expect("a number")),
        ..AtSync::default()
    };
    let _watch = watch(&folder.join("g"), Arc::new(faults));
    let graph = Graph::open(folder.join("g"), Options::default()).expect("opened");
    let schema = graph.snapshot().schema().clone();
    let mut acknowledged = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("acknowledged"))
        .expect("opened");
    for number in 0..50 {
        let name = number.to_string();
        let work = add(&schema, &name);
        let written = once(&graph, WriteRequest::by("ann"), key(&name, 1), work);
        let line = format!("{}\n", written.expect("written").commit.id);
        acknowledged.write_all(line.as_bytes()).expect("noted");
    }
}

/// Killed when the record is durable and nobody has been told: the same request gets its answer.
#[test]
fn killed_between_the_log_and_the_answer() {
    let mut untold = 0;
    for dies_after in 1..=8_u64 {
        let home = tempfile::TempDir::new().expect("a temporary folder");
        let folder = home.path();
        let schema = Schema::parse(SCHEMA).expect("a valid schema");
        Graph::create(folder.join("g"), NewGraph::new(schema.clone(), "test")).expect("created");
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "tests::repeated::child", "--nocapture"])
            .env(FOLDER, folder)
            .env(DIES_AFTER, dies_after.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let begun = Instant::now();
        while process.try_wait().expect("waited").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it lives");
            std::thread::sleep(Duration::from_millis(2));
        }
        untold += asked_again(folder, &schema, dies_after);
    }
    assert!(untold >= 5, "{untold} were durable and not acknowledged");
}

/// Sends every request again; says how many had been carried out without an answer.
fn asked_again(folder: &Path, schema: &Schema, round: u64) -> usize {
    let graph = Graph::open(folder.join("g"), Options::default()).expect("opened");
    let text = fs::read_to_string(folder.join("acknowledged")).unwrap_or_default();
    let acknowledged: Vec<_> = text.lines().collect();
    let mut untold = 0;
    for number in 0..acknowledged.len() + 3 {
        let name = number.to_string();
        let send = || {
            let work = add(schema, &name);
            let written = once(&graph, WriteRequest::by("ann"), key(&name, 1), work);
            written.unwrap_or_else(|error| panic!("round {round}, {name}: {error:?}"))
        };
        let written = send();
        if let Some(told) = acknowledged.get(number) {
            assert!(written.repeated, "round {round}, {name} was acknowledged");
            assert_eq!(written.commit.id.to_string(), *told);
        } else {
            untold += usize::from(written.repeated);
        }
        assert_eq!(written.value, format!("{name} is {}", number + 1));
        assert_eq!(send().commit, written.commit);
    }
    let person = schema.node_type_named("Person").expect("declared").id;
    let count = graph.snapshot().node_count(person);
    assert_eq!(count, acknowledged.len() as u64 + 3, "round {round}");
    untold
}
