//! The way in under stress: large groups, failing disks, runtimes that go away, writes that change
//! nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use journal::{Effect, Faults, Verdict};
use language::value::Value;
use tokio::runtime::Runtime;

use super::{Fixture, in_log, open_again};
use crate::disk::watched::watch;
use crate::record::Encoding;
use crate::{CommitError, Graph, Options, Transaction, WriteError, WriteRequest, Written};

/// Fails one kind of effect on the log while it is on.
#[derive(Debug, Default)]
struct Broken {
    on: AtomicBool,
    creating: bool,
}

impl Faults for Broken {
    fn before(&self, effect: &Effect<'_>) -> Verdict {
        let hit = match effect {
            Effect::Create { path } => self.creating && in_log(path),
            Effect::SyncFile { path } => !self.creating && in_log(path),
            _ => false,
        };
        if hit && self.on.load(Ordering::Acquire) {
            return Verdict::Fail(std::io::Error::other("broken"));
        }
        Verdict::Proceed
    }

    fn after(&self, _: &Effect<'_>) {}
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime")
}

type Answer<R> = Result<Written<R>, CommitError<WriteError>>;

/// Creates a person.
fn add(
    fixture: &Fixture,
    email: &str,
) -> impl FnOnce(&mut Transaction) -> Result<(), WriteError> + Send + use<> {
    let person = fixture.type_id("Person");
    let values = vec![(fixture.property("Person", "email"), Value::from(email))];
    move |work| work.create_node(person, values).map(|_| ())
}

/// One group: something that takes long and changes nothing, then these.
fn together<W>(graph: &Graph, writes: Vec<(WriteRequest, W)>) -> Vec<Answer<()>>
where
    W: FnOnce(&mut Transaction) -> Result<(), WriteError> + Send + 'static,
{
    runtime().block_on(async {
        let first = graph.write(WriteRequest::by("test"), |_: &mut Transaction| {
            std::thread::sleep(Duration::from_millis(200));
            Ok::<(), WriteError>(())
        });
        let rest = join_all(
            writes
                .into_iter()
                .map(|(request, work)| graph.write(request, work)),
        );
        let (first, rest) = futures::join!(first, rest);
        first.expect("nothing to do");
        rest
    })
}

impl Fixture {
    pub(super) fn reopen_with(&mut self, options: Options) {
        self.graph = None;
        self.graph = Some(open_again(&self.store, options));
    }

    fn side_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder().join("files")).expect("listed");
        entries.map(|entry| entry.expect("listed").path()).collect()
    }
}

#[test]
pub(super) fn what_fits_alone_does_not_fail_together() {
    let mut fixture = Fixture::new();
    let (note, text) = (fixture.type_id("Note"), fixture.property("Note", "text"));
    let writes = (0..150).map(|_| {
        let value = Value::string("x".repeat(1_000_000));
        let work =
            move |work: &mut Transaction| work.create_node(note, vec![(text, value)]).map(|_| ());
        (WriteRequest::by("test"), work)
    });
    for answer in together(fixture.graph(), writes.collect()) {
        answer.expect("written");
    }
    assert_eq!(fixture.graph().snapshot().node_count(note), 150);
    fixture.reopen();
    assert_eq!(fixture.graph().snapshot().node_count(note), 150);
    // One that is too large for the log fails alone.
    let huge = WriteRequest {
        message: Some("x".repeat(65 << 20)),
        ..WriteRequest::by("test")
    };
    let writes = [
        (WriteRequest::by("test"), "a"),
        (huge, "b"),
        (WriteRequest::by("test"), "c"),
    ];
    let writes = writes.map(|(request, email)| (request, add(&fixture, email)));
    let answers = together(fixture.graph(), writes.into());
    assert!(
        matches!(
            &answers[..],
            [Ok(_), Err(CommitError::NotWritten(_)), Ok(_)]
        ),
        "{answers:?}"
    );
}

/// An answer that tells of a neighbour's commit waits until that is durable.
#[test]
fn no_answer_shows_what_is_not_durable() {
    let mut fixture = Fixture::new();
    let faults = Arc::new(Broken::default());
    let _watch = watch(&fixture.folder(), faults.clone());
    fixture.reopen();
    fixture.add_person("zoe@x", 1);
    let head = fixture.graph().snapshot().head().clone();
    let conditional = WriteRequest {
        if_commit: Some(head.id),
        ..WriteRequest::by("test")
    };
    let writes = |fixture: &Fixture| {
        vec![
            (WriteRequest::by("test"), add(fixture, "ann@x")),
            (WriteRequest::by("test"), add(fixture, "ann@x")),
            (conditional.clone(), add(fixture, "bob@x")),
        ]
    };
    faults.on.store(true, Ordering::Release);
    let answers = together(fixture.graph(), writes(&fixture));
    for answer in &answers {
        let told = matches!(
            answer,
            Err(CommitError::Unknown(_) | CommitError::NotWritten(_))
        );
        assert!(told, "{answers:?}");
    }
    assert_eq!(*fixture.graph().snapshot().head(), head);

    faults.on.store(false, Ordering::Release);
    let answers = together(fixture.graph(), writes(&fixture));
    let newest = fixture.graph().snapshot().head().id;
    let [
        Ok(ann),
        Err(CommitError::Work(WriteError::DuplicateKey { .. })),
        Err(CommitError::NotHead { head, .. }),
    ] = &answers[..]
    else {
        panic!("{answers:?}")
    };
    assert_eq!((ann.commit.id, *head), (newest, newest));
    let before = fixture.contents();
    fixture.graph().fold().expect("folded");
    fixture.reopen();
    assert_eq!(fixture.contents(), before);
}

/// What the log does not tell, the tables do not have either.
#[test]
pub(super) fn a_row_that_is_set_back_is_not_changed() {
    let mut fixture = Fixture::new();
    let (ann, bob) = (
        fixture.add_person("ann@x", 1),
        fixture.add_person("bob@x", 1),
    );
    fixture.graph().fold().expect("folded");
    let age = fixture.property("Person", "age");
    let set = |node, value: i64| {
        let values = vec![(age, Value::Int(value))];
        fixture
            .write(move |work| work.set_node(node, values))
            .map(drop)
    };
    set(bob, 2).expect("set");
    assert_eq!(fixture.graph().status().expect("listed").tail_rows, 1);
    let there_and_back = move |work: &mut Transaction| {
        for (node, before) in [(ann, 1), (bob, 2)] {
            for value in [7, before] {
                work.set_node(node, vec![(age, Value::Int(value))])?;
            }
        }
        Ok(())
    };
    let person = fixture.type_id("Person");
    let email = fixture.property("Person", "email");
    let written = fixture.write(move |work| {
        there_and_back(work)?;
        work.create_node(person, vec![(email, Value::from("cid@x"))])
    });
    assert_eq!(written.expect("written").counts.nodes_created, 1);
    let state = |fixture: &Fixture| {
        let snapshot = fixture.graph().snapshot();
        let rows = snapshot.rows(person).expect("rows").clone();
        let changed = rows.changes.iter().map(|(id, entry)| (*id, entry.lsn));
        (
            changed.collect::<Vec<_>>(),
            rows.row(bob.id).expect("there"),
        )
    };
    let live = state(&fixture);
    assert_eq!(live.0.len(), 2, "bob, and one who is new: {:?}", live.0);
    fixture.reopen();
    assert_eq!(state(&fixture), live, "as a restart has it");
}

#[test]
fn side_files_go_with_the_write_that_failed() {
    let mut fixture = Fixture::new();
    let faults = Arc::new(Broken {
        creating: true,
        ..Broken::default()
    });
    let _watch = watch(&fixture.folder(), faults.clone());
    let options = Options {
        segment_bytes: 1,
        ..Options::default()
    };
    fixture.reopen_with(options);
    let (note, text) = (fixture.type_id("Note"), fixture.property("Note", "text"));
    let large = move |work: &mut Transaction| {
        let value = Value::string("x".repeat(2 << 20));
        work.create_node(note, vec![(text, value)]).map(|_| ())
    };
    fixture.write(large).expect("written");
    assert_eq!(fixture.side_files().len(), 1);
    faults.on.store(true, Ordering::Release);
    let failed = fixture.write(large);
    assert!(
        matches!(failed, Err(CommitError::NotWritten(_))),
        "{failed:?}"
    );
    assert_eq!(fixture.side_files().len(), 1);
    faults.on.store(false, Ordering::Release);

    // What a crash leaves between the side file and its record.
    let lsn = fixture.graph().snapshot().lsn();
    let folder = fixture.folder();
    let leftovers = [
        folder
            .join("files")
            .join(crate::record::SideFile::name(lsn + 1, Encoding::Changes)),
        folder
            .join("files")
            .join(crate::record::SideFile::name(lsn, Encoding::Changes)),
        folder
            .join("files")
            .join(format!("{}1", crate::files::UNFINISHED)),
        folder
            .join("checkpoints")
            .join(format!("{}2", crate::files::UNFINISHED)),
    ];
    leftovers
        .iter()
        .for_each(|path| std::fs::write(path, "left").expect("written"));
    let stranger = folder.join("files").join("notes.txt");
    std::fs::write(&stranger, "mine").expect("written");
    let before = fixture.contents();
    fixture.reopen();
    assert_eq!(fixture.contents(), before);
    assert!(leftovers.iter().all(|path| !path.exists()) && stranger.exists());
    fixture.graph().fold().expect("folded");
    fixture.reopen();
    assert_eq!(
        fixture.side_files().len(),
        2,
        "named by a record before the checkpoint"
    );
}

#[test]
pub(super) fn a_write_that_changes_nothing_makes_no_commit() {
    let fixture = Fixture::new();
    let ann = fixture.add_person("ann@x", 30);
    let bob = fixture.add_person("bob@x", 31);
    let head = fixture.graph().snapshot().head().clone();
    let age = fixture.property("Person", "age");
    let same = fixture.write(move |work| work.set_node(ann, vec![(age, Value::Int(30))]));
    let same = same.expect("written");
    assert_eq!((same.commit, same.counts.properties_set), (head.clone(), 1));
    let back = fixture.write(move |work| {
        work.set_node(ann, vec![(age, Value::Int(1))])?;
        work.set_node(ann, vec![(age, Value::Int(30))])
    });
    assert_eq!(back.expect("written").commit, head);

    // An id that was given is burnt, though nothing is left of its row.
    let knows = fixture.type_id("Knows");
    let made_and_gone = move |work: &mut Transaction| {
        let edge = work.create_edge(knows, ann, bob, Vec::new())?;
        work.delete_edge(edge)?;
        Ok(edge)
    };
    let first = fixture.write(made_and_gone).expect("written").value;
    let mut fixture = fixture;
    fixture.reopen();
    let second = fixture.write(made_and_gone).expect("written").value;
    fixture.graph().fold().expect("folded");
    fixture.reopen();
    let third = fixture.write(made_and_gone).expect("written").value;
    assert_eq!([second.id, third.id], [first.id + 1, first.id + 2]);
}

#[test]
pub(super) fn a_runtime_that_goes_away_does_not_wedge_the_graph() {
    let fixture = Fixture::new();
    let graph = fixture.graph().clone();
    let leaving = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    leaving.spawn_blocking(|| std::thread::sleep(Duration::from_millis(300)));
    let work = add(&fixture, "ann@x");
    leaving.spawn(async move { graph.write(WriteRequest::by("test"), work).await });
    std::thread::sleep(Duration::from_millis(100));
    leaving.shutdown_timeout(Duration::from_secs(5));

    let staying = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let write = fixture
        .graph()
        .write(WriteRequest::by("test"), add(&fixture, "bob@x"));
    let answer =
        staying.block_on(async { tokio::time::timeout(Duration::from_secs(10), write).await });
    answer.expect("in time").expect("written");
    assert_eq!(fixture.person("ann@x"), None);
}

#[test]
fn a_quick_write_waits_for_one_slow_one_at_most() {
    let fixture = Fixture::new();
    let graph = fixture.graph().clone();
    let quick = add(&fixture, "ann@x");
    runtime().block_on(async {
        let start = Instant::now();
        let quick = async {
            let written = graph.write(WriteRequest::by("test"), quick).await;
            written.map(|_| start.elapsed())
        };
        let slow = (0..5).map(|_| {
            graph.write(WriteRequest::by("test"), |_: &mut Transaction| {
                std::thread::sleep(Duration::from_millis(400));
                Ok::<(), WriteError>(())
            })
        });
        let (quick, slow) = futures::join!(quick, join_all(slow));
        assert!(slow.iter().all(Result::is_ok), "{slow:?}");
        let waited = quick.expect("written");
        assert!(waited < Duration::from_millis(1_500), "{waited:?}");
    });
}

/// Neither as many rows as make a fold nor all rows of a table are too many to take out.
#[test]
pub(super) fn many_rows_are_replaced_in_one_fold() {
    let mut fixture = Fixture::new();
    fixture.reopen_with(Options {
        fold_rows: usize::MAX,
        ..Options::default()
    });
    let (note, text) = (fixture.type_id("Note"), fixture.property("Note", "text"));
    let create = move |number| (text, Value::string(format!("{number}")));
    let notes = fixture.write(move |work| {
        let notes = (0..60_000).map(|number| work.create_node(note, vec![create(number)]));
        notes.collect::<Result<Vec<_>, _>>()
    });
    let notes = notes.expect("written").value;
    fixture.graph().fold().expect("folded");
    let chosen: Vec<_> = notes
        .iter()
        .copied()
        .filter(|node| node.id % 6 != 0)
        .collect();
    assert_eq!(chosen.len(), 50_000);
    let written = fixture.write(move |work| {
        let mut chosen = chosen.iter();
        chosen.try_for_each(|node| work.set_node(*node, vec![(text, Value::from("new"))]))
    });
    written.expect("written");
    let start = Instant::now();
    fixture.graph().fold().expect("folded");
    let took = start.elapsed();
    println!("50,000 updates folded in {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");

    // All of them gone, then some again.
    let before = fixture.contents();
    fixture.reopen();
    assert_eq!(fixture.contents(), before);
    let gone = fixture.write(move |work| notes.iter().try_for_each(|node| work.delete_node(*node)));
    gone.expect("written");
    fixture.graph().fold().expect("folded");
    fixture.reopen();
    assert_eq!(fixture.contents(), "");
    let again = fixture.write(move |work| work.create_node(note, vec![create(1)]));
    assert_eq!(
        again.expect("written").value.id,
        60_001,
        "ids are never reused"
    );
    fixture.graph().fold().expect("folded");
    fixture.reopen();
    assert_eq!(fixture.graph().snapshot().node_count(note), 1);
}
