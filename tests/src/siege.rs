//! Each kind of hostile input against the real program, while another tenant reads a point: it is refused
//! with a code and a sentence, the other tenant is answered soon all the while, and the memory of the
//! process stays bounded ([`crate::hostile`] has what needs none of that).

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Answer, PEOPLE, Setup, TENANT, Who};
use crate::program::Server;

/// How long the other tenant may wait for a point read. Beside it a slow machine compiles and runs other
/// tests.
const SOON: Duration = Duration::from_secs(4);
/// How much the process may grow, in bytes; the attack alone sends or expands to more, or would.
const GROWTH: u64 = 700 << 20;
/// Between two reads of the other tenant.
const PACE: Duration = Duration::from_millis(20);

const JSON: &str = "application/json";
const QUERY: &str = "/graphs/people/query";
/// Everything that takes JSON.
const TAKE_JSON: [&str; 5] = [
    QUERY,
    "/graphs/people/query/explain",
    "/graphs/people/mutate",
    "/graphs",
    "/admin/config/reload",
];

/// A server that is attacked.
struct Siege {
    server: Server,
    http: Client,
    folder: TempDir,
}

impl Siege {
    fn begin() -> Self {
        Self::begin_with("")
    }

    /// With these keys of `server:`.
    fn begin_with(keys: &str) -> Self {
        let setup = Setup::default();
        let config = setup
            .config
            .replace("  storage:", &format!("{keys}  storage:"));
        let folder = Setup { config, ..setup }.write();
        let server = Server::start(&folder.path().join("config/trellis.yaml"), &[]);
        let http = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(120))
            .build()
            .expect("a client");
        let siege = Self {
            server,
            http,
            folder,
        };
        for (graph, tenant) in [("people", TENANT), ("theirs", "rival")] {
            let body = json!({"graph_id": graph, "schema": {"source": PEOPLE}, "tenant": tenant});
            let answer = siege.post(Who::ServerAdmin, "/graphs", &body);
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        let one = json!({"query": "CREATE (:Person {email: 'ada', name: 'Ada'})"});
        let answer = siege.post(Who::OtherTenant, "/graphs/theirs/mutate", &one);
        assert_eq!(answer.status, 200, "{answer:?}");
        siege.point_read();
        siege
    }

    fn request(&self, who: Who, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.server.address()));
        match who.token() {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn post(&self, who: Who, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(who, Method::POST, path).json(body))
    }

    fn send(&self, path: &str, media_type: &str, body: Vec<u8>) -> Answer {
        let request = self.request(Who::ServerAdmin, Method::POST, path);
        Answer::of(request.header("content-type", media_type).body(body))
    }

    /// What another tenant does all the time.
    fn point_read(&self) -> Duration {
        let body = json!({"query": "MATCH (p:Person {email: 'ada'}) RETURN p.name AS name"});
        let begun = Instant::now();
        let answer = self.post(Who::OtherTenant, "/graphs/theirs/query", &body);
        assert_eq!(answer.body["rows"], json!([{"name": "Ada"}]), "{answer:?}");
        begun.elapsed()
    }

    /// The most memory that the process ever had, in bytes.
    fn most_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.server.child().id());
        let status = fs::read_to_string(path).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("a number")
            << 10
    }

    /// Attacks, and holds the server to its word meanwhile.
    #[track_caller]
    fn during(&self, attack: impl FnOnce()) {
        let before = self.most_memory();
        let done = AtomicBool::new(false);
        let (reads, slowest) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut reads, mut slowest) = (0, Duration::ZERO);
                while !done.load(Ordering::Relaxed) || reads == 0 {
                    slowest = slowest.max(self.point_read());
                    reads += 1;
                    std::thread::sleep(PACE);
                }
                (reads, slowest)
            });
            let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attack));
            done.store(true, Ordering::Relaxed);
            let outcome = reader.join().expect("every read is answered");
            if let Err(panic) = attacked {
                std::panic::resume_unwind(panic);
            }
            outcome
        });
        // The kernel counts it a thread at a time, so it may even have gone down.
        let grown = self.most_memory().saturating_sub(before);
        println!(
            "{reads} reads, the slowest {slowest:?}; {} MiB more",
            grown >> 20
        );
        assert!(slowest < SOON, "the slowest of {reads} reads: {slowest:?}");
        assert!(grown < GROWTH, "{} MiB more", grown >> 20);
    }
}

/// Asserts that it is this problem, with a sentence for a person.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    answer.assert_problem(status, code);
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    assert!((10..2_000).contains(&detail.len()), "{answer:?}");
}

#[test]
fn sixteen_kilobytes_that_expand_to_half_a_gigabyte() {
    let siege = Siege::begin();
    let bomb = crate::hostile::zstd_bomb(4_096);
    let send = |path: &str, media_type: &str| {
        let request = siege.request(Who::ServerAdmin, Method::POST, path);
        let request = request
            .header("content-type", media_type)
            .header("content-encoding", "zstd");
        Answer::of(request.body(bomb.clone()))
    };
    siege.during(|| {
        for path in TAKE_JSON {
            refused(&send(path, JSON), 413, "body_too_large");
        }
        let load = "/graphs/people/load?mode=append";
        refused(&send(load, "application/x-ndjson"), 400, "invalid_rows");
        let csv = format!("{load}&type=Person");
        refused(&send(&csv, "text/csv"), 400, "invalid_rows");
    });
}

#[test]
fn a_hundred_thousand_brackets_wherever_text_is_taken() {
    let siege = Siege::begin();
    let nested =
        |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    let write = |path: &str, text: &str| {
        fs::write(siege.folder.path().join(path), text).expect("a file");
    };
    let create = |more: (&str, Value)| {
        let mut body = json!({"graph_id": "new", "schema": {"source": PEOPLE}});
        body[more.0] = more.1;
        siege.post(Who::ServerAdmin, "/graphs", &body)
    };
    siege.during(|| {
        for (open, close) in [("(", ")"), ("[", "]"), ("{", "}"), ("(", "")] {
            let body = json!({"query": format!("RETURN {} AS x", nested(open, close))});
            for path in [QUERY, "/graphs/people/mutate"] {
                refused(
                    &siege.post(Who::ServerAdmin, path, &body),
                    400,
                    "invalid_query",
                );
            }
            let source = format!("node A {{ a: {} }}", nested(open, close));
            let answer = create(("schema", json!({"source": source})));
            refused(&answer, 400, "invalid_schema");
        }
        for text in [
            nested("[", "]"),
            nested("{\"a\":", "}"),
            "[".repeat(100_000),
        ] {
            for path in TAKE_JSON {
                let key = ["graph_id", "query", "dry_run"];
                for key in key {
                    let body = format!("{{\"{key}\": {text}");
                    let answer = siege.send(path, JSON, body.into_bytes());
                    assert_eq!(answer.status, 400, "{answer:?}");
                    let code = answer.body["code"].as_str().unwrap_or_default();
                    refused(&answer, 400, code);
                }
            }
            let body = format!("{{\"query\": \"RETURN $a AS a\", \"params\": {{\"a\": {text}}}}}");
            let answer = siege.send(QUERY, JSON, body.into_bytes());
            refused(&answer, 400, "invalid_json");
            let line = format!("{{\"type\": \"Person\", \"data\": {{\"email\": {text}}}}}");
            let load = "/graphs/people/load?mode=append";
            let answer = siege.send(load, "application/x-ndjson", line.into_bytes());
            refused(&answer, 400, "invalid_rows");
        }
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("!", ""),
            ("if true then ", " else 1"),
        ] {
            let condition = nested(open, close);
            let policy = format!("permit (principal, action, resource) when {{ {condition} }};");
            write("policies/deep.cedar", &policy);
            let answer = create(("policy", json!({"file": "../policies/deep.cedar"})));
            refused(&answer, 400, "invalid_policy");
        }
        let config = fs::read_to_string(siege.folder.path().join("config/trellis.yaml"));
        let config = config.expect("a file");
        for (open, close) in [
            ("[", "]"),
            ("{a: ", "}"),
            ("- ", ""),
            ("? ", ""),
            ("!a ", ""),
        ] {
            write(
                "config/trellis.yaml",
                &format!("{config}x: {}\n", nested(open, close)),
            );
            for path in ["/admin/config/reload", "/graphs"] {
                let body = match path {
                    "/graphs" => json!({"graph_id": "new", "schema": {"source": PEOPLE}}),
                    _ => json!({}),
                };
                let answer = siege.post(Who::ServerAdmin, path, &body);
                let expected = match path {
                    "/graphs" => (503, "config_drift"),
                    _ => (400, "invalid_config"),
                };
                refused(&answer, expected.0, expected.1);
            }
            let drift = siege.request(Who::ServerAdmin, Method::GET, "/admin/config/drift");
            assert_eq!(Answer::of(drift).status, 200);
        }
        write("config/trellis.yaml", &config);
    });
}

/// Texts that are made to be slow to parse, of as many bytes as a statement may have and fewer.
#[test]
fn texts_that_are_slow_to_compile() {
    let siege = Siege::begin();
    let mut texts = Vec::new();
    for bytes in [1 << 10, 64 << 10] {
        for piece in [
            "({a:",
            "[x IN ",
            "(a)--(b)-->",
            "[[",
            "a.b.c:D:E|F ",
            "CASE WHEN ",
            "x IN [",
            "({",
            "(:A|",
            "EXISTS { (a)--",
            "`a`.`b`[",
            "-[*1..2]-()",
            "$a[$b]. ",
            "'a' + \"b\" ",
            "CALL { WITH ",
            "WITH * MATCH (a) ",
            "UNION RETURN 1 ",
        ] {
            let body = piece.repeat(bytes / piece.len());
            texts.push(format!("MATCH (n) RETURN {body}"));
            texts.push(format!("MATCH {body}"));
        }
    }
    siege.during(|| {
        std::thread::scope(|scope| {
            for part in texts.chunks(texts.len().div_ceil(4)) {
                let siege = &siege;
                scope.spawn(move || {
                    for text in part {
                        for path in [QUERY, "/graphs/people/mutate"] {
                            let body = json!({"query": text});
                            let answer = siege.post(Who::Writer, path, &body);
                            let fine = matches!(answer.status, 200 | 400 | 429 | 504);
                            assert!(fine, "{text:.40}: {answer:?}");
                        }
                    }
                });
            }
        });
        let many: Vec<_> = (0..400)
            .map(|number| json!({"query": format!("{} // {number}", texts[texts.len() - 1])}))
            .collect();
        let body = json!({ "statements": many });
        let answer = siege.post(Who::Writer, "/graphs/people/mutate", &body);
        refused(&answer, 400, "invalid_query");
    });
}

/// Thirty megabytes of JSON that would be a hundred times as much as values.
#[test]
fn millions_of_values_in_one_body() {
    let siege = Siege::begin();
    const SIZE: usize = 30 << 20;
    siege.during(|| {
        for value in ["{\"\":0},", "[],", "1,", "{},", "\"\","] {
            let values = value.repeat(SIZE / value.len());
            let body = format!(
                "{{\"query\": \"RETURN size($a) AS n\", \"params\": {{\"a\": [{values}0]}}}}"
            );
            for path in [QUERY, "/graphs/people/mutate"] {
                let answer = siege.send(path, JSON, body.clone().into_bytes());
                refused(&answer, 413, "body_too_large");
            }
        }
        // What is a lot, and honest, is taken.
        let rows = "{\"a\":1,\"b\":\"two\"},".repeat(100_000);
        let body =
            format!("{{\"query\": \"RETURN size($a) AS n\", \"params\": {{\"a\": [{rows}0]}}}}");
        let answer = siege.send(QUERY, JSON, body.into_bytes());
        assert_eq!(answer.body["rows"], json!([{"n": 100_001}]), "{answer:?}");
    });
}

#[test]
fn a_line_of_a_hundred_megabytes() {
    let siege = Siege::begin();
    let line = "x".repeat(100 << 20);
    siege.during(|| {
        let load = "/graphs/people/load?mode=append";
        let json = format!("{{\"type\":\"Person\",\"data\":{{\"email\":\"{line}\"}}}}");
        for body in [json, line.clone()] {
            let answer = siege.send(load, "application/x-ndjson", body.into_bytes());
            refused(&answer, 400, "invalid_rows");
        }
        for body in [
            format!("email,name\n{line},x\n"),
            line.clone(),
            format!("\"{line}"),
        ] {
            let answer = siege.send(
                &format!("{load}&type=Person"),
                "text/csv",
                body.into_bytes(),
            );
            refused(&answer, 400, "invalid_rows");
        }
    });
}

fn connect(siege: &Siege) -> TcpStream {
    let address = siege.server.address().trim_start_matches("http://");
    let stream = TcpStream::connect(address).expect("a connection");
    let patience = Some(Duration::from_secs(50));
    stream.set_read_timeout(patience).expect("set");
    stream
}

/// The head of a request whose body does not come, and what is answered.
fn without_body(siege: &Siege, route: &str, token: Option<&str>) -> String {
    let mut stream = connect(siege);
    let credential = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    write!(
        stream,
        "{route} HTTP/1.1\r\nhost: localhost\r\n{credential}content-type: application/json\r\ncontent-length: 30000000\r\n\r\n{{"
    )
    .expect("written");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    String::from_utf8_lossy(&head).into_owned()
}

/// Whoever is not known is told so before a byte of the body is waited for.
#[test]
fn nobody_s_body_is_waited_for() {
    let siege = Siege::begin();
    let begun = Instant::now();
    siege.during(|| {
        for path in TAKE_JSON {
            for token in [None, Some("token-of-nobody-known")] {
                let answered = without_body(&siege, &format!("POST {path}"), token);
                assert_eq!(answered, "HTTP/1.1 401", "{path}");
            }
        }
        let answered = without_body(&siege, "PATCH /graphs/people", None);
        assert_eq!(answered, "HTTP/1.1 401");
    });
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
}

/// One who sends a byte a second, and ones who take nothing of what they asked for: others are served, and
/// they are cut off.
#[test]
fn bodies_and_answers_that_do_not_go_on() {
    let limits = "  limits: { queries_per_principal: 2, query_timeout_ms: 6000 }\n";
    let siege = Siege::begin_with(limits);
    let token = Who::Writer.token().expect("a token");
    // 30 MB that nobody takes.
    let big = json!({"query": "UNWIND range(1, 30000) AS n RETURN n, $text AS text", "params": {"text": "x".repeat(1_000)}}).to_string();
    let asked: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = connect(&siege);
            write!(
                stream,
                "POST {QUERY} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{big}",
                big.len()
            )
            .expect("written");
            let mut head = [0; 12];
            stream.read_exact(&mut head).expect("an answer");
            assert_eq!(&head, b"HTTP/1.1 200");
            stream
        })
        .collect();
    siege.during(|| {
        // Those two have their turns until their time is over, which is no longer than the others wait.
        let body = json!({"query": "UNWIND range(1, 50000) AS n RETURN sum(n) AS n"});
        let begun = Instant::now();
        while siege.post(Who::Writer, QUERY, &body).status != 200 {
            assert!(begun.elapsed() < Duration::from_secs(30), "they are waited for");
        }
        for mut stream in asked {
            let mut taken = Vec::new();
            // It ends before its end, in one way or another.
            let _ = stream.read_to_end(&mut taken);
            let whole = taken.windows(7).any(|seven| seven == b"\"stats\"");
            assert!(!whole, "{} bytes", taken.len());
        }
        let begun = Instant::now();
        let mut slow = connect(&siege);
        write!(
            slow,
            "POST {QUERY} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
        )
        .expect("written");
        slow.set_read_timeout(Some(Duration::from_secs(1))).expect("set");
        let mut head = [0; 12];
        while slow.write_all(b" ").is_ok() && slow.read_exact(&mut head).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(45), "a byte a second is waited for");
        }
        let cut = head == [0; 12] || head == *b"HTTP/1.1 408";
        assert!(cut, "{}", String::from_utf8_lossy(&head));
    });
}

/// Where a graph or a policy may not be.
#[test]
fn places_that_are_none_of_the_caller_s_business() {
    let siege = Siege::begin();
    let at = |path: &str| siege.folder.path().join(path);
    std::os::unix::fs::symlink("/etc", at("data/out")).expect("a link");
    std::os::unix::fs::symlink(at("config/tokens.yaml"), at("policies/tokens.cedar"))
        .expect("a link");
    fs::write(at("data/file"), "x").expect("a file");
    let create = |field: &str, place: Value| {
        let mut body = json!({"graph_id": "new", "schema": {"source": PEOPLE}});
        body[field] = place;
        siege.post(Who::ServerAdmin, "/graphs", &body)
    };
    let absolute = |path: &str| at(path).display().to_string();
    siege.during(|| {
        for (uri, status, code) in [
            ("/etc".to_owned(), 400, "invalid_uri"),
            ("/etc/trellis".to_owned(), 400, "invalid_uri"),
            ("file:///etc/passwd".to_owned(), 400, "invalid_uri"),
            ("../../../../../../etc".to_owned(), 400, "invalid_uri"),
            ("../data/out/x".to_owned(), 400, "invalid_uri"),
            ("../data/../config".to_owned(), 400, "invalid_uri"),
            ("trellis.yaml".to_owned(), 400, "invalid_uri"),
            (absolute("config/trellis.yaml"), 400, "invalid_uri"),
            (".trellis/x".to_owned(), 400, "invalid_uri"),
            ("../data".to_owned(), 400, "invalid_uri"),
            ("../data/people".to_owned(), 409, "uri_in_use"),
            (absolute("data/people/"), 409, "uri_in_use"),
            ("../data/people/log".to_owned(), 409, "uri_in_use"),
            ("../data/file".to_owned(), 400, "invalid_uri"),
            ("../data/file/x".to_owned(), 400, "invalid_uri"),
            ("s3://bucket/x".to_owned(), 400, "invalid_uri"),
            ("http://169.254.169.254/x".to_owned(), 400, "invalid_uri"),
            ("\u{2025}/config".to_owned(), 400, "invalid_uri"),
            ("../data/x\0y".to_owned(), 400, "invalid_uri"),
        ] {
            refused(&create("uri", json!(uri)), status, code);
        }
        for file in [
            "/etc/passwd".to_owned(),
            "/etc/shadow".to_owned(),
            "trellis.yaml".to_owned(),
            "tokens.yaml".to_owned(),
            absolute("config/trellis.yaml"),
            "../policies/../config/tokens.yaml".to_owned(),
            "../policies/tokens.cedar".to_owned(),
            "../data/out/passwd".to_owned(),
            "/dev/zero".to_owned(),
            "/proc/self/environ".to_owned(),
            "../data".to_owned(),
        ] {
            let answer = create("policy", json!({"file": file}));
            refused(&answer, 400, "invalid_uri");
            for secret in ["root:", "sha256", "token-of"] {
                assert!(!answer.text.contains(secret), "{file}: {answer:?}");
            }
        }
        // Within the roots, and no policy: nothing of it is told.
        let answer = create("policy", json!({"file": "../data/people/graph.json"}));
        refused(&answer, 400, "invalid_policy");
        assert!(!answer.text.contains("uuid"), "{answer:?}");
    });
    assert!(!at("data/new").exists());
    let listed = Answer::of(siege.request(Who::ServerAdmin, Method::GET, "/graphs"));
    assert_eq!(
        listed.body["graphs"].as_array().map(Vec::len),
        Some(2),
        "{listed:?}"
    );
}
