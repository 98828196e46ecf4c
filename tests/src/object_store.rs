//! Graphs in an object store: the real program against moto, a server that speaks S3's protocol.
//! `./dev test` installs it; where it is not, this says so and is skipped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::harness::{PEOPLE, repository};
use crate::program::{self, Server};

const BUCKET: &str = "trellis-e2e";
const SECRET: &str = "the-secret-of-the-store";
const CONFIG: &str = "\
version: 1
server:
  storage: s3://trellis-e2e/graphs # new graphs go here
";

/// Killed when dropped.
struct Moto {
    process: Child,
    endpoint: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn moto() -> Option<Moto> {
    let given = std::env::var_os("TRELLIS_MOTO").map(PathBuf::from);
    let usual = || Some(std::env::home_dir()?.join(".cache/trellis/moto"));
    let packages = given.or_else(usual).unwrap_or_default();
    let process = Command::new("python3")
        .arg(repository().join("tests/s3.py"))
        .arg(BUCKET)
        .env("PYTHONPATH", &packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut port = String::new();
    let moto = process.ok().map(|mut process| {
        if let Some(said) = process.stdout.take() {
            let _ = BufReader::new(said).read_line(&mut port);
        }
        let endpoint = format!("http://127.0.0.1:{}", port.trim());
        Moto { process, endpoint }
    });
    if port.trim().is_empty() {
        let there = packages.join("moto/server.py").exists();
        assert!(!there, "moto is there and does not start");
        let packages = packages.display();
        println!("skipped: no moto in {packages}; ./dev test installs it");
        return None;
    }
    moto
}

/// A way to the store that can be cut.
struct Way {
    endpoint: String,
    cut: Arc<AtomicBool>,
}

impl Way {
    fn to(moto: &Moto) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let server = moto.endpoint.trim_start_matches("http://").to_owned();
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = cut.clone();
        // Both end with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, is_cut) = (server.clone(), is_cut.clone());
                std::thread::spawn(move || {
                    let server = TcpStream::connect(server).expect("moto");
                    let back = (server.try_clone(), client.try_clone());
                    let (back, forth) = (back.0.expect("a copy"), back.1.expect("a copy"));
                    let (there, here) = (is_cut.clone(), is_cut);
                    std::thread::spawn(move || carry(back, forth, &there));
                    carry(client, server, &here);
                });
            }
        });
        let endpoint = format!("http://127.0.0.1:{port}");
        Self { endpoint, cut }
    }
}

/// Until one of them ends, or the way is cut.
fn carry(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let mut buffer = [0; 1 << 16];
    while let Ok(count) = from.read(&mut buffer) {
        let over = count == 0 || cut.load(Ordering::Acquire);
        if over || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[test]
fn a_store_that_is_away_for_a_while_breaks_no_graph() {
    let Some(moto) = moto() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("trellis.yaml");
    std::fs::write(&config, CONFIG).expect("written");
    let first = moto.serve(&config);
    assert_eq!(create(&first, "alpha", None).0, 201);
    assert_eq!(add(&first, "alpha", "1@example.org").0, 200);
    assert!(first.terminate().success());
    let way = Way::to(&moto);
    way.cut.store(true, Ordering::Release);
    let second = Moto::serve_at(&way.endpoint, &config);
    let http = Client::builder().no_proxy().build().expect("a client");
    let query = json!({"query": "MATCH (p:Person) RETURN count(*) AS n"});
    for _ in 0..2 {
        let url = format!("{}/graphs/alpha/query", second.address());
        let answer = http.post(url).json(&query).send().expect("an answer");
        assert_eq!(answer.status().as_u16(), 503);
        assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
        let told: Value = answer.json().expect("JSON");
        assert_eq!(told["code"], "unavailable", "not set aside: {told}");
    }
    way.cut.store(false, Ordering::Release);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(count(&second, "alpha"), (200, json!(1)));
    assert_eq!(add(&second, "alpha", "2@example.org").0, 200);
    let show = || {
        let url = format!("{}/graphs/alpha", second.address());
        let answer = http.get(url).send().expect("an answer");
        let (status, retry) = (
            answer.status().as_u16(),
            answer.headers().contains_key("retry-after"),
        );
        let told: Value = answer.json().expect("JSON");
        (status, retry, told)
    };
    let (status, _, told) = show();
    assert_eq!(status, 200, "{told}");
    assert!(told["storage"]["log_segments"].as_u64() > Some(0), "{told}");
    // What cannot be listed is not told as nothing.
    way.cut.store(true, Ordering::Release);
    let (status, retry, told) = show();
    assert_eq!((status, retry), (503, true), "{told}");
    assert_eq!(told["code"], "unavailable", "{told}");
    way.cut.store(false, Ordering::Release);
}

impl Moto {
    fn serve(&self, config: &Path) -> Server {
        Self::serve_at(&self.endpoint, config)
    }

    fn serve_at(endpoint: &str, config: &Path) -> Server {
        Server::start_with(config, &["--unauthenticated"], &variables(endpoint))
    }

    /// What a command says of a place: its code, and both its outputs.
    fn trellis(&self, command: &str, place: &str) -> (Option<i32>, String) {
        let said = program::command()
            .args([command, place])
            .envs(variables(&self.endpoint))
            .output()
            .expect("it runs");
        let text = [said.stdout, said.stderr].concat();
        (
            said.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }
}

fn variables(endpoint: &str) -> [(&str, &str); 5] {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ]
}

fn post(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let http = Client::builder().no_proxy().build().expect("a client");
    let answer = http
        .post(format!("{}{path}", server.address()))
        .json(body)
        .send()
        .expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().expect("text");
    assert!(!text.contains(SECRET), "{text}");
    (status, serde_json::from_str(&text).unwrap_or_default())
}

fn create(server: &Server, id: &str, uri: Option<&str>) -> (u16, Value) {
    let mut body = json!({"graph_id": id, "schema": {"source": PEOPLE}});
    if let Some(uri) = uri {
        body["uri"] = json!(uri);
    }
    post(server, "/graphs", &body)
}

fn add(server: &Server, graph: &str, email: &str) -> (u16, Value) {
    let query = "CREATE (:Person {email: $email, name: $email})";
    let body = json!({"query": query, "params": {"email": email}});
    post(server, &format!("/graphs/{graph}/mutate"), &body)
}

fn count(server: &Server, graph: &str) -> (u16, Value) {
    let body = json!({"query": "MATCH (p:Person) RETURN count(*) AS n"});
    let (status, answer) = post(server, &format!("/graphs/{graph}/query"), &body);
    match status {
        200 => (200, answer["rows"][0]["n"].clone()),
        _ => (status, answer),
    }
}

/// With `TRELLIS_LONG`, for it waits until a lease is over.
#[test]
fn an_idle_server_is_succeeded_and_comes_back() {
    if std::env::var_os("TRELLIS_LONG").is_none() {
        println!("skipped: only with TRELLIS_LONG");
        return;
    }
    let Some(moto) = moto() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("trellis.yaml");
    std::fs::write(&config, CONFIG).expect("written");
    let first = moto.serve(&config);
    assert_eq!(create(&first, "alpha", None).0, 201);
    assert_eq!(add(&first, "alpha", "1@example.org").0, 200);
    let second = moto.serve(&config);
    assert_eq!(
        add(&second, "alpha", "2@example.org").0,
        503,
        "the lease is not over"
    );
    // Reading holds it, too.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_secs(5));
        assert_eq!(count(&first, "alpha"), (200, json!(1)));
    }
    assert_eq!(add(&second, "alpha", "2@example.org").0, 503);
    std::thread::sleep(Duration::from_secs(16));
    assert_eq!(add(&second, "alpha", "2@example.org").0, 200);
    // The first has what is acknowledged as soon as it reads, and acknowledges nothing itself.
    assert_eq!(count(&first, "alpha"), (200, json!(2)));
    let (status, answer) = add(&first, "alpha", "3@example.org");
    assert_eq!(
        (status, answer["code"].as_str()),
        (503, Some("graph_locked")),
        "{answer}"
    );
    second.kill();
    assert_eq!(add(&first, "alpha", "3@example.org").0, 200);
    assert_eq!(count(&first, "alpha"), (200, json!(3)));
}

#[test]
fn graphs_live_in_an_object_store() {
    let Some(moto) = moto() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("trellis.yaml");
    std::fs::write(&config, CONFIG).expect("written");
    let server = moto.serve(&config);

    assert_eq!(create(&server, "alpha", None).0, 201);
    let beta = "S3://trellis-e2e/graphs//elsewhere/beta/";
    assert_eq!(create(&server, "beta", Some(beta)).0, 201);
    for (uri, status, code) in [
        ("s3://trellis-e2e/graphs/alpha", 409, "uri_in_use"),
        ("s3://trellis-e2e/graphs/alpha/inside", 409, "uri_in_use"),
        ("s3://trellis-e2e/outside/gamma", 400, "invalid_uri"),
        ("s3://another-bucket/graphs/gamma", 400, "invalid_uri"),
        ("s3://trellis-e2e", 400, "invalid_uri"),
        ("s3://trellis-e2e/graphs/../gamma", 400, "invalid_uri"),
        ("data/gamma", 400, "invalid_uri"),
    ] {
        let (found, answer) = create(&server, "gamma", Some(uri));
        assert_eq!(
            (found, answer["code"].as_str()),
            (status, Some(code)),
            "{uri}: {answer}"
        );
    }
    let written = std::fs::read_to_string(&config).expect("read");
    assert!(written.starts_with(CONFIG), "{written}");
    assert!(
        written.contains("s3://trellis-e2e/graphs/alpha"),
        "{written}"
    );
    assert!(!written.contains("gamma"), "{written}");

    for number in 0..5 {
        let (status, answer) = add(&server, "alpha", &format!("{number}@example.org"));
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(add(&server, "beta", "b@example.org").0, 200);
    assert_eq!(count(&server, "alpha"), (200, json!(5)));

    // A second server reads along and finds the graph held, until the first has ended.
    let second = moto.serve(&config);
    for number in 5..9 {
        assert_eq!(count(&second, "alpha"), (200, json!(number)));
        let (status, answer) = add(&server, "alpha", &format!("{number}@example.org"));
        assert_eq!(status, 200, "{answer}");
        // What is acknowledged is there for everybody.
        assert_eq!(count(&second, "alpha"), (200, json!(number + 1)));
    }
    let (status, answer) = add(&second, "alpha", "two@example.org");
    assert_eq!(
        (status, answer["code"].as_str()),
        (503, Some("graph_locked")),
        "{answer}"
    );
    server.kill();
    assert_eq!(count(&second, "alpha"), (200, json!(9)));
    assert_eq!(add(&second, "alpha", "two@example.org").0, 200);
    assert!(second.terminate().success());

    let third = moto.serve(&config);
    assert_eq!(count(&third, "alpha"), (200, json!(10)));
    assert_eq!(count(&third, "beta"), (200, json!(1)));
    // The doctor reads it beside its writer; it is not repaired while somebody writes it.
    let (code, text) = moto.trellis("doctor", "s3://trellis-e2e/graphs/alpha");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("note     epochs: process "), "{text}");
    let (code, text) = moto.trellis("doctor", "s3://trellis-e2e/graphs/none");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("there is nothing at "), "{text}");
    let (code, text) = moto.trellis("repair", "s3://trellis-e2e/graphs/alpha");
    assert_eq!(code, Some(1), "{text}");
    let held = "holds the graph for writing: stop it first; nothing was changed";
    assert!(text.contains(held), "{text}");
    // The store goes away and the server says so, with nothing of its settings.
    drop(moto);
    let (status, answer) = add(&third, "alpha", "late@example.org");
    assert_eq!(status, 503, "{answer}");
}
