//! The benchmark: `./dev bench` builds it in release and runs it. It is the load generator, and the
//! judge: every figure is a ratio to something measured in the same run, most of them in turn with
//! it, because the disk and the neighbours change from one minute to the next.
//!
//! Subjects are processes of their own: the server (`trellis serve`, with tokens and the example
//! policy), the engine without anything around it (`storage-engine/benches/engine`), and the peers
//! ([`peers`], through their Python bindings). Bars are those of `docs/performance.md`.

mod bulk;
mod commits;
mod http;
mod limits;
mod machine;
mod memory;
mod peers;
mod queries;
mod reads;
mod registry;
mod report;
mod statistics;
mod subject;
mod tenants;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Value as Json, json};

use limits::{Disk, Noop};
use peers::Peers;
use report::Report;
use statistics::Samples;
use subject::{Server, Subject};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Samples of each limit that are taken for themselves.
const LIMIT_SAMPLES: usize = 1_000;

/// The graph of the small figures.
pub(crate) const PEOPLE: &str = "\
node Person { id: I64 @key, name: String, age: I64 }
edge Follows: Person -> Person { since: I64 }
";

/// How the program was called.
struct Arguments {
    quick: bool,
    out: Option<PathBuf>,
    /// Parts to run; all when empty.
    only: Vec<String>,
}

/// One run.
pub(crate) struct Bench {
    /// Everything is in here: data, servers, peers, the file that the disk is measured with.
    pub(crate) work: PathBuf,
    /// Where `gen.py` and `noop.c` are.
    pub(crate) shared: PathBuf,
    pub(crate) quick: bool,
    pub(crate) report: Report,
    pub(crate) disk: Disk,
    pub(crate) noop: Noop,
    pub(crate) server: Server,
    pub(crate) peers: Peers,
}

impl Bench {
    /// The engine in a process of its own.
    pub(crate) fn engine(&self) -> Result<Subject, Failure> {
        let program = subject::program("TRELLIS_BENCH_ENGINE", "engine")?;
        Subject::start("trellis", &mut Command::new(program))
    }

    /// A count: as published, or less for a quick look.
    pub(crate) fn count(&self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }
}

/// A part of the benchmark.
type Part = fn(&mut Bench) -> Result<(), Failure>;

const PARTS: &[(&str, Part)] = &[
    ("limits", measure_limits),
    ("commit", commits::over_http),
    ("writers", commits::writers),
    ("edge", commits::node_and_edge),
    ("history", commits::history),
    ("reopen", commits::reopen),
    ("read", reads::points),
    ("small", memory::small_graphs),
    ("load", bulk::load),
    ("query", queries::run),
    ("registry", registry::run),
    ("tenants", tenants::run),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match &words[..] {
        [first, port] if first == "noop" => limits::serve_noop(port),
        // `cargo test` and `cargo bench` call it so.
        words if words.iter().any(|word| word == "--bench") => Ok(()),
        words => arguments(words).and_then(|arguments| run(&arguments)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments(words: &[String]) -> Result<Arguments, Failure> {
    let mut arguments = Arguments {
        quick: false,
        out: None,
        only: Vec::new(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => arguments.quick = true,
            "--out" => arguments.out = Some(words.next().ok_or("--out needs a file")?.into()),
            part if PARTS.iter().any(|(name, _)| *name == part) => {
                arguments.only.push(part.to_owned());
            }
            other => {
                let names: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
                return Err(format!(
                    "{other} is not known: --quick, --out FILE, or parts: {}",
                    names.join(" ")
                )
                .into());
            }
        }
    }
    Ok(arguments)
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let cache =
        PathBuf::from(std::env::var_os("TRELLIS_BENCH_CACHE").unwrap_or_else(|| ".".into()));
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&cache)?;
    let work = folder.path().to_owned();
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/bench");
    let shared = std::env::var_os("TRELLIS_BENCH_SHARED").map_or(shared, PathBuf::from);
    let machine = machine::describe(&work, arguments.quick);
    eprintln!("{machine:#}");
    let mut bench = Bench {
        disk: Disk::beside(&work)?,
        noop: Noop::start(&shared, &work)?,
        server: Server::start(&work.join("server"))?,
        peers: Peers::new(&cache),
        report: Report::default(),
        quick: arguments.quick,
        shared,
        work,
    };
    for (name, part) in PARTS {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
            continue;
        }
        eprintln!("{name} (load {})", machine::load());
        if let Err(error) = part(&mut bench) {
            bench.report.skip(name, error);
        }
    }
    finish(&bench.report, &machine, arguments.out.as_deref())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a report that a crash cuts short is measured again"
)]
fn finish(report: &Report, machine: &Json, out: Option<&Path>) -> Result<(), Failure> {
    println!("{}", report.table());
    if let Some(path) = out {
        std::fs::write(path, format!("{:#}\n", report.json(machine)))?;
        eprintln!("written to {}", path.display());
    }
    Ok(())
}

/// The limits for themselves; the figures take their own samples in turn with what they measure.
fn measure_limits(bench: &mut Bench) -> Result<(), Failure> {
    let (mut disk, mut noop) = (Samples::default(), Samples::default());
    bench.disk.sample(LIMIT_SAMPLES, &mut disk)?;
    let request = http::post("/", subject::TOKEN, &json!({}));
    bench.noop.sample(&request, LIMIT_SAMPLES, &mut noop)?;
    let over = limits::overwrite(&bench.work, LIMIT_SAMPLES)?;
    let copy = limits::memory_copy();
    bench.report.samples("limit_overwrite_fdatasync", &over);
    let kind = bench.noop.kind;
    bench.report.samples("limit_append_fdatasync", &disk);
    bench.report.samples("limit_noop", &noop);
    bench.report.raw("limit_memory_copy_gb_per_s", json!(copy));
    bench.report.raw("limit_noop_is", json!(kind));
    let shown = format!(
        "p50 {}, p99 {}",
        report::ms(disk.p50()),
        report::ms(disk.p99())
    );
    let bar = report::Bar::None;
    bench
        .report
        .figure("append 4 KiB + fdatasync", shown, "-", disk.p50(), bar);
    let shown = format!(
        "p50 {}, p99 {}",
        report::ms(noop.p50()),
        report::ms(noop.p99())
    );
    bench
        .report
        .figure(&format!("HTTP no-op ({kind})"), shown, "-", noop.p50(), bar);
    let shown = format!(
        "p50 {}, p99 {}",
        report::ms(over.p50()),
        report::ms(over.p99())
    );
    let what = "write 4 KiB over what is there + fdatasync";
    bench.report.figure(what, shown, "-", over.p50(), bar);
    let shown = format!("{copy:.1} GB/s");
    bench.report.figure("memory copy", shown, "-", copy, bar);
    Ok(())
}
