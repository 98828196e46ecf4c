//! What a load takes in memory beyond the graph that it makes: it must not grow with the input.
//!
//! Each load runs in a process of its own, this test's program, which says how much it held at most.
//! With `TRELLIS_LONG` the sizes are the published ones: a million edges and four.

use std::io::Read;
use std::process::Command;

use language::schema::Schema;
use tempfile::TempDir;

use crate::load::{self, Input, Mode, Source};
use crate::{Graph, NewGraph, Options, WriteRequest};

const EDGES: &str = "TRELLIS_MEMORY_EDGES";
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

/// Not a test: what the process of [`memory_of_a_load_does_not_grow_with_the_input`] does.
#[test]
fn memory_child() {
    let Some(edges) = std::env::var(EDGES).ok().and_then(|text| text.parse().ok()) else {
        return;
    };
    let home = TempDir::new().expect("a temporary folder");
    let schema = Schema::parse(SCHEMA).expect("a valid schema");
    Graph::create(home.path().join("g"), NewGraph::new(schema, "test")).expect("created");
    let options = Options {
        // A fold has limits of its own.
        fold_rows: usize::MAX,
        fold_bytes: u64::MAX,
        ..Options::default()
    };
    let graph = Graph::open(home.path().join("g"), options).expect("opened");
    let lines = Lines {
        people: edges / 25,
        edges,
        next: 0,
        line: Vec::new(),
    };
    let begun = std::time::Instant::now();
    let input = Input::Stream(Box::new(lines));
    let batch = load::parse(input, &Source::lines(Mode::Append), &graph.snapshot()).expect("read");
    let read = begun.elapsed().as_millis();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let loaded = runtime.block_on(graph.load(WriteRequest::by("test"), None, &batch));
    assert_eq!(loaded.expect("loaded").value.edges["Follows"], edges);
    let resident = graph.status().memory.total() as u64 / 1024;
    let took = begun.elapsed().as_millis();
    println!(
        "measured {} {resident} read {read} ms, all {took} ms",
        peak()
    );
}

/// The peak, and what the graph holds of it, in KiB.
fn measure(edges: u64) -> (u64, u64) {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["tests::memory::memory_child", "--exact", "--nocapture"])
        .env(EDGES, edges.to_string())
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let at = text.find("measured ").unwrap_or_else(|| panic!("{text}"));
    println!(
        "{edges} edges: {}",
        text[at..].lines().next().unwrap_or_default()
    );
    let mut numbers = text[at..].split_whitespace().skip(1);
    let mut number = || {
        numbers
            .next()
            .and_then(|text| text.parse().ok())
            .expect("a number")
    };
    (number(), number())
}

#[test]
fn memory_of_a_load_does_not_grow_with_the_input() {
    let long = std::env::var_os("TRELLIS_LONG").is_some();
    let edges = if long { 1_000_000 } else { 50_000 };
    let (small, small_graph) = measure(edges);
    let (large, large_graph) = measure(edges * 4);
    // About 24 bytes an edge, and some 4 for the property.
    let an_edge = large_graph * 1024 / (edges * 4);
    assert!(an_edge < 40, "{an_edge} bytes an edge");
    let (small, large) = (small - small_graph, large - large_graph);
    assert!(
        large <= small + ALLOWED_KIB,
        "{large} KiB beyond the graph, {small} for a quarter of it"
    );
}
