//! Statements at once: they hold no more together than the account of all graphs, and share what they hold.

use std::sync::Barrier;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::Follower;
use crate::load::{self, Input, Mode, Source};

/// What a column of text takes.
const COLUMN: u64 = DOCS as u64 * (BYTES as u64 + 8);

fn prepared(snapshot: Arc<Snapshot>, column: &str) -> Result<Arc<Snapshot>, Arc<ColumnError>> {
    let text = format!("MATCH (d:Doc) RETURN max(d.{column}) AS v");
    let plan = cypher::compile(&text, snapshot.schema()).expect("valid");
    snapshot.prepared(&plan)
}

fn is_full(error: &ColumnError) -> bool {
    matches!(error, ColumnError::Full { .. })
}

#[test]
fn statements_hold_no_more_together_than_the_account() {
    let home = Home::new(COLUMN * 4);
    let most = AtomicU64::new(0);
    let refused = AtomicU64::new(0);
    let begun = Barrier::new(TEXTS.len());
    thread::scope(|scope| {
        for reader in 0..TEXTS.len() {
            let (home, most, refused, begun) = (&home, &most, &refused, &begun);
            scope.spawn(move || {
                begun.wait();
                let mut answered = 0;
                while answered < 3 {
                    let column = TEXTS[(reader + answered) % TEXTS.len()];
                    match prepared(home.graph().snapshot(), column) {
                        Ok(own) => {
                            most.fetch_max(home.account.reserved(), Ordering::Relaxed);
                            check(own.clone(), column);
                            thread::sleep(Duration::from_millis(5));
                            most.fetch_max(home.account.reserved(), Ordering::Relaxed);
                            answered += 1;
                        }
                        Err(error) if is_full(&error) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => panic!("{column}: {error}"),
                    }
                }
            });
        }
    });
    let most = most.load(Ordering::Relaxed);
    assert!(most <= home.account.limit(), "{most}");
    assert!(most > COLUMN, "{most}");
    println!("{} were refused", refused.load(Ordering::Relaxed));
    // What nobody holds is not counted.
    home.graph().evict(u64::MAX);
    assert_eq!(home.account.reserved(), 0);
}

#[test]
fn who_finds_no_room_is_told_and_finds_it_later() {
    let home = Home::new(COLUMN * 2);
    let one = prepared(home.graph().snapshot(), "a").expect("there is room");
    let begun = Instant::now();
    let error = prepared(home.graph().snapshot(), "b").expect_err("there is none");
    assert!(is_full(&error), "{error}");
    assert!(
        begun.elapsed() > Duration::from_millis(400),
        "it has waited"
    );
    // Another process's table or an eviction does not take what somebody holds.
    check(one.clone(), "a");
    let waiting = {
        let snapshot = home.graph().snapshot();
        thread::spawn(move || prepared(snapshot, "b").map(drop))
    };
    thread::sleep(Duration::from_millis(100));
    drop(one);
    waiting.join().expect("no panic").expect("room was made");
    home.check("b");
}

#[test]
fn a_write_leaves_in_memory_what_others_read() {
    let home = Home::new(COLUMN * 6);
    let texts = &TEXTS[..4];
    texts.iter().for_each(|column| home.check(column));
    let is_warm = || {
        let snapshot = home.graph().snapshot();
        let plans = texts.iter().map(|column| {
            let text = format!("MATCH (d:Doc) RETURN max(d.{column}) AS v");
            cypher::compile(&text, snapshot.schema()).expect("valid")
        });
        plans
            .map(|plan| snapshot.is_warm(&plan))
            .collect::<Vec<_>>()
    };
    assert!(home.account.is_tight());
    assert_eq!(is_warm(), [true; 4]);
    home.run("CREATE (:Small {key: 100, name: 'new'})")
        .expect("made");
    assert_eq!(is_warm(), [true; 4]);
}

/// Who sees that columns were evicted finds the state without them.
#[test]
fn what_is_evicted_is_found_as_soon_as_it_is_seen() {
    let home = Home::new(u64::MAX);
    home.check("a");
    let (graph, before) = (home.graph(), home.graph().snapshot());
    let rows = |snapshot: &Snapshot, name: &str| {
        let node_type = snapshot.schema().node_type_named(name).expect("declared");
        snapshot.rows(node_type.id).expect("there").base.clone()
    };
    let small = rows(&before, "Small");
    let held = small.hold();
    let (seen, freed) = thread::scope(|scope| {
        let evicting = scope.spawn(|| graph.evict(1));
        thread::sleep(Duration::from_millis(300));
        let seen = !Arc::ptr_eq(&graph.snapshot(), &before);
        drop(held);
        (seen, evicting.join().expect("no panic"))
    });
    assert!(!seen, "nobody could have found it");
    assert!(freed > COLUMN / 2, "{freed}");
    let newest = rows(&before, "Doc").newest().expect("evicted");
    assert!(Arc::ptr_eq(&newest, &rows(&graph.snapshot(), "Doc")));
}

#[test]
fn what_one_has_read_is_not_read_again_by_others() {
    let home = Home::new(u64::MAX);
    // It would not take over what another does not have.
    let cold = home.graph().snapshot();
    home.graph().evict(u64::MAX);
    let one = prepared(home.graph().snapshot(), "a").expect("read");
    let reserved = home.account.reserved();
    assert!(reserved >= DOCS as u64 * BYTES as u64, "{reserved}");
    home.graph().evict(u64::MAX);
    assert_eq!(home.account.reserved(), reserved, "somebody holds it");
    let hidden = Hidden::of(&home);
    for snapshot in [home.graph().snapshot(), cold] {
        let other = prepared(snapshot, "a").expect("it is taken over");
        assert_eq!(home.account.reserved(), reserved, "it is there once");
        check(other, "a");
        prepared(home.graph().snapshot(), "b").expect_err("nobody has it");
    }
    drop(hidden);
    home.graph().evict(u64::MAX);
    drop(one);
    assert_eq!(home.account.reserved(), 0);
}

#[test]
fn room_is_made_by_one_at_a_time_and_not_without_end() {
    let (calls, at_once, most) = <(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let counted = (calls.clone(), at_once, most.clone());
    let account = Arc::new(Account::new(1_000, move |_| {
        let (calls, at_once, most) = &counted;
        calls.fetch_add(1, Ordering::SeqCst);
        most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(5));
        at_once.fetch_sub(1, Ordering::SeqCst);
        0
    }));
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while begun.elapsed() < Duration::from_millis(300) {
                    account.ask(10);
                    thread::yield_now();
                }
            });
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 1);
    let calls = calls.load(Ordering::SeqCst);
    assert!((1..6).contains(&calls), "{calls}");
    // Columns have a part of it all the same, and more is freed than the next byte needs.
    account.measured(5_000, 200);
    assert_eq!(account.excess(0), 0);
    assert!(account.excess(100) > 50);
    account.measured(0, 0);
    assert_eq!(account.excess(1_000), 0);
}

#[test]
fn who_makes_room_does_not_give_way_whoever_asks() {
    let (told, found) = std::sync::mpsc::channel();
    let account = Arc::new(Account::new(1_000, move |_| {
        // Its priority is that of whoever started it.
        let nice = rustix::process::getpriority_process(None).expect("known");
        told.send((nice, crate::aside::gives_way())).expect("waits");
        0
    }));
    let usual = rustix::process::getpriority_process(None).expect("known");
    let asking = crate::aside::run(move || account.ask(10));
    let found = found.recv_timeout(Duration::from_secs(30)).expect("begins");
    assert_eq!(found, (usual, false));
    futures::executor::block_on(asking).expect("ends");
}

#[test]
fn a_follower_reads_columns_when_they_are_needed_and_keeps_their_table() {
    let home = Home::new(u64::MAX);
    let account = Arc::new(Account::new(u64::MAX, |_| 0));
    let options = Options {
        memory: Some(account.clone()),
        fold_rows: 100,
        ..home.options.clone()
    };
    let follower = Follower::open(home.folder.path().join("g").as_path(), options);
    let follower = follower.expect("opened");
    assert!(follower.memory().cold_columns >= TEXTS.len());
    assert!((follower.memory().columns as u64) < ALL / 8);
    let old = follower.snapshot().expect("read");
    for round in 1..4 {
        home.run(&format!("MATCH (s:Small) SET s.n = {round}"))
            .expect("set");
        home.run(&format!("MATCH (d:Doc {{key: {round}}}) SET d.a = 'other'"))
            .expect("set");
        home.graph().fold().expect("folded");
        home.graph().collect().expect("collected");
    }
    check(old.clone(), "a");
    assert!(account.reserved() > 0);
    assert!(follower.evict(u64::MAX) > 0);
    check(old.clone(), "b");
    let sum = "MATCH (s:Small) RETURN sum(s.n) AS n";
    let now = || follower.snapshot().expect("read");
    assert_eq!(rows(now(), sum).expect("read"), [[Value::Int(300)]]);
    // The tables of the newest checkpoint in place of many changes.
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(rows(now(), sum).expect("read"), [[Value::Int(300)]]);
    assert!(now().changed_rows() < 100, "{}", now().changed_rows());
    drop((old, follower));
    assert_eq!(account.reserved(), 0);
    home.graph().collect().expect("collected");
    let left = home
        .graph()
        .store()
        .list_if_there("leases")
        .expect("listed");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_past_made_forwards_reads_what_is_needed() {
    let home = Home::new(u64::MAX);
    home.graph().evict(u64::MAX);
    let then = home.graph().snapshot().head().sequence;
    // From here on, going back is the longer way.
    let retained = home
        .graph()
        .status()
        .expect("listed")
        .checkpoint
        .expect("one")
        .lsn;
    home.write(|transaction| {
        let schema = transaction.snapshot().schema().clone();
        let small = schema.node_type_named("Small").expect("declared");
        let property = |name: &str| small.property(name).expect("declared").id;
        for key in 1_000..30_000_i64 {
            let values = vec![
                (property("key"), Value::Int(key)),
                (property("name"), "a long name that takes its room".into()),
            ];
            transaction.create_node(small.id, values)?;
        }
        Ok::<_, WriteError>(())
    })
    .expect("written");
    assert!(
        home.graph()
            .status()
            .expect("listed")
            .checkpoint
            .expect("one")
            .lsn
            >= retained
    );
    let limits = PastLimits::default();
    let place = home.folder.path().join("g");
    let follower = Follower::open(place.as_path(), home.options.clone()).expect("opened");
    let past = home.graph().snapshot_at(At::Sequence(then), &limits);
    let followed = follower.snapshot_at(At::Sequence(then), &limits);
    let (past, followed) = (past.expect("read"), followed.expect("read"));
    drop(follower);
    for past in [&past, &followed] {
        assert_eq!(past.head().sequence, then);
        let memory = past.memory();
        assert!(memory.cold_columns >= TEXTS.len(), "{memory:?}");
        assert!((memory.columns as u64) < ALL / 8, "{memory:?}");
    }
    // Its tables stay while it is read.
    for _ in 0..3 {
        home.run("MATCH (d:Doc {key: 5}) SET d.b = d.b + '.'")
            .expect("set");
        home.graph().fold().expect("folded");
        home.graph().collect().expect("collected");
    }
    for column in ["a", "b"] {
        check(past.clone(), column);
        check(followed.clone(), column);
    }
    drop((past, followed));
    home.graph().collect().expect("collected");
    let left = home.graph().store().list_if_there("leases");
    assert!(left.expect("listed").is_empty());
}

#[test]
fn a_load_that_merges_reads_before_its_turn() {
    let home = Home::new(u64::MAX);
    let held = {
        let snapshot = home.graph().snapshot();
        let doc = snapshot.schema().node_type_named("Doc").expect("declared");
        snapshot.with_whole(doc.id).expect("read")
    };
    home.graph().evict(u64::MAX);
    let lines = r#"{"type":"Doc","data":{"key":7,"a":"merged"}}"#;
    let merge = || {
        let input = Input::Stream(Box::new(lines.as_bytes()));
        let graph = home.graph();
        let batch = load::parse(input, &Source::lines(Mode::Merge), &graph.snapshot());
        let batch = batch.expect("valid");
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().expect("a runtime");
        runtime.block_on(graph.load(WriteRequest::by("test"), None, &batch))
    };
    let hidden = Hidden::of(&home);
    // The leader finds what was read beside it, and nothing that it would have to read.
    merge().expect("nothing is read");
    drop(held);
    home.graph().evict(u64::MAX);
    let error = merge().expect_err("it cannot be read");
    assert!(matches!(error, CommitError::Write(WriteError::Column(_))));
    drop(hidden);
    merge().expect("read");
    let merged = home.rows("MATCH (d:Doc {key: 7}) RETURN d.a, size(d.b)");
    let expected = ["merged".into(), Value::Int(BYTES as i64)];
    assert_eq!(merged.expect("read"), [expected]);
}

#[test]
fn who_reads_a_graph_that_was_closed_keeps_its_tables() {
    let home = Home::new(u64::MAX);
    let (closed, old) = (home.graph(), home.graph().snapshot());
    closed.close().expect("closed");
    home.reopen();
    for round in 1..4 {
        home.run(&format!("MATCH (d:Doc) SET d.a = 'other {round}'"))
            .expect("set");
        home.graph().fold().expect("folded");
        home.graph().collect().expect("collected");
    }
    for column in TEXTS {
        check(old.clone(), column);
    }
    drop((closed, old));
    home.graph().collect().expect("collected");
    let left = home.graph().store().list_if_there("leases");
    assert!(left.expect("listed").is_empty());
}
