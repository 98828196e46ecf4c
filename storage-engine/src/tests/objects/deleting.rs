//! Writers that another has overtaken, and deletion that nobody waits for.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::memory::Memory;
use super::moto::Moto;
use super::{add, people, place, schema, short};
use crate::{CollectError, CommitError, FoldError, Graph, NewGraph, Options, Store};

/// No history but what recovery needs, and leases that are soon over.
fn frugal() -> Options {
    Options {
        retention: Duration::ZERO,
        ..short()
    }
}

/// Makes a commit and folds it, several times.
fn live(graph: &Graph, who: &str) {
    for number in 0..3 {
        add(graph, &format!("{who}-{number}")).expect("written");
        graph.fold().expect("folded");
    }
}

fn logged(names: &[String]) -> usize {
    names.iter().filter(|name| name.contains("/log/")).count()
}

/// An old writer, stopped at `part`; what it does when it goes on; and what must hold then.
fn overtaken(store: &Store, memory: &Memory, part: &str, zombie: fn(&Graph)) {
    Graph::create(store, NewGraph::new(schema(), "test")).expect("created");
    let old = Graph::open(store, short()).expect("opened");
    live(&old, "old");
    add(&old, "tail").expect("written");
    memory.hold(part);
    let stopped = {
        let old = old.clone();
        std::thread::spawn(move || zombie(&old))
    };
    memory.until_someone_waits();
    std::thread::sleep(short().lease * 2);
    memory.let_others_pass();
    let new = Graph::open(store, frugal()).expect("taken over");
    assert_eq!(people(&new), 4);
    memory.deleted();
    live(&new, "new");
    std::thread::sleep(frugal().lease * 11);
    new.collect().expect("collected");
    // The number of the put that was held is free again.
    assert!(logged(&memory.deleted()) > 4, "the log is shortened");
    let before = people(&new);
    memory.release();
    stopped.join().expect("as expected");
    assert_eq!(memory.deleted(), Vec::<String>::new(), "it deletes nothing");
    add(&old, "late").expect_err("for good");
    assert!(old.is_lost());
    old.fold().expect_err("for good");
    old.collect().expect_err("for good");
    assert_eq!(memory.deleted(), Vec::<String>::new(), "it deletes nothing");
    add(&new, "still").expect("written");
    new.fold().expect("folded");
    drop((old, new));
    let graph = Graph::open(store, Options::default()).expect("opened");
    assert_eq!(people(&graph), before + 1);
    crate::tests::contents(&graph.snapshot());
}

fn in_mid_put(graph: &Graph) {
    let error = add(graph, "zombie").expect_err("not acknowledged");
    let told = matches!(error, CommitError::Unknown(_) | CommitError::Superseded);
    assert!(told, "{error:?}");
    assert!(graph.is_lost());
}

fn in_mid_fold(graph: &Graph) {
    let error = graph.fold().expect_err("superseded");
    assert!(matches!(error, FoldError::Superseded(_)), "{error:?}");
}

#[test]
fn a_writer_stopped_in_mid_put_acknowledges_and_deletes_nothing() {
    let (_home, store, memory) = place();
    overtaken(&store, &memory, "/log/", in_mid_put);
}

#[test]
fn a_writer_stopped_in_mid_fold_publishes_and_deletes_nothing() {
    for part in ["/tables/", "/checkpoints/"] {
        let (_home, store, memory) = place();
        overtaken(&store, &memory, part, in_mid_fold);
    }
}

#[test]
fn a_writer_stopped_in_s3_does_no_harm() {
    let Some(moto) = Moto::start() else { return };
    type Stopped = (&'static str, fn(&Graph));
    let stopped: [Stopped; 3] = [
        ("/log/", in_mid_put),
        ("/tables/", in_mid_fold),
        ("/checkpoints/", in_mid_fold),
    ];
    for (part, zombie) in stopped {
        let (store, memory) = moto.faulty(&Uuid::new_v4().simple().to_string());
        overtaken(&store, &memory, part, zombie);
    }
}

/// One that is stopped while it deletes has begun a few deletions of what is of no use to anybody, and
/// begins no other.
#[test]
fn a_writer_stopped_in_mid_collection_deletes_nothing_more() {
    let (_home, store, memory) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let old = Graph::open(&store, frugal()).expect("opened");
    for number in 0..40 {
        add(&old, &format!("old-{number}")).expect("written");
    }
    live(&old, "then");
    std::thread::sleep(frugal().lease * 11);
    memory.deleted();
    memory.hold_deletions("/log/");
    let stopped = {
        let old = old.clone();
        std::thread::spawn(move || old.collect())
    };
    memory.until_someone_waits();
    std::thread::sleep(frugal().lease * 2);
    let new = Graph::open(&store, short()).expect("taken over");
    add(&new, "new").expect("written");
    memory.release_deletions();
    let error = stopped.join().expect("no panic").expect_err("overtaken");
    assert!(matches!(error, CollectError::Log(_)), "{error:?}");
    let begun = memory.deleted();
    assert!(logged(&begun) <= 16, "{begun:?}");
    new.fold().expect("folded");
    assert_eq!(people(&new), 44);
    drop((old, new));
    let graph = Graph::open(&store, Options::default()).expect("opened");
    assert_eq!(people(&graph), 44);
}

#[test]
fn commits_do_not_wait_for_deletions() {
    let (_home, store, memory) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let graph = Graph::open(&store, frugal()).expect("opened");
    for number in 0..40 {
        add(&graph, &format!("{number}")).expect("written");
    }
    live(&graph, "more");
    std::thread::sleep(frugal().lease * 11);
    memory.hold_deletions("/log/");
    let collecting = {
        let graph = graph.clone();
        std::thread::spawn(move || graph.collect())
    };
    memory.until_someone_waits();
    let begun = Instant::now();
    for number in 0..20 {
        add(&graph, &format!("meanwhile-{number}")).expect("written");
    }
    assert!(!collecting.is_finished(), "it waits for the store");
    let took = begun.elapsed();
    memory.release_deletions();
    let collected = collecting.join().expect("no panic").expect("collected");
    assert!(collected.files >= 40, "{collected:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(store.list("log").expect("listed").len() < 40);
    drop(graph);
    let graph = Graph::open(&store, Options::default()).expect("opened");
    assert_eq!(people(&graph), 63);
}
