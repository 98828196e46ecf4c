//! What a crash leaves behind is finished or undone, and nothing else is touched.

use std::fs;

use registry::{Error, NewGraph, Options, Registry, Step};
use uuid::Uuid;

use crate::place::{CONFIG, Place, at, id, key, named, permit};

/// A crash after each effect, found by a restart or by the next create of another server.
#[test]
fn a_crash_at_any_step_leaves_the_graph_whole_or_absent() {
    for step in Step::CREATE.iter().copied() {
        for restart in [true, false] {
            let place = Place::new(CONFIG);
            let other = place.open();
            let crashing = place.halting(step);
            let before = place.listing();
            let request = NewGraph {
                key: Some(key("k", "one")),
                ..at("one", "../data/new/one")
            };
            let error = crashing.create(&permit(), request).expect_err("halted");
            assert!(
                matches!(error, Error::Halted(found) if found == step),
                "{error}"
            );
            drop(crashing);
            let settled = if restart { place.open() } else { other };
            settled.create(&permit(), named("two")).expect("created");
            let replaced = matches!(
                step,
                Step::ConfigReplaced
                    | Step::DigestRecorded
                    | Step::AnswerKept
                    | Step::Published
                    | Step::IntentEnded
            );
            let one = settled.get(&id("one"));
            assert_eq!(one.is_some(), replaced, "{step:?} restart {restart}");
            assert_eq!(place.text().contains("one:"), replaced, "{step:?}");
            assert_eq!(
                place.base.join("data/new/one/graph.json").exists(),
                replaced,
                "{step:?}"
            );
            assert_eq!(place.base.join("data/new").exists(), replaced, "{step:?}");
            assert!(
                registry::intent::pending(settled.file())
                    .expect("listed")
                    .is_empty()
            );
            assert_eq!(place.open().snapshot().graphs, settled.snapshot().graphs);
            let strays: Vec<_> = place
                .listing()
                .into_iter()
                .filter(|path| {
                    !before.contains(path) && path.starts_with(place.base.join("config"))
                })
                .collect();
            assert!(strays.is_empty(), "{step:?}: {strays:?}");
            // The same request again is answered the same when the graph is whole, and makes it when it
            // is absent.
            let again = NewGraph {
                key: Some(key("k", "one")),
                ..at("one", "../data/new/one")
            };
            let created = settled.create(&permit(), again).expect("answered");
            assert_eq!(created.replayed, replaced, "{step:?}");
            assert_eq!(created.registration.uri.written(), "../data/new/one");
        }
    }
}

#[test]
fn a_strangers_folder_survives_a_recovery() {
    for (step, put) in [
        (Step::IntentWritten, "mine.txt"),
        (Step::StorageInitialised, "graph.json"),
    ] {
        let place = Place::new(CONFIG);
        place
            .halting(step)
            .create(&permit(), named("one"))
            .expect_err("halted");
        let folder = place.base.join("data/one");
        fs::create_dir_all(&folder).expect("created");
        let content = format!("{{\"uuid\":\"{}\"}}", Uuid::from_u128(7));
        fs::write(folder.join(put), &content).expect("written");
        let registry = place.open();
        assert_eq!(
            fs::read_to_string(folder.join(put)).expect("still there"),
            content
        );
        assert!(registry.get(&id("one")).is_none());
        // The name gets a folder of its own beside what stays there.
        let again = registry
            .create(&permit(), named("one"))
            .expect("created")
            .registration;
        let name = again
            .uri
            .written()
            .strip_prefix("../data/one-")
            .expect("a mark")
            .to_owned();
        assert_eq!(name.len(), 8);
    }
    // What somebody has put beside the attempt's own files stays, though those go.
    let place = Place::new(CONFIG);
    place
        .halting(Step::StorageInitialised)
        .create(&permit(), named("one"))
        .expect_err("halted");
    let folder = place.base.join("data/one");
    fs::create_dir(folder.join("mine")).expect("created");
    fs::write(folder.join("mine/notes.txt"), "mine").expect("written");
    place.open();
    let left: Vec<_> = fs::read_dir(&folder)
        .expect("listed")
        .map(|item| item.expect("listed").file_name())
        .collect();
    assert_eq!(left, ["mine"]);
    assert!(folder.join("mine/notes.txt").exists());
    // A folder that the operator has since declared under another id is theirs.
    let place = Place::new(CONFIG);
    place
        .halting(Step::StorageInitialised)
        .create(&permit(), named("one"))
        .expect_err("halted");
    fs::write(
        place.config(),
        "version: 1\ngraphs: { other: { uri: ../data/one } }\n",
    )
    .expect("written");
    place.open();
    assert!(place.base.join("data/one/graph.json").exists());
    // An unsound config settles nothing.
    let place = Place::new(CONFIG);
    place
        .halting(Step::StorageInitialised)
        .create(&permit(), named("one"))
        .expect_err("halted");
    fs::write(place.config(), "version: [1\n").expect("written");
    Registry::open(&place.config(), Options::default()).expect_err("unsound");
    assert!(place.base.join("data/one/graph.json").exists());
}

/// Once the file has been edited since, a graph that it named for a while may have been served and
/// written to; and one that is open somewhere is nobody's to remove.
#[test]
fn a_graph_that_others_may_have_used_survives_a_recovery() {
    let place = Place::new(CONFIG);
    place
        .halting(Step::ConfigReplaced)
        .create(&permit(), named("one"))
        .expect_err("halted");
    fs::write(place.config(), format!("{CONFIG}# by hand\n")).expect("written");
    let registry = place.open();
    assert!(registry.get(&id("one")).is_none());
    assert!(place.base.join("data/one/graph.json").exists());
    assert!(place.base.join("data/one/log").exists());

    // The very bytes of before, while another process has the graph open.
    let place = Place::new(CONFIG);
    place
        .halting(Step::ConfigReplaced)
        .create(&permit(), named("one"))
        .expect_err("halted");
    fs::write(place.config(), CONFIG).expect("written");
    let hold = storage_engine::hold(&place.base.join("data/one")).expect("held");
    place.open();
    assert!(place.base.join("data/one/graph.json").exists());
    assert!(place.base.join("data/one/log").exists());
    drop(hold);
}

/// The engine was writing the file that says whose folder it is: nothing of it stays, neither in a new
/// folder nor in one that was there.
#[test]
fn a_crash_before_the_mark_leaves_nothing() {
    for existed in [false, true] {
        let place = Place::new(CONFIG);
        let folder = place.base.join("data/one");
        if existed {
            fs::create_dir(&folder).expect("created");
        }
        place
            .halting(Step::FolderMade)
            .create(&permit(), named("one"))
            .expect_err("halted");
        fs::write(folder.join(".unfinished-x1y2"), "{\"uu").expect("written");
        let registry = place.open();
        assert_eq!(folder.exists(), existed);
        let again = registry.create(&permit(), named("one")).expect("created");
        assert_eq!(again.registration.uri.written(), "../data/one");
    }
}

/// Another graph that comes into the attempt's new folder is not undone with the attempt.
#[test]
fn who_was_quicker_in_the_same_folder_keeps_it() {
    let place = Place::new(CONFIG);
    let mark = place.base.join("data/one/graph.json");
    let content = format!("{{\"uuid\":\"{}\"}}", Uuid::from_u128(7));
    let (theirs, text) = (mark.clone(), content.clone());
    let registry = place.disturbed(Step::StorageInitialised, move || {
        fs::write(&theirs, &text).expect("written");
    });
    registry
        .create(&permit(), named("one"))
        .expect_err("somebody else's");
    assert_eq!(fs::read_to_string(&mark).expect("there"), content);
}
