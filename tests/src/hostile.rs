//! What somebody sends who means harm, or whose program is broken: an error each, and the server goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, PEOPLE, Setup, Who};
use crate::program::Server;

/// The server still answers.
#[track_caller]
fn goes_on(server: &Harness) {
    assert_eq!(server.rows("people", "RETURN 1 AS one"), [[json!(1)]]);
}

fn server() -> Harness {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    server
}

/// A zstd frame of blocks that repeat one byte 128 Ki times in four bytes each (RFC 8878, section
/// 3.1.1.2).
pub(crate) fn zstd_bomb(blocks: u32) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    for block in 1..=blocks {
        let header = (128 << 10) << 3 | 1 << 1 | u32::from(block == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b' ');
    }
    frame
}

/// Bytes as gzip that compresses nothing (RFC 1951, section 3.2.4; RFC 1952).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let crc = !bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
        crc
    });
    let length = u16::try_from(bytes.len()).expect("short");
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&(!length).to_le_bytes());
    file.extend_from_slice(bytes);
    file.extend_from_slice(&crc.to_le_bytes());
    file.extend_from_slice(&u32::from(length).to_le_bytes());
    file
}

fn encoded(
    server: &Harness,
    path: &str,
    media_type: &str,
    encoding: &str,
    body: Vec<u8>,
) -> Answer {
    let request = server
        .request(Who::Writer, Method::POST, path)
        .header("content-type", media_type)
        .header("content-encoding", encoding);
    Answer::of(request.body(body))
}

const QUERY: &str = "/graphs/people/query";
const JSON: &str = "application/json";

#[test]
fn bodies_are_decoded_and_answers_encoded() {
    let server = server();
    let query = br#"{"query": "UNWIND range(1, 1000) AS n RETURN n"}"#;
    let answer = encoded(&server, QUERY, JSON, "gzip", gzip(query));
    assert_eq!(answer.status, 200, "{answer:?}");
    let line = br#"{"type":"Person","data":{"email":"ada@example.org","name":"Ada"}}"#;
    let load = "/graphs/people/load?mode=append";
    let answer = encoded(&server, load, "application/x-ndjson", "gzip", gzip(line));
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut blank = zstd_bomb(1);
    blank.truncate(10);
    let answer = encoded(&server, load, "application/x-ndjson", "zstd", blank);
    assert_eq!(answer.status, 200, "blank lines: {answer:?}");
    encoded(&server, QUERY, JSON, "br", query.to_vec())
        .assert_problem(415, "unsupported_media_type");
    encoded(&server, QUERY, JSON, "gzip", query.to_vec()).assert_problem(400, "invalid_request");
    for (accepted, magic) in [
        ("gzip", &[0x1f, 0x8b][..]),
        ("zstd", &[0x28, 0xb5, 0x2f, 0xfd]),
    ] {
        let answer = server
            .request(Who::Reader, Method::POST, QUERY)
            .header("accept-encoding", accepted)
            .header("content-type", JSON)
            .body(query.to_vec())
            .send()
            .expect("an answer");
        assert_eq!(answer.headers()["content-encoding"], accepted);
        let bytes = answer.bytes().expect("a body");
        assert!(bytes.starts_with(magic), "{accepted}");
        assert!(bytes.len() < 5_000, "{accepted}: {}", bytes.len());
    }
    goes_on(&server);
}

#[test]
fn little_that_expands_to_much_is_too_large() {
    let server = server();
    let bomb = zstd_bomb(4_096);
    assert!(bomb.len() < 17_000, "{}", bomb.len());
    let begun = Instant::now();
    for path in [QUERY, "/graphs/people/mutate"] {
        encoded(&server, path, JSON, "zstd", bomb.clone()).assert_problem(413, "body_too_large");
    }
    // 512 MB without a line ending: longer than any line may be.
    let load = "/graphs/people/load?mode=append";
    encoded(&server, load, "application/x-ndjson", "zstd", bomb)
        .assert_problem(400, "invalid_rows");
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
    goes_on(&server);
}

#[test]
fn deep_nesting_and_long_lines_are_refused() {
    let server = server();
    for text in [
        format!(
            "RETURN {}1{} AS x",
            "(".repeat(100_000),
            ")".repeat(100_000)
        ),
        format!(
            "RETURN {}1{} AS x",
            "[".repeat(100_000),
            "]".repeat(100_000)
        ),
        "(".repeat(100_000),
    ] {
        let answer = server.post(Who::Reader, QUERY, &json!({"query": text}));
        answer.assert_problem(400, "invalid_query");
    }
    let nested = format!("{{\"query\": {}", "[".repeat(100_000));
    let request = server.request(Who::Reader, Method::POST, QUERY);
    let answer = Answer::of(request.header("content-type", JSON).body(nested));
    assert_eq!(answer.status, 400, "{answer:?}");
    let line = format!(
        "{{\"type\":\"Person\",\"data\":{{\"email\":\"{}\"}}}}",
        "x".repeat(100 << 20)
    );
    let answer = server.load(Who::Writer, "people", "append", &line);
    answer.assert_problem(400, "invalid_rows");
    goes_on(&server);
}

#[test]
fn names_of_every_trick_find_and_make_nothing() {
    let server = server();
    let before = server.listing();
    let long = "a".repeat(65);
    for id in [
        "",
        " ",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "a b",
        "a\u{0}b",
        "a\nb",
        "\u{feff}a",
        "a\u{200d}b",
        "\u{430}lpha",
        "\u{ff41}lpha",
        "e\u{301}",
        "\u{e9}",
        "\u{202e}ahpla",
        "\u{1f600}",
        "a%2fb",
        "people\u{0}",
        "\u{212a}",
        "\u{131}d",
        "stra\u{df}e",
        "admin",
        "GRAPHS",
        "Metrics",
        &long,
    ] {
        let body = json!({"graph_id": id, "schema": {"source": PEOPLE}});
        server
            .post(Who::ServerAdmin, "/graphs", &body)
            .assert_problem(400, "invalid_graph_id");
        let mut path = String::new();
        for byte in id.bytes() {
            path += &format!("%{byte:02x}");
        }
        if id.len() > 2 {
            let path = format!("/graphs/{path}/query");
            server
                .post(Who::Reader, &path, &json!({"query": "RETURN 1 AS one"}))
                .assert_problem(404, "graph_not_found");
        }
    }
    for uri in [
        "/etc",
        "/etc/trellis",
        "../config",
        "../config/trellis.yaml",
        "../data",
        "..",
        "/",
        "../data/people",
        "../data/people/in",
        "file:///etc/x",
        "http://example.org/x",
        "../data/../config/.trellis/x",
        "~/x",
        "../data/\u{0}",
        " ",
    ] {
        let body = json!({"graph_id": "new", "uri": uri, "schema": {"source": PEOPLE}});
        let answer = server.post(Who::ServerAdmin, "/graphs", &body);
        assert!(matches!(answer.status, 400 | 409), "{uri}: {answer:?}");
        assert!(!answer.text.contains("root:"), "{uri}");
    }
    server.assert_unchanged(&before, "tricks");
    goes_on(&server);
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address.trim_start_matches("http://")).expect("a connection");
    let patience = Some(Duration::from_secs(50));
    stream.set_read_timeout(patience).expect("set");
    stream
}

fn status(address: &str, path: &str) -> u16 {
    asked(address, path).expect("an answer")
}

fn asked(address: &str, path: &str) -> std::io::Result<u16> {
    let mut stream = connect(address);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let code = text.get(9..12).and_then(|code| code.parse().ok());
    Ok(code.unwrap_or_default())
}

/// Idle ones, ones that send a byte a second, half-sent bodies: none keeps others out, and those that
/// never ask are cut off.
#[test]
fn slow_and_idle_connections_make_room_for_others() {
    let setup = Setup::default();
    let config = setup
        .config
        .replace("  storage:", "  limits: { connections: 200 }\n  storage:");
    let folder = Setup { config, ..setup }.write();
    let server = Server::start(
        &folder.path().join("config/trellis.yaml"),
        &["--unauthenticated"],
    );
    let address = server.address().to_owned();
    let mut slow = connect(&address);
    slow.write_all(b"GET /healthz HTTP/1.1\r\nx-slow: ")
        .expect("written");
    let mut half = connect(&address);
    half.write_all(b"POST /graphs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"gr")
        .expect("written");
    let begun = Instant::now();
    let idle: Vec<TcpStream> = (0..2_000).map(|_| connect(&address)).collect();
    std::thread::sleep(Duration::from_millis(1_500));
    let (mut answered, mut refused) = (0, 0);
    while answered < 20 {
        match asked(&address, "/healthz") {
            Ok(200) => answered += 1,
            Ok(503) => refused += 1,
            // Refused before its request had come: what comes then is answered with a reset, which may
            // overtake the 503.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ) =>
            {
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{answered} answered, {refused} refused"
        );
    }
    drop(idle);
    // A byte a second does not make a head within its time.
    let mut bytes = [0; 1_024];
    let cut = loop {
        if slow.write_all(b"x").is_err() {
            break true;
        }
        slow.set_read_timeout(Some(Duration::from_secs(1)))
            .expect("set");
        match slow.read(&mut bytes) {
            Ok(_) => break true,
            Err(_) if begun.elapsed() > Duration::from_secs(50) => break false,
            Err(_) => {}
        }
    };
    assert!(cut, "a byte a second was waited for");
    let mut answer = String::new();
    half.read_to_string(&mut answer).expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 408") || answer.is_empty(),
        "{answer}"
    );
    assert_eq!(status(&address, "/readyz"), 200);
    assert!(server.terminate().success());
}

/// Many long queries of one principal leave room for another's; more than may wait are told when to come
/// back; whoever hangs up is not worked for.
#[test]
fn one_who_asks_much_waits_for_itself() {
    let setup = Setup::default();
    let limits = "  limits: { queries_per_principal: 1, query_timeout_ms: 20000 }\n  storage:";
    let config = setup.config.replace("  storage:", limits);
    let server = Setup { config, ..setup }.start();
    server.create_graph("people", PEOPLE);
    let heavy: Value = json!({
        "query": "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b WITH a WHERE a < 0 RETURN count(*) AS n"
    });
    let outcomes = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..80)
            .map(|_| {
                let (server, heavy) = (&server, &heavy);
                scope.spawn(move || {
                    let request = server.request(Who::Writer, Method::POST, QUERY).json(heavy);
                    match request.timeout(Duration::from_secs(4)).send() {
                        Ok(answer) => {
                            let retry = answer.headers().get("retry-after").cloned();
                            (answer.status().as_u16(), retry.is_some())
                        }
                        // It hung up.
                        Err(_) => (0, false),
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        let light = json!({"query": "UNWIND range(1, 20000) AS n RETURN sum(n) AS n"});
        let answer = server.post(Who::Reader, QUERY, &light);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{:?}",
            begun.elapsed()
        );
        let ended = tasks.into_iter().map(|task| task.join().expect("ends"));
        ended.collect::<Vec<_>>()
    });
    assert!(outcomes.contains(&(429, true)), "{outcomes:?}");
    assert!(outcomes.contains(&(0, false)), "{outcomes:?}");
    // All of them have hung up: the next one has its turn soon.
    let begun = Instant::now();
    let light = json!({"query": "UNWIND range(1, 20000) AS n RETURN sum(n) AS n"});
    assert_eq!(server.post(Who::Writer, QUERY, &light).status, 200);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
