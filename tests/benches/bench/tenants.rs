//! Two tenants on one server: what one of them waits longer when the other asks for all that it can.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::commits::{CREATE, person};
use crate::http::{self, Client};
use crate::reads::READ;
use crate::registry::paced;
use crate::report::{Bar, ms};
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

/// What the quiet tenant does.
#[derive(Default)]
struct Quiet {
    reads: Samples,
    commits: Samples,
}

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
    let (mut alone, mut beside) = <(Quiet, Quiet)>::default();
    let ids = AtomicU64::new(PEOPLE_EACH);
    quiet(
        &server,
        Instant::now() + HEAD_START,
        &ids,
        &mut Quiet::default(),
    )?;
    let mut made = (0, 0);
    for _ in 0..bench.count(ROUNDS, ROUNDS / 2) {
        quiet(&server, Instant::now() + TURN, &ids, &mut alone)?;
        let (writes, heavy) = with_noise(&server, &ids, &mut beside)?;
        made = (made.0 + writes, made.1 + heavy);
    }
    let (writes, heavy) = made;
    bench.report.raw(
        "tenants_noise",
        json!({"writes": writes, "heavy_queries": heavy}),
    );
    if writes == 0 || heavy == 0 {
        return Err(format!("no noise: {writes} writes, {heavy} heavy queries").into());
    }
    for (what, alone, beside) in [
        ("point reads", &alone.reads, &beside.reads),
        ("commits", &alone.commits, &beside.commits),
    ] {
        bench
            .report
            .samples(&format!("tenants {what} alone"), alone);
        bench
            .report
            .samples(&format!("tenants {what} beside"), beside);
        bench.report.figure(
            &format!("{what} beside a tenant with 16 writers and heavy queries, p99"),
            ms(beside.p99()),
            format!("alone: {}", ms(alone.p99())),
            beside.p99() / alone.p99(),
            Bar::AtMost(NOISE),
        );
    }
    Ok(())
}

/// Reads and commits at a steady pace, in turn.
fn quiet(
    server: &Server,
    until: Instant,
    ids: &AtomicU64,
    quiet: &mut Quiet,
) -> Result<(), Failure> {
    let mut client = server.client()?;
    let never = AtomicBool::new(false);
    paced(until, &never, |turn| {
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
fn with_noise(server: &Server, ids: &AtomicU64, beside: &mut Quiet) -> Result<(u64, u64), Failure> {
    let done = AtomicBool::new(false);
    let (writes, heavy) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let mut noise = Vec::new();
        for number in 0..WRITERS + ASKERS {
            let (writes, heavy, done) = (&writes, &heavy, &done);
            noise.push(scope.spawn(move || match number < WRITERS {
                true => noisy(server, done, writes, || commit(RIVAL, ids)),
                false => noisy(server, done, heavy, || {
                    let body = json!({"query": HEAVY});
                    http::post(&format!("/graphs/{RIVAL}/query"), RIVAL, &body)
                }),
            }));
        }
        std::thread::sleep(HEAD_START);
        let measured = quiet(server, Instant::now() + TURN, ids, beside);
        done.store(true, Ordering::Relaxed);
        let ended = noise.into_iter().map(|one| {
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
