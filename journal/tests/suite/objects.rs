//! The journal in an object store that loses answers, is late, and has several writers.

mod ending;
mod following;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use journal::{
    AppendError, DELETE_AFTER_LEASES, Error, Journal, Lsn, Object, ObjectError, ObjectJournal,
    ObjectOptions, Objects, Options, Put, Start, read_objects,
};
use proptest::prelude::*;

/// Far longer than any test.
const LONG: Duration = Duration::from_secs(3_600);
/// Over before the next line.
const SHORT: Duration = Duration::from_micros(1);
/// Long enough for a few requests, and ten of them are soon over.
const BRIEF: Duration = Duration::from_millis(60);

/// What becomes of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Stored; the answer is lost.
    Unanswered,
    /// Lost on the way.
    Lost,
    /// Lost for now; stored when [`Memory::deliver`] is called, if the name is free then.
    Late,
    /// The store says no.
    Refused,
    /// Waits at the gate, then is carried out.
    Held,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    fates: Vec<Fate>,
    late: Vec<(String, Vec<u8>)>,
    /// Reads fail.
    blind: bool,
    held: bool,
    waiting: usize,
    deleted: Vec<String>,
}

/// An object store in memory.
#[derive(Default)]
struct Memory {
    inner: Mutex<Inner>,
    gate: Condvar,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

fn unclear() -> ObjectError {
    ObjectError::Unclear("timed out".into())
}

impl Memory {
    fn fate(&self, fates: &[Fate]) {
        let mut inner = self.inner.lock().expect("sound");
        inner.fates = fates.iter().rev().copied().collect();
        inner.held = fates.contains(&Fate::Held);
    }

    fn blind(&self, blind: bool) {
        self.inner.lock().expect("sound").blind = blind;
    }

    /// What was late arrives.
    fn deliver(&self) {
        let mut inner = self.inner.lock().expect("sound");
        for (name, bytes) in std::mem::take(&mut inner.late) {
            inner.objects.entry(name).or_insert(bytes);
        }
    }

    fn open_gate(&self) {
        self.inner.lock().expect("sound").held = false;
        self.gate.notify_all();
    }

    fn until_someone_waits(&self) {
        while self.inner.lock().expect("sound").waiting == 0 {
            std::thread::yield_now();
        }
    }

    fn names(&self) -> Vec<String> {
        let inner = self.inner.lock().expect("sound");
        inner.objects.keys().cloned().collect()
    }
}

impl Objects for Memory {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<Put, ObjectError> {
        let mut inner = self.inner.lock().expect("sound");
        let fate = inner.fates.pop();
        match fate {
            Some(Fate::Lost) => return Err(unclear()),
            Some(Fate::Refused) => return Err(ObjectError::Refused("no".into())),
            Some(Fate::Late) => {
                inner.late.push((name.to_owned(), bytes.to_owned()));
                return Err(unclear());
            }
            Some(Fate::Held) => {
                inner.waiting += 1;
                inner = self.gate.wait_while(inner, |it| it.held).expect("sound");
                inner.waiting -= 1;
            }
            Some(Fate::Unanswered) | None => {}
        }
        let put = match inner.objects.contains_key(name) {
            true => Put::Exists,
            false => {
                inner.objects.insert(name.to_owned(), bytes.to_owned());
                Put::Stored
            }
        };
        match fate {
            Some(Fate::Unanswered) => Err(unclear()),
            _ => Ok(put),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let mut inner = self.inner.lock().expect("sound");
        if inner.fates.pop() == Some(Fate::Refused) {
            return Err(ObjectError::Refused("no".into()));
        }
        inner.objects.insert(name.to_owned(), bytes.to_owned());
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        let inner = self.inner.lock().expect("sound");
        match inner.blind {
            true => Err(unclear()),
            false => Ok(inner.objects.get(name).cloned()),
        }
    }

    fn list(&self, after: Option<&str>) -> Result<Vec<Object>, ObjectError> {
        let inner = self.inner.lock().expect("sound");
        if inner.blind {
            return Err(unclear());
        }
        let listed = inner.objects.iter();
        let listed = listed.filter(|(name, _)| after.is_none_or(|after| name.as_str() > after));
        Ok(listed
            .map(|(name, bytes)| Object {
                name: name.clone(),
                bytes: bytes.len() as u64,
            })
            .collect())
    }

    fn delete(&self, name: &str) -> Result<(), ObjectError> {
        let mut inner = self.inner.lock().expect("sound");
        inner.objects.remove(name);
        inner.deleted.push(name.to_owned());
        Ok(())
    }

    fn wait(&self, _: u32) {}
}

fn options(epoch: u64, lease: Duration) -> ObjectOptions {
    ObjectOptions { epoch, lease }
}

fn create(store: &Arc<Memory>, lease: Duration) -> ObjectJournal {
    ObjectJournal::create(store.clone(), options(1, lease)).expect("created")
}

fn open(
    store: &Arc<Memory>,
    after: u64,
    epoch: u64,
    lease: Duration,
) -> Result<(ObjectJournal, Vec<String>), Error> {
    let mut seen = Vec::new();
    let start = Start {
        after: Lsn(after),
        digest: None,
    };
    let (journal, recovery) = ObjectJournal::open(
        store.clone(),
        start,
        options(epoch, lease),
        &mut |_| Ok(format!("claim {epoch}").into_bytes()),
        &mut |entry| {
            seen.push(String::from_utf8_lossy(entry.bytes).into_owned());
            Ok(())
        },
    )?;
    assert_eq!(recovery.last, journal.last_lsn());
    assert_eq!(recovery.digest, journal.digest());
    Ok((journal, seen))
}

fn contents(store: &Arc<Memory>) -> Vec<String> {
    let mut seen = Vec::new();
    read_objects(&**store, Lsn::ZERO, &mut |entry| {
        assert_eq!(entry.lsn.0, seen.len() as u64 + 1);
        seen.push(String::from_utf8_lossy(entry.bytes).into_owned());
        Ok(())
    })
    .expect("sound");
    seen
}

/// Says that what is before `lsn` is of no use, and deletes what was of no use for long enough.
fn remove_before(journal: &mut ObjectJournal, lsn: u64, most: usize) -> Result<usize, Error> {
    journal.retire_before(Lsn(lsn));
    let due = journal.due(most);
    let looked = journal.sight().look()?;
    let deleted = journal.take_in(looked)?.delete(&due)?;
    journal.forget(deleted);
    Ok(deleted)
}

fn superseded(error: &AppendError) -> bool {
    matches!(
        error,
        AppendError::NotWritten(Error::Epoch { .. }) | AppendError::Unknown(Error::Epoch { .. })
    )
}

#[test]
fn one_object_a_group_with_the_digests_of_a_disk() {
    let store = Arc::new(Memory::default());
    let mut objects = create(&store, LONG);
    let home = tempfile::tempdir().expect("a folder");
    let options = Options {
        epoch: 1,
        ..Options::default()
    };
    let mut disk = Journal::create(&home.path().join("log"), options).expect("created");
    for group in [vec!["a", "b"], vec!["c"], vec!["", "d", "e"]] {
        let (there, here) = (
            objects.append(&group).expect("stored"),
            disk.append(&group).expect("written"),
        );
        assert_eq!((there.first, there.last), (here.first, here.last));
        assert_eq!(there.digest, here.digest);
    }
    let names = [1, 3, 4].map(|lsn| format!("{lsn:020}.seg"));
    assert_eq!(store.names(), names);
    assert_eq!(contents(&store), ["a", "b", "c", "", "d", "e"]);
    let exists = ObjectJournal::create(store.clone(), self::options(9, LONG));
    assert!(matches!(exists, Err(Error::Exists { .. })));
    let (mut journal, seen) = open(&store, 3, 2, LONG).expect("opened");
    assert_eq!(seen, ["", "d", "e", "claim 2"]);
    journal.append(&["f"]).expect("stored");
    assert_eq!(contents(&store).len(), 8);
    let refused = open(&store, 0, 2, LONG).expect_err("the epoch is taken");
    assert!(
        matches!(refused, Error::Epoch { found: 2, .. }),
        "{refused}"
    );
}

#[test]
fn a_lost_answer_is_found_by_reading_back() {
    for fates in [
        vec![Fate::Unanswered],
        vec![Fate::Lost, Fate::Unanswered],
        vec![Fate::Late, Fate::Lost, Fate::Unanswered],
    ] {
        let store = Arc::new(Memory::default());
        let mut journal = create(&store, LONG);
        store.fate(&fates);
        journal.append(&["a"]).expect("stored");
        store.deliver();
        journal.append(&["b"]).expect("stored");
        assert_eq!(contents(&store), ["a", "b"], "{fates:?}");
    }
}

#[test]
fn a_refusal_is_certain_and_the_number_is_free_again() {
    let store = Arc::new(Memory::default());
    let mut journal = create(&store, LONG);
    store.fate(&[Fate::Refused]);
    let error = journal.append(&["a"]).expect_err("refused");
    assert!(matches!(error, AppendError::NotWritten(_)), "{error}");
    assert_eq!(journal.settle().expect("settled"), None);
    journal.append(&["b"]).expect("stored");
    assert_eq!(contents(&store), ["b"]);
}

#[test]
fn a_number_that_is_not_settled_takes_no_other_group() {
    for arrives in [false, true] {
        let store = Arc::new(Memory::default());
        let mut journal = create(&store, LONG);
        store.fate(&[Fate::Late; 4]);
        let error = journal.append(&["a"]).expect_err("nobody answers");
        assert!(matches!(error, AppendError::Unknown(_)), "{error}");
        let error = journal.append(&["b"]).expect_err("not before the other");
        assert!(matches!(error, AppendError::NotWritten(_)), "{error}");
        // A refusal now says nothing of the puts before it.
        store.fate(&[Fate::Refused]);
        journal.settle().expect_err("still open");
        if arrives {
            store.deliver();
        }
        let settled = journal.settle().expect("settled").expect("it is stored");
        assert_eq!((settled.first, settled.last), (Lsn(1), Lsn(1)));
        journal.append(&["b"]).expect("stored");
        assert_eq!(contents(&store), ["a", "b"]);
    }
}

#[test]
fn a_group_that_another_writer_was_quicker_than_is_never_there() {
    let store = Arc::new(Memory::default());
    let mut first = create(&store, LONG);
    first.append(&["a"]).expect("stored");
    store.fate(&[Fate::Late; 4]);
    first.append(&["b"]).expect_err("nobody answers");
    let (mut second, seen) = open(&store, 0, 2, LONG).expect("opened");
    assert_eq!(seen, ["a", "claim 2"]);
    store.deliver();
    second.append(&["c"]).expect("stored");
    let error = first.settle().expect_err("superseded");
    assert!(matches!(error, Error::Epoch { found: 2, .. }), "{error}");
    for _ in 0..2 {
        let error = first.append(&["d"]).expect_err("for good");
        assert!(superseded(&error), "{error}");
        assert_eq!(remove_before(&mut first, 2, 10).unwrap_or(0), 0);
    }
    assert!(first.is_superseded());
    assert_eq!(contents(&store), ["a", "claim 2", "c"]);
}

#[test]
fn a_claim_takes_in_what_the_old_writer_still_stored() {
    let store = Arc::new(Memory::default());
    let mut first = create(&store, LONG);
    first.append(&["a"]).expect("stored");
    let mut between = Some(first);
    let mut seen = Vec::new();
    let (journal, _) = ObjectJournal::open(
        store.clone(),
        Start::default(),
        options(5, LONG),
        &mut |lsn| {
            // The old writer is quicker, once.
            if let Some(mut first) = between.take() {
                first.append(&["b"]).expect("stored");
            }
            Ok(format!("claim at {lsn}").into_bytes())
        },
        &mut |entry| {
            seen.push(String::from_utf8_lossy(entry.bytes).into_owned());
            Ok(())
        },
    )
    .expect("opened");
    assert_eq!(seen, ["a", "b", "claim at 3"]);
    assert_eq!(journal.last_lsn(), Lsn(3));
}

/// A writer is stopped in mid-put. Another takes over and collects, so that the number of the
/// stopped put is free again. Then the first goes on.
#[test]
fn a_writer_that_was_stopped_in_mid_put_acknowledges_and_deletes_nothing() {
    let store = Arc::new(Memory::default());
    let mut first = create(&store, Duration::from_millis(5));
    first.append(&["a"]).expect("stored");
    first.append(&["b"]).expect("stored");
    store.fate(&[Fate::Held]);
    let stopped = std::thread::spawn(move || {
        let appended = first.append(&["zombie"]);
        (first, appended)
    });
    store.until_someone_waits();
    let (mut second, seen) = open(&store, 0, 2, BRIEF).expect("opened");
    assert_eq!(seen, ["a", "b", "claim 2"]);
    for entry in ["c", "d", "e"] {
        second.append(&[entry]).expect("stored");
    }
    assert_eq!(remove_before(&mut second, 5, 10).expect("noted"), 0);
    std::thread::sleep(BRIEF * DELETE_AFTER_LEASES);
    let deleted = remove_before(&mut second, 5, 3).expect("deleted")
        + remove_before(&mut second, 5, 10).expect("deleted");
    assert_eq!(deleted, 4, "lsn 1 to 4, the claim among them");
    store.open_gate();
    let (mut first, appended) = stopped.join().expect("ended");
    let error = appended.expect_err("not acknowledged");
    assert!(
        matches!(error, AppendError::Unknown(Error::Epoch { .. })),
        "{error}"
    );
    let error = first.append(&["again"]).expect_err("for good");
    assert!(superseded(&error), "{error}");
    assert_eq!(remove_before(&mut first, 3, 10).unwrap_or(0), 0);
    assert!(
        !store
            .inner
            .lock()
            .expect("sound")
            .deleted
            .contains(&format!("{:020}.seg", 5))
    );
    // What it left under the free number is of no consequence.
    assert_eq!(store.names().len(), 3);
    let (_, seen) = open(&store, 4, 3, LONG).expect("opened");
    assert_eq!(seen, ["d", "e", "claim 3"]);
}

#[test]
fn a_writer_that_was_idle_looks_before_it_writes() {
    let store = Arc::new(Memory::default());
    let mut first = create(&store, SHORT);
    first.append(&["a"]).expect("stored");
    let (mut second, _) = open(&store, 0, 2, BRIEF).expect("opened");
    second.append(&["b"]).expect("stored");
    assert_eq!(remove_before(&mut second, 3, 10).expect("noted"), 0);
    std::thread::sleep(BRIEF * DELETE_AFTER_LEASES);
    assert_eq!(remove_before(&mut second, 3, 10).expect("deleted"), 2);
    let before = store.names();
    let error = first.append(&["zombie"]).expect_err("superseded");
    assert!(
        matches!(error, AppendError::NotWritten(Error::Epoch { .. })),
        "{error}"
    );
    assert_eq!(store.names(), before, "nothing was put");
    // When it cannot look, it does not write either.
    std::thread::sleep(BRIEF);
    store.blind(true);
    let error = second.append(&["c"]).expect_err("blind");
    assert!(
        matches!(error, AppendError::NotWritten(Error::Object { .. })),
        "{error}"
    );
    store.blind(false);
    second.append(&["c"]).expect("stored");
}

#[test]
fn no_changed_byte_is_accepted_and_no_missing_object() {
    let store = Arc::new(Memory::default());
    let mut journal = create(&store, LONG);
    for entry in ["a", "b", "c"] {
        journal.append(&[entry]).expect("stored");
    }
    let name = format!("{:020}.seg", 2);
    let sound = store.get(&name).expect("read").expect("there");
    let set = |bytes: Option<Vec<u8>>| {
        let mut inner = store.inner.lock().expect("sound");
        match bytes {
            Some(bytes) => inner.objects.insert(name.clone(), bytes),
            None => inner.objects.remove(&name),
        };
    };
    let refused = || {
        let error = open(&store, 0, 2, LONG).expect_err("damaged");
        assert!(
            matches!(error, Error::Damaged { .. } | Error::Version { .. }),
            "{error}"
        );
        assert_eq!(store.names().len(), 3, "no claim");
    };
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        set(Some(bytes));
        refused();
    }
    for length in [0, 100, 512, 700, sound.len() - 1] {
        set(Some(sound[..length].to_vec()));
        refused();
    }
    let mut longer = sound.clone();
    longer.extend_from_slice(&[0; 512]);
    set(Some(longer));
    refused();
    set(None);
    let error = open(&store, 0, 2, LONG).expect_err("a gap");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let past = open(&store, 9, 2, LONG).expect_err("a gap");
    assert!(matches!(past, Error::EndsEarly { .. }), "{past}");
    set(Some(sound));
    assert_eq!(open(&store, 0, 2, LONG).expect("sound").1.len(), 4);
    assert_eq!(store.place("x"), Path::new("x"));
}

fn fate() -> impl Strategy<Value = Option<Fate>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(Fate::Unanswered)),
        1 => Just(Some(Fate::Lost)),
        1 => Just(Some(Fate::Late)),
        1 => Just(Some(Fate::Refused)),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    /// That writer appends, with what becomes of the puts.
    Append(usize, Vec<Option<Fate>>),
    Settle(usize),
    /// A new writer takes over.
    TakeOver,
    Deliver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..3, prop::collection::vec(fate(), 0..5)).prop_map(|(a, b)| Step::Append(a, b)),
        2 => (0usize..3).prop_map(Step::Settle),
        1 => Just(Step::TakeOver),
        2 => Just(Step::Deliver),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("TRELLIS_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
    ))]

    /// Whatever is lost or late and whoever writes: every acknowledged group is in the journal, once
    /// and in order, and none that was refused for certain.
    #[test]
    fn acknowledged_is_there_and_refused_is_not(steps in prop::collection::vec(step(), 1..40)) {
        let store = Arc::new(Memory::default());
        let mut writers = vec![create(&store, LONG)];
        writers[0].append(&["begin"]).expect("stored");
        let (mut acknowledged, mut refused) = (vec!["begin".to_owned()], Vec::new());
        let mut unknown: BTreeMap<usize, String> = BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(which, fates) => {
                    let which = writers.len() - 1 - which % writers.len();
                    let fates: Vec<Fate> = fates.into_iter().flatten().collect();
                    store.fate(&fates);
                    let name = format!("{number}");
                    match writers[which].append(&[&name]) {
                        Ok(_) => acknowledged.push(name),
                        Err(AppendError::NotWritten(_)) => refused.push(name),
                        Err(_) => { unknown.insert(which, name); }
                    }
                }
                Step::Settle(which) => {
                    let which = writers.len() - 1 - which % writers.len();
                    store.fate(&[]);
                    if let Ok(settled) = writers[which].settle()
                        && let Some(name) = unknown.remove(&which)
                    {
                        match settled {
                            Some(_) => acknowledged.push(name),
                            None => refused.push(name),
                        }
                    }
                }
                Step::TakeOver => {
                    store.fate(&[]);
                    let epoch = writers.len() as u64 + 1;
                    writers.push(open(&store, 0, epoch, LONG).expect("opened").0);
                }
                Step::Deliver => store.deliver(),
            }
        }
        store.deliver();
        let there = contents(&store);
        for name in &acknowledged {
            prop_assert_eq!(there.iter().filter(|it| *it == name).count(), 1, "{} of {:?}", name, there);
        }
        for name in &refused {
            prop_assert!(!there.contains(name), "{} in {:?}", name, there);
        }
        let order: Vec<&String> = there.iter().filter(|it| acknowledged.contains(it)).collect();
        prop_assert_eq!(order.len(), acknowledged.len());
    }
}
