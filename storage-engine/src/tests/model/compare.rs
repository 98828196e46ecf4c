//! What can be read of a graph against the model.

use std::collections::BTreeSet;

use language::schema::{PropertyId, TypeId};
use language::value::{EdgeRef, NodeRef, Value};

use super::{Model, candidate, same};
use crate::Snapshot;

/// Everything that can be read equals the model.
pub(super) fn compare(snapshot: &Snapshot, model: &Model) {
    let schema = &model.schema;
    for node_type in &schema.node_types {
        let expected: Vec<_> = model
            .nodes
            .keys()
            .filter(|node| node.type_id == node_type.id)
            .collect();
        let found: Vec<_> = snapshot.nodes(node_type.id).collect();
        assert_eq!(
            found.iter().collect::<Vec<_>>(),
            expected,
            "{}",
            node_type.name
        );
        assert_eq!(snapshot.node_count(node_type.id), expected.len() as u64);
        for node in found {
            let there = &model.nodes[&node];
            assert!(snapshot.contains_node(node));
            assert!(same(&snapshot.node_identity(node), &there.identity));
            for property in &node_type.properties {
                let (found, expected) = (
                    snapshot.node_property(node, property.id),
                    there
                        .values
                        .get(&property.id)
                        .cloned()
                        .unwrap_or(Value::Null),
                );
                assert!(
                    same(&found, &expected),
                    "{node:?}.{}: {found:?}, not {expected:?}",
                    property.name
                );
                if property.indexed && !expected.is_null() {
                    assert!(is_indexed(snapshot, node, property.id, &expected));
                }
            }
            assert_eq!(snapshot.node_properties(node).len(), there.values.len());
            compare_adjacency(snapshot, model, node);
        }
        compare_keys(snapshot, model, node_type.id);
    }
    for edge_type in &schema.edge_types {
        let expected: Vec<_> = model
            .edges
            .keys()
            .filter(|edge| edge.type_id == edge_type.id)
            .collect();
        let found: Vec<_> = snapshot.edges(edge_type.id).collect();
        assert_eq!(
            found.iter().collect::<Vec<_>>(),
            expected,
            "{}",
            edge_type.name
        );
        assert_eq!(snapshot.edge_count(edge_type.id), expected.len() as u64);
        for edge in found {
            let there = &model.edges[&edge];
            assert_eq!(snapshot.edge_ends(edge), Some((there.source, there.target)));
            assert!(same(&snapshot.edge_identity(edge), &there.identity));
            for property in &edge_type.properties {
                let found = snapshot.edge_property(edge, property.id);
                let expected = there
                    .values
                    .get(&property.id)
                    .cloned()
                    .unwrap_or(Value::Null);
                assert!(
                    same(&found, &expected),
                    "{edge:?}.{}: {found:?}, not {expected:?}",
                    property.name
                );
            }
        }
    }
    for (type_id, id) in &model.used {
        let (node, edge) = (
            NodeRef {
                type_id: *type_id,
                id: *id,
            },
            EdgeRef {
                type_id: *type_id,
                id: *id,
            },
        );
        assert_eq!(
            snapshot.contains_node(node),
            model.nodes.contains_key(&node)
        );
        assert_eq!(
            snapshot.contains_edge(edge),
            model.edges.contains_key(&edge)
        );
    }
}

/// Whether a node is among those that the index of a property proposes for a value.
fn is_indexed(snapshot: &Snapshot, node: NodeRef, property: PropertyId, value: &Value) -> bool {
    let rows = snapshot.rows(node.type_id).expect("a node type");
    let position = rows.layout.position(property).expect("its property");
    let mut ids = Vec::new();
    let mut pace = |_| Ok::<(), std::convert::Infallible>(());
    let hash = crate::index::hash_of(value);
    let Ok(()) = rows.seek(position, hash, &mut pace, &mut ids);
    ids.contains(&node.id)
}

fn compare_adjacency(snapshot: &Snapshot, model: &Model, node: NodeRef) {
    for edge_type in &model.schema.edge_types {
        let edges = model
            .edges
            .iter()
            .filter(|(edge, _)| edge.type_id == edge_type.id);
        let leaving = edges.clone().filter(|(_, there)| there.source == node);
        let entering = edges.filter(|(_, there)| there.target == node);
        let expected: BTreeSet<_> = leaving.map(|(edge, there)| (*edge, there.target)).collect();
        let found: Vec<_> = snapshot
            .outgoing(edge_type.id, node)
            .map(|n| (n.edge, n.node))
            .collect();
        assert_eq!(
            snapshot.out_degree(edge_type.id, node),
            expected.len() as u64
        );
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        let expected: BTreeSet<_> = entering
            .map(|(edge, there)| (*edge, there.source))
            .collect();
        let found: Vec<_> = snapshot
            .incoming(edge_type.id, node)
            .map(|n| (n.edge, n.node))
            .collect();
        assert_eq!(
            snapshot.in_degree(edge_type.id, node),
            expected.len() as u64
        );
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

/// Every key of the universe: there, or not.
fn compare_keys(snapshot: &Snapshot, model: &Model, type_id: TypeId) {
    let node_type = model.schema.node_type(type_id).expect("a node type");
    let pool = |id: &PropertyId| -> Vec<Value> {
        let property = model.schema.property(*id).expect("a property").1;
        let mut pool: Vec<Value> = Vec::new();
        for value in (0..7).map(|seed| candidate(property, seed)) {
            if !pool.iter().any(|known| same(known, &value)) {
                pool.push(value);
            }
        }
        pool
    };
    let nodes = || model.nodes.iter().filter(|it| it.0.type_id == type_id);
    let parts: Vec<Vec<Value>> = match node_type.key.as_slice() {
        [] => {
            let mut identities: Vec<Value> =
                nodes().map(|(_, node)| node.identity.clone()).collect();
            identities.extend(["a", "b", "c", "n1", "never"].map(Value::from));
            vec![identities]
        }
        key => key.iter().map(pool).collect(),
    };
    let mut keys: Vec<Vec<Value>> = vec![Vec::new()];
    for part in parts {
        let with = |key: &Vec<Value>| {
            part.iter()
                .map(|value| [key.clone(), vec![value.clone()]].concat())
                .collect::<Vec<_>>()
        };
        keys = keys.iter().flat_map(with).collect();
    }
    for key in keys {
        let identity = match key.as_slice() {
            [single] => single.clone(),
            several => Value::list(several.to_vec()),
        };
        let expected = nodes().find(|(_, there)| same(&there.identity, &identity));
        assert_eq!(
            snapshot.node_by_key(type_id, &key),
            expected.map(|(node, _)| *node),
            "{key:?}"
        );
    }
}
