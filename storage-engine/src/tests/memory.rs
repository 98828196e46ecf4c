//! What a load takes in memory beyond the graph that it makes: it must not grow with the input.
//!
//! Each load runs in a process of its own, this test's program, which says how much it held at most.
//! With `TRELLIS_LONG` the sizes are the published ones: a million edges and four.

use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use language::schema::Schema;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::number;
use crate::load::{self, Format, Input, Mode, Source};
use crate::{Graph, NewGraph, Options, WriteRequest};

const EDGES: &str = "TRELLIS_MEMORY_EDGES";
const KIND: &str = "TRELLIS_MEMORY_KIND";
const FOLDER: &str = "TRELLIS_MEMORY_FOLDER";
const SCHEMA: &str = "node Person { key: String @key, name: String }
edge Follows: Person -> Person { since: I32 }";

/// What four times the edges may take more.
const ALLOWED_KIB: u64 = 64 << 10;

/// NDJSON that is made while it is read.
struct Lines {
    people: u64,
    edges: u64,
    next: u64,
    line: Vec<u8>,
}

impl Read for Lines {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        while self.line.is_empty() && self.next < self.people + self.edges {
            let number = self.next;
            self.next += 1;
            let line = match number.checked_sub(self.people) {
                None => format!(
                    "{{\"type\":\"Person\",\"data\":{{\"key\":\"p{number:07}\",\"name\":\"Person {number}\"}}}}\n"
                ),
                Some(edge) => {
                    let (from, to) = (
                        edge / 25 % self.people,
                        edge.wrapping_mul(2_654_435_761) % self.people,
                    );
                    format!(
                        "{{\"edge\":\"Follows\",\"from\":\"p{from:07}\",\"to\":\"p{to:07}\",\"data\":{{\"since\":{}}}}}\n",
                        edge % 5_000
                    )
                }
            };
            self.line = line.into_bytes();
        }
        let count = self.line.len().min(bytes.len());
        bytes[..count].copy_from_slice(&self.line[..count]);
        self.line.drain(..count);
        Ok(count)
    }
}

/// The most memory that this process has held, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// What is loaded, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lines,
    Parquet,
    /// Each edge with an id of its own, as an export has it.
    ParquetWithIds,
    /// The same, with a fold.
    Folded,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self::Lines,
        Self::Parquet,
        Self::ParquetWithIds,
        Self::Folded,
    ];

    fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Where edge number `edge` begins and ends, as numbers of people.
fn ends(edge: u64, people: u64) -> (u64, u64) {
    (
        edge / 25 % people,
        edge.wrapping_mul(2_654_435_761) % people,
    )
}

/// Writes a file of people, and one of edges.
fn write_tables(folder: &Path, edges: u64, with_ids: bool) {
    const ROWS: u64 = 10_000;
    let people = edges / 25;
    let text = |values: Vec<String>| Arc::new(StringArray::from(values)) as ArrayRef;
    let write = |name: &str, rows: u64, batch: &dyn Fn(Range<u64>) -> RecordBatch| {
        let file = std::fs::File::create(folder.join(name)).expect("a file");
        let mut writer = ArrowWriter::try_new(file, batch(0..0).schema(), None).expect("a writer");
        for first in (0..rows).step_by(ROWS as usize) {
            let range = first..(first + ROWS).min(rows);
            writer.write(&batch(range)).expect("written");
        }
        writer.close().expect("closed");
    };
    let key = |number: u64| format!("p{number:07}");
    write("people", people, &|range| {
        let names = range.clone().map(|number| format!("Person {number}"));
        let columns = [
            ("key", text(range.map(key).collect())),
            ("name", text(names.collect())),
        ];
        RecordBatch::try_from_iter(columns).expect("a batch")
    });
    write("edges", edges, &|range| {
        let from = range.clone().map(|edge| key(ends(edge, people).0));
        let to = range.clone().map(|edge| key(ends(edge, people).1));
        let since = range.clone().map(|edge| (edge % 5_000) as i32);
        let mut columns = vec![
            ("from", text(from.collect())),
            ("to", text(to.collect())),
            ("since", Arc::new(Int32Array::from_iter_values(since))),
        ];
        if with_ids {
            let id = |edge: u64| uuid::Uuid::from_u128(u128::from(edge) << 64 | 7).to_string();
            columns.push(("id", text(range.map(id).collect())));
        }
        RecordBatch::try_from_iter(columns).expect("a batch")
    });
}

/// Not a test: makes the files that [`memory_child`] loads.
#[test]
fn memory_files() {
    let (Some(edges), Ok(folder)) = (number(EDGES), std::env::var(FOLDER)) else {
        return;
    };
    let kind = std::env::var(KIND).expect("a kind");
    let with_ids = kind != Kind::Parquet.name();
    write_tables(Path::new(&folder), edges, with_ids);
}

/// Not a test: what the process of [`memory_of_a_load_does_not_grow_with_the_input`] does.
#[test]
fn memory_child() {
    let (Some(edges), Ok(kind)) = (number(EDGES), std::env::var(KIND)) else {
        return;
    };
    let home = TempDir::new().expect("a temporary folder");
    let schema = Schema::parse(SCHEMA).expect("a valid schema");
    Graph::create(home.path().join("g"), NewGraph::new(schema, "test")).expect("created");
    let folds = kind == Kind::Folded.name();
    let options = match folds {
        true => Options::default(),
        false => Options {
            fold_rows: usize::MAX,
            fold_bytes: u64::MAX,
            ..Options::default()
        },
    };
    let graph = Graph::open(home.path().join("g"), options).expect("opened");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime");
    let load = |input: Input, source: &Source| {
        let batch = load::parse(input, source, &graph.snapshot()).expect("read");
        let loaded = runtime.block_on(graph.load(WriteRequest::by("test"), None, &batch));
        loaded.expect("loaded").value
    };
    let loaded = if kind == Kind::Lines.name() {
        let lines = Lines {
            people: edges / 25,
            edges,
            next: 0,
            line: Vec::new(),
        };
        load(Input::Stream(Box::new(lines)), &Source::lines(Mode::Append))
    } else {
        let folder = std::env::var(FOLDER).expect("files");
        let file = |name: &str| {
            let file = std::fs::File::open(Path::new(&folder).join(name));
            Input::File(file.expect("a file"))
        };
        let source = |name: &str| Source::columns(Format::Parquet, name, Mode::Append);
        load(file("people"), &source("Person"));
        load(file("edges"), &source("Follows"))
    };
    assert_eq!(loaded.edges["Follows"], edges);
    let loaded = peak();
    let resident = graph.status().expect("listed").memory.total() as u64 / 1024;
    if folds {
        let begun = Instant::now();
        let folded = || graph.status().expect("listed").tail_rows == 0;
        while !folded() {
            assert!(begun.elapsed().as_secs() < 300, "not folded");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    println!("measured {} {resident} loaded {loaded}", peak());
}

/// Runs one of the above in a process of its own.
fn run(test: &str, edges: u64, kind: Kind, folder: &Path) -> String {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([&format!("tests::memory::{test}"), "--exact", "--nocapture"])
        .env(EDGES, edges.to_string())
        .env(KIND, kind.name())
        .env(FOLDER, folder)
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text} {error}");
    text
}

/// The peak, and what the graph holds of it, in KiB.
fn measure(edges: u64, kind: Kind) -> (u64, u64) {
    let files = TempDir::new().expect("a temporary folder");
    if kind != Kind::Lines {
        run("memory_files", edges, kind, files.path());
    }
    let text = run("memory_child", edges, kind, files.path());
    let at = text.find("measured ").unwrap_or_else(|| panic!("{text}"));
    let line = text[at..].lines().next().unwrap_or_default();
    println!("{kind:?}, {edges} edges: {line}");
    let mut numbers = line.split_whitespace().skip(1);
    let mut number = || {
        numbers
            .next()
            .and_then(|text| text.parse().ok())
            .expect("a number")
    };
    (number(), number())
}

/// What four times the edges may take more, in KiB: of the published sizes as was said; of smaller ones the
/// share of it, what a measurement varies by (text in pieces more than numbers), and, while a fold writes
/// fewer rows than fill them, the buffers of a table's writer (8 MiB a column). Whatever holds the ids of
/// edges or the graph twice takes more.
fn allowed(kind: Kind, more: u64, long: bool) -> u64 {
    const BUFFERED: u64 = 110;
    let share = ALLOWED_KIB * more / 3_000_000;
    match (long, kind) {
        (true, _) => ALLOWED_KIB,
        (false, Kind::Lines | Kind::Parquet) => share + (8 << 10),
        (false, Kind::ParquetWithIds) => share + (20 << 10),
        (false, Kind::Folded) => share + (20 << 10) + more * BUFFERED / 1024,
    }
}

#[test]
fn memory_of_a_load_does_not_grow_with_the_input() {
    let long = std::env::var_os("TRELLIS_LONG").is_some();
    // So many that all of a load's threads have something to do.
    let edges = if long { 1_000_000 } else { 250_000 };
    for kind in Kind::ALL {
        let (small, small_graph) = measure(edges, kind);
        let (large, large_graph) = measure(edges * 4, kind);
        if kind == Kind::Lines {
            // About 24 bytes an edge, and some 4 for the property.
            let an_edge = large_graph * 1024 / (edges * 4);
            assert!(an_edge < 40, "{an_edge} bytes an edge");
        }
        let (small, large) = (small - small_graph, large - large_graph);
        let allowed = allowed(kind, edges * 3, long);
        println!(
            "{kind:?}: {small} KiB, {large} KiB for four times as much; {allowed} KiB more may be"
        );
        assert!(
            large <= small + allowed,
            "{kind:?}: {large} KiB beyond the graph, {small} for a quarter of it"
        );
    }
}
