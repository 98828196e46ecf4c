//! Typed columns of open graphs: whatever comes comes back as it was, from wherever it is kept.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use language::cypher;
use language::schema::{PropertyType, Schema};
use language::value::Value;
use serde_json::json;
use tempfile::TempDir;

use super::disk::{Disk, Fault, Keep, Kind};
use super::transfer::{by_columns, export, load_from};
use super::{Random, number, open_again, scratch, seed};
use crate::doctor::{self, Depth};
use crate::executor::{self, ExecuteError, Limits, Parameters};
use crate::finish::same;
use crate::load::Mode;
use crate::typed::Typed;
use crate::{
    At, CommitId, Follower, Graph, NewGraph, Options, PastLimits, Snapshot, Store, Transaction,
    WriteRequest,
};

type Map = BTreeMap<String, Value>;

/// What names there are: those that begin with `late` come later.
const NAMES: [&str; 9] = ["a", "b", "c", "d.e", "É", "f", "", "late1", "late2"];

fn options() -> Options {
    Options {
        retention: Duration::from_secs(3_600),
        segment_bytes: 16 << 10,
        fold_rows: usize::MAX,
        ..Options::default()
    }
}

/// An open graph, and what it must hold: maps by the `k` that each has.
struct Life {
    random: Random,
    home: TempDir,
    graph: Option<Graph>,
    options: Options,
    nodes: BTreeMap<i64, Map>,
    /// Of the edge that each node has to itself.
    edges: BTreeMap<i64, Map>,
    next: i64,
    past: Vec<(CommitId, BTreeMap<i64, Map>)>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let home = scratch();
        let schema = Schema::parse_open("").expect("the empty schema");
        let folder = home.path().join("g");
        Graph::create(folder.as_path(), NewGraph::new(schema, "test")).expect("created");
        let mut life = Self {
            random: Random(seed),
            home,
            graph: None,
            options: options(),
            nodes: BTreeMap::new(),
            edges: BTreeMap::new(),
            next: 0,
            past: Vec::new(),
        };
        life.reopen();
        life
    }

    fn store(&self) -> Store {
        Store::from(self.home.path().join("g"))
    }

    fn graph(&self) -> &Graph {
        self.graph.as_ref().expect("open")
    }

    fn reopen(&mut self) {
        self.graph = None;
        self.options.resident_rows = [0, u64::MAX][self.random.below(2) as usize];
        self.graph = Some(open_again(&self.store(), self.options.clone()));
    }

    fn write(&mut self, text: &str, parameters: Parameters) {
        let graph = self.graph();
        let plan = cypher::compile(text, graph.snapshot().schema()).expect(text);
        let work = move |transaction: &mut Transaction| -> Result<(), ExecuteError> {
            let mut sink = |_: &[Value]| ControlFlow::Continue(());
            let limits = Limits::default();
            executor::write(&plan, &parameters, transaction, &limits, &mut sink)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let written = runtime.block_on(graph.write(WriteRequest::by("test"), work));
        written.expect(text);
        let head = self.graph().snapshot().head().id;
        self.past.push((head, self.nodes.clone()));
    }

    /// Mostly what its name mostly has.
    fn value(&mut self, name: usize) -> Value {
        let kind = match self.random.below(12) {
            0 => self.random.below(14),
            _ => name as u64,
        };
        let number = self.random.next().cast_signed() >> self.random.below(64);
        match kind {
            0 | 7 => Value::Int(number),
            1 => Value::string(format!("text {number}")),
            #[expect(clippy::cast_precision_loss, reason = "any number will do")]
            2 => Value::Float([number as f64, f64::NAN, -0.0, 1.0][self.random.below(4) as usize]),
            3 => Value::list((0..number.rem_euclid(3)).map(Value::Int)),
            4 => Value::list(["a", ""].map(Value::from)),
            5 => Value::Bool(number % 2 == 0),
            6 => Value::Date(number as i32),
            8 => Value::DateTime(number),
            9 => Value::list([Value::Int(1), Value::Float(1.0), Value::from("1")]),
            10 => Value::list([Value::list([])]),
            11 => Value::from(""),
            12 => Value::list([Value::Float(f64::NAN)]),
            _ => Value::Float(1.0),
        }
    }

    fn map(&mut self, k: i64) -> Map {
        let mut map = Map::from([("k".to_owned(), Value::Int(k))]);
        for (at, name) in NAMES.iter().enumerate() {
            let late = at as i64 >= 7 && k < 200;
            if !late && self.random.below(4) > 0 {
                map.insert((*name).to_owned(), self.value(at));
            }
        }
        if self.random.below(8) == 0 {
            let rare = format!("rare {}", self.random.below(300));
            map.insert(rare, Value::Int(k));
        }
        map
    }

    fn maps(&mut self) -> Vec<(i64, Map)> {
        let first = self.next;
        self.next += 1 + self.random.below(60).cast_signed();
        (first..self.next).map(|k| (k, self.map(k))).collect()
    }

    fn create(&mut self) {
        let maps = self.maps();
        let rows = maps
            .iter()
            .map(|(_, map)| Value::Map(Arc::new(map.clone())));
        let rows = Parameters::from([("rows".to_owned(), Value::list(rows))]);
        self.nodes.extend(maps.clone());
        self.edges.extend(maps);
        let text = "UNWIND $rows AS r CREATE (n:L)-[e:T]->(n) SET n = r, e = r";
        self.write(text, rows);
    }

    /// Comes as columns.
    fn load(&mut self, mode: Mode) {
        let maps = self.maps();
        if mode == Mode::Overwrite {
            self.nodes.clear();
            self.edges.clear();
        }
        let mut lines = String::new();
        for (k, _) in maps {
            let number = self.random.next().cast_signed() >> 20;
            let mut map = Map::from([("k".to_owned(), Value::Int(k))]);
            map.insert("a".to_owned(), Value::Int(number));
            map.insert("c".to_owned(), Value::Float(number as f64 + 0.5));
            map.insert("É".to_owned(), Value::from("é"));
            let mut data = json!({"k": k, "a": number, "c": number as f64 + 0.5, "É": "é"});
            if number % 5 == 0 {
                map.insert("b".to_owned(), Value::Int(1));
                data["b"] = json!(1);
            }
            let id = format!("id {k}");
            lines += &format!("{}\n", json!({"type": "L", "id": id, "data": data}));
            lines += &format!(
                "{}\n",
                json!({"edge": "T", "from": id, "to": id, "data": data})
            );
            self.nodes.insert(k, map.clone());
            self.edges.insert(k, map);
        }
        load_from(self.graph(), lines, &by_columns(mode)).expect("loaded");
        if mode == Mode::Overwrite {
            self.past.clear();
        }
        let head = self.graph().snapshot().head().id;
        self.past.push((head, self.nodes.clone()));
    }

    fn change(&mut self) {
        let Some(k) = self.some() else { return };
        let at = self.random.below(NAMES.len() as u64) as usize;
        let name = NAMES[at];
        let mut parameters = Parameters::from([("k".to_owned(), Value::Int(k))]);
        // A statement cannot write the empty name.
        let kind = self.random.below(5) * u64::from(!name.is_empty());
        match kind {
            0 => {
                let map = self.map(k);
                parameters.insert("map".to_owned(), Value::Map(Arc::new(map.clone())));
                self.nodes.insert(k, map);
                self.write("MATCH (n {k: $k}) SET n = $map", parameters);
            }
            1 => {
                self.nodes.get_mut(&k).expect("there").remove(name);
                let text = format!("MATCH (n) WHERE n.k = $k REMOVE n.`{name}`");
                self.write(&text, parameters);
            }
            // Carried out again on columns that are not in memory, it leaves the map where it is.
            3 => self.write("MATCH (n {k: $k}) SET n:X", parameters),
            2 => {
                self.nodes.remove(&k);
                self.edges.remove(&k);
                self.write("MATCH (n {k: $k}) DETACH DELETE n", parameters);
            }
            _ => {
                let value = self.value(at);
                parameters.insert("v".to_owned(), value.clone());
                let map = self.edges.get_mut(&k).expect("there");
                map.insert(name.to_owned(), value);
                let text = format!("MATCH ()-[e]->() WHERE e.k = $k SET e.`{name}` = $v");
                self.write(&text, parameters);
            }
        }
    }

    fn some(&mut self) -> Option<i64> {
        let at = self.random.below(self.nodes.len().max(1) as u64) as usize;
        self.nodes.keys().nth(at).copied()
    }

    fn step(&mut self) {
        match self.random.below(16) {
            0..3 => self.create(),
            3 => self.load(Mode::Append),
            4 if self.random.below(6) == 0 => self.load(Mode::Overwrite),
            4..10 => self.change(),
            10 | 11 => self.graph().fold().expect("folded"),
            12 => self.reopen(),
            13 => {
                self.graph().evict(u64::MAX);
            }
            14 => self.look_back(),
            _ => self.follow(),
        }
        let snapshot = self.graph().snapshot();
        compare(&snapshot, &self.nodes, Some(&self.edges));
    }

    fn look_back(&mut self) {
        let at = self.random.below(self.past.len().max(1) as u64) as usize;
        if let Some((id, nodes)) = self.past.get(at) {
            let past = self
                .graph()
                .snapshot_at(At::Commit(*id), &PastLimits::default());
            compare(&past.expect("the past"), nodes, None);
        }
    }

    fn follow(&self) {
        let follower = Follower::open(self.store(), self.options.clone());
        let seen = follower.expect("opened for reading").snapshot();
        compare(&seen.expect("read along"), &self.nodes, Some(&self.edges));
    }
}

/// That a graph holds these maps, whole and entry by entry.
fn compare(snapshot: &Snapshot, nodes: &BTreeMap<i64, Map>, edges: Option<&BTreeMap<i64, Map>>) {
    let open = snapshot.open().expect("an open graph");
    let mark = snapshot.mark();
    let found: Vec<Value> = snapshot.nodes(open.node).map(Value::Node).collect();
    assert_eq!(found.len(), nodes.len());
    hold(snapshot, found, nodes);
    if let Some(edges) = edges {
        let found: Vec<Value> = snapshot.edges(open.edge).map(Value::Relationship).collect();
        assert_eq!(found.len(), edges.len());
        hold(snapshot, found, edges);
    }
    snapshot.whole_since(mark).expect("all could be read");
}

fn hold(snapshot: &Snapshot, found: Vec<Value>, expected: &BTreeMap<i64, Map>) {
    for element in found {
        let Value::Int(k) = snapshot.property_named(&element, "k") else {
            panic!("{element:?} has no k");
        };
        let expected = expected.get(&k).unwrap_or_else(|| panic!("{k} is gone"));
        for name in NAMES {
            let value = snapshot.property_named(&element, name);
            let wanted = expected.get(name).unwrap_or(&Value::Null);
            assert!(same(&value, wanted), "{k}.{name}: {value:?} for {wanted:?}");
        }
        let map = match &element {
            Value::Node(node) => snapshot.node_properties(*node),
            Value::Relationship(edge) => snapshot.edge_properties(*edge),
            other => panic!("{other:?}"),
        };
        let whole = |map: &Map| Value::Map(Arc::new(map.clone()));
        let (map, wanted) = (whole(&map), whole(expected));
        assert!(same(&map, &wanted), "{k}: {map:?} for {wanted:?}");
    }
}

#[test]
fn whatever_comes_comes_back_through_folds_cold_columns_crashes_and_the_past() {
    let seed = seed();
    let rounds = number("TRELLIS_SEQUENCES").unwrap_or(12);
    let mut with_columns = 0;
    for round in 0..rounds {
        let seed = seed.wrapping_add(round);
        println!("TRELLIS_SEED={seed} TRELLIS_SEQUENCES=1");
        let mut life = Life::new(seed);
        for _ in 0..60 {
            life.step();
        }
        life.graph().fold().expect("folded");
        with_columns += u64::from(!typed(&life.graph().snapshot()).columns.is_empty());
        life.reopen();
        compare(&life.graph().snapshot(), &life.nodes, Some(&life.edges));
        life.graph().collect().expect("collected");
        life.graph = None;
        let diagnosis = doctor::examine(life.home.path().join("g"), Depth::Deep);
        let diagnosis = diagnosis.expect("examined");
        assert!(diagnosis.sound, "{:#?}", diagnosis.findings);
    }
    // Some lives end with too few rows for any.
    assert!(
        2 * with_columns > rounds || rounds < 4,
        "{with_columns} of {rounds}"
    );
}

/// What the nodes' table has.
fn typed(snapshot: &Snapshot) -> Typed {
    let open = snapshot.open().expect("an open graph");
    let rows = snapshot.rows(open.node).expect("a table");
    rows.layout.typed.clone()
}

fn types(snapshot: &Snapshot) -> HashMap<String, PropertyType> {
    let columns = typed(snapshot).columns.into_iter();
    columns.map(|it| (it.name, it.value_type)).collect()
}

#[test]
fn what_is_common_gets_a_column_and_what_is_not_of_its_type_stays_in_the_map() {
    let mut life = Life::new(1);
    life.write(
        "UNWIND range(0, 99) AS i CREATE (:P {k: i, name: 'n' + i, mixed: CASE i % 10 WHEN 0 THEN 'x' ELSE i END})",
        Parameters::new(),
    );
    life.write("CREATE (:Q {k: 100, seldom: 1})", Parameters::new());
    life.graph().fold().expect("folded");
    let first = typed(&life.graph().snapshot());
    let names: Vec<(&str, &str)> = first
        .columns
        .iter()
        .map(|it| (it.name.as_str(), it.column.as_str()))
        .collect();
    assert_eq!(
        names,
        [("k", "v0_k"), ("name", "v1_name"), ("mixed", "v2_mixed")]
    );
    let left =
        |typed: &Typed| ["k", "name", "mixed", "seldom", "none"].map(|it| typed.may_be_left(it));
    assert_eq!(left(&first), [false, false, true, true, false]);

    // Columns only become more, and what came before them stays where it is.
    life.write(
        "MATCH (n:P) SET n.later = n.k + 0.5, n.name = CASE n.k WHEN 7 THEN 7 ELSE n.name END",
        Parameters::new(),
    );
    life.graph().fold().expect("folded");
    let snapshot = life.graph().snapshot();
    let second = typed(&snapshot);
    assert_eq!(second.columns[..3], first.columns[..]);
    assert_eq!(types(&snapshot).get("later"), Some(&PropertyType::F64));
    assert_eq!(left(&second), [false, true, true, true, false]);
    assert!(!second.may_be_left("later"));
    let before = export(&snapshot);
    for resident_rows in [0, u64::MAX] {
        life.graph = None;
        life.options.resident_rows = resident_rows;
        life.graph = Some(open_again(&life.store(), life.options.clone()));
        let snapshot = life.graph().snapshot();
        assert_eq!(typed(&snapshot), second);
        assert_eq!(export(&snapshot), before);
    }
    // Another table begins anew.
    load_from(
        life.graph(),
        "{\"type\":\"P\",\"data\":{\"id\":\"a\",\"k\":1}}\n",
        &by_columns(Mode::Overwrite),
    )
    .expect("loaded");
    life.graph().fold().expect("folded");
    assert_eq!(typed(&life.graph().snapshot()).columns, []);
    assert!(!typed(&life.graph().snapshot()).may_be_left("name"));
}

#[test]
fn maps_are_taken_apart_and_put_together() {
    let column = |name: &str, value_type| crate::typed::TypedColumn {
        name: name.to_owned(),
        value_type,
        column: name.to_owned(),
    };
    let typed = Typed {
        columns: vec![
            column("i", PropertyType::I64),
            column("l", PropertyType::List(Box::new(PropertyType::F64))),
        ],
        ..Typed::default()
    };
    let entries = |entries: &[(&str, Value)]| -> Option<Map> {
        let entries = entries.iter();
        Some(
            entries
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        )
    };
    let maps = [
        None,
        entries(&[]),
        entries(&[("i", Value::Int(1))]),
        entries(&[("i", Value::Float(1.0)), ("l", Value::list([]))]),
        entries(&[("i", Value::Null), ("l", Value::list([Value::Null]))]),
        entries(&[
            (
                "l",
                Value::list([Value::Float(f64::NAN), Value::Float(-0.0)]),
            ),
            ("z", Value::Int(2)),
        ]),
        entries(&[("l", Value::list([Value::Int(1)]))]),
    ];
    let many = maps.iter().cycle().take(5_000);
    let (rest, columns) = typed.split(many.clone().cloned()).expect("taken apart");
    for (row, map) in many.enumerate() {
        let values = columns.iter().map(|it| crate::columns::value_at(it, row));
        let value = typed.join(crate::columns::value_at(&rest, row), values);
        let expected = map
            .clone()
            .map_or(Value::Null, |map| Value::Map(Arc::new(map)));
        assert!(same(&value, &expected), "{value:?} for {expected:?}");
        let named = map.iter().flatten();
        for (name, value) in named {
            let left = crate::columns::entry_at(&rest, row, name);
            assert!(left.is_null() || same(&left, value), "{name}");
        }
    }
    let left = arrow_array::Array::null_count(&rest);
    assert_eq!(
        left,
        5_000 / 7 * 2 + 1,
        "what was taken whole leaves nothing"
    );
}

/// The same life whether it is folded or not, with what has changed since.
fn lived(seed: u64, folded: bool) -> Life {
    let mut life = Life::new(seed);
    for _ in 0..5 {
        life.create();
        let link =
            "MATCH (a), (b) WHERE (a.k * 7 + b.k) % 13 = 0 AND a.k % 3 <> 0 MERGE (a)-[:U]->(b)";
        life.write(link, Parameters::new());
        for _ in 0..4 {
            life.change();
        }
        if folded {
            life.graph().fold().expect("folded");
        }
    }
    life.change();
    life
}

fn answer(life: &Life, text: &str, value: &Value) -> Vec<String> {
    let snapshot = life.graph().snapshot();
    let plan = cypher::compile(text, snapshot.schema()).expect(text);
    let parameters = Parameters::from([("v".to_owned(), value.clone())]);
    let mut rows = Vec::new();
    let mut sink = |row: &[Value]| {
        rows.push(format!("{row:?}"));
        ControlFlow::Continue(())
    };
    let read = executor::read(&plan, &parameters, &snapshot, &Limits::default(), &mut sink);
    read.expect(text);
    rows.sort();
    rows
}

#[test]
fn columns_answer_as_maps_do() {
    let texts = [
        "MATCH (n) WHERE n.NAME OP $v RETURN count(*)",
        "MATCH (n:L) WHERE n.NAME OP $v RETURN n.k, n.b",
        "MATCH (n {NAME: $v}) RETURN n.k",
        "MATCH (a)-[:U]->(b) WHERE b.NAME OP $v RETURN count(*)",
        "MATCH (a)-[:U]->(b) WHERE b.NAME OP $v RETURN a.f, count(*)",
        "MATCH (a)-->(b)-->(c) WHERE a.NAME OP c.NAME AND c.c OP $v RETURN a.f, count(*)",
        "MATCH (a)-->(b)-->(c {NAME: $v}) WHERE a.a < c.a RETURN count(*)",
        "MATCH (a)-->(b)-->(c) WHERE $v OP c.NAME RETURN b.NAME, count(*)",
        "MATCH (a)-[e:T|V]->() WHERE e.NAME OP $v RETURN e.k, e.NAME",
        "MATCH (n) RETURN n.NAME AS x, count(*), min(n.a), max(n.k)",
        "MATCH (n) WHERE n.NAME IS NULL OR n.a OP $v RETURN n.k, properties(n)",
    ];
    let seed = seed();
    for round in 0..number("TRELLIS_SEQUENCES").unwrap_or(3) {
        let seed = seed.wrapping_add(round);
        println!("TRELLIS_SEED={seed} TRELLIS_SEQUENCES=1");
        let (maps, mut columns) = (lived(seed, false), lived(seed, true));
        assert!(typed(&maps.graph().snapshot()).columns.is_empty());
        assert!(!typed(&columns.graph().snapshot()).columns.is_empty());
        let mut found = 0;
        for text in texts {
            for (at, name) in ["a", "b", "c", "f", "`d.e`"].into_iter().enumerate() {
                for operator in ["=", "<>", "<", ">="] {
                    let text = text.replace("NAME", name).replace("OP", operator);
                    let value = columns.value(at);
                    let expected = answer(&maps, &text, &value);
                    assert_eq!(
                        answer(&columns, &text, &value),
                        expected,
                        "{text} {value:?}"
                    );
                    found += expected.len();
                }
            }
        }
        assert!(found > 1_000, "{found} rows say something");
    }
}

/// With rows to fold that have names for which the tables have no columns yet.
fn ripe() -> Life {
    let mut life = Life::new(7);
    life.next = 150;
    life.create();
    life.graph().fold().expect("folded");
    life.next = 200;
    life.create();
    life.create();
    life
}

#[test]
fn a_fold_that_adds_columns_may_stop_anywhere() {
    let every = 5;
    let mut at = usize::try_from(seed() % every).expect("small");
    loop {
        let mut life = ripe();
        let before = typed(&life.graph().snapshot()).columns.len();
        life.graph = None;
        let (disk, watch) = Disk::below(&life.home.path().join("g"));
        life.reopen();
        disk.arm(Fault {
            after: at,
            kind: Kind::Death(at * 37 % 700),
        });
        let folded = life.graph().fold();
        life.graph = None;
        disk.crash([Keep::All, Keep::Synced, Keep::Some(at as u64)][at % 3]);
        drop(watch);
        for _ in 0..2 {
            life.reopen();
            compare(&life.graph().snapshot(), &life.nodes, Some(&life.edges));
            life.graph().fold().expect("folded");
            compare(&life.graph().snapshot(), &life.nodes, Some(&life.edges));
        }
        assert!(typed(&life.graph().snapshot()).columns.len() > before);
        if folded.is_ok() && at > 20 {
            break;
        }
        at += usize::try_from(every).expect("small");
    }
}
