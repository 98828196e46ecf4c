//! One change, made in the graph and in the model, which says whether it must succeed.

use language::schema::TypeId;
use language::value::{EdgeRef, NodeRef, Value};

use super::{Change, Edge, Expected, Model, Node, Seed, Values, candidate, merge_into, pick, same};
use crate::{Transaction, WriteError};

pub(super) fn apply(
    model: &mut Model,
    change: &Change,
    work: &mut Transaction,
) -> Result<(), WriteError> {
    let (expected, outcome) = match change {
        Change::CreateNode(at, seeds) => create_node(model, *at, seeds, work),
        Change::CreateEdge(at, from, to, seeds) => {
            create_edge(model, *at, (*from, *to), seeds, work)
        }
        Change::SetNode(at, seeds) => {
            let Some(node) = pick(&model.nodes, *at) else {
                return Ok(());
            };
            set_node(model, node, seeds, work)
        }
        Change::SetEdge(at, seeds) => {
            let Some(edge) = pick(&model.edges, *at) else {
                return Ok(());
            };
            set_edge(model, edge, seeds, work)
        }
        Change::DeleteNode(at, detach) => {
            let Some(node) = pick(&model.nodes, *at) else {
                return Ok(());
            };
            delete_node(model, node, *detach, work)
        }
        Change::DeleteEdge(at) => {
            let Some(edge) = pick(&model.edges, *at) else {
                return Ok(());
            };
            model.edges.remove(&edge);
            (Expected::Done, work.delete_edge(edge))
        }
    };
    assert_eq!(
        expected == Expected::Done,
        outcome.is_ok(),
        "{change:?}: {outcome:?}"
    );
    outcome
}

type Outcome = (Expected, Result<(), WriteError>);

fn create_node(model: &mut Model, at: u8, seeds: &[(u8, Seed)], work: &mut Transaction) -> Outcome {
    let schema = model.schema.clone();
    let node_type = &schema.node_types[usize::from(at) % schema.node_types.len()];
    let mut given = model.given(node_type.id, seeds);
    // Keys are mostly whole, else nothing would ever be made.
    let salt = seeds
        .iter()
        .fold(at, |sum, (a, b)| sum.wrapping_add(*a).wrapping_add(*b));
    for property in &node_type.properties {
        let wanted = node_type.key.contains(&property.id) || !property.nullable;
        if wanted && given.iter().all(|(id, _)| *id != property.id) && salt % 16 != 0 {
            let value = candidate(property, salt / 8);
            given.push((property.id, value));
        }
    }
    let accepted = model.accepted(node_type.id, &given);
    let values = accepted.map(|values| model.with_defaults(node_type.id, values));
    let identity = values.as_ref().map(|values| match node_type.key.len() {
        0 => model
            .declared_id(node_type.id)
            .and_then(|id| values.get(&id).cloned()),
        _ => model
            .key(node_type.id, values)
            .map(|key| match key.as_slice() {
                [single] => single.clone(),
                several => Value::list(several.to_vec()),
            }),
    });
    let fits = match &identity {
        None => false,
        Some(None) => node_type.key.is_empty(),
        Some(Some(identity)) => !model.node_with(node_type.id, identity),
    };
    let made = work.create_node(node_type.id, given);
    if !fits {
        return (Expected::Refused, made.map(|_| ()));
    }
    let made = match made {
        Ok(made) => made,
        Err(error) => return (Expected::Done, Err(error)),
    };
    let mut values = values.expect("accepted");
    let given_identity = work.snapshot().node_identity(made);
    if let (Some(id), Some(None)) = (model.declared_id(node_type.id), &identity) {
        values.insert(id, given_identity.clone());
    }
    if let Some(Some(identity)) = identity {
        assert!(
            same(&identity, &given_identity),
            "{identity:?} became {given_identity:?}"
        );
    }
    model.use_id(made.type_id, made.id);
    model.nodes.insert(
        made,
        Node {
            identity: given_identity,
            values,
        },
    );
    (Expected::Done, Ok(()))
}

fn create_edge(
    model: &mut Model,
    at: u8,
    (from, to): (u16, u16),
    seeds: &[(u8, Seed)],
    work: &mut Transaction,
) -> Outcome {
    let schema = model.schema.clone();
    let edge_type = &schema.edge_types[usize::from(at) % schema.edge_types.len()];
    // One in eight may join anything, or what is gone.
    let wild = from % 8 == 0;
    let end = |type_id: TypeId, at: u16| {
        let fitting: Vec<_> = model
            .nodes
            .keys()
            .filter(|node| node.type_id == type_id)
            .collect();
        match usize::from(at).checked_rem(fitting.len()) {
            Some(place) if !wild => Some(*fitting[place]),
            _ => match at % 3 {
                0 => pick(&model.nodes, at),
                _ => Some(NodeRef {
                    type_id,
                    id: u64::from(at % 64),
                }),
            },
        }
    };
    let (Some(source), Some(target)) = (end(edge_type.source, from), end(edge_type.target, to))
    else {
        return (Expected::Done, Ok(()));
    };
    let mut given = model.given(edge_type.id, seeds);
    for property in edge_type
        .properties
        .iter()
        .filter(|property| !property.nullable)
    {
        if given.iter().all(|(id, _)| *id != property.id) && to % 16 != 0 {
            given.push((property.id, Value::DateTime(5)));
        }
    }
    let values = model.accepted(edge_type.id, &given);
    let joined = (source.type_id, target.type_id) == (edge_type.source, edge_type.target);
    let there = model.nodes.contains_key(&source) && model.nodes.contains_key(&target);
    let made = work.create_edge(edge_type.id, source, target, given);
    let (Some(values), true, true) = (values, joined, there) else {
        return (Expected::Refused, made.map(|_| ()));
    };
    match made {
        Ok(made) => {
            model.use_id(made.type_id, made.id);
            let mut values = model.with_defaults(made.type_id, values);
            let identity = work.snapshot().edge_identity(made);
            if let Some(id) = edge_type.property("id") {
                values.insert(id.id, identity.clone());
            }
            model.edges.insert(
                made,
                Edge {
                    source,
                    target,
                    identity,
                    values,
                },
            );
            (Expected::Done, Ok(()))
        }
        Err(error) => (Expected::Done, Err(error)),
    }
}

fn set_node(
    model: &mut Model,
    node: NodeRef,
    seeds: &[(u8, Seed)],
    work: &mut Transaction,
) -> Outcome {
    let given = model.given(node.type_id, seeds);
    let accepted = model.accepted(node.type_id, &given);
    let key = model
        .schema
        .node_type(node.type_id)
        .expect("a node type")
        .key
        .clone();
    let fixed = model.declared_id(node.type_id);
    let there = model.nodes.get_mut(&node).expect("picked");
    let keeps = |changes: &Values| {
        let mut fixed = key.iter().chain(&fixed);
        fixed.all(|id| {
            changes
                .get(id)
                .is_none_or(|value| there.values.get(id) == Some(value))
        })
    };
    let allowed = accepted.as_ref().is_some_and(keeps);
    let outcome = work.set_node(node, given);
    match accepted.filter(|_| allowed) {
        Some(changes) => {
            merge_into(&mut there.values, changes);
            (Expected::Done, outcome)
        }
        None => (Expected::Refused, outcome),
    }
}

fn set_edge(
    model: &mut Model,
    edge: EdgeRef,
    seeds: &[(u8, Seed)],
    work: &mut Transaction,
) -> Outcome {
    let given = model.given(edge.type_id, seeds);
    let accepted = model.accepted(edge.type_id, &given);
    let outcome = work.set_edge(edge, given);
    let edge_type = model.schema.edge_type(edge.type_id);
    let declared = edge_type
        .and_then(|it| it.property("id"))
        .map(|property| property.id);
    let there = model.edges.get_mut(&edge).expect("picked");
    match accepted {
        Some(changes) => {
            merge_into(&mut there.values, changes);
            // A declared `id` is the identity of an edge, and may be set.
            there.identity = work.snapshot().edge_identity(edge);
            if let Some(id) = declared {
                // What is taken away is given again: every edge has one.
                let identity = there.identity.clone();
                there.values.entry(id).or_insert(identity);
            }
            (Expected::Done, outcome)
        }
        None => (Expected::Refused, outcome),
    }
}

fn delete_node(model: &mut Model, node: NodeRef, detach: bool, work: &mut Transaction) -> Outcome {
    let mut touching = model.touching(node);
    if detach {
        let mut found: Vec<_> = work.relationships(node).collect();
        found.sort_unstable();
        touching.sort_unstable();
        assert_eq!(found, touching);
        for edge in found {
            model.edges.remove(&edge);
            work.delete_edge(edge).expect("deleted");
        }
    } else if !touching.is_empty() {
        return (Expected::Refused, work.delete_node(node));
    }
    model.nodes.remove(&node);
    (Expected::Done, work.delete_node(node))
}
