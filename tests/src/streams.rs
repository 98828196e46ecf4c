//! Answers that are larger than the memory that they take, from the real program.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::blocking::Client;
use serde_json::json;

use crate::harness::{PEOPLE, Setup};
use crate::program::{self, Server};

/// Bytes of text in a row.
const TEXT: usize = 500;
const ROWS: usize = 200_000;
/// Bytes by which the process may grow over all answers, each of which is twice as large.
const GROWTH: u64 = 48 << 20;

/// The most memory that the process has had, in bytes.
fn most_memory(server: &Server) -> u64 {
    let path = format!("/proc/{}/status", server.child().id());
    let status = std::fs::read_to_string(path).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.expect("a line").trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().expect("a number") << 10
}

fn without_tokens() -> Setup {
    let setup = Setup::default();
    let config = setup
        .config
        .replace("  policy: { file: ../policies/server.cedar }\n", "")
        .replace("auth:\n  tokens_file: tokens.yaml\n", "");
    Setup { config, ..setup }
}

/// What the program prints, as bytes; it must succeed.
fn trellis(server: &Server, arguments: &[&str]) -> Vec<u8> {
    let mut command = program::command();
    let output = command
        .env("TRELLIS_SERVER", server.address())
        .args(arguments)
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    output.stdout
}

#[test]
fn the_command_line_has_every_format() {
    let folder = without_tokens().write();
    let config = folder.path().join("config/trellis.yaml");
    let server = Server::start(&config, &["--unauthenticated"]);
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("schema"), PEOPLE).expect("written");
    let create =
        "UNWIND range(1, 3) AS n CREATE (:Person {email: 'p' + toString(n), name: 'P', age: n})";
    for graph in ["one", "parquet", "arrow"] {
        trellis(
            &server,
            &["graph", "create", graph, "--schema", &path("schema")],
        );
    }
    trellis(&server, &["mutate", "one", create]);
    for format in ["parquet", "arrow"] {
        let file = path(&format!("people.{format}"));
        trellis(&server, &["export", "one", "--type", "Person", "-o", &file]);
        trellis(&server, &["load", format, "--type", "Person", &file]);
    }
    let ask = |graph: &str, format: &str| {
        let query = "MATCH (p:Person) RETURN p.email AS email, p.age AS age ORDER BY email";
        trellis(&server, &["query", graph, query, "--format", format])
    };
    let lines = ask("one", "ndjson");
    let expected = "{\"email\":\"p1\",\"age\":1}\n{\"email\":\"p2\",\"age\":2}\n{\"email\":\"p3\",\"age\":3}\n";
    assert_eq!(String::from_utf8_lossy(&lines), expected);
    for graph in ["parquet", "arrow"] {
        assert_eq!(ask(graph, "ndjson"), lines);
    }
    assert!(ask("one", "arrow").starts_with(&[255; 4]));
    let json: serde_json::Value = serde_json::from_slice(&ask("one", "json")).expect("JSON");
    assert_eq!(json["rows"][2], json!({"email": "p3", "age": 3}));
    let tree = trellis(
        &server,
        &["query", "one", "EXPLAIN MATCH (p:Person) RETURN p.age"],
    );
    let tree = String::from_utf8_lossy(&tree).into_owned();
    assert!(
        tree.contains("└ NodeScan") && tree.contains("(p:Person)"),
        "{tree}"
    );
}

#[test]
fn many_rows_do_not_build_up_in_memory() {
    let setup = without_tokens();
    let config = setup.config.replace(
        "  storage: ../data",
        "  limits: { max_rows: 1000000, query_memory_bytes: 16777216 }\n  storage: ../data",
    );
    let setup = Setup { config, ..setup };
    let folder = setup.write();
    let config = folder.path().join("config/trellis.yaml");
    let server = Server::start(&config, &["--unauthenticated"]);
    let http = Client::builder()
        .no_proxy()
        .timeout(None)
        .build()
        .expect("a client");
    let body = json!({"graph_id": "g", "schema": {"source": "node A { k: String @key }"}});
    let created = http
        .post(format!("{}/graphs", server.address()))
        .json(&body)
        .send();
    assert_eq!(created.expect("an answer").status(), 201);
    let before = most_memory(&server);
    let query =
        "UNWIND range(1, $outer) AS a UNWIND range(1, 1000) AS b RETURN a, b, $text AS text";
    let params = json!({"outer": ROWS / 1_000, "text": "x".repeat(TEXT)});
    for accept in [
        "application/json",
        "application/x-ndjson",
        "application/vnd.apache.arrow.stream",
    ] {
        let answer = http
            .post(format!("{}/graphs/g/query", server.address()))
            .header("accept", accept)
            .json(&json!({"query": query, "params": params}))
            .send();
        let mut answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200, "{answer:?}");
        let bytes = std::io::copy(&mut answer.by_ref(), &mut std::io::sink()).expect("whole");
        assert!(bytes > (ROWS * TEXT) as u64, "{accept}: {bytes}");
        let growth = most_memory(&server) - before;
        assert!(growth < GROWTH, "{accept}: {growth} bytes more");
    }
}

/// Answers of one row each that is long, and nobody who reads any: they wait for their room instead of all
/// being made, and who asks for little is served meanwhile.
#[test]
fn rows_that_nobody_reads_do_not_build_up_in_memory() {
    const CALLERS: usize = 64;
    let setup = without_tokens();
    let config = setup.config.replace(
        "  storage: ../data",
        "  limits: { query_memory_bytes: 33554432, query_timeout_ms: 20000 }\n  storage: ../data",
    );
    let folder = Setup { config, ..setup }.write();
    let config = folder.path().join("config/trellis.yaml");
    let server = Server::start(&config, &["--unauthenticated"]);
    let http = Client::builder().no_proxy().build().expect("a client");
    let url = format!("{}/graphs", server.address());
    let body = json!({"graph_id": "g", "schema": {"source": "node A { k: String @key }"}});
    let created = http.post(&url).json(&body).send().expect("an answer");
    assert_eq!(created.status(), 201);
    // A kilobyte, eight times as long four times over: four megabytes, and twice that.
    let longer = "WITH a + a + a + a + a + a + a + a AS a ".repeat(4);
    let query = format!("WITH $text AS a {longer} RETURN a + a AS long");
    let body = json!({"query": query, "params": {"text": "x".repeat(1_024)}}).to_string();
    let address = server.address().trim_start_matches("http://").to_owned();
    let ask = || {
        let mut stream = TcpStream::connect(&address).expect("a connection");
        write!(
            stream,
            "POST /graphs/g/query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("sent");
        stream
    };
    // One that is read is whole.
    let whole = http.post(format!("{url}/g/query")).body(body.clone());
    let whole = whole.header("content-type", "application/json").send();
    let whole = whole.expect("an answer").text().expect("whole").len();
    assert!(whole > 8 << 20, "{whole}");
    let before = most_memory(&server);
    let callers: Vec<_> = (0..CALLERS).map(|_| ask()).collect();
    std::thread::sleep(Duration::from_secs(5));
    let little = http.post(format!("{url}/g/query"));
    let little = little.json(&json!({"query": "MATCH (a:A {k: 'x'}) RETURN a.k"}));
    assert_eq!(little.send().expect("an answer").status(), 200);
    let growth = most_memory(&server) - before;
    // Half of what there is for all, 64 MiB, and what those hold that run, some copies of a row each; all of
    // them would be 512 MiB.
    assert!(
        growth < 320 << 20,
        "{growth} bytes more of {CALLERS} answers of {whole}"
    );
    drop(callers);
    assert!(server.terminate().success());
}

#[test]
fn why_an_answer_breaks_off_is_told() {
    let folder = without_tokens().write();
    let config = folder.path().join("config/trellis.yaml");
    let server = Server::start(&config, &["--unauthenticated"]);
    let schema = folder.path().join("schema").to_string_lossy().into_owned();
    std::fs::write(&schema, PEOPLE).expect("written");
    trellis(&server, &["graph", "create", "g", "--schema", &schema]);
    let late =
        "UNWIND range(1, 90000) AS n RETURN n, 'some text beside it' AS text, 1 / (80000 - n) AS x";
    let many = "UNWIND range(1, 3000000) AS n RETURN n";
    for format in ["table", "json", "ndjson"] {
        for (query, code) in [(late, "execution_failed"), (many, "row_limit")] {
            let output = program::command()
                .env("TRELLIS_SERVER", server.address())
                .args(["query", "g", "--format", format, query])
                .output()
                .expect("it runs");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{format}: {errors}");
            assert!(errors.contains(code), "{format}: {errors}");
        }
    }
}
