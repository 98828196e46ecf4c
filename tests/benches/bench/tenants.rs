//! Two tenants on one server: what one of them waits longer when the other asks for all that it can.
//!
//! The noise is told apart: writers alone, long queries alone, both. The same pace of requests to the no-op
//! server says what any server would wait on a machine as busy as that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::commits::{CREATE, person};
use crate::http::{self, Client};
use crate::reads::READ;
use crate::registry::paced;
use crate::report::{Bar, Report, ms};
use crate::statistics::Samples;
use crate::subject::{ACME, RIVAL, Server};
use crate::{Bench, Failure, PEOPLE};

/// Connections of the noisy tenant that write, and that ask what takes long.
const WRITERS: u64 = 16;
const ASKERS: u64 = 8;
/// Takes a second or so, however many people there are.
const HEAVY: &str = "MATCH (a:Person {id: 1}) UNWIND range(1, 1000) AS x UNWIND range(1, 2000) AS y \
     WITH a WHERE x + y + a.age < 0 RETURN count(*) AS n";
/// People in either graph.
const PEOPLE_EACH: u64 = 2_000;
/// Turns without and with noise, and how long each is.
const ROUNDS: usize = 4;
const TURN: Duration = Duration::from_secs(4);
/// Noise before it counts.
const HEAD_START: Duration = Duration::from_millis(500);
/// How much less of a core than the measured client the noisy ones get: theirs are other machines.
const NICE: i32 = 10;

/// The bar.
const NOISE: f64 = 2.0;

/// What the quiet tenant does, and what a server that does nothing takes meanwhile.
#[derive(Default)]
struct Quiet {
    reads: Samples,
    commits: Samples,
    noop: Samples,
}

/// Who makes noise: connections that write, connections that ask.
#[derive(Clone, Copy)]
struct Noise {
    name: &'static str,
    writers: u64,
    askers: u64,
}

/// All of it has the bar; the parts say where it comes from.
const NOISES: [Noise; 3] = [
    Noise {
        name: "16 writers and heavy queries",
        writers: WRITERS,
        askers: ASKERS,
    },
    Noise {
        name: "16 writers",
        writers: WRITERS,
        askers: 0,
    },
    Noise {
        name: "heavy queries",
        writers: 0,
        askers: ASKERS,
    },
];

pub(crate) fn run(bench: &mut Bench) -> Result<(), Failure> {
    let server = Server::start(&bench.work.join("tenants"))?;
    for tenant in [ACME, RIVAL] {
        server.create_graph_of(tenant, PEOPLE, Some(tenant))?;
        let mut client = server.client()?;
        let rows: Vec<_> = (0..PEOPLE_EACH).map(person).collect();
        let body = json!({
            "query": "UNWIND $rows AS r CREATE (:Person {id: r.id, name: r.name, age: r.age})",
            "params": {"rows": rows},
        });
        let request = http::post(&format!("/graphs/{tenant}/mutate"), tenant, &body);
        client.exchange(&request)?.success()?;
    }
    let ids = AtomicU64::new(PEOPLE_EACH);
    let mut warm = Quiet::default();
    quiet(bench, &server, Instant::now() + HEAD_START, &ids, &mut warm)?;
    let mut alone = Quiet::default();
    let mut beside = NOISES.map(|noise| (noise, Quiet::default(), (0, 0)));
    for _ in 0..bench.count(ROUNDS, ROUNDS / 2) {
        quiet(bench, &server, Instant::now() + TURN, &ids, &mut alone)?;
        for (noise, quiet, made) in &mut beside {
            let (writes, heavy) = with_noise(bench, &server, &ids, *noise, quiet)?;
            *made = (made.0 + writes, made.1 + heavy);
        }
    }
    for (noise, quiet, (writes, heavy)) in beside {
        let is_quiet = (noise.writers > 0 && writes == 0) || (noise.askers > 0 && heavy == 0);
        if is_quiet {
            return Err(format!("no noise: {writes} writes, {heavy} heavy queries").into());
        }
        let made = json!({"writes": writes, "heavy_queries": heavy});
        bench
            .report
            .raw(&format!("tenants noise {}", noise.name), made);
        report(&mut bench.report, noise, &alone, &quiet);
    }
    Ok(())
}

fn report(report: &mut Report, noise: Noise, alone: &Quiet, beside: &Quiet) {
    let bar = match noise.writers > 0 && noise.askers > 0 {
        true => Bar::AtMost(NOISE),
        false => Bar::None,
    };
    for (what, alone, beside, bar) in [
        ("point reads", &alone.reads, &beside.reads, bar),
        ("commits", &alone.commits, &beside.commits, bar),
        (
            "no-ops of another server",
            &alone.noop,
            &beside.noop,
            Bar::None,
        ),
    ] {
        report.samples(&format!("tenants {what} alone"), alone);
        report.samples(&format!("tenants {what} beside {}", noise.name), beside);
        report.figure(
            &format!("{what} beside a tenant with {}, p99", noise.name),
            ms(beside.p99()),
            format!("alone: {}", ms(alone.p99())),
            beside.p99() / alone.p99(),
            bar,
        );
    }
}

/// Reads and commits at a steady pace, in turn.
fn quiet(
    bench: &mut Bench,
    server: &Server,
    until: Instant,
    ids: &AtomicU64,
    quiet: &mut Quiet,
) -> Result<(), Failure> {
    let mut client = server.client()?;
    let never = AtomicBool::new(false);
    let noop = http::post("/", ACME, &json!({"query": READ, "params": {"id": 1}}));
    paced(until, &never, |turn| {
        if turn % 4 == 2 {
            return bench.noop.sample(&noop, 1, &mut quiet.noop);
        }
        let reads = turn % 4 != 0;
        let request = if reads {
            let body = json!({"query": READ, "params": {"id": turn * 7 % PEOPLE_EACH}});
            http::post(&format!("/graphs/{ACME}/query"), ACME, &body)
        } else {
            commit(ACME, ids)
        };
        let (time, answer) = client.timed(&request)?;
        answer.success()?;
        match reads {
            true => quiet.reads.add(time),
            false => quiet.commits.add(time),
        }
        Ok(())
    })
}

fn commit(tenant: &str, ids: &AtomicU64) -> Vec<u8> {
    let id = ids.fetch_add(1, Ordering::Relaxed);
    let body = json!({"query": CREATE, "params": person(id)});
    http::post(&format!("/graphs/{tenant}/mutate"), tenant, &body)
}

/// The same beside everything that the other tenant can do; how much that was.
#[expect(clippy::disallowed_methods, reason = "the noise gets a head start")]
fn with_noise(
    bench: &mut Bench,
    server: &Server,
    ids: &AtomicU64,
    noise: Noise,
    beside: &mut Quiet,
) -> Result<(u64, u64), Failure> {
    let done = AtomicBool::new(false);
    let (writes, heavy) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for number in 0..noise.writers + noise.askers {
            let (writes, heavy, done) = (&writes, &heavy, &done);
            clients.push(scope.spawn(move || match number < noise.writers {
                true => noisy(server, done, writes, || commit(RIVAL, ids)),
                false => noisy(server, done, heavy, || {
                    let body = json!({"query": HEAVY});
                    http::post(&format!("/graphs/{RIVAL}/query"), RIVAL, &body)
                }),
            }));
        }
        std::thread::sleep(HEAD_START);
        let measured = quiet(bench, server, Instant::now() + TURN, ids, beside);
        done.store(true, Ordering::Relaxed);
        let ended = clients.into_iter().map(|one| {
            let one = one.join();
            one.unwrap_or_else(|_| Err("a noisy client panicked".into()))
        });
        let ended = ended.collect::<Result<Vec<()>, Failure>>();
        measured.and(ended.map(drop))
    })?;
    Ok((
        writes.load(Ordering::Relaxed),
        heavy.load(Ordering::Relaxed),
    ))
}

/// This thread gets less of a core than others from now on: on Linux a priority is a thread's own.
fn yield_to_others() -> Result<(), Failure> {
    let task = std::fs::read_link("/proc/thread-self")?;
    let id = task.file_name().and_then(std::ffi::OsStr::to_str);
    let id = id.ok_or("a thread has a number")?.parse()?;
    Ok(rustix::process::setpriority_process(
        rustix::process::Pid::from_raw(id),
        NICE,
    )?)
}

/// One request after the other, as fast as they are answered.
fn noisy(
    server: &Server,
    done: &AtomicBool,
    count: &AtomicU64,
    request: impl Fn() -> Vec<u8>,
) -> Result<(), Failure> {
    yield_to_others()?;
    let mut client: Client = server.client()?;
    while !done.load(Ordering::Relaxed) {
        let answer = client.exchange(&request())?;
        match answer.status {
            200 => drop(count.fetch_add(1, Ordering::Relaxed)),
            // It may have no more than its share.
            429 => {}
            _ => drop(answer.success()?),
        }
    }
    Ok(())
}
