//! What stands beside the log counts as the log does: it makes folds due, goes with them, and bounds what
//! opening reads.

use std::time::{Duration, Instant};

use language::value::Value;

use super::collect::sizes;
use super::transfer::{by_columns, load_from};
use super::{Fixture, Random, contents, open_again};
use crate::load::Mode;
use crate::{Graph, Options, Status};

/// What makes a fold due here: less than four large bodies.
const FOLD_BYTES: u64 = 4 << 20;

fn small() -> Options {
    Options {
        fold_bytes: FOLD_BYTES,
        segment_bytes: FOLD_BYTES,
        retention: Duration::ZERO,
        ..Options::default()
    }
}

/// The same, where nothing is folded.
fn unfolded() -> Options {
    Options {
        fold_bytes: u64::MAX,
        ..small()
    }
}

fn status(graph: &Graph) -> Status {
    graph.status().expect("listed")
}

/// Waits for folds in the background until what is left makes none due.
fn settled(graph: &Graph) -> Status {
    let begun = Instant::now();
    loop {
        let status = status(graph);
        if status.checkpoint.is_some() && status.tail_bytes < FOLD_BYTES {
            return status;
        }
        assert!(begun.elapsed().as_secs() < 60, "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Text that is not like any other, so that nothing makes it short.
fn text(random: &mut Random, bytes: usize) -> Value {
    let letters = (0..bytes / 16).map(|_| format!("{:016x}", random.next()));
    Value::string(letters.collect::<String>())
}

/// Leaves nothing of the log but what the last two of three small folds need, and looks at the disk.
fn comes_back_to_its_baseline(fixture: &Fixture) {
    for round in 0..3 {
        fixture.add_person(&format!("after {round}@x"), round);
        fixture.graph().fold().expect("folded");
    }
    let sizes = sizes(&fixture.folder());
    assert_eq!(sizes["files"], (0, 0), "{sizes:?}");
    assert!(sizes["log"].0 < 64 << 10, "{sizes:?}");
    let status = status(fixture.graph());
    assert_eq!(status.side_bytes, 0);
    assert!(status.tail_bytes < 64 << 10, "{status:?}");
}

/// A crash now, and what opening finds.
fn opens_with_little(fixture: &mut Fixture) {
    let expected = fixture.contents();
    fixture.graph = None;
    fixture.graph = Some(open_again(&fixture.store, unfolded()));
    let status = status(fixture.graph());
    assert!(status.tail_bytes < FOLD_BYTES, "{status:?}");
    assert!(
        (status.memory.unfolded as u64) < 2 * FOLD_BYTES,
        "{status:?}"
    );
    assert_eq!(fixture.contents(), expected);
    fixture.graph = None;
    fixture.graph = Some(open_again(&fixture.store, small()));
}

#[test]
fn few_rows_with_large_bodies_are_folded() {
    let mut fixture = Fixture::new();
    fixture.graph = None;
    fixture.graph = Some(open_again(&fixture.store, small()));
    let ann = fixture.add_person("ann@x", 1);
    let name = fixture.property("Person", "name");
    let mut random = Random(1);
    for _ in 0..24 {
        let text = text(&mut random, 1_250_000);
        let set = fixture.write(move |work| work.set_node(ann, vec![(name, text)]));
        set.expect("written");
        let status = status(fixture.graph());
        // The body before and after, and what was there when a fold began.
        assert!(status.tail_bytes < 10 * FOLD_BYTES, "{status:?}");
    }
    let status = settled(fixture.graph());
    assert!(status.side_bytes < 10 * FOLD_BYTES, "{status:?}");
    let table = &status.checkpoint.as_ref().expect("one").tables[0];
    assert!(table.bytes > 1_000_000, "{table:?}");
    opens_with_little(&mut fixture);
    comes_back_to_its_baseline(&fixture);
}

#[test]
fn the_same_rows_again_and_again_are_folded() {
    const ROWS: usize = 1_000;
    let mut fixture = Fixture::new();
    fixture.graph = None;
    fixture.graph = Some(open_again(&fixture.store, small()));
    let (person, email, name) = (
        fixture.type_id("Person"),
        fixture.property("Person", "email"),
        fixture.property("Person", "name"),
    );
    let made = fixture.write(move |work| {
        let rows = (0..ROWS).map(|row| vec![(email, Value::string(format!("{row}@x")))]);
        rows.map(|row| work.create_node(person, row)).collect()
    });
    let nodes: Vec<_> = made.expect("made").value;
    let mut random = Random(2);
    for _ in 0..12 {
        let texts: Vec<_> = nodes
            .iter()
            .map(|node| (*node, text(&mut random, 1_008)))
            .collect();
        let set = fixture.write(move |work| {
            let mut texts = texts.into_iter();
            texts.try_for_each(|(node, text)| work.set_node(node, vec![(name, text)]))
        });
        set.expect("written");
    }
    assert_eq!(fixture.graph().snapshot().head().sequence, 14);
    let status = settled(fixture.graph());
    assert!(status.side_bytes < 10 * FOLD_BYTES, "{status:?}");
    opens_with_little(&mut fixture);
    comes_back_to_its_baseline(&fixture);
}

#[test]
fn columns_of_a_load_are_folded_however_few_rows_they_are_of() {
    let mut fixture = Fixture::new();
    fixture.graph = None;
    fixture.graph = Some(open_again(&fixture.store, small()));
    let mut random = Random(3);
    let lines: String = (0..1_000)
        .map(|row| {
            let Value::String(text) = text(&mut random, 6_000) else {
                unreachable!("it is text");
            };
            format!(
                "{{\"type\":\"Person\",\"data\":{{\"email\":\"{row}@x\",\"name\":\"{text}\"}}}}\n"
            )
        })
        .collect();
    load_from(fixture.graph(), lines.as_str(), &by_columns(Mode::Append)).expect("loaded");
    let status = settled(fixture.graph());
    assert_eq!((status.tail_rows, status.memory.unfolded), (0, 0));
    assert!(status.memory.loose > 6_000_000, "{:?}", status.memory);
    opens_with_little(&mut fixture);
    comes_back_to_its_baseline(&fixture);
}

#[test]
fn a_tail_that_is_due_is_folded_when_the_graph_is_opened() {
    let mut fixture = Fixture::new();
    fixture.graph = None;
    fixture.graph = Some(open_again(&fixture.store, unfolded()));
    let ann = fixture.add_person("ann@x", 1);
    let name = fixture.property("Person", "name");
    let mut random = Random(4);
    for _ in 0..4 {
        let text = text(&mut random, 1_250_000);
        let set = fixture.write(move |work| work.set_node(ann, vec![(name, text)]));
        set.expect("written");
    }
    let (seen, expected) = (status(fixture.graph()), fixture.contents());
    assert!(seen.tail_bytes > 2 * FOLD_BYTES, "{seen:?}");
    assert!(
        seen.side_bytes > 2 * FOLD_BYTES && seen.checkpoint.is_none(),
        "{seen:?}"
    );
    assert!(seen.pins.is_empty(), "{:?}", seen.pins);
    // Also as another process sees it.
    let follower = crate::Follower::open(&fixture.store, small()).expect("opened");
    let followed = follower.status().expect("listed");
    assert_eq!(followed.side_bytes, seen.side_bytes);
    assert!(followed.tail_bytes >= seen.side_bytes, "{followed:?}");
    drop(follower);
    fixture.graph = None;
    fixture.graph = Some(open_again(&fixture.store, small()));
    let found = settled(fixture.graph());
    assert!(found.tail_bytes < 4_096, "{found:?}");
    assert_eq!(fixture.contents(), expected);
    comes_back_to_its_baseline(&fixture);
}

#[test]
fn few_rows_with_long_values_are_left_on_disk() {
    let options = || Options {
        resident_bytes: 1 << 20,
        ..Options::default()
    };
    let mut fixture = Fixture::new();
    fixture.graph = None;
    fixture.graph = Some(open_again(&fixture.store, options()));
    let name = fixture.property("Person", "name");
    for number in 0..4 {
        let ann = fixture.add_person(&format!("{number}@x"), number);
        // Nothing in files, for it is all the same.
        let text = Value::string("x".repeat(500_000));
        let set = fixture.write(move |work| work.set_node(ann, vec![(name, text)]));
        set.expect("written");
    }
    fixture.graph().fold().expect("folded");
    fixture.graph = None;
    fixture.graph = Some(open_again(&fixture.store, options()));
    let memory = status(fixture.graph()).memory;
    assert!(memory.total() < 1 << 20, "{memory:?}");
    assert_eq!(
        contents(&fixture.graph().snapshot()).len(),
        fixture.contents().len()
    );
    let memory = status(fixture.graph()).memory;
    assert!(memory.loose >= 2_000_000, "{memory:?}");
    // And they come back: what goes, goes from the estimate too.
    let person = fixture.type_id("Person");
    let all: Vec<_> = fixture.graph().snapshot().nodes(person).skip(1).collect();
    let deleted = fixture.write(move |work| {
        let mut all = all.into_iter();
        all.try_for_each(|node| work.delete_node(node))
    });
    deleted.expect("deleted");
    fixture.graph().fold().expect("folded");
    fixture.graph = None;
    fixture.graph = Some(open_again(&fixture.store, options()));
    let memory = status(fixture.graph()).memory;
    assert_eq!(memory.cold_columns, 0, "{memory:?}");
}
