//! Loading the social network, against the peers' COPY of the same, and what it takes in memory.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::queries;
use crate::report::{Bar, ms};
use crate::statistics::{Samples, median};
use crate::subject::{Server, Subject, wait_until};
use crate::{Bench, Failure};

const SCHEMA: &str = "\
node Country { name: String @key }
node State { name: String @key, country: String }
node City { name: String @key, state: String }
node Interest { name: String @key }
node Person { key: String @key, name: String, gender: String, age: I32, isMarried: Bool, bio: String }
edge Follows: Person -> Person { since: I32 }
edge LivesIn: Person -> City
edge HasInterest: Person -> Interest
edge CityIn: City -> State
edge StateIn: State -> Country
";
/// The Parquet files have numbers for keys.
const PARQUET_SCHEMA: &str = "\
node Country { id: I64 @key, name: String }
node State { id: I64 @key, name: String, country: String }
node City { id: I64 @key, name: String, state: String, country: String, population: I64 }
node Interest { id: I64 @key, name: String }
node Person { id: I64 @key, key: String, name: String, gender: String, age: I32, isMarried: Bool, bio: String }
edge Follows: Person -> Person { since: I32 }
edge LivesIn: Person -> City
edge HasInterest: Person -> Interest
edge CityIn: City -> State
edge StateIn: State -> Country
";
/// Each file and its type, in the order of loading.
const PARQUET: &[(&str, &str)] = &[
    ("nodes/country", "Country"),
    ("nodes/state", "State"),
    ("nodes/city", "City"),
    ("nodes/interest", "Interest"),
    ("nodes/person", "Person"),
    ("edges/follows", "Follows"),
    ("edges/lives_in", "LivesIn"),
    ("edges/has_interest", "HasInterest"),
    ("edges/city_in", "CityIn"),
    ("edges/state_in", "StateIn"),
];
/// People: as published, and for a quick look.
const PERSONS: usize = 100_000;
const QUICK_PERSONS: usize = 20_000;
/// Loads of everything, in turn; the last of each subject is asked questions afterwards.
const ROUNDS: usize = 3;
/// Loaded by one command from Parquet, each in turn with ours.
const RIVALS: &[&str] = &["kuzu", "ladybug"];

/// The bar: NDJSON against Kuzu's COPY from Parquet.
const NDJSON_TO_COPY: f64 = 3.0;
const PARQUET_TO_COPY: f64 = 1.0;
const MEMORY: f64 = 1.0;

/// Everybody has the same graph.
pub(crate) struct Loaded {
    pub(crate) data: PathBuf,
    pub(crate) server: Server,
    pub(crate) engine: Subject,
    pub(crate) peers: Vec<Subject>,
    /// Resident memory before, in the order of engine, server, peers.
    empty: Vec<f64>,
}

/// What one round took, in milliseconds.
#[derive(Default)]
struct Times {
    http: Vec<f64>,
    engine: Vec<f64>,
    peers: Vec<(String, f64)>,
}

/// The data of this run.
pub(crate) fn data(bench: &Bench) -> Result<PathBuf, Failure> {
    let persons = bench.count(PERSONS, QUICK_PERSONS);
    bench.peers.data(&bench.shared, persons)
}

fn files(data: &Path) -> Vec<PathBuf> {
    ["nodes", "edges"]
        .map(|name| data.join(format!("jsonl/{name}.jsonl")))
        .into()
}

pub(crate) fn load(bench: &mut Bench) -> Result<(), Failure> {
    let data = data(bench)?;
    let mut times = Times::default();
    let mut loaded = None;
    for round in 0..bench.count(ROUNDS, 1) {
        drop(loaded.take());
        loaded = Some(load_all(bench, &data, round, &mut times)?);
    }
    let mut loaded = loaded.ok_or("no round")?;
    let (http, engine) = (median(times.http), median(times.engine));
    bench.report.raw("load_peers_ms", json!(times.peers));
    let copy = |name: &str| {
        let times = times.peers.iter().filter(|(peer, _)| peer == name);
        median(times.map(|(_, time)| *time).collect())
    };
    let kuzu = copy("kuzu");
    let what = "bulk load of NDJSON";
    for (place, time) in [("over HTTP", http), ("inside the process", engine)] {
        let against = format!(
            "Kuzu's COPY from Parquet: {}; LadybugDB's: {}",
            ms(kuzu),
            ms(copy("ladybug"))
        );
        let bar = Bar::AtMost(NDJSON_TO_COPY);
        bench.report.figure(
            &format!("{what}, {place}"),
            ms(time),
            against,
            time / kuzu,
            bar,
        );
    }
    parquet(bench, &loaded, kuzu)?;
    memory(bench, &mut loaded)
}

/// One load by everybody, each into something fresh.
fn load_all(
    bench: &mut Bench,
    data: &Path,
    round: usize,
    times: &mut Times,
) -> Result<Loaded, Failure> {
    let folder = bench.work.join(format!("load-{round}"));
    let server = Server::start(&folder.join("server"))?;
    server.create_graph("social", SCHEMA)?;
    let mut engine = bench.engine()?;
    let mut empty = vec![engine.resident()?, server.resident()?];
    let command =
        json!({"do": "open", "graph": "social", "folder": folder.join("engine"), "schema": SCHEMA});
    engine.ask(&command)?;
    let answer = engine.ask(&json!({"do": "load", "graph": "social", "files": files(data)}))?;
    eprintln!("  inside the process: {answer}");
    times.engine.push(time(&answer)?);
    bench.report.raw(&format!("load_engine_{round}"), answer);
    let begun = Instant::now();
    let answer = server
        .load("social", &files(data), "application/x-ndjson")?
        .success()?;
    times.http.push(begun.elapsed().as_secs_f64() * 1e3);
    bench.report.raw(&format!("load_http_{round}"), answer);
    let mut peers = Vec::new();
    for name in RIVALS {
        match rival(bench, data, &folder, name, &mut empty) {
            Ok((peer, time)) => {
                eprintln!("  {name}: {time:.0} ms");
                times.peers.push(((*name).to_owned(), time));
                peers.push(peer);
            }
            Err(error) => bench.report.skip(&format!("load by {name}"), error),
        }
    }
    let memory = (engine.resident()?, server.resident()?);
    bench.report.raw(
        &format!("memory_after_load_mib_{round}"),
        json!({"engine": memory.0, "server": memory.1}),
    );
    Ok(Loaded {
        data: data.to_owned(),
        server,
        engine,
        peers,
        empty,
    })
}

fn rival(
    bench: &Bench,
    data: &Path,
    folder: &Path,
    name: &str,
    empty: &mut Vec<f64>,
) -> Result<(Subject, f64), Failure> {
    let mut peer = bench.peers.start(name, &folder.join(name))?;
    let before = peer.resident()?;
    let answer = peer.ask(&json!({"do": "load", "data": data}))?;
    empty.push(before);
    Ok((peer, time(&answer)?))
}

#[expect(clippy::cast_precision_loss, reason = "shown in milliseconds")]
fn time(answer: &Json) -> Result<f64, Failure> {
    Ok(answer["nanos"].as_u64().ok_or("a time")? as f64 / 1e6)
}

/// The same data from Parquet, a file a type, into a graph of its own in the same process.
fn parquet(bench: &mut Bench, loaded: &Loaded, kuzu: f64) -> Result<(), Failure> {
    let path = |(file, _): &(&str, &str)| loaded.data.join(format!("{file}.parquet"));
    let files: Vec<_> = PARQUET.iter().map(path).collect();
    let types: Vec<_> = PARQUET.iter().map(|(_, name)| name).collect();
    let mut times = Vec::new();
    for round in 0..bench.count(ROUNDS, 1) {
        let mut engine = bench.engine()?;
        let folder = bench.work.join(format!("parquet-{round}"));
        engine.ask(
            &json!({"do": "open", "graph": "p", "folder": folder, "schema": PARQUET_SCHEMA}),
        )?;
        let answer =
            engine.ask(&json!({"do": "load", "graph": "p", "files": files, "types": types}))?;
        times.push(time(&answer)?);
        bench.report.raw(&format!("load_parquet_{round}"), answer);
    }
    let time = median(times);
    let bar = Bar::AtMost(PARQUET_TO_COPY);
    let what = "bulk load of Parquet, inside the process";
    bench
        .report
        .figure(what, ms(time), ms(kuzu), time / kuzu, bar);
    Ok(())
}

/// Everybody starts again on what is stored, answers every query of the benchmark once, and holds
/// what it then holds.
fn memory(bench: &mut Bench, loaded: &mut Loaded) -> Result<(), Failure> {
    let folder = bench.work.join(loaded_folder(loaded));
    let command = json!({"do": "fold", "graph": "social"});
    let folded = loaded.engine.ask(&command)?;
    bench.report.raw("load_fold", folded);
    let folds = folder.join("server/data/social/checkpoints");
    wait_until(|| std::fs::read_dir(&folds).ok()?.next()).ok_or("the server does not fold")??;
    loaded.engine = bench.engine()?;
    let open = json!({"do": "open", "graph": "social", "folder": folder.join("engine")});
    let opened = loaded.engine.ask(&open)?;
    let mut reopened = Samples::default();
    reopened.add(opened["nanos"].as_u64().ok_or("a time")?);
    bench.report.samples("reopen_loaded", &reopened);
    let bar = Bar::None;
    bench.report.figure(
        "reopen of the loaded graph, ms",
        ms(reopened.p50()),
        "-",
        reopened.p50(),
        bar,
    );
    loaded.server.restart()?;
    for peer in &mut loaded.peers {
        peer.ask(&json!({"do": "reopen"}))?;
    }
    queries::once(loaded)?;
    let resident = [loaded.engine.resident()?, loaded.server.resident()?];
    let mut rivals = Vec::new();
    for (peer, empty) in loaded.peers.iter().zip(&loaded.empty[2..]) {
        rivals.push((peer.name.clone(), peer.resident()? - empty));
    }
    let least = rivals.iter().map(|(_, mib)| *mib).fold(f64::NAN, f64::min);
    let shown: Vec<_> = rivals
        .iter()
        .map(|(name, mib)| format!("{name} {mib:.0} MiB"))
        .collect();
    let bar = Bar::AtMost(MEMORY);
    for ((place, resident), empty) in ["engine", "server"].iter().zip(resident).zip(&loaded.empty) {
        let above = resident - empty;
        bench.report.figure(
            &format!("memory of the loaded graph above the empty process, {place}, every query asked once"),
            format!("{above:.0} MiB"),
            shown.join(", "),
            above / least,
            bar,
        );
    }
    Ok(())
}

/// The folder of the round that is kept, below that of the run.
fn loaded_folder(loaded: &Loaded) -> PathBuf {
    loaded
        .server
        .folder()
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// The graph for questions, loaded once, with the peers that only answer.
pub(crate) fn for_questions(bench: &mut Bench) -> Result<Loaded, Failure> {
    let data = data(bench)?;
    let mut loaded = load_all(bench, &data, ROUNDS, &mut Times::default())?;
    for name in ["duckdb", "sqlite", "floor"] {
        let folder = bench.work.join(name);
        match rival(bench, &data, &folder, name, &mut Vec::new()) {
            Ok((peer, _)) => loaded.peers.push(peer),
            Err(error) => bench.report.skip(&format!("questions to {name}"), error),
        }
    }
    loaded
        .engine
        .ask(&json!({"do": "fold", "graph": "social"}))?;
    Ok(loaded)
}
