//! What operators do around a server: variables of the environment, a start that asks for every graph, the
//! doctor of a config file, and the command line over deleted graphs and those that were set aside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use reqwest::blocking::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Setup;
use crate::listing;
use crate::program::{self, Server};

pub(crate) const PLAIN: &str = "version: 1\nserver:\n  storage: ../data\n";

pub(crate) fn place(config: &str) -> (TempDir, PathBuf) {
    let setup = Setup {
        config: config.to_owned(),
        ..Setup::default()
    };
    let folder = setup.write();
    let config = folder.path().join("config/trellis.yaml");
    (folder, config)
}

fn client() -> Client {
    let client = Client::builder().no_proxy();
    client.build().expect("a client")
}

fn post(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let request = client().post(format!("{}{path}", server.address()));
    let answer = request.json(body).send().expect("an answer");
    (answer.status().as_u16(), answer.json().expect("JSON"))
}

fn create(server: &Server, graph: &str) {
    let body = json!({"graph_id": graph, "schema": {"source": "node N { k: I64 @key }"}});
    let (status, answer) = post(server, "/graphs", &body);
    assert_eq!(status, 201, "{answer}");
}

/// Exit code, what was said on standard output and on standard error.
type Said = (Option<i32>, String, String);

fn said(output: Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn trellis(arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = program::command();
    command.envs(variables.iter().copied()).args(arguments);
    said(command.output().expect("it runs"))
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

const WITH_VARIABLES: &str = "\
version: 1
server:
  bind: ${TRELLIS_TEST_HOST}:0      # from the unit
  storage: ${TRELLIS_TEST_DATA}/graphs
  allow_roots: [\"${TRELLIS_TEST_DATA}\"]
  policy: { file: ../policies/server.cedar }
auth: { tokens_file: \"${TRELLIS_TEST_TOKENS}\" }
groups: { g: ['${TRELLIS_TEST_HOST}'] }
";

/// The file keeps the names, the server uses the values, and no answer tells one.
#[test]
fn variables_stand_for_values_where_they_are_documented() {
    let (folder, config) = place(WITH_VARIABLES);
    let data = folder.path().join("data/hidden-away");
    let tokens = folder.path().join("config/tokens.yaml");
    let variables = [
        ("TRELLIS_TEST_HOST", "127.0.0.1"),
        ("TRELLIS_TEST_DATA", text_of(&data)),
        ("TRELLIS_TEST_TOKENS", text_of(&tokens)),
    ];
    let server = Server::start_with(&config, &["--unauthenticated"], &variables);
    create(&server, "one");
    assert!(data.join("graphs/one/graph.json").exists());
    let written = "graphs:\n  one:\n    uri: \"${TRELLIS_TEST_DATA}/graphs/one\"\n";
    let expected = format!("{WITH_VARIABLES}{written}");
    assert_eq!(fs::read_to_string(&config).expect("read"), expected);
    // Callers name no variables.
    let body = json!({
        "graph_id": "two", "uri": "${TRELLIS_TEST_DATA}/two", "schema": {"source": "node N { k: I64 @key }"}
    });
    let (status, refused) = post(&server, "/graphs", &body);
    assert_eq!(
        (status, &refused["code"]),
        (400, &json!("invalid_uri")),
        "{refused}"
    );
    // What stands elsewhere is text, and what differs is told as it is written.
    let edited = expected.replace("/graphs/one\"", "/x/y\"").replace(
        "tokens_file: \"${TRELLIS_TEST_TOKENS}\"",
        "tokens_file: \"${TRELLIS_TEST_TOKENS}x\"",
    );
    fs::write(&config, edited).expect("written");
    fs::create_dir_all(&data).expect("made");
    fs::write(data.join("x"), "a file").expect("written");
    let answer = client().get(format!("{}/admin/config/drift", server.address()));
    let drift: Value = answer.send().expect("an answer").json().expect("JSON");
    assert_eq!(drift["drifted"], true, "{drift}");
    assert_eq!(
        drift["changes"].as_array().map(Vec::len),
        Some(2),
        "{drift}"
    );
    assert!(
        !drift["problems"].as_array().expect("problems").is_empty(),
        "{drift}"
    );
    let told = drift.to_string();
    assert!(
        told.contains("${TRELLIS_TEST_DATA}") && !told.contains("hidden-away"),
        "{told}"
    );
    fs::write(&config, &expected).expect("written");
    drop(server);
    // It reads the same again, and the graph is there.
    let server = Server::start_with(&config, &["--unauthenticated"], &variables);
    let query = json!({"query": "MATCH (n:N) RETURN count(*) AS n"});
    let (status, answer) = post(&server, "/graphs/one/query", &query);
    assert_eq!(
        (status, &answer["rows"][0]["n"]),
        (200, &json!(0)),
        "{answer}"
    );
}

/// One that is not set, or to nothing, is named, by the start and by the check.
#[test]
fn a_variable_that_is_not_set_is_named() {
    let (_folder, config) = place(WITH_VARIABLES);
    for data in [None, Some(""), Some("  ")] {
        let mut variables = vec![
            ("TRELLIS_TEST_HOST", "127.0.0.1"),
            ("TRELLIS_TEST_TOKENS", "tokens.yaml"),
        ];
        variables.extend(data.map(|data| ("TRELLIS_TEST_DATA", data)));
        let start = ["serve", "--unauthenticated", "--config", text_of(&config)];
        let check = ["config", "check", text_of(&config)];
        for arguments in [&start[..], &check[..]] {
            let (code, _, errors) = trellis(arguments, &variables);
            assert_eq!(code, Some(1), "{data:?} {errors}");
            assert!(
                errors.contains("TRELLIS_TEST_DATA is not set, or empty"),
                "{data:?} {errors}"
            );
        }
        let (_, _, errors) = trellis(&check, &variables);
        assert!(errors.contains("4:3: server.storage"), "{errors}");
    }
}

/// `server.require_all_graphs`: each graph that keeps the server from starting is named.
#[test]
fn a_start_can_ask_for_every_graph() {
    let (folder, config) = place(PLAIN);
    let server = Server::start(&config, &["--unauthenticated"]);
    for graph in ["one", "two", "three"] {
        create(&server, graph);
    }
    assert!(server.terminate().success());
    for graph in ["one", "three"] {
        fs::write(
            folder.path().join("data").join(graph).join("graph.json"),
            "{",
        )
        .expect("written");
    }
    // Without it, the others are served.
    let server = Server::start(&config, &["--unauthenticated"]);
    let query = json!({"query": "MATCH (n:N) RETURN count(*) AS n"});
    assert_eq!(post(&server, "/graphs/two/query", &query).0, 200);
    assert_eq!(post(&server, "/graphs/one/query", &query).0, 503);
    drop(server);
    let text = fs::read_to_string(&config).expect("read");
    let text = text.replace("server:\n", "server:\n  require_all_graphs: true\n");
    fs::write(&config, text).expect("written");
    let start = [
        "serve",
        "--unauthenticated",
        "--bind",
        "127.0.0.1:0",
        "--config",
        text_of(&config),
    ];
    let (code, output, errors) = trellis(&start, &[]);
    assert_eq!((code, output.as_str()), (Some(1), ""), "{errors}");
    assert!(
        errors.contains("2 of 3 graphs cannot be opened"),
        "{errors}"
    );
    assert!(
        errors.contains("one: ") && errors.contains("three: "),
        "{errors}"
    );
    assert!(!errors.contains("two: "), "{errors}");
    let text = fs::read_to_string(&config).expect("read");
    let kept = text.split("  one:").next().expect("a beginning");
    fs::write(&config, format!("{kept}  two:\n    uri: ../data/two\n")).expect("written");
    let server = Server::start(&config, &["--unauthenticated"]);
    assert_eq!(post(&server, "/graphs/two/query", &query).0, 200);
}

fn doctor(config: &Path) -> (Option<i32>, Value) {
    let (code, output, errors) = trellis(
        &["doctor", "--format", "json", "--config", text_of(config)],
        &[],
    );
    let report = serde_json::from_str(&output);
    (
        code,
        report.unwrap_or_else(|error| panic!("{error}: {output} {errors}")),
    )
}

/// Whether there is a finding of this grade and part that says so.
fn says(report: &Value, grade: &str, part: &str, what: &str) -> bool {
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().any(|finding| {
        finding["grade"] == grade
            && finding["part"] == part
            && finding["what"]
                .as_str()
                .is_some_and(|told| told.contains(what))
    })
}

#[test]
fn the_doctor_of_a_config_looks_at_everything_and_changes_nothing() {
    let (folder, config) = place(PLAIN);
    let server = Server::start(&config, &["--unauthenticated"]);
    for graph in ["one", "two"] {
        create(&server, graph);
    }
    let deleted = client().delete(format!("{}/graphs/two", server.address()));
    assert_eq!(deleted.send().expect("an answer").status().as_u16(), 200);
    assert!(server.terminate().success());
    let before = listing::of(folder.path());
    let (code, report) = doctor(&config);
    assert_eq!(
        (code, &report["sound"]),
        (Some(0), &json!(true)),
        "{report:#}"
    );
    for (grade, part, what) in [
        ("ok", "config", "sound"),
        ("warning", "config", "neither tokens nor a policy"),
        ("ok", "lock", "is free"),
        ("ok", "permissions", "may change the config file"),
        ("ok", "state", "is as a server wrote it last"),
        ("note", "state", "the deleted graph two"),
        ("ok", "disk", "has flock"),
        ("ok", "graphs.one", "it is sound: uuid"),
    ] {
        assert!(
            says(&report, grade, part, what),
            "{grade} {part} {what}: {report:#}"
        );
    }
    let findings = report["findings"].as_array().expect("findings").iter();
    let told: Vec<_> = findings.filter_map(|it| it["what"].as_str()).collect();
    assert!(
        told.iter()
            .any(|what| what.contains("an append and its sync")),
        "{told:?}"
    );
    let after = listing::differences(&before, &listing::of(folder.path()));
    assert!(after.is_empty(), "{after:?}");
    // The same for people.
    let (code, output, _) = trellis(&["doctor", "--config", text_of(&config)], &[]);
    assert_eq!(code, Some(0));
    assert!(
        output.contains("\nok       graphs.one: it is sound: uuid"),
        "{output}"
    );
}

#[test]
fn the_doctor_of_a_config_finds_what_is_wrong() {
    let (folder, config) = place(PLAIN);
    let server = Server::start(&config, &["--unauthenticated"]);
    for graph in ["one", "two", "three"] {
        create(&server, graph);
    }
    // While it runs, the graphs are in use and that is no fault.
    let query = json!({"query": "MATCH (n:N) RETURN count(*) AS n"});
    assert_eq!(post(&server, "/graphs/one/query", &query).0, 200);
    assert_eq!(doctor(&config).0, Some(0));
    assert!(server.terminate().success());
    let at = |path: &str| folder.path().join(path);
    fs::remove_dir_all(at("data/one")).expect("removed");
    fs::write(at("data/two/graph.json"), "{").expect("written");
    fs::copy(at("data/three/graph.json"), at("three.json")).expect("copied");
    let edited = fs::read_to_string(&config).expect("read")
        + "  four:\n    uri: ../data/four\nauth: { tokens_file: tokens.yaml }\n";
    fs::write(&config, edited).expect("written");
    fs::create_dir_all(at("data/four")).expect("made");
    fs::copy(at("data/three/graph.json"), at("data/four/graph.json")).expect("copied");
    fs::write(at("config/.trellis/intents/half.json"), "{\"intent\":").expect("written");
    fs::write(at("config/.trellis-x.tmp"), "left").expect("written");
    let everybody = fs::Permissions::from_mode(0o666);
    fs::set_permissions(at("config/tokens.yaml"), everybody).expect("set");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o444)).expect("set");
    let before = listing::of(folder.path());
    let (code, report) = doctor(&config);
    assert_eq!(
        (code, &report["sound"]),
        (Some(1), &json!(false)),
        "{report:#}"
    );
    for (grade, part, what) in [
        ("error", "graphs.one", "there is nothing at"),
        ("error", "graphs.two", "is no graph"),
        ("error", "graphs.four", "it is damaged"),
        (
            "warning",
            "graphs.three",
            "it carries the uuid of the graph four",
        ),
        ("error", "state", "half.json cannot be read"),
        ("note", "state", "1 temporary file"),
        ("note", "state", "was edited since"),
        ("error", "permissions", "tokens.yaml has the mode 666"),
        ("warning", "permissions", "trellis.yaml is read-only"),
    ] {
        assert!(
            says(&report, grade, part, what),
            "{grade} {part} {what}: {report:#}"
        );
    }
    let after = listing::differences(&before, &listing::of(folder.path()));
    assert!(after.is_empty(), "{after:?}");
    // A file that is not sound is said with its place, and the rest is looked at all the same.
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).expect("set");
    fs::write(&config, "version: 1\nservr: {}\n").expect("written");
    let (code, report) = doctor(&config);
    assert_eq!(code, Some(1));
    assert!(
        says(&report, "error", "config", "2:1: servr: unknown key"),
        "{report:#}"
    );
    assert!(says(&report, "ok", "lock", "is free"), "{report:#}");
    let (code, _, errors) = trellis(&["doctor", "--config", "/nowhere.yaml"], &[]);
    assert_eq!(code, Some(1), "{errors}");
    assert_eq!(trellis(&["doctor"], &[]).0, Some(2));
}

/// `trellis graph list --deleted` and `trellis graph retry`.
#[test]
fn the_command_line_lists_what_was_deleted_and_opens_what_was_set_aside() {
    let (folder, config) = place(PLAIN);
    let server = Server::start(&config, &["--unauthenticated"]);
    for graph in ["one", "two"] {
        create(&server, graph);
    }
    let address = server.address().to_owned();
    let graph = |arguments: &[&str]| {
        let arguments: Vec<_> = ["graph"].iter().chain(arguments).copied().collect();
        trellis(&arguments, &[("TRELLIS_SERVER", &address)])
    };
    let (code, output, errors) = graph(&["list", "--deleted"]);
    assert_eq!(
        (code, errors.as_str()),
        (Some(0), "0 deleted graphs\n"),
        "{output}"
    );
    let (code, output, _) = graph(&["delete", "two"]);
    assert_eq!(code, Some(0));
    assert!(
        output.starts_with("deleted two; `trellis graph restore two` brings it back until "),
        "{output}"
    );
    let (_, output, errors) = graph(&["list", "--deleted"]);
    assert_eq!(errors, "1 deleted graph\n");
    assert!(
        output.contains("kept until") && output.contains("two"),
        "{output}"
    );
    assert!(!output.contains("one"), "{output}");
    let (_, output, _) = graph(&["list", "--deleted", "--format", "json"]);
    let listed: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(listed[0]["state"], "deleted", "{listed}");
    let (_, output, errors) = graph(&["list"]);
    assert!(
        output.contains("one") && !output.contains("two"),
        "{output}"
    );
    assert_eq!(errors, "1 graph\n");

    // Of two deleted graphs of one id, each can be named.
    create(&server, "two");
    assert_eq!(graph(&["delete", "two"]).0, Some(0));
    let (_, output, _) = graph(&["list", "--deleted"]);
    let older = listed[0]["deletion"].as_str().expect("a deletion");
    assert!(
        output.contains("deletion") && output.contains(older),
        "{output}"
    );
    let (code, output, errors) = graph(&["purge", "two", "--deletion", older]);
    assert_eq!(
        (code, output.as_str()),
        (Some(0), "purged two at ../data/two: its data is gone\n"),
        "{errors}"
    );
    let (code, _, errors) = graph(&["restore", "two", "--deletion", older]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("graph_purged"), "{errors}");
    let (code, output, errors) = graph(&["restore", "two"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        output.starts_with("restored two at ../data/two-"),
        "{output}"
    );

    let (mark, aside) = (
        folder.path().join("data/one/graph.json"),
        folder.path().join("aside"),
    );
    fs::rename(&mark, &aside).expect("moved");
    fs::write(&mark, "{").expect("written");
    let (code, _, errors) = graph(&["retry", "one"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("graph_quarantined"), "{errors}");
    fs::rename(&aside, &mark).expect("moved");
    let (code, output, errors) = graph(&["retry", "one"]);
    assert_eq!(
        (code, output.as_str()),
        (Some(0), "one is open\n"),
        "{errors}"
    );
    let (code, _, errors) = graph(&["retry", "nobody"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("nobody"), "{errors}");
}

/// What `trellis config diff` and `reload` say of a file that was edited by hand.
#[test]
fn the_command_line_tells_what_was_edited_and_takes_it_over() {
    let (_folder, config) = place(PLAIN);
    let server = Server::start(&config, &["--unauthenticated"]);
    let address = server.address().to_owned();
    let command = |arguments: &[&str]| {
        let arguments: Vec<_> = ["config"].iter().chain(arguments).copied().collect();
        trellis(&arguments, &[("TRELLIS_SERVER", &address)])
    };
    let same = (
        Some(0),
        "the server serves what stands in the file\n".to_owned(),
        String::new(),
    );
    assert_eq!(command(&["diff"]), same);
    fs::write(&config, format!("{PLAIN}# mine\n")).expect("written");
    let (code, output, errors) = command(&["diff"]);
    assert_eq!(
        (code, output.as_str()),
        (Some(3), "only comments and spacing differ\n")
    );
    assert!(errors.contains("until `trellis config reload`"), "{errors}");
    fs::write(&config, format!("{PLAIN}groups: {{ g: [x] }}\n")).expect("written");
    let (code, output, errors) = command(&["diff"]);
    assert_eq!(code, Some(3));
    assert!(
        output.contains("groups.g") && output.contains("added"),
        "{output}"
    );
    assert!(errors.contains("until `trellis config reload`"), "{errors}");
    let (code, output, _) = command(&["reload", "--dry-run"]);
    assert_eq!(code, Some(0));
    assert!(
        output.ends_with("sound: 1 change would be applied\n"),
        "{output}"
    );
    fs::write(&config, format!("{PLAIN}gruops: {{}}\n")).expect("written");
    let (code, _, errors) = command(&["diff"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("4:1: gruops: unknown key"), "{errors}");
    assert!(
        errors.contains("the file cannot be applied: 1 problem"),
        "{errors}"
    );
    let (code, _, errors) = command(&["reload"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("gruops"), "{errors}");
    fs::write(&config, format!("{PLAIN}groups: {{ g: [x] }}\n")).expect("written");
    let (code, output, _) = command(&["reload"]);
    assert_eq!(code, Some(0));
    assert!(output.ends_with("applied: 1 change\n"), "{output}");
    assert_eq!(command(&["diff"]), same);
}
