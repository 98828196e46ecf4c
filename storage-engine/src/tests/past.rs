//! The graph as it was.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use language::value::Value;
use uuid::Uuid;

use super::collect::frugal;
use super::{Fixture, contents};
use crate::{At, CommitId, CommitInfo, Options, PastError, PastLimits};

/// Commits of every kind, with a fold here and there; after each, its head and what it left.
fn lived(fixture: &mut Fixture, options: Options) -> Vec<(CommitInfo, String)> {
    fixture.reopen_with(options);
    let mut states = vec![state(fixture)];
    let (age, name) = (
        fixture.property("Person", "age"),
        fixture.property("Person", "name"),
    );
    let mut people = Vec::new();
    for round in 0..40_i64 {
        match round % 8 {
            0 | 1 => people.push(fixture.add_person(&format!("{round}@x"), round)),
            2 => fixture.connect(people[people.len() - 1], people[people.len() - 2]),
            3 => {
                let node = people[people.len() - 1];
                let values = vec![(age, Value::Null), (name, Value::from("n"))];
                fixture
                    .write(move |work| work.set_node(node, values))
                    .map(drop)
                    .expect("set");
            }
            4 => fixture.connect(people[0], people[people.len() - 1]),
            5 => {
                let node = people.remove(people.len() - 2);
                let detach = move |work: &mut crate::Transaction| {
                    for edge in work.relationships(node).collect::<Vec<_>>() {
                        if work.snapshot().contains_edge(edge) {
                            work.delete_edge(edge)?;
                        }
                    }
                    work.delete_node(node)
                };
                fixture.write(detach).map(drop).expect("deleted");
            }
            // The key of the node that is gone, again.
            6 => people.push(fixture.add_person(&format!("{}@x", round - 6), -round)),
            _ => fixture.connect(people[people.len() - 1], people[people.len() - 1]),
        }
        states.push(state(fixture));
        if round % 7 == 6 {
            fixture.graph().fold().expect("folded");
        }
    }
    states
}

fn state(fixture: &Fixture) -> (CommitInfo, String) {
    let snapshot = fixture.graph().snapshot();
    (snapshot.head().clone(), contents(&snapshot))
}

fn kept() -> Options {
    Options {
        retention: Duration::from_secs(3_600),
        ..frugal()
    }
}

fn check(fixture: &Fixture, at: At, (head, expected): &(CommitInfo, String)) {
    let past = fixture.graph().snapshot_at(at, &PastLimits::default());
    let past = past.unwrap_or_else(|error| panic!("{at}: {error:?}"));
    assert_eq!(past.head(), head, "{at}");
    assert_eq!(&contents(&past), expected, "{at}");
    let nodes: u64 = past
        .schema()
        .node_types
        .iter()
        .map(|it| past.node_count(it.id))
        .sum();
    let edges: u64 = past
        .schema()
        .edge_types
        .iter()
        .map(|it| past.edge_count(it.id))
        .sum();
    assert_eq!(nodes + edges, expected.lines().count() as u64, "{at}");
}

#[test]
pub(super) fn every_commit_can_be_read_again() {
    let mut fixture = Fixture::new();
    let states = lived(&mut fixture, kept());
    for round in 0..3 {
        for (at, state) in states.iter().enumerate() {
            let head = &state.0;
            let how = match (at + round) % 3 {
                0 => At::Commit(head.id),
                1 => At::Sequence(head.sequence),
                _ => At::Time(head.time_micros),
            };
            check(&fixture, how, state);
        }
        match round {
            0 => fixture.reopen_with(kept()),
            _ => {
                fixture.graph().fold().expect("folded");
                fixture.graph().collect().expect("collected");
            }
        }
    }
    let between = states[3].0.time_micros + 1;
    if between < states[4].0.time_micros {
        check(&fixture, At::Time(between), &states[3]);
    }
    check(&fixture, At::Time(i64::MAX), &states[states.len() - 1]);
}

#[test]
pub(super) fn what_never_was_and_what_is_gone_are_told_apart() {
    let mut fixture = Fixture::new();
    let states = lived(&mut fixture, kept());
    let limits = PastLimits::default();
    let read = |fixture: &Fixture, at| fixture.graph().snapshot_at(at, &limits);
    let unknown = |found: Result<_, PastError>| {
        assert!(
            matches!(
                found,
                Err(PastError::Unknown(_) | PastError::BeforeGraph(At::Time(_)))
            ),
            "{:?}",
            found.err()
        );
    };
    let newest = states[states.len() - 1].0.sequence;
    for at in [
        At::Sequence(0),
        At::Sequence(newest + 1),
        At::Commit(CommitId(Uuid::now_v7())),
        At::Commit(CommitId(Uuid::new_v4())),
        At::Commit(CommitId(Uuid::nil())),
        At::Time(states[0].0.time_micros - 1),
    ] {
        unknown(read(&fixture, at).map(drop));
    }
    fixture.reopen_with(frugal());
    fixture.graph().collect().expect("collected");
    let horizon = fixture.graph().status().expect("listed").log.horizon;
    assert!(horizon > 3);
    let mut gone = 0;
    for state in &states {
        let head = &state.0;
        for at in [
            At::Commit(head.id),
            At::Sequence(head.sequence),
            At::Time(head.time_micros),
        ] {
            match read(&fixture, at) {
                Ok(past) => assert_eq!(contents(&past), state.1, "{at}"),
                Err(PastError::Gone { .. }) => {
                    gone += 1;
                    assert!(head.sequence < horizon, "{at}");
                }
                Err(error) => panic!("{at}: {error:?}"),
            }
        }
    }
    assert!(gone >= 9, "{gone}");
    unknown(read(&fixture, At::Commit(CommitId(Uuid::now_v7()))).map(drop));
    unknown(read(&fixture, At::Sequence(newest + 1)).map(drop));
}

#[test]
pub(super) fn the_past_has_its_limits() {
    let mut fixture = Fixture::new();
    lived(&mut fixture, kept());
    let read = |limits: PastLimits| {
        fixture
            .graph()
            .snapshot_at(At::Sequence(2), &limits)
            .map(drop)
    };
    let late = PastLimits {
        deadline: Some(Instant::now()),
        ..PastLimits::default()
    };
    assert!(matches!(read(late), Err(PastError::Deadline)));
    let alone = PastLimits {
        cancelled: Arc::new(AtomicBool::new(true)),
        ..PastLimits::default()
    };
    assert!(matches!(read(alone), Err(PastError::Cancelled)));
    let narrow = PastLimits {
        max_bytes: 100,
        ..PastLimits::default()
    };
    assert!(matches!(
        read(narrow),
        Err(PastError::TooLarge { limit: 100 })
    ));
    read(PastLimits::default()).expect("read");
}

/// What is read on the way counts too, not only what differs in the end.
#[test]
fn the_way_back_has_its_limits() {
    let fixture = Fixture::new();
    let before = state(&fixture);
    let (note, text) = (fixture.type_id("Note"), fixture.property("Note", "text"));
    let pass = |bytes: usize, times: usize| {
        for _ in 0..times {
            let value = Value::string("x".repeat(bytes));
            let made = fixture.write(move |work| work.create_node(note, vec![(text, value)]));
            let node = made.expect("made").value;
            fixture
                .write(move |work| work.delete_node(node))
                .expect("deleted");
        }
        state(&fixture)
    };
    let read = |sequence: u64, max_bytes: usize| {
        let limits = PastLimits {
            max_bytes,
            ..PastLimits::default()
        };
        let made = fixture.graph().snapshot_at(At::Sequence(sequence), &limits);
        made.map(drop)
    };
    // In the log, then in files beside it.
    let many = pass(50 << 10, 20);
    let refused = read(before.0.sequence, 1 << 20);
    assert!(
        matches!(refused, Err(PastError::TooLarge { .. })),
        "{refused:?}"
    );
    pass(2 << 20, 1);
    let refused = read(many.0.sequence, 1 << 20);
    assert!(
        matches!(refused, Err(PastError::TooLarge { .. })),
        "{refused:?}"
    );
    read(many.0.sequence, 8 << 20).expect("there is room");
}

#[test]
pub(super) fn the_way_forward_gives_the_same() {
    let mut fixture = Fixture::new();
    let states = lived(&mut fixture, kept());
    // Far from the newest state, and near a checkpoint: much of the log lies in between.
    fixture.graph().fold().expect("folded");
    let (note, text) = (fixture.type_id("Note"), fixture.property("Note", "text"));
    let before = state(&fixture);
    for _ in 0..40 {
        let value = Value::string("x".repeat(100 << 10));
        let made = fixture.write(move |work| work.create_node(note, vec![(text, value)]));
        let node = made.expect("made").value;
        fixture
            .write(move |work| work.delete_node(node))
            .expect("deleted");
    }
    check(&fixture, At::Sequence(before.0.sequence), &before);
    check(&fixture, At::Sequence(states[5].0.sequence), &states[5]);
}

#[test]
fn a_point_in_the_past_is_written_in_three_ways() {
    let id = Uuid::now_v7();
    let cases = [
        ("12", Some(At::Sequence(12))),
        ("0", Some(At::Sequence(0))),
        ("1970-01-01T00:00:01Z", Some(At::Time(1_000_000))),
        ("1970-01-01T01:00:00.000001+01:00", Some(At::Time(1))),
        ("", None),
        ("-1", None),
        ("99999999999999999999", None),
        ("yesterday", None),
        ("2026-11-20", None),
        ("2026-11-20T10:00:00", None),
    ];
    for (text, expected) in cases {
        assert_eq!(At::parse(text), expected, "{text}");
    }
    let expected = Some(At::Commit(CommitId(id)));
    assert_eq!(At::parse(&id.to_string()), expected);
    assert_eq!(At::parse(&id.to_string().to_uppercase()), expected);
}
