//! The program itself, without a server: exit codes, what goes to which output, what is refused.
//!
//! Because this test exists, `cargo nextest run --workspace` builds the binary, which the
//! end-to-end tests start.
#![expect(
    clippy::disallowed_methods,
    reason = "a test owns every file that it writes"
)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread::JoinHandle;

fn trellis(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trellis"));
    command
        .args(arguments)
        .env_remove("TRELLIS_SERVER")
        .env_remove("TRELLIS_TOKEN");
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An address where nothing listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// Answers one request with `answer`, and gives back what was asked.
fn answering(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a request") > 0 {
            request.extend(byte);
        }
        stream
            .write_all(answer.as_bytes())
            .expect("an answer is taken");
        text(&request)
    });
    (address, asked)
}

const WHO: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 66\r\nconnection: close\r\n\r\n\
    {\"principal\":\"ada\",\"kind\":\"user\",\"groups\":[\"readers\"],\"scopes\":[]}";

#[test]
fn a_wrong_command_line_ends_with_2_and_says_why() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["quary"], "query"),
        (&["query", "g"], "CYPHER"),
        (&["query", "g", "RETURN 1", "--param", "x"], "name=value"),
        (&["load", "g", "f", "--mode", "replace"], "overwrite"),
        (
            &["whoami", "--server", "127.0.0.1:8080"],
            "not the address of a server",
        ),
        (&["whoami", "--server", "http://me:pass@h"], "--token-file"),
        (&["whoami", "--token", "secret"], "--token"),
        (&["export", ".."], "cannot be the id of a graph"),
    ];
    for (arguments, expected) in cases {
        let output = run(trellis(arguments));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_failure_ends_with_1_and_a_hint() {
    let server = nobody();
    let output = run(trellis(&["whoami", "--server", &server]));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains(&format!("no answer from {server}")) && said.contains("trellis serve"),
        "{said}"
    );

    let output = run(trellis(&[
        "load",
        "g",
        "/nowhere/g.ndjson",
        "--server",
        &server,
    ]));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot open /nowhere/g.ndjson"));
}

#[test]
fn the_token_comes_from_the_file_or_the_variable_and_an_empty_variable_is_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "from-file\n").expect("a token file");
    let file = file.to_str().expect("UTF-8");
    let cases: &[(Option<&str>, &[&str], Option<&str>)] = &[
        (None, &[], None),
        (Some(""), &[], None),
        (Some("  "), &[], None),
        (Some("from-variable"), &[], Some("Bearer from-variable")),
        (
            Some("from-variable"),
            &["--token-file", file],
            Some("Bearer from-file"),
        ),
    ];
    for (variable, more, expected) in cases {
        let (address, asked) = answering(WHO);
        let mut command = trellis(&["whoami"]);
        command.args(*more).env("TRELLIS_SERVER", address);
        if let Some(value) = variable {
            command.env("TRELLIS_TOKEN", value);
        }
        let output = run(command);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "ada (user)\ngroups: readers\n");
        let request = asked.join().expect("the request");
        let sent = request
            .lines()
            .find_map(|line| line.strip_prefix("authorization: "));
        assert_eq!(sent, *expected, "{request}");
    }
}

#[test]
fn an_empty_token_file_is_refused_before_anything_is_sent() {
    let output = run(trellis(&[
        "whoami",
        "--token-file",
        "/dev/null",
        "--server",
        &nobody(),
    ]));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("holds no token"));
}

#[test]
fn an_export_that_breaks_off_fails_and_leaves_no_file() {
    const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: 999\r\nconnection: close\r\n\r\n{\"type\":\"A\"}\n";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("g.ndjson");
    let (address, asked) = answering(CUT);
    let mut command = trellis(&["export", "g", "--server", &address, "--output"]);
    command.arg(&file);
    let output = run(command);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("broke off"));
    assert_eq!(
        std::fs::read_dir(folder.path())
            .expect("the folder")
            .count(),
        0
    );
    assert!(
        asked
            .join()
            .expect("the request")
            .contains("GET /graphs/g/export ")
    );
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = trellis(&["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_lock_file_becomes_lines_that_load_takes() {
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
    let output = run(trellis(&["demo", "cargo-lock", lock]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    let nodes = lines.iter().filter(|line| line["type"] == "Crate").count();
    let edges = lines
        .iter()
        .filter(|line| line["edge"] == "DependsOn")
        .count();
    assert!(
        nodes > 400 && edges > nodes && nodes + edges == lines.len(),
        "{nodes}, {edges}"
    );
}

#[test]
fn a_saved_token_is_its_owners_alone_and_never_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    let new = || {
        let mut command = trellis(&["token", "new", "ada", "--group", "readers", "--save"]);
        command.arg(&file);
        run(command)
    };
    let first = new();
    assert!(first.status.success(), "{}", text(&first.stderr));
    let token = std::fs::read_to_string(&file).expect("the token");
    let entry = text(&first.stdout);
    assert!(
        entry.starts_with("\"ada\":\n  sha256: \"") && entry.contains("groups: [\"readers\"]"),
        "{entry}"
    );
    assert!(!entry.contains(token.trim()) && token.trim().len() > 40);
    let mode = std::fs::metadata(&file)
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(new().status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&file).expect("the token"), token);
}

#[test]
fn checks_name_every_mistake_and_its_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    };
    let bad = write("bad.yaml", "version: 1\nservr: {}\n");
    let mut command = trellis(&["config", "check"]);
    command.arg(&bad);
    let output = run(command);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("servr"),
        "{}",
        text(&output.stderr)
    );

    let good = write("good.cedar", "permit (principal, action, resource);");
    let broken = write("broken.cedar", "permit (principal,\n");
    let mut command = trellis(&["policy", "check"]);
    command.args([&good, &broken]);
    let output = run(command);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("broken.cedar") && !said.contains("good.cedar:"),
        "{said}"
    );
}
