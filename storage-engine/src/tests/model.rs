//! Random lives of a graph against a plain model in memory.
//!
//! Writes of every kind, groups of them, repeated requests, loads in each mode and format, folds,
//! collections, clean and unclean ends, a disk that fails. After each step everything that can be read
//! equals the model: nodes, properties, keys that are there and keys that are not, adjacency both ways,
//! counts; and no id is ever given twice. So does every earlier commit that is read again, unless it
//! was collected, and a reader beside the writer. What failed with an unknown outcome is there whole
//! after the next opening, or not at all.
//!
//! `TRELLIS_SEQUENCES` says how many lives are tried, in eight parts that run at once; a failure prints
//! the seed of the shortest one that fails too.

mod apply;
mod compare;
mod coverage;
mod faults;
mod input;
mod load;
mod run;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use language::schema::{Property, PropertyId, Schema, TypeId};
use language::value::{EdgeRef, NodeRef, Value};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::disk::{Fault, Kind};
use crate::CommitInfo;
use load::Load;
use run::{Place, Run};

const SCHEMA: &str = r#"
node Person {
  email: String @key
  name: String?, age: I64?, score: F64?, tags: [String]?, born: Date?, seen: DateTime?
  small: F32?, ok: Bool?, stage: enum(a, b-c)?, n: U32?, u: U64?, i: I32?, nums: [F64]?
}
node Place { country: String, number: I32, note: String? @index  @key(country, number) }
node Note { text: String, kind: String @default("plain") }
node Tagged { id: String?, v: I64? @index }
edge Knows: Person -> Person { since: Date?, w: F64? }
edge Wrote: Person -> Note { at: DateTime }
edge Near: Place -> Place { m: I64? }
edge Cites: Note -> Tagged { id: String? }
"#;

/// Which of a few interesting values of the property's type; some do not fit.
type Seed = u8;

#[derive(Clone, Debug)]
enum Change {
    CreateNode(u8, Vec<(u8, Seed)>),
    CreateEdge(u8, u16, u16, Vec<(u8, Seed)>),
    SetNode(u16, Vec<(u8, Seed)>),
    SetEdge(u16, Vec<(u8, Seed)>),
    DeleteNode(u16, bool),
    DeleteEdge(u16),
}

/// How the work of a write ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Commit,
    Panic,
    GoAway,
}

#[derive(Clone, Debug)]
enum Step {
    /// Perhaps under a key, which is one of a few, as a request that is one of a few.
    Write(Vec<Change>, End, Option<Key>),
    Group(Vec<Vec<Change>>),
    Load(Load),
    Fold,
    /// While a fold waits after so many of its effects.
    During(usize, Vec<Step>),
    Collect,
    /// Columns that tables have go from memory.
    Evict,
    /// Reads an earlier commit again, in one of three ways.
    Past(u16, u8),
    /// Reads beside the writer.
    Follow,
    /// The process ends; with a disk that can lose something, perhaps the power goes.
    Crash(u8),
    Close,
    /// The disk is to fail.
    Fault(Fault),
}

/// Whose key, which, and what is asked under it.
#[derive(Clone, Copy, Debug)]
struct Key {
    principal: u8,
    key: u8,
    digest: u8,
}

/// One life of a graph.
#[derive(Clone, Debug)]
struct Life {
    steps: Vec<Step>,
    place: Place,
    /// Folds run in the background.
    background: bool,
    /// No history is kept but what recovery needs.
    forgetful: bool,
    /// Columns are read when they are needed first.
    sparing: bool,
    /// In the end it is exported, and loaded elsewhere.
    moves: bool,
}

impl Life {
    /// In a folder, of which nothing is known yet.
    fn plain() -> Self {
        Self {
            steps: Vec::new(),
            place: Place::Folder,
            background: false,
            forgetful: false,
            sparing: false,
            moves: false,
        }
    }
}

fn values() -> impl Strategy<Value = Vec<(u8, Seed)>> {
    prop::collection::vec((any::<u8>(), any::<u8>()), 0..4)
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<u8>(), values()).prop_map(|(t, v)| Change::CreateNode(t, v)),
        4 => (any::<u8>(), any::<u16>(), any::<u16>(), values())
            .prop_map(|(t, a, b, v)| Change::CreateEdge(t, a, b, v)),
        2 => (any::<u16>(), values()).prop_map(|(n, v)| Change::SetNode(n, v)),
        2 => (any::<u16>(), values()).prop_map(|(n, v)| Change::SetEdge(n, v)),
        2 => (any::<u16>(), any::<bool>()).prop_map(|(n, d)| Change::DeleteNode(n, d)),
        2 => any::<u16>().prop_map(Change::DeleteEdge),
    ]
}

fn load() -> impl Strategy<Value = Load> {
    let node = (any::<u8>(), any::<u8>(), values());
    let edge = (
        any::<u8>(),
        any::<u16>(),
        any::<u16>(),
        any::<u8>(),
        values(),
    );
    let content = (
        prop::collection::vec(node, 0..8),
        prop::collection::vec(edge, 0..8),
    );
    let ways = (0..3_u8, 0..6_u8, any::<bool>());
    (content, ways, prop::bool::weighted(0.7), any::<bool>()).prop_map(
        |((nodes, edges), (mode, way, edges_first), careful, again)| Load {
            nodes,
            edges,
            mode: load::MODES[usize::from(mode)],
            way: input::WAYS[usize::from(way)],
            edges_first,
            careful,
            again,
        },
    )
}

fn key() -> impl Strategy<Value = Option<Key>> {
    let some = (0..2_u8, 0..2_u8, 0..8_u8).prop_map(|(principal, key, digest)| Key {
        principal,
        key,
        // Mostly the same request.
        digest: digest / 7,
    });
    prop::option::weighted(0.3, some)
}

fn fault() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![
        Just(Kind::Full),
        Just(Kind::Broken),
        Just(Kind::Unsynced),
        (0..1_500_usize).prop_map(Kind::Short),
        (0..1_500_usize).prop_map(Kind::Death),
        (0..1_500_usize).prop_map(Kind::Death),
    ];
    (prop_oneof![0..8_usize, 0..60_usize], kind).prop_map(|(after, kind)| Fault { after, kind })
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 1..8)
}

/// What goes on beside a fold.
fn beside() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => changes().prop_map(|changes| Step::Write(changes, End::Commit, None)),
        2 => load().prop_map(Step::Load),
        1 => (any::<u16>(), any::<u8>()).prop_map(|(at, how)| Step::Past(at, how)),
        1 => Just(Step::Follow),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![8 => Just(End::Commit), 1 => Just(End::Panic), 1 => Just(End::GoAway)];
    let during = (0..12_usize, prop::collection::vec(beside(), 1..4));
    prop_oneof![
        12 => (changes(), end, key()).prop_map(|(c, e, k)| Step::Write(c, e, k)),
        2 => prop::collection::vec(changes(), 2..6).prop_map(Step::Group),
        3 => load().prop_map(Step::Load),
        2 => during.prop_map(|(after, steps)| Step::During(after, steps)),
        3 => Just(Step::Fold),
        1 => Just(Step::Collect),
        1 => Just(Step::Evict),
        2 => (any::<u16>(), any::<u8>()).prop_map(|(at, how)| Step::Past(at, how)),
        1 => Just(Step::Follow),
        2 => any::<u8>().prop_map(Step::Crash),
        1 => Just(Step::Close),
        4 => fault().prop_map(Step::Fault),
    ]
}

fn life() -> impl Strategy<Value = Life> {
    let place = prop_oneof![
        3 => Just(Place::Folder),
        4 => Just(Place::Disk),
        1 => Just(Place::Objects),
    ];
    let kind = (
        prop::bool::weighted(0.3),
        any::<bool>(),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.1),
    );
    (prop::collection::vec(step(), 10..40), place, kind).prop_map(
        |(steps, place, (background, forgetful, sparing, moves))| Life {
            steps,
            place,
            background,
            forgetful,
            sparing,
            moves,
        },
    )
}

type Values = BTreeMap<PropertyId, Value>;

#[derive(Clone, Debug)]
struct Node {
    identity: Value,
    values: Values,
}

#[derive(Clone, Debug)]
struct Edge {
    source: NodeRef,
    target: NodeRef,
    identity: Value,
    values: Values,
}

/// The graph as plain maps.
#[derive(Clone, Debug)]
struct Model {
    schema: Arc<Schema>,
    nodes: BTreeMap<NodeRef, Node>,
    edges: BTreeMap<EdgeRef, Edge>,
    /// Every id that a commit has given.
    used: BTreeSet<(TypeId, u64)>,
    /// By principal and key.
    answers: BTreeMap<(u8, u8), Answer>,
}

/// What a keyed request was answered.
#[derive(Clone, Debug)]
struct Answer {
    digest: u8,
    counts: String,
    commit: CommitInfo,
}

/// What the model says a change must come to.
#[derive(Debug, PartialEq)]
enum Expected {
    Done,
    Refused,
}

fn pick<K: Copy, V>(map: &BTreeMap<K, V>, at: u16) -> Option<K> {
    let place = usize::from(at).checked_rem(map.len())?;
    map.keys().nth(place).copied()
}

/// Small universes, so that keys collide and values repeat.
fn candidate(property: &Property, seed: Seed) -> Value {
    use language::schema::PropertyType as T;
    let of = |pool: &[Value]| pool[usize::from(seed) % pool.len()].clone();
    let null = Value::Null;
    let text = |text: &str| Value::from(text);
    match &property.value_type {
        T::Map => panic!("only open graphs have maps"),
        T::String if matches!(property.name.as_str(), "email" | "country" | "id") => of(&[
            text("a"),
            text("b"),
            text("c"),
            text("é\u{0}\u{1f980}"),
            text("d"),
            text("e"),
            null,
        ]),
        T::String => of(&[null, text(""), text("ü\"\n"), text("x"), Value::Int(1)]),
        T::Bool => of(&[null, Value::Bool(true), Value::Bool(false)]),
        T::I32 if property.name == "number" => of(&[Value::Int(1), Value::Int(2), Value::Int(-1)]),
        T::I32 => of(&[
            null,
            Value::Int(i32::MIN.into()),
            Value::Int(7),
            Value::Int(i64::MAX),
        ]),
        T::I64 => of(&[
            null,
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
            Value::Int(0),
            text("1"),
        ]),
        T::U32 => of(&[
            null,
            Value::Int(u32::MAX.into()),
            Value::Int(0),
            Value::Int(-1),
        ]),
        T::U64 => of(&[null, Value::Int(i64::MAX), Value::Int(0)]),
        T::F32 => of(&[
            null,
            Value::Float(0.1),
            Value::Float(-0.0),
            Value::Float(0.0),
        ]),
        T::F64 => of(&[
            null,
            Value::Float(0.0),
            Value::Float(-0.0),
            Value::Float(f64::NAN),
            Value::Float(f64::INFINITY),
            Value::Float(31.245_270_191_439_438),
            Value::Int(3),
        ]),
        T::Date => of(&[null, Value::Date(0), Value::Date(-1), Value::Date(20_000)]),
        T::DateTime => of(&[
            null,
            Value::DateTime(-1),
            Value::DateTime(1_700_000_000_000_001),
        ]),
        T::Enum(_) => of(&[null, text("a"), text("b-c"), text("other")]),
        T::List(element) if **element == T::String => of(&[
            null,
            Value::list([]),
            Value::list([text(""), text("y")]),
            Value::list([null_in()]),
        ]),
        T::List(_) => of(&[
            null,
            Value::list([]),
            Value::list([Value::Float(-0.0)]),
            Value::list([Value::Float(0.0)]),
        ]),
    }
}

fn merge_into(values: &mut Values, changes: Values) {
    values.extend(changes);
    values.retain(|_, value| !value.is_null());
}

fn null_in() -> Value {
    Value::Null
}

/// Equal to the bit: `-0.0` is not `0.0`, NaN is itself.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b))
        }
        (a, b) => a == b,
    }
}

impl Model {
    fn new(schema: Arc<Schema>) -> Self {
        Self {
            schema,
            nodes: BTreeMap::new(),
            edges: BTreeMap::new(),
            used: BTreeSet::new(),
            answers: BTreeMap::new(),
        }
    }

    /// Distinct properties of a type with values, as given; the last of a name counts.
    fn given(&self, type_id: TypeId, seeds: &[(u8, Seed)]) -> Vec<(PropertyId, Value)> {
        let properties = self.schema.properties(type_id).expect("a type");
        let mut values = BTreeMap::new();
        for (at, seed) in seeds.iter().filter(|_| !properties.is_empty()) {
            let property = &properties[usize::from(*at) % properties.len()];
            values.insert(property.id, candidate(property, *seed));
        }
        values.into_iter().collect()
    }

    /// The stored form, or `None` when a value does not fit.
    fn accepted(&self, type_id: TypeId, given: &[(PropertyId, Value)]) -> Option<Values> {
        let properties = self.schema.properties(type_id).expect("a type");
        let mut values = Values::new();
        for (id, value) in given {
            let property = properties.iter().find(|property| property.id == *id)?;
            values.insert(*id, property.accept(value.clone()).ok()?);
        }
        Some(values)
    }

    fn with_defaults(&self, type_id: TypeId, mut values: Values) -> Values {
        for property in self.schema.properties(type_id).expect("a type") {
            if let Some(default) = &property.default {
                values.entry(property.id).or_insert_with(|| default.clone());
            }
        }
        values.retain(|_, value| !value.is_null());
        values
    }

    fn key(&self, type_id: TypeId, values: &Values) -> Option<Vec<Value>> {
        let key = &self.schema.node_type(type_id).expect("a node type").key;
        key.iter().map(|id| values.get(id).cloned()).collect()
    }

    /// The property that is the identity of a type without a key, if it declares one.
    fn declared_id(&self, type_id: TypeId) -> Option<PropertyId> {
        let node_type = self.schema.node_type(type_id)?;
        let id = node_type.property("id")?.id;
        node_type.key.is_empty().then_some(id)
    }

    fn node_with(&self, type_id: TypeId, identity: &Value) -> bool {
        let mut nodes = self.nodes.iter();
        nodes.any(|(node, there)| node.type_id == type_id && same(&there.identity, identity))
    }

    fn touching(&self, node: NodeRef) -> Vec<EdgeRef> {
        let mut edges = Vec::new();
        for (edge, there) in &self.edges {
            edges.extend((there.source == node).then_some(*edge));
            edges.extend((there.target == node).then_some(*edge));
        }
        edges
    }

    fn complete(&self) -> bool {
        let has = |type_id: TypeId, values: &Values| {
            let mut properties = self.schema.properties(type_id).expect("a type").iter();
            properties.all(|property| property.nullable || values.contains_key(&property.id))
        };
        self.nodes
            .iter()
            .all(|(node, there)| has(node.type_id, &there.values))
            && self
                .edges
                .iter()
                .all(|(edge, there)| has(edge.type_id, &there.values))
    }

    fn use_id(&mut self, type_id: TypeId, id: u64) {
        assert!(
            self.used.insert((type_id, id)),
            "id {id} of {type_id:?} was given twice"
        );
    }
}

/// As many parts as there are tests below.
const PARTS: u64 = 8;

/// Tries every eighth life.
fn part(part: u64) {
    quiet();
    let sequences = super::number("TRELLIS_SEQUENCES").unwrap_or(1_000);
    let first = super::seed();
    let all = (part..sequences).step_by(PARTS as usize);
    let count = all.clone().count() as u64;
    for at in all {
        let seed = first.wrapping_add(at);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let config = ProptestConfig {
            max_shrink_iters: 300,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(config, random);
        let tree = life().new_tree(&mut runner).expect("a life");
        let outcome = runner.run_one(tree, |life| {
            live(life);
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("TRELLIS_SEED={seed} TRELLIS_SEQUENCES=1\n{error}");
        }
    }
    coverage::tell(count);
}

fn live(life: Life) {
    let mut run = Run::new(&life);
    for step in life.steps {
        run.step(step);
    }
    run.disarm();
    run.step(Step::Crash(0));
    run.step(Step::Fold);
    run.step(Step::Crash(1));
    run.some_past();
    run.is_sound();
    if life.moves {
        run.transfer();
    }
}

/// What a step panics with on purpose says nothing.
const DEFECT: &str = "a defect that is meant";

/// Only the first failure is told in full: shorter lives that fail too are told in the end.
fn quiet() {
    let usual = std::panic::take_hook();
    let told = AtomicBool::new(false);
    std::panic::set_hook(Box::new(move |info| {
        let meant = info.payload().downcast_ref::<&str>() == Some(&DEFECT);
        if !meant && !told.swap(true, Ordering::AcqRel) {
            usual(info);
        }
    }));
}

macro_rules! parts {
    ($($name:ident $number:literal,)*) => {
        $(#[test] fn $name() { part($number); })*
    };
}

parts! {
    the_graph_equals_the_model_0 0,
    the_graph_equals_the_model_1 1,
    the_graph_equals_the_model_2 2,
    the_graph_equals_the_model_3 3,
    the_graph_equals_the_model_4 4,
    the_graph_equals_the_model_5 5,
    the_graph_equals_the_model_6 6,
    the_graph_equals_the_model_7 7,
}
