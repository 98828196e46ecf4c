//! Ending a damaged journal at a point, while writers of before are still about.

use std::sync::Arc;

use journal::{
    AppendError, Digest, Error, Lsn, ObjectJournal, Objects, Point, bar_objects, end_objects,
};

use super::{Fate, LONG, Memory, contents, create, open, superseded};

/// Seven entries in five objects, and the point after each object.
fn journal(store: &Arc<Memory>) -> (ObjectJournal, Vec<Point>) {
    let mut journal = create(store, LONG);
    let groups = [
        vec!["a"],
        vec!["b", "c"],
        vec!["d"],
        vec!["e", "f"],
        vec!["g"],
    ];
    let points = groups.iter().map(|group| {
        let appended = journal.append(group).expect("stored");
        Point {
            lsn: appended.last,
            digest: appended.digest,
        }
    });
    let points = points.collect();
    (journal, points)
}

fn name(lsn: u64) -> String {
    format!("{lsn:020}.seg")
}

fn change(store: &Memory, lsn: u64, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = store.get(&name(lsn)).expect("read").expect("there");
    edit(&mut bytes);
    store.replace(&name(lsn), &bytes).expect("changed");
}

/// As a repair does: says which entry takes the place of which.
fn end(store: &Memory, after: Point, epoch: u64) -> Result<(), AppendError> {
    end_objects(
        store,
        after,
        epoch,
        &mut |lsn| Ok(format!("was {lsn}").into_bytes()),
        &mut |lsn| Ok(vec![format!("end {lsn}").into_bytes()]),
    )
}

#[test]
fn what_is_dropped_is_replaced_under_its_own_numbers() {
    let store = Arc::new(Memory::default());
    let (mut before, points) = journal(&store);
    change(&store, 4, |bytes| bytes[700] ^= 1);
    store.delete(&name(5)).expect("lost");
    let names_left = store.names();
    open(&store, 0, 2, LONG).expect_err("damaged");
    end(&store, points[1], 2).expect("ended");
    let all = [
        "a", "b", "c", "was 4", "was 5", "was 6", "was 7", "was 8", "end 9",
    ];
    assert_eq!(contents(&store), all);
    let kept = store.names();
    assert!(names_left.iter().all(|name| kept.contains(name)));
    let error = before.append(&["h"]).expect_err("another has come");
    assert!(superseded(&error), "{error}");
    let (mut after, seen) = open(&store, 0, 3, LONG).expect("opened");
    assert_eq!(seen.len(), 10);
    after.append(&["i"]).expect("stored");
    // By a writer that is too late, and once more from the same point.
    let refused = end(&store, points[1], 3).expect_err("it has passed");
    assert!(superseded(&refused), "{refused}");
    assert_eq!(contents(&store).len(), 11);
    end(&store, points[0], 4).expect("ended");
    assert_eq!(contents(&store)[..3], ["a", "was 2", "was 3"]);
    assert!(contents(&store).last().expect("one").starts_with("end"));
}

/// A group of a writer of before that comes late, under a number that is dropped or the next one.
#[test]
fn nothing_that_comes_late_is_stored() {
    for fate in [Fate::Late, Fate::Lost] {
        let store = Arc::new(Memory::default());
        let (mut stalled, points) = journal(&store);
        store.fate(&[fate; 4]);
        stalled.append(&["late"]).expect_err("not answered");
        let (mut second, _) = open(&store, 0, 2, LONG).expect("opened");
        second.append(&["x"]).expect("stored");
        change(&store, 4, |bytes| bytes.truncate(600));
        end(&store, points[1], 3).expect("ended");
        store.deliver();
        let whole = contents(&store);
        assert_eq!(whole.len(), 11);
        assert!(!whole.iter().any(|entry| entry == "late"));
        let error = stalled.settle().expect_err("superseded");
        assert!(matches!(error, Error::Epoch { found: 3, .. }), "{error}");
        let error = second.append(&["y"]).expect_err("superseded");
        assert!(superseded(&error), "{error}");
        assert_eq!(contents(&store), whole);
    }
}

#[test]
fn a_journal_that_ended_too_early_goes_on_from_a_point_beyond() {
    let store = Arc::new(Memory::default());
    let (_, points) = journal(&store);
    store.delete(&name(7)).expect("lost");
    store.delete(&name(5)).expect("lost");
    end(&store, points[4], 2).expect("ended");
    let mut seen = Vec::new();
    journal::read_objects(&*store, Lsn(7), &mut |entry| {
        seen.push(entry.lsn.0);
        Ok(())
    })
    .expect("sound from there");
    assert_eq!(seen, [8, 9]);
    let empty = Arc::new(Memory::default());
    end(&empty, points[4], 1).expect("ended");
    assert_eq!(empty.names(), [name(8), name(9)]);
}

/// Its writer may go on anywhere within the largest group.
#[test]
fn a_newest_object_that_does_not_say_where_it_ends_is_barred() {
    let store = Arc::new(Memory::default());
    let (mut before, points) = journal(&store);
    let entry = |lsn: Lsn| Ok(format!("bar {lsn}").into_bytes());
    assert!(!bar_objects(&*store, 2, &mut { entry }).expect("looked"));
    change(&store, 7, |bytes| bytes[540] ^= 1);
    let passed = bar_objects(&*store, 1, &mut { entry }).expect_err("passed");
    assert!(matches!(passed, Error::Epoch { found: 1, .. }), "{passed}");
    assert!(bar_objects(&*store, 2, &mut { entry }).expect("barred"));
    assert!(!bar_objects(&*store, 3, &mut { entry }).expect("once is enough"));
    // It believes in its lease for a while yet.
    before.append(&["h"]).expect("stored");
    before.look().expect_err("and sees that it is over");
    end(&store, points[3], 3).expect("ended");
    let all = contents(&store);
    assert_eq!(all.len(), 6 + 1 + 65_536 + 2);
    assert_eq!(all[6..9], ["was 7", "was 8", "was 9"]);
    assert_eq!(store.names().len(), 4 + 1 + 1 + 1 + 1 + 1);
}

/// Whatever is the last that is done, it can be ended again, with the same result.
#[test]
fn ending_may_stop_anywhere() {
    for stop in 0..7 {
        let store = Arc::new(Memory::default());
        let (_, points) = journal(&store);
        change(&store, 2, |bytes| bytes[700] ^= 1);
        let mut fates = vec![Fate::Unanswered; stop];
        fates.push(Fate::Refused);
        store.fate(&fates);
        let stopped = end(&store, points[0], 2);
        store.fate(&[]);
        assert_eq!(stopped.is_ok(), stop == 6, "{stop}: {stopped:?}");
        if stopped.is_err() {
            let as_before = open(&store, 0, 1, LONG).expect_err("damaged, or written");
            let sound = matches!(as_before, Error::Epoch { .. });
            assert_eq!(sound, stop == 5, "{stop}: {as_before}");
            end(&store, points[0], 3).expect("ended");
        }
        let all = contents(&store);
        let (ends, between) = (all.len() - 1, 1..all.len() - 1);
        assert!(all[between].iter().all(|entry| entry.starts_with("was")));
        assert!(all[0] == "a" && all[ends].starts_with("end"), "{all:?}");
    }
    let nothing = Point {
        lsn: Lsn::ZERO,
        digest: Digest::ZERO,
    };
    let store = Arc::new(Memory::default());
    end(&store, nothing, 1).expect("an empty journal begins");
    assert_eq!(contents(&store), ["was 1", "end 2"]);
}
