//! The rest of a graph's life: changed, deleted, restored, purged.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use policy::Action;
use registry::{
    Condition, Deleted, DeletedGraph, Error, GraphUpdate, HandleError, NewGraph, Options, Registry,
    Stage, Step,
};

use crate::place::{CONFIG, Place, at, id, key, named, permit, permit_on, permit_on_deleted};

pub(crate) fn delete(registry: &Registry, graph_id: &str) -> Result<Deleted, Error> {
    let permit = permit_on(registry, Action::GraphDelete, graph_id);
    registry.delete(&permit, &Condition::Any)
}

pub(crate) fn deleted(registry: &Registry, graph_id: &str) -> DeletedGraph {
    let found = registry.deleted(&id(graph_id)).expect("read");
    found.into_iter().next().expect("it was deleted")
}

pub(crate) fn restore(registry: &Registry, graph_id: &str) -> Result<(), Error> {
    let graph = deleted(registry, graph_id);
    let permit = permit_on_deleted(Action::GraphRestore, &graph);
    registry.restore(&permit, &graph).map(|_| ())
}

pub(crate) fn purge(registry: &Registry, graph_id: &str) -> Result<Deleted, Error> {
    let graph = deleted(registry, graph_id);
    let permit = permit_on_deleted(Action::GraphDelete, &graph);
    registry.purge(&permit, &graph)
}

pub(crate) fn update(
    registry: &Registry,
    graph_id: &str,
    update: &GraphUpdate,
) -> Result<(), Error> {
    let permit = permit_on(registry, Action::GraphUpdate, graph_id);
    let of_policy = permit_on(registry, Action::PolicyUpdate, graph_id);
    registry
        .update(&permit, Some(&of_policy), update, &Condition::Any)
        .map(|_| ())
}

pub(crate) fn opens(registry: &Registry, graph_id: &str) -> Result<(), HandleError> {
    let permit = permit_on(registry, Action::Mutate, graph_id);
    registry.writer(&permit).map(|_| ())
}

/// With the graph one, which has two labels, and a fault hook.
pub(crate) fn with_one(place: &Place) -> Registry {
    let registry = place.open();
    let one = NewGraph {
        tenant: Some("acme".into()),
        labels: BTreeMap::from([("env".into(), "prod".into()), ("team".into(), "a".into())]),
        ..named("one")
    };
    registry.create(&permit(), one).expect("created");
    registry
}

#[test]
fn a_change_touches_its_fields_alone() {
    let place = Place::new(CONFIG);
    let registry = with_one(&place);
    let text = place.text().replace(
        "    tenant: acme\n",
        "    # whose it is\n    tenant: acme   # for now\n",
    );
    fs::write(place.config(), &text).expect("written");
    let registry = {
        drop(registry);
        place.open()
    };
    let before = registry.get(&id("one")).expect("there").version();
    let change = GraphUpdate {
        tenant: Some(Some("rival".into())),
        labels: Some(BTreeMap::from([
            ("env".into(), "test".into()),
            ("new".into(), "x".into()),
        ])),
        policy_file: None,
    };
    update(&registry, "one", &change).expect("updated");
    let expect = text.replace("tenant: acme ", "tenant: rival ").replace(
        "labels: { env: prod, team: a }",
        "labels: { env: test, new: x }",
    );
    assert_eq!(place.text(), expect);
    let one = registry.get(&id("one")).expect("there");
    assert_ne!(one.version(), before);
    assert_eq!(one.reference().tenant(), Some("rival"));
    // The same again is no change; nothing at all takes the fields away.
    update(&registry, "one", &change).expect("nothing to do");
    assert_eq!(place.text(), expect);
    let nothing = GraphUpdate {
        tenant: Some(None),
        labels: Some(BTreeMap::new()),
        policy_file: Some(None),
    };
    update(&registry, "one", &nothing).expect("updated");
    let expect = expect
        .replace("    tenant: rival   # for now\n", "")
        .replace("    labels: { env: test, new: x }\n", "");
    assert_eq!(place.text(), expect);
    // On another version than was seen: refused.
    let permit = permit_on(&registry, Action::GraphUpdate, "one");
    let error = registry
        .update(&permit, None, &change, &Condition::OneOf(vec![before]))
        .expect_err("moved on");
    assert!(matches!(error, Error::OtherVersion(_)), "{error}");
    let error = update(
        &registry,
        "one",
        &GraphUpdate {
            policy_file: Some(Some("/etc/passwd".into())),
            ..GraphUpdate::default()
        },
    )
    .expect_err("outside");
    assert!(matches!(error, Error::InvalidPolicyFile { .. }), "{error}");
    assert_eq!(place.text(), expect);
}

/// Whoever may describe a graph may not replace its policy: that takes a permit of its own, for this graph.
#[test]
fn another_policy_asks_for_a_permit_of_its_own() {
    let place = Place::new(CONFIG);
    let registry = with_one(&place);
    let text = place.text();
    let permit = permit_on(&registry, Action::GraphUpdate, "one");
    let elsewhere = permit_on(&registry, Action::PolicyUpdate, "alpha");
    let none = GraphUpdate {
        policy_file: Some(None),
        ..GraphUpdate::default()
    };
    for of_policy in [None, Some(&permit), Some(&elsewhere)] {
        let error = registry
            .update(&permit, of_policy, &none, &Condition::Any)
            .expect_err("refused");
        assert!(matches!(error, Error::WrongPermit(_)), "{error}");
    }
    assert_eq!(place.text(), text);
}

#[test]
fn deleted_restored_purged_and_made_again() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    registry.create(&permit(), named("One")).expect("created");
    opens(&registry, "one").expect("open");
    let with_one = place.text();
    let record = delete(&registry, "one").expect("deleted, though it was open");
    assert!(record.purge_after_micros - record.deleted_micros == 7 * 86_400 * 1_000_000);
    assert_eq!(place.text(), CONFIG);
    assert!(registry.get(&id("one")).is_none());
    assert!(place.base.join("data/One/graph.json").exists(), "kept");
    assert_eq!(registry.clean().expect("nothing is due"), 0);
    restore(&registry, "ONE").expect("restored");
    assert_eq!(place.text(), with_one);
    opens(&registry, "one").expect("it is whole");
    assert!(registry.deleted(&id("one")).expect("read").is_empty());

    delete(&registry, "one").expect("deleted");
    let again = registry.create(&permit(), named("One")).expect("created");
    let name = again
        .registration
        .uri
        .written()
        .strip_prefix("../data/One-");
    assert_eq!(name.expect("a folder of its own").len(), 8);
    let error = restore(&registry, "one").expect_err("the id is taken");
    assert!(matches!(error, Error::GraphExists(_)), "{error}");
    // The second deleted one of that id is the one that comes back.
    delete(&registry, "one").expect("deleted");
    restore(&registry, "one").expect("restored");
    let back = registry.get(&id("one")).expect("there");
    assert_eq!(back.uri.canonical(), again.registration.uri.canonical());

    let record = purge(&registry, "one").expect("the first one goes");
    assert!(matches!(record.stage, Stage::Purged(_)));
    assert!(!place.base.join("data/One").exists());
    assert!(back.uri.canonical().join("graph.json").exists());
    opens(&registry, "one").expect("the second one is whole");
    delete(&registry, "one").expect("deleted");
    purge(&registry, "one").expect("purged");
    assert_eq!(
        fs::read_dir(place.base.join("data"))
            .expect("listed")
            .count(),
        0
    );
    for error in [
        restore(&registry, "one").expect_err("gone"),
        purge(&registry, "one").expect_err("gone"),
    ] {
        assert!(matches!(error, Error::Purged(_)), "{error}");
    }
}

#[test]
fn what_is_due_goes_and_only_what_is_the_graphs_own() {
    let config = CONFIG.replace("  storage:", "  deleted_retention: 0s\n  storage:");
    let place = Place::new(&config);
    let registry = place.open();
    for name in ["one", "two", "three", "four"] {
        registry.create(&permit(), named(name)).expect("created");
        delete(&registry, name).expect("deleted");
    }
    let data = |path: &str| place.base.join("data").join(path);
    fs::write(data("two/notes.txt"), "mine").expect("written");
    fs::create_dir(data("two/repair-1")).expect("made");
    // Another graph has moved in, and one folder is in the file again under another name.
    let stranger = r#"{"format":1,"uuid":"00000000-0000-0000-0000-000000000007"}"#;
    fs::write(data("three/graph.json"), stranger).expect("written");
    let text = place
        .text()
        .replace("graphs:\n", "graphs:\n  other: { uri: ../data/four }\n");
    fs::write(place.config(), text).expect("written");
    let registry = {
        drop(registry);
        place.open()
    };
    assert_eq!(registry.clean().expect("cleaned"), 2);
    assert!(!data("one").exists());
    let left: Vec<_> = fs::read_dir(data("two"))
        .expect("listed")
        .map(|item| item.expect("listed").file_name())
        .collect();
    assert_eq!(left, ["notes.txt"]);
    assert!(data("three/log").exists() && data("four/log").exists());
    opens(&registry, "other").expect("it is whole");
    assert_eq!(registry.clean().expect("three and four are in use"), 0);
}

#[test]
fn a_key_is_answered_once_for_each_request() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    let one = || NewGraph {
        key: Some(key("k", "one")),
        ..named("one")
    };
    assert!(!registry.create(&permit(), one()).expect("created").replayed);
    let again = place.open().create(&permit(), one()).expect("answered");
    assert!(again.replayed && again.registration.graph_id == id("one"));
    delete(&registry, "one").expect("deleted");
    let text = place.text();
    assert!(
        registry
            .create(&permit(), one())
            .expect("answered")
            .replayed
    );
    assert_eq!(place.text(), text, "the same answer, and nothing done");
    let other = NewGraph {
        key: Some(key("k", "two")),
        ..named("two")
    };
    let error = registry.create(&permit(), other).expect_err("another");
    assert!(matches!(error, Error::KeyReused), "{error}");
    // What failed is not remembered.
    let outside = NewGraph {
        key: Some(key("l", "x")),
        ..at("x", "/x")
    };
    registry.create(&permit(), outside).expect_err("outside");
    let inside = NewGraph {
        key: Some(key("l", "x")),
        ..at("x", "../data/x")
    };
    assert!(!registry.create(&permit(), inside).expect("made").replayed);
}

/// Two registries stand for two processes: they share nothing but the disk.
#[test]
fn a_graph_that_another_process_has_open_is_let_go_and_never_written_again() {
    let place = Place::new(CONFIG);
    let (one, two) = (place.open(), Arc::new(place.open()));
    one.create(&permit(), named("one")).expect("created");
    two.refresh().expect("read");
    opens(&two, "one").expect("open");
    let peer = two.clone();
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    let yielding = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(10)).is_err() {
            peer.yield_to_peers();
        }
    });
    delete(&one, "one").expect("deleted, for the other let go");
    // The other has not read the file again.
    let error = opens(&two, "one").expect_err("deleted");
    assert!(
        matches!(error, HandleError::Absent | HandleError::Changed),
        "{error}"
    );
    restore(&one, "one").expect("restored");
    stop.send(()).expect("still there");
    yielding.join().expect("no panic");
    two.yield_to_peers();
    opens(&two, "one").expect("it is back");
    // Nobody yields: the delete is refused with the holder, and nothing has changed.
    let text = place.text();
    let hurried = Registry::open(
        &place.config(),
        Options {
            fence_patience: Duration::from_millis(50),
            ..Options::default()
        },
    )
    .expect("opened");
    let error = delete(&hurried, "one").expect_err("held");
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert_eq!(place.text(), text);
    opens(&two, "one").expect("as before");
}

/// Whoever reads along is asked by nobody to let go, and may know the graph by another id.
#[test]
fn a_graph_that_is_read_along_elsewhere_is_gone_there_too() {
    let place = Place::new(CONFIG);
    let one = place.open();
    one.create(&permit(), named("one")).expect("created");
    let other = place.text().replace("  one:", "  other:");
    let two = {
        let config = place.base.join("config/other.yaml");
        fs::write(&config, other).expect("written");
        Registry::open(&config, Options::default()).expect("sound")
    };
    opens(&one, "one").expect("for writing");
    let read = || {
        let permit = permit_on(&two, Action::Query, "other");
        two.reader(&permit).map(|_| ())
    };
    two.tend();
    read().expect("along with the other");
    delete(&one, "one").expect("deleted");
    two.tend();
    let error = read().expect_err("deleted");
    assert!(matches!(error, HandleError::Absent), "{error}");
    let error = opens(&two, "other").expect_err("deleted");
    assert!(matches!(error, HandleError::Absent), "{error}");
    restore(&one, "one").expect("restored");
    read().expect("it is back");
}

/// What follows the file's replacement and fails has not left everything as it was.
#[test]
fn a_failure_after_the_replacement_is_told_as_one() {
    let place = Place::new(CONFIG);
    let blocked = place.base.join("config/.trellis/answers");
    let registry = place.disturbed(Step::ConfigReplaced, move || {
        let _ = std::fs::remove_dir_all(&blocked);
        std::fs::write(&blocked, "no folder").expect("written");
    });
    let request = NewGraph {
        key: Some(key("k", "one")),
        ..named("one")
    };
    let error = registry.create(&permit(), request).expect_err("fails");
    assert!(matches!(error, Error::Unfinished(_)), "{error}");
    assert!(place.text().contains("one:"));
}

#[test]
fn tenants_and_labels_have_a_size() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    let labelled = |labels: BTreeMap<String, String>| NewGraph {
        labels,
        ..named("one")
    };
    let many = |count: usize| {
        (0..count)
            .map(|n| (format!("l{n}"), String::new()))
            .collect()
    };
    let long = "x".repeat(257);
    for request in [
        labelled(many(65)),
        labelled(BTreeMap::from([(long.clone(), "v".to_owned())])),
        labelled(BTreeMap::from([("l".to_owned(), long.clone())])),
        NewGraph {
            tenant: Some(long.clone()),
            ..named("one")
        },
    ] {
        let error = registry.create(&permit(), request).expect_err("too much");
        let expected = matches!(error, Error::LongText { .. } | Error::TooManyLabels { .. });
        assert!(expected, "{error}");
    }
    let most = NewGraph {
        tenant: Some("x".repeat(256)),
        ..labelled(many(64))
    };
    registry.create(&permit(), most).expect("fits");
}

/// A list of deleted graphs reads no policy that it has read before; a reload has it read again.
#[test]
fn deleted_graphs_keep_the_policies_that_were_read() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    let policy = place.config().with_file_name("own.cedar");
    let write = |text: &str| fs::write(&policy, text).expect("written");
    write("permit (principal, action, resource);");
    for graph_id in ["one", "two"] {
        registry
            .create(&permit(), named(graph_id))
            .expect("created");
        delete_with_policy(&place, &registry, graph_id);
    }
    let first = registry.all_deleted().expect("read");
    assert_eq!(first.len(), 2);
    assert!(
        first
            .iter()
            .all(|graph| graph.registration.broken_policy().is_none())
    );
    write("permit (principal");
    let again = registry.all_deleted().expect("read");
    assert!(
        first
            .iter()
            .zip(&again)
            .all(|(one, same)| Arc::ptr_eq(one, same))
    );
    registry.reload(registry::Reload::Apply).expect("sound");
    let other = registry.all_deleted().expect("read");
    assert!(
        other
            .iter()
            .all(|graph| graph.registration.broken_policy().is_some())
    );
    // One that is gone is not listed.
    write("permit (principal, action, resource);");
    restore(&registry, "one").expect("restored");
    let left = registry.all_deleted().expect("read");
    assert_eq!(left.len(), 1);
    assert!(Arc::ptr_eq(&left[0], &other[1]));
}

/// The file gives the graph a policy of its own before it is deleted.
fn delete_with_policy(place: &Place, registry: &Registry, graph_id: &str) {
    let entry = format!("  {graph_id}:\n");
    let text = place.text();
    let text = text.replace(
        &entry,
        &format!("{entry}    policy: {{ file: own.cedar }}\n"),
    );
    fs::write(place.config(), text).expect("written");
    registry.reload(registry::Reload::Apply).expect("sound");
    delete(registry, graph_id).expect("deleted");
}
