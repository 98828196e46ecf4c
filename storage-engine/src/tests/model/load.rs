//! Loads: what they bring, in the words of the model.

use std::collections::{BTreeMap, BTreeSet};

use language::schema::{EdgeType, NodeType, Property, PropertyId, TypeId};
use language::value::{EdgeRef, NodeRef, Value};

use super::coverage::note;
use super::faults::Unknown;
use super::input::{Record, Way, is_told};
use super::run::{After, Run};
use super::write::counts;
use super::{Edge, Model, Node, Seed, Values, candidate, merge_into, same};
use crate::load::{self, Mode};
use crate::{CommitError, Snapshot, WriteRequest};

pub(super) const MODES: [Mode; 3] = [Mode::Append, Mode::Merge, Mode::Overwrite];

/// Properties, each by its number among those of its type.
type Seeds = Vec<(u8, Seed)>;

/// What a load brings.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Type, name and further properties of each node.
    pub(super) nodes: Vec<(u8, u8, Seeds)>,
    /// Type, ends, name and properties of each edge.
    pub(super) edges: Vec<(u8, u16, u16, u8, Seeds)>,
    pub(super) mode: Mode,
    pub(super) way: Way,
    /// Edges come before nodes.
    pub(super) edges_first: bool,
    /// What the graph would refuse is left out.
    pub(super) careful: bool,
    /// An overwriting load brings what was there, too.
    pub(super) again: bool,
}

/// The records of a load, and the model before it.
pub(super) struct Prepared {
    before: Model,
    mode: Mode,
    nodes: Vec<Record>,
    edges: Vec<Record>,
}

/// What tells a node from others.
type Name = (TypeId, String);

fn name(type_id: TypeId, identity: &Value) -> Name {
    (type_id, format!("{identity:?}"))
}

impl Run {
    pub(super) fn load(&mut self, load: &Load) {
        self.loads += 1;
        let prepared = Prepared::new(&self.model, load, self.loads);
        let records = prepared.records(load.edges_first);
        if records.is_empty() {
            return;
        }
        let snapshot = self.graph().snapshot();
        let (input, source) = load.way.input(snapshot.schema(), &records, load.mode);
        let graph = self.graph().clone();
        let loaded = load::parse(input, &source, &snapshot).map(|batch| {
            super::run::runtime().block_on(graph.load(WriteRequest::by("test"), None, &batch))
        });
        let wanted = prepared.is_allowed();
        match loaded {
            Ok(Ok(written)) => {
                assert!(wanted, "{records:#?}");
                note(format!("load {:?}", load.mode));
                note(format!("load {:?}", load.way));
                note(format!("load {:?} {:?}", load.mode, load.way));
                let before = self.model.clone();
                self.model = prepared.loaded(&self.graph().snapshot());
                let found = written.counts;
                let found = [
                    found.nodes_created,
                    found.nodes_deleted,
                    found.edges_created,
                    found.edges_deleted,
                ];
                assert_eq!(found, counts(&before, &self.model));
                if written.commit.sequence > self.head.sequence {
                    self.acknowledged(written.commit);
                }
            }
            Ok(Err(CommitError::Unknown(error))) => {
                note("load unknown");
                self.excuses(&error);
                self.unknown = Some(Unknown {
                    sequence: self.head.sequence + 1,
                    after: After::Load(Box::new(prepared)),
                    answer: None,
                });
            }
            Ok(Err(CommitError::Work(errors))) => {
                note("load refused");
                assert!(!wanted, "{errors:?} in {records:#?}");
            }
            Ok(Err(
                error @ (CommitError::NotWritten(_)
                | CommitError::SideFile(_)
                | CommitError::Unfolded { .. }),
            )) => {
                note("load failed");
                self.excuses(&error);
            }
            Ok(Err(error)) => panic!("{error:?}"),
            Err(errors) => {
                note("load refused");
                assert!(!wanted, "{errors:?} in {records:#?}");
            }
        }
    }
}

impl Prepared {
    fn new(model: &Model, load: &Load, number: usize) -> Self {
        let mut prepared = Self {
            before: model.clone(),
            mode: load.mode,
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        if load.mode == Mode::Overwrite && load.again && !load.way.has_columns() {
            prepared.everything();
        }
        for (place, node) in load.nodes.iter().enumerate() {
            prepared.add_node(node, load, (number, place));
        }
        for (place, edge) in load.edges.iter().enumerate() {
            prepared.add_edge(edge, load, (number, place));
        }
        prepared
    }

    /// The records in the order of the input.
    fn records(&self, edges_first: bool) -> Vec<Record> {
        let (nodes, edges) = (self.nodes.iter(), self.edges.iter());
        match edges_first {
            true => edges.chain(nodes).cloned().collect(),
            false => nodes.chain(edges).cloned().collect(),
        }
    }

    /// What is there, as an export gives it.
    fn everything(&mut self) {
        let model = &self.before;
        for (node, there) in &model.nodes {
            let node_type = model.schema.node_type(node.type_id).expect("a node type");
            self.nodes.push(Record {
                type_id: node.type_id,
                id: is_named_apart(node_type).then(|| there.identity.clone()),
                ends: None,
                values: there.values.clone(),
            });
        }
        for (edge, there) in &model.edges {
            let edge_type = model.schema.edge_type(edge.type_id).expect("an edge type");
            let declared = edge_type.property("id").is_some();
            let identity = |node: &NodeRef| model.nodes[node].identity.clone();
            self.edges.push(Record {
                type_id: edge.type_id,
                id: (!declared).then(|| there.identity.clone()),
                ends: Some((identity(&there.source), identity(&there.target))),
                values: there.values.clone(),
            });
        }
    }

    /// The names that are there before the load, as far as it looks at them.
    fn there(&self) -> BTreeSet<Name> {
        if self.mode == Mode::Overwrite {
            return BTreeSet::new();
        }
        let nodes = self.before.nodes.iter();
        nodes
            .map(|(node, there)| name(node.type_id, &there.identity))
            .collect()
    }

    fn identity(&self, record: &Record) -> Value {
        let node_type = self.before.schema.node_type(record.type_id);
        let node_type = node_type.expect("a node type");
        let value = |id: &PropertyId| record.values[id].clone();
        match (node_type.key.as_slice(), node_type.property("id")) {
            ([], Some(id)) => value(&id.id),
            ([], None) => record.id.clone().expect("it has a name"),
            ([single], _) => value(single),
            (several, _) => Value::list(several.iter().map(value)),
        }
    }

    fn add_node(
        &mut self,
        (at, name_at, seeds): &(u8, u8, Vec<(u8, Seed)>),
        load: &Load,
        (number, place): (usize, usize),
    ) {
        let schema = self.before.schema.clone();
        let types = &schema.node_types;
        let node_type = match self.nodes.first() {
            // Rows of one type.
            Some(first) if load.way.has_columns() => schema.node_type(first.type_id),
            _ => types.get(usize::from(*at) % types.len()),
        };
        let node_type = node_type.expect("a node type");
        let mut record = Record {
            type_id: node_type.id,
            id: None,
            ends: None,
            values: self.values(node_type.id, &node_type.properties, seeds, load.way),
        };
        let fresh = name_at % 3 != 0;
        let text = format!("load-{number}-{place}");
        let unique = i64::try_from(number * 1_000 + place).expect("small");
        for id in &node_type.key {
            let property = schema.property(*id).expect("declared").1;
            let known = candidate(property, name_at / 3);
            let value = match (&known, fresh) {
                (Value::Int(_), true) => Value::Int(unique),
                (_, true) | (Value::Null, false) => text.as_str().into(),
                _ => known,
            };
            record.values.insert(*id, value);
        }
        let known = ["n1", "n2", "a", "b"][usize::from(name_at / 3 % 4)];
        let own = Value::from(if fresh { &*text } else { known });
        match node_type.property("id") {
            Some(id) => {
                record.values.insert(id.id, own);
            }
            None if node_type.key.is_empty() => record.id = Some(own),
            None => {}
        }
        if load.careful && load.mode != Mode::Merge {
            let own = name(record.type_id, &self.identity(&record));
            let mut names = self.there();
            names.extend(
                self.nodes
                    .iter()
                    .map(|it| name(it.type_id, &self.identity(it))),
            );
            if names.contains(&own) {
                return;
            }
        }
        self.nodes.push(record);
    }

    fn add_edge(
        &mut self,
        (at, from, to, name_at, seeds): &(u8, u16, u16, u8, Vec<(u8, Seed)>),
        load: &Load,
        (number, place): (usize, usize),
    ) {
        let schema = self.before.schema.clone();
        let types = &schema.edge_types;
        let edge_type = match (self.nodes.first(), self.edges.first()) {
            (Some(_), _) if load.way.has_columns() => return,
            (_, Some(first)) if load.way.has_columns() => schema.edge_type(first.type_id),
            _ => types.get(usize::from(*at) % types.len()),
        };
        let edge_type = edge_type.expect("an edge type");
        let mut values = self.values(edge_type.id, &edge_type.properties, seeds, load.way);
        for property in edge_type.properties.iter().filter(|it| !it.nullable) {
            values.insert(property.id, Value::DateTime(7));
        }
        let (ends, id) = match self.known_edge(edge_type, *from, *name_at) {
            Some(known) => known,
            None => {
                let (Some(source), Some(target)) = (
                    self.end(edge_type.source, *from, load),
                    self.end(edge_type.target, *to, load),
                ) else {
                    return;
                };
                let id = Value::from(format!("edge-{number}-{place}").as_str());
                ((source, target), (name_at % 4 != 1).then_some(id))
            }
        };
        let declared = edge_type.property("id");
        let nulls = matches!(load.way, Way::Parquet | Way::Arrow);
        if declared.is_some() && nulls && load.mode == Mode::Merge && id.is_none() {
            // It would take the name away from the edge that is there.
            return;
        }
        if let Some(declared) = declared {
            let nothing = nulls.then_some(Value::Null);
            values.remove(&declared.id);
            values.extend(id.clone().or(nothing).map(|id| (declared.id, id)));
        }
        self.edges.push(Record {
            type_id: edge_type.id,
            id: id.filter(|_| declared.is_none()),
            ends: Some(ends),
            values,
        });
    }

    /// An edge that is there, for one that is merged: its ends, and perhaps its name.
    fn known_edge(
        &self,
        edge_type: &EdgeType,
        at: u16,
        name_at: u8,
    ) -> Option<((Value, Value), Option<Value>)> {
        if self.mode != Mode::Merge || name_at.is_multiple_of(2) {
            return None;
        }
        let model = &self.before;
        let edges = model.edges.iter();
        let edges: Vec<_> = edges
            .filter(|(edge, _)| edge.type_id == edge_type.id)
            .collect();
        let (_, there) = edges.get(usize::from(at).checked_rem(edges.len())?)?;
        let between = edges.iter().filter(|(_, other)| {
            (other.source, other.target) == (there.source, there.target)
                && same(&other.identity, &there.identity)
        });
        // Of two with the same name nobody can say which is meant.
        let named = name_at % 4 == 1 && between.count() == 1;
        let identity = |node: &NodeRef| model.nodes[node].identity.clone();
        let ends = (identity(&there.source), identity(&there.target));
        Some((ends, named.then(|| there.identity.clone())))
    }

    fn end(&self, type_id: TypeId, at: u16, load: &Load) -> Option<Value> {
        let new = self.nodes.iter().filter(|it| it.type_id == type_id);
        let mut known: Vec<Value> = new.map(|it| self.identity(it)).collect();
        if load.mode != Mode::Overwrite || !load.careful {
            let there = self.before.nodes.iter();
            let there = there.filter(|(node, _)| node.type_id == type_id);
            known.extend(there.map(|(_, there)| there.identity.clone()));
        }
        let place = usize::from(at).checked_rem(known.len())?;
        known.get(place).cloned()
    }

    /// The values that a record gives; all of the type, where the format has no way not to.
    fn values(
        &self,
        type_id: TypeId,
        properties: &[Property],
        seeds: &[(u8, Seed)],
        way: Way,
    ) -> Values {
        let model = &self.before;
        let given = model.accepted(type_id, &model.given(type_id, seeds));
        let mut values = given.unwrap_or_default();
        values.retain(|_, value| is_told(way, value));
        for property in properties {
            let null = values.get(&property.id).is_none_or(Value::is_null);
            if !property.nullable && null {
                let default = property.default.clone();
                values.insert(property.id, default.unwrap_or_else(|| "text".into()));
            } else if matches!(way, Way::Parquet | Way::Arrow) {
                values.entry(property.id).or_insert(Value::Null);
            }
        }
        values
    }

    /// Whether nothing of it is refused.
    fn is_allowed(&self) -> bool {
        let mut names = self.there();
        for record in &self.nodes {
            let new = names.insert(name(record.type_id, &self.identity(record)));
            if !new && self.mode != Mode::Merge {
                return false;
            }
        }
        self.edges.iter().all(|record| {
            let schema = &self.before.schema;
            let edge_type = schema.edge_type(record.type_id).expect("an edge type");
            let (from, to) = record.ends.as_ref().expect("an edge");
            names.contains(&name(edge_type.source, from))
                && names.contains(&name(edge_type.target, to))
        })
    }

    /// The model after the load. Ids are the graph's to choose: new ones, in the order of the input.
    pub(super) fn loaded(&self, snapshot: &Snapshot) -> Model {
        let mut model = self.before.clone();
        if self.mode == Mode::Overwrite {
            model.nodes.clear();
            model.edges.clear();
        }
        for record in &self.nodes {
            let identity = self.identity(record);
            let node = find(snapshot, record.type_id, &identity);
            match model.nodes.get_mut(&node) {
                Some(there) => merge_into(&mut there.values, record.values.clone()),
                None => {
                    model.use_id(node.type_id, node.id);
                    let values = model.with_defaults(record.type_id, record.values.clone());
                    model.nodes.insert(node, Node { identity, values });
                }
            }
        }
        let mut new: BTreeMap<TypeId, Vec<EdgeRef>> = BTreeMap::new();
        for edge_type in &model.schema.edge_types {
            let edges = snapshot.edges(edge_type.id);
            let edges = edges.filter(|edge| !model.used.contains(&(edge.type_id, edge.id)));
            let mut edges: Vec<_> = edges.collect();
            edges.reverse();
            new.insert(edge_type.id, edges);
        }
        for record in &self.edges {
            self.put_edge(&mut model, record, &mut new, snapshot);
        }
        assert!(new.values().all(Vec::is_empty), "{new:?} are nobody's");
        model
    }

    fn put_edge(
        &self,
        model: &mut Model,
        record: &Record,
        new: &mut BTreeMap<TypeId, Vec<EdgeRef>>,
        snapshot: &Snapshot,
    ) {
        let schema = model.schema.clone();
        let edge_type = schema.edge_type(record.type_id).expect("an edge type");
        let (from, to) = record.ends.as_ref().expect("an edge");
        let source = find(snapshot, edge_type.source, from);
        let target = find(snapshot, edge_type.target, to);
        let declared = edge_type.property("id").map(|property| property.id);
        let id = match declared {
            Some(declared) => record.values.get(&declared).filter(|id| !id.is_null()),
            None => record.id.as_ref(),
        };
        let there = match self.mode {
            Mode::Merge => model.edges.iter().find(|(edge, there)| {
                edge.type_id == edge_type.id
                    && (there.source, there.target) == (source, target)
                    && id.is_none_or(|id| same(id, &there.identity))
            }),
            Mode::Append | Mode::Overwrite => None,
        };
        let edge = there.map(|(edge, _)| *edge);
        let given = |edge| snapshot.edge_identity(edge);
        let edge = match edge {
            Some(edge) => edge,
            None => {
                let edge = new.get_mut(&edge_type.id).and_then(Vec::pop);
                let edge = edge.expect("an edge that is new");
                model.use_id(edge.type_id, edge.id);
                let made = Edge {
                    source,
                    target,
                    identity: id.cloned().unwrap_or_else(|| given(edge)),
                    values: Values::new(),
                };
                model.edges.insert(edge, made);
                edge
            }
        };
        let defaults = model.with_defaults(edge_type.id, Values::new());
        let there = model.edges.get_mut(&edge).expect("there");
        there.values.extend(defaults);
        merge_into(&mut there.values, record.values.clone());
        if let Some(declared) = declared {
            let identity = there.identity.clone();
            there.values.entry(declared).or_insert(identity);
        }
    }
}

/// Whether the nodes of a type have a name that is no property.
fn is_named_apart(node_type: &NodeType) -> bool {
    node_type.key.is_empty() && node_type.property("id").is_none()
}

fn find(snapshot: &Snapshot, type_id: TypeId, identity: &Value) -> NodeRef {
    let key = match identity {
        Value::List(parts) => parts.to_vec(),
        single => vec![single.clone()],
    };
    let found = snapshot.node_by_key(type_id, &key);
    found.unwrap_or_else(|| panic!("{identity:?} is not there"))
}
