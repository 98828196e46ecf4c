//! Random queries on random small graphs: the executor gives what the naive evaluator gives.
//!
//! Graphs and queries are read off a tape of random numbers, so that shrinking the tape shrinks
//! both: zeros stand for the simplest choice. `TRELLIS_CASES` sets the number of cases (256),
//! `TRELLIS_SEED` repeats a run; the seed of a failing run is printed.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use language::cypher;
use language::plan::{Clause, Plan};
use language::value::{NodeRef, Value};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use super::graph;
use super::naive::{self, NaiveGraph, TooMuch};
use super::query::{Tape, Writer};
use crate::executor::{self, ExecuteError, Limits, Parameters, Threads};
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;

const SCHEMA: &str = "
interface Any { key: I64, x: I64?, s: String? }
node A implements Any { key: I64 @key, x: I64? @index, s: String? }
node B implements Any { key: I64 @key, x: I64?, s: String? @index }
edge R: A -> A { w: I64? }
edge S: A -> B { w: I64? }
edge T: B -> B { w: I64? }
";

fn small(tape: &mut Tape<'_>) -> Value {
    match tape.below(4) {
        0 => Value::Null,
        3 => Value::Int(-1),
        number => Value::Int(i64::try_from(number).expect("small")),
    }
}

/// The same graph twice. Of the first, some may stand in columns and some have changed since.
pub(super) fn random_graph(tape: &mut Tape<'_>) -> (Snapshot, NaiveGraph) {
    let mut transaction = graph::empty(SCHEMA);
    let mut naive = NaiveGraph::default();
    let schema = std::sync::Arc::clone(transaction.snapshot().schema());
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
    let count = 5 + tape.below(10);
    let mut fold = tape.below(2 * count);
    for _ in 0..count {
        if fold == 0 {
            transaction = folded(&transaction);
        }
        fold = fold.wrapping_sub(1);
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
    for _ in 0..tape.below(4) {
        if !naive.edges.is_empty() {
            let (edge, ..) = naive.edges.remove(tape.below(naive.edges.len()));
            transaction.delete_edge(edge).expect("it is there");
        }
    }
    for _ in 0..tape.below(2) {
        let place = tape.below(naive.nodes.len());
        let (node, properties) = &mut naive.nodes[place];
        let x = schema
            .property_named(node.type_id, "x")
            .expect("declared")
            .id;
        let value = small(tape);
        properties.remove(&x);
        if !value.is_null() {
            properties.insert(x, value.clone());
        }
        transaction
            .set_node(*node, vec![(x, value)])
            .expect("valid");
    }
    (transaction.snapshot().clone(), naive)
}

/// The same graph, all of it in columns.
fn folded(transaction: &Transaction) -> Transaction {
    let folded = transaction
        .snapshot()
        .folded(&|_| None)
        .expect("valid columns");
    Transaction::new(folded, 3, uuid::Uuid::nil())
}

/// What became of a case.
pub(super) enum Outcome {
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
    let text = Writer::new(&mut tape).query();
    let (snapshot, naive) = random_graph(&mut Tape {
        numbers: graph,
        place: 0,
    });
    compare_text(&text, &snapshot, &naive)
}

/// What the executor gives; nothing when it takes too long.
fn given(
    text: &str,
    plan: &Plan,
    snapshot: &Snapshot,
    threads: Threads,
) -> Result<Option<Vec<Vec<Value>>>, String> {
    let limits = Limits {
        deadline: Some(Instant::now() + Duration::from_secs(2)),
        threads,
        ..Limits::default()
    };
    let mut given = Vec::new();
    let outcome = executor::read(plan, &Parameters::new(), snapshot, &limits, &mut |row| {
        given.push(row.to_vec());
        ControlFlow::Continue(())
    });
    match outcome {
        Ok(()) => Ok(Some(given)),
        Err(ExecuteError::Deadline) => Ok(None),
        Err(error) => Err(format!("{text}\n{error}")),
    }
}

/// What the executor gives for a text and what the naive evaluator gives.
pub(super) fn compare_text(
    text: &str,
    snapshot: &Snapshot,
    naive: &NaiveGraph,
) -> Result<Outcome, TestCaseError> {
    let plan = match cypher::compile(text, snapshot.schema()) {
        Ok(plan) => plan,
        Err(errors) => return Ok(Outcome::Refused(format!("{text}\n  {}", errors[0]))),
    };
    let mut expected = match naive::evaluate(naive, &plan) {
        Ok(rows) => rows,
        Err(TooMuch) => return Ok(Outcome::Skipped),
    };
    let mut given = match given(text, &plan, snapshot, Threads::default()) {
        Ok(Some(rows)) => rows,
        Ok(None) => return Ok(Outcome::Skipped),
        Err(error) => return Err(TestCaseError::fail(format!("{error}\n{naive:#?}"))),
    };
    // On two threads, the very same rows in the very same order.
    let one = Threads { most: 1, rows: 0.0 };
    let two = Threads { most: 2, rows: 0.0 };
    let alone = self::given(text, &plan, snapshot, one).map_err(TestCaseError::fail)?;
    let shared = self::given(text, &plan, snapshot, two).map_err(TestCaseError::fail)?;
    if alone != shared && alone.is_some() && shared.is_some() {
        return Err(TestCaseError::fail(format!(
            "{text}\none thread {alone:#?}\ntwo threads {shared:#?}\n{naive:#?}"
        )));
    }
    let mut alone = alone.unwrap_or_else(|| given.clone());
    for rows in [&mut expected, &mut given, &mut alone] {
        for row in rows.iter_mut() {
            for (column, value) in plan.columns.iter().zip(row) {
                if let (true, Value::List(list)) = (column.name.starts_with("collected"), &value) {
                    let mut sorted = list.to_vec();
                    sorted.sort_by(Value::order);
                    *value = Value::list(sorted);
                }
            }
        }
        let sorted_by_all = matches!(
            plan.clauses.last(),
            Some(Clause::Project(projection)) if !projection.order.is_empty()
        );
        if !sorted_by_all {
            rows.sort_by(|a, b| Value::list(a.clone()).order(&Value::list(b.clone())));
        }
    }
    if expected != alone {
        return Err(TestCaseError::fail(format!(
            "{text}\nexpected {expected:#?}\nbut got {alone:#?}\nas if it were large\n{naive:#?}"
        )));
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

/// How many cases are tried unless `TRELLIS_CASES` says it, with which seed, and what the runner needs to
/// know; printed.
pub(super) fn settings(usual: u32) -> (u32, u64, Config) {
    let cases: u32 = from_environment("TRELLIS_CASES").unwrap_or(usual);
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
    (cases, seed, config)
}

#[test]
fn the_executor_gives_what_the_naive_evaluator_gives() {
    let (cases, seed, config) = settings(256);
    let tape = |lengths| proptest::collection::vec(proptest::num::u16::ANY, lengths);
    let tapes = (tape(0..200), tape(40..140));
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
        with_rows * 6 > cases,
        "only {with_rows} of {cases} cases had rows"
    );
}
