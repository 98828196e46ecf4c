//! Nodes that are found by what something of them must equal: against plain loops over values of every
//! kind, in open and closed graphs, and with so many rows that a loop would not come to an end.

use std::time::{Duration, Instant};

use language::cypher;
use language::schema::Schema;
use language::value::Value;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};

use super::graph;
use super::query::Tape;
use super::random::settings;
use crate::executor::{self, Limits, Operator, Parameters};
use crate::transaction::Transaction;

const CLOSED: &str = "
node P { key: I64 @key, x: I64? @index, f: F64? @index, s: String? @index, y: I64?, d: Date? @index }
node Q { key: String @key, x: I64?, s: String? @index, f: F64? }
node C { a: I64, b: String, @key(a, b) }
node N { name: String? }
edge F: P -> P
";

fn parameters(values: &[(&str, Value)]) -> Parameters {
    let values = values.iter();
    values
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn rows(transaction: &mut Transaction, text: &str, parameters: &Parameters) -> Vec<Vec<Value>> {
    let limits = Limits {
        deadline: Some(Instant::now() + Duration::from_secs(20)),
        ..Limits::default()
    };
    let answer = graph::run(transaction, text, parameters, &limits);
    answer
        .unwrap_or_else(|failure| panic!("{text}\n{failure}"))
        .rows
}

fn operators(transaction: &Transaction, text: &str, parameters: &Parameters) -> Vec<String> {
    let snapshot = transaction.snapshot();
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let explained = executor::explain(&plan, parameters, snapshot, &Limits::default());
    let explained: Vec<Operator> = explained.expect(text).remove(0);
    explained.into_iter().map(|it| it.name.to_owned()).collect()
}

/// The same graph with all its rows in columns.
fn folded(transaction: &Transaction) -> Transaction {
    let folded = transaction.snapshot().folded(&|_| None);
    Transaction::new(folded.expect("valid columns"), 3, uuid::Uuid::nil())
}

fn any_value(tape: &mut Tape<'_>) -> Value {
    let number = i64::try_from(tape.below(4)).expect("small");
    match tape.below(12) {
        0 => Value::Null,
        1..=4 => Value::Int(number),
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        5 => Value::Float(number as f64),
        6 => Value::Float(f64::NAN),
        7 => Value::from(if number > 1 { "a" } else { "1" }),
        8 => Value::list([Value::Int(number), Value::Int(1)]),
        9 => Value::list([Value::Int(number), Value::Null]),
        10 => Value::DateTime(number),
        _ => Value::Bool(number > 1),
    }
}

/// A list with null in it can be asked for, but no property holds it.
fn storable(value: Value) -> Value {
    match &value {
        Value::List(list) if list.contains(&Value::Null) => Value::Int(9),
        _ => value,
    }
}

fn equal(one: &Value, other: &Value) -> bool {
    one.equals(other) == Some(true)
}

/// Nodes of an open graph: number, label, property.
type Model = Vec<(i64, &'static str, Value)>;

fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    rows.sort_by(|a, b| Value::list(a.clone()).order(&Value::list(b.clone())));
    rows
}

/// Random values in an open graph: joins, lists, and merges, each of which sees what those before it made.
fn open_case(numbers: &[u16]) -> Result<(), TestCaseError> {
    let mut tape = Tape { numbers, place: 0 };
    let schema = Schema::parse_open("").expect("the empty schema");
    let mut transaction = graph::of(schema);
    let mut model: Model = Vec::new();
    for number in 0..i64::try_from(2 + tape.below(8)).expect("small") {
        let label = if tape.one_in(3) { "B" } else { "A" };
        let value = storable(any_value(&mut tape));
        let given = parameters(&[("n", Value::Int(number)), ("v", value.clone())]);
        let text = format!("CREATE (:{label} {{n: $n, v: $v}})");
        rows(&mut transaction, &text, &given);
        model.push((number, label, value));
        if tape.one_in(6) {
            transaction = folded(&transaction);
        }
    }
    let values: Vec<Value> = (0..2 + tape.below(5))
        .map(|_| any_value(&mut tape))
        .collect();
    let given = parameters(&[("values", Value::list(values.clone()))]);
    let check = |found: Vec<Vec<Value>>, expected: Vec<Vec<Value>>, text: &str| {
        let (found, expected) = (sorted(found), sorted(expected));
        match found == expected {
            true => Ok(()),
            false => Err(TestCaseError::fail(format!(
                "{text}\n{values:?}\n{model:?}\nfound {found:?}\nexpected {expected:?}"
            ))),
        }
    };
    let numbered = |it: &(i64, &str, Value)| Value::Int(it.0);
    let each = |label: &'static str| model.iter().filter(move |it| it.1 == label);
    let text = "UNWIND $values AS v MATCH (a:A {v: v}) RETURN a.n";
    let expected = values.iter().flat_map(|v| {
        let found = each("A").filter(move |it| equal(&it.2, v));
        found.map(|it| vec![numbered(it)])
    });
    check(
        rows(&mut transaction, text, &given),
        expected.collect(),
        text,
    )?;
    for text in [
        "MATCH (a:A), (b:B) WHERE a.v = b.v RETURN a.n, b.n",
        "MATCH (a:A) MATCH (b:B {v: a.v}) RETURN a.n, b.n",
        "MATCH (b:B) MATCH (a:A) WHERE b.v IN [a.v, 'never'] RETURN a.n, b.n",
    ] {
        let expected = each("A").flat_map(|a| {
            let found = each("B").filter(|b| equal(&a.2, &b.2));
            found.map(|b| vec![numbered(a), numbered(b)])
        });
        check(
            rows(&mut transaction, text, &given),
            expected.collect(),
            text,
        )?;
    }
    let text = "UNWIND [1, 2] AS again MATCH (a) WHERE a.v IN $values RETURN again, a.n";
    let expected = [1, 2].into_iter().flat_map(|again| {
        let found = model
            .iter()
            .filter(|it| values.iter().any(|v| equal(v, &it.2)));
        found.map(move |it| vec![Value::Int(again), numbered(it)])
    });
    check(
        rows(&mut transaction, text, &given),
        expected.collect(),
        text,
    )?;
    merged(&mut transaction, &values, model)
}

/// Each row merges; what it finds it moves on, so that the next row finds it elsewhere.
fn merged(
    transaction: &mut Transaction,
    values: &[Value],
    mut model: Model,
) -> Result<(), TestCaseError> {
    let values = values.iter().filter(|it| !it.is_null());
    let values: Vec<Value> = values.cloned().map(storable).collect();
    let given = parameters(&[("values", Value::list(values.clone()))]);
    let text = "UNWIND $values + $values AS v MERGE (a:A {v: v}) \
        ON CREATE SET a.n = 100 ON MATCH SET a.v = a.n, a.n = a.n + 10";
    rows(transaction, text, &given);
    for v in values.iter().chain(&values) {
        let mut found = model
            .iter_mut()
            .filter(|it| it.1 == "A" && equal(&it.2, v))
            .peekable();
        if found.peek().is_none() {
            drop(found);
            model.push((100, "A", v.clone()));
            continue;
        }
        for node in found {
            *node = (node.0 + 10, "A", Value::Int(node.0));
        }
    }
    let text = "MATCH (a) RETURN a.n, a.v";
    let expected = model.iter().map(|it| vec![Value::Int(it.0), it.2.clone()]);
    let found = sorted(rows(transaction, text, &given));
    let expected = sorted(expected.collect());
    // NaN is not equal to itself.
    let keys = |rows: &[Vec<Value>]| rows.iter().map(Value::group_key_of).collect::<Vec<_>>();
    match keys(&found) == keys(&expected) {
        true => Ok(()),
        false => Err(TestCaseError::fail(format!(
            "{values:?}\nfound {found:?}\nexpected {expected:?}"
        ))),
    }
}

#[test]
fn joins_and_merges_of_any_values_give_what_loops_give() {
    let (cases, seed, config) = settings(128);
    let tape = proptest::collection::vec(proptest::num::u16::ANY, 30..80);
    let outcome = TestRunner::new(config).run(&tape, |tape| open_case(&tape));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, tape)) => {
            panic!(
                "TRELLIS_SEED={seed} TRELLIS_CASES={cases}\n{}\n{tape:?}",
                reason.message()
            );
        }
        Err(TestError::Abort(reason)) => panic!("TRELLIS_SEED={seed}: {}", reason.message()),
    }
}

/// So many rows that looking at all nodes for each would take minutes.
#[test]
fn what_rows_ask_for_is_found_without_looking_at_all_for_each() {
    let limits = 20_000_i64;
    let given = Parameters::new();
    let schema = Schema::parse_open("").expect("the empty schema");
    let mut open = graph::of(schema);
    let make = format!("UNWIND range(1, {limits}) AS i CREATE (:P {{i: i, k: i % 7000}})");
    rows(&mut open, &make, &given);
    let mut closed = graph::empty(CLOSED);
    let make = format!(
        "UNWIND range(1, {limits}) AS i \
         CREATE (:P {{key: i, x: i, s: 'n' + toString(i), y: i % 7000}})"
    );
    rows(&mut closed, &make, &given);
    let mut columns = folded(&closed);
    let count = |rows: Vec<Vec<Value>>| rows[0][0].clone();
    let of_open = [
        (
            "UNWIND range(1, 4000) AS i MATCH (a:P {i: i}), (b:P {i: i + 1}) RETURN count(*)",
            4_000,
        ),
        ("MATCH (a:P), (b:P) WHERE a.k = b.i RETURN count(*)", 19_998),
        (
            "MATCH (a:P) WHERE EXISTS { MATCH (b:P) WHERE b.i = a.i + 1 } RETURN count(*)",
            19_999,
        ),
        (
            "UNWIND range(1, 4000) AS i OPTIONAL MATCH (a:P) WHERE a.i = i + 18000 RETURN count(a)",
            2_000,
        ),
        (
            "UNWIND range(1, 4000) AS i MERGE (a:P {i: i + 18000}) RETURN count(*)",
            4_000,
        ),
        (
            "UNWIND range(1, 4000) AS i MATCH (a:P {i: i}), (b:P {i: i + 1}) CREATE (a)-[:K]->(b) RETURN count(*)",
            4_000,
        ),
        ("MATCH (a) RETURN count(*)", 22_000),
    ];
    for (text, expected) in of_open {
        assert_eq!(
            count(rows(&mut open, text, &given)),
            Value::Int(expected),
            "{text}"
        );
    }
    let of_closed = [
        (
            "UNWIND range(1, 4000) AS i MATCH (a:P {s: 'n' + toString(i)}) RETURN count(*)",
            4_000,
        ),
        (
            "MATCH (a:P), (b:P) WHERE a.y = b.y AND a.key < b.key RETURN count(*)",
            19_000,
        ),
        (
            "MATCH (a:P), (b:P) WHERE b.key = a.key * 2 AND a.key < 1000 RETURN count(*)",
            999,
        ),
        (
            "UNWIND range(1, 4000) AS i MATCH (a:P) WHERE a.key IN [i, i + 1] RETURN count(*)",
            8_000,
        ),
        (
            "MATCH (a:P) WHERE a.x IN range(1, 15000) RETURN count(*)",
            15_000,
        ),
        (
            "UNWIND range(1, 4000) AS i MATCH (a:P) WHERE id(a) = i SET a.y = -1 RETURN count(*)",
            4_000,
        ),
    ];
    for (text, expected) in of_closed {
        for graph in [&mut closed, &mut columns] {
            assert_eq!(
                count(rows(graph, text, &given)),
                Value::Int(expected),
                "{text}"
            );
        }
    }
}

#[test]
fn the_way_to_a_node_is_shown() {
    let mut closed = graph::empty(CLOSED);
    rows(
        &mut closed,
        "UNWIND range(1, 50) AS i CREATE (p:P {key: i, x: i % 7, s: 'n' + toString(i % 5)}), (:N)",
        &Parameters::new(),
    );
    let given = parameters(&[
        ("list", Value::list([Value::Int(1)])),
        ("one", Value::Int(1)),
    ]);
    let first = |text: &str| operators(&closed, text, &given).remove(0);
    let second = |text: &str| operators(&closed, text, &given).remove(1);
    for (text, expected) in [
        ("MATCH (a:P {s: 'n5'}) RETURN a.key", "NodeIndexSeek"),
        (
            "MATCH (a:P) WHERE a.s = 'n5' OR a.s IN ['n6', 'n7'] RETURN a.key",
            "NodeIndexSeek",
        ),
        (
            "MATCH (a:P) WHERE a.x IN $list RETURN a.key",
            "NodeIndexSeek",
        ),
        ("MATCH (a:P {y: 1}) RETURN a.key", "NodeScan"),
        (
            "MATCH (a:P) WHERE a.s = 'n5' OR a.x = 1 RETURN a.key",
            "NodeScan",
        ),
        (
            "MATCH (a:P) WHERE a.key = 1 OR a.key = 2 RETURN a.x",
            "KeyLookup",
        ),
        ("MATCH (a:P) WHERE a.key IN $list RETURN a.x", "KeyLookup"),
        ("MATCH (a:P) WHERE id(a) = $one RETURN a.x", "NodeByIdSeek"),
        (
            "MATCH (a:N) WHERE elementId(a) IN ['x', 'y'] RETURN a.name",
            "NodeByIdSeek",
        ),
        ("MATCH (a) WHERE id(a) = $one RETURN a.x", "NodeByIdSeek"),
    ] {
        assert_eq!(first(text), expected, "{text}");
    }
    for (text, expected) in [
        (
            "MATCH (a:P), (b:P) WHERE a.y = b.y RETURN a.key",
            "HashJoin",
        ),
        (
            "UNWIND $list AS i MATCH (a:P {y: i}) RETURN a.key",
            "HashJoin",
        ),
        (
            "UNWIND $list AS i MATCH (a:P {x: i}) RETURN a.key",
            "NodeIndexSeek",
        ),
        (
            "UNWIND $list AS i MATCH (a:P {key: i}) RETURN a.x",
            "KeyLookup",
        ),
        (
            "MATCH (a:P), (b:P) WHERE b.key = a.y * 2 RETURN a.key",
            "KeyLookup",
        ),
    ] {
        assert_eq!(second(text), expected, "{text}");
    }
    let operators = executor::explain(
        &cypher::compile(
            "MATCH (a:P {s: 'n5'}) RETURN a.key",
            closed.snapshot().schema(),
        )
        .expect("valid"),
        &given,
        closed.snapshot(),
        &Limits::default(),
    );
    let condition = operators.expect("explained")[0][0].conditions[0];
    assert_eq!((condition.start, condition.end), (15, 19));
}

/// Every subject and way, before and after a fold and with changes on top of it, and after deleting.
#[test]
fn every_way_finds_what_is_there_now() {
    let given = Parameters::new();
    let mut transaction = graph::empty(CLOSED);
    graph::run_all(
        &mut transaction,
        "UNWIND range(1, 6) AS i CREATE (:P {key: i, x: i % 3, f: i / 2.0, s: 't', d: date('2024-01-0' + toString(i))});
CREATE (:Q {key: '1', x: 1, s: 't', f: 1.0}), (:Q {key: 'k', x: 2, s: 'u'}), (:C {a: 1, b: 'b'}), (:C {a: 1, b: 'c'})",
    );
    let check = |transaction: &mut Transaction, cases: &[(&str, &str)]| {
        for (condition, expected) in cases {
            let text = format!(
                "MATCH (n) WHERE {condition} RETURN coalesce(toString(n.key), n.b) AS k ORDER BY k"
            );
            let found = rows(transaction, &text, &given);
            let found: Vec<String> = found.iter().map(|row| format!("{:?}", row[0])).collect();
            let expected: Vec<String> = expected
                .split_whitespace()
                .map(|key| format!("{:?}", Value::from(key)))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    };
    let before = [
        ("n.x = 1", "1 1 4"),
        ("n.x = 1.0", "1 1 4"),
        ("n.x IN [0, 2.0, null, 2]", "2 3 5 6 k"),
        ("n.x IN []", ""),
        ("n.x = null", ""),
        ("n.f = 1", "1 2"),
        ("n.f = 0.0 / 0.0", ""),
        ("n.s = 't' AND n.x = 1", "1 1 4"),
        ("n.d = date('2024-01-03')", "3"),
        ("id(n) = 1", "1"),
        ("id(n) = '1'", "1"),
        ("elementId(n) = '1'", "1 1"),
        ("elementId(n) = '01'", ""),
        ("id(n) = [1, 'c']", "c"),
        ("id(n) IN [2, 'k', [1, 'b'], [1], 9]", "2 b k"),
        ("n.key = 2 OR n.key = 'k' OR n.key IN [2, 3]", "2 3 k"),
    ];
    check(&mut transaction, &before);
    let mut transaction = folded(&transaction);
    check(&mut transaction, &before);
    graph::run_all(
        &mut transaction,
        "MATCH (n:P {key: 1}) SET n.x = 2;
MATCH (n:P {key: 2}) SET n.x = 2, n.s = 'u';
MATCH (n:P {x: 1}) DELETE n;
MATCH (n:P {key: 3}) SET n.x = null;
CREATE (:P {key: 7, x: 1, s: 't'})",
    );
    let after = [
        ("n.x = 1", "1 7"),
        ("n.x = 2", "1 2 5 k"),
        ("n.x = 0", "6"),
        ("n.s = 'u'", "2 k"),
        ("id(n) = 4", ""),
        ("elementId(n) IN ['4', '7']", "7"),
    ];
    check(&mut transaction, &after);
    check(&mut folded(&transaction), &after);
}

/// What fails, fails as if every node were looked at; what has no value, finds nothing.
#[test]
fn what_cannot_be_computed_is_told_by_the_condition() {
    let mut transaction = graph::empty(CLOSED);
    graph::run_all(
        &mut transaction,
        "CREATE (:P {key: 1, y: 1}), (:P {key: 2, y: 0})",
    );
    let given = parameters(&[("row", Value::Map(std::sync::Arc::default()))]);
    let mut run = |text: &str| {
        let answer = graph::run(&mut transaction, text, &given, &Limits::default());
        answer
            .map(|answer| answer.rows.len())
            .map_err(|it| it.to_string())
    };
    let failing = "MATCH (a:P), (b:P) WHERE b.y = 1 / a.y RETURN b";
    assert!(
        run(failing)
            .expect_err("a division by zero")
            .contains("zero")
    );
    assert_eq!(
        run("MATCH (a:P), (b:P) WHERE a.y > 0 AND b.key = 1 / a.y RETURN b"),
        Ok(1)
    );
    assert_eq!(
        run("UNWIND [$row] AS row MATCH (a:P {y: row.y}) RETURN a"),
        Ok(0)
    );
    assert!(run("UNWIND [$row] AS row MATCH (a:P) WHERE a.y IN row RETURN a").is_err());
    assert!(run("UNWIND [$row] AS row MATCH (a:P {key: 3}) WHERE a.y IN row RETURN a").is_ok());
}

/// Without room for a table, all nodes are looked at, and the answer is the same.
#[test]
fn a_table_that_does_not_fit_is_not_made() {
    let mut transaction = graph::empty(CLOSED);
    let text = "UNWIND range(1, 300) AS i CREATE (:P {key: i, y: i % 10})";
    rows(&mut transaction, text, &Parameters::new());
    let limits = Limits {
        max_bytes: 8_000,
        ..Limits::default()
    };
    let text = "MATCH (a:P), (b:P) WHERE a.y = b.y RETURN count(*)";
    let answer = graph::run(&mut transaction, text, &Parameters::new(), &limits);
    let answer = answer.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(answer.rows, [[Value::Int(9_000)]]);
}
