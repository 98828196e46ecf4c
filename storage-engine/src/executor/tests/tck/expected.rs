//! The committed expectation: which scenarios pass, and why the others do not.
//!
//! One block per feature file: its path, then `pass` with the keys that pass, then one line `fail
//! <key> <reason>` for each that fails, and `either <key> <reason>` for each that depends on the machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Outcomes;

/// Scenarios whose outcome says something about the machine and nothing about us.
const OF_THE_MACHINE: [(&str, &str, &str); 1] = [(
    "expressions/temporal/Temporal2.feature",
    "6#5",
    "Stockholm before 1879: the TCK has the local mean time of Berlin, as time zone databases do that \
     merge zones which are the same since 1970; others, Debian's for one, have its own, +01:12:12",
)];

fn of_the_machine(file: &str, key: &str) -> Option<&'static str> {
    let mut known = OF_THE_MACHINE.iter();
    let known = known.find(|(of, scenario, _)| (*of, *scenario) == (file, key));
    known.map(|(_, _, reason)| *reason)
}

/// By file and key: `None` is a pass, else the reason.
#[derive(Default)]
pub(super) struct Expected(BTreeMap<String, BTreeMap<String, Option<String>>>);

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tck/expected")
}

impl Expected {
    pub(super) fn read() -> Self {
        Self::parse(&std::fs::read_to_string(path()).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut expected = Self::default();
        let mut file = String::new();
        for line in text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let words = line.trim_start();
            if words.len() == line.len() {
                file = line.to_owned();
                continue;
            }
            let scenarios = expected.0.entry(file.clone()).or_default();
            match words.split_once(' ') {
                Some(("pass", keys)) => {
                    scenarios.extend(keys.split(' ').map(|key| (key.to_owned(), None)));
                }
                Some(("fail" | "either", rest)) => {
                    let (key, reason) = rest.split_once(' ').unwrap_or((rest, ""));
                    scenarios.insert(key.to_owned(), Some(reason.to_owned()));
                }
                _ => panic!("tests/tck/expected: `{line}`"),
            }
        }
        expected
    }

    /// What came out differently from what is written down.
    pub(super) fn surprises(&self, outcomes: &Outcomes) -> Vec<String> {
        let mut surprises = Vec::new();
        for (file, scenarios) in outcomes {
            for (key, outcome) in scenarios {
                if of_the_machine(file, key).is_some() {
                    continue;
                }
                match (self.0.get(file).and_then(|known| known.get(key)), outcome) {
                    (Some(None), Some(problem)) => {
                        surprises.push(format!("{file} {key} fails: {problem}"));
                    }
                    (Some(Some(_)), None) => surprises.push(format!("{file} {key} passes now")),
                    _ => {}
                }
            }
        }
        surprises
    }

    /// This with what came out; what was not run stays.
    pub(super) fn with(mut self, outcomes: &Outcomes) -> Self {
        for (file, scenarios) in outcomes {
            self.0
                .entry(file.clone())
                .or_default()
                .extend(scenarios.clone());
        }
        self
    }

    pub(super) fn write(&self) {
        std::fs::write(path(), self.text()).expect("tests/tck/expected");
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "# Which scenarios of the openCypher TCK pass, by feature file, and why others do not.\n\
             # Written by `TRELLIS_BLESS=1 ./dev tck`; it only ratchets up.\n",
        );
        for (file, scenarios) in &self.0 {
            let _ = writeln!(text, "{file}");
            let passing: Vec<&str> = scenarios
                .iter()
                .filter(|(key, problem)| problem.is_none() && of_the_machine(file, key).is_none())
                .map(|(key, _)| key.as_str())
                .collect();
            if !passing.is_empty() {
                let _ = writeln!(text, "  pass {}", passing.join(" "));
            }
            for (key, problem) in scenarios {
                if let Some(reason) = of_the_machine(file, key) {
                    let _ = writeln!(text, "  either {key} {reason}");
                } else if let Some(problem) = problem {
                    let problem: String = problem.replace('\n', " ").chars().take(160).collect();
                    let _ = writeln!(text, "  fail {key} {problem}");
                }
            }
        }
        text
    }
}

#[test]
fn it_only_ratchets_up() {
    let expected = Expected::parse("a/B.feature\n  pass 1 2#1\n  fail 3 why not\n");
    assert_eq!(Expected::parse(&expected.text()).text(), expected.text());
    let outcome = |key: &str, problem: Option<&str>| {
        let scenarios = [(key.to_owned(), problem.map(str::to_owned))].into();
        expected
            .surprises(&[("a/B.feature".to_owned(), scenarios)].into())
            .len()
    };
    assert_eq!(outcome("1", None), 0);
    assert_eq!(outcome("2#1", Some("broken")), 1);
    assert_eq!(outcome("3", None), 1);
    assert_eq!(outcome("3", Some("still")), 0);
    assert_eq!(outcome("4", Some("unknown")), 0);
    assert_eq!(outcome("4", None), 0);
    let (file, key, reason) = OF_THE_MACHINE[0];
    for problem in [None, Some("another time".to_owned())] {
        let outcomes = [(file.to_owned(), [(key.to_owned(), problem)].into())].into();
        assert_eq!(expected.surprises(&outcomes), [""; 0]);
        let written = Expected::default().with(&outcomes).text();
        assert!(
            written.ends_with(&format!("  either {key} {reason}\n")),
            "{written}"
        );
    }
}
