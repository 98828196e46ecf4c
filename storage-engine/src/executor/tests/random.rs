//! Random queries on random small graphs: the executor gives what the naive evaluator gives.
//!
//! Graphs and queries are read off a tape of random numbers, so that shrinking the tape shrinks
//! both: zeros stand for the simplest choice. `TRELLIS_CASES` sets the number of cases (256),
//! `TRELLIS_SEED` repeats a run; the seed of a failing run is printed.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use language::cypher;
use language::value::{NodeRef, Value};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use super::graph;
use super::naive::{self, NaiveGraph, TooMuch};
use crate::executor::{self, ExecuteError, Limits, Parameters};
use crate::snapshot::Snapshot;

const SCHEMA: &str = "
interface Any { key: I64, x: I64?, s: String? }
node A implements Any { key: I64 @key, x: I64?, s: String? }
node B implements Any { key: I64 @key, x: I64?, s: String? }
edge R: A -> A { w: I64? }
edge S: A -> B { w: I64? }
edge T: B -> B { w: I64? }
";

/// Numbers that decide; zeros when it has run out.
struct Tape<'t> {
    numbers: &'t [u16],
    place: usize,
}

impl Tape<'_> {
    fn below(&mut self, limit: usize) -> usize {
        let number = self.numbers.get(self.place).copied().unwrap_or(0);
        self.place += 1;
        usize::from(number) % limit
    }

    /// True in one of `of` cases, never when the tape has run out.
    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }

    fn pick<'c>(&mut self, choices: &[&'c str]) -> &'c str {
        choices[self.below(choices.len())]
    }
}

/// The same graph twice.
fn random_graph(tape: &mut Tape<'_>) -> (Snapshot, NaiveGraph) {
    let mut transaction = graph::empty(SCHEMA);
    let mut naive = NaiveGraph::default();
    let schema = std::sync::Arc::clone(transaction.snapshot().schema());
    let small = |tape: &mut Tape<'_>| match tape.below(4) {
        0 => Value::Null,
        number => Value::Int(i64::try_from(number).expect("small")),
    };
    let (mut a, mut b): (Vec<NodeRef>, Vec<NodeRef>) = (Vec::new(), Vec::new());
    for key in 0..3 + tape.below(6) {
        let node_type = &schema.node_types[usize::from(tape.one_in(3))];
        let of = |name: &str| node_type.property(name).expect("declared").id;
        let text = match tape.below(3) {
            0 => Value::Null,
            1 => Value::from("a"),
            _ => Value::from("b"),
        };
        let key = Value::Int(i64::try_from(key).expect("small"));
        let mut properties = vec![(of("key"), key), (of("x"), small(tape)), (of("s"), text)];
        properties.retain(|(_, value)| !value.is_null());
        let node = transaction
            .create_node(node_type.id, properties.clone())
            .expect("a valid node");
        naive.nodes.push((node, properties.into_iter().collect()));
        if node_type.name == "A" {
            a.push(node)
        } else {
            b.push(node)
        }
    }
    for _ in 0..5 + tape.below(10) {
        let edge_type = &schema.edge_types[tape.below(3)];
        let (sources, targets) = match edge_type.name.as_str() {
            "R" => (&a, &a),
            "S" => (&a, &b),
            _ => (&b, &b),
        };
        if sources.is_empty() || targets.is_empty() {
            continue;
        }
        let (source, target) = (
            sources[tape.below(sources.len())],
            targets[tape.below(targets.len())],
        );
        let mut properties = vec![(edge_type.property("w").expect("declared").id, small(tape))];
        properties.retain(|(_, value)| !value.is_null());
        let edge = transaction
            .create_edge(edge_type.id, source, target, properties.clone())
            .expect("valid");
        naive
            .edges
            .push((edge, source, target, properties.into_iter().collect()));
    }
    (transaction.snapshot().clone(), naive)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Node,
    Edge,
    EdgeList,
    Path,
    Number,
    /// Any one of several equal results: only its length may be looked at.
    AnyPath,
}

/// Writes a query.
struct Writer<'a, 't> {
    tape: &'a mut Tape<'t>,
    variables: Vec<(String, Kind)>,
    names: usize,
}

impl Writer<'_, '_> {
    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn variable(&mut self, kind: Kind) -> Option<String> {
        let fitting: Vec<String> = self
            .variables
            .iter()
            .filter(|(_, of)| *of == kind)
            .map(|(name, _)| name.clone())
            .collect();
        (!fitting.is_empty()).then(|| fitting[self.tape.below(fitting.len())].clone())
    }

    fn query(&mut self) -> String {
        let mut text = self.matching("MATCH");
        for _ in 0..self.tape.below(3) {
            text.push(' ');
            let clause = match self.tape.below(5) {
                0 => self.matching("MATCH"),
                1 | 2 => self.matching("OPTIONAL MATCH"),
                3 => self.projection("WITH"),
                _ => {
                    let name = self.name("u");
                    let list = self.tape.pick(&["[1, 2]", "[1, null, 1]", "[]"]);
                    self.variables.push((name.clone(), Kind::Number));
                    format!("UNWIND {list} AS {name}")
                }
            };
            text.push_str(&clause);
        }
        format!("{text} {}", self.projection("RETURN"))
    }

    fn matching(&mut self, keyword: &str) -> String {
        let mut steps_left = 3;
        let mut paths = Vec::new();
        let mut fresh = Vec::new();
        for _ in 0..1 + usize::from(self.tape.one_in(3)) {
            if self.tape.one_in(8) && keyword == "MATCH" {
                paths.extend(self.shortest(&mut fresh));
                continue;
            }
            let steps = self.tape.below(steps_left + 1).min(1 + self.tape.below(3));
            steps_left -= steps;
            let mut text = self.node(&mut fresh);
            for _ in 0..steps {
                text.push_str(&self.edge(&mut fresh));
                text.push_str(&self.node(&mut fresh));
            }
            if self.tape.one_in(4) {
                let name = self.name("p");
                text = format!("{name} = {text}");
                fresh.push((name, Kind::Path));
            }
            paths.push(text);
        }
        self.variables.extend(fresh);
        format!("{keyword} {}{}", paths.join(", "), self.filter())
    }

    /// A shortest path between two nodes, which are found first.
    fn shortest(&mut self, fresh: &mut Vec<(String, Kind)>) -> Vec<String> {
        let (a, b, path) = (self.name("n"), self.name("n"), self.name("p"));
        let which = self.tape.pick(&["allShortestPaths", "shortestPath"]);
        let kind = if which == "shortestPath" {
            Kind::AnyPath
        } else {
            Kind::Path
        };
        fresh.extend([
            (a.clone(), Kind::Node),
            (b.clone(), Kind::Node),
            (path.clone(), kind),
        ]);
        let (left, right) = self.arrow();
        let types = self.tape.pick(&["", ":R", ":R|S", ":T"]);
        let length = self.tape.pick(&["*", "*..3", "*0..", "*..1"]);
        let properties = if self.tape.one_in(5) { " {w: 1}" } else { "" };
        vec![
            format!("({a}:Any)"),
            format!("({b}:Any)"),
            format!("{path} = {which}(({a}){left}[{types}{length}{properties}]{right}({b}))"),
        ]
    }

    fn arrow(&mut self) -> (&'static str, &'static str) {
        [("-", "->"), ("<-", "-"), ("-", "-")][self.tape.below(3)]
    }

    fn node(&mut self, fresh: &mut Vec<(String, Kind)>) -> String {
        let known = self.variables.iter().chain(fresh.iter());
        let nodes: Vec<String> = known
            .filter(|(_, kind)| *kind == Kind::Node)
            .map(|(name, _)| name.clone())
            .collect();
        if !nodes.is_empty() && self.tape.one_in(4) {
            return format!("({})", nodes[self.tape.below(nodes.len())]);
        }
        let mut name = String::new();
        if !self.tape.one_in(4) {
            name = self.name("n");
            fresh.push((name.clone(), Kind::Node));
        }
        let label = self.tape.pick(&["", "", "", ":Any", ":A", ":A", ":B"]);
        let properties = match self.tape.below(16) {
            5 => " {x: 1}".to_owned(),
            6 => " {s: 'a'}".to_owned(),
            7 => format!(" {{key: {}}}", self.tape.below(6)),
            8 if !nodes.is_empty() => format!(" {{x: {}.x}}", nodes[self.tape.below(nodes.len())]),
            9 if !nodes.is_empty() => {
                format!(" {{key: {}.x}}", nodes[self.tape.below(nodes.len())])
            }
            _ => String::new(),
        };
        format!("({name}{label}{properties})")
    }

    fn edge(&mut self, fresh: &mut Vec<(String, Kind)>) -> String {
        let (left, right) = self.arrow();
        if self.tape.one_in(10)
            && let Some(bound) = self.variable(Kind::Edge)
        {
            return format!("{left}[{bound}]{right}");
        }
        let types = self
            .tape
            .pick(&["", "", "", ":R", ":R", ":S", ":T", ":R|S", ":R|S|T"]);
        let length = self.tape.pick(&[
            "", "", "", "", "", "*1..2", "*0..1", "*2", "*", "*..2", "*0..", "*0", "*3..2",
        ]);
        let mut name = String::new();
        if self.tape.one_in(2) {
            name = self.name("e");
            fresh.push((
                name.clone(),
                if length.is_empty() {
                    Kind::Edge
                } else {
                    Kind::EdgeList
                },
            ));
        }
        let properties = match self.tape.below(16) {
            6 => " {w: 1}".to_owned(),
            7 => match self.variable(Kind::Node) {
                Some(node) => format!(" {{w: {node}.x}}"),
                None => String::new(),
            },
            _ => String::new(),
        };
        format!("{left}[{name}{types}{length}{properties}]{right}")
    }

    fn filter(&mut self) -> String {
        if self.tape.below(2) == 0 {
            return String::new();
        }
        let mut text = self.predicate();
        for _ in 0..self.tape.below(3) {
            let operator = self.tape.pick(&["AND", "AND", "OR", "XOR"]);
            text = format!("{text} {operator} {}", self.predicate());
        }
        format!(" WHERE {text}")
    }

    fn predicate(&mut self) -> String {
        let operator = self.tape.pick(&["=", "<>", "<", ">=", ">", "<="]);
        let equality = self.tape.pick(&["=", "<>"]);
        let number = self.number();
        let other = self.number();
        let node = self.variable(Kind::Node);
        match (self.tape.below(10), node) {
            (0, _) => format!("{number} {operator} {other}"),
            (1, _) => format!("{number} IS NULL"),
            (2, _) => format!("{number} IN [1, {other}, 3]"),
            (3, _) => format!("NOT ({number} {operator} {other})"),
            (4, Some(node)) => format!("{node}.s = 'a'"),
            (5, Some(node)) => format!("{node}:A"),
            (6, Some(node)) => {
                let other = self.variable(Kind::Node).expect("there is one");
                format!("{node} {equality} {other}")
            }
            (7, Some(node)) => format!("{node}.key {equality} {number}"),
            (8, Some(node)) => format!("{number} = {node}.key"),
            (9, _) => format!("({number} {operator} {other} OR {number} IS NOT NULL)"),
            _ => format!("{number} {operator} 2"),
        }
    }

    /// An expression that gives an integer or null.
    fn number(&mut self) -> String {
        match self.tape.below(8) {
            0 | 1 => self.variable(Kind::Node).map(|name| format!("{name}.x")),
            2 => self.variable(Kind::Node).map(|name| format!("{name}.key")),
            3 => self.variable(Kind::Edge).map(|name| format!("{name}.w")),
            4 => self
                .variable(Kind::EdgeList)
                .map(|name| format!("size({name})")),
            5 => self
                .variable(Kind::Path)
                .map(|name| format!("length({name})")),
            6 => self
                .variable(Kind::AnyPath)
                .map(|name| format!("length({name})")),
            _ => self.variable(Kind::Number),
        }
        .unwrap_or_else(|| self.tape.below(4).to_string())
    }

    fn projection(&mut self, keyword: &str) -> String {
        let aggregates = self.tape.one_in(3);
        let distinct = self.tape.one_in(3);
        let sorted = self.tape.one_in(2);
        let (mut items, mut columns) = (Vec::new(), Vec::new());
        for _ in 0..1 + self.tape.below(3) {
            let kinds = [
                Kind::Node,
                Kind::Edge,
                Kind::EdgeList,
                Kind::Path,
                Kind::Number,
            ];
            let kind = kinds[self.tape.below(kinds.len())];
            let (expression, kind) = match self.variable(kind) {
                Some(name) if !self.tape.one_in(3) => (name, kind),
                _ => (self.number(), Kind::Number),
            };
            let name = self.name("c");
            items.push(format!("{expression} AS {name}"));
            columns.push((name, kind));
        }
        if aggregates {
            for _ in 0..1 + self.tape.below(2) {
                let number = self.number();
                let (text, prefix) = match self.tape.below(8) {
                    0 => ("count(*)".to_owned(), "c"),
                    1 => (format!("count({number})"), "c"),
                    2 => (format!("count(DISTINCT {number})"), "c"),
                    3 => (format!("sum({number})"), "c"),
                    4 => (format!("min({number})"), "c"),
                    5 => (format!("max({number})"), "c"),
                    6 => (format!("avg({number})"), "f"),
                    _ => (format!("collect({number})"), "collected"),
                };
                // Later clauses neither sort by lists in order of arrival nor compute with floats.
                if prefix != "c"
                    && (keyword == "WITH" || (prefix == "collected" && (sorted || distinct)))
                {
                    continue;
                }
                let name = self.name(prefix);
                items.push(format!("{text} AS {name}"));
                columns.push((name, Kind::Number));
            }
        }
        let mut text = format!(
            "{keyword} {}{}",
            if distinct { "DISTINCT " } else { "" },
            items.join(", ")
        );
        if sorted {
            let keys = columns
                .iter()
                .map(|(name, _)| format!("{name}{}", self.tape.pick(&["", " DESC"])));
            text.push_str(&format!(
                " ORDER BY {}",
                keys.collect::<Vec<_>>().join(", ")
            ));
            if self.tape.one_in(2) {
                text.push_str(&format!(" SKIP {}", self.tape.below(4)));
            }
            if self.tape.one_in(2) {
                text.push_str(&format!(" LIMIT {}", self.tape.below(6)));
            }
        }
        self.variables = columns;
        if keyword == "WITH" {
            text.push_str(&self.filter());
        }
        text
    }
}

/// What became of a case.
enum Outcome {
    Compared {
        rows: usize,
    },
    /// The front end refuses the text.
    Refused(String),
    /// Too many matches for a test.
    Skipped,
}

fn compare(query: &[u16], graph: &[u16]) -> Result<Outcome, TestCaseError> {
    let mut tape = Tape {
        numbers: query,
        place: 0,
    };
    let text = Writer {
        tape: &mut tape,
        variables: Vec::new(),
        names: 0,
    }
    .query();
    let (snapshot, naive) = random_graph(&mut Tape {
        numbers: graph,
        place: 0,
    });
    let plan = match cypher::compile(&text, snapshot.schema()) {
        Ok(plan) => plan,
        Err(errors) => return Ok(Outcome::Refused(format!("{text}\n  {}", errors[0]))),
    };
    let mut expected = match naive::evaluate(&naive, &plan) {
        Ok(rows) => rows,
        Err(TooMuch) => return Ok(Outcome::Skipped),
    };
    let deadline = Some(Instant::now() + Duration::from_secs(2));
    let limits = Limits { deadline, ..Limits::default() };
    let mut given = Vec::new();
    let outcome = executor::read(
        &plan,
        &Parameters::new(),
        &snapshot,
        &limits,
        &mut |row| {
            given.push(row.to_vec());
            ControlFlow::Continue(())
        },
    );
    if matches!(outcome, Err(ExecuteError::Deadline)) {
        return Ok(Outcome::Skipped);
    }
    if let Err(error) = outcome {
        return Err(TestCaseError::fail(format!("{text}\n{error}\n{naive:#?}")));
    }
    for rows in [&mut expected, &mut given] {
        for row in rows.iter_mut() {
            for (column, value) in plan.columns.iter().zip(row) {
                if let (true, Value::List(list)) = (column.name.starts_with("collected"), &value) {
                    let mut sorted = list.to_vec();
                    sorted.sort_by(Value::order);
                    *value = Value::list(sorted);
                }
            }
        }
        let sorted_by_all = text
            .rsplit("RETURN")
            .next()
            .is_some_and(|tail| tail.contains("ORDER BY"));
        if !sorted_by_all {
            rows.sort_by(|a, b| Value::list(a.clone()).order(&Value::list(b.clone())));
        }
    }
    if expected != given {
        return Err(TestCaseError::fail(format!(
            "{text}\nexpected {expected:#?}\nbut got {given:#?}\n{naive:#?}"
        )));
    }
    Ok(Outcome::Compared {
        rows: expected.len(),
    })
}

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn the_executor_gives_what_the_naive_evaluator_gives() {
    let cases: u32 = from_environment("TRELLIS_CASES").unwrap_or(256);
    let seed: u64 = from_environment("TRELLIS_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::from(now.expect("a clock after 1970").subsec_nanos())
    });
    println!("TRELLIS_SEED={seed} TRELLIS_CASES={cases}");
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let tape = |lengths| proptest::collection::vec(proptest::num::u16::ANY, lengths);
    let tapes = (tape(0..200), tape(40..100));
    let (compared, with_rows, refused) = (
        std::cell::Cell::new(0),
        std::cell::Cell::new(0),
        std::cell::RefCell::new(Vec::new()),
    );
    let outcome = TestRunner::new(config).run(&tapes, |(query, graph)| {
        match compare(&query, &graph)? {
            Outcome::Compared { rows } => {
                compared.set(compared.get() + 1);
                with_rows.set(with_rows.get() + u32::from(rows > 0));
            }
            Outcome::Refused(reason) => refused.borrow_mut().push(reason),
            Outcome::Skipped => {}
        }
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, tapes)) => {
            panic!(
                "TRELLIS_SEED={seed} TRELLIS_CASES={cases}\n{}\ntapes {tapes:?}",
                reason.message()
            );
        }
        Err(TestError::Abort(reason)) => panic!("TRELLIS_SEED={seed}: {}", reason.message()),
    }
    let (compared, with_rows, refused) = (compared.get(), with_rows.get(), refused.borrow());
    println!(
        "{compared} compared, {with_rows} of them with rows, {} refused",
        refused.len()
    );
    println!(
        "{}",
        refused
            .iter()
            .take(20)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert!(
        compared * 2 > cases,
        "only {compared} of {cases} cases were compared"
    );
    assert!(
        with_rows * 4 > cases,
        "only {with_rows} of {cases} cases had rows"
    );
}
