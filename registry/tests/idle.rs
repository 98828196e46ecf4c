//! Which graphs stay open: never one in use closes, and every call finds its graph.

#![allow(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that fails says why, and makes the files that people leave"
)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use language::schema::Schema;
use language::value::Value;
use policy::{Action, Authorizer, Context, Permit, Principal, Resource};
use registry::{GraphId, NewGraph, Options, Registry, Standing};
use storage_engine::{Transaction, Work, WriteError, WriteRequest};

struct Place {
    registry: Registry,
    authorizer: Authorizer,
    folder: tempfile::TempDir,
}

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

impl Place {
    /// With three graphs; `open_graphs` as the file has it.
    fn new(open_graphs: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = Self {
            registry: Self::registry(folder.path(), open_graphs),
            authorizer: Authorizer::unauthenticated(),
            folder,
        };
        for name in NAMES {
            let schema = Schema::parse("node P { k: I64 @key }").expect("sound");
            let permit = place.permit_to(Action::GraphCreate, Resource::Server);
            let new = NewGraph::new(id(name), schema);
            place.registry.create(&permit, new).expect("created");
        }
        place
    }

    /// Makes a graph whose nodes have so many bytes of text together, which a fold puts into a table.
    fn make_long(&self, name: &str, bytes: usize) {
        const NODES: usize = 50;
        let schema = Schema::parse("node P { k: I64 @key, t: String }").expect("sound");
        let permit = self.permit_to(Action::GraphCreate, Resource::Server);
        let new = NewGraph::new(id(name), schema);
        self.registry.create(&permit, new).expect("created");
        let rows = (0..NODES).map(|k| {
            let text = "x".repeat(bytes / NODES);
            vec![(k as i64).into(), text.as_str().into()]
        });
        self.add(&self.registry, name, rows.collect());
    }

    fn registry(folder: &std::path::Path, open_graphs: &str) -> Registry {
        let config = folder.join("trellis.yaml");
        if !config.exists() {
            let text =
                format!("version: 1\nserver: {{ storage: data, open_graphs: {open_graphs} }}\n");
            fs::write(&config, text).expect("written");
        }
        let options = Options {
            storage: storage_engine::Options {
                fold_rows: 50,
                ..storage_engine::Options::default()
            },
            ..Options::default()
        };
        Registry::open(&config, options).expect("sound")
    }

    fn permit_to(&self, action: Action, resource: Resource) -> Permit {
        let anyone = Arc::new(Principal::anonymous());
        self.authorizer
            .decide(&anyone, action, &resource, &Context::now())
            .expect("everything is permitted")
    }

    fn permit(&self, action: Action, name: &str) -> Permit {
        self.permit_in(&self.registry, action, name)
    }

    fn permit_in(&self, registry: &Registry, action: Action, name: &str) -> Permit {
        let graph = registry.get(&id(name)).expect("registered");
        self.permit_to(action, Resource::Graph(graph.reference().clone()))
    }

    fn is_open(&self, name: &str) -> bool {
        is_open(&self.registry, name)
    }

    fn read(&self, name: &str) -> registry::Reader {
        let permit = self.permit(Action::Query, name);
        self.registry.reader(&permit).expect("it opens")
    }

    /// Adds the node `k`.
    fn write(&self, name: &str, k: i64) {
        self.write_to(&self.registry, name, k);
    }

    fn write_to(&self, registry: &Registry, name: &str, k: i64) {
        self.add(registry, name, vec![vec![k.into()]]);
    }

    /// Has the registry make room until its graphs take no more than this, which must come; folds run beside.
    fn tended_to(&self, limit: u64) -> registry::Tally {
        for _ in 0..500 {
            self.registry.tend();
            if self.registry.tally().memory_bytes <= limit {
                break;
            }
            thread::sleep(std::time::Duration::from_millis(20));
        }
        let tally = self.registry.tally();
        assert!(tally.memory_bytes <= limit, "{tally:?}");
        tally
    }

    /// Adds nodes of the graph's first type in one commit, each with the first properties of that.
    fn add(&self, registry: &Registry, name: &str, rows: Vec<Vec<Value>>) {
        let permit = self.permit_in(registry, Action::Mutate, name);
        let writer = registry.writer(&permit).expect("it opens");
        let node = writer.schema().node_types[0].clone();
        let steps = self
            .authorizer
            .authorize_types(&permit, (), &[])
            .expect("everything is permitted");
        let work = |_| {
            Work::inside(move |transaction: &mut Transaction| {
                for row in rows {
                    let properties = node.properties.iter().map(|property| property.id);
                    transaction.create_node(node.id, properties.zip(row).collect())?;
                }
                Ok::<_, WriteError>(String::new())
            })
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let written = runtime.block_on(writer.submit(steps, WriteRequest::by("x"), None, work));
        written.expect("written");
    }

    fn count(&self, name: &str) -> u64 {
        let permit = self.permit(Action::GraphShow, name);
        let reader = self.registry.reader(&permit).expect("it opens");
        let touch = policy::TypeTouch {
            kind: policy::TypeKind::Node,
            name: "P",
            write: false,
        };
        let readable = self.authorizer.allowed_types(&permit, [touch]);
        reader.counts(&readable).expect("decided").0["P"]
    }
}

fn is_open(registry: &Registry, name: &str) -> bool {
    let graph = registry.get(&id(name)).expect("registered");
    registry.standing(&graph) == Standing::Open
}

fn id(text: &str) -> GraphId {
    GraphId::parse(text).expect("a valid id")
}

#[test]
fn a_graph_that_nobody_uses_is_closed_and_opens_again() {
    let place = Place::new("{ idle: 0 }");
    place.write("alpha", 1);
    let reader = place.read("alpha");
    place.registry.tend();
    assert!(place.is_open("alpha"), "somebody reads it");
    assert_eq!(place.registry.tally().open, 1);
    assert!(place.registry.tally().memory_bytes > 0);
    drop(reader);
    place.registry.tend();
    assert!(!place.is_open("alpha"));
    assert_eq!(place.registry.tally().open, 0);
    assert_eq!(place.registry.tally().memory_bytes, 0);
    place.write("alpha", 2);
    assert_eq!(place.count("alpha"), 2);

    // Its lock is free while it is closed, so that another process may write it; then it is read
    // along here, and closed again when nobody does.
    place.registry.tend();
    let other = Place::registry(place.folder.path(), "");
    place.write_to(&other, "alpha", 3);
    assert_eq!(place.count("alpha"), 3);
    assert!(place.is_open("alpha"));
    place.registry.tend();
    assert!(!place.is_open("alpha"));
    other.tend();
    assert!(!is_open(&other, "alpha"));
    place.write("alpha", 4);
    assert_eq!(place.count("alpha"), 4);
}

#[test]
fn a_graph_stays_open_for_its_time() {
    let place = Place::new("{ idle: 1h }");
    place.read("alpha");
    place.registry.tend();
    assert!(place.is_open("alpha"));
    // A limit that is changed by hand holds from the reload on.
    let config = place.folder.path().join("trellis.yaml");
    let text = fs::read_to_string(&config).expect("read");
    fs::write(&config, text.replace("idle: 1h", "idle: 0")).expect("written");
    place
        .registry
        .reload(registry::Reload::Apply)
        .expect("sound");
    place.registry.tend();
    assert!(!place.is_open("alpha"));
}

#[test]
fn the_one_that_was_not_used_for_longest_makes_room() {
    for limit in ["count: 2", "memory_bytes: 300000"] {
        let place = Place::new(&format!("{{ {limit} }}"));
        let pause = || thread::sleep(std::time::Duration::from_millis(5));
        let open = || NAMES.map(|name| place.is_open(name));
        place.read("alpha");
        pause();
        place.read("beta");
        pause();
        assert_eq!(open(), [true, true, false], "{limit}");
        place.read("alpha");
        pause();
        place.read("gamma");
        assert_eq!(open(), [true, false, true], "{limit}");
        // Those in use stay, and what is too much goes as soon as it may.
        let (alpha, gamma) = (place.read("alpha"), place.read("gamma"));
        pause();
        let beta = place.read("beta");
        assert_eq!(open(), [true, true, true], "{limit}");
        drop((alpha, beta));
        pause();
        place.read("beta");
        place.registry.tend();
        assert_eq!(open(), [false, true, true], "{limit}");
        drop(gamma);
    }
}

#[test]
fn columns_of_graphs_in_use_make_room_and_what_cannot_leave_is_shown() {
    const LIMIT: u64 = 600_000;
    let place = Place::new("{ memory_bytes: 60000000 }");
    place.make_long("long", 800_000);
    place.make_long("longer", 1_600_000);
    let _in_use = (place.read("long"), place.read("longer"));
    let full = place.registry.tally();
    assert!(full.memory_bytes > 2_400_000, "{full:?}");
    let config = place.folder.path().join("trellis.yaml");
    let text = fs::read_to_string(&config).expect("read");
    fs::write(&config, text.replace("60000000", &LIMIT.to_string())).expect("written");
    place
        .registry
        .reload(registry::Reload::Apply)
        .expect("sound");
    let tally = place.tended_to(LIMIT);
    assert!(place.is_open("long") && place.is_open("longer"));
    assert!(tally.memory_fixed_bytes >= 2 * (128 << 10), "{tally:?}");
    assert!(tally.memory_fixed_bytes <= tally.memory_bytes, "{tally:?}");
}

/// Their rows are few, and so is their log, but not what they have in memory.
#[test]
fn the_heaviest_of_what_no_fold_has_written_makes_room() {
    const LIMIT: u64 = 3_000_000;
    let place = Place::new(&format!("{{ memory_bytes: {LIMIT} }}"));
    let schema = Schema::parse("node P { k: I64 @key, t: String }").expect("sound");
    for name in ["heavy", "light"] {
        let permit = place.permit_to(Action::GraphCreate, Resource::Server);
        let new = NewGraph::new(id(name), schema.clone());
        place.registry.create(&permit, new).expect("created");
    }
    let add = |name: &str, k: i64, bytes: usize| {
        let text = "x".repeat(bytes);
        place.add(
            &place.registry,
            name,
            vec![vec![k.into(), text.as_str().into()]],
        );
    };
    add("light", 1, 200_000);
    for k in 0..6 {
        add("heavy", k, 1_500_000);
    }
    let in_use = (place.read("heavy"), place.read("light"));
    let full = place.registry.tally();
    assert!(full.memory_fixed_bytes > 2 * LIMIT, "{full:?}");
    // The readers hold on to their snapshots, not to what the graphs have.
    place.tended_to(LIMIT);
    let folded = |reader: &registry::Reader| reader.status().expect("listed").checkpoint.is_some();
    assert!(folded(&in_use.0), "it was the heaviest");
    assert!(!folded(&in_use.1), "it was not worth it");
}

#[test]
fn calls_and_closings_at_once_lose_nothing() {
    const THREADS: u64 = 8;
    const STEPS: u64 = 25;
    let place = Place::new("{ idle: 0, count: 1 }");
    let written: [AtomicU64; 3] = Default::default();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let closing = scope.spawn(|| {
            let mut closed = 0;
            while !done.load(Ordering::Relaxed) {
                let before = place.registry.tally().open;
                place.registry.tend();
                closed += before.saturating_sub(place.registry.tally().open);
                thread::yield_now();
            }
            closed
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| {
                let (place, written) = (&place, &written);
                scope.spawn(move || {
                    for step in 0..STEPS {
                        let chosen = ((worker + step) % 3) as usize;
                        let known = written[chosen].load(Ordering::SeqCst);
                        if step % 2 == 0 {
                            place.write(NAMES[chosen], (worker * STEPS + step) as i64);
                            written[chosen].fetch_add(1, Ordering::SeqCst);
                        }
                        // What was acknowledged before is there, whoever closed and opened since.
                        assert!(place.count(NAMES[chosen]) >= known);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("no panic");
        }
        done.store(true, Ordering::Relaxed);
        assert!(closing.join().expect("no panic") > 0, "nothing was closed");
    });
    for (name, written) in NAMES.iter().zip(&written) {
        assert_eq!(place.count(name), written.load(Ordering::SeqCst), "{name}");
    }
    // And on the disk.
    place.registry.close();
    let again = Place::registry(place.folder.path(), "");
    for (name, written) in NAMES.iter().zip(&written) {
        let permit = place.permit_in(&again, Action::GraphShow, name);
        let head = again.reader(&permit).expect("it opens").head().sequence;
        assert_eq!(head, 1 + written.load(Ordering::SeqCst), "{name}");
    }
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// With `TRELLIS_LONG` there are a thousand.
#[test]
fn a_closed_graph_takes_next_to_nothing() {
    const ALLOWED_KIB: u64 = 50;
    let long = std::env::var_os("TRELLIS_LONG").is_some();
    let graphs = if long { 1_000 } else { 60 };
    let place = Place::new("{ idle: 0 }");
    let make = |name: &str| {
        let schema = Schema::parse("node P { k: I64 @key }").expect("sound");
        let permit = place.permit_to(Action::GraphCreate, Resource::Server);
        let new = NewGraph::new(id(name), schema);
        place.registry.create(&permit, new).expect("created");
        place.write(name, 1);
        place.registry.tend();
    };
    // What the first ones bring, stays for all.
    (0..20).for_each(|number| make(&format!("first-{number}")));
    let before = resident();
    (0..graphs).for_each(|number| make(&format!("more-{number}")));
    assert_eq!(place.registry.tally().open, 0);
    let each = resident().saturating_sub(before) / graphs;
    println!("a closed graph takes {each} KiB");
    assert!(each <= ALLOWED_KIB, "{each} KiB");
}
