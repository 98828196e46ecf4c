//! Graphs in object stores: those that lose answers, those that cannot hold one, and writers that
//! another has overtaken. `on_every_store` runs the engine's common tests there too.

mod deleting;
mod everywhere;
pub(crate) mod memory;
pub(crate) mod moto;
mod reach;
mod reading;

use std::sync::Arc;
use std::time::Duration;

use language::schema::Schema;
use language::value::Value;
use memory::{Fate, Memory};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::{Fixture, SCHEMA};
use crate::{
    CommitError, Contents, CreateError, Graph, NewGraph, OpenError, Options, Store, WriteError,
    WriteRequest,
};

/// A place in an object store of its own.
pub(crate) fn place() -> (TempDir, Store, Memory) {
    let bucket = format!("memory-{}", Uuid::new_v4().simple());
    let memory = Memory::default();
    crate::store::lend(&bucket, Arc::new(memory.clone()));
    let store = Store::at(&format!("s3://{bucket}/some/where")).expect("a place");
    (TempDir::new().expect("a folder"), store, memory)
}

/// As the common tests want it.
pub(super) fn fixture() -> Fixture {
    let (home, store, _) = place();
    Fixture::at(home, store)
}

fn short() -> Options {
    Options {
        lease: Duration::from_millis(50),
        ..Options::default()
    }
}

fn schema() -> Schema {
    Schema::parse(SCHEMA).expect("a valid schema")
}

/// Creates a person in a graph that need not be the fixture's own.
fn add(graph: &Graph, email: &str) -> Result<(), CommitError<WriteError>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    add_on(&runtime, graph, email)
}

fn add_on(runtime: &Runtime, graph: &Graph, email: &str) -> Result<(), CommitError<WriteError>> {
    let person = graph
        .snapshot()
        .schema()
        .node_type_named("Person")
        .expect("declared")
        .clone();
    let values = vec![(person.properties[0].id, Value::from(email))];
    let written = runtime.block_on(graph.write(WriteRequest::by("test"), move |work| {
        work.create_node(person.id, values).map(|_| ())
    }));
    written.map(|_| ())
}

fn people(graph: &Graph) -> u64 {
    let snapshot = graph.snapshot();
    let person = snapshot
        .schema()
        .node_type_named("Person")
        .expect("declared")
        .id;
    snapshot.node_count(person)
}

#[test]
fn a_store_that_gives_away_taken_names_is_refused() {
    let (_home, store, memory) = place();
    memory.be_careless();
    let error = Graph::create(&store, NewGraph::new(schema(), "test")).expect_err("refused");
    assert!(matches!(error, CreateError::Unconditional), "{error:?}");
    assert!(error.to_string().contains("If-None-Match"));
    let fixture = fixture();
    let error = {
        let (_home, store, memory) = place();
        Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
        memory.be_careless();
        Graph::open(&store, Options::default()).expect_err("refused")
    };
    assert!(matches!(error, OpenError::Unconditional), "{error:?}");
    assert_eq!(people(fixture.graph()), 0);
}

#[test]
fn a_place_that_is_not_empty_is_refused_and_left_alone() {
    let (_home, store, _) = place();
    assert_eq!(store.contents().expect("looked"), Contents::Nothing);
    let stranger = store.bucket().expect("a bucket").below("notes");
    stranger.put("theirs.txt", "text".into()).expect("stored");
    let error = Graph::create(&store, NewGraph::new(schema(), "test")).expect_err("refused");
    assert!(matches!(error, CreateError::NotEmpty { .. }), "{error:?}");
    assert_eq!(store.contents().expect("looked"), Contents::Other);
    store.erase(Uuid::new_v4()).expect("nothing of ours");
    assert_eq!(&stranger.get("theirs.txt").expect("there")[..], b"text");
    stranger.delete("theirs.txt").expect("removed");

    let new = NewGraph::new(schema(), "test");
    let graph = new.graph;
    Graph::create(&store, new).expect("created");
    assert_eq!(store.contents().expect("looked"), Contents::Graph(graph));
    let again = Graph::create(&store, NewGraph::new(schema(), "test")).expect_err("taken");
    assert!(matches!(again, CreateError::NotEmpty { .. }), "{again:?}");
    store.erase(Uuid::new_v4()).expect("another graph's");
    Graph::open(&store, Options::default()).expect("whole");
    stranger.put("theirs.txt", "text".into()).expect("stored");
    store.erase(graph).expect("erased");
    assert_eq!(store.contents().expect("looked"), Contents::Other);
    stranger.delete("theirs.txt").expect("theirs stayed");
    assert_eq!(store.contents().expect("looked"), Contents::Nothing);
}

/// Whoever removes a graph is told of another within it, in a bucket as in a folder.
#[test]
fn another_graph_within_is_found() {
    let (home, bucket, _) = place();
    let folder: Store = home.path().join("graph").into();
    for store in [bucket, folder] {
        store.make_folder("").expect("made");
        assert!(!store.has_parts().expect("looked"), "{store}");
        store.put("notes.txt", &[b"theirs"]).expect("stored");
        assert!(!store.has_parts().expect("looked"), "{store}");
        store.delete("notes.txt").expect("removed");
        let new = NewGraph::new(schema(), "test");
        let graph = new.graph;
        Graph::create(&store, new).expect("created");
        assert!(store.has_parts().expect("looked"), "{store}");
        assert_eq!(store.other_graph(graph).expect("looked"), None, "{store}");
        let own = store.get("graph.json").expect("read");
        let other = format!("{{\"format\":1,\"uuid\":\"{}\"}}", Uuid::new_v4());
        // What lies beside the engine's own stays, and so is nobody's business.
        for (name, mark, found) in [
            ("beside/graph.json", other.as_bytes(), false),
            ("files/copy/graph.json", &own, false),
            ("tables/deep/er/graph.json", other.as_bytes(), true),
            ("log/x/graph.json", b"{", true),
        ] {
            let (within, _) = name.rsplit_once('/').expect("a folder");
            store.make_folder(within).expect("made");
            store.put(name, &[mark]).expect("stored");
            let expected = found.then(|| store.place(within));
            let told = store.other_graph(graph).expect("looked");
            assert_eq!(told, expected, "{store} {name}");
            store.delete(name).expect("removed");
        }
    }
}

#[test]
fn what_nobody_can_tell_is_told_by_opening_again() {
    for stored in [false, true] {
        let (home, store, memory) = place();
        let mut fixture = Fixture::at(home, store);
        fixture.add_person("ann@x", 1);
        let fate = if stored { Fate::Unanswered } else { Fate::Lost };
        // Not even what is there can be read: the put and every repetition come to nothing.
        memory.fates(&[fate, Fate::Lost, Fate::Lost, Fate::Lost]);
        let answer = add(fixture.graph(), "bob@x");
        if stored {
            answer.expect("read back");
        } else {
            let error = answer.expect_err("nobody can tell");
            assert!(matches!(error, CommitError::Unknown(_)), "{error:?}");
            assert!(fixture.graph().is_lost());
            let error = add(fixture.graph(), "cid@x").expect_err("not before it is open again");
            assert!(matches!(error, CommitError::Closed), "{error:?}");
            // Nothing holds the graph any more, though somebody reads from it still.
            fixture
                .graph()
                .hold_on()
                .expect_err("it is to be opened again");
            memory.fates(&[]);
            Graph::open(&fixture.store, Options::default()).expect("at once");
        }
        memory.fates(&[]);
        fixture.reopen();
        assert_eq!(people(fixture.graph()), 1 + u64::from(stored));
        add(fixture.graph(), "dan@x").expect("written");
        fixture.reopen();
        assert_eq!(people(fixture.graph()), 2 + u64::from(stored));
    }
}

#[test]
fn a_refusal_is_told_as_such_and_the_graph_goes_on() {
    let (home, store, memory) = place();
    let mut fixture = Fixture::at(home, store);
    memory.fates(&[Fate::Refused]);
    let error = add(fixture.graph(), "ann@x").expect_err("refused");
    assert!(matches!(error, CommitError::NotWritten(_)), "{error:?}");
    assert!(!fixture.graph().is_lost());
    add(fixture.graph(), "ann@x").expect("written");
    fixture.reopen();
    assert_eq!(people(fixture.graph()), 1);
}

/// A writer that was stopped where it is about to delete takes nothing away that another has put since.
#[test]
fn what_a_later_writer_has_put_is_nobodys_leftover() {
    let (_home, store, _) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let graph = Graph::open(&store, Options::default()).expect("opened");
    add(&graph, "ann@x").expect("written");
    graph.fold().expect("folded");
    let name = crate::checkpoint::names(&store).expect("listed").remove(0);
    let own = crate::checkpoint::Checkpoint::read(&store, &name).expect("read");
    let later = crate::checkpoint::Checkpoint {
        epoch: own.epoch + 1,
        ..own.clone()
    };
    let earlier = crate::checkpoint::Checkpoint {
        lsn: own.lsn - 1,
        ..own.clone()
    };
    later.publish(&store).expect("published");
    earlier.publish(&store).expect("published");
    graph.collect().expect("collected");
    let left = crate::checkpoint::names(&store).expect("listed");
    assert_eq!(left.len(), 2, "its own and the later one: {left:?}");
    assert!(
        !left
            .iter()
            .any(|name| name.contains(&format!("{:020}-", own.lsn - 1)))
    );

    drop(graph);
    let next = crate::record::SideFile::name(1_000, crate::record::Encoding::Changes);
    store
        .put(&format!("files/{next}"), &[b"a later writer's"])
        .expect("put");
    let graph = Graph::open(&store, Options::default()).expect("opened");
    assert_eq!(people(&graph), 1);
    let files = store.list("files").expect("listed");
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn who_has_ended_is_succeeded_at_once_and_who_is_idle_after_the_lease() {
    let (_home, store, _) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let first = Graph::open(&store, Options::default()).expect("opened");
    first.close().expect("closed");
    let second = Graph::open(&store, Options::default()).expect("released");
    drop(second);
    let third = Graph::open(&store, short()).expect("nothing is left of the second");
    std::thread::sleep(short().lease * 2);
    let fourth = Graph::open(&store, short()).expect("idle for longer than its lease");
    add(&fourth, "ann@x").expect("written");
    add(&third, "bob@x").expect_err("superseded");
    assert!(third.is_lost() && !fourth.is_lost());
    let claims = store.list("epochs").expect("listed");
    assert_eq!(claims.len(), 1, "{claims:?}");
}

#[test]
fn what_is_of_no_use_is_collected_ten_leases_later() {
    let (_home, store, _) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let options = Options {
        retention: Duration::ZERO,
        lease: Duration::from_millis(20),
        ..Options::default()
    };
    let graph = Graph::open(&store, options.clone()).expect("opened");
    let all = || {
        store
            .bucket()
            .expect("a bucket")
            .list_all("")
            .expect("listed")
            .len()
    };
    let mut most = 0;
    for round in 0..12 {
        for number in 0..5 {
            add(&graph, &format!("{round}-{number}")).expect("written");
        }
        graph.fold().expect("folded");
        let logged = store.list("log").expect("listed").len();
        assert!(round > 0 || logged >= 7, "not before ten leases: {logged}");
        std::thread::sleep(options.lease * 11);
        graph.collect().expect("collected");
        if round == 5 {
            most = all();
        }
    }
    assert!(all() <= most + 4 * 12, "{} objects, {most} half way", all());
    assert!(
        store.list("log").expect("listed").len() < 40,
        "the log is shortened"
    );
    assert!(crate::checkpoint::names(&store).expect("listed").len() <= 2);
    drop(graph);
    let graph = Graph::open(&store, options).expect("opened");
    assert_eq!(people(&graph), 60);
}

#[test]
fn many_small_objects_are_folded() {
    let (_home, store, _) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let options = Options {
        fold_entries: 10,
        ..Options::default()
    };
    let graph = Graph::open(&store, options).expect("opened");
    // Folds run on the runtime of the writes.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime");
    for number in 0..40 {
        add_on(&runtime, &graph, &format!("{number}")).expect("written");
    }
    let folded = || {
        graph
            .status()
            .expect("listed")
            .checkpoint
            .is_some_and(|it| it.lsn >= 10)
    };
    for _ in 0..500 {
        if folded() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not folded: {:?}", graph.status().expect("listed"));
}

#[test]
fn an_epoch_that_the_log_has_passed_is_claimed_anew() {
    let (_home, store, _) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    for number in 0..4 {
        let graph = Graph::open(&store, Options::default()).expect("opened");
        add(&graph, &format!("{number}")).expect("written");
    }
    for claim in store.list("epochs").expect("listed") {
        store
            .delete(&format!("epochs/{}", claim.name))
            .expect("removed");
    }
    let graph = Graph::open(&store, Options::default()).expect("opened");
    assert_eq!(people(&graph), 4);
    add(&graph, "more").expect("written");
}
