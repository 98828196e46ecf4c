//! Durable commits: one client, eight writers, against a peer, after a long history; and opening
//! what they leave.

use serde_json::{Value as Json, json};

use crate::http::{self, Client};
use crate::report::{Bar, ms};
use crate::statistics::{Samples, median, millis};
use crate::subject::{Subject, TOKEN, Usage, times};
use crate::{Bench, Failure, PEOPLE};

/// One row.
pub(crate) const CREATE: &str = "CREATE (:Person {id: $id, name: $name, age: $age})";
/// A node and an edge.
const CREATE_WITH_EDGE: &str = "MATCH (b:Person {id: $to}) \
     CREATE (:Person {id: $id, name: $name, age: $age})-[:Follows {since: 1}]->(b)";
/// Turns of limit and subject.
const ROUNDS: usize = 20;
/// In each turn.
const COMMITS: usize = 50;
const DISK_SAMPLES: usize = 25;
const NOOP_SAMPLES: usize = 200;
/// Before anything counts.
const WARM_UP: usize = 100;
/// Writers that are more than one.
const WRITERS: usize = 8;
/// Turns of one writer and eight, and how much in each.
const WRITER_ROUNDS: usize = 7;
const WRITER_COMMITS: usize = 400;
/// People that the peer and we begin with where edges are made.
const CROWD: u64 = 1_000;
/// A long history, and a short one.
pub(crate) const LONG: usize = 10_000;
const SHORT: usize = 100;
/// Folds run this often while the history is measured, in rows.
const FOLD_ROWS: u64 = 200;
/// How often a graph is opened again.
const REOPENINGS: usize = 5;

/// The bars.
const COMMIT_TO_LIMIT: f64 = 3.0;
const WRITERS_INSIDE: f64 = 4.0;
const WRITERS_OVER_HTTP: f64 = 2.0;
const HISTORY: f64 = 1.1;
const REOPEN_MS: f64 = 1_000.0;

pub(crate) fn person(id: u64) -> Json {
    json!({"id": id, "name": format!("person {id}"), "age": id % 90})
}

fn people(from: u64, count: usize) -> Vec<Json> {
    (from..from + count as u64).map(person).collect()
}

/// A request that commits one person.
pub(crate) fn request(graph: &str, id: u64) -> Vec<u8> {
    let body = json!({"query": CREATE, "params": person(id)});
    http::post(&format!("/graphs/{graph}/mutate"), TOKEN, &body)
}

/// Commits so many people from one connection.
fn commit(
    client: &mut Client,
    graph: &str,
    from: u64,
    count: usize,
    samples: &mut Samples,
) -> Result<(), Failure> {
    for id in from..from + count as u64 {
        let (time, answer) = client.timed(&request(graph, id))?;
        answer.success()?;
        samples.add(time);
    }
    Ok(())
}

/// How many people a graph has, by its own word.
fn counted(client: &mut Client, graph: &str) -> Result<u64, Failure> {
    let body = json!({"query": "MATCH (p:Person) RETURN count(*) AS n"});
    let request = http::post(&format!("/graphs/{graph}/query"), TOKEN, &body);
    let answer = client.exchange(&request)?.success()?;
    Ok(answer["rows"][0]["n"].as_u64().ok_or("a count")?)
}

/// One client over HTTP against an append, an fdatasync and a round trip.
pub(crate) fn over_http(bench: &mut Bench) -> Result<(), Failure> {
    bench.server.create_graph("commits", PEOPLE)?;
    let mut client = bench.server.client()?;
    let (mut disk, mut noop, mut ours) = <(Samples, Samples, Samples)>::default();
    let mut usage = Usage::default();
    let floor = request("commits", 0);
    commit(&mut client, "commits", 0, WARM_UP, &mut Samples::default())?;
    let mut next = WARM_UP as u64;
    for _ in 0..bench.count(ROUNDS, ROUNDS / 2) {
        bench.disk.sample(DISK_SAMPLES, &mut disk)?;
        bench.noop.sample(&floor, NOOP_SAMPLES, &mut noop)?;
        let before = bench.server.usage()?;
        commit(&mut client, "commits", next, COMMITS, &mut ours)?;
        usage.add(before, bench.server.usage()?);
        next += COMMITS as u64;
    }
    let found = counted(&mut client, "commits")?;
    if found != next {
        return Err(format!("{next} commits were acknowledged, {found} are there").into());
    }
    for (name, samples) in [
        ("commit_http", &ours),
        ("commit_disk", &disk),
        ("commit_noop", &noop),
    ] {
        bench.report.samples(name, samples);
    }
    for (name, percent) in [("p50", 50), ("p99", 99)] {
        let limit = disk.percentile(percent) + noop.percentile(percent);
        let time = ours.percentile(percent);
        bench.report.figure(
            &format!("durable commit of one row over HTTP, one client, {name}"),
            ms(time),
            format!("append + fdatasync + no-op, {name}: {}", ms(limit)),
            time / limit,
            Bar::AtMost(COMMIT_TO_LIMIT),
        );
    }
    bench
        .report
        .usage("a commit over HTTP", usage.each(ours.len()));
    Ok(())
}

/// Eight writers against one, commits a second.
pub(crate) fn writers(bench: &mut Bench) -> Result<(), Failure> {
    let rounds = bench.count(WRITER_ROUNDS, WRITER_ROUNDS / 2);
    bench.server.create_graph("writers", PEOPLE)?;
    let mut rates = [Vec::new(), Vec::new()];
    let mut next = 0;
    // The first turn warms up.
    for round in 0..=rounds {
        for (rates, writers) in rates.iter_mut().zip([1, WRITERS]) {
            let rate = burst(bench, writers, next)?;
            next += WRITER_COMMITS as u64;
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let found = counted(&mut bench.server.client()?, "writers")?;
    if found != next {
        return Err(format!("{next} commits were acknowledged, {found} are there").into());
    }
    compare_writers(bench, "over HTTP", rates, WRITERS_OVER_HTTP);
    let mut engine = bench.engine()?;
    open(bench, &mut engine, "writers", None)?;
    let mut rates = [Vec::new(), Vec::new()];
    let mut next = 0;
    for round in 0..=rounds {
        for (rates, writers) in rates.iter_mut().zip([1, WRITERS]) {
            let answer = engine.ask(&json!({"do": "commit", "graph": "writers", "query": CREATE, "params": people(next, WRITER_COMMITS), "writers": writers}))?;
            no_errors(&answer)?;
            next += WRITER_COMMITS as u64;
            if round > 0 {
                rates.push(per_second(answer["wall"].as_u64().ok_or("a time")?));
            }
        }
    }
    compare_writers(bench, "inside the process", rates, WRITERS_INSIDE);
    Ok(())
}

fn compare_writers(bench: &mut Bench, place: &str, rates: [Vec<f64>; 2], bar: f64) {
    let [one, eight] = rates.map(median);
    bench.report.figure(
        &format!("eight writers, commits a second, {place}; no errors"),
        format!("{eight:.0}/s"),
        format!("one writer: {one:.0}/s"),
        eight / one,
        Bar::AtLeast(bar),
    );
}

/// Commits a second of so many clients at once; a refusal or an error ends the run.
fn burst(bench: &Bench, writers: usize, from: u64) -> Result<f64, Failure> {
    let share = WRITER_COMMITS / writers;
    let mut clients = Vec::new();
    for writer in 0..writers as u64 {
        let first = from + writer * share as u64;
        let requests: Vec<_> = (first..first + share as u64)
            .map(|id| request("writers", id))
            .collect();
        clients.push((bench.server.client()?, requests));
    }
    let begun = std::time::Instant::now();
    let outcomes: Vec<Result<(), Failure>> = std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|(mut client, requests)| {
                scope.spawn(move || {
                    for request in &requests {
                        client.exchange(request)?.success()?;
                    }
                    Ok(())
                })
            })
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
    let wall = u64::try_from(begun.elapsed().as_nanos())?;
    outcomes.into_iter().collect::<Result<(), _>>()?;
    Ok(per_second(wall))
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred commits")]
fn per_second(wall: u64) -> f64 {
    WRITER_COMMITS as f64 / (millis(wall) / 1e3)
}

/// Makes a graph for the engine in its own process.
pub(crate) fn open(
    bench: &Bench,
    engine: &mut Subject,
    graph: &str,
    fold_rows: Option<u64>,
) -> Result<(), Failure> {
    let folder = bench.work.join(format!("inside-{graph}"));
    let command = json!({"do": "open", "graph": graph, "folder": folder, "schema": PEOPLE, "fold_rows": fold_rows});
    engine.ask(&command).map(drop)
}

fn no_errors(answer: &Json) -> Result<(), Failure> {
    match answer["errors"].as_u64() {
        Some(0) => Ok(()),
        _ => Err(format!(
            "{} commits failed: {}",
            answer["errors"], answer["first_error"]
        )
        .into()),
    }
}

/// A node and an edge inside the process against LadybugDB.
pub(crate) fn node_and_edge(bench: &mut Bench) -> Result<(), Failure> {
    let mut engine = bench.engine()?;
    open(bench, &mut engine, "edges", None)?;
    let crowd = json!({"do": "commit", "graph": "edges", "query": CREATE, "params": people(0, CROWD as usize), "writers": WRITERS});
    no_errors(&engine.ask(&crowd)?)?;
    let mut peers = Vec::new();
    for name in ["ladybug", "kuzu", "sqlite"] {
        let started = bench
            .peers
            .start(name, &bench.work.join(format!("edges-{name}")));
        let made = started.and_then(|mut peer| {
            peer.ask(&json!({"do": "crowd", "people": CROWD}))?;
            Ok(peer)
        });
        match made {
            Ok(peer) => peers.push((peer, Samples::default(), Samples::default())),
            Err(error) => bench.report.skip(&format!("node and edge: {name}"), error),
        }
    }
    let (mut disk, mut ours) = (Samples::default(), Samples::default());
    let mut next = CROWD;
    // The first turn warms up.
    for round in 0..=bench.count(ROUNDS, ROUNDS / 2) {
        let params: Vec<_> = (next..next + COMMITS as u64)
            .map(
                |id| json!({"id": id, "name": format!("person {id}"), "age": 30, "to": id % CROWD}),
            )
            .collect();
        let command =
            json!({"do": "commit", "graph": "edges", "query": CREATE_WITH_EDGE, "params": params});
        let answer = engine.ask(&command)?;
        no_errors(&answer)?;
        let found = times(&answer)?;
        for (peer, one, two) in &mut peers {
            let answer = peer
                .ask(&json!({"do": "commit", "from": next, "count": COMMITS, "people": CROWD}))?;
            if round > 0 {
                one.extend(times(&answer["one_statement"])?);
                two.extend(times(&answer["transaction"])?);
            }
        }
        next += COMMITS as u64;
        if round > 0 {
            ours.extend(found);
            bench.disk.sample(DISK_SAMPLES, &mut disk)?;
        }
    }
    bench.report.samples("node_and_edge", &ours);
    bench.report.samples("node_and_edge_disk", &disk);
    for (peer, one, two) in &peers {
        bench
            .report
            .samples(&format!("node_and_edge_{}_one_statement", peer.name), one);
        bench
            .report
            .samples(&format!("node_and_edge_{}_transaction", peer.name), two);
        let best = one.p50().min(two.p50());
        let bar = match peer.name.as_str() {
            "ladybug" => Bar::AtMost(1.0),
            _ => Bar::None,
        };
        bench.report.figure(
            "durable commit of a node and an edge inside the process, p50",
            ms(ours.p50()),
            format!("{}: {} (disk {})", peer.name, ms(best), ms(disk.p50())),
            ours.p50() / best,
            bar,
        );
    }
    Ok(())
}

/// The same commit after a short and a long history, in turn, while folds run.
pub(crate) fn history(bench: &mut Bench) -> Result<(), Failure> {
    let mut engine = bench.engine()?;
    for (graph, commits) in [("short", SHORT), ("long", LONG)] {
        open(bench, &mut engine, graph, Some(FOLD_ROWS))?;
        let fill = json!({"do": "commit", "graph": graph, "query": CREATE, "params": people(0, commits), "writers": WRITERS});
        no_errors(&engine.ask(&fill)?)?;
    }
    let mut samples = [Samples::default(), Samples::default()];
    let mut next = LONG as u64;
    for round in 0..=bench.count(ROUNDS, ROUNDS / 2) {
        for (samples, graph) in samples.iter_mut().zip(["short", "long"]) {
            let command = json!({"do": "commit", "graph": graph, "query": CREATE, "params": people(next, COMMITS)});
            let answer = engine.ask(&command)?;
            no_errors(&answer)?;
            if round > 0 {
                samples.extend(times(&answer)?);
            }
        }
        next += COMMITS as u64;
    }
    let status = engine.ask(&json!({"do": "status", "graph": "long"}))?;
    bench.report.raw("history_long_status", status);
    let [short, long] = &samples;
    bench.report.samples("history_short", short);
    bench.report.samples("history_long", long);
    bench.report.figure(
        "commit after 10,000 commits, folds running, p50, inside the process",
        ms(long.p50()),
        format!("after 100: {}", ms(short.p50())),
        long.p50() / short.p50(),
        Bar::AtMost(HISTORY),
    );
    bench.report.figure(
        "the same, p99",
        ms(long.p99()),
        format!("after 100: {}", ms(short.p99())),
        long.p99() / short.p99(),
        Bar::None,
    );
    Ok(())
}

/// Opening a graph whose last 10,000 commits no checkpoint has.
pub(crate) fn reopen(bench: &mut Bench) -> Result<(), Failure> {
    let mut engine = bench.engine()?;
    open(bench, &mut engine, "tail", None)?;
    let fill = json!({"do": "commit", "graph": "tail", "query": CREATE, "params": people(0, LONG), "writers": WRITERS});
    no_errors(&engine.ask(&fill)?)?;
    let mut samples = Samples::default();
    for _ in 0..REOPENINGS {
        let answer = engine.ask(&json!({"do": "reopen", "graph": "tail"}))?;
        if answer["tail_rows"] != json!(LONG) {
            return Err(format!("the tail has {} rows", answer["tail_rows"]).into());
        }
        samples.add(answer["nanos"].as_u64().ok_or("a time")?);
    }
    bench.report.samples("reopen", &samples);
    bench.report.figure(
        "reopen with a tail of 10,000 commits, not closed before, ms",
        ms(samples.p50()),
        "-",
        samples.p50(),
        Bar::AtMost(REOPEN_MS),
    );
    Ok(())
}
