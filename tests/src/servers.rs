//! Two server processes on one config file: whatever they do at once, the file, both registries and the
//! disk agree afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
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

#[test]
fn two_hundred_creates_and_deletes_at_once() {
    let folder = Setup::default().write();
    let config = folder.path().join("config/trellis.yaml");
    let servers = [0, 1].map(|_| Server::start(&config, &["--unauthenticated"]));
    let http = client();
    // What each id was acknowledged to be, in order of acknowledgement by one thread per id.
    let last: Mutex<BTreeMap<String, bool>> = Mutex::default();
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (servers, http, last) = (&servers, &http, &last);
            scope.spawn(move || {
                for step in 0..25_usize {
                    let address = servers[(thread + step) % 2].address();
                    // Half of the ids are this thread's own, half are everybody's; every uri of the
                    // latter is the same.
                    let own = step % 2 == 0;
                    let id = if own {
                        format!("own-{thread}-{}", step / 8)
                    } else {
                        format!("all-{}", step % 5)
                    };
                    let (status, body) = if step % 8 == 6 {
                        let path = format!("{address}/graphs/{id}");
                        let answer = http
                            .request(Method::DELETE, path)
                            .send()
                            .expect("an answer");
                        (answer.status().as_u16(), answer.text().unwrap_or_default())
                    } else {
                        let mut body = json!({"graph_id": id, "schema": {"source": PEOPLE}});
                        if !own {
                            body["uri"] = json!("../data/shared");
                        }
                        let answer = http.post(format!("{address}/graphs")).json(&body).send();
                        let answer = answer.expect("an answer");
                        (answer.status().as_u16(), answer.text().unwrap_or_default())
                    };
                    assert!(
                        matches!(status, 200 | 201 | 404 | 409 | 503),
                        "{status} {body}"
                    );
                    if own && matches!(status, 200 | 201) {
                        let mut last = last.lock().expect("no panic");
                        last.insert(id, status == 201);
                    }
                }
            });
        }
    });
    wait_until("both have read the file", || {
        ids(&http, &servers[0]) == ids(&http, &servers[1])
    });
    let served = ids(&http, &servers[0]);
    for (id, is_there) in last.into_inner().expect("no panic") {
        assert_eq!(served.contains(&id), is_there, "{id}");
    }
    let shared = served.iter().filter(|id| id.starts_with("all-")).count();
    assert_eq!(shared, 1, "one uri is one graph's: {served:?}");
    let text = fs::read_to_string(&config).expect("a file");
    let file: serde_yaml::Value = serde_yaml::from_str(&text).expect("YAML");
    let mut declared: Vec<_> = file["graphs"]
        .as_mapping()
        .expect("entries")
        .keys()
        .filter_map(|key| key.as_str().map(str::to_owned))
        .collect();
    declared.sort();
    assert_eq!(declared, served);
    // Every folder is a graph's of the file, or one of a deleted graph.
    let state = folder.path().join("config/.trellis");
    let count = |path: &str| fs::read_dir(state.join(path)).map_or(0, Iterator::count);
    let folders = fs::read_dir(folder.path().join("data"))
        .expect("listed")
        .count();
    assert_eq!(folders, served.len() + count("deleted"));
    assert_eq!(count("intents"), 0);
    assert!(text.starts_with("# The operator's own words.\n"), "{text}");
    for server in servers {
        assert!(server.terminate().success());
    }
}
