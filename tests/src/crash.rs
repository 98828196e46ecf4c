//! The server process is killed in the middle of a stream of writes, again and again: every
//! acknowledged write is there afterwards, and none is half there.
//!
//! In two rounds of four, one more statement changes as many rows as make a fold due, so that kills
//! fall into it and into the fold of its rows; in another one a load goes on.
//!
//! 30 rounds, 1,000 with `TRELLIS_LONG`. The moments of the kills follow from a seed, which a failure
//! prints and `TRELLIS_SEED` sets.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::harness::Setup;
use crate::program::{self, Server};

/// Writers that share a connection pool, so that commits are grouped.
const WRITERS: usize = 4;
/// The longest that an ordinary round writes, in milliseconds.
const LONGEST: u64 = 400;
/// Two halves and what joins them are one statement: none may ever be seen without the others.
const HALVES: &str = "
node Half { id: String @key, round: I64 @index }
edge Twin: Half -> Half
node Bulk { id: I64 @key, round: I64 }
node Loaded { id: String @key, round: I64 }
";
/// As many rows as make a fold due (docs/architecture.md).
const BULK_ROWS: usize = 50_000;
/// As many lines as are loaded as columns: more than a megabyte of them.
const LOADED_ROWS: usize = 20_000;
const SET: &str = "MATCH (b:Bulk) SET b.round = $round";
const CREATE: &str =
    "CREATE (:Half {id: $left, round: $round})-[:Twin]->(:Half {id: $right, round: $round})";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// A sequence that is the same for the same seed (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client")
}

fn post(http: &Client, server: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let answer = http
        .post(format!("{server}{path}"))
        .json(body)
        .send()
        .ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().ok()?))
}

/// Writes until the server is gone; gives back what it acknowledged.
fn write(
    http: &Client,
    server: &str,
    round: u64,
    writer: usize,
    killed: &AtomicBool,
) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        let name = format!("{round}-{writer}-{count}");
        let body = json!({
            "query": CREATE,
            "params": {"left": format!("{name}-left"), "right": format!("{name}-right"), "round": round},
        });
        match post(http, server, "/graphs/halves/mutate", &body) {
            Some((200, _)) => acknowledged.push(name),
            Some((status, answer)) => panic!("a write failed with {status}: {answer}"),
            None if killed.load(Ordering::Acquire) => break,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    acknowledged
}

/// What a round does besides many small writes.
#[derive(Clone, Copy, PartialEq)]
enum Bulk {
    None,
    /// One statement changes every row of [`BULK_ROWS`], and is most likely killed.
    Killed,
    /// The same, and the kill comes after it was acknowledged, while its rows are folded.
    Acknowledged,
    /// [`LOADED_ROWS`] are loaded, and the kill may come at any time.
    Load,
}

impl Bulk {
    fn of(round: u64) -> Self {
        match round % 4 {
            0 => Self::Acknowledged,
            1 => Self::Killed,
            2 => Self::None,
            _ => Self::Load,
        }
    }

    /// The longest that the round goes on, in milliseconds.
    fn longest(self) -> u64 {
        match self {
            Self::Acknowledged | Self::Load => 4 * LONGEST,
            Self::Killed | Self::None => LONGEST,
        }
    }
}

/// Loads rows of the round; says whether that was acknowledged.
fn load(http: &Client, server: &str, round: u64) -> bool {
    let line = |at| {
        let data = json!({"id": format!("{round}-{at}"), "round": round});
        format!("{}\n", json!({"type": "Loaded", "data": data}))
    };
    let lines: String = (0..LOADED_ROWS).map(line).collect();
    let answer = http
        .post(format!("{server}/graphs/halves/load"))
        .header("content-type", "application/x-ndjson")
        .body(lines)
        .send();
    answer.is_ok_and(|answer| answer.status().as_u16() == 200)
}

/// What a round's server acknowledged.
struct Acknowledged {
    names: Vec<String>,
    load: bool,
}

/// Starts a server, lets it take writes, kills it.
fn killed_while_writing(config: &std::path::Path, round: u64, delay: Duration) -> Acknowledged {
    let kind = Bulk::of(round);
    let server = Server::start(config, &["--unauthenticated"]);
    let address = server.address().to_owned();
    let http = client();
    let killed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (http, address, killed) = (&http, &address, &killed);
                scope.spawn(move || write(http, address, round, writer, killed))
            })
            .collect();
        let bulk = scope.spawn(|| match kind {
            Bulk::None | Bulk::Load => None,
            Bulk::Killed | Bulk::Acknowledged => {
                let body = json!({"query": SET, "params": {"round": round}});
                post(&http, &address, "/graphs/halves/mutate", &body)
            }
        });
        let load = scope.spawn(|| kind == Bulk::Load && load(&http, &address, round));
        if kind == Bulk::Acknowledged {
            let answer = bulk.join().expect("the bulk ends");
            assert!(matches!(answer, Some((200, _))), "{answer:?}");
        }
        std::thread::sleep(delay);
        server.kill();
        killed.store(true, Ordering::Release);
        let names = writers
            .into_iter()
            .flat_map(|writer| writer.join().expect("a writer ends"));
        Acknowledged {
            names: names.collect(),
            load: load.join().expect("the load ends"),
        }
    })
}

fn rows(http: &Client, server: &str, query: &str, round: u64) -> Vec<Value> {
    let body = json!({"query": query, "params": {"round": round}});
    match post(http, server, "/graphs/halves/query", &body) {
        Some((200, mut answer)) => answer["rows"]
            .as_array_mut()
            .map(std::mem::take)
            .expect("rows"),
        other => panic!("{query}: {other:?}"),
    }
}

fn check(config: &std::path::Path, round: u64, acknowledged: &Acknowledged) {
    let server = Server::start(config, &["--unauthenticated"]);
    let http = client();
    let ask = |query: &str| rows(&http, server.address(), query, round);
    let pairs =
        ask("MATCH (l:Half {round: $round})-[:Twin]->(r:Half) RETURN l.id AS left, r.id AS right");
    let found: BTreeSet<_> = pairs
        .iter()
        .map(|pair| {
            let side = |name: &str| pair[name].as_str().unwrap_or_default();
            let left = side("left").trim_end_matches("-left").to_owned();
            assert_eq!(
                format!("{left}-right"),
                side("right"),
                "a pair of two names"
            );
            left
        })
        .collect();
    for name in &acknowledged.names {
        assert!(found.contains(name), "{name} was acknowledged and is gone");
    }
    let halves = ask("MATCH (h:Half {round: $round}) RETURN count(*) AS halves");
    assert_eq!(
        halves[0]["halves"],
        json!(2 * pairs.len()),
        "half of a write is there"
    );
    let bulk = ask("MATCH (b:Bulk) RETURN b.round AS round, count(*) AS rows");
    assert_eq!(bulk.len(), 1, "a part of the bulk is there: {bulk:?}");
    assert_eq!(
        bulk[0]["rows"],
        json!(BULK_ROWS),
        "a part of the bulk is gone"
    );
    if Bulk::of(round) == Bulk::Acknowledged {
        assert_eq!(bulk[0]["round"], json!(round), "the bulk was acknowledged");
    }
    let loaded = ask("MATCH (l:Loaded {round: $round}) RETURN count(*) AS rows");
    let loaded = loaded[0]["rows"].as_u64().expect("a count");
    assert!(
        loaded == LOADED_ROWS as u64 || (loaded == 0 && !acknowledged.load),
        "{loaded} rows of a load are there; acknowledged: {}",
        acknowledged.load
    );
    assert!(server.terminate().success(), "an orderly end after a crash");
}

#[test]
fn nothing_that_was_acknowledged_is_lost_and_nothing_is_half_there() {
    let rounds = if number("TRELLIS_LONG", 0) == 1 {
        1_000
    } else {
        30
    };
    let mut state = number("TRELLIS_SEED", u64::from(std::process::id()));
    println!("TRELLIS_SEED={state}");
    let folder = Setup::default().write();
    let config = folder.path().join("config/trellis.yaml");
    let first = Server::start(&config, &["--unauthenticated"]);
    let body = json!({"graph_id": "halves", "schema": {"source": HALVES}});
    let created = post(&client(), first.address(), "/graphs", &body);
    assert_eq!(
        created.as_ref().map(|(status, _)| *status),
        Some(201),
        "{created:?}"
    );
    let lines: String = (0..BULK_ROWS)
        .map(|id| format!("{{\"type\":\"Bulk\",\"data\":{{\"id\":{id},\"round\":-1}}}}\n"))
        .collect();
    let loaded = client()
        .post(format!("{}/graphs/halves/load", first.address()))
        .header("content-type", "application/x-ndjson")
        .body(lines)
        .send()
        .expect("an answer");
    assert_eq!(loaded.status().as_u16(), 200, "{:?}", loaded.text());
    let checkpoints = folder.path().join("data/halves/checkpoints");
    program::wait_until("so many rows are folded", || {
        std::fs::read_dir(&checkpoints).is_ok_and(|mut folder| folder.next().is_some())
    });
    first.kill();

    let mut total = 0;
    for round in 0..rounds {
        let delay = Duration::from_millis(next(&mut state) % Bulk::of(round).longest());
        let acknowledged = killed_while_writing(&config, round, delay);
        check(&config, round, &acknowledged);
        total += acknowledged.names.len();
    }
    assert!(
        total > 100,
        "only {total} writes were acknowledged: the test tests nothing"
    );
}
