//! Two server processes on one config file: whatever they do at once, the file, both registries and the
//! disk agree afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::harness::{PEOPLE, Setup};
use crate::program::{Server, wait_until};

fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .expect("a client")
}

fn ids(http: &Client, server: &Server) -> Vec<String> {
    let path = format!("{}/graphs?limit=1000", server.address());
    let answer: Value = http
        .get(path)
        .send()
        .expect("an answer")
        .json()
        .expect("JSON");
    let graphs = answer["graphs"].as_array().expect("a list");
    let ids = graphs.iter().filter_map(|graph| graph["graph_id"].as_str());
    ids.map(str::to_owned).collect()
}

/// Servers and what came of what they were asked.
struct Contest<'a> {
    servers: &'a [Server; 2],
    http: &'a Client,
    /// How often each id was made, less how often it was deleted, as acknowledged.
    standing: &'a Mutex<BTreeMap<String, i64>>,
    /// How many graphs were made, deleted and purged that everybody wants.
    contended: &'a [AtomicUsize; 3],
}

impl Contest<'_> {
    fn send(&self, turn: usize, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let address = self.servers[turn % 2].address();
        let request = self
            .http
            .request(method.clone(), format!("{address}{path}"));
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().expect("an answer");
        let status = answer.status().as_u16();
        let said: Value = answer.json().expect("JSON");
        let allowed: &[u16] = match (&method, path.ends_with("/purge")) {
            (_, true) => &[200, 404, 409, 410, 503],
            (&Method::POST, false) => &[201, 409, 503],
            _ => &[200, 404, 503],
        };
        assert!(
            allowed.contains(&status),
            "{method} {path}: {status} {said}"
        );
        if status == 503 {
            let code = said["code"].as_str();
            assert_ne!(code, Some("outcome_unknown"), "{method} {path}: {said}");
        }
        (status, said)
    }

    fn count(&self, id: &str, made: i64) {
        let mut standing = self.standing.lock().expect("no panic");
        *standing.entry(id.to_owned()).or_default() += made;
    }

    /// Half of the ids are a thread's own. The other half is everybody's: two that share a uri, and one
    /// that has the place of its name.
    fn step(&self, thread: usize, step: usize) {
        let turn = thread + step;
        let own = step.is_multiple_of(2);
        let id = match own {
            true => format!("own-{thread}-{}", step / 8),
            false => format!("all-{}", turn % 3),
        };
        let deletes = match own {
            true => step % 8 == 6,
            false => step % 4 == 3,
        };
        let path = format!("/graphs/{id}");
        if deletes {
            let (status, _) = self.send(turn, Method::DELETE, &path, None);
            if status == 200 {
                self.count(&id, -1);
            }
            if !own {
                self.contended[1].fetch_add(usize::from(status == 200), Ordering::Relaxed);
                // So that the place is free again, while others ask for it.
                let (status, _) = self.send(turn, Method::POST, &format!("{path}/purge"), None);
                self.contended[2].fetch_add(usize::from(status == 200), Ordering::Relaxed);
            }
            return;
        }
        let mut body = json!({"graph_id": id, "schema": {"source": PEOPLE}});
        if !own && turn % 3 != 2 {
            body["uri"] = json!("../data/shared");
        }
        let (status, _) = self.send(turn, Method::POST, "/graphs", Some(body));
        if status == 201 {
            self.count(&id, 1);
            self.contended[0].fetch_add(usize::from(!own), Ordering::Relaxed);
        }
    }
}

/// The folders that the file and the records of deleted graphs speak of, and those that there are.
fn check_folders(folder: &Path, file: &serde_yaml::Value) {
    let name = |place: &str| {
        let name = Path::new(place).file_name().expect("a name");
        name.to_str().expect("UTF-8").to_owned()
    };
    let listed = |path: &str| -> Vec<_> {
        let listing = fs::read_dir(folder.join(path)).expect("listed");
        listing.map(|item| item.expect("listed").path()).collect()
    };
    let entries = file["graphs"].as_mapping().expect("entries").values();
    let mut expected: BTreeSet<String> = entries
        .map(|entry| name(entry["uri"].as_str().expect("a uri")))
        .collect();
    for record in listed("config/.trellis/deleted") {
        let record = fs::read(record).expect("read");
        let record: Value = serde_json::from_slice(&record).expect("JSON");
        assert_eq!(record["stage"], "kept", "{record}");
        let place = name(record["folder"].as_str().expect("a folder"));
        assert!(
            expected.insert(place),
            "a graph that is deleted as well: {record}"
        );
    }
    let found = listed("data").into_iter();
    let found: BTreeSet<String> = found
        .map(|path| name(path.to_str().expect("UTF-8")))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(listed("config/.trellis/intents").len(), 0);
    for place in ["config", "config/.trellis", "config/.trellis/deleted"] {
        let left = listed(place).into_iter();
        let left: Vec<_> = left
            .filter(|path| path.extension().is_some_and(|end| end == "tmp"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn two_hundred_creates_and_deletes_at_once() {
    let folder = Setup::default().write();
    let config = folder.path().join("config/trellis.yaml");
    let servers = [0, 1].map(|_| Server::start(&config, &["--unauthenticated"]));
    let http = client();
    let standing: Mutex<BTreeMap<String, i64>> = Mutex::default();
    let contended: [AtomicUsize; 3] = Default::default();
    let contest = Contest {
        servers: &servers,
        http: &http,
        standing: &standing,
        contended: &contended,
    };
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let contest = &contest;
            scope.spawn(move || (0..25).for_each(|step| contest.step(thread, step)));
        }
    });
    let [made, deleted, purged] = contended.map(AtomicUsize::into_inner);
    assert!(
        made >= 3 && deleted >= 2 && purged >= 1,
        "hardly contended: {made} made, {deleted} deleted, {purged} purged"
    );
    wait_until("both have read the file", || {
        ids(&http, &servers[0]) == ids(&http, &servers[1])
    });
    let served = ids(&http, &servers[0]);
    let text = fs::read_to_string(&config).expect("a file");
    assert!(text.starts_with("# The operator's own words.\n"), "{text}");
    let file: serde_yaml::Value = serde_yaml::from_str(&text).expect("YAML");
    let entries = file["graphs"].as_mapping().expect("entries");
    let mut declared: Vec<_> = entries
        .keys()
        .filter_map(|key| key.as_str().map(str::to_owned))
        .collect();
    declared.sort();
    assert_eq!(declared, served);
    // Every 201 is there that no later 200 has deleted, and nothing else is.
    let standing = standing.into_inner().expect("no panic");
    let standing: Vec<_> = standing
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .collect();
    let expected: Vec<_> = served.iter().map(|id| (id.clone(), 1)).collect();
    assert_eq!(standing, expected);
    check_folders(folder.path(), &file);
    let query = json!({"query": "MATCH (p:Person) RETURN count(*) AS n"});
    for id in &served {
        for server in &servers {
            let url = format!("{}/graphs/{id}/query", server.address());
            let answer = http.post(url).json(&query).send().expect("an answer");
            let status = answer.status().as_u16();
            let said: Value = answer.json().expect("JSON");
            assert_eq!(
                (status, &said["rows"][0]["n"]),
                (200, &json!(0)),
                "{id}: {said}"
            );
        }
    }
    for server in servers {
        assert!(server.terminate().success());
    }
}
