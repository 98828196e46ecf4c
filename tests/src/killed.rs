//! The real program dies of SIGKILL after each durable effect of each change of the registry, and once more
//! while the restart settles it. Afterwards the graph is whole or absent, the file is one of the two valid
//! versions, and nothing is left over.
//!
//! `TRELLIS_TEST_KILL_AFTER_STEP` says after which step; a build with debug assertions reads it
//! (`registry/src/steps.rs`, whose tests hold that every effect has a step).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Setup;
use crate::program::{Server, wait_until};

const KILL: &str = "TRELLIS_TEST_KILL_AFTER_STEP";
const CONFIG: &str = "# the operator's own\nversion: 1\nserver:\n  storage: ../data   # here\ngraphs:\n  # of old\n  old: { uri: ../data/old }\n";

/// One folder, and whoever asks servers on it.
struct Place {
    folder: TempDir,
    http: Client,
}

type Answer = Option<(u16, Value)>;

impl Place {
    fn new() -> Self {
        let setup = Setup {
            config: CONFIG.to_owned(),
            ..Setup::default()
        };
        let http = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .expect("a client");
        Self {
            folder: setup.write(),
            http,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path("config/trellis.yaml")).expect("the config")
    }

    fn server(&self) -> Server {
        Server::start(&self.path("config/trellis.yaml"), &["--unauthenticated"])
    }

    /// One that dies after so many steps; `None` when it has died before it listens.
    fn dying(&self, steps: usize) -> Option<Server> {
        let config = self.path("config/trellis.yaml");
        let steps = steps.to_string();
        Server::try_start(&config, &["--unauthenticated"], &[(KILL, &steps)]).ok()
    }

    /// `None` when no answer came.
    fn ask(&self, server: &Server, method: Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("{}{path}", server.address());
        let mut request = self.http.request(method, url);
        request = request.header("idempotency-key", "the-same");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().ok()?;
        Some((answer.status().as_u16(), answer.json().unwrap_or_default()))
    }

    fn must(&self, server: &Server, method: Method, path: &str, body: Option<Value>) -> Value {
        match self.ask(server, method, path, body) {
            Some((200 | 201, answer)) => answer,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// The graph one, with one node in it.
    fn make_one(&self, server: &Server) {
        self.must(server, Method::POST, "/graphs", Some(one()));
        let body = json!({"query": "CREATE (:N {k: 1})"});
        self.must(server, Method::POST, "/graphs/one/mutate", Some(body));
    }

    fn count(&self, server: &Server) -> Value {
        let body = json!({"query": "MATCH (n:N) RETURN count(*) AS n"});
        let answer = self.must(server, Method::POST, "/graphs/one/query", Some(body));
        answer["rows"][0]["n"].clone()
    }
}

fn one() -> Value {
    json!({"graph_id": "one", "schema": {"source": "node N { k: I64 @key }"}, "tenant": "acme"})
}

/// A change of the graph one.
struct Change {
    name: &'static str,
    /// What must be so before.
    before: fn(&Place),
    /// What a person does by hand, once the server that is to die runs.
    by_hand: fn(&Place),
    run: fn(&Place, &Server) -> Answer,
    /// How many steps it has.
    steps: usize,
    /// How many nodes the graph has, when it is there.
    nodes: u64,
}

/// What is there after a crash and its settlement.
fn check(change: &Change, place: &Place, what: &str) -> String {
    let server = place.server();
    let text = place.text();
    let listed = place.must(&server, Method::GET, "/graphs", None);
    let mut graphs = listed["graphs"].as_array().expect("a list").iter();
    let is_listed = graphs.any(|graph| graph["graph_id"] == "one");
    assert_eq!(is_listed, text.contains("\n  one:"), "{what}: {listed}");
    assert!(
        text.starts_with("# the operator's own\nversion: 1\n"),
        "{what}: {text}"
    );
    assert!(text.contains("  # of old\n"), "{what}: {text}");
    let state = place.path("config/.trellis");
    let intents = state.join("intents");
    let left = fs::read_dir(intents).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{what}: an intent is left");
    for folder in [place.path("config"), state] {
        for item in fs::read_dir(folder).expect("listed") {
            let path = item.expect("listed").path();
            assert!(
                path.extension().is_none_or(|end| end != "tmp"),
                "{what}: {path:?}"
            );
        }
    }
    if is_listed {
        assert_eq!(place.count(&server), change.nodes, "{what}");
        let again = place.ask(&server, Method::POST, "/graphs/one/restore", None);
        assert_eq!(
            again.map(|it| it.0),
            Some(409),
            "{what}: it is deleted as well"
        );
    } else if change.name == "create" {
        assert!(!place.path("data/one").exists(), "{what}");
        // The same request again makes it.
        place.must(&server, Method::POST, "/graphs", Some(one()));
    } else {
        absent(change, place, &server, what);
    }
    // The next change works.
    let made = json!({"graph_id": "two", "schema": {"source": "node N { k: I64 @key }"}});
    let url = format!("{}/graphs", server.address());
    let created = place.http.post(url).json(&made).send().expect("an answer");
    assert_eq!(created.status().as_u16(), 201, "{what}");
    assert!(server.terminate().success(), "{what}");
    text
}

/// A deleted graph comes back whole, or its data is gone.
fn absent(change: &Change, place: &Place, server: &Server, what: &str) {
    let mark = place.path("data/one/graph.json");
    if change.name == "purge" {
        wait_until("the purge is gone on with", || !mark.exists());
        // The record of the purge comes after the data's end.
        let mut last = None;
        wait_until("nothing can be restored", || {
            last = place.ask(server, Method::POST, "/graphs/one/restore", None);
            last.as_ref().map(|it| it.0) == Some(410)
        });
        // Under no key, for this is no repetition.
        let url = format!("{}/graphs", server.address());
        let again = place.http.post(url).json(&one()).send();
        let again = again.expect("an answer").status().as_u16();
        assert_eq!(again, 201, "{what}");
        assert_eq!(place.count(server), 0, "{what}: another graph");
        place.must(server, Method::DELETE, "/graphs/one", None);
        return;
    }
    assert!(mark.exists(), "{what}");
    place.must(server, Method::POST, "/graphs/one/restore", None);
    assert_eq!(place.count(server), change.nodes, "{what}");
    place.must(server, Method::DELETE, "/graphs/one", None);
}

fn killed_everywhere(change: &Change) {
    let mut texts = Vec::new();
    let mut second_deaths = 0;
    for step in 1.. {
        let what = format!("{} after step {step}", change.name);
        let place = Place::new();
        (change.before)(&place);
        let old = place.text();
        let server = place.dying(step).expect("nothing is left to settle");
        (change.by_hand)(&place);
        let answer = (change.run)(&place, &server);
        let Some((status, body)) = answer else {
            server.wait_killed();
            // Once more, while the restart settles it. A purge is gone on with once the server listens.
            match place.dying(1) {
                None => second_deaths += 1,
                Some(server) if change.name == "purge" && step < change.steps => {
                    server.wait_killed();
                    second_deaths += 1;
                }
                Some(_) => {}
            }
            texts.push((old, check(change, &place, &what)));
            continue;
        };
        assert!(status < 300, "{what}: {status} {body}");
        drop(server);
        assert_eq!(step, change.steps + 1, "{what}: it was answered");
        let new = check(change, &place, &what);
        for (number, (old, found)) in texts.iter().enumerate() {
            let what = format!("{} after step {}: {found}", change.name, number + 1);
            assert!(*found == *old || *found == new, "{what}");
        }
        break;
    }
    let least = if change.name == "reload" { 0 } else { 1 };
    assert!(second_deaths >= least, "{}: {second_deaths}", change.name);
}

fn with_one(place: &Place) {
    let server = place.server();
    place.make_one(&server);
    assert!(server.terminate().success());
}

fn with_one_deleted(place: &Place) {
    let server = place.server();
    place.make_one(&server);
    fs::copy(
        place.path("config/trellis.yaml"),
        place.path("with-one.yaml"),
    )
    .expect("copied");
    place.must(&server, Method::DELETE, "/graphs/one", None);
    assert!(server.terminate().success());
}

#[test]
fn a_create_is_whole_or_absent() {
    killed_everywhere(&Change {
        name: "create",
        before: |_| {},
        by_hand: |_| {},
        run: |place, server| place.ask(server, Method::POST, "/graphs", Some(one())),
        steps: 9,
        nodes: 0,
    });
}

#[test]
fn a_patch_is_made_or_not() {
    killed_everywhere(&Change {
        name: "patch",
        before: with_one,
        by_hand: |_| {},
        run: |place, server| {
            let body = json!({"labels": {"env": "prod"}});
            place.ask(server, Method::PATCH, "/graphs/one", Some(body))
        },
        steps: 6,
        nodes: 1,
    });
}

#[test]
fn a_delete_is_made_or_not() {
    killed_everywhere(&Change {
        name: "delete",
        before: with_one,
        by_hand: |_| {},
        run: |place, server| place.ask(server, Method::DELETE, "/graphs/one", None),
        steps: 7,
        nodes: 1,
    });
}

#[test]
fn a_restore_is_made_or_not() {
    killed_everywhere(&Change {
        name: "restore",
        before: with_one_deleted,
        by_hand: |_| {},
        run: |place, server| place.ask(server, Method::POST, "/graphs/one/restore", None),
        steps: 7,
        nodes: 1,
    });
}

#[test]
fn a_purge_is_gone_on_with() {
    killed_everywhere(&Change {
        name: "purge",
        before: with_one_deleted,
        by_hand: |_| {},
        run: |place, server| place.ask(server, Method::POST, "/graphs/one/purge", None),
        steps: 6,
        nodes: 1,
    });
}

/// A deleted graph was put back by hand, and a group added: all of it is in force after a restart.
#[test]
fn a_reload_is_done_again_by_the_restart() {
    killed_everywhere(&Change {
        name: "reload",
        before: with_one_deleted,
        by_hand: |place| {
            let text = fs::read_to_string(place.path("with-one.yaml")).expect("read");
            let text = text.replace("graphs:\n", "groups: { g: [p] }\ngraphs:\n");
            fs::write(place.path("config/trellis.yaml"), text).expect("written");
        },
        run: |place, server| {
            let path = "/admin/config/reload";
            place.ask(server, Method::POST, path, Some(json!({})))
        },
        steps: 2,
        nodes: 1,
    });
}

/// Runs the program with a folder of its own mounted; `None` where the system lets nobody mount.
fn mounted(script: &str, folder: &Path) -> Option<Server> {
    let can = std::process::Command::new("unshare")
        .args([
            "--mount",
            "--map-root-user",
            "mount",
            "-t",
            "tmpfs",
            "tmpfs",
        ])
        .arg(folder)
        .output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("nothing can be mounted here: this part is not tested");
        return None;
    }
    Some(Server::start_in(
        &[
            "unshare",
            "--mount",
            "--map-root-user",
            "sh",
            "-ec",
            script,
            "sh",
        ],
        folder,
    ))
}

/// A disk that is really full: what is refused leaves nothing, what is there can be read, and once there is
/// room again, all goes on.
#[test]
fn a_full_disk_refuses_and_goes_on() {
    let place = Place::new();
    let script = "cp -a \"$1\" \"$1.copy\"; mount -t tmpfs -o size=3m tmpfs \"$1\"; cp -a \"$1.copy\"/. \"$1\"; shift; exec \"$@\"";
    let Some(server) = mounted(script, place.folder.path()) else {
        return;
    };
    place.make_one(&server);
    let mut made = Vec::new();
    let refused = loop {
        let name = format!("g{}", made.len());
        let body = json!({"graph_id": name, "schema": {"source": "node N { k: I64 @key }"}});
        let url = format!("{}/graphs", server.address());
        let answer = place.http.post(url).json(&body).send().expect("an answer");
        if answer.status().as_u16() != 201 {
            break answer.json::<Value>().expect("a problem");
        }
        made.push(name);
        assert!(made.len() < 500, "the disk is never full");
    };
    assert_eq!(refused["code"], "unavailable", "{refused}");
    let listed = place.must(&server, Method::GET, "/graphs?limit=1000", None);
    let ids = listed["graphs"].as_array().expect("a list").iter();
    let ids: Vec<_> = ids.filter_map(|graph| graph["graph_id"].as_str()).collect();
    assert_eq!(ids.len(), made.len() + 2, "{ids:?}");
    assert_eq!(place.count(&server), 1);
    // One that nobody has asked for anything yet is opened, which needs no room.
    let closed = made.first().expect("at least one");
    let query = json!({"query": "MATCH (n:N) RETURN count(*) AS n"});
    let path = format!("/graphs/{closed}/query");
    let read = place.must(&server, Method::POST, &path, Some(query));
    assert_eq!(read["rows"][0]["n"], 0);
    // Its own view of the disk: the file is whole.
    let inside = format!("/proc/{}/root", server.child().id());
    let config = place.path("config/trellis.yaml");
    let inside = PathBuf::from(inside).join(config.strip_prefix("/").expect("absolute"));
    let text = fs::read_to_string(inside).expect("the config");
    for id in ids.iter().filter(|id| **id != "old") {
        assert!(text.contains(&format!("\n  {id}:\n")), "{id}");
    }
    // Room is made by what the server itself is asked for.
    let gone = made.pop().expect("at least one");
    place.must(&server, Method::DELETE, &format!("/graphs/{gone}"), None);
    place.must(
        &server,
        Method::POST,
        &format!("/graphs/{gone}/purge"),
        None,
    );
    let body = json!({"graph_id": "after", "schema": {"source": "node N { k: I64 @key }"}});
    let url = format!("{}/graphs", server.address());
    let answer = place.http.post(url).json(&body).send().expect("an answer");
    assert_eq!(answer.status().as_u16(), 201);
}

/// A config in a folder that is mounted read-only is served; a change is refused, and says so.
#[test]
fn a_read_only_config_is_served() {
    let place = Place::new();
    with_one(&place);
    let script = "mount --bind \"$1/config\" \"$1/config\"; mount -o remount,ro,bind \"$1/config\"; shift; exec \"$@\"";
    let Some(server) = mounted(script, place.folder.path()) else {
        return;
    };
    assert_eq!(place.count(&server), 1);
    let before = place.text();
    let body = json!({"graph_id": "two", "schema": {"source": "node N { k: I64 @key }"}});
    for (method, path, body) in [
        (Method::POST, "/graphs", Some(body)),
        (
            Method::PATCH,
            "/graphs/one",
            Some(json!({"tenant": "rival"})),
        ),
        (Method::DELETE, "/graphs/one", None),
        (Method::POST, "/admin/config/reload", Some(json!({}))),
    ] {
        let (status, answer) = place
            .ask(&server, method.clone(), path, body)
            .expect("an answer");
        let told = (status, answer["code"].as_str());
        assert_eq!(
            told,
            (503, Some("unavailable")),
            "{method} {path}: {answer}"
        );
    }
    assert_eq!(place.text(), before);
    assert!(!place.path("data/two").exists());
    assert_eq!(place.count(&server), 1, "it goes on");
}
