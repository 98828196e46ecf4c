//! `./dev demo` does what it says, as a user would run it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::harness::repository;
use crate::program;

/// The demo, in a cache folder of its own, with the binary that is built already.
fn demo(cache: &tempfile::TempDir, more: &[&str]) -> Command {
    let mut command = Command::new(repository().join("dev"));
    command
        .arg("demo")
        .args(more)
        .env("TRELLIS_BIN", program::path())
        .env("TRELLIS_CACHE", cache.path())
        .env_remove("TRELLIS_TOKENS_JSON")
        .stdin(Stdio::null());
    command
}

#[test]
fn it_answers_every_question_and_leaves() {
    let cache = tempfile::tempdir().expect("a temporary folder");
    let output = demo(&cache, &["--exit"]).output().expect("the demo runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{log}");
    for expected in [
        "created crates at ",
        " nodes :Crate, ",
        " relationships :DependsOn in commit ",
        "(trellis-cli@0.1.0)-[:DependsOn]->",
        "->(ring@",
        "hashbrown",
        "/docs",
        "stopped; everything is still in ",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    let asked = said.matches("$ trellis query ").count();
    let answered = said
        .lines()
        .filter(|line| line.contains(" row") && line.ends_with(" ms"))
        .count();
    assert!(
        asked >= 5 && answered == asked,
        "{asked} questions, {answered} answers:\n{said}"
    );
    assert!(!said.contains(" 0 rows"), "{said}");

    let config = cache.path().join("demo/config/trellis.yaml");
    let config = std::fs::read_to_string(config).expect("the demo's config file");
    assert!(
        config.contains("crates:") && config.contains("# Groups that policies speak of"),
        "{config}"
    );
}

#[test]
fn it_stays_up_until_it_is_told_to_stop() {
    let cache = tempfile::tempdir().expect("a temporary folder");
    let mut child = demo(&cache, &[])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    let output = child.stdout.take().expect("its output was piped");
    let mut lines = BufReader::new(output)
        .lines()
        .map(|line| line.expect("a line of text"));
    let said: Vec<_> = lines
        .by_ref()
        .take_while(|line| line != "Ctrl-C stops it.")
        .collect();
    let address = said
        .iter()
        .find_map(|line| line.strip_prefix("export TRELLIS_SERVER="));
    let address = address.unwrap_or_else(|| panic!("no address in\n{}", said.join("\n")));

    let token = cache.path().join("demo/token");
    let mut show = program::command();
    show.args(["graph", "list", "--server", address, "--token-file"])
        .arg(token);
    let graphs = show.output().expect("it can be asked");
    assert!(
        String::from_utf8_lossy(&graphs.stdout).contains("crates"),
        "{graphs:?}"
    );

    program::signal(&child, rustix::process::Signal::INT);
    let status = program::ended(&mut child);
    assert!(status.success(), "{status}");
    assert!(lines.any(|line| line.starts_with("stopped;")));
}
