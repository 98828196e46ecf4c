//! What operators are told of a config file that somebody edits: everything at once, with its place, wherever
//! they ask; and exit codes that a script can watch.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::operators::{PLAIN, place};
use crate::program::{self, Server};

/// Exit code, and what was said on either output.
fn trellis(server: Option<&Server>, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = program::command();
    if let Some(server) = server {
        command.env("TRELLIS_SERVER", server.address());
    }
    let output = command.args(arguments).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code(), said)
}

fn ask(server: &Server, path: &str, body: Option<&Value>) -> (u16, Value) {
    let client = Client::builder().no_proxy().build().expect("a client");
    let path = format!("{}{path}", server.address());
    let request = match body {
        Some(body) => client.post(path).json(body),
        None => client.get(path),
    };
    let answer = request.send().expect("an answer");
    (answer.status().as_u16(), answer.json().expect("JSON"))
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Of every stage: the text, the places of graphs, their policies, and what the other sections name.
const WRONG: &str = "\
version: 1
server:
  storage: ../data
  policy: { file: ../policies/none.cedar }
auth:
  tokens_file: wrong.yaml
graphs:
  Bad_Id: { uri: ../data/x }
  typo: { uri: ../data/t, urii: x }
  a: { uri: ../data/a }
  b: { uri: ../data/./a }
  c: { uri: ../data/a/c }
  d: { uri: ../data/d, policy: { file: none.cedar } }
";

const PROBLEMS: [(u64, &str); 8] = [
    (4, "server.policy.file: "),
    (6, "auth.tokens_file: the `sha256` of principal `ann`"),
    (6, "auth.tokens_file: the `sha256` of principal `bob`"),
    (8, "graphs.Bad_Id: "),
    (9, "graphs.typo.urii: unknown key"),
    (11, "graphs.b.uri: the graph \"a\" has the same folder"),
    (
        12,
        "graphs.c.uri: lies inside the folder of the graph \"a\"",
    ),
    (13, "graphs.d.policy.file: "),
];

#[test]
fn every_problem_of_a_file_is_told_at_once_wherever_it_is_asked() {
    let (_folder, config) = place(PLAIN);
    let server = Server::start(&config, &["--unauthenticated"]);
    let tokens = config.with_file_name("wrong.yaml");
    fs::write(tokens, "ann: { sha256: x }\nbob: { sha256: y }\n").expect("written");
    fs::write(&config, WRONG).expect("written");
    let complete = |asked: &str, told: &[(Option<u64>, String)]| {
        assert_eq!(told.len(), PROBLEMS.len(), "{asked}: {told:#?}");
        for ((line, told), (at, expected)) in told.iter().zip(PROBLEMS) {
            assert!(
                *line == Some(at) && told.starts_with(expected),
                "{asked}: {at} {expected:?} and not {line:?} {told:?}"
            );
        }
    };
    let (status, drift) = ask(&server, "/admin/config/drift", None);
    assert_eq!(status, 200, "{drift}");
    let told = drift["problems"].as_array().expect("problems").iter();
    let told: Vec<_> = told
        .map(|it| {
            let words = |key: &str| it[key].as_str().expect("text");
            let told = format!("{}: {}", words("path"), words("message"));
            (it["line"].as_u64(), told)
        })
        .collect();
    complete("drift", &told);
    let (status, refused) = ask(&server, "/admin/config/reload", Some(&json!({})));
    assert_eq!((status, &refused["code"]), (400, &json!("invalid_config")));
    let told = refused["errors"].as_array().expect("problems").iter();
    let told: Vec<_> = told
        .map(|it| {
            let told = it["message"].as_str().expect("text").to_owned();
            (it["line"].as_u64(), told)
        })
        .collect();
    complete("reload", &told);
    let start = [
        "serve",
        "--bind",
        "127.0.0.1:0",
        "--config",
        text_of(&config),
    ];
    for (server, arguments) in [
        (Some(&server), &["config", "diff"][..]),
        (Some(&server), &["config", "reload"]),
        (None, &["config", "check", text_of(&config)]),
        (None, &start),
    ] {
        let (code, said) = trellis(server, arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        let told: Vec<_> = said
            .lines()
            .filter_map(|line| {
                let (_, rest) = line.split_once("error: ").unwrap_or(("", line));
                let mut parts = rest.trim().splitn(3, ':');
                let at = parts.next()?.parse().ok()?;
                let _column: u64 = parts.next()?.parse().ok()?;
                Some((Some(at), parts.next()?.trim().to_owned()))
            })
            .collect();
        complete(&arguments.join(" "), &told);
    }
}

#[test]
fn a_file_that_is_missing_or_no_text_is_told_with_the_cause() {
    let (_folder, config) = place(PLAIN);
    let server = Server::start(&config, &["--unauthenticated"]);
    let cases: [(&str, &dyn Fn()); 2] = [
        ("invalid utf-8", &|| {
            fs::write(&config, b"version: 1\n\xff\xfe").expect("written");
        }),
        ("No such file", &|| {
            fs::remove_file(&config).expect("removed");
        }),
    ];
    for (cause, harm) in cases {
        harm();
        let (status, drift) = ask(&server, "/admin/config/drift", None);
        assert_eq!((status, &drift["drifted"]), (200, &json!(true)), "{drift}");
        assert_eq!(drift["disk_digest"], Value::Null, "{drift}");
        let problems = drift["problems"].as_array().expect("problems");
        let told = problems[0]["message"].as_str().expect("text");
        assert!(
            problems.len() == 1 && told.contains("trellis.yaml") && told.contains(cause),
            "{drift}"
        );
        let (status, refused) = ask(&server, "/admin/config/reload", Some(&json!({})));
        assert_eq!(
            (status, &refused["code"]),
            (400, &json!("invalid_config")),
            "{refused}"
        );
        for arguments in [&["config", "diff"][..], &["config", "reload"]] {
            let (code, said) = trellis(Some(&server), arguments);
            assert_eq!(code, Some(1), "{said}");
            assert!(
                said.contains("trellis.yaml") && said.contains(cause),
                "{said}"
            );
        }
        let (code, said) = trellis(None, &["config", "check", text_of(&config)]);
        assert!(code == Some(1) && said.contains(cause), "{said}");
    }
    fs::write(&config, PLAIN).expect("written");
    let (status, reloaded) = ask(&server, "/admin/config/reload", Some(&json!({})));
    assert_eq!((status, &reloaded["changes"]), (200, &json!([])));
}

#[test]
fn scripts_can_tell_drift_from_none_and_from_errors() {
    let (_folder, config) = place(PLAIN);
    let server = Server::start(&config, &["--unauthenticated"]);
    let cases = [
        (PLAIN.to_owned(), 0, "the server serves what stands"),
        (format!("{PLAIN}# mine\n"), 3, "only comments and spacing"),
        (format!("{PLAIN}groups: {{ g: [a] }}\n"), 3, "groups.g"),
        (format!("{PLAIN}grups: {{}}\n"), 1, "unknown key"),
    ];
    for (text, expected, told) in &cases {
        fs::write(&config, text).expect("written");
        for format in ["table", "json", "ndjson"] {
            let (code, said) = trellis(Some(&server), &["config", "diff", "--format", format]);
            assert_eq!(code, Some(*expected), "{text}: {said}");
            assert!(format != "table" || said.contains(told), "{said}");
            assert_eq!(said.contains("error: "), *expected == 1, "{said}");
        }
    }
}

#[test]
fn the_etag_that_a_condition_asks_for_is_shown() {
    let (_folder, config) = place(PLAIN);
    let server = Server::start(&config, &["--unauthenticated"]);
    let body = json!({"graph_id": "notes", "graph_type": "open", "schema": {"source": ""}});
    assert_eq!(ask(&server, "/graphs", Some(&body)).0, 201);
    let (code, said) = trellis(Some(&server), &["graph", "show", "notes"]);
    let mut lines = said.lines();
    let etag = lines.find(|line| line.split_whitespace().any(|word| word == "etag"));
    let words = etag.unwrap_or_else(|| panic!("{said}")).split_whitespace();
    let etag = words.max_by_key(|word| word.len()).expect("a word");
    let etag = etag.to_owned();
    assert_eq!(code, Some(0), "{said}");
    let shown = trellis(
        Some(&server),
        &["graph", "show", "notes", "--format", "json"],
    );
    let shown: Value = serde_json::from_str(&shown.1).expect("JSON");
    assert_eq!(
        (&shown["etag"], &shown["graph_id"]),
        (&json!(etag), &json!("notes"))
    );
    let update = |label: &str| {
        let arguments = [
            "graph",
            "update",
            "notes",
            "--label",
            label,
            "--if-match",
            &etag,
        ];
        trellis(Some(&server), &arguments)
    };
    let (code, said) = update("a=1");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = update("a=2");
    assert!(
        code == Some(1) && said.contains("precondition_failed"),
        "{said}"
    );
}

#[test]
fn a_config_file_that_everybody_may_write_is_an_error() {
    let (_folder, config) = place(PLAIN);
    for (mode, expected) in [(0o644, 0), (0o664, 0), (0o666, 1)] {
        fs::set_permissions(&config, fs::Permissions::from_mode(mode)).expect("set");
        let (code, said) = trellis(None, &["doctor", "--config", text_of(&config)]);
        assert_eq!(code, Some(expected), "{mode:o}: {said}");
        let told = said.contains("trellis.yaml has the mode 666");
        assert_eq!(told, expected == 1, "{said}");
    }
}
