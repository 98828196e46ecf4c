//! The openCypher TCK against the engine, on open graphs: `./dev tck`.
//!
//! Feature files are read from `TCK_DIR` (default `../shared/tck` beside the repository); without
//! that folder the test says so and counts as skipped. `tests/tck/expected` says of each known
//! scenario whether it passes; it only ratchets up: what passes must go on passing, and what passes
//! unexpectedly must be written down (`TRELLIS_BLESS=1`). Scenarios that it does not know count
//! and decide nothing. `TRELLIS_TCK_REPORT` names a file for the report; `TRELLIS_TCK_ONLY` is a
//! part of the path of the only files to run.

mod errors;
mod expected;
mod feature;
mod mutations;
mod scenario;
mod value;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use self::expected::Expected;
pub(super) use self::value::Shown;
pub(super) use self::world::World;

/// What came of one scenario: `None` is a pass.
type Outcome = Option<String>;

/// Scenarios by file (below `features/`) and key.
type Outcomes = BTreeMap<String, BTreeMap<String, Outcome>>;

fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match std::env::var_os("TCK_DIR") {
        // Relative to the repository's root, where `./dev` runs.
        Some(folder) => root.join(folder),
        None => root.join("../shared/tck"),
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "feature")
        {
            found.push(path);
        }
    }
    found.sort();
}

fn run_file(path: &Path, graphs: &Path) -> BTreeMap<String, Outcome> {
    let text = std::fs::read_to_string(path).expect("a feature file");
    let scenarios = feature::read(&text).into_iter();
    scenarios
        .map(|scenario| {
            let run = AssertUnwindSafe(|| scenario::run(&scenario, graphs));
            let problem = match catch_unwind(run) {
                Ok(result) => result.err(),
                Err(_) => Some("PANIC".to_owned()),
            };
            (
                scenario.key,
                problem.map(|problem| format!("{}: {problem}", scenario.name)),
            )
        })
        .collect()
}

/// Runs everything, file by file, on as many threads as there are cores.
fn run_all(root: &Path) -> Outcomes {
    let mut paths = Vec::new();
    files(&root.join("features"), &mut paths);
    if let Ok(part) = std::env::var("TRELLIS_TCK_ONLY") {
        paths.retain(|path| path.to_string_lossy().contains(&part));
    }
    let graphs = root.join("graphs");
    let next = std::sync::atomic::AtomicUsize::new(0);
    let outcomes = std::sync::Mutex::new(Outcomes::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let work = || {
                loop {
                    let place = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(path) = paths.get(place) else { return };
                    let found = run_file(path, &graphs);
                    let name = path.strip_prefix(root.join("features")).unwrap_or(path);
                    let name = name.to_string_lossy().into_owned();
                    outcomes
                        .lock()
                        .expect("no panic while locked")
                        .insert(name, found);
                }
            };
            std::thread::Builder::new()
                .stack_size(16 << 20)
                .spawn_scoped(scope, work)
                .expect("a thread");
        }
    });
    outcomes.into_inner().expect("no panic while locked")
}

/// The report: failures, then counts per folder, then the sum.
fn report(outcomes: &Outcomes) -> String {
    let mut text = String::new();
    let mut folders: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (file, scenarios) in outcomes {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let counts = folders.entry(folder).or_default();
        for (key, problem) in scenarios {
            match problem {
                None => counts.0 += 1,
                Some(problem) => {
                    counts.1 += 1;
                    let _ = writeln!(text, "FAIL {file} {key} {problem}");
                }
            }
        }
    }
    let (mut passed, mut failed) = (0, 0);
    for (folder, (good, bad)) in folders {
        let _ = writeln!(text, "{folder}: {good} passed, {bad} failed, 0 skipped");
        passed += good;
        failed += bad;
    }
    let _ = writeln!(text, "{passed} passed, {failed} failed, 0 skipped");
    text
}

fn publish(report: &str) {
    println!("{report}");
    if let Some(path) = std::env::var_os("TRELLIS_TCK_REPORT") {
        std::fs::write(path, report).expect("the report");
    }
}

#[test]
fn tck() {
    let root = folder();
    if !root.join("features").is_dir() {
        publish(&format!(
            "skipped: there is no TCK in {} (set TCK_DIR)\n0 passed, 0 failed, 1 skipped\n",
            root.display()
        ));
        return;
    }
    let outcomes = run_all(&root);
    publish(&report(&outcomes));
    let expected = Expected::read();
    if std::env::var_os("TRELLIS_BLESS").is_some() {
        expected.with(&outcomes).write();
        return;
    }
    let surprises = expected.surprises(&outcomes);
    assert!(
        surprises.is_empty(),
        "{} scenarios came out differently (TRELLIS_BLESS=1 writes down what passes now):\n{}",
        surprises.len(),
        surprises.join("\n")
    );
}
