//! Reading one node by its key.

use serde_json::json;

use crate::commits::{self, CREATE, LONG, person};
use crate::http::{self, Client};
use crate::report::{Bar, ms};
use crate::statistics::Samples;
use crate::subject::{TOKEN, Usage, times};
use crate::{Bench, Failure, PEOPLE};

pub(crate) const READ: &str = "MATCH (p:Person {id: $id}) RETURN p.name AS name, p.age AS age";
/// Turns of no-op and both graphs, and reads in each.
const ROUNDS: usize = 20;
const READS: usize = 200;
/// People in the graph with a short history.
const SHORT: usize = 100;
/// Connections that fill the long one.
const WRITERS: usize = 8;

/// The bars.
const TO_NOOP: f64 = 3.0;
const HISTORY: f64 = 1.1;
const INSIDE_MS: f64 = 0.03;

pub(crate) fn request(graph: &str, id: u64) -> Vec<u8> {
    let body = json!({"query": READ, "params": {"id": id}});
    http::post(&format!("/graphs/{graph}/query"), TOKEN, &body)
}

/// Fills a graph, one commit a person.
fn fill(bench: &Bench, graph: &str, count: usize) -> Result<(), Failure> {
    bench.server.create_graph(graph, PEOPLE)?;
    let fill = |writer: usize| -> Result<(), Failure> {
        let mut client = bench.server.client()?;
        for id in (writer..count).step_by(WRITERS) {
            let request = commits::request(graph, id as u64);
            client.exchange(&request)?.success()?;
        }
        Ok(())
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || fill(writer)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err("a writer panicked".into()))
            })
            .collect()
    });
    outcomes.into_iter().collect()
}

fn read(
    client: &mut Client,
    graph: &str,
    people: usize,
    round: usize,
    samples: &mut Samples,
) -> Result<(), Failure> {
    for turn in 0..READS {
        let id = ((round * READS + turn) * 7919 % people) as u64;
        let request = request(graph, id);
        let (time, answer) = client.timed(&request)?;
        let answer = answer.success()?;
        if answer["rows"][0]["name"] != person(id)["name"] {
            return Err(format!("person {id} is {}", answer["rows"]).into());
        }
        samples.add(time);
    }
    Ok(())
}

pub(crate) fn points(bench: &mut Bench) -> Result<(), Failure> {
    fill(bench, "read-short", SHORT)?;
    fill(bench, "read-long", LONG)?;
    let mut client = bench.server.client()?;
    let (mut noop, mut short, mut long) = <(Samples, Samples, Samples)>::default();
    let mut usage = Usage::default();
    let floor = request("read-short", 1);
    // The first turn warms up.
    for round in 0..=bench.count(ROUNDS, ROUNDS / 2) {
        let mut unused = <[Samples; 3]>::default();
        let [a, b, c] = match round {
            0 => unused.each_mut(),
            _ => [&mut noop, &mut short, &mut long],
        };
        bench.noop.sample(&floor, READS, a)?;
        let before = bench.server.usage()?;
        read(&mut client, "read-short", SHORT, round, b)?;
        if round > 0 {
            usage.add(before, bench.server.usage()?);
        }
        read(&mut client, "read-long", LONG, round, c)?;
    }
    for (name, samples) in [
        ("read_noop", &noop),
        ("read_http", &short),
        ("read_http_long", &long),
    ] {
        bench.report.samples(name, samples);
    }
    bench.report.figure(
        "point read by key over HTTP, p50",
        ms(short.p50()),
        format!("no-op: {}", ms(noop.p50())),
        short.p50() / noop.p50(),
        Bar::AtMost(TO_NOOP),
    );
    bench.report.figure(
        "the same after 10,000 commits",
        ms(long.p50()),
        format!("after 100: {}", ms(short.p50())),
        long.p50() / short.p50(),
        Bar::AtMost(HISTORY),
    );
    bench
        .report
        .usage("a point read over HTTP", usage.each(short.len()));
    inside(bench)
}

/// The same reads with nothing between caller and engine.
fn inside(bench: &mut Bench) -> Result<(), Failure> {
    let mut engine = bench.engine()?;
    commits::open(bench, &mut engine, "points", None)?;
    let people: Vec<_> = (0..LONG as u64).map(person).collect();
    engine.ask(&json!({"do": "commit", "graph": "points", "query": CREATE, "params": people, "writers": WRITERS}))?;
    for (name, what, compile) in [
        ("read_inside_prepared", "a plan that is kept", false),
        ("read_inside_text", "from the text", true),
    ] {
        let mut samples = Samples::default();
        for round in 0..=bench.count(ROUNDS, ROUNDS / 2) {
            let ids: Vec<_> = (0..READS)
                .map(|turn| json!({"id": (round * READS + turn) * 7919 % LONG}))
                .collect();
            let answer = engine.ask(&json!({"do": "query", "graph": "points", "query": READ, "params": ids, "compile": compile}))?;
            if round > 0 {
                samples.extend(times(&answer)?);
            }
        }
        bench.report.samples(name, &samples);
        bench.report.figure(
            &format!("point read by key inside the process, {what}, p50, ms"),
            ms(samples.p50()),
            "-",
            samples.p50(),
            Bar::AtMost(INSIDE_MS),
        );
    }
    Ok(())
}
