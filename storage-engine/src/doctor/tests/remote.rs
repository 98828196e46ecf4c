//! Graphs in an object store.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use language::schema::Schema;
use tempfile::TempDir;

use super::{SCHEMA, complaints, notes, objects, person, write};
use crate::doctor::{Depth, Diagnosis, ExamineError, RepairError, Severity, examine, repair};
use crate::store::Store;
use crate::tests::objects::memory::Memory;
use crate::tests::objects::place;
use crate::{Graph, NewGraph, Options};

fn frugal() -> Options {
    Options {
        retention: Duration::ZERO,
        lease: Duration::from_millis(20),
        ..Options::default()
    }
}

struct Remote {
    _home: TempDir,
    store: Store,
    memory: Memory,
}

impl Remote {
    /// Two folds, a side file, and a tail.
    fn new() -> Self {
        let (_home, store, memory) = place();
        let schema = Schema::parse(SCHEMA).expect("a schema");
        Graph::create(&store, NewGraph::new(schema, "test")).expect("created");
        let graph = Graph::open(&store, frugal()).expect("opened");
        write(&graph, |work| person(work, "a"));
        graph.fold().expect("folded");
        write(&graph, notes);
        graph.fold().expect("folded");
        write(&graph, |work| person(work, "b"));
        write(&graph, |work| person(work, "c"));
        graph.close().expect("closed");
        Self {
            _home,
            store,
            memory,
        }
    }

    fn all(&self) -> BTreeMap<String, Bytes> {
        objects(&self.store)
    }

    /// Examines, and asserts that this left every byte as it was.
    fn examine(&self) -> Diagnosis {
        let before = self.all();
        let diagnosis = examine(&self.store, Depth::Deep).expect("examined");
        let usual = examine(&self.store, Depth::Usual).expect("examined");
        assert_eq!(usual.sound, diagnosis.sound, "{:#?}", usual.texts());
        assert!(self.all() == before, "the doctor changes nothing");
        diagnosis
    }

    /// The newest object but so many of the log.
    fn logged(&self, back: usize) -> String {
        let mut names: Vec<String> = (self.all().into_keys())
            .filter(|name| name.starts_with("log/"))
            .collect();
        names.swap_remove(names.len() - 1 - back)
    }

    fn damage(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.store.get(name).expect("read");
        edit(&mut bytes);
        self.store.put(name, &[&bytes]).expect("damaged");
    }
}

#[test]
fn a_graph_is_sound_closed_and_open() {
    let remote = Remote::new();
    let diagnosis = remote.examine();
    let texts = diagnosis.texts();
    assert_eq!(complaints(&diagnosis), "", "{texts:#?}");
    assert!(diagnosis.sound);
    let last = diagnosis.last_commit.as_ref().expect("a commit");
    assert_eq!(last.info.as_ref().map(|info| info.sequence), Some(5));
    let worst = diagnosis.findings.iter().map(|it| it.severity).max();
    assert_eq!(worst, Some(Severity::Note), "retired objects: {texts:#?}");
    assert!(diagnosis.folder.starts_with(remote.store.place("")));
    let graph = Graph::open(&remote.store, Options::default()).expect("opened");
    let diagnosis = remote.examine();
    assert!(diagnosis.sound, "{:#?}", diagnosis.texts());
    let held = diagnosis.findings.iter().find(|it| it.part == "epochs");
    let held = held.expect("said").what.clone();
    assert!(
        held.contains(&format!("process {}", std::process::id())),
        "{held}"
    );
    drop(graph);
}

/// Some of the objects before the horizon are deleted, and some that are older are not yet.
#[test]
fn what_is_being_deleted_is_not_missed() {
    let remote = Remote::new();
    let graph = Graph::open(&remote.store, frugal()).expect("opened");
    for number in 0..8 {
        write(&graph, move |work| person(work, &format!("more-{number}")));
    }
    for number in 0..3 {
        write(&graph, move |work| {
            person(work, &format!("folded-{number}"))
        });
        graph.fold().expect("folded");
    }
    let horizon = graph.status().expect("listed").log.horizon;
    drop(graph);
    let gone = remote
        .all()
        .into_keys()
        .filter(|name| name.starts_with("log/"));
    let gone: Vec<String> = gone.skip(2).step_by(2).take(3).collect();
    for name in &gone {
        assert!(*name < format!("log/{horizon:020}.seg"));
        remote.store.delete(name).expect("deleted");
    }
    let diagnosis = remote.examine();
    assert!(diagnosis.sound, "{:#?}", diagnosis.texts());
    Graph::open(&remote.store, Options::default()).expect("it opens");
}

#[test]
fn damage_is_told_with_what_can_be_done() {
    let told = |part: &str, edit: fn(&mut Vec<u8>), back: usize| {
        let remote = Remote::new();
        let name = match part {
            "log" => remote.logged(back),
            part => {
                let mut names = remote.all().into_keys().filter(|it| it.starts_with(part));
                names.next_back().expect("one")
            }
        };
        remote.damage(&name, edit);
        let diagnosis = remote.examine();
        let damage = diagnosis.findings.iter();
        let mut damage = damage.filter(|it| it.severity == Severity::Damage);
        let found = damage.next().expect("damage").to_string();
        assert!(found.contains(&name), "{name}: {found}");
        let text = complaints(&diagnosis);
        assert!(text.contains("trellis repair"), "{text}");
        let opens = Graph::open(&remote.store, Options::default()).is_ok();
        assert_eq!(opens, part == "checkpoints", "{text}");
        text
    };
    let flipped: fn(&mut Vec<u8>) = |bytes| bytes[700] ^= 1;
    let text = told("log", flipped, 1);
    assert!(text.contains("does not match its checksum"), "{text}");
    assert!(text.contains("put back an earlier version"), "{text}");
    let text = told("log", |bytes| bytes.truncate(1_000), 0);
    assert!(text.contains("the newest object is not whole"), "{text}");
    let text = told("checkpoints", |bytes| bytes[30] ^= 1, 0);
    assert!(text.contains("the next fold makes a new one"), "{text}");
}

#[test]
fn what_is_not_there_or_out_of_reach_is_no_damage() {
    let (_home, store, _) = place();
    let nothing = examine(&store, Depth::Usual).expect_err("nothing");
    assert!(matches!(nothing, ExamineError::Nothing { .. }), "{nothing}");
    let remote = Remote::new();
    for part in ["/log/", "/checkpoints/"] {
        remote.memory.cut(part, 1_000_000);
        let error = examine(&remote.store, Depth::Usual).expect_err(part);
        assert!(matches!(error, ExamineError::OutOfReach { .. }), "{error}");
        remote.memory.mend();
    }
    remote.memory.cut("/_versions/", 1_000_000);
    let diagnosis = examine(&remote.store, Depth::Usual).expect("examined");
    let texts = diagnosis.texts().join("\n");
    assert!(texts.contains("nothing says that it is damaged"), "{texts}");
    remote.memory.mend();
    let graph = Graph::open(&remote.store, Options::default()).expect("opened");
    let refused = repair(&remote.store, Depth::Usual).expect_err("held");
    assert!(matches!(refused, RepairError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains("nothing was changed"));
    drop(graph);
}
