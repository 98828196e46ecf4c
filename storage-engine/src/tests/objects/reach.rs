//! A store that cannot be reached for a while: nothing is taken for damaged, nothing older is used, and
//! everything is there again afterwards. What is damaged is told from that.

use super::{add, people, place, schema, short};
use crate::reach::is_out_of_reach;
use crate::tests::contents;
use crate::{
    At, CollectError, FoldError, Follower, Graph, NewGraph, OpenError, Options, PastLimits,
};
use crate::{Store, checkpoint};

/// Far more often than anything is tried.
const ALWAYS: usize = 1_000_000;

/// A graph with two checkpoints and a commit after them.
fn graph(store: &Store) -> String {
    Graph::create(store, NewGraph::new(schema(), "test")).expect("created");
    let graph = Graph::open(store, Options::default()).expect("opened");
    for number in 0..3 {
        add(&graph, &format!("{number}")).expect("written");
        graph.fold().expect("folded");
    }
    add(&graph, "tail").expect("written");
    contents(&graph.snapshot())
}

#[test]
fn what_cannot_be_reached_is_not_passed_over() {
    let (_home, store, memory) = place();
    let expected = graph(&store);
    let names = checkpoint::names(&store).expect("listed");
    let newest = names[0].clone();
    let lsn = checkpoint::lsn_of(&newest).expect("a number");
    let parts = [
        // First, for Lance remembers what it has read.
        "/data/",
        newest.as_str(),
        names[1].as_str(),
        "/checkpoints/",
        "/tables/",
        "/_versions/",
        "/log/",
        "/epochs/",
        "graph.json",
    ];
    for part in parts {
        memory.cut(part, ALWAYS);
        let error = Graph::open(&store, Options::default());
        let error = error.map(drop).expect_err(part);
        assert!(error.is_passing(), "{part}: {error:?}");
        if ["/epochs/", "graph.json"].contains(&part) {
            assert!(matches!(error, OpenError::File(_)), "{part}: {error:?}");
        }
        if part != names[1] && part != "/epochs/" {
            let error = Follower::open(&store, Options::default());
            let error = error.map(drop).expect_err(part);
            assert!(error.is_passing(), "{part}: {error:?}");
        }
        memory.mend();
        let graph = Graph::open(&store, Options::default()).expect("well again");
        assert_eq!(contents(&graph.snapshot()), expected, "{part}");
        let used = graph.status().expect("listed").checkpoint.expect("one").lsn;
        assert_eq!(used, lsn, "{part}: the newest is used");
    }
}

#[test]
fn what_fails_now_and_then_is_repeated() {
    for part in ["/_versions/", "/data/", "/checkpoints/0"] {
        let (_home, store, memory) = place();
        let expected = graph(&store);
        memory.cut(part, 2);
        let graph = Graph::open(&store, Options::default()).expect("in the end");
        assert_eq!(contents(&graph.snapshot()), expected);
        assert!(graph.status().expect("listed").checkpoint.is_some());
    }
}

/// No crash leaves that in an object store, but it is damage when it is there.
#[test]
fn what_is_missing_or_cut_short_is_damage() {
    let kinds = ["_versions", "data", "_transactions"];
    for (kind, cut) in kinds.iter().flat_map(|kind| [(kind, true), (kind, false)]) {
        let (_home, store, _) = place();
        let expected = graph(&store);
        let bucket = store.bucket().expect("a bucket");
        let all = bucket.list_all("tables").expect("listed");
        let all: Vec<_> = all.iter().filter(|it| it.name.contains(kind)).collect();
        assert!(!all.is_empty());
        for object in all {
            let bytes = bucket.get(&object.name).expect("read");
            match cut {
                true => bucket.put(&object.name, bytes.slice(..bytes.len() / 2)),
                false => bucket.delete(&object.name),
            }
            .expect("damaged");
        }
        let graph = Graph::open(&store, Options::default()).expect("from the log");
        assert_eq!(contents(&graph.snapshot()), expected, "{kind} {cut}");
        let checkpoint = graph.status().expect("listed").checkpoint;
        assert_eq!(checkpoint.is_some(), *kind == "_transactions", "{kind}");
    }
}

#[test]
fn folding_and_collecting_go_on_when_the_store_is_there_again() {
    let (_home, store, memory) = place();
    graph(&store);
    let graph = Graph::open(&store, short()).expect("opened");
    for part in ["/tables/", "/checkpoints/", "/log/"] {
        add(&graph, part).expect("written");
        memory.deleted();
        memory.cut(part, ALWAYS);
        let error = graph.fold().expect_err(part);
        let passes = is_out_of_reach(&error) || matches!(error, FoldError::Table(_));
        assert!(passes, "{part}: {error:?}");
        let error = graph.collect().expect_err(part);
        let passes = is_out_of_reach(&error) || matches!(error, CollectError::Table(_));
        assert!(passes, "{part}: {error:?}");
        let gone = memory.deleted();
        let kept = gone.iter().all(|name| !name.contains("/tables/"));
        assert!(kept, "{part}: {gone:?}");
        memory.mend();
        assert!(!graph.is_lost(), "{part}");
        graph.fold().expect("folded");
        graph.collect().expect("collected");
        assert_eq!(graph.status().expect("listed").tail_rows, 0);
    }
    // What cannot be listed is not told as nothing.
    for part in ["/log/", "/leases/", "/files/"] {
        memory.cut(part, ALWAYS);
        let told = graph.status().expect_err(part);
        assert!(is_out_of_reach(&told), "{part}: {told:?}");
        memory.mend();
        assert!(graph.status().expect("listed").log.segments > 0, "{part}");
    }
    // An old checkpoint that somebody may need.
    let old = checkpoint::names(&store)
        .expect("listed")
        .pop()
        .expect("one");
    add(&graph, "more").expect("written");
    memory.cut(&old, ALWAYS);
    graph.fold().expect("folded");
    let trouble = graph
        .status()
        .expect("listed")
        .collection_error
        .expect("it is shown");
    assert!(trouble.message.contains(&old), "{trouble:?}");
    memory.mend();
    assert!(checkpoint::names(&store).expect("listed").contains(&old));
    graph.collect().expect("collected");
    assert!(!checkpoint::names(&store).expect("listed").contains(&old));
    let expected = contents(&graph.snapshot());
    drop(graph);
    let graph = Graph::open(&store, Options::default()).expect("opened");
    assert_eq!(contents(&graph.snapshot()), expected);
    assert_eq!(people(&graph), 8);
}

#[test]
fn who_reads_along_is_told_and_sees_everything_afterwards() {
    let (_home, store, memory) = place();
    graph(&store);
    let graph = Graph::open(&store, Options::default()).expect("opened");
    let follower = Follower::open(&store, Options::default()).expect("opened");
    let limits = PastLimits::default();
    for round in 0..3 {
        add(&graph, &format!("cut-{round}")).expect("written");
        memory.cut("/log/", ALWAYS);
        let error = follower.snapshot().expect_err("not an older state");
        assert!(error.is_passing(), "{error:?}");
        let error = follower.snapshot_at(At::Sequence(2), &limits);
        assert!(error.expect_err("neither").is_passing());
        let error = graph.snapshot_at(At::Sequence(2), &limits);
        assert!(error.expect_err("cannot be read").is_passing());
        memory.mend();
        let seen = follower.snapshot().expect("there again");
        assert_eq!(contents(&seen), contents(&graph.snapshot()));
        follower
            .snapshot_at(At::Sequence(2), &limits)
            .expect("read");
        graph.snapshot_at(At::Sequence(2), &limits).expect("read");
    }
}

/// However many wait, the store is asked twice at most.
#[test]
fn who_waits_for_a_store_that_is_away_is_told_together() {
    let (_home, store, memory) = place();
    graph(&store);
    let follower = Follower::open(&store, Options::default()).expect("opened");
    memory.cut("/log/", ALWAYS);
    memory.hold_reads("/log/");
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| follower.snapshot()))
            .collect();
        memory.until_someone_waits();
        std::thread::sleep(std::time::Duration::from_millis(200));
        memory.release_reads();
        for reader in readers {
            let error = reader.join().expect("no panic").map(drop);
            assert!(error.expect_err("away").is_passing());
        }
    });
    assert!(memory.refused() <= 2, "{}", memory.refused());
    memory.mend();
    follower.snapshot().expect("there again");
}
