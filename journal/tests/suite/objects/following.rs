//! Looking beside a writer: whether it is still the last one, and what it has stored.

use std::sync::Arc;

use journal::{DELETE_AFTER_LEASES, Digest, Error, Lsn, ObjectTail, Point};

use super::{BRIEF, LONG, Memory, create, open, remove_before};

#[test]
fn what_was_seen_is_of_use_for_a_lease_only() {
    let store = Arc::new(Memory::default());
    let mut journal = create(&store, BRIEF);
    for entry in ["a", "b", "c"] {
        journal.append(&[entry]).expect("stored");
    }
    journal.retire_before(Lsn(3));
    let sight = journal.sight();
    // It goes on writing while somebody looks.
    journal.append(&["d"]).expect("stored");
    let looked = sight.look().expect("looked");
    let seen = journal.take_in(looked).expect("what came is its own");
    journal.append(&["e"]).expect("stored");
    std::thread::sleep(BRIEF * DELETE_AFTER_LEASES);
    let due = journal.due(10);
    assert_eq!(due.len(), 2);
    assert_eq!(seen.delete(&due).expect("too late"), 0);
    assert_eq!(store.names().len(), 5);
    let looked = journal.sight().look().expect("looked");
    let seen = journal.take_in(looked).expect("the last");
    assert_eq!(seen.delete(&due).expect("deleted"), 2);
    journal.forget(2);
    assert_eq!(journal.due(10), []);
    // One that was overtaken between looking and saying so.
    let looked = journal.sight().look().expect("looked");
    open(&store, 2, 2, LONG).expect("opened");
    journal.take_in(looked).expect("that was before");
    let looked = journal.sight().look().expect("looked");
    let error = journal.take_in(looked).expect_err("superseded");
    assert!(matches!(error, Error::Epoch { found: 2, .. }), "{error}");
}

/// What a tail visits, and what it says.
fn follow(tail: &mut ObjectTail) -> (Vec<String>, Result<(), Error>) {
    let mut seen = Vec::new();
    let followed = tail.follow(&mut |entry| {
        let text = String::from_utf8_lossy(entry.bytes).into_owned();
        if text == "poison" {
            return Err("refused".into());
        }
        seen.push(text);
        Ok(())
    });
    (seen, followed)
}

fn follows(tail: &mut ObjectTail, expected: &[&str]) {
    let (seen, followed) = follow(tail);
    followed.expect("followed");
    assert_eq!(seen, expected);
}

#[test]
fn a_tail_sees_at_once_what_is_stored() {
    let store = Arc::new(Memory::default());
    let mut journal = create(&store, LONG);
    let start = Point {
        lsn: Lsn::ZERO,
        digest: Digest::ZERO,
    };
    let mut tail = ObjectTail::after(store.clone(), start, LONG);
    let (_, nothing) = follow(&mut tail);
    assert!(matches!(nothing, Err(Error::Missing { .. })), "{nothing:?}");
    journal.append(&["a", "b"]).expect("stored");
    follows(&mut tail, &["a", "b"]);
    follows(&mut tail, &[]);
    let mut all = Vec::new();
    for number in 0..100 {
        all.push(format!("{number}"));
        journal.append(&[&all[number]]).expect("stored");
    }
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    follows(&mut tail, &all);
    assert_eq!(tail.point().lsn, journal.last_lsn());
    assert_eq!(tail.point().digest, journal.digest());
    // What cannot be visited is visited again, and nothing before it.
    journal.append(&["c"]).expect("stored");
    journal.append(&["d", "poison"]).expect("stored");
    let before = tail.point();
    for expected in [vec!["c", "d"], vec!["d"]] {
        let (seen, refused) = follow(&mut tail);
        assert!(matches!(refused, Err(Error::Visit { .. })), "{refused:?}");
        assert_eq!(seen, expected);
    }
    assert_eq!(tail.point().lsn, before.lsn.next());
    store.blind(true);
    let (_, blind) = follow(&mut tail);
    assert!(matches!(blind, Err(Error::Object { .. })), "{blind:?}");
    // Another journal than the one that was followed.
    let other = Arc::new(Memory::default());
    let mut journal = create(&other, LONG);
    journal.append(&["x", "y"]).expect("stored");
    let mut tail = ObjectTail::after(other, before, LONG);
    let (_, ends) = follow(&mut tail);
    assert!(matches!(ends, Err(Error::EndsEarly { .. })), "{ends:?}");
}

#[test]
fn a_tail_that_was_left_behind_says_so() {
    let store = Arc::new(Memory::default());
    let mut journal = create(&store, BRIEF);
    journal.append(&["a"]).expect("stored");
    let start = Point {
        lsn: Lsn::ZERO,
        digest: Digest::ZERO,
    };
    let mut idle = ObjectTail::after(store.clone(), start, BRIEF);
    follows(&mut idle, &["a"]);
    for entry in ["b", "c", "d"] {
        journal.append(&[entry]).expect("stored");
    }
    assert_eq!(remove_before(&mut journal, 4, 10).expect("noted"), 0);
    std::thread::sleep(BRIEF * DELETE_AFTER_LEASES);
    assert_eq!(remove_before(&mut journal, 4, 10).expect("deleted"), 3);
    // That there is nothing under the next number is no sign that there is nothing new.
    let (seen, left) = follow(&mut idle);
    assert!(matches!(left, Err(Error::Collected { .. })), "{left:?}");
    assert_eq!(seen, Vec::<String>::new());
    let mut late = ObjectTail::after(store, start, BRIEF);
    let (_, left) = follow(&mut late);
    assert!(matches!(left, Err(Error::Collected { .. })), "{left:?}");
}
