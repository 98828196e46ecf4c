//! Queries within expressions: how often they are planned and how far they are run.

use language::cypher;
use language::value::Value;

use super::graph;
use crate::executor::subquery::planned;
use crate::executor::{self, Limits, Operator, Parameters};
use crate::snapshot::Snapshot;

/// Fifty nodes in a ring, each of which leads to the next three; every fifth is marked.
fn ring() -> Snapshot {
    let mut transaction = graph::empty(
        "node N { id: I64 @key, x: I64 }\nnode M { id: I64 @key }\nedge TO: N -> N {}\nedge HAS: N -> M {}",
    );
    graph::run_all(
        &mut transaction,
        "UNWIND range(0, 49) AS i CREATE (:N {id: i, x: i % 7});
         MATCH (a:N) UNWIND [1, 2, 3] AS d WITH a, (a.id + d) % 50 AS target
         MATCH (b:N {id: target}) CREATE (a)-[:TO]->(b);
         MATCH (a:N) WHERE a.id % 5 = 0 CREATE (a)-[:HAS]->(:M {id: a.id})",
    );
    transaction.snapshot().clone()
}

fn rows(text: &str, snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let mut rows = Vec::new();
    let limits = Limits::default();
    executor::read(&plan, &Parameters::new(), snapshot, &limits, &mut |row| {
        rows.push(row.to_vec());
        std::ops::ControlFlow::Continue(())
    })
    .expect(text);
    rows
}

fn profile(text: &str, snapshot: &Snapshot) -> Vec<Operator> {
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let limits = Limits::default();
    let profiled = executor::profile(&plan, &Parameters::new(), snapshot, &limits);
    profiled.expect(text).0.remove(0)
}

#[test]
fn each_is_planned_once_however_many_rows_ask() {
    let snapshot = ring();
    for (text, plannings, expected) in [
        (
            "MATCH (a:N) WHERE EXISTS { (a)-[:HAS]->() } RETURN count(*)",
            1,
            10,
        ),
        (
            "MATCH (a:N)-[:TO]->(b) WHERE (b)-[:HAS]->() RETURN count(*)",
            1,
            30,
        ),
        (
            "MATCH (a:N) WHERE COUNT { (a)<-[:TO]-(b) WHERE b.x < a.x } >= 2 RETURN count(*)",
            1,
            36,
        ),
        (
            "MATCH (a:N) WHERE EXISTS { (a)-[:TO]->(b) WHERE EXISTS { (b)-[:HAS]->() } } RETURN count(*)",
            2,
            30,
        ),
        (
            "MATCH (a:N) RETURN sum(size([(a)-[:TO]->(b) WHERE b.x > 3 | b.x]))",
            1,
            63,
        ),
        (
            "UNWIND range(1, 20) AS i WITH i WHERE EXISTS { MATCH (m:M) } RETURN count(*)",
            1,
            20,
        ),
        (
            "MATCH (a:N) WITH a ORDER BY a.id WHERE EXISTS { MATCH (a)-[:TO]->(b) RETURN b.id AS i UNION MATCH (a)-[:HAS]->(m) RETURN m.id AS i } RETURN count(*)",
            2,
            50,
        ),
    ] {
        let before = planned();
        let found = rows(text, &snapshot);
        assert_eq!(found, [[Value::Int(expected)]], "{text}");
        assert_eq!(planned() - before, plannings, "{text}");
    }
}

/// Limits, sorting, grouping and `DISTINCT` begin anew for every row.
#[test]
fn every_row_has_an_answer_of_its_own() {
    let snapshot = ring();
    let text = "MATCH (a:N) WITH a ORDER BY a.id RETURN \
        COLLECT { MATCH (a)-[:TO]->(b) RETURN b.id AS id ORDER BY id DESC SKIP 1 LIMIT 1 } AS one, \
        COLLECT { MATCH (a)-[:TO]->(b) RETURN DISTINCT b.x IS NULL AS n LIMIT 2 } AS distinct, \
        COLLECT { MATCH (a)-[:TO]->(b) WITH b.x % 2 AS odd, count(*) AS n RETURN a.id + n AS n ORDER BY n DESC LIMIT 1 } AS grouped, \
        COUNT { MATCH (a)-[:TO]->(b) WITH b LIMIT 2 MATCH (b)-[:HAS]->(m) } AS limited";
    let given = rows(text, &snapshot);
    for (id, row) in (0_i64..).zip(&given) {
        let next: Vec<i64> = (1..=3).map(|d| (id + d) % 50).collect();
        let mut sorted = next.clone();
        sorted.sort_unstable();
        let odd = next.iter().filter(|id| *id % 7 % 2 == 1).count();
        let most = i64::try_from(odd.max(3 - odd)).expect("few");
        let marked = next[..2].iter().filter(|id| *id % 5 == 0).count();
        let expected = [
            Value::list([Value::Int(sorted[1])]),
            Value::list([Value::Bool(false)]),
            Value::list([Value::Int(id + most)]),
            Value::Int(i64::try_from(marked).expect("few")),
        ];
        assert_eq!(row.as_slice(), expected, "{id}");
    }
    assert_eq!(given.len(), 50);
}

/// What is random is asked anew, what looks at one node once for each, and the first row is enough.
#[test]
fn what_is_known_is_not_asked_again() {
    let snapshot = ring();
    let found = |text: &str| {
        let operators = profile(text, &snapshot);
        let mut inputs = operators.iter().flat_map(|operator| &operator.inputs);
        let exists = inputs.next().and_then(|chain| chain.last());
        exists.and_then(|exists| exists.rows).expect(text)
    };
    // 150 rows, 50 nodes, each with three relationships.
    let by_node = "MATCH (a:N)-[:TO]->(b) WHERE EXISTS { (b)-[:TO]->() } RETURN a, b";
    assert_eq!(found(by_node), 50);
    let once = "MATCH (a:N)-[:TO]->(b) WHERE EXISTS { MATCH (m:M) } RETURN a, b";
    assert_eq!(found(once), 1);
    let each = "MATCH (a:N)-[:TO]->(b) WHERE EXISTS { MATCH (m:M) WHERE rand() >= 0 } RETURN a, b";
    assert_eq!(found(each), 150);
    let two = "MATCH (a:N)-[:TO]->(b) WHERE EXISTS { (a)-[:TO]->(b) } RETURN a, b";
    assert_eq!(found(two), 150);
}

#[test]
fn a_profile_shows_what_is_within_expressions() {
    let snapshot = ring();
    let text = "MATCH (a:N) WHERE EXISTS { MATCH (a)-[:TO]->(b:N) WHERE COUNT { (b)-[:HAS]->() } > 0 } RETURN a.id";
    let operators = profile(text, &snapshot);
    let shown = |operators: &[Operator]| -> Vec<String> {
        let shown = operators.iter().map(|it| {
            let rows = it.rows.expect("it was run");
            format!("{} {} {rows}", it.name, it.details)
        });
        shown.collect()
    };
    assert_eq!(shown(&operators), ["NodeScan (a:N) 30", "Project a.id 30"]);
    let exists = &operators[0].inputs[0];
    assert_eq!(shown(exists), ["Exists a 30"]);
    let branch = &exists[0].inputs[0];
    assert_eq!(shown(branch), ["Expand (a)-[#2:TO]->(b) 30"]);
    let count = &branch[0].inputs[0];
    assert_eq!(shown(count), ["Count b 10"]);
    assert_eq!(shown(&count[0].inputs[0]), ["Expand (b)-[#4:HAS]->(#3) 10"]);
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let limits = Limits::default();
    let explained = executor::explain(&plan, &Parameters::new(), &snapshot, &limits).expect(text);
    assert_eq!(explained[0][0].inputs[0][0].name, "Exists");
}
