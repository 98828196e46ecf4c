//! What open graphs take.

use std::fmt::Write as _;

use crate::http::Client;
use crate::report::Bar;
use crate::subject::{Server, TOKEN};
use crate::{Bench, Failure, http};
use serde_json::json;

const SCHEMA: &str = "\
node N { id: I64 @key, name: String }
edge E: N -> N
";
/// Small graphs that are opened, of which the first is shown for itself.
const GRAPHS: usize = 64;
/// Each has so many nodes and edges.
const NODES: usize = 100;
const EDGES: usize = 500;
/// Questions before anything is measured, so that threads and buffers are there.
const WARM_UP: usize = 2_000;
/// MiB of an open small graph.
const SMALL_MIB: f64 = 0.5;

/// Resident memory of a server that has just started, and of one with many small graphs open.
pub(crate) fn small_graphs(bench: &mut Bench) -> Result<(), Failure> {
    let folder = bench.work.join("small");
    let mut server = Server::start(&folder)?;
    let fresh = server.resident()?;
    let mut records = String::new();
    for id in 0..NODES {
        writeln!(
            records,
            r#"{{"type":"N","data":{{"id":{id},"name":"n{id}"}}}}"#
        )?;
    }
    for edge in 0..EDGES {
        let (from, to) = (edge % NODES, (edge * 37 + edge / NODES) % NODES);
        writeln!(records, r#"{{"edge":"E","from":{from},"to":{to}}}"#)?;
    }
    let mut client = server.client()?;
    for graph in 0..GRAPHS {
        server.create_graph(&format!("g{graph}"), SCHEMA)?;
        let path = format!("/graphs/g{graph}/load?mode=append");
        let mut request = http::head(&path, TOKEN, "application/x-ndjson", records.len() as u64);
        request.extend_from_slice(records.as_bytes());
        client.exchange(&request)?.success()?;
    }
    let made = server.resident()?;
    // Opened again, so that what making them took does not count.
    server.restart()?;
    let mut client = server.client()?;
    let empty = server.resident()?;
    for _ in 0..WARM_UP {
        ask(&mut client, 0)?;
    }
    let first = server.resident()?;
    for graph in 1..GRAPHS {
        ask(&mut client, graph)?;
    }
    let all = server.resident()?;
    #[expect(clippy::cast_precision_loss, reason = "dozens")]
    let each = (all - first) / (GRAPHS - 1) as f64;
    bench.report.raw(
        "memory_small_mib",
        json!({"fresh": fresh, "after_making_all": made, "restarted": empty, "with_one_and_2000_questions": first, "with_all": all, "graphs": GRAPHS}),
    );
    bench.report.figure(
        "memory of an open small graph (100 nodes, 500 edges), MiB",
        format!("{each:.2} MiB each of {GRAPHS}"),
        format!("empty server {empty:.0} MiB; with one, asked {WARM_UP} times, {first:.0} MiB"),
        each,
        Bar::AtMost(SMALL_MIB),
    );
    Ok(())
}

fn ask(client: &mut Client, graph: usize) -> Result<(), Failure> {
    let body = json!({"query": "MATCH (n:N {id: $id})-[:E]->(m) RETURN count(m) AS n", "params": {"id": 5}});
    let request = http::post(&format!("/graphs/g{graph}/query"), TOKEN, &body);
    let answer = client.exchange(&request)?.success()?;
    match answer["rows"][0]["n"].as_u64() {
        Some(5) => Ok(()),
        _ => Err(format!("node 5 has 5 edges, not {}", answer["rows"]).into()),
    }
}
