//! `POST /admin/config/reload`: the whole file or nothing of it, without a restart.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::harness::{Answer, Harness, PEOPLE, Setup, Who};
use crate::program::{self, Server, wait_until};

fn reload(server: &Harness, dry_run: bool) -> Answer {
    let body = json!({"dry_run": dry_run});
    server.post(Who::ServerAdmin, "/admin/config/reload", &body)
}

fn ids(server: &Harness) -> Vec<String> {
    let answer = server.get(Who::ServerAdmin, "/graphs");
    let graphs = answer.body["graphs"].as_array().expect("a list").clone();
    graphs
        .iter()
        .filter_map(|graph| graph["graph_id"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn graphs_policies_tokens_groups_and_limits_change_together() {
    let server = Harness::start();
    for graph in ["one", "two", "three"] {
        server.create_graph(graph, PEOPLE);
    }
    let line = r#"{"type":"Person","data":{"email":"ada@example.org","name":"Ada"}}"#;
    assert_eq!(server.load(Who::Writer, "two", "append", line).status, 200);
    let text = server.config();
    // one goes, two moves to three's place, three is called four; the limits shrink.
    let text = text
        .replace("  one:\n    uri: ../data/one\n    tenant: acme\n", "")
        .replace("uri: ../data/two", "uri: ../data/one")
        .replace(
            "  three:\n    uri: ../data/three",
            "  four:\n    uri: ../data/two",
        )
        .replace("  storage:", "  limits: { max_rows: 1 }\n  storage:")
        .replace("auth:", "groups: { admins: [reader] }\nauth:");
    fs::write(server.config_path(), &text).expect("a file");
    let tokens = server.folder().join("config/tokens.yaml");
    let digest = hex::encode(Sha256::digest("token-of-nobody-known"));
    let known = fs::read_to_string(&tokens).expect("a file");
    fs::write(
        &tokens,
        format!("{known}stranger:\n  sha256: \"{digest}\"\n"),
    )
    .expect("a file");

    let answer = reload(&server, true);
    assert_eq!(
        (answer.status, &answer.body["applied"]),
        (200, &json!(false)),
        "{answer:?}"
    );
    assert_eq!(ids(&server), ["one", "three", "two"]);
    server
        .get(Who::Stranger, "/whoami")
        .assert_problem(401, "unauthenticated");

    let answer = reload(&server, false);
    assert_eq!(
        (answer.status, &answer.body["applied"]),
        (200, &json!(true)),
        "{answer:?}"
    );
    assert_eq!(ids(&server), ["four", "two"]);
    assert_eq!(server.get(Who::Stranger, "/whoami").status, 200);
    let query = json!({"query": "UNWIND [1, 2] AS i RETURN i"});
    let path = "/graphs/two/query";
    server
        .post(Who::ServerAdmin, path, &query)
        .assert_problem(400, "row_limit");
    assert_eq!(
        server.rows("four", "MATCH (p:Person) RETURN p.name"),
        [[json!("Ada")]]
    );
    assert_eq!(
        server.rows("two", "MATCH (p:Person) RETURN count(*)"),
        [[json!(0)]]
    );
    // A reader of a minute ago is an admin by now, and the server goes on creating graphs.
    let body = json!({"graph_id": "five", "schema": {"source": PEOPLE}});
    assert_eq!(server.post(Who::Reader, "/graphs", &body).status, 201);
    let ready = server.get(Who::ServerAdmin, "/readyz");
    assert_eq!(ready.body["config"]["drifted"], false, "{ready:?}");
    assert_eq!(ready.body["config"]["last_reload_ok"], true, "{ready:?}");
}

#[test]
fn a_file_with_errors_is_refused_with_all_of_them_and_nothing_changes() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    let sound = server.config();
    fs::write(
        server.folder().join("policies/own.cedar"),
        "permit (principal,",
    )
    .expect("a file");
    let cases = [
        (sound.replace("version: 1", "version: 2\nvresion: 1"), 2),
        (sound.replace("tokens.yaml", "none.yaml"), 1),
        (sound.replace("server.cedar", "none.cedar"), 1),
        (
            sound.clone()
                + "    policy: { file: ../policies/own.cedar }\n  b: { uri: ../policies }\n  c: { uri: ../policies }\n",
            2,
        ),
        (
            sound.replace("  storage:", "  deleted_retention: soon\n  storage:"),
            1,
        ),
        (sound.replace("graphs:", "graphs: ["), 1),
    ];
    for (text, problems) in cases {
        fs::write(server.config_path(), &text).expect("a file");
        for dry_run in [true, false] {
            let answer = reload(&server, dry_run);
            answer.assert_problem(400, "invalid_config");
            let found = answer.body["errors"].as_array().expect("problems").len();
            assert_eq!(found, problems, "{text}\n{answer:?}");
        }
        assert_eq!(ids(&server), ["people"]);
        assert_eq!(server.get(Who::Reader, "/whoami").status, 200);
    }
    let ready = server.get(Who::ServerAdmin, "/readyz");
    assert_eq!(ready.body["config"]["last_reload_ok"], false, "{ready:?}");
    fs::write(server.config_path(), &sound).expect("a file");
    let answer = reload(&server, false);
    assert_eq!(answer.body["changes"], json!([]), "{answer:?}");
}

#[test]
fn what_is_read_at_the_start_only_is_named() {
    let server = Harness::start();
    let text = server.config().replace("127.0.0.1:0", "127.0.0.1:1");
    fs::write(server.config_path(), text).expect("a file");
    let answer = reload(&server, false);
    assert_eq!(
        answer.body["needs_restart"],
        json!(["server.bind"]),
        "{answer:?}"
    );
    // Also where a mapping comes or goes as a whole.
    let text = server.config() + "\n# more\n";
    let text = text.replace("  storage:", "  log: { level: info }\n  storage:");
    fs::write(server.config_path(), text).expect("a file");
    let answer = reload(&server, false);
    assert_eq!(
        answer.body["needs_restart"],
        json!(["server.log"]),
        "{answer:?}"
    );
}

/// Those that did nothing for longest are told to go, and what comes then is held to it.
#[test]
fn fewer_connections_are_open_after_a_reload_that_says_so() {
    let folder = Setup::default().write();
    let config = folder.path().join("config/trellis.yaml");
    let server = Server::start(&config, &["--unauthenticated"]);
    let address = server.address().strip_prefix("http://").expect("HTTP");
    let connect = || {
        let connection = TcpStream::connect(address).expect("connects");
        let patience = Some(Duration::from_millis(10));
        connection.set_read_timeout(patience).expect("set");
        connection
    };
    let mut open: Vec<TcpStream> = (0..12).map(|_| connect()).collect();
    // Whoever has just come is not told to go.
    std::thread::sleep(Duration::from_millis(1500));
    let mut still = || {
        open.retain_mut(|connection| !matches!(connection.read(&mut [0]), Ok(0)));
        open.len()
    };
    assert_eq!(still(), 12);
    let text = fs::read_to_string(&config).expect("a file");
    let text = text.replace("  storage:", "  limits: { connections: 3 }\n  storage:");
    fs::write(&config, text).expect("a file");
    let http = reqwest::blocking::Client::builder().no_proxy().build();
    let reload = http
        .expect("a client")
        .post(format!("{}/admin/config/reload", server.address()));
    let answer = reload.json(&json!({})).send().expect("an answer");
    let answer: serde_json::Value = answer.json().expect("JSON");
    assert_eq!(
        (&answer["applied"], &answer["needs_restart"]),
        (&json!(true), &json!([])),
        "{answer}"
    );
    wait_until("the others have room", || still() <= 3);
    assert!(server.terminate().success());
}

/// Who may not change the file meanwhile is no reason to go on.
#[test]
fn a_reload_that_waits_does_not_keep_the_server_from_ending() {
    let folder = Setup::default().write();
    let config = folder.path().join("config/trellis.yaml");
    let server = Server::start(&config, &["--unauthenticated"]);
    let lock = folder.path().join("config/.trellis/config.lock");
    let lock = fs::File::open(lock).expect("the lock file");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("free");
    program::signal(server.child(), Signal::HUP);
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    assert!(server.terminate().success());
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_signal_does_the_same() {
    let folder = Setup::default().write();
    let config = folder.path().join("config/trellis.yaml");
    let server = Server::start(&config, &["--unauthenticated"]);
    let http = reqwest::blocking::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let status = || {
        let path = format!("{}/graphs/new/schema", server.address());
        http.get(path).send().expect("an answer").status().as_u16()
    };
    assert_eq!(status(), 404);
    let text = fs::read_to_string(&config).expect("a file");
    let text = text.replace("graphs: {}", "graphs: { new: { uri: ../data/new } }");
    fs::write(&config, text).expect("a file");
    program::signal(server.child(), Signal::HUP);
    // There is no graph in the folder, which is told once the entry is known.
    wait_until("the graph is known", || status() == 503);
    assert!(server.terminate().success());
}
