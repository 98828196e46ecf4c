//! A repair while something cannot be read, once or from some moment on: it loses nothing.

use std::sync::Arc;

use language::value::Value;

use super::Step::{Fold, Person, Reopen};
use super::stopped::copy;
use super::{Fixture, contents, files, write};
use crate::disk::watched::watch;
use crate::doctor::{Depth, repair};
use crate::tests::unread::Unread;
use crate::{Graph, Options};

/// Behind a checkpoint, a change of a row that is in its tables, and a segment of its own.
fn changed() -> Fixture {
    let mut fixture = Fixture::new(&[Person("a"), Person("b"), Fold, Person("c"), Reopen]);
    let graph = fixture.open();
    let person = graph.snapshot().schema().node_type_named("Person").cloned();
    let person = person.expect("a type");
    let first = graph.snapshot().node_by_key(person.id, &["a".into()]);
    let (first, age) = (first.expect("made"), person.properties[1].id);
    write(&graph, move |transaction| {
        transaction.set_node(first, vec![(age, Value::Float(1.0))])
    });
    let snapshot = graph.snapshot();
    fixture.after.insert(snapshot.lsn(), contents(&snapshot));
    graph.close().expect("closed");
    fixture
}

/// Repairs this folder while reads fail, then again; nothing is said to be lost, all that can be read
/// is there, and so are the checkpoints.
fn loses_nothing(fixture: &Fixture) {
    let (lsn, expected) = fixture.after.last_key_value().expect("a commit");
    let names = |folder: &std::path::Path| {
        let paths = files(&folder.join("checkpoints"));
        let names = paths
            .iter()
            .map(|path| path.file_name().map(|it| it.to_owned()));
        names.collect::<Vec<_>>()
    };
    for for_good in [false, true] {
        for after in 0.. {
            let context = format!("lsn {lsn}, {after} {for_good}");
            let folder = fixture
                .home
                .path()
                .join(format!("unread-{after}-{for_good}"));
            copy(&fixture.folder(), &folder);
            let disk = Arc::new(Unread::default());
            let watched = watch(&folder, disk.clone());
            disk.fail(after, for_good);
            let first = repair(&folder, Depth::Usual);
            let failed = disk.mend();
            let again = repair(&folder, Depth::Usual);
            let again = again.unwrap_or_else(|error| panic!("{context}: {error:?}"));
            assert!(again.after.sound, "{context}: {:#?}", again.after.texts());
            for repaired in [first.as_ref().ok(), Some(&again)].into_iter().flatten() {
                let lost = repaired.before.lost();
                assert!(lost.is_empty(), "{context}: {}", repaired.before);
            }
            drop(watched);
            assert_eq!(names(&folder), names(&fixture.folder()), "{context}");
            let graph = Graph::open(&folder, Options::default()).expect("opened");
            assert_eq!(&contents(&graph.snapshot()), expected, "{context}");
            if failed == 0 {
                assert!(after > 10, "{context}");
                break;
            }
        }
    }
}

#[test]
fn while_the_log_is_to_begin_later() {
    let fixture = changed();
    fixture.flip(2);
    loses_nothing(&fixture);
}

#[test]
fn while_there_is_nothing_to_do() {
    loses_nothing(&changed());
}
