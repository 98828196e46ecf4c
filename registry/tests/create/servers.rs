//! Two servers on one config file.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use registry::config::Drift;
use registry::{Error, Options, Registry};

use crate::place::{CONFIG, Place, at, id, named, permit};

#[test]
fn a_create_by_one_server_is_adopted_by_the_other() {
    let place = Place::new(CONFIG);
    let (one, two) = (place.open(), place.open());
    one.create(&permit(), named("beta")).expect("created");
    assert!(two.get(&id("beta")).is_none());
    // What was just read counts, not what is served.
    let error = two.create(&permit(), named("BETA")).expect_err("taken");
    assert!(matches!(error, Error::GraphExists(_)), "{error}");
    assert!(two.get(&id("beta")).is_some(), "adopted on the way");
    two.create(&permit(), named("gamma")).expect("created");
    let error = one
        .create(&permit(), at("delta", "../data/gamma"))
        .expect_err("taken");
    assert!(matches!(error, Error::UriInUse { .. }), "{error}");
    two.create(&permit(), named("epsilon")).expect("created");
    assert_eq!(one.refresh().expect("read"), Drift::AdoptedFromPeer);
    assert_eq!(one.snapshot().graphs, two.snapshot().graphs);
    assert_eq!(one.refresh().expect("read"), Drift::Same);
}

#[test]
fn many_at_once_through_two_servers() {
    let place = Place::new(CONFIG);
    let servers = [place.open(), place.open()];
    let created = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (servers, created) = (&servers, &created);
            scope.spawn(move || {
                for number in 0..6 {
                    // Every id is asked for by two threads.
                    let name = format!("g-{}-{number}", thread / 2);
                    match servers[thread % 2].create(&permit(), named(&name)) {
                        Ok(_) => created.fetch_add(1, Ordering::Relaxed),
                        Err(Error::GraphExists(_)) => 0,
                        Err(error) => panic!("{error:?}"),
                    };
                }
            });
        }
    });
    assert_eq!(created.load(Ordering::Relaxed), 24);
    for server in &servers {
        server.refresh().expect("read");
        assert_eq!(server.snapshot().graphs.len(), 25);
    }
    assert_eq!(
        fs::read_dir(place.base.join("data"))
            .expect("listed")
            .count(),
        24
    );
}

#[test]
fn a_linked_config_stays_a_link_and_is_one_file() {
    let place = Place::new(CONFIG);
    let link = place.base.join("link.yaml");
    symlink("config/trellis.yaml", &link).expect("linked");
    let linked = Registry::open(&link, Options::default()).expect("opened");
    let direct = place.open();
    linked.create(&permit(), named("beta")).expect("created");
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert!(place.text().contains("beta:"));
    assert!(
        place.base.join("data/beta").exists(),
        "paths start from the real file's folder"
    );
    assert_eq!(direct.refresh().expect("read"), Drift::AdoptedFromPeer);
    assert!(!place.base.join(".trellis").exists());
}

#[test]
fn a_held_lock_ends_in_a_bounded_time() {
    let place = Place::new(CONFIG);
    let options = Options {
        lock_patience: Duration::from_millis(50),
        ..Options::default()
    };
    let registry = Registry::open(&place.config(), options).expect("opened");
    let held = registry::config::lock::ConfigLock::acquire(
        &registry.file().state_folder(),
        Duration::ZERO,
    )
    .expect("free");
    let error = registry.create(&permit(), named("one")).expect_err("held");
    assert!(matches!(error, Error::LockTimeout { .. }), "{error}");
    drop(held);
    registry.create(&permit(), named("one")).expect("created");
}
