//! A second process that reads along in an object store, while another writes, folds and collects.

use std::time::Duration;

use super::{add, people, place, schema, short};
use crate::cold::Shelf;
use crate::graph::Extent;
use crate::lease::Lease;
use crate::tests::contents;
use crate::{
    At, CommitError, Follower, Graph, NewGraph, OpenError, Options, PastLimits, checkpoint,
};

fn frugal() -> Options {
    Options {
        retention: Duration::ZERO,
        lease: Duration::from_millis(20),
        ..Options::default()
    }
}

#[test]
fn who_was_left_behind_opens_anew() {
    let (_home, store, _) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let graph = Graph::open(&store, frugal()).expect("opened");
    let follower = Follower::open(&store, frugal()).expect("opened");
    for round in 0..4 {
        for number in 0..3 {
            add(&graph, &format!("{round}-{number}")).expect("written");
            graph.fold().expect("folded");
        }
        std::thread::sleep(frugal().lease * 11);
        graph.collect().expect("collected");
        let seen = follower.snapshot().expect("read");
        assert_eq!(contents(&seen), contents(&graph.snapshot()));
    }
    assert!(graph.status().expect("listed").log.horizon > 8);
}

#[test]
fn a_lease_keeps_what_is_read() {
    let (_home, store, _) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let graph = Graph::open(&store, frugal()).expect("opened");
    add(&graph, "first").expect("written");
    graph.fold().expect("folded");
    let leased = graph.status().expect("listed").checkpoint.expect("one").lsn;
    let lease = Lease::take(&store, leased).expect("taken").expect("stored");
    let kept = || {
        let names = checkpoint::names(&store).expect("listed");
        let mut lsns = names.iter().filter_map(|name| checkpoint::lsn_of(name));
        lsns.any(|lsn| lsn == leased)
    };
    for number in 0..6 {
        add(&graph, &format!("{number}")).expect("written");
        graph.fold().expect("folded");
        std::thread::sleep(frugal().lease * 6);
    }
    graph.collect().expect("collected");
    assert!(kept());
    let status = graph.status().expect("listed");
    assert!(status.log.horizon <= leased + 1, "{status:?}");
    let pin = status.pins.iter().find(|pin| pin.since_micros.is_some());
    assert_eq!(pin.expect("it is shown").lsn, leased);
    let names = checkpoint::names(&store).expect("listed");
    let name = names
        .iter()
        .find(|name| checkpoint::lsn_of(name) == Some(leased));
    let found = checkpoint::Checkpoint::read(&store, name.expect("kept")).expect("whole");
    let shelf = Shelf::new(&store, None);
    let extent = Extent {
        shelf: &shelf,
        resident: (u64::MAX, u64::MAX),
        lasting: false,
    };
    let (_, then) =
        crate::graph::load(&store, found.graph, &found.name(), extent).expect("its tables too");
    assert_eq!(contents(&then).lines().count(), 1);
    drop(lease);
    graph.collect().expect("collected");
    assert!(!kept());
    assert!(store.list("leases").expect("listed").is_empty());
}

#[test]
fn the_first_write_after_the_lease_takes_over() {
    let (_home, store, _) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let first = Graph::open(&store, short()).expect("opened");
    let second = Follower::open(&store, short()).expect("opened");
    assert_eq!(second.holder().expect("the first").pid, std::process::id());
    std::thread::sleep(short().lease * 2);
    assert_eq!(second.holder(), None);
    let next = Graph::open(&store, Options::default()).expect("taken over");
    assert!(second.holder().is_some());
    add(&next, "ann@x").expect("written");
    assert_eq!(people(&next), 1);
    assert_eq!(
        contents(&second.snapshot().expect("read")).lines().count(),
        1
    );
    let error = add(&first, "bob@x").expect_err("superseded");
    assert!(matches!(error, CommitError::Superseded), "{error:?}");
    let then = second.snapshot_at(At::Sequence(1), &PastLimits::default());
    assert_eq!(contents(&then.expect("read")), "");
}

#[test]
fn readers_share_what_one_has_looked_up() {
    let (_home, store, _) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let graph = Graph::open(&store, Options::default()).expect("opened");
    let follower = Follower::open(&store, Options::default()).expect("opened");
    let people = |follower: &Follower| {
        let seen = follower.snapshot().expect("read");
        contents(&seen).lines().count()
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < 40 {
                        let now = people(&follower);
                        assert!(now >= last, "never back");
                        last = now;
                    }
                })
            })
            .collect();
        for number in 0..40 {
            add(&graph, &format!("{number}")).expect("written");
            assert_eq!(
                people(&follower),
                number + 1,
                "what is acknowledged is seen"
            );
        }
        readers
            .into_iter()
            .for_each(|it| it.join().expect("no panic"));
    });
}

#[test]
fn a_writer_that_was_idle_knows_whether_it_is_current() {
    let (_home, store, memory) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    // It counts on two thirds of it.
    let brief = || Options {
        lease: Duration::from_millis(900),
        ..Options::default()
    };
    let first = Graph::open(&store, brief()).expect("opened");
    assert!(first.is_current());
    first.hold_on().expect("it is");
    std::thread::sleep(brief().lease * 2);
    assert!(!first.is_current());
    // Nobody has come: it holds the graph again, and others leave it alone.
    first.hold_on().expect("nobody has come");
    assert!(first.is_current());
    let refused = Graph::open(&store, brief()).map(drop);
    assert!(
        matches!(refused, Err(OpenError::Locked { .. })),
        "{refused:?}"
    );
    add(&first, "ann@x").expect("written");
    std::thread::sleep(brief().lease * 2);
    memory.cut("/log/", 1_000);
    let error = first.hold_on().expect_err("it cannot be told");
    assert!(error.is_passing() && !first.is_lost(), "{error:?}");
    assert!(!first.is_current());
    let error = first.hold_on().expect_err("nor a moment later");
    assert!(error.is_passing(), "{error:?}");
    memory.mend();
    std::thread::sleep(brief().lease / 10);
    first.hold_on().expect("still nobody");
    std::thread::sleep(brief().lease * 2);
    let second = Graph::open(&store, Options::default()).expect("taken over");
    add(&second, "bob@x").expect("written");
    assert!(!first.is_current());
    first.hold_on().expect_err("overtaken");
    assert!(first.is_lost());
    assert_eq!(people(&second), 2);
    drop((first, second));
    let claims = store.list("epochs").expect("listed");
    assert_eq!(claims.len(), 1, "{claims:?}");
}

/// Who says that it is current has everything that was acknowledged before it was asked, whoever else
/// comes at that moment.
#[test]
fn only_one_of_those_who_come_at_once_is_current() {
    let (_home, store, _) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let mut writer = Graph::open(&store, frugal()).expect("opened");
    for round in 0..20 {
        std::thread::sleep(frugal().lease * 2);
        let next = std::thread::scope(|scope| {
            let taking = scope.spawn(|| {
                let taken = Graph::open(&store, frugal()).ok();
                assert!(taken.is_none() || !writer.is_current(), "{round}: both");
                taken
            });
            let _either = writer.hold_on();
            taking.join().expect("one at a time")
        });
        if let Some(next) = next {
            add(&next, &format!("{round}")).expect("written");
            assert!(!writer.is_current(), "{round}");
            writer.hold_on().expect_err("overtaken");
            writer = next;
        } else if writer.hold_on().is_err() {
            // Neither: one gave way to the other, who was too late.
            std::thread::sleep(frugal().lease * 2);
            writer = Graph::open(&store, frugal()).expect("opened");
        }
    }
}
