//! Repair in an object store: the same damage as in a folder, in memory and in S3; a repair that is
//! stopped anywhere; and writers of before that go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::{Lsn, ObjectJournal, ObjectOptions};

use super::Step::{self, Fold, Notes, Person, Reopen};
use super::{contents, make, objects, person, write};
use crate::doctor::repair::{RepairError, Repaired, prescribe, repair_with};
use crate::doctor::{Depth, examine};
use crate::store::{LogObjects, Store};
use crate::tests::objects::moto::Moto;
use crate::tests::objects::place;
use crate::{Graph, Options};

const LEASE: Duration = Duration::from_millis(20);

fn options() -> Options {
    Options {
        lease: LEASE,
        ..Options::default()
    }
}

/// A closed graph in an object store, and what it contained after each commit.
struct Remote {
    store: Store,
    after: BTreeMap<u64, String>,
}

impl Remote {
    /// The first commit has lsn 1, and each time the graph is opened takes one more.
    fn new(store: Store, steps: &[Step]) -> Self {
        let after = make(&store, &options(), steps);
        Self { store, after }
    }

    fn all(&self) -> BTreeMap<String, Bytes> {
        objects(&self.store)
    }

    fn names(&self, part: &str) -> Vec<String> {
        let names = self.all().into_keys();
        names.filter(|name| name.starts_with(part)).collect()
    }

    fn change(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.store.get(name).expect("read");
        edit(&mut bytes);
        self.store.put(name, &[&bytes]).expect("damaged");
    }

    fn delete(&self, name: &str) {
        self.store.delete(name).expect("deleted");
    }

    fn flip(&self, lsn: u64) {
        self.change(&logged(lsn), |bytes| bytes[632] ^= 1);
    }

    fn try_repair(&self) -> Result<Repaired, RepairError> {
        repair_with(&self.store, Depth::Deep, LEASE, None)
    }

    /// Repairs; the graph is sound then and holds what it held after the commit `lsn`. A copy of
    /// everything that was changed is kept, and no name of the log becomes free.
    fn repair_to(&self, lsn: u64) -> Repaired {
        let before = self.all();
        let prescribed = prescribe(&self.store, Depth::Deep).expect("prescribed");
        assert!(self.all() == before, "saying so changes nothing");
        let repaired = self.try_repair().expect("repaired");
        assert!(repaired.after.sound, "{:#?}", repaired.after.texts());
        let copied = &repaired.before.copied;
        assert!(prescribed.copied.iter().all(|it| copied.contains(it)));
        let copies = repaired.copies.clone().expect("copies");
        let copies = copies.strip_prefix(self.store.place("")).expect("within");
        let now = self.all();
        for (name, bytes) in &before {
            let copy = now.get(&format!("{}/{name}", copies.display()));
            assert!(
                now.get(name) == Some(bytes) || copy == Some(bytes),
                "{name}"
            );
            assert!(
                !name.starts_with("log/") || now.contains_key(name),
                "{name}"
            );
        }
        let graph = Graph::open(&self.store, options()).expect("opened");
        assert_eq!(contents(&graph.snapshot()), self.after[&lsn]);
        write(&graph, |transaction| person(transaction, "new@x"));
        graph.fold().expect("folded");
        let contents_now = contents(&graph.snapshot());
        graph.close().expect("closed");
        drop(graph);
        let graph = Graph::open(&self.store, options()).expect("opened");
        assert_eq!(contents(&graph.snapshot()), contents_now);
        graph.close().expect("closed");
        let again = examine(&self.store, Depth::Deep).expect("examined");
        assert!(again.sound, "{:#?}", again.texts());
        repaired
    }

    fn lost(&self, repaired: &Repaired) -> Vec<u64> {
        repaired.before.lost().iter().map(|it| it.lsn).collect()
    }
}

fn logged(lsn: u64) -> String {
    format!("log/{lsn:020}.seg")
}

type Places<'a> = dyn FnMut() -> Store + 'a;

fn in_memory() -> Store {
    let (_, store, _) = place();
    store
}

#[test]
fn damage_is_mended() {
    every_damage(&mut in_memory);
}

#[test]
fn damage_is_mended_in_s3() {
    let Some(server) = Moto::start() else { return };
    every_damage(&mut || server.place().1);
}

fn every_damage(places: &mut Places<'_>) {
    after_the_checkpoint(places);
    before_the_checkpoint(places);
    on_both_sides(places);
    at_the_end(places);
    all_of_the_log(places);
    side_files_and_checkpoints(places);
    within_a_group(places);
}

fn after_the_checkpoint(places: &mut Places<'_>) {
    let steps = [Person("a"), Fold, Person("b"), Person("c"), Person("d")];
    let remote = Remote::new(places(), &steps);
    remote.flip(5);
    Graph::open(&remote.store, options()).expect_err("damaged");
    let repaired = remote.repair_to(4);
    assert_eq!(remote.lost(&repaired), [5, 6]);
    let texts = repaired.before.diagnosis.texts().join("\n");
    assert!(texts.contains("put back an earlier version"), "{texts}");
    // Nothing is left to be done.
    let again = remote.try_repair().expect("nothing to do");
    assert!(again.before.is_empty() && again.copies.is_none());

    let remote = Remote::new(places(), &steps);
    remote.delete(&logged(5));
    let repaired = remote.repair_to(4);
    assert_eq!(remote.lost(&repaired), [5, 6]);
}

fn before_the_checkpoint(places: &mut Places<'_>) {
    let steps = [
        Person("a"),
        Person("b"),
        Fold,
        Person("c"),
        Reopen,
        Person("d"),
    ];
    let remote = Remote::new(places(), &steps);
    remote.flip(3);
    let repaired = remote.repair_to(7);
    assert!(repaired.before.lost().is_empty());
    assert_eq!(repaired.before.copied.len(), 4, "history, before it goes");
}

/// A fold in the middle of commits.
const FOLDED: [Step; 6] = [
    Person("a"),
    Person("b"),
    Fold,
    Person("c"),
    Person("d"),
    Person("e"),
];

fn on_both_sides(places: &mut Places<'_>) {
    let remote = Remote::new(places(), &FOLDED);
    remote.flip(3);
    remote.flip(6);
    let repaired = remote.repair_to(5);
    assert_eq!(remote.lost(&repaired), [6, 7]);
}

/// The newest object is cut short or changed, in its body or where it says how long it is.
fn at_the_end(places: &mut Places<'_>) {
    let edits: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.truncate(900),
        |bytes| bytes.truncate(0),
        |bytes| bytes[700] ^= 1,
        |bytes| bytes[540] ^= 1,
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        let remote = Remote::new(places(), &[Person("a"), Fold, Person("b"), Person("c")]);
        remote.change(&logged(5), edit);
        Graph::open(&remote.store, options()).expect_err("damaged");
        let repaired = remote.repair_to(4);
        assert_eq!(remote.lost(&repaired).first(), Some(&5), "{at}");
        // What a checkpoint has is not lost.
        let remote = Remote::new(places(), &[Person("a"), Person("b"), Fold]);
        remote.change(&logged(4), edit);
        let repaired = remote.repair_to(4);
        assert!(repaired.before.lost().iter().all(|it| it.lsn > 4), "{at}");
    }
}

fn all_of_the_log(places: &mut Places<'_>) {
    let remote = Remote::new(places(), &[Person("a"), Fold]);
    remote
        .names("log/")
        .iter()
        .for_each(|name| remote.delete(name));
    Graph::open(&remote.store, options()).expect_err("it has lost commits");
    remote.repair_to(3);

    let remote = Remote::new(places(), &[Person("a")]);
    remote
        .names("log/")
        .iter()
        .for_each(|name| remote.delete(name));
    let before = remote.all();
    let error = remote.try_repair().expect_err("nothing to be had");
    assert!(
        error.to_string().contains("no commit can be read"),
        "{error}"
    );
    assert!(remote.all() == before);
}

fn side_files_and_checkpoints(places: &mut Places<'_>) {
    let remote = Remote::new(places(), &[Person("a"), Notes, Person("b"), Notes]);
    let files = remote.names("files/");
    remote.delete(&files[0]);
    let repaired = remote.repair_to(3);
    assert_eq!(remote.lost(&repaired), [4, 5, 6]);
    let copies = remote.names("repair-");
    assert!(
        copies.iter().any(|name| name.ends_with(&files[1])),
        "{copies:?}"
    );

    let remote = Remote::new(
        places(),
        &[Person("a"), Fold, Person("b"), Fold, Person("c")],
    );
    for name in remote.names("checkpoints/") {
        remote.change(&name, |bytes| bytes[20] ^= 1);
    }
    let repaired = remote.repair_to(5);
    assert!(repaired.before.lost().is_empty());
}

fn within_a_group(places: &mut Places<'_>) {
    let steps = [Person("a"), Person("b"), Notes, Person("c")];
    let remote = Remote::new(places(), &steps);
    // The same commits, of which three share an object.
    let objects = Arc::new(LogObjects::of(remote.store.bucket().expect("a bucket")));
    let mut entries = Vec::new();
    journal::read_objects(&*objects, Lsn::ZERO, &mut |entry| {
        entries.push(entry.bytes.to_vec());
        Ok(())
    })
    .expect("read");
    remote
        .names("log/")
        .iter()
        .for_each(|name| remote.delete(name));
    let (epoch, lease) = (2, LEASE);
    let journal = ObjectJournal::create(objects, ObjectOptions { epoch, lease });
    let mut journal = journal.expect("made");
    journal.append(&entries[..3]).expect("stored");
    journal.append(&entries[3..]).expect("stored");
    remote.delete(&remote.names("files/")[0]);
    let repaired = remote.repair_to(4);
    assert_eq!(remote.lost(&repaired), [5, 6]);
}

/// Stops a repair after each change of the store, repairs again, and finds the same.
fn stops_anywhere(steps: &[Step], damage: fn(&Remote), lsn: u64) {
    for changes in 0.. {
        let (_home, store, memory) = place();
        let remote = Remote::new(store, steps);
        damage(&remote);
        memory.stop_after(changes);
        let stopped = remote.try_repair();
        memory.go_on();
        match &stopped {
            Ok(repaired) => assert!(repaired.after.sound),
            Err(_) => {
                let again = remote.try_repair();
                let again = again.unwrap_or_else(|error| panic!("after {changes}: {error:?}"));
                let texts = again.after.texts();
                assert!(again.after.sound, "after {changes}: {texts:#?}");
            }
        }
        let graph = Graph::open(&remote.store, options()).expect("opened");
        assert!(
            contents(&graph.snapshot()) == remote.after[&lsn],
            "after {changes}"
        );
        if stopped.is_ok() {
            assert!(changes > 6, "{changes}");
            return;
        }
    }
}

#[test]
fn a_repair_may_stop_anywhere() {
    let both_sides = |remote: &Remote| {
        remote.flip(3);
        remote.flip(6);
    };
    stops_anywhere(&FOLDED, both_sides, 5);
    let unreadable_end = |remote: &Remote| remote.change(&logged(7), |bytes| bytes[520] ^= 1);
    stops_anywhere(&FOLDED, unreadable_end, 6);
    let steps = [Person("a"), Fold, Person("b"), Fold, Person("c")];
    let checkpoints = |remote: &Remote| {
        for name in remote.names("checkpoints/") {
            remote.change(&name, |bytes| bytes[20] ^= 1);
        }
    };
    stops_anywhere(&steps, checkpoints, 5);
}

/// A writer is stopped while it stores a commit; another takes over and ends; its log is damaged and
/// repaired, so that the numbers of both are given anew; then the first one's commit arrives.
#[test]
fn a_writer_of_before_acknowledges_nothing() {
    let (_home, store, memory) = place();
    let remote = Remote::new(store, &[Person("a"), Person("b")]);
    let first = Graph::open(&remote.store, options()).expect("opened");
    write(&first, |work| person(work, "c"));
    memory.hold("/log/");
    let (result, waiting) = std::sync::mpsc::channel();
    let writer = first.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let written = writer.write(crate::WriteRequest::by("test"), |work| person(work, "late"));
        result.send(runtime.expect("one").block_on(written).is_ok())
    });
    memory.until_someone_waits();
    memory.let_others_pass();
    std::thread::sleep(LEASE * 2);
    let second = Graph::open(&remote.store, options()).expect("taken over");
    write(&second, |work| person(work, "d"));
    write(&second, |work| person(work, "e"));
    let held = repair_with(&remote.store, Depth::Usual, LEASE, None);
    assert!(matches!(held, Err(RepairError::Locked { .. })), "{held:?}");
    drop(second);
    remote.flip(6);
    let repaired = remote.try_repair().expect("repaired");
    assert!(repaired.after.sound, "{:#?}", repaired.after.texts());
    let logged = remote.names("log/");
    memory.release();
    assert!(!waiting.recv().expect("told"), "it acknowledged");
    thread.join().expect("ended").expect("told");
    assert_eq!(remote.names("log/"), logged);
    assert!(first.is_lost());
    let graph = Graph::open(&remote.store, options()).expect("opened");
    assert!(contents(&graph.snapshot()).contains("\"b\""));
    assert!(!contents(&graph.snapshot()).contains("\"late\""));
}

/// What a repair keeps goes with the graph.
#[test]
fn a_repaired_graph_is_erased_whole() {
    let remote = Remote::new(in_memory(), &[Person("a"), Person("b")]);
    remote.flip(4);
    remote.repair_to(3);
    let graph = crate::graph::identity(&remote.store).expect("a graph").uuid;
    remote.store.erase(graph).expect("erased");
    let bucket = remote.store.bucket().expect("a bucket");
    assert_eq!(bucket.list_all("").expect("listed"), []);
}
