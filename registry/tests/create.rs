//! Creating graphs: all of it or nothing, whatever else happens to the file and the folders.

#![allow(clippy::panic, reason = "a test that fails says why")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use registry::config::Drift;
use registry::uri::UriError;
use registry::{Error, GraphId, NewGraph, Options, Registry, Step};
use uuid::Uuid;

const CONFIG: &str = "# the operator's own\nversion: 1\n\nserver:\n  storage: ../data   # here\n  allow_roots: [../data]\n\ngraphs:\n  # the first one\n  alpha:\n    uri: ../data/alpha\n\ngroups: {}   # nobody\n";

/// A folder with `config/trellis.yaml` and `data/`.
struct Place {
    base: PathBuf,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        fs::create_dir_all(base.join("config")).expect("created");
        fs::create_dir_all(base.join("data")).expect("created");
        fs::write(base.join("config/trellis.yaml"), config).expect("written");
        Self {
            base,
            _folder: folder,
        }
    }

    fn config(&self) -> PathBuf {
        self.base.join("config/trellis.yaml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.config()).expect("read")
    }

    fn open(&self) -> Registry {
        Registry::open(&self.config(), Options::default()).expect("opened")
    }

    fn halting(&self, at: Step) -> Registry {
        let options = Options {
            fault_hook: Some(Arc::new(move |step| step == at)),
            ..Options::default()
        };
        Registry::open(&self.config(), options).expect("opened")
    }

    /// Every path below data/, and every path below config/ that is not the lock.
    fn listing(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for item in fs::read_dir(folder).expect("listed") {
                let path = item.expect("listed").path();
                if path.is_dir() && !path.is_symlink() {
                    walk(&path, found);
                }
                found.push(path);
            }
        }
        let mut found = Vec::new();
        walk(&self.base, &mut found);
        let state = self.base.join("config/.trellis");
        found.retain(|path| {
            *path != state
                && *path != state.join("config.lock")
                && *path != state.join("last-write")
                && *path != state.join("intents")
        });
        found.sort();
        found
    }
}

fn id(text: &str) -> GraphId {
    GraphId::parse(text).expect("a valid id")
}

fn at(graph_id: &str, uri: &str) -> NewGraph {
    NewGraph {
        uri: Some(uri.to_owned()),
        ..NewGraph::named(id(graph_id))
    }
}

/// An engine that leaves a graph as the real one does: its identity first, then more.
fn initialise(folder: &Path, uuid: Uuid) -> io::Result<()> {
    fs::write(
        folder.join("graph.json"),
        format!("{{\"format\":1,\"uuid\":\"{uuid}\"}}"),
    )?;
    fs::create_dir(folder.join("log"))?;
    fs::write(folder.join("log/1.seg"), "log")
}

#[test]
fn two_in_a_row_keep_everything_else() {
    let place = Place::new(CONFIG);
    fs::set_permissions(place.config(), fs::Permissions::from_mode(0o640)).expect("set");
    let registry = place.open();
    let full = NewGraph {
        uri: Some("../data/deep/er/beta".into()),
        tenant: Some("acme".into()),
        labels: BTreeMap::from([("env".into(), "prod".into())]),
        ..NewGraph::named(id("Beta"))
    };
    let beta = registry.create(full, initialise).expect("created");
    let gamma = registry
        .create(NewGraph::named(id("gamma")), initialise)
        .expect("created");
    assert_eq!(beta.uri.canonical(), place.base.join("data/deep/er/beta"));
    assert_eq!(gamma.uri.written(), "../data/gamma");
    let expect = CONFIG.replace(
        "    uri: ../data/alpha\n",
        "    uri: ../data/alpha\n  Beta:\n    uri: ../data/deep/er/beta\n    tenant: acme\n    labels: { env: prod }\n  gamma:\n    uri: ../data/gamma\n",
    );
    assert_eq!(place.text(), expect);
    assert_eq!(
        fs::metadata(place.config())
            .expect("there")
            .permissions()
            .mode()
            & 0o777,
        0o640
    );
    assert_eq!(registry.drift().expect("read").0, Drift::Same);
    let snapshot = registry.snapshot();
    let listed: Vec<&str> = snapshot
        .list(None)
        .map(|graph| graph.graph_id.as_str())
        .collect();
    assert_eq!(listed, ["alpha", "Beta", "gamma"]);
    let after: Vec<&str> = snapshot
        .list(Some(&id("BETA")))
        .map(|graph| graph.graph_id.as_str())
        .collect();
    assert_eq!(after, ["gamma"]);
    assert_eq!(registry.get(&id("GAMMA")).expect("found").position, 2);
    // A restart sees the very same.
    let again = place.open();
    assert_eq!(again.snapshot().graphs, snapshot.graphs);
    assert!(
        registry::intent::pending(registry.file())
            .expect("listed")
            .is_empty()
    );
}

#[test]
fn duplicates_and_bad_places_change_nothing() {
    let place = Place::new(CONFIG);
    fs::create_dir_all(place.base.join("data/alpha")).expect("created");
    fs::create_dir_all(place.base.join("data/full")).expect("created");
    fs::write(place.base.join("data/full/mine.txt"), "mine").expect("written");
    fs::write(place.base.join("data/file"), "a file").expect("written");
    fs::create_dir_all(place.base.join("outside")).expect("created");
    symlink(place.base.join("data/alpha"), place.base.join("data/link")).expect("linked");
    symlink(place.base.join("outside"), place.base.join("data/escape")).expect("linked");
    let registry = place.open();
    let before = place.listing();
    type Check = fn(&Error) -> bool;
    let cases: [(NewGraph, Check); 18] = [
        (
            NewGraph::named(id("ALPHA")),
            |e| matches!(e, Error::GraphExists(by) if by.as_str() == "alpha"),
        ),
        (at("b", "../data/alpha/"), |e| {
            matches!(e, Error::UriInUse { .. })
        }),
        (at("b", "../data/x/../alpha"), |e| {
            matches!(e, Error::UriInUse { .. })
        }),
        (at("b", "../data/link"), |e| {
            matches!(e, Error::UriInUse { .. })
        }),
        (at("b", "../data/alpha/inner"), |e| {
            matches!(e, Error::InvalidUri(UriError::Overlaps { .. }))
        }),
        (at("b", ""), |e| {
            matches!(e, Error::InvalidUri(UriError::Empty))
        }),
        (at("b", "s3://x/y"), |e| {
            matches!(e, Error::InvalidUri(UriError::UnsupportedScheme { .. }))
        }),
        (at("b", "../data"), |e| {
            matches!(e, Error::InvalidUri(UriError::OutsideRoots { .. }))
        }),
        (at("b", "../data/escape/b"), |e| {
            matches!(e, Error::InvalidUri(UriError::OutsideRoots { .. }))
        }),
        (at("b", "/etc/b"), |e| {
            matches!(e, Error::InvalidUri(UriError::OutsideRoots { .. }))
        }),
        (at("b", "."), |e| {
            matches!(e, Error::InvalidUri(UriError::OutsideRoots { .. }))
        }),
        (at("b", "../data/full"), |e| {
            matches!(e, Error::UriNotEmpty { .. })
        }),
        (at("b", "../data/file"), |e| {
            matches!(e, Error::InvalidUri(UriError::NotAFolder { .. }))
        }),
        (
            NewGraph {
                policy_file: Some("/etc/passwd".into()),
                ..at("b", "../data/b")
            },
            |e| matches!(e, Error::InvalidPolicyFile { .. }),
        ),
        (
            NewGraph {
                policy_file: Some("../data/none".into()),
                ..at("b", "../data/b")
            },
            |e| matches!(e, Error::InvalidPolicyFile { .. }),
        ),
        (
            NewGraph {
                policy_file: Some("../data/full".into()),
                ..at("b", "../data/b")
            },
            |e| matches!(e, Error::InvalidPolicyFile { .. }),
        ),
        (
            NewGraph {
                tenant: Some(" ".into()),
                ..at("b", "../data/b")
            },
            |e| matches!(e, Error::InvalidText { .. }),
        ),
        (
            NewGraph {
                labels: BTreeMap::from([("<<".into(), "x".into())]),
                ..at("b", "../data/b")
            },
            |e| matches!(e, Error::InvalidText { .. }),
        ),
    ];
    for (request, is_expected) in cases {
        let error = registry
            .create(request.clone(), |_, _| -> io::Result<()> {
                panic!("must not be reached")
            })
            .expect_err("refused");
        assert!(is_expected(&error), "{request:?}: {error:?}");
        assert_eq!(place.text(), CONFIG);
        assert_eq!(place.listing(), before, "{request:?}");
    }
}

#[test]
fn a_file_edited_by_hand_is_drift_and_stays() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    registry
        .create(NewGraph::named(id("one")), initialise)
        .expect("created");
    let edited = format!("{}# by hand\n", place.text());
    fs::write(place.config(), &edited).expect("written");
    let error = registry
        .create(NewGraph::named(id("two")), initialise)
        .expect_err("drift");
    assert!(matches!(error, Error::ConfigDrift { .. }), "{error}");
    assert_eq!(place.text(), edited);
    assert!(!place.base.join("data/two").exists());
    assert_eq!(registry.refresh().expect("read"), Drift::Drifted);
    // Putting an earlier version back by hand is drift as well.
    fs::write(place.config(), CONFIG).expect("written");
    assert_eq!(registry.refresh().expect("read"), Drift::Drifted);
    assert!(registry.get(&id("one")).is_some());
    // A reload takes it, or refuses with every problem and keeps the old version.
    fs::write(place.config(), format!("{edited}tenants: x\nserver2: y\n")).expect("written");
    match registry.reload().expect_err("unsound") {
        Error::InvalidConfig { problems, .. } => assert_eq!(problems.len(), 2, "{problems:?}"),
        other => panic!("{other}"),
    }
    fs::write(place.config(), &edited).expect("written");
    registry.reload().expect("sound");
    registry
        .create(NewGraph::named(id("two")), initialise)
        .expect("created");
}

#[test]
fn an_editor_that_saves_during_the_create_wins() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    let path = place.config();
    let error = registry
        .create(NewGraph::named(id("one")), |folder, uuid| {
            fs::write(&path, "version: 1 # saved meanwhile\n")?;
            initialise(folder, uuid)
        })
        .expect_err("drift");
    assert!(matches!(error, Error::ConfigDrift { .. }), "{error}");
    assert_eq!(place.text(), "version: 1 # saved meanwhile\n");
    assert!(!place.base.join("data/one").exists());
    assert!(
        registry::intent::pending(registry.file())
            .expect("listed")
            .is_empty()
    );
}

#[test]
fn a_failing_engine_leaves_nothing() {
    let place = Place::new(CONFIG);
    let registry = place.open();
    fs::create_dir(place.base.join("data/empty")).expect("created");
    let before = place.listing();
    let fail = |message: &'static str| io::Error::other(message);
    let error = registry
        .create(at("one", "../data/some/where/one"), |folder, _| {
            fs::write(folder.join("half"), "half")?;
            Err(fail("the disk is full"))
        })
        .expect_err("fails");
    match error {
        Error::Storage { source, .. } => assert_eq!(source.to_string(), "the disk is full"),
        other => panic!("{other}"),
    }
    assert_eq!(place.listing(), before);
    // A folder that was there before stays; what carries the attempt's uuid goes.
    registry
        .create(at("two", "../data/empty"), |folder, uuid| {
            initialise(folder, uuid)?;
            Err(fail("late"))
        })
        .expect_err("fails");
    assert_eq!(place.listing(), before);
    // An engine that leaves no mark is refused.
    let error = registry.create(at("three", "../data/three"), |_, _| Ok::<_, io::Error>(()));
    assert!(matches!(error, Err(Error::Storage { .. })));
    assert_eq!(place.listing(), before);
    assert_eq!(place.text(), CONFIG);
    registry
        .create(at("two", "../data/empty"), initialise)
        .expect("the folder is usable");
}

/// A crash after each effect, found by a restart or by the next create of another server.
#[test]
fn a_crash_at_any_step_leaves_the_graph_whole_or_absent() {
    for step in Step::ALL {
        for restart in [true, false] {
            let place = Place::new(CONFIG);
            let other = place.open();
            let crashing = place.halting(step);
            let before = place.listing();
            let request = at("one", "../data/new/one");
            let error = crashing.create(request, initialise).expect_err("halted");
            assert!(
                matches!(error, Error::Halted(found) if found == step),
                "{error}"
            );
            drop(crashing);
            let settled = if restart { place.open() } else { other };
            settled
                .create(NewGraph::named(id("two")), initialise)
                .expect("created");
            let replaced = matches!(
                step,
                Step::ConfigReplaced | Step::DigestRecorded | Step::Published | Step::IntentEnded
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
            // The id and the place can be used again when the graph is absent.
            if !replaced {
                settled
                    .create(at("one", "../data/new/one"), initialise)
                    .expect("created");
            }
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
            .create(NewGraph::named(id("one")), initialise)
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
            .create(NewGraph::named(id("one")), initialise)
            .expect("created");
        let name = again
            .uri
            .written()
            .strip_prefix("../data/one-")
            .expect("a mark")
            .to_owned();
        assert_eq!(name.len(), 8);
    }
    // A folder that the operator has since declared under another id is theirs.
    let place = Place::new(CONFIG);
    place
        .halting(Step::StorageInitialised)
        .create(NewGraph::named(id("one")), initialise)
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
        .create(NewGraph::named(id("one")), initialise)
        .expect_err("halted");
    fs::write(place.config(), "version: [1\n").expect("written");
    Registry::open(&place.config(), Options::default()).expect_err("unsound");
    assert!(place.base.join("data/one/graph.json").exists());
}

#[test]
fn a_create_by_one_server_is_adopted_by_the_other() {
    let place = Place::new(CONFIG);
    let (one, two) = (place.open(), place.open());
    one.create(NewGraph::named(id("beta")), initialise)
        .expect("created");
    assert!(two.get(&id("beta")).is_none());
    // What was just read counts, not what is served.
    let error = two
        .create(NewGraph::named(id("BETA")), initialise)
        .expect_err("taken");
    assert!(matches!(error, Error::GraphExists(_)), "{error}");
    assert!(two.get(&id("beta")).is_some(), "adopted on the way");
    two.create(NewGraph::named(id("gamma")), initialise)
        .expect("created");
    let error = one
        .create(at("delta", "../data/gamma"), initialise)
        .expect_err("taken");
    assert!(matches!(error, Error::UriInUse { .. }), "{error}");
    two.create(NewGraph::named(id("epsilon")), initialise)
        .expect("created");
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
                    match servers[thread % 2].create(NewGraph::named(id(&name)), initialise) {
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
    linked
        .create(NewGraph::named(id("beta")), initialise)
        .expect("created");
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
    let error = registry
        .create(NewGraph::named(id("one")), initialise)
        .expect_err("held");
    assert!(matches!(error, Error::LockTimeout { .. }), "{error}");
    drop(held);
    registry
        .create(NewGraph::named(id("one")), initialise)
        .expect("created");
}

#[test]
fn a_config_that_cannot_be_edited_or_written_is_refused_before_any_effect() {
    let place =
        Place::new("version: 1\nserver: { storage: ../data }\n? graphs\n: a: { uri: ../data/a }\n");
    let registry = place.open();
    let before = (place.text(), place.listing());
    let error = registry
        .create(NewGraph::named(id("one")), initialise)
        .expect_err("refused");
    assert!(matches!(error, Error::Edit(_)), "{error}");
    assert_eq!((place.text(), place.listing()), before);

    let place = Place::new(CONFIG);
    let registry = place.open();
    fs::set_permissions(place.config(), fs::Permissions::from_mode(0o444)).expect("set");
    let before = place.listing();
    let error = registry
        .create(NewGraph::named(id("one")), initialise)
        .expect_err("read-only");
    assert!(matches!(error, Error::Io(_)), "{error}");
    assert_eq!(place.listing(), before);
    assert_eq!(place.text(), CONFIG);
}

#[test]
fn no_storage_and_no_uri_is_said() {
    let place = Place::new("version: 1\n");
    let error = place
        .open()
        .create(NewGraph::named(id("one")), initialise)
        .expect_err("nowhere");
    assert!(
        matches!(error, Error::InvalidUri(UriError::NoStorage)),
        "{error}"
    );
}

/// The figures of issue 4 leave 400 ms for a create and 3 s for a start in a release build; the
/// bounds here are only there to catch a cost that grows with the square.
#[test]
fn ten_thousand_registered_graphs() {
    let mut text = String::from("version: 1\nserver: { storage: ../data }\ngraphs:\n");
    for number in 0..10_000 {
        text.push_str(&format!(
            "  g{number}:  # graph {number}\n    uri: ../data/g{number}\n"
        ));
    }
    let place = Place::new(&text);
    let started = std::time::Instant::now();
    let registry = place.open();
    let opened = started.elapsed();
    registry
        .create(NewGraph::named(id("first")), initialise)
        .expect("created");
    let started = std::time::Instant::now();
    registry
        .create(NewGraph::named(id("second")), initialise)
        .expect("created");
    let created = started.elapsed();
    eprintln!("with 10,000 graphs: open {opened:?}, create {created:?}");
    assert!(opened < Duration::from_secs(10), "{opened:?}");
    assert!(created < Duration::from_secs(5), "{created:?}");
    let expect = "  first:\n    uri: ../data/first\n  second:\n    uri: ../data/second\n";
    assert_eq!(place.text(), format!("{text}{expect}"));
}
