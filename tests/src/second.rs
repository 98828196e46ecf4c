//! Two servers on one config: one writes, the other reads along, and takes over when the writer dies.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::blocking::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Setup;
use crate::program::{Server, wait_until};

const COUNT: &str = "MATCH (n:N) RETURN count(*) AS n, max(n.k) AS last";

fn post(http: &Client, server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}{path}", server.address());
    let answer = http.post(url).json(body).send().expect("an answer");
    (answer.status().as_u16(), answer.json().expect("JSON"))
}

fn write(http: &Client, server: &Server, number: i64) -> (u16, Value) {
    let query = "CREATE (:N {k: $k})";
    let body = json!({"query": query, "params": {"k": number}});
    post(http, server, "/graphs/shared/mutate", &body)
}

fn seen(http: &Client, server: &Server) -> Value {
    let (status, answer) = post(
        http,
        server,
        "/graphs/shared/query",
        &json!({"query": COUNT}),
    );
    assert_eq!(status, 200, "{answer}");
    answer["rows"][0].clone()
}

/// A server that has made the graph `shared`, and whom to ask it with. `storage` is what the config says
/// of the server.
fn shared(storage: &str) -> (TempDir, Client, Server) {
    let setup = Setup {
        config: format!("version: 1\nserver: {{ storage: {storage} }}\n"),
        ..Setup::default()
    };
    let folder = setup.write();
    let http = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client");
    let first = Server::start(&config(&folder), &["--unauthenticated"]);
    let made = json!({"graph_id": "shared", "schema": {"source": "node N { k: I64 @key }"}});
    assert_eq!(post(&http, &first, "/graphs", &made).0, 201);
    (folder, http, first)
}

fn config(folder: &TempDir) -> PathBuf {
    folder.path().join("config/trellis.yaml")
}

#[test]
fn a_second_server_reads_along_and_takes_over_from_a_dead_one() {
    let (folder, http, first) = shared("../data");
    let config = config(&folder);
    assert_eq!(write(&http, &first, 0).0, 200);
    let second = Server::start(&config, &["--unauthenticated"]);
    for number in 1..30 {
        let (status, answer) = write(&http, &first, number);
        assert_eq!(status, 200, "{answer}");
        // What is acknowledged is there for everybody.
        assert_eq!(
            seen(&http, &second),
            json!({"n": number + 1, "last": number})
        );
    }
    let (status, refused) = write(&http, &second, 100);
    assert_eq!(
        (status, &refused["code"]),
        (503, &json!("graph_locked")),
        "{refused}"
    );
    first.kill();
    assert_eq!(seen(&http, &second)["n"], 30);
    let (status, taken) = write(&http, &second, 100);
    assert_eq!(status, 200, "{taken}");
    assert_eq!(seen(&http, &second), json!({"n": 31, "last": 100}));
    let third = Server::start(&config, &["--unauthenticated"]);
    assert_eq!(seen(&http, &third)["n"], 31);
    assert_eq!(write(&http, &third, 200).0, 503);
}

/// Each writes in turn: who has not used the graph for long has let it go.
#[test]
fn a_graph_that_is_not_used_is_free_for_the_other_server() {
    let (folder, http, first) = shared("../data, open_graphs: { idle: 0 }");
    let config = config(&folder);
    let servers = [first, Server::start(&config, &["--unauthenticated"])];
    for number in 0..4_i64 {
        let server = &servers[(number % 2) as usize];
        wait_until("the other has let it go", || {
            match write(&http, server, number) {
                (200, _) => true,
                (503, _) => false,
                (status, answer) => panic!("{status} {answer}"),
            }
        });
        for server in &servers {
            let expected = json!({"n": number + 1, "last": number});
            assert_eq!(seen(&http, server), expected);
        }
    }
}
