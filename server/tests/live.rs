//! A real server on a real socket: what must stop stops, and what races stays whole.
#![allow(
    clippy::disallowed_methods,
    reason = "tests write the files that people would"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::{Running, ServeOptions, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SCHEMA: &str = "node P { k: I64 @key } edge E: P -> P";
/// Far more paths than can be walked in any test's time.
const EXPLOSION: &str =
    "MATCH p = (a:P)-[:E*1..30]->(b:P) WHERE length(p) > 100 RETURN count(p) AS n";

fn config(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("trellis.yaml");
    let text =
        "version: 1 # mine\nserver:\n  storage: data\n  limits: { query_timeout_ms: 60000 }\n";
    std::fs::write(&path, text).expect("written");
    path
}

async fn serve(config: &Path) -> Running {
    let options = ServeOptions {
        bind: Some("127.0.0.1:0".to_owned()),
        unauthenticated: true,
        grace: Duration::from_millis(300),
        ..ServeOptions::new(config)
    };
    start(options).await.expect("starts")
}

async fn connect(server: &Running) -> TcpStream {
    TcpStream::connect(server.address())
        .await
        .expect("connects")
}

/// As bytes, so that tests may send half of it.
fn post(path: &str, media_type: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Status and body.
async fn send(server: &Running, request: &[u8]) -> (u16, Value) {
    let mut connection = connect(server).await;
    connection.write_all(request).await.expect("written");
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).await.expect("answered");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let status = text
        .get(9..12)
        .expect("a status")
        .parse()
        .expect("a number");
    let (_, body) = text.split_once("\r\n\r\n").expect("a body");
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

async fn ask(server: &Running, path: &str, body: &Value) -> (u16, Value) {
    send(server, &post(path, "application/json", &body.to_string())).await
}

fn graph(graph_id: &str) -> Value {
    json!({"graph_id": graph_id, "schema": {"source": SCHEMA}})
}

/// Forty nodes, each joined to each.
async fn dense(server: &Running) {
    assert_eq!(ask(server, "/graphs", &graph("dense")).await.0, 201);
    let nodes = (0..40).map(|k| format!("{{\"type\":\"P\",\"data\":{{\"k\":{k}}}}}\n"));
    let edges = (0..40).flat_map(|from| {
        (0..40).map(move |to| format!("{{\"edge\":\"E\",\"from\":{from},\"to\":{to}}}\n"))
    });
    let lines: String = nodes.chain(edges).collect();
    let load = post("/graphs/dense/load", "application/x-ndjson", &lines);
    assert_eq!(send(server, &load).await.0, 200);
}

/// Seconds of processor time that this process has used.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .expect("fields")
        .split_whitespace()
        .collect();
    let ticks: f64 =
        fields[11].parse::<f64>().expect("a number") + fields[12].parse::<f64>().expect("a number");
    ticks / 100.0
}

/// Whether this process comes to compute, or to rest, within some time: the machine may be busy with
/// other things.
async fn comes_to(compute: bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        let before = processor_seconds();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let used = processor_seconds() - before;
        if (compute && used > 0.1) || (!compute && used < 0.05) {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_limit_and_a_closed_connection_stop_the_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(&config(&folder)).await;
    dense(&server).await;
    let begun = Instant::now();
    let body = json!({"query": EXPLOSION, "timeout_ms": 100});
    let (status, problem) = ask(&server, "/graphs/dense/query", &body).await;
    assert_eq!(
        (status, &problem["code"]),
        (504, &json!("timeout")),
        "{problem}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        comes_to(false).await,
        "the statement goes on after its answer"
    );

    let mut connection = connect(&server).await;
    let request = post(
        "/graphs/dense/query",
        "application/json",
        &json!({"query": EXPLOSION}).to_string(),
    );
    connection.write_all(&request).await.expect("written");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(comes_to(true).await, "the statement was to run for long");
    drop(connection);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        comes_to(false).await,
        "the statement goes on without its caller"
    );

    // A writing one as well, and it leaves nothing.
    let writing = format!(
        "{} CREATE (:P {{k: 1000 + n}})",
        EXPLOSION.replace("RETURN count(p) AS n", "WITH count(p) AS n")
    );
    let mut connection = connect(&server).await;
    let request = post(
        "/graphs/dense/mutate",
        "application/json",
        &json!({"query": writing}).to_string(),
    );
    connection.write_all(&request).await.expect("written");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(comes_to(true).await, "the statement was to run for long");
    drop(connection);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        comes_to(false).await,
        "the write goes on without its caller"
    );
    let (status, _) = ask(
        &server,
        "/graphs/dense/mutate",
        &json!({"query": "CREATE (:P {k: 2000})"}),
    )
    .await;
    assert_eq!(status, 200, "the graph can be written");
    server.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_statement_does_not_keep_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(&config(&folder)).await;
    dense(&server).await;
    let mut connection = connect(&server).await;
    let request = post(
        "/graphs/dense/query",
        "application/json",
        &json!({"query": EXPLOSION}).to_string(),
    );
    connection.write_all(&request).await.expect("written");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    server.stop().await.expect("stops");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let mut text = String::new();
    connection
        .read_to_string(&mut text)
        .await
        .expect("answered");
    assert!(
        text.starts_with("HTTP/1.1 503") && text.contains("shutting_down"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_with_a_wrong_length_or_in_chunks_is_read_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(&config(&folder)).await;
    let body = graph("alpha").to_string();
    let chunked = format!(
        "POST /graphs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    assert_eq!(send(&server, chunked.as_bytes()).await.0, 201);
    // Shorter than it is: the rest is no request, and the part is no JSON.
    let sound = post("/graphs", "application/json", &graph("beta").to_string());
    let sound = String::from_utf8(sound).expect("UTF-8");
    let length = graph("beta").to_string().len();
    let with_length = |length: usize| {
        let (head, body) = sound.split_once("content-length: ").expect("a length");
        let (_, body) = body.split_once("\r\n").expect("a line");
        format!("{head}content-length: {length}\r\n{body}").into_bytes()
    };
    let (status, problem) = send(&server, &with_length(length - 5)).await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_json")));
    // Longer: it never comes whole.
    let mut connection = connect(&server).await;
    connection
        .write_all(&with_length(length + 5))
        .await
        .expect("written");
    connection.shutdown().await.expect("half closed");
    let mut rest = Vec::new();
    let _ = connection.read_to_end(&mut rest).await;
    assert!(
        !rest.starts_with(b"HTTP/1.1 2"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
    assert!(!folder.path().join("data/beta").exists());
    assert_eq!(send(&server, sound.as_bytes()).await.0, 201);
    server.stop().await.expect("stops");
}

/// What the config file, the disk and the server say of a graph: all of them yes, or all no.
async fn is_whole(server: &Running, folder: &Path, graph_id: &str) -> bool {
    let text = std::fs::read_to_string(folder.join("trellis.yaml")).expect("read");
    let in_file = text.contains(&format!("  {graph_id}:\n"));
    let on_disk = folder
        .join("data")
        .join(graph_id)
        .join("graph.json")
        .exists();
    let query = json!({"query": "MATCH (p:P) RETURN count(*) AS n"});
    let served = ask(server, &format!("/graphs/{graph_id}/query"), &query)
        .await
        .0
        == 200;
    assert_eq!((in_file, on_disk), (served, served), "{graph_id}");
    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_caller_goes_away_is_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(&config(&folder)).await;
    for (number, wait) in [0, 1, 3, 6, 10, 20].into_iter().enumerate() {
        let request = post(
            "/graphs",
            "application/json",
            &graph(&format!("g{number}")).to_string(),
        );
        let mut connection = connect(&server).await;
        connection.write_all(&request).await.expect("written");
        tokio::time::sleep(Duration::from_millis(wait)).await;
        drop(connection);
    }
    // A create waits its turn behind those.
    assert_eq!(ask(&server, "/graphs", &graph("last")).await.0, 201);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for number in 0..6 {
        is_whole(&server, folder.path(), &format!("g{number}")).await;
    }
    assert!(is_whole(&server, folder.path(), "last").await);
    let intents = std::fs::read_dir(folder.path().join(".trellis/intents")).expect("listed");
    assert_eq!(intents.count(), 0);
    server.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_creates_that_race_one_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = config(&folder);
    let servers = [serve(&path).await, serve(&path).await];
    for round in 0..3 {
        // The same id in two cases and without a uri, then the same uri under different ids.
        let (id, uri) = (format!("id{round}"), format!("data/place{round}"));
        let same_id = (0..8).map(|n| graph(&if n < 4 { id.clone() } else { id.to_uppercase() }));
        let same_uri = (0..8).map(|n| {
            let mut graph = graph(&format!("r{round}-{n}"));
            graph["uri"] = json!(if n < 4 {
                uri.clone()
            } else {
                format!("./{uri}/")
            });
            graph
        });
        let groups: [(Vec<Value>, &str); 2] = [
            (same_id.collect(), "graph_exists"),
            (same_uri.collect(), "uri_in_use"),
        ];
        for (requests, code) in groups {
            let asked = requests
                .iter()
                .enumerate()
                .map(|(number, request)| ask(&servers[number % 2], "/graphs", request));
            let answers = futures::future::join_all(asked).await;
            let made = answers.iter().filter(|(status, _)| *status == 201).count();
            assert_eq!(made, 1, "{answers:?}");
            for (_, problem) in answers.iter().filter(|(status, _)| *status != 201) {
                assert_eq!(problem["code"], code, "{problem}");
            }
        }
    }
    // Each server comes to know what the other has made.
    for server in &servers {
        let known = async || {
            let request = b"GET /graphs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            let (_, list) = send(server, request).await;
            list["graphs"].as_array().map_or(0, Vec::len)
        };
        let begun = Instant::now();
        while known().await != 6 && begun.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(known().await, 6);
    }
    let text = std::fs::read_to_string(&path).expect("read");
    assert!(text.starts_with("version: 1 # mine\n"), "{text}");
    assert_eq!(text.matches("uri: ").count(), 6, "{text}");
    let folders = std::fs::read_dir(folder.path().join("data")).expect("listed");
    assert_eq!(folders.count(), 6);
    for server in servers {
        server.stop().await.expect("stops");
    }
}
