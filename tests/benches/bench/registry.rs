//! Many graphs: making one, starting with ten thousand, listing them, and what each takes that nobody
//! asks for.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::commits;
use crate::http::{self, Client};
use crate::limits;
use crate::report::{Bar, ms};
use crate::statistics::Samples;
use crate::subject::{ACME, Server, TOKEN, write};
use crate::{Bench, Failure, PEOPLE};

/// Graphs of a small server, and of a large one.
const FEW: usize = 10;
const MANY: usize = 10_000;
/// Graphs of a page of the list.
const PAGE: usize = 100;
/// Graphs made on the small server, in turn with the disk.
const CREATES: usize = 100;
/// Durable replacements of a file that making a graph is held against.
const REPLACEMENTS: usize = 4;
/// Round trips to the no-op for each.
const NOOPS: usize = 20;
/// Graphs made on the large server.
const CREATES_AMONG_MANY: usize = 15;
/// How often the large server is started.
const STARTS: usize = 3;
/// Lists of each server, in turn.
const LISTS: usize = 200;
/// Other requests: one each so often, for so long before graphs are made and while they are.
const PACE: Duration = Duration::from_millis(2);
const ALONE: Duration = Duration::from_secs(5);

/// The bars.
const CREATE_TO_DISK: f64 = 4.0;
const CREATE_AMONG_MANY_MS: f64 = 400.0;
const OTHERS_MEANWHILE: f64 = 1.5;
const START_MS: f64 = 3_000.0;
const LIST: f64 = 1.5;
const IDLE_KIB: f64 = 50.0;

pub(crate) fn run(bench: &mut Bench) -> Result<(), Failure> {
    creates(bench)?;
    let own = bench.work.join("own");
    own_policies(&own)?;
    let mut with_policies = Server::start_with(&own, &declared(MANY, true))?;
    starts(
        bench,
        &mut with_policies,
        ("start_own", ", each with its own policy"),
    )?;
    drop(with_policies);
    let mut many = Server::start_with(&bench.work.join("many"), &declared(MANY, false))?;
    starts(bench, &mut many, ("start_many", ""))?;
    lists(bench, &many)?;
    creates_among_many(bench, &many)
}

/// A policy for each of many graphs, no two of which are the same.
fn own_policies(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder.join("own"))?;
    for number in 0..MANY {
        let text = format!(
            "// Of g{number:05}.\n@id(\"owner\")\npermit (principal == User::\"owner-{number}\", action, resource);\n\n\
             @id(\"no-writing\")\nforbid (principal, action in Action::\"write\", resource)\nunless {{ \
             principal in Group::\"writers-{number}\" || principal in Group::\"admins\" }};\n"
        );
        write(&folder.join(format!("own/g{number:05}.cedar")), &text)?;
    }
    Ok(())
}

/// So many graphs as lines of a config, a page of them one tenant's; each with its own policy or without.
fn declared(count: usize, with_policies: bool) -> String {
    let mut lines = String::from("graphs:\n");
    for number in 0..count {
        let tenant = if number % (count / PAGE).max(1) == 0 {
            ACME.to_owned()
        } else {
            format!("tenant-{}", number % 977)
        };
        // Infallible: the target is a String.
        let _ = write!(
            lines,
            "  # graph {number}\n  g{number:05}:\n    uri: data/g{number:05}\n    tenant: {tenant}\n"
        );
        if with_policies {
            // Infallible: the target is a String.
            let _ = writeln!(lines, "    policy: {{ file: own/g{number:05}.cedar }}");
        }
    }
    lines
}

fn create(client: &mut Client, graph: &str, samples: &mut Samples) -> Result<(), Failure> {
    let body = json!({"graph_id": graph, "schema": {"source": PEOPLE}});
    let (time, answer) = client.timed(&http::post("/graphs", TOKEN, &body))?;
    answer.success()?;
    samples.add(time);
    Ok(())
}

/// Making a graph against the least that it could cost. As many are there each time.
fn creates(bench: &mut Bench) -> Result<(), Failure> {
    let server = Server::start(&bench.work.join("few"))?;
    let mut client = server.client()?;
    for number in 0..FEW {
        create(
            &mut client,
            &format!("few-{number}"),
            &mut Samples::default(),
        )?;
    }
    let (mut disk, mut noop, mut ours) = <(Samples, Samples, Samples)>::default();
    let floor = http::post("/graphs", TOKEN, &json!({"graph_id": "made-100"}));
    for number in 0..bench.count(CREATES, CREATES / 2) {
        disk.add(limits::replacements(&bench.work, REPLACEMENTS)?);
        bench.noop.sample(&floor, NOOPS, &mut noop)?;
        let graph = format!("made-{number}");
        create(&mut client, &graph, &mut ours)?;
        let request = http::bare("DELETE", &format!("/graphs/{graph}"), TOKEN);
        client.exchange(&request)?.success()?;
    }
    for (name, samples) in [
        ("create_few", &ours),
        ("create_few_disk", &disk),
        ("create_few_noop", &noop),
    ] {
        bench.report.samples(name, samples);
    }
    let limit = disk.p50() + noop.p50();
    bench.report.figure(
        "create a graph with 10 registered, over HTTP, p50",
        ms(ours.p50()),
        format!(
            "4 (create + fsync + rename + fsync of the folder) + no-op: {}",
            ms(limit)
        ),
        ours.p50() / limit,
        Bar::AtMost(CREATE_TO_DISK),
    );
    Ok(())
}

/// `name` and more words for what is measured.
fn starts(bench: &mut Bench, many: &mut Server, (name, more): (&str, &str)) -> Result<(), Failure> {
    let empty = Server::start(&bench.work.join(format!("empty-{name}")))?;
    let mut samples = Samples::default();
    for _ in 0..STARTS {
        let begun = Instant::now();
        many.restart()?;
        samples.add(u64::try_from(begun.elapsed().as_nanos())?);
    }
    bench.report.samples(name, &samples);
    bench.report.figure(
        &format!("start with 10,000 registered graphs{more}, ms"),
        ms(samples.p50()),
        "-",
        samples.p50(),
        Bar::AtMost(START_MS),
    );
    let (with, without) = (many.resident()?, empty.resident()?);
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let each = (with - without) * 1024.0 / MANY as f64;
    bench.report.figure(
        &format!("an idle closed graph{more}, KiB"),
        format!("{each:.1} KiB each of {MANY}"),
        format!("{with:.0} MiB, {without:.0} MiB without any"),
        each,
        Bar::AtMost(IDLE_KIB),
    );
    Ok(())
}

/// A page of the list for somebody who sees as many graphs on either server.
fn lists(bench: &mut Bench, many: &Server) -> Result<(), Failure> {
    let few = Server::start_with(&bench.work.join("hundred"), &declared(PAGE, false))?;
    let request = http::bare("GET", &format!("/graphs?limit={PAGE}"), ACME);
    let mut samples = [Samples::default(), Samples::default()];
    let mut clients = [few.client()?, many.client()?];
    for round in 0..=bench.count(LISTS, LISTS / 2) {
        for (client, samples) in clients.iter_mut().zip(&mut samples) {
            let (time, answer) = client.timed(&request)?;
            let answer = answer.success()?;
            let seen = answer["graphs"].as_array().map_or(0, Vec::len);
            if seen != PAGE {
                return Err(format!("the list has {seen} graphs").into());
            }
            if round > 0 {
                samples.add(time);
            }
        }
    }
    let [few, many] = &samples;
    bench.report.samples("list_hundred", few);
    bench.report.samples("list_many", many);
    bench.report.figure(
        "GET /graphs?limit=100 at 10,000 registered, filtered by policy, p50",
        ms(many.p50()),
        format!("at 100: {}", ms(few.p50())),
        many.p50() / few.p50(),
        Bar::AtMost(LIST),
    );
    Ok(())
}

/// Making graphs among many, while somebody else asks for something else.
fn creates_among_many(bench: &mut Bench, many: &Server) -> Result<(), Failure> {
    let mut client = many.client()?;
    create(&mut client, "busy", &mut Samples::default())?;
    for id in 0..100 {
        client.exchange(&commits::request("busy", id))?.success()?;
    }
    let never = AtomicBool::new(false);
    let alone = others(many, Instant::now() + ALONE, &never)?;
    let mut ours = Samples::default();
    let done = AtomicBool::new(false);
    let patience = Instant::now() + 60 * ALONE;
    let meanwhile = std::thread::scope(|scope| {
        let others = scope.spawn(|| others(many, patience, &done));
        let made = (0..bench.count(CREATES_AMONG_MANY, CREATES_AMONG_MANY / 3))
            .try_for_each(|number| create(&mut client, &format!("more-{number}"), &mut ours));
        done.store(true, Ordering::Relaxed);
        let others = others.join();
        made?;
        others.unwrap_or_else(|_| Err("the reader panicked".into()))
    })?;
    for (name, samples) in [
        ("create_many", &ours),
        ("create_many_others_alone", &alone),
        ("create_many_others", &meanwhile),
    ] {
        bench.report.samples(name, samples);
    }
    bench.report.figure(
        "create a graph with 10,000 registered, over HTTP, p50, ms",
        ms(ours.p50()),
        "-",
        ours.p50(),
        Bar::AtMost(CREATE_AMONG_MANY_MS),
    );
    bench.report.figure(
        "point reads of others while graphs are made among 10,000, p99",
        ms(meanwhile.p99()),
        format!("before: {}", ms(alone.p99())),
        meanwhile.p99() / alone.p99(),
        Bar::AtMost(OTHERS_MEANWHILE),
    );
    Ok(())
}

/// Point reads at a steady pace until it is time or somebody says so.
fn others(server: &Server, until: Instant, done: &AtomicBool) -> Result<Samples, Failure> {
    let mut client = server.client()?;
    let mut samples = Samples::default();
    paced(until, done, |turn| {
        let request = crate::reads::request("busy", turn * 7 % 100);
        let (time, answer) = client.timed(&request)?;
        answer.success()?;
        samples.add(time);
        Ok(())
    })?;
    Ok(samples)
}

/// Does something at a steady pace; it is told which turn it is. Turns that are missed are left out: a pace
/// that cannot be kept would only measure how long it was not.
#[expect(clippy::disallowed_methods, reason = "a steady pace is what is wanted")]
pub(crate) fn paced(
    until: Instant,
    done: &AtomicBool,
    mut turn: impl FnMut(u64) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut due = Instant::now();
    let mut number = 0;
    while due < until && !done.load(Ordering::Relaxed) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        turn(number)?;
        number += 1;
        due = (due + PACE).max(Instant::now());
    }
    Ok(())
}
