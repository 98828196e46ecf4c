//! Columns on disk alone: answers are the same, memory is bounded, what cannot be read is an error.

mod together;

use std::fs;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use language::cypher;
use language::schema::Schema;
use language::value::Value;
use tempfile::TempDir;

use super::collect::frugal;
use super::open_again;
use crate::executor::{self, ExecuteError, Limits, Parameters};
use crate::{
    Account, At, ColumnError, CommitError, Graph, NewGraph, Options, PastLimits, Snapshot, Store,
    Transaction, WriteError, WriteRequest,
};

const SCHEMA: &str = "
node Doc {
  key: I64 @key, a: String, b: String, c: String, d: String, e: String, f: String, g: String, h: String
  n: I64?
}
node Small { key: I64 @key, name: String, n: I64? }
edge Cites: Doc -> Doc { weight: I64, note: String? }
";

/// The columns of text.
const TEXTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const DOCS: i64 = 3_000;
const BYTES: usize = 200;
/// What all columns of text take, at least.
const ALL: u64 = TEXTS.len() as u64 * DOCS as u64 * BYTES as u64;

fn text(column: &str, key: i64) -> String {
    let text = format!("{column}-{key}-");
    let rest = BYTES.saturating_sub(text.len());
    text + &"x".repeat(rest)
}

/// A graph that evicts its own columns when it takes too much.
struct Home {
    folder: TempDir,
    graph: Arc<Mutex<Option<Graph>>>,
    account: Arc<Account>,
    options: Options,
}

impl Home {
    /// With everything in tables, opened anew.
    fn new(budget: u64) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let at = folder.path().join("g");
        let schema = Schema::parse(SCHEMA).expect("a valid schema");
        Graph::create(at.as_path(), NewGraph::new(schema, "test")).expect("created");
        let graph: Arc<Mutex<Option<Graph>>> = Arc::default();
        let account = account(budget, graph.clone());
        let home = Self {
            folder,
            graph,
            options: Options {
                resident_rows: 0,
                memory: Some(account.clone()),
                ..frugal()
            },
            account,
        };
        home.reopen();
        let made = home.run(
            "UNWIND range(0, 2999) AS k
             CREATE (:Doc {key: k, a: '', b: '', c: '', d: '', e: '', f: '', g: '', h: '', n: 0})",
        );
        made.expect("made");
        home.fill();
        home.run("UNWIND range(0, 99) AS k CREATE (:Small {key: k, name: 'small ' + toString(k)})")
            .expect("made");
        home.run(
            "UNWIND range(0, 2999) AS k MATCH (a:Doc {key: k}) MATCH (b:Doc {key: k * 7 % 3000})
             CREATE (a)-[:Cites {weight: k % 10, note: 'note ' + toString(k)}]->(b)",
        )
        .expect("made");
        home.graph().fold().expect("folded");
        home.reopen();
        home
    }

    fn fill(&self) {
        let written = self.write(|transaction| {
            let schema = transaction.snapshot().schema().clone();
            let doc = schema.node_type_named("Doc").expect("declared");
            for key in 0..DOCS {
                let node = transaction
                    .snapshot()
                    .node_by_key(doc.id, &[Value::Int(key)])
                    .expect("made");
                let values = TEXTS.map(|name| {
                    let property = doc.property(name).expect("declared");
                    (property.id, Value::from(text(name, key).as_str()))
                });
                transaction.set_node(node, values.to_vec())?;
            }
            Ok::<_, WriteError>(())
        });
        written.expect("filled");
    }

    fn graph(&self) -> Graph {
        self.graph.lock().expect("no panic").clone().expect("open")
    }

    /// As after a crash.
    fn reopen(&self) {
        *self.graph.lock().expect("no panic") = None;
        let store = Store::from(self.folder.path().join("g"));
        let graph = open_again(&store, self.options.clone());
        *self.graph.lock().expect("no panic") = Some(graph);
    }

    fn write<R: Send + 'static, E: std::error::Error + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction) -> Result<R, E> + Send + 'static,
    ) -> Result<(), CommitError<E>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let graph = self.graph();
        runtime
            .block_on(graph.write(WriteRequest::by("test"), work))
            .map(drop)
    }

    fn run(&self, statement: &str) -> Result<(), CommitError<ExecuteError>> {
        let graph = self.graph();
        let plan = cypher::compile(statement, graph.snapshot().schema()).expect(statement);
        drop(graph);
        self.write(move |transaction| {
            let mut sink = |_: &[Value]| ControlFlow::Continue(());
            let (parameters, limits) = (Parameters::new(), Limits::default());
            executor::write(&plan, &parameters, transaction, &limits, &mut sink)
        })
    }

    fn rows(&self, statement: &str) -> Result<Vec<Vec<Value>>, ExecuteError> {
        rows(self.graph().snapshot(), statement)
    }

    /// One column of the documents, which must be what was put there.
    fn check(&self, column: &str) {
        check(self.graph().snapshot(), column);
    }
}

/// An account of one graph, which it makes room for as the registry does for many.
fn account(limit: u64, graph: Arc<Mutex<Option<Graph>>>) -> Arc<Account> {
    Arc::new_cyclic(|account: &Weak<Account>| {
        let account = account.clone();
        Account::new(limit, move |wanted| {
            let (graph, account) = (graph.lock().expect("no panic").clone(), account.upgrade());
            let (Some(graph), Some(account)) = (graph, account) else {
                return 0;
            };
            let measure = || {
                let memory = graph.memory();
                let fixed = memory.total() - memory.loose;
                account.measured(fixed as u64, (memory.loose - memory.reserved) as u64);
            };
            measure();
            let freed = graph.evict(account.excess(wanted));
            measure();
            freed
        })
    })
}

fn rows(snapshot: Arc<Snapshot>, statement: &str) -> Result<Vec<Vec<Value>>, ExecuteError> {
    let plan = cypher::compile(statement, snapshot.schema()).expect(statement);
    let snapshot = &*snapshot.prepared(&plan)?;
    let mut rows = Vec::new();
    let mut sink = |row: &[Value]| {
        rows.push(row.to_vec());
        ControlFlow::Continue(())
    };
    let (parameters, limits) = (Parameters::new(), Limits::default());
    executor::read(&plan, &parameters, snapshot, &limits, &mut sink)?;
    Ok(rows)
}

fn check(snapshot: Arc<Snapshot>, column: &str) {
    let found = rows(
        snapshot,
        &format!("MATCH (d:Doc) WHERE d.key < 3000 RETURN d.key AS k, d.{column} AS v ORDER BY k"),
    );
    let found = found.expect("read");
    assert_eq!(found.len() as i64, DOCS);
    for (key, row) in (0..DOCS).zip(found) {
        let expected = [Value::Int(key), Value::from(text(column, key).as_str())];
        assert_eq!(row, expected);
    }
}

fn is_too_large(error: &ExecuteError) -> bool {
    matches!(error, ExecuteError::Column(error) if matches!(**error, ColumnError::TooLarge { .. }))
}

#[test]
fn a_graph_of_more_than_its_memory_answers_right() {
    let budget = ALL / 4;
    let home = Home::new(budget);
    let opened = home.graph().memory();
    assert!(opened.cold_columns >= TEXTS.len(), "{opened:?}");
    assert!((opened.columns as u64) < ALL / 8, "{opened:?}");
    for round in 0..3 {
        for column in TEXTS {
            home.check(column);
            let memory = home.graph().memory();
            assert!(memory.total() as u64 <= budget, "{round}: {memory:?}");
            assert!(memory.columns as u64 > ALL / 8, "{column} is in memory");
        }
        let one = home.rows("MATCH (d:Doc {key: 7})-[c:Cites]->(e) RETURN d.b, c.note, e.key");
        let expected = [
            text("b", 7).as_str().into(),
            "note 7".into(),
            Value::Int(49),
        ];
        assert_eq!(one.expect("read"), [expected]);
    }
    // What does not fit at once, is said.
    for statement in [
        "MATCH (d:Doc {key: 7}) RETURN d",
        "MATCH (d:Doc) RETURN count(d.a + d.b) AS n",
    ] {
        let error = home.rows(statement).expect_err(statement);
        assert!(is_too_large(&error), "{statement}: {error}");
    }
    let before = home.graph().snapshot().head().id;
    let refused = home
        .run("MATCH (d:Doc {key: 7}) DETACH DELETE d")
        .expect_err("too large");
    assert!(matches!(refused, CommitError::Work(error) if is_too_large(&error)));
    assert_eq!(home.graph().snapshot().head().id, before);
    // What is new, and what fits, is written.
    home.run(
        "CREATE (:Doc {key: 3000, a: 'a', b: 'b', c: 'c', d: 'd', e: '', f: '', g: '', h: ''})",
    )
    .expect("made");
    home.run("MATCH (s:Small) SET s.n = s.key * 2")
        .expect("set");
    home.run("MATCH (:Doc)-[c:Cites {weight: 3}]->() SET c.note = 'three'")
        .expect("set");
    home.graph().fold().expect("folded");
    home.reopen();
    for column in TEXTS {
        home.check(column);
    }
    let found = home.rows(
        "MATCH (s:Small) WITH sum(s.n) AS n
         MATCH ()-[c:Cites {note: 'three'}]->() WITH n, count(*) AS three
         MATCH (d:Doc {key: 3000}) RETURN n, three, d.d",
    );
    let expected = [Value::Int(9_900), Value::Int(300), "d".into()];
    assert_eq!(found.expect("read"), [expected]);
}

#[test]
fn statements_and_evictions_at_once_answer_right() {
    let home = Home::new(u64::MAX);
    let done = AtomicBool::new(false);
    let sum = "MATCH (d:Doc) RETURN sum(d.n) AS n";
    std::thread::scope(|scope| {
        let evicting = scope.spawn(|| {
            let mut freed = 0_u64;
            while !done.load(Ordering::Relaxed) {
                freed += home.graph().evict(u64::MAX);
                std::thread::yield_now();
            }
            freed
        });
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let home = &home;
                scope.spawn(move || {
                    for round in 0..4 {
                        home.check(TEXTS[(reader + round) % TEXTS.len()]);
                        // Never a part of a commit, and never a column without its changes.
                        assert_eq!(home.rows(sum).expect("read"), [[Value::Int(0)]]);
                    }
                })
            })
            .collect();
        for step in 0..9 {
            let (from, to) = (step * 67 % DOCS, (step * 31 + 1) % DOCS);
            home.run(&format!(
                "MATCH (a:Doc {{key: {from}}}), (b:Doc {{key: {to}}})
                 SET a.n = a.n + 5 SET b.n = b.n - 5"
            ))
            .expect("written");
            if step % 3 == 2 {
                home.graph().fold().expect("folded");
            }
        }
        for reader in readers {
            reader.join().expect("right answers");
        }
        done.store(true, Ordering::Relaxed);
        assert!(evicting.join().expect("no panic") > ALL / 8);
    });
    home.reopen();
    assert_eq!(home.rows(sum).expect("read"), [[Value::Int(0)]]);
    for column in TEXTS {
        home.check(column);
    }
}

/// The data of the tables, elsewhere until it is dropped.
struct Hidden(Vec<(std::path::PathBuf, std::path::PathBuf)>);

impl Hidden {
    fn of(home: &Home) -> Self {
        let tables = fs::read_dir(home.folder.path().join("g/tables")).expect("listed");
        let hide = |table: fs::DirEntry| {
            let (data, aside) = (table.path().join("data"), table.path().join("aside"));
            fs::rename(&data, &aside).expect("moved");
            (data, aside)
        };
        Self(tables.map(|table| hide(table.expect("there"))).collect())
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        for (data, aside) in &self.0 {
            fs::rename(aside, data).expect("moved back");
        }
    }
}

#[test]
fn a_column_that_cannot_be_read_is_an_error_and_no_null() {
    let home = Home::new(u64::MAX);
    let snapshot = home.graph().snapshot();
    let doc = snapshot
        .schema()
        .node_type_named("Doc")
        .expect("declared")
        .clone();
    let seven = snapshot
        .node_by_key(doc.id, &[Value::Int(7)])
        .expect("there");
    let (a, n) = (
        doc.property("a").expect("declared").id,
        doc.property("n").expect("declared").id,
    );
    let hidden = Hidden::of(&home);
    let error = home
        .rows("MATCH (d:Doc {key: 7}) RETURN d.a")
        .expect_err("hidden");
    assert!(
        matches!(&error, ExecuteError::Column(error) if matches!(**error, ColumnError::Table { .. })),
        "{error:?}"
    );
    let text = "MATCH (d:Doc) WHERE d.a = 'x' RETURN count(*)";
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let (parameters, limits) = (Parameters::new(), Limits::default());
    let profiled = executor::profile(&plan, &parameters, &snapshot, &limits);
    assert!(
        matches!(profiled, Err(ExecuteError::Column(_))),
        "{profiled:?}"
    );
    // What needs nothing of it is answered.
    assert_eq!(
        home.rows("MATCH (d:Doc) RETURN count(*) AS n")
            .expect("read"),
        [[Value::Int(DOCS)]]
    );
    // Also where nobody has said that it is needed.
    let mark = snapshot.mark();
    for _ in 0..1_000 {
        assert_eq!(snapshot.node_property(seven, a), Value::Null);
    }
    assert!(snapshot.whole_since(mark).is_err());
    let before = home.graph().snapshot().head().id;
    let refused =
        home.write(move |transaction| transaction.set_node(seven, vec![(n, Value::Int(1))]));
    assert!(matches!(
        refused,
        Err(CommitError::Write(WriteError::Column(_)))
    ));
    assert_eq!(home.graph().snapshot().head().id, before);
    // Neighbours that do not need it are answered and commit, whatever fails beside them.
    let text = "MATCH (d:Doc) RETURN count(*) AS n";
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let other = home.graph().snapshot();
    let beside = other.prepared(&plan).expect("nothing is needed");
    let fails = snapshot.clone();
    let mark = beside.mark();
    let made = home.write(move |transaction| {
        assert_eq!(fails.node_property(seven, a), Value::Null);
        let small = transaction.snapshot().schema().clone();
        let small = small.node_type_named("Small").expect("declared");
        let property = |name: &str| small.property(name).expect("declared").id;
        let values = vec![
            (property("key"), Value::Int(500)),
            (property("name"), "new".into()),
        ];
        transaction.create_node(small.id, values).map(drop)
    });
    made.expect("made");
    assert!(beside.whole_since(mark).is_ok());
    drop(hidden);
    home.check("a");
    home.rows("MATCH (d:Doc {key: 7}) RETURN d").expect("read");
    let set = home.write(move |transaction| transaction.set_node(seven, vec![(n, Value::Int(1))]));
    set.expect("set");
}

#[test]
fn what_was_folded_and_collected_since_can_still_be_read() {
    let home = Home::new(u64::MAX);
    let old = home.graph().snapshot();
    let sum = "MATCH (s:Small) RETURN sum(s.n) AS n";
    for round in 1..4 {
        home.run(&format!("MATCH (s:Small) SET s.n = {round}"))
            .expect("set");
        home.run(&format!("MATCH (d:Doc {{key: {round}}}) SET d.a = 'other'"))
            .expect("set");
        home.graph().fold().expect("folded");
        home.graph().evict(u64::MAX);
        home.graph().collect().expect("collected");
    }
    assert_eq!(rows(old.clone(), sum).expect("read"), [[Value::Int(0)]]);
    for column in TEXTS {
        check(old.clone(), column);
    }
    assert_eq!(home.rows(sum).expect("read"), [[Value::Int(300)]]);
    let others = home.rows("MATCH (d:Doc {a: 'other'}) RETURN collect(d.key) AS keys");
    assert_eq!(others.expect("read").len(), 1);
    // With nobody left to read them, the old versions go.
    drop(old);
    let before = home.graph().status().expect("listed").collected.files;
    home.run("MATCH (s:Small) SET s.n = 9").expect("set");
    home.graph().fold().expect("folded");
    assert!(home.graph().status().expect("listed").collected.files > before);
}

#[test]
fn a_change_needs_what_it_reads_and_writes_alone() {
    // Less than two columns of text.
    let home = Home::new(ALL / 8 * 7 / 4);
    let sequence = home.graph().snapshot().head().sequence;
    home.run("MATCH (d:Doc) WHERE d.key % 1000 = 7 SET d.n = d.key + 1")
        .expect("set");
    for (number, column) in TEXTS.iter().enumerate().skip(1) {
        // What is carried out in its turn alone, runs beside a copy of what was there.
        home.graph().evict(u64::MAX);
        home.run(&format!(
            "MATCH (d:Doc {{key: 7}}) SET d.{column} = 'new ' + toString(d.n)"
        ))
        .expect("set");
        if number % 3 == 2 {
            home.graph().fold().expect("folded");
        }
        if number % 3 == 0 {
            home.reopen();
        }
    }
    // Set back: it is as it was, and nothing else of the row is another.
    home.run("MATCH (d:Doc {key: 1007}) SET d.n = 0")
        .expect("set");
    home.run("MATCH (:Doc)-[c:Cites]->(:Doc {key: 49}) SET c.weight = 77")
        .expect("set");
    for _ in 0..2 {
        for column in TEXTS {
            let text_of = |key: i64| match (column, key) {
                ("a", _) | (_, 1007) => text(column, key),
                _ => "new 8".to_owned(),
            };
            for key in [7, 1007] {
                let found = home.rows(&format!("MATCH (d:Doc {{key: {key}}}) RETURN d.{column}"));
                assert_eq!(found.expect("read"), [[Value::from(text_of(key).as_str())]]);
            }
            let rest = format!("MATCH (d:Doc) WHERE size(d.{column}) = {BYTES} RETURN count(*)");
            let expected = DOCS - i64::from(column != "a");
            assert_eq!(home.rows(&rest).expect("read"), [[Value::Int(expected)]]);
        }
        let numbers = home.rows("MATCH (d:Doc) WHERE d.n > 0 RETURN sum(d.n) AS n");
        assert_eq!(numbers.expect("read"), [[Value::Int(8 + 2008)]]);
        let edges = home.rows("MATCH ()-[c:Cites {weight: 77}]->(d) RETURN c.note, d.key");
        let expected = ["note 7".into(), Value::Int(49)];
        assert_eq!(edges.expect("read"), [expected]);
        home.graph().fold().expect("folded");
        home.reopen();
    }
    // What it was before is in the log.
    let past = home
        .graph()
        .snapshot_at(At::Sequence(sequence), &PastLimits::default());
    if let Ok(past) = past {
        check(past, "b");
    }
}

#[test]
fn commits_since_the_checkpoint_are_replayed_on_columns_that_are_on_disk() {
    let home = Home::new(u64::MAX);
    home.run("MATCH (d:Doc) WHERE d.key % 100 = 1 SET d.n = d.key, d.b = 'set'")
        .expect("set");
    home.run("MATCH (d:Doc) WHERE d.key % 100 = 2 DETACH DELETE d")
        .expect("deleted");
    let count =
        "MATCH (d:Doc) WHERE d.b = 'set' RETURN count(*) AS n, sum(d.n) AS s, min(size(d.c)) AS c";
    let expected = home.rows(count).expect("read");
    assert_eq!(expected[0][0], Value::Int(30));
    let edges = home
        .rows("MATCH ()-[c:Cites]->() RETURN count(*) AS n")
        .expect("read");
    for _ in 0..2 {
        home.reopen();
        // Nor does it take columns to carry them out again.
        assert!((home.graph().memory().columns as u64) < ALL / 8);
        assert_eq!(home.rows(count).expect("read"), expected);
        assert_eq!(
            home.rows("MATCH ()-[c:Cites]->() RETURN count(*) AS n")
                .expect("read"),
            edges
        );
        home.graph().fold().expect("folded");
        home.graph().evict(u64::MAX);
        assert!(home.graph().memory().cold_columns > 0);
    }
}
