//! Loads by columns: what they bring, in the words of the model.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use language::schema::{Property, PropertyId, TypeId, scalar_to_json};
use language::value::{EdgeRef, NodeRef, Value};
use serde_json::{Map, Value as Json, json};

use super::{Edge, Model, Node, Seed, Values};
use crate::Snapshot;
use crate::load::Mode;

/// What a load brings.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Type and further properties of each node.
    pub(super) nodes: Vec<(u8, Vec<(u8, Seed)>)>,
    /// Type, ends and properties of each edge.
    pub(super) edges: Vec<(u8, u16, u16, Vec<(u8, Seed)>)>,
    /// Everything there is comes with it, and nothing else is left.
    pub(super) overwrite: bool,
    /// Edges come before nodes.
    pub(super) edges_first: bool,
}

/// A node that is to be there.
struct NewNode {
    type_id: TypeId,
    identity: Value,
    values: Values,
}

/// An edge that is to be there, between the nodes with these numbers.
struct NewEdge {
    type_id: TypeId,
    ends: (usize, usize),
    identity: Value,
    values: Values,
}

/// The lines of a load, and the model once they are loaded; `number` tells loads apart.
pub(super) struct Prepared {
    pub(super) lines: String,
    pub(super) mode: Mode,
    before: Model,
    nodes: Vec<NewNode>,
    edges: Vec<NewEdge>,
}

pub(super) fn prepare(model: &Model, load: &Load, number: usize, exported: &str) -> Prepared {
    let schema = model.schema.clone();
    // Those that are there come first, so that edges may end at them.
    let mut nodes: Vec<NewNode> = Vec::new();
    for (node, there) in &model.nodes {
        nodes.push(NewNode {
            type_id: node.type_id,
            identity: there.identity.clone(),
            values: there.values.clone(),
        });
    }
    let mut node_lines = String::new();
    for (place, (at, seeds)) in load.nodes.iter().enumerate() {
        let node_type = &schema.node_types[usize::from(*at) % schema.node_types.len()];
        let mut values = model
            .accepted(node_type.id, &model.given(node_type.id, seeds))
            .unwrap_or_default();
        drop_missing(&node_type.properties, &mut values);
        let name = format!("load-{number}-{place}");
        let mut data = Map::new();
        let unique = i64::try_from(number * 1_000 + place).expect("small");
        let identity = match node_type.name.as_str() {
            "Person" => {
                values.insert(id(&node_type.properties, "email"), name.as_str().into());
                name.as_str().into()
            }
            "Place" => {
                values.insert(id(&node_type.properties, "country"), "load".into());
                values.insert(id(&node_type.properties, "number"), unique.into());
                Value::list([Value::from("load"), Value::Int(unique)])
            }
            "Note" => {
                data.insert("id".to_owned(), json!(name));
                values.insert(id(&node_type.properties, "text"), "text".into());
                name.as_str().into()
            }
            _ => {
                values.insert(id(&node_type.properties, "id"), name.as_str().into());
                name.as_str().into()
            }
        };
        put(&mut data, &node_type.properties, &values);
        let line = json!({"type": node_type.name, "data": data});
        writeln!(node_lines, "{line}").expect("a line");
        nodes.push(NewNode {
            type_id: node_type.id,
            identity,
            values: model.with_defaults(node_type.id, values),
        });
    }
    let mut edge_lines = String::new();
    let mut edges = old_edges(model);
    let kept = edges.len();
    for (place, (at, from, to, seeds)) in load.edges.iter().enumerate() {
        let edge_type = &schema.edge_types[usize::from(*at) % schema.edge_types.len()];
        let end = |type_id: TypeId, at: u16| {
            let fitting = nodes.iter().enumerate();
            let fitting: Vec<_> = fitting
                .filter(|(_, node)| node.type_id == type_id)
                .collect();
            let place = usize::from(at).checked_rem(fitting.len())?;
            Some(fitting[place].0)
        };
        let (Some(source), Some(target)) =
            (end(edge_type.source, *from), end(edge_type.target, *to))
        else {
            continue;
        };
        let mut values = model
            .accepted(edge_type.id, &model.given(edge_type.id, seeds))
            .unwrap_or_default();
        for property in edge_type
            .properties
            .iter()
            .filter(|property| !property.nullable)
        {
            values.insert(property.id, Value::DateTime(7));
        }
        let name = format!("edge-{number}-{place}");
        let mut data = Map::new();
        match edge_type.property("id") {
            Some(property) => {
                values.insert(property.id, name.as_str().into());
            }
            None => {
                data.insert("id".to_owned(), json!(name));
            }
        }
        put(&mut data, &edge_type.properties, &values);
        let key = |node: usize| scalar_to_json(&nodes[node].identity);
        let line = json!({
            "edge": edge_type.name, "from": key(source), "to": key(target), "data": data,
        });
        writeln!(edge_lines, "{line}").expect("a line");
        edges.push(NewEdge {
            type_id: edge_type.id,
            ends: (source, target),
            identity: name.as_str().into(),
            values: model.with_defaults(edge_type.id, values),
        });
    }
    let mut before = model.clone();
    let mut lines = String::new();
    let new = edges.split_off(kept);
    let edges = match (load.overwrite, load.edges_first) {
        (false, _) => new,
        (true, false) => edges.into_iter().chain(new).collect(),
        (true, true) => new.into_iter().chain(edges).collect(),
    };
    if load.overwrite {
        before.nodes.clear();
        before.edges.clear();
        lines.push_str(exported);
    }
    match load.edges_first {
        true => lines = format!("{edge_lines}\n{lines}{node_lines}"),
        false => lines = format!("{lines}{node_lines} \r\n{edge_lines}"),
    }
    Prepared {
        lines,
        mode: if load.overwrite {
            Mode::Overwrite
        } else {
            Mode::Append
        },
        before,
        nodes,
        edges,
    }
}

/// The edges that are there, in the order of an export.
fn old_edges(model: &Model) -> Vec<NewEdge> {
    let numbers: BTreeMap<NodeRef, usize> = model.nodes.keys().copied().zip(0..).collect();
    let edges = model.edges.iter().map(|(edge, there)| NewEdge {
        type_id: edge.type_id,
        ends: (numbers[&there.source], numbers[&there.target]),
        identity: there.identity.clone(),
        values: there.values.clone(),
    });
    edges.collect()
}

/// What must be there is not given as null.
fn drop_missing(properties: &[Property], values: &mut Values) {
    let required = properties.iter().filter(|property| !property.nullable);
    for property in required {
        if values.get(&property.id).is_some_and(Value::is_null) {
            values.remove(&property.id);
        }
    }
}

fn id(properties: &[Property], name: &str) -> PropertyId {
    let mut properties = properties.iter();
    let property = properties.find(|property| property.name == name);
    property.expect("declared").id
}

fn put(data: &mut Map<String, Json>, properties: &[Property], values: &Values) {
    for property in properties {
        if let Some(value) = values.get(&property.id) {
            data.insert(property.name.clone(), scalar_to_json(value));
        }
    }
}

impl Prepared {
    /// The model after the load. Ids are the graph's to choose: new ones, in the order of the lines.
    pub(super) fn loaded(self, snapshot: &Snapshot) -> Model {
        let mut model = self.before;
        let mut found = Vec::new();
        for node in self.nodes {
            let key = match &node.identity {
                Value::List(parts) => parts.to_vec(),
                single => vec![single.clone()],
            };
            let there = snapshot
                .node_by_key(node.type_id, &key)
                .unwrap_or_else(|| panic!("{:?} is not there", node.identity));
            found.push(there);
            if model.nodes.contains_key(&there) {
                continue;
            }
            model.use_id(there.type_id, there.id);
            let (identity, values) = (node.identity, node.values);
            model.nodes.insert(there, Node { identity, values });
        }
        let mut given: BTreeMap<TypeId, Vec<EdgeRef>> = BTreeMap::new();
        for edge_type in &model.schema.edge_types {
            let edges = snapshot.edges(edge_type.id);
            let new = edges.filter(|edge| !model.used.contains(&(edge.type_id, edge.id)));
            given.insert(edge_type.id, new.collect());
        }
        let mut places: BTreeMap<TypeId, usize> = BTreeMap::new();
        for edge in self.edges {
            let place = places.entry(edge.type_id).or_default();
            let there = given[&edge.type_id][*place];
            *place += 1;
            model.use_id(there.type_id, there.id);
            model.edges.insert(
                there,
                Edge {
                    source: found[edge.ends.0],
                    target: found[edge.ends.1],
                    identity: edge.identity,
                    values: edge.values,
                },
            );
        }
        for (type_id, place) in places {
            assert_eq!(place, given[&type_id].len(), "edges of {type_id:?}");
        }
        model
    }
}
