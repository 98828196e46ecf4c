//! The places of deleted graphs: nobody else gets one while its record stands, a purge takes nothing of
//! another graph, and what is said to be gone is gone.

use std::fs;
use std::path::Path;

use policy::Action;
use registry::{Condition, Error, NewGraph, Reload, Stage, Step};

use crate::life::{delete, deleted, opens, purge, restore, with_one};
use crate::place::{CONFIG, Place, at, id, key, named, permit, permit_on, permit_on_deleted};

fn is_in_use(place: &Place, registry: &registry::Registry, graph_id: &str, uri: &str) {
    let (text, before) = (place.text(), place.listing());
    let error = registry
        .create(&permit(), at(graph_id, uri))
        .expect_err("somebody's");
    assert!(matches!(error, Error::UriInUse { .. }), "{uri}: {error:?}");
    assert_eq!(place.text(), text, "{uri}");
    assert_eq!(place.listing(), before, "{uri}");
}

fn stage(registry: &registry::Registry, graph_id: &str) -> Stage {
    deleted(registry, graph_id).record.stage
}

#[test]
fn nobody_gets_a_place_of_a_deleted_graph() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    let deep = at("one", "../data/deep/er/one");
    registry.create(&permit(), deep).expect("created");
    delete(&registry, "one").expect("deleted");
    let uris = [
        "../data/deep/er/one",
        "../data/deep/er/one/tables/x",
        "../data/deep/er/one/log/y",
        "../data/deep/er",
        "../data/deep",
    ];
    for uri in uris {
        for graph_id in ["other", "one"] {
            is_in_use(&place, &registry, graph_id, uri);
            is_in_use(&place, &place.open(), graph_id, uri);
        }
    }
    restore(&registry, "one").expect("nobody has come");
    opens(&registry, "one").expect("it is whole");
    delete(&registry, "one").expect("deleted");
    // Nor once its data was removed by hand, until that is said.
    fs::remove_dir_all(place.base.join("data/deep")).expect("removed");
    for uri in uris {
        is_in_use(&place, &registry, "other", uri);
    }
    purge(&registry, "one").expect("nothing is left to remove");
    registry
        .create(&permit(), at("other", "../data/deep"))
        .expect("free");
    opens(&registry, "other").expect("it is whole");
}

#[test]
fn a_deletion_whose_data_was_removed_by_hand_spoils_no_new_graph() {
    let place = Place::new(CONFIG);
    let registry = with_one(&place);
    delete(&registry, "one").expect("deleted");
    fs::remove_dir_all(place.base.join("data/one")).expect("removed");
    let again = registry.create(&permit(), named("one")).expect("created");
    let uri = again.registration.uri.written().to_owned();
    assert!(uri.starts_with("../data/one-"), "{uri}");
    opens(&registry, "one").expect("a place of its own");
    purge(&registry, "one").expect("the one of before");
    opens(&registry, "one").expect("it is another");
    // One whose record cannot be read keeps its place too.
    delete(&registry, "one").expect("deleted");
    fs::remove_dir_all(again.registration.uri.canonical()).expect("removed");
    let records = place.base.join("config/.trellis/deleted");
    let record = fs::read_dir(records).expect("listed").next().expect("one");
    fs::write(record.expect("listed").path(), "{").expect("written");
    is_in_use(&place, &registry, "one", &uri);
    registry.create(&permit(), named("one")).expect("created");
    opens(&registry, "one").expect("a place of its own");
}

/// The next create ends a purge that had only to be written down, and so does the next start: the place is
/// free, and what is made there opens.
#[test]
fn a_purge_that_died_before_it_was_written_down_is_ended() {
    for step in [Step::MarkRemoved, Step::FolderRemoved, Step::PurgeRecorded] {
        for restart in [false, true] {
            let place = Place::new(CONFIG);
            let other = with_one(&place);
            delete(&other, "one").expect("deleted");
            purge(&place.halting(step), "one").expect_err("halted");
            let registry = match restart {
                false => other,
                true => place.open(),
            };
            if restart {
                let found = stage(&registry, "one");
                assert!(matches!(found, Stage::Purged(_)), "{step:?} {found:?}");
            }
            let again = registry.create(&permit(), named("one")).expect("created");
            assert_eq!(again.registration.uri.written(), "../data/one", "{step:?}");
            opens(&registry, "one").unwrap_or_else(|error| panic!("{step:?}: {error}"));
            let found = stage(&registry, "one");
            assert!(matches!(found, Stage::Purged(_)), "{step:?} {found:?}");
            assert_eq!(registry.clean().expect("nothing is due"), 0);
        }
    }
    // While there is anything of the graph, the place is taken, and the name gets another.
    let place = Place::new(CONFIG);
    let registry = with_one(&place);
    delete(&registry, "one").expect("deleted");
    purge(&place.halting(Step::PurgeBegun), "one").expect_err("halted");
    is_in_use(&place, &registry, "one", "../data/one");
    registry.create(&permit(), named("one")).expect("created");
    assert_eq!(registry.clean().expect("gone on with"), 1);
    assert!(!place.base.join("data/one").exists());
    opens(&registry, "one").expect("it is another");
}

/// Another process has ended the purge, made the graph anew in the same place and deleted it: that deletion
/// is not the one that the purge writes down.
#[test]
fn a_purge_ends_no_later_deletion_of_the_same_place() {
    let place = Place::new(CONFIG);
    let other = with_one(&place);
    delete(&other, "one").expect("deleted");
    let config = place.config();
    let registry = place.disturbed(Step::MarkRemoved, move || {
        let options = registry::Options::default();
        let peer = registry::Registry::open(&config, options).expect("opened");
        let again = peer.create(&permit(), named("one")).expect("created");
        assert_eq!(again.registration.uri.written(), "../data/one");
        delete(&peer, "one").expect("deleted");
    });
    purge(&registry, "one").expect("purged");
    assert_eq!(stage(&registry, "one"), Stage::Kept);
    restore(&registry, "one").expect("restored");
    opens(&registry, "one").expect("it is whole");
}

/// With an entry of that uri in the file.
fn edited(place: &Place, graph_id: &str, uri: &str) {
    let entry = format!("graphs:\n  {graph_id}: {{ uri: {uri} }}\n");
    let text = place.text().replace("graphs:\n", &entry);
    fs::write(place.config(), text).expect("written");
}

#[test]
fn a_reload_refuses_the_place_of_a_deleted_graph() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    let deep = at("one", "../data/deep/one");
    registry.create(&permit(), deep).expect("created");
    delete(&registry, "one").expect("deleted");
    let text = place.text();
    for (graph_id, uri, words) in [
        (
            "one",
            "../data/deep/one/tables/x",
            "lies inside the folder of",
        ),
        ("around", "../data/deep", "lies around the folder of"),
    ] {
        edited(&place, graph_id, uri);
        let told = registry.drift_report().expect("read").problems;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].path, format!("graphs.{graph_id}.uri"));
        assert!(told[0].message.starts_with(words), "{told:?}");
        assert!(
            told[0].message.contains("the deleted graph \"one\""),
            "{told:?}"
        );
        let error = registry.reload(Reload::Apply).expect_err("refused");
        assert!(matches!(error, Error::InvalidConfig { .. }), "{error:?}");
        fs::write(place.config(), &text).expect("written");
    }
    // As it was, it is restored; while it is being purged, it is not.
    purge(&place.halting(Step::PurgeBegun), "one").expect_err("halted");
    edited(&place, "one", "../data/deep/one");
    let error = registry.reload(Reload::Apply).expect_err("refused");
    assert!(matches!(error, Error::InvalidConfig { .. }), "{error:?}");
    fs::write(place.config(), &text).expect("written");
    assert_eq!(registry.clean().expect("gone on with"), 1);
    edited(&place, "new", "../data/deep");
    registry.reload(Reload::Apply).expect("the place is free");
}

/// A file that an operator has edited while no server ran says anything; a purge believes the folders.
#[test]
fn a_purge_takes_nothing_of_another_graph() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    let deep = at("one", "../data/deep/one");
    registry.create(&permit(), deep).expect("created");
    opens(&registry, "one").expect("it is whole");
    delete(&registry, "one").expect("deleted");
    drop(registry);
    let text = place.text();
    for uri in ["../data/deep/one/tables/x", "../data/deep"] {
        edited(&place, "other", uri);
        let registry = place.open();
        let error = purge(&registry, "one").expect_err("refused");
        assert!(matches!(error, Error::UriInUse { .. }), "{error:?}");
        assert_eq!(stage(&registry, "one"), Stage::Kept);
        fs::write(place.config(), &text).expect("written");
    }
    let registry = place.open();
    restore(&registry, "one").expect("it is there");
    opens(&registry, "one").expect("it is whole");
}

#[test]
fn what_is_put_back_by_hand_is_restored_under_whichever_id() {
    let place = Place::new(CONFIG);
    let registry = with_one(&place);
    delete(&registry, "one").expect("deleted");
    drop(registry);
    edited(&place, "second", "../data/one");
    let registry = place.open();
    opens(&registry, "second").expect("the data of one");
    let none = |graph_id: &str| registry.deleted(&id(graph_id)).expect("read").is_empty();
    assert!(none("one"), "nobody can purge it under its old name");
    delete(&registry, "second").expect("deleted");
    edited(&place, "third", "../data/one");
    purge(&registry, "second").expect_err("the file says something else");
    registry.reload(Reload::Apply).expect("applied");
    assert!(none("second"));
    opens(&registry, "third").expect("the data of one");
}

fn moved(place: &Place, from: &str, to: &str) {
    fs::rename(place.base.join(from), place.base.join(to)).expect("moved");
}

#[test]
fn a_purge_goes_down_into_no_other_graph() {
    let place = Place::new(CONFIG);
    let registry = with_one(&place);
    registry.create(&permit(), named("two")).expect("created");
    delete(&registry, "one").expect("deleted");
    delete(&registry, "two").expect("deleted");
    moved(&place, "data/two", "data/one/tables/two");
    let before = place.listing();
    let error = purge(&registry, "one").expect_err("refused");
    assert!(matches!(error, Error::GraphWithin { .. }), "{error:?}");
    assert_eq!(place.listing(), before, "nothing was removed");
    restore(&registry, "one").expect("it is whole");
    delete(&registry, "one").expect("deleted");
    // A copy of its own goes with it.
    fs::remove_dir_all(place.base.join("data/one/tables/two")).expect("removed");
    fs::create_dir_all(place.base.join("data/one/files/copy")).expect("made");
    let (mark, copy) = ("data/one/graph.json", "data/one/files/copy/graph.json");
    fs::copy(place.base.join(mark), place.base.join(copy)).expect("copied");
    purge(&registry, "one").expect("purged");
    assert!(!place.base.join("data/one").exists());

    // One in the other, both deleted: the inner one goes first.
    let place = Place::new(CONFIG);
    let registry = with_one(&place);
    registry.create(&permit(), named("two")).expect("created");
    delete(&registry, "one").expect("deleted");
    let text = place.text();
    fs::write(
        place.config(),
        text.replace("uri: ../data/two", "uri: ../data/one/tables/two"),
    )
    .expect("written");
    moved(&place, "data/two", "data/one/tables/two");
    drop(registry);
    let registry = place.open();
    opens(&registry, "two").expect("it is whole");
    delete(&registry, "two").expect("deleted");
    let error = purge(&registry, "one").expect_err("refused");
    assert!(matches!(error, Error::UriInUse { .. }), "{error:?}");
    purge(&registry, "two").expect("purged");
    purge(&registry, "one").expect("purged");
    let left = fs::read_dir(place.base.join("data")).expect("listed");
    assert_eq!(left.count(), 0);
}

#[test]
fn data_that_stays_is_not_said_to_be_gone() {
    let config = CONFIG.replace("  storage:", "  deleted_retention: 0s\n  storage:");
    let place = Place::new(&config);
    let registry = with_one(&place);
    registry.create(&permit(), named("two")).expect("created");
    let mark = place.base.join("data/one/graph.json");
    let whole = fs::read(&mark).expect("read");
    let refused = |what: &str| {
        let before = place.listing();
        let error = purge(&registry, "one").expect_err("refused");
        assert!(
            matches!(error, Error::NotItsOwn { .. }),
            "{what}: {error:?}"
        );
        assert_eq!(stage(&registry, "one"), Stage::Kept, "{what}");
        assert_eq!(place.listing(), before, "{what}");
    };
    // Broken when it was deleted.
    fs::write(&mark, "{").expect("written");
    delete(&registry, "one").expect("deleted");
    refused("broken before");
    fs::write(&mark, &whole).expect("written");
    refused("mended since, but whose it is was not known");
    restore(&registry, "one").expect("restored");
    opens(&registry, "one").expect("it is whole");
    // Broken since, or gone; what is due after it goes all the same.
    delete(&registry, "one").expect("deleted");
    delete(&registry, "two").expect("deleted");
    fs::write(&mark, "{").expect("written");
    refused("broken since");
    fs::remove_file(&mark).expect("removed");
    refused("gone since");
    assert_eq!(registry.clean().expect("two is due"), 1);
    assert!(!place.base.join("data/two").exists());
    fs::write(&mark, &whole).expect("written");
    assert_eq!(registry.clean().expect("one is due"), 1);
    assert!(!place.base.join("data/one").exists());
}

/// A graph of the same id and the same entry is another graph: what was read of the one before does not hold
/// for it.
#[test]
fn the_version_of_a_registration_is_that_of_one_graph() {
    let place = Place::new(CONFIG);
    let (registry, peer) = (place.open(), place.open());
    let keyed = || NewGraph {
        key: Some(key("k", "one")),
        ..named("one")
    };
    let first = registry.create(&permit(), keyed()).expect("created");
    assert_eq!(first.version, first.registration.version());
    peer.refresh().expect("read");
    let version =
        |registry: &registry::Registry| registry.get(&id("one")).expect("there").version();
    assert_eq!(version(&peer), first.version);
    delete(&registry, "one").expect("deleted");
    restore(&registry, "one").expect("restored");
    assert_eq!(version(&registry), first.version, "it is the same graph");
    delete(&registry, "one").expect("deleted");
    purge(&registry, "one").expect("purged");
    let second = registry.create(&permit(), named("one")).expect("created");
    assert_eq!(second.registration.entry, first.registration.entry);
    assert_ne!(second.version, first.version);
    peer.refresh().expect("read");
    assert_eq!(version(&peer), second.version);
    for registry in [&registry, &peer] {
        let permit = permit_on(registry, Action::GraphDelete, "one");
        let seen = Condition::OneOf(vec![first.version.clone()]);
        let error = registry.delete(&permit, &seen).expect_err("another");
        assert!(matches!(error, Error::OtherVersion(_)), "{error:?}");
    }
    // The first answer again has the first version.
    let again = registry.create(&permit(), keyed()).expect("answered");
    assert!(again.replayed);
    assert_eq!(again.version, first.version);
}

#[test]
fn a_known_key_is_answered_while_the_file_has_drifted() {
    let place = Place::new(CONFIG);
    let keyed = |registry: &registry::Registry, name: &str, request: &str| {
        let request = NewGraph {
            key: Some(key(name, request)),
            ..named("one")
        };
        registry.create(&permit(), request)
    };
    let registry = place.open();
    keyed(&registry, "k", "one").expect("created");
    // One whose process died before it had written the answer down.
    let dying = place.halting(Step::DigestRecorded);
    let two = NewGraph {
        key: Some(key("l", "two")),
        ..named("two")
    };
    dying.create(&permit(), two.clone()).expect_err("halted");
    let edited = format!("{}# by hand\n", place.text());
    fs::write(place.config(), &edited).expect("written");
    assert!(keyed(&registry, "k", "one").expect("answered").replayed);
    let answered = registry.create(&permit(), two).expect("answered");
    assert!(answered.replayed);
    let error = keyed(&registry, "k", "other").expect_err("another request");
    assert!(matches!(error, Error::KeyReused), "{error:?}");
    let error = keyed(&registry, "new", "one").expect_err("not known");
    assert!(matches!(error, Error::ConfigDrift { .. }), "{error:?}");
    assert_eq!(place.text(), edited);
}

/// Of several deleted graphs of one id each can be had, in any order.
#[test]
fn each_deleted_graph_of_an_id_can_be_restored_or_purged() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    let mut folders = Vec::new();
    for _ in 0..3 {
        let made = registry.create(&permit(), named("one")).expect("created");
        folders.push(made.registration.uri.canonical().to_owned());
        delete(&registry, "one").expect("deleted");
    }
    let found = registry.deleted(&id("ONE")).expect("read");
    let places = |found: &[registry::DeletedGraph]| -> Vec<_> {
        found.iter().map(|it| it.record.folder.clone()).collect()
    };
    folders.reverse();
    assert_eq!(places(&found), folders, "the newest first");
    let oldest = &found[2];
    let permitted = permit_on_deleted(Action::GraphRestore, oldest);
    let back = registry.restore(&permitted, oldest).expect("restored");
    assert_eq!(back.uri.canonical(), folders[2]);
    let permitted = permit_on_deleted(Action::GraphDelete, &found[1]);
    registry.purge(&permitted, &found[1]).expect("purged");
    let there: Vec<_> = folders.iter().map(|folder| Path::exists(folder)).collect();
    assert_eq!(there, [true, false, true]);
    let left = registry.deleted(&id("one")).expect("read");
    assert_eq!(places(&left), folders[..2], "that which is gone comes last");
    let permitted = permit_on_deleted(Action::GraphDelete, &left[1]);
    let error = registry.purge(&permitted, &left[1]).expect_err("gone");
    assert!(matches!(error, Error::Purged(_)), "{error:?}");
}
