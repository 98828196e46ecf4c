//! The queries that are asked of everybody. An answer is checked before its time is shown.

use serde_json::{Value as Json, json};

use crate::bulk::{self, Loaded};
use crate::http;
use crate::report::{Bar, ms};
use crate::statistics::Samples;
use crate::subject::{Server, TOKEN, times};
use crate::{Bench, Failure};

/// Turns of everybody, after the one whose answers are checked.
const ROUNDS: usize = 5;
/// A turn ends after this time; the execution under way is finished.
const TURN_MS: u64 = 1_500;
/// Who takes longer than this in the checked turn has no other.
const SLOW_MS: f64 = 4_000.0;
/// The most that HTTP may add.
const HTTP_MS: f64 = 0.3;
/// What takes longer than this inside is too noisy for that bar.
const SMALL_MS: f64 = 5.0;
/// The bars against the fastest peer, and against the program in C.
const FASTEST: f64 = 1.0;
const FASTEST_BY_FAR: f64 = 0.25;
const FLOOR: f64 = 10.0;

/// What of the rows is compared with what is expected.
#[derive(Clone, Copy)]
enum Pick {
    /// One cell of the first row.
    Cell(usize),
    /// The number of rows.
    Count,
    /// A column.
    Column(usize),
    /// All but the first column, whose names peers have not.
    Others,
    /// All of it.
    Rows,
}

/// A query with its parameters and answers.
struct Query {
    name: &'static str,
    text: &'static str,
    /// What peers get, one each execution.
    arguments: Vec<Json>,
    /// What we get.
    parameters: Vec<Json>,
    pick: Pick,
    expected: Expected,
    bar: f64,
    /// Whether the floor's answer is a bar too.
    floor: bool,
}

enum Expected {
    /// Of each execution.
    Each(Vec<Json>),
    /// Of all of them.
    Sum(i64),
}

/// Whether it is what is expected; averages may differ in their last digits.
fn same(got: &Json, want: &Json) -> bool {
    match (got, want) {
        (Json::Array(got), Json::Array(want)) => {
            got.len() == want.len() && got.iter().zip(want).all(|(got, want)| same(got, want))
        }
        (Json::Number(_), Json::Number(want)) if want.is_f64() => {
            let (got, want) = (got.as_f64(), want.as_f64());
            got.zip(want)
                .is_some_and(|(got, want)| (got - want).abs() <= want.abs() * 1e-9)
        }
        (got, want) => got == want,
    }
}

/// Numbers in place of our keys: `p0000012` is 12.
fn plain(value: &Json) -> Json {
    match value {
        Json::String(text) => match text
            .strip_prefix('p')
            .and_then(|digits| digits.parse::<u64>().ok())
        {
            Some(number) => Json::from(number),
            None => value.clone(),
        },
        Json::Array(values) => values.iter().map(plain).collect(),
        _ => value.clone(),
    }
}

impl Pick {
    fn of(self, rows: &Json) -> Json {
        let all = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::Cell(column) => rows[0][column].clone(),
            Self::Count => all.len().into(),
            Self::Column(column) => all.iter().map(|row| row[column].clone()).collect(),
            Self::Others => all
                .iter()
                .map(|row| {
                    row.as_array()
                        .and_then(|cells| cells.get(1..))
                        .unwrap_or_default()
                })
                .map(|cells| cells.iter().cloned().collect::<Json>())
                .collect(),
            Self::Rows => plain(rows),
        }
    }
}

impl Query {
    /// Whether these are the answers; a turn may have ended early.
    fn check(&self, answers: &Json) -> Result<(), Failure> {
        let answers = answers.as_array().ok_or("no answers")?;
        let picked: Vec<_> = answers.iter().map(|rows| self.pick.of(rows)).collect();
        let right = match &self.expected {
            Expected::Each(expected) => {
                !picked.is_empty()
                    && picked
                        .iter()
                        .zip(expected)
                        .all(|(got, want)| same(got, want))
            }
            Expected::Sum(_) if picked.len() < self.arguments.len() => true,
            Expected::Sum(sum) => picked.iter().filter_map(Json::as_i64).sum::<i64>() == *sum,
        };
        match right {
            true => Ok(()),
            false => Err(format!("wrong answer: {:?}", picked.first()).into()),
        }
    }

    fn ours(&self, answers: bool) -> Json {
        json!({"do": "query", "graph": "social", "query": self.text, "params": self.parameters, "budget_ms": TURN_MS, "answers": answers})
    }

    fn theirs(&self, answers: bool) -> Json {
        json!({"do": "query", "name": self.name, "args": self.arguments, "budget_ms": TURN_MS, "answers": answers})
    }
}

fn key(id: &Json) -> Json {
    json!(format!("p{:07}", id.as_u64().unwrap_or_default()))
}

fn list(answers: &Json, name: &str) -> Result<Vec<Json>, Failure> {
    let list = answers[name].as_array().cloned();
    Ok(list.ok_or_else(|| format!("params.json has no {name}"))?)
}

/// Those that begin at a person.
fn local(answers: &Json) -> Result<Vec<Query>, Failure> {
    let queries = [
        (
            "point_lookup",
            "MATCH (p:Person {key: $k}) RETURN p.name AS name, p.age AS age",
            "point_keys",
            "",
            Pick::Cell(1),
            FASTEST,
        ),
        (
            "hop1",
            "MATCH (p:Person {key: $k})-[:Follows]->(f:Person) RETURN f.key AS key, f.name AS name",
            "hop1_keys",
            "hop1_counts",
            Pick::Count,
            FASTEST,
        ),
        (
            "hop2_distinct",
            "MATCH (p:Person {key: $k})-[:Follows]->(:Person)-[:Follows]->(f:Person) RETURN count(DISTINCT f) AS n",
            "hop2_keys",
            "hop2_distinct",
            Pick::Cell(0),
            FASTEST_BY_FAR,
        ),
        // One MATCH each: a walk may use an edge twice, a pattern may not.
        (
            "hop3_walks",
            "MATCH (p:Person {key: $k})-[:Follows]->(b:Person) MATCH (b)-[:Follows]->(c:Person) MATCH (c)-[:Follows]->(d:Person) RETURN count(*) AS n",
            "hop3_keys",
            "hop3_walks",
            Pick::Cell(0),
            FASTEST_BY_FAR,
        ),
    ];
    let queries = queries
        .into_iter()
        .map(|(name, text, keys, expected, pick, bar)| {
            let arguments = list(answers, keys)?;
            let expected = match expected {
                "" => Expected::Sum(answers["point_age_sum"].as_i64().ok_or("a sum")?),
                expected => Expected::Each(list(answers, expected)?),
            };
            let parameters = arguments.iter().map(|id| json!({"k": key(id)})).collect();
            Ok(Query {
                name,
                text,
                arguments,
                parameters,
                pick,
                expected,
                bar,
                floor: false,
            })
        });
    queries.collect()
}

/// Those about the whole graph.
fn global(answers: &Json) -> Vec<Query> {
    let top3 = answers["top3_in"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let counts: Json = top3.iter().map(|pair| pair[1].clone()).collect();
    let queries = [
        (
            "top3_indegree",
            "MATCH (a:Person)-[:Follows]->(p:Person) RETURN p.key AS key, p.name AS name, count(a) AS n ORDER BY n DESC LIMIT 3",
            Pick::Column(2),
            counts,
            FASTEST_BY_FAR,
            false,
        ),
        (
            "topk_indegree_filtered",
            "MATCH (a:Person)-[:Follows]->(p:Person) WHERE p.age >= 30 AND p.age <= 40 RETURN p.key AS key, count(a) AS n ORDER BY n DESC, key LIMIT 10",
            Pick::Rows,
            answers["topk_in_30_40"].clone(),
            FASTEST_BY_FAR,
            true,
        ),
        (
            "all_2walks",
            "MATCH (a:Person)-[:Follows]->(b:Person)-[:Follows]->(c:Person) RETURN count(*) AS n",
            Pick::Cell(0),
            answers["all_2walks"].clone(),
            FASTEST_BY_FAR,
            true,
        ),
        (
            "all_2walks_filtered",
            "MATCH (a:Person)-[:Follows]->(b:Person)-[:Follows]->(c:Person) WHERE b.age < 50 AND c.age > 25 RETURN count(*) AS n",
            Pick::Cell(0),
            answers["all_2walks_filtered"].clone(),
            FASTEST_BY_FAR,
            true,
        ),
        (
            "interest_city_top5",
            "MATCH (p:Person)-[:HasInterest]->(i:Interest) WHERE i.name = 'Tennis' AND p.gender = 'female' WITH p MATCH (p)-[:LivesIn]->(c:City) RETURN c.name AS city, count(p) AS n ORDER BY n DESC, city LIMIT 5",
            Pick::Column(1),
            answers["q6_tennis_female_top5_counts"].clone(),
            FASTEST,
            false,
        ),
    ];
    let queries = queries
        .into_iter()
        .map(|(name, text, pick, expected, bar, floor)| Query {
            name,
            text,
            arguments: vec![Json::Null; 5],
            parameters: vec![json!({}); 5],
            pick,
            expected: Expected::Each(vec![expected; 5]),
            bar,
            floor,
        });
    queries.collect()
}

fn shortest(answers: &Json) -> Result<Query, Failure> {
    let pairs = list(answers, "sp_pairs")?;
    Ok(Query {
        name: "shortest_path",
        text: "MATCH p = shortestPath((a:Person {key: $a})-[:Follows*..8]->(b:Person {key: $b})) RETURN length(p) AS n",
        parameters: pairs
            .iter()
            .map(|pair| json!({"a": key(&pair[0]), "b": key(&pair[1])}))
            .collect(),
        pick: Pick::Cell(0),
        expected: Expected::Each(pairs.iter().map(|pair| pair[2].clone()).collect()),
        arguments: pairs,
        bar: FASTEST_BY_FAR,
        floor: true,
    })
}

/// Those whose answers are computed by `answers.py`.
fn computed(answers: &Json) -> Result<Vec<Query>, Failure> {
    let pairs = |name: &str| -> Result<(Vec<Json>, Vec<Json>), Failure> {
        let pairs = list(answers, name)?;
        let given = pairs.iter().map(|pair| pair[0].clone()).collect();
        Ok((given, pairs.iter().map(|pair| pair[1].clone()).collect()))
    };
    let (people, reached) = pairs("reach4")?;
    let (ages, averages) = pairs("city_average")?;
    let triangles = Query {
        name: "triangles",
        text: "MATCH (a:Person)-[:Follows]->(b:Person)-[:Follows]->(c:Person)-[:Follows]->(a) RETURN count(*) AS n",
        arguments: vec![Json::Null; 3],
        parameters: vec![json!({}); 3],
        pick: Pick::Cell(0),
        expected: Expected::Each(vec![answers["triangles"].clone(); 3]),
        bar: FASTEST_BY_FAR,
        floor: false,
    };
    let reach = Query {
        name: "reach_1_to_4",
        text: "MATCH (p:Person {key: $k})-[:Follows*1..4]->(f:Person) RETURN count(DISTINCT f) AS n",
        parameters: people.iter().map(|id| json!({"k": key(id)})).collect(),
        arguments: people,
        pick: Pick::Cell(0),
        expected: Expected::Each(reached),
        bar: FASTEST_BY_FAR,
        floor: false,
    };
    let average = Query {
        name: "city_average",
        text: "MATCH (p:Person)-[:LivesIn]->(c:City) WHERE p.age >= $k RETURN c.name AS city, avg(p.age) AS average, count(p) AS n ORDER BY n DESC, city LIMIT 5",
        parameters: ages.iter().map(|age| json!({"k": age})).collect(),
        arguments: ages,
        pick: Pick::Others,
        expected: Expected::Each(averages),
        bar: FASTEST,
        floor: false,
    };
    let mut queries = vec![triangles, reach, average];
    queries.extend(enumerating(answers));
    Ok(queries)
}

/// Those that compare two nodes, or look for one: what cannot be counted from single nodes.
fn enumerating(answers: &Json) -> Vec<Query> {
    let queries = [
        (
            "older_ends",
            "MATCH (a:Person)-[:Follows]->(b:Person)-[:Follows]->(c:Person) WHERE a.age < c.age RETURN a.gender AS gender, count(*) AS n ORDER BY gender",
            Pick::Rows,
        ),
        (
            "older_friends",
            "MATCH (a:Person)-[:Follows]->(b:Person) WHERE a.age < b.age RETURN a.gender AS gender, b.gender AS other, avg(b.age - a.age) AS years, count(*) AS n ORDER BY gender, other",
            Pick::Rows,
        ),
        (
            "friends_back",
            "MATCH (a:Person) WHERE EXISTS { MATCH (a)-[:Follows]->(b:Person)-[:Follows]->(a) } RETURN count(*) AS n",
            Pick::Cell(0),
        ),
    ];
    let queries = queries.into_iter().map(|(name, text, pick)| Query {
        name,
        text,
        arguments: vec![Json::Null; 3],
        parameters: vec![json!({}); 3],
        pick,
        expected: Expected::Each(vec![answers[name].clone(); 3]),
        bar: FASTEST,
        floor: false,
    });
    queries.collect()
}

fn read(loaded: &Loaded, name: &str) -> Result<Json, Failure> {
    let text = std::fs::read_to_string(loaded.data.join(name))?;
    Ok(serde_json::from_str(&text)?)
}

fn all(loaded: &Loaded) -> Result<Vec<Query>, Failure> {
    let answers = read(loaded, "params.json")?;
    let mut queries = local(&answers)?;
    queries.extend(global(&answers));
    queries.push(shortest(&answers)?);
    queries.extend(computed(&read(loaded, "answers.json")?)?);
    Ok(queries)
}

/// Everybody answers every query, so that what they keep in memory is there.
pub(crate) fn once(loaded: &mut Loaded) -> Result<(), Failure> {
    let queries = all(loaded)?;
    for query in &queries {
        // Who cannot answer is told of where times are shown.
        let _ = loaded.engine.ask(&query.ours(false));
        let _ = over_http(&loaded.server, query);
        for peer in &mut loaded.peers {
            let _ = peer.ask(&query.theirs(false));
        }
    }
    Ok(())
}

/// One turn over HTTP: times, and rows as lists.
fn over_http(server: &Server, query: &Query) -> Result<(Vec<u64>, Json), Failure> {
    let mut client = server.client()?;
    client.exchange(&http::bare("GET", "/healthz", TOKEN))?;
    let (mut times, mut answers) = (Vec::new(), Vec::new());
    let mut total = 0;
    for parameters in &query.parameters {
        let body = json!({"query": query.text, "params": parameters});
        let request = http::post("/graphs/social/query", TOKEN, &body);
        let (time, answer) = client.timed(&request)?;
        let answer = answer.success()?;
        let rows = answer["rows"].as_array().ok_or("no rows")?;
        let rows = rows.iter().map(|row| {
            let cells = row
                .as_object()
                .map(|row| row.values().cloned().collect::<Json>());
            cells.unwrap_or_default()
        });
        answers.push(rows.collect::<Json>());
        times.push(time);
        total += time;
        if total > TURN_MS * 1_000_000 {
            break;
        }
    }
    Ok((times, answers.into()))
}

pub(crate) fn run(bench: &mut Bench) -> Result<(), Failure> {
    let mut loaded = bulk::for_questions(bench)?;
    for query in all(&loaded)? {
        if let Err(error) = ask(bench, &mut loaded, &query) {
            bench.report.skip(query.name, error);
        }
    }
    Ok(())
}

/// Whoever answers.
enum Side<'a> {
    Engine(&'a mut crate::subject::Subject),
    /// On a connection a turn: while others have theirs, the server would close it.
    Http(&'a Server),
    Peer(&'a mut crate::subject::Subject),
}

impl Side<'_> {
    fn turn(&mut self, query: &Query, answers: bool) -> Result<(Vec<u64>, Json), Failure> {
        let (subject, command) = match self {
            Self::Http(server) => return over_http(server, query),
            Self::Engine(subject) => (subject, query.ours(answers)),
            Self::Peer(subject) => (subject, query.theirs(answers)),
        };
        let mut answer = subject.ask(&command)?;
        Ok((times(&answer)?, answer["answers"].take()))
    }
}

/// Asks everybody in turn; who answers wrongly is shown as such and not timed.
fn ask(bench: &mut Bench, loaded: &mut Loaded, query: &Query) -> Result<(), Failure> {
    let mut sides = vec![
        (
            "trellis".to_owned(),
            Side::Engine(&mut loaded.engine),
            Samples::default(),
        ),
        (
            "http".to_owned(),
            Side::Http(&loaded.server),
            Samples::default(),
        ),
    ];
    sides.extend(
        loaded
            .peers
            .iter_mut()
            .map(|peer| (peer.name.clone(), Side::Peer(peer), Samples::default())),
    );
    let mut right = Vec::new();
    for (name, mut side, mut samples) in sides {
        let checked = side.turn(query, true).and_then(|(times, answers)| {
            // The floor checks its own answers.
            if name != "floor" {
                query.check(&answers)?;
            }
            Ok(times)
        });
        match checked {
            Ok(times) => {
                samples.extend(times);
                let slow = samples.p50() > SLOW_MS || name == "floor";
                right.push((name, side, samples, slow));
            }
            // It has the adjacency only, so not every answer.
            Err(_) if name == "floor" => {}
            Err(error) => bench.report.skip(&format!("{}: {name}", query.name), error),
        }
    }
    for round in 0..bench.count(ROUNDS, ROUNDS / 2) {
        // Who fails, out of time mostly, is shown as such, and the others go on.
        right.retain_mut(|(name, side, samples, slow)| {
            if *slow {
                return true;
            }
            if round == 0 {
                // What was checked also warmed up.
                *samples = Samples::default();
            }
            match side.turn(query, false) {
                Ok((times, _)) => samples.extend(times),
                Err(error) => {
                    let what = format!("{}: {name}", query.name);
                    bench.report.skip(&what, error);
                    return false;
                }
            }
            true
        });
    }
    let found: Vec<_> = right
        .into_iter()
        .map(|(name, _, samples, _)| (name, samples))
        .collect();
    show(bench, query, &found);
    Ok(())
}

fn show(bench: &mut Bench, query: &Query, found: &[(String, Samples)]) {
    for (name, samples) in found {
        bench
            .report
            .samples(&format!("query_{}_{name}", query.name), samples);
    }
    let of = |wanted: &str| {
        let side = found.iter().find(|(name, _)| name == wanted);
        side.map(|(_, samples)| samples.p50())
    };
    let Some(ours) = of("trellis") else { return };
    let peers = found
        .iter()
        .filter(|(name, _)| !["trellis", "http", "floor"].contains(&name.as_str()));
    let mut peers: Vec<_> = peers.map(|(name, samples)| (name, samples.p50())).collect();
    peers.sort_by(|one, other| one.1.total_cmp(&other.1));
    if let Some((_, fastest)) = peers.first() {
        let shown: Vec<_> = peers
            .iter()
            .map(|(name, time)| format!("{name} {}", ms(*time)))
            .collect();
        let bar = Bar::AtMost(query.bar);
        bench
            .report
            .figure(query.name, ms(ours), shown.join(", "), ours / fastest, bar);
    }
    if let Some(floor) = of("floor") {
        let bar = if query.floor {
            Bar::AtMost(FLOOR)
        } else {
            Bar::None
        };
        let against = format!("C: {}", ms(floor));
        bench.report.figure(
            &format!("{}, to the floor", query.name),
            ms(ours),
            against,
            ours / floor,
            bar,
        );
    }
    if let Some(http) = of("http") {
        let against = format!("inside: {}", ms(ours));
        let bar = if ours < SMALL_MS {
            Bar::AtMost(HTTP_MS)
        } else {
            Bar::None
        };
        bench.report.figure(
            &format!("{}, added by HTTP, ms", query.name),
            ms(http),
            against,
            http - ours,
            bar,
        );
    }
}
