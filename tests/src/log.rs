//! The log of the real program, and somebody who does not read it.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use tempfile::TempDir;

use crate::harness::Setup;
use crate::program::Server;

/// As long as an id of a request may be: it stands in the line.
const ID: &str = "0123456789012345678901234567890123456789012345678901234567890123";
/// More requests than a pipe, and what waits for it, have lines.
const REQUESTS: usize = 20_000;

fn open_metrics() -> (TempDir, std::path::PathBuf) {
    let setup = Setup::default();
    let config = setup
        .config
        .replace("  storage:", "  metrics_open: true\n  storage:");
    let folder = Setup { config, ..setup }.write();
    let config = folder.path().join("config/trellis.yaml");
    (folder, config)
}

/// A server, and the end of its log that nobody reads yet.
fn unread(config: &Path) -> (Server, std::io::PipeReader) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    (Server::start_logging(config, writer), reader)
}

fn ask(http: &Client, server: &Server, path: &str) -> String {
    let request = http.get(format!("{}{path}", server.address()));
    let answer = request.header("x-request-id", ID).send();
    let answer = answer.expect("an answer, however full the log is");
    assert_eq!(answer.status(), 200);
    answer.text().expect("text")
}

fn dropped(http: &Client, server: &Server) -> u64 {
    let text = ask(http, server, "/metrics");
    let name = "trellis_log_lines_dropped_total ";
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|count| count.parse().ok()).expect("a count")
}

fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .expect("a client")
}

#[test]
fn a_log_that_nobody_reads_keeps_nobody_waiting() {
    let (_folder, config) = open_metrics();
    let (server, mut reader) = unread(&config);
    let http = client();
    let mut asked = 0;
    while asked % 1_000 != 0 || asked == 0 || dropped(&http, &server) == 0 {
        assert!(asked < REQUESTS, "nothing was dropped");
        ask(&http, &server, "/healthz");
        asked += 1;
    }
    // Somebody reads again: what was kept comes, how much is missing, and then every line.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("lines");
        text
    });
    crate::program::wait_until("there is room again", || {
        let before = dropped(&http, &server);
        ask(&http, &server, "/healthz");
        dropped(&http, &server) == before
    });
    let missing = dropped(&http, &server);
    assert!(server.terminate().success());
    let text = reading.join().expect("it ends with the process");
    let told = text
        .lines()
        .filter(|line| line.contains("lines of the log were dropped"));
    let told: u64 = told
        .filter_map(|line| line.rsplit_once("lines=")?.1.parse::<u64>().ok())
        .sum();
    assert_eq!(
        told,
        missing,
        "{}",
        text.get(text.len() - 2_000..).unwrap_or(&text)
    );
    assert!(
        text.lines()
            .filter(|line| line.contains("/healthz"))
            .count()
            > 1_000
    );
    let last: Vec<_> = text.lines().rev().take(3).collect();
    assert!(
        last.first().is_some_and(|line| line.ends_with("stopped")),
        "{last:?}"
    );
}

#[test]
fn a_server_stops_though_nobody_reads_its_log() {
    let (_folder, config) = open_metrics();
    let (server, _reader) = unread(&config);
    let http = client();
    for _ in 0..1_000 {
        ask(&http, &server, "/healthz");
    }
    let begun = Instant::now();
    assert!(server.terminate().success());
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}
