//! A disk that refuses, at each operation of each change: a full one, a broken one, one that may not be
//! written, and a file system without locks.
#![cfg(debug_assertions)]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use registry::config::Drift;
use registry::config::lock::ConfigLock;
use registry::{Error, Fault, FaultKind, Options, Registry, Reload, with_causes};

use crate::life::{delete, opens, purge, with_one};
use crate::operations::{OPERATIONS, Operation, whole_or_absent};
use crate::place::{CONFIG, Place, id, named, permit};

const EIO: i32 = 5;
const EACCES: i32 = 13;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
const ENOLCK: i32 = 37;
const EOPNOTSUPP: i32 = 95;

/// Full: nothing can be written, and what is there can be removed.
fn full(passing: u64) -> Fault {
    Fault {
        kinds: vec![FaultKind::Write],
        passing,
        failing: u64::MAX,
        errno: ENOSPC,
    }
}

/// One operation fails, and the next ones pass.
fn broken_once(passing: u64) -> Fault {
    Fault {
        kinds: vec![FaultKind::Write, FaultKind::Remove],
        passing,
        failing: 1,
        errno: EIO,
    }
}

/// Everything is refused from then on.
fn unwritable(passing: u64) -> Fault {
    Fault {
        kinds: vec![FaultKind::Write, FaultKind::Remove],
        passing,
        failing: u64::MAX,
        errno: EACCES,
    }
}

/// The change with the fault; says whether anything failed.
fn refused_at(operation: &Operation, fault: Fault) -> bool {
    let what = format!("{} {fault:?}", operation.name);
    let place = operation.place();
    let registry = place.open();
    operation.edit(&place);
    let (before, served) = (place.text(), registry.snapshot());
    fault.arrange();
    let done = (operation.run)(&registry);
    let has_failed = Fault::lift();
    let text = place.text();
    match done {
        // What was left out was not needed: an intent that could not be ended, say.
        Ok(()) => {}
        Err(Error::Unfinished(_)) => assert_ne!(text, before, "{what}"),
        // A purge that has begun goes on by itself.
        Err(Error::Io(_) | Error::Lock(_)) => {
            assert!(has_failed, "{what}");
            assert_eq!(text, before, "{what}");
            assert_eq!(registry.snapshot().graphs, served.graphs, "{what}");
        }
        Err(error) => panic!("{what}: {error:?}"),
    }
    // The disk is well again, and nothing has to be started anew.
    operation.follow(&registry);
    registry
        .create(&permit(), named("two"))
        .unwrap_or_else(|error| panic!("{what}: {}", with_causes(&error)));
    registry.clean().expect("goes on with a purge");
    whole_or_absent(&place, &registry, &what);
    let strays: Vec<_> = place.listing();
    let strays: Vec<_> = strays
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "tmp"))
        .collect();
    assert!(strays.is_empty(), "{what}: {strays:?}");
    has_failed
}

fn refused_everywhere(make: fn(u64) -> Fault) {
    for operation in &OPERATIONS {
        let met = (0..).take_while(|passing| refused_at(operation, make(*passing)));
        let least = if operation.name == "reload" { 1 } else { 8 };
        let met = met.count();
        assert!(met >= least, "{}: only {met}", operation.name);
    }
}

#[test]
fn a_full_disk_leaves_one_of_two_states() {
    refused_everywhere(full);
}

#[test]
fn a_failing_operation_leaves_one_of_two_states() {
    refused_everywhere(broken_once);
}

#[test]
fn a_disk_that_is_not_to_be_written_leaves_one_of_two_states() {
    refused_everywhere(unwritable);
}

/// A purge that cannot be written down, or not gone on with, keeps no new graph of that id from being made
/// and opened.
#[test]
fn a_purge_that_a_full_disk_stops_spoils_no_new_graph() {
    let mut stopped = 0;
    for passing in 0.. {
        for fault in [full(passing), broken_once(passing)] {
            let what = format!("{fault:?}");
            let place = Place::new(CONFIG);
            let registry = with_one(&place);
            delete(&registry, "one").expect("deleted");
            fault.arrange();
            let purged = purge(&registry, "one");
            let _ = Fault::lift();
            stopped += usize::from(purged.is_err());
            for registry in [registry, place.open()] {
                registry.create(&permit(), named("one")).expect(&what);
                opens(&registry, "one").unwrap_or_else(|error| panic!("{what}: {error}"));
                registry.clean().expect("gone on with");
                opens(&registry, "one").unwrap_or_else(|error| panic!("{what}: {error}"));
                delete(&registry, "one").expect("deleted");
            }
            if purged.is_ok() {
                assert!(stopped > 8, "{stopped}");
                return;
            }
        }
    }
}

/// A config that is mounted read-only, or in somebody else's folder, can be served and not changed.
#[test]
fn a_folder_that_is_not_to_be_written_is_served() {
    for errno in [EROFS, EACCES] {
        let place = Place::new(CONFIG);
        let before = place.listing();
        let fault = Fault {
            errno,
            ..unwritable(0)
        };
        fault.arrange();
        let registry = place.open();
        let error = registry
            .create(&permit(), named("one"))
            .expect_err("refused");
        assert!(Fault::lift());
        assert!(registry.get(&id("alpha")).is_some());
        assert!(matches!(error, Error::Lock(_)), "{error:?}");
        assert_eq!((place.text().as_str(), place.listing()), (CONFIG, before));
        registry.create(&permit(), named("one")).expect("created");
    }
}

#[test]
fn a_file_system_without_flock_is_refused_with_the_reason() {
    for errno in [ENOLCK, EOPNOTSUPP] {
        let fault = || Fault {
            kinds: vec![FaultKind::Lock],
            passing: 0,
            failing: u64::MAX,
            errno,
        };
        let place = Place::new(CONFIG);
        fault().arrange();
        let opened = Registry::open(&place.config(), Options::default());
        assert!(Fault::lift());
        let told = with_causes(&opened.expect_err("no locks"));
        assert!(told.contains("has no flock"), "{told}");
        assert!(
            told.contains("keep the config file where there is one"),
            "{told}"
        );
        let registry = place.open();
        fault().arrange();
        let created = registry.create(&permit(), named("one"));
        assert!(Fault::lift());
        let told = with_causes(&created.expect_err("no locks"));
        assert!(told.contains("has no flock"), "{told}");
        assert_eq!(place.text(), CONFIG);
    }
}

/// The kernel gives back what a dead process held, though its id still stands in the file.
#[test]
fn a_lock_of_a_dead_process_is_free_at_once() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    let state = registry.file().state_folder();
    let lock = state.join("config.lock");
    let mut holder = Command::new("flock")
        .arg(&lock)
        .args(["sh", "-c", "echo $$ > \"$0\"; echo held; exec sleep 600"])
        .arg(&lock)
        .stdout(Stdio::piped())
        .spawn()
        .expect("flock of util-linux");
    let mut said = [0; 4];
    let output = holder.stdout.as_mut().expect("piped");
    std::io::Read::read_exact(output, &mut said).expect("it holds the lock");
    let error = ConfigLock::acquire(&state, Duration::from_millis(30)).expect_err("held");
    assert!(error.to_string().contains("by process"), "{error}");
    // The lock belongs to the file that the child has too.
    let held_by: i32 = fs::read_to_string(&lock)
        .expect("read")
        .trim()
        .parse()
        .expect("an id");
    let pid = rustix::process::Pid::from_raw(held_by).expect("an id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("ours");
    holder.wait().expect("it ends with its child");
    let begun = Instant::now();
    registry.create(&permit(), named("one")).expect("created");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// A link that leads elsewhere while the server runs is said, and neither file is changed.
#[test]
fn a_link_to_the_config_that_is_moved_is_noticed() {
    let place = Place::new(CONFIG);
    let link = place.base.join("link.yaml");
    symlink("config/trellis.yaml", &link).expect("linked");
    let registry = Registry::open(&link, Options::default()).expect("opened");
    let other = place.base.join("other.yaml");
    fs::write(&other, "version: 1\n").expect("written");
    fs::remove_file(&link).expect("removed");
    symlink(&other, &link).expect("linked");
    for error in [
        registry.create(&permit(), named("one")).expect_err("moved"),
        registry.reload(Reload::Apply).expect_err("moved"),
    ] {
        let told = with_causes(&error);
        assert!(told.contains("the link now leads to"), "{told}");
    }
    assert_eq!(place.text(), CONFIG);
    assert_eq!(fs::read_to_string(&other).expect("read"), "version: 1\n");
    assert!(!place.base.join("data/one").exists());
    // Back again, it is the same file.
    fs::remove_file(&link).expect("removed");
    symlink("config/trellis.yaml", &link).expect("linked");
    assert_eq!(registry.refresh().expect("read"), Drift::Same);
    registry.create(&permit(), named("one")).expect("created");
}

/// One deadline for the turn in this process and the lock, whoever waits before.
#[test]
fn each_of_several_callers_waits_no_longer_than_it_has_patience() {
    let place = Place::new(CONFIG);
    let patience = Duration::from_millis(400);
    let options = Options {
        lock_patience: patience,
        ..Options::default()
    };
    let registry = Registry::open(&place.config(), options).expect("sound");
    let state = place.base.join("config/.trellis");
    let _held = ConfigLock::acquire(&state, Duration::ZERO).expect("free");
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|number| {
                let registry = &registry;
                scope.spawn(move || {
                    let begun = Instant::now();
                    let made = registry.create(&permit(), named(&format!("g{number}")));
                    (made, begun.elapsed())
                })
            })
            .collect();
        for caller in callers {
            let (made, waited) = caller.join().expect("no panic");
            let error = made.expect_err("held");
            assert!(matches!(error, Error::LockTimeout { .. }), "{error}");
            assert!(
                waited >= patience && waited < 2 * patience,
                "it waited for {waited:?}"
            );
        }
    });
}
