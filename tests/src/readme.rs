//! Every command of `README.md` runs as it is written, and answers what is shown.
//!
//! The fenced blocks marked `console` are one session: lines after `$ ` are commands, after `> `
//! their continuation, the rest is what they print. The session runs in one shell, in an empty
//! folder, with the real `trellis` and `curl`. Three things are read with a little latitude: port
//! 8080 may be taken here, so another one stands for it; `...` in an output stands for anything; and a
//! command that shows an `error:` must fail, every other one succeed.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::repository;
use crate::program;

/// The port in the text.
const PORT: &str = "8080";

/// One command and what is shown of its output.
#[derive(Debug, Default, PartialEq)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The commands of all `console` blocks, in order.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside && line == "```console";
        } else if !inside {
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                shown: Vec::new(),
            });
        } else if let Some(step) = steps.last_mut() {
            let more = line.strip_prefix("> ").or((line == ">").then_some(""));
            match more.filter(|_| step.shown.is_empty()) {
                Some(more) => step.command += &format!("\n{more}"),
                None => step.shown.push(line.to_owned()),
            }
        }
    }
    steps
}

/// Whether a line is the shown one, `...` standing for anything.
fn matches(shown: &str, line: &str) -> bool {
    let Some((first, others)) = shown.split_once("...") else {
        return shown == line;
    };
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let (between, last) = others.rsplit_once("...").unwrap_or(("", others));
    for part in between.split("...") {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

/// The first shown line that does not follow, in order, among the lines that were printed.
fn missing<'a>(shown: &'a [String], printed: &str) -> Option<&'a String> {
    let mut lines = printed.lines();
    shown
        .iter()
        .find(|shown| !lines.any(|line| matches(shown.trim_end(), line.trim_end())))
}

/// A shell script of the session, with a mark before and after each command.
fn script(steps: &[Step], port: &str) -> String {
    let mut script = "exec 2>&1\n".to_owned();
    for (number, step) in steps.iter().enumerate() {
        script += &format!("echo '::begin {number}'\n{}\n", step.command);
        script += "status=$?\n";
        if step.command.ends_with('&') {
            script += &format!(
                "for _ in $(seq 600); do (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.05; done\n"
            );
        }
        script += &format!("printf '\\n::end {number} %s\\n' \"$status\"\n");
    }
    script + "kill %1 2>/dev/null\nwait\n"
}

/// What was printed between the marks of a command, and its exit status. What runs in the background
/// prints when it is ready to.
fn result<'a>(output: &'a str, number: usize, command: &str) -> Option<(&'a str, &'a str)> {
    let (_, begun) = output.split_once(&format!("::begin {number}\n"))?;
    let (printed, after) = begun.split_once(&format!("\n::end {number} "))?;
    let printed = if command.ends_with('&') {
        begun
    } else {
        printed
    };
    Some((printed, after.lines().next()?))
}

fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .local_addr()
        .expect("an address")
        .port()
        .to_string()
}

#[test]
fn every_command_runs_as_written() {
    assert!(
        Command::new("curl")
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success()),
        "the README uses curl; ./dev test installs it where it may"
    );
    let readme = fs::read_to_string(repository().join("README.md")).expect("the README");
    let port = free_port();
    let steps = steps(&readme.replace(&format!(":{PORT}"), &format!(":{port}")));
    assert!(
        steps.len() >= 6,
        "the README shows only {} commands",
        steps.len()
    );

    let folder = tempfile::tempdir().expect("a temporary folder");
    let binaries = program::path().parent().expect("a folder").to_owned();
    let path = format!(
        "{}:{}",
        binaries.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new("bash")
        .args(["-c", &script(&steps, &port)])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("TRELLIS_SERVER", format!("http://127.0.0.1:{port}"))
        .env_remove("TRELLIS_TOKEN")
        .env_remove("TRELLIS_TOKENS_JSON")
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let output = String::from_utf8_lossy(&output.stdout);
    for (number, Step { command, shown }) in steps.iter().enumerate() {
        let (printed, status) = result(&output, number, command)
            .unwrap_or_else(|| panic!("`{command}` did not end; the whole session:\n{output}"));
        let fails = shown.iter().any(|line| line.starts_with("error:"));
        assert_eq!(
            status != "0",
            fails,
            "`{command}` ended with {status}:\n{printed}"
        );
        if let Some(line) = missing(shown, printed) {
            panic!("`{command}` does not print\n{line}\nbut\n{printed}");
        }
    }
}

#[test]
fn blocks_are_taken_apart() {
    let text =
        "```sh\n$ no\n```\n```console\n$ cat <<'E'\n> a\n>\n> E\na\n\n$ next\n> shown\n```\n$ no\n";
    let step = |command: &str, shown: &[&str]| Step {
        command: command.to_owned(),
        shown: shown.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(steps(text)[0], step("cat <<'E'\na\n\nE", &["a", ""]));
    assert_eq!(steps(text)[1].command, "next\nshown");
    assert_eq!(steps(text).len(), 2);
}

#[test]
fn shown_lines_must_follow_each_other() {
    for (shown, line, expected) in [
        ("abc", "abc", true),
        ("abc", "abcd", false),
        ("a...c", "a123c", true),
        ("a...", "a123", true),
        ("...c", "123c", true),
        ("a...c", "a123", false),
        ("a...c", "ac2", false),
        ("a...c", "a1c2c", true),
        ("a...b...c", "a1b2c", true),
        ("a...b...c", "a1c", false),
    ] {
        assert_eq!(matches(shown, line), expected, "{shown} {line}");
    }
    let shown = ["one".to_owned(), "two".to_owned()];
    assert_eq!(missing(&shown, "zero\none\nmore\ntwo"), None);
    assert_eq!(missing(&shown, "two\none"), Some(&shown[1]));
}
